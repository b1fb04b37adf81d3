package suppress

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/op"
	"postroad/internal/mail/addr"
)

// Reason is an entry about an address and what put it there.
type Reason struct {
	Entry
	Because string // a sentence: what put it there
	Means   string // a sentence: what follows from it
}

// Explanation says why an address is suppressed, or that it is not.
type Explanation struct {
	Verdict *Verdict // on a message with the tags asked for; nil when it would be sent
	Reasons []Reason // what is listed of the address, and its domain where that is allowed
	Decides *Reason  // the one the verdict comes from
}

// Why explains what the lists of a domain say about an address and a message with
// tags.
func (s *Service) Why(ctx context.Context, domainID int64, address string, tags []string) (*Explanation, error) {
	var rows []row
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		if rows, err = selectAbout(tx, domainID, key(address)); err != nil {
			return err
		}
		for i := range rows {
			if c := &rows[i].Cause; c.By == ByImport && err == nil {
				c.file, err = importFile(tx, c.Import)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("why suppressed: %w", err)
	}
	x := &Explanation{}
	var found []Entry
	for i := range rows {
		e := rows[i].Entry
		found = append(found, e)
		x.Reasons = append(x.Reasons, Reason{e, e.because(), e.means()})
	}
	x.Verdict = judge(found, tags)
	for i := range found {
		if v := judge(found[i:i+1], tags); v != nil && v.Code == x.Verdict.Code && x.Decides == nil {
			x.Decides = &x.Reasons[i]
		}
	}
	return x, nil
}

const whyDoc = "For each list the address is on: since when, what put it there (the event and its message, the API key, or the line of an imported file), " +
	"and what follows. `suppressed` is about a message with the tags of the query, none if it has none. " +
	"The allowlist keeps bounces from being listed; it does not let mail pass to an address that is listed."

type whyIn struct {
	Domain  string   `path:"domain" doc:"Name of the domain"`
	Address string   `path:"address" doc:"Email address, in any form"`
	Tags    []string `query:"tag" max:"100" doc:"Tag of the message asked about; may be repeated"`
}

type causeView struct {
	By        By     `json:"by" enum:"event,key,import" doc:"Absent if not known"`
	Event     string `json:"event,omitempty" doc:"Type of the event"`
	EventID   string `json:"event-id,omitempty"`
	MessageID string `json:"message-id,omitempty" doc:"Message-Id of the message that caused it"`
	Message   string `json:"message,omitempty" doc:"Id of the message in /v1/postroad/messages"`
	Storage   string `json:"storage-key,omitempty"`
	Subject   string `json:"subject,omitempty" doc:"Of the message"`
	Key       string `json:"key-id,omitempty" doc:"API key that added it"`
	Import    string `json:"import-id,omitempty"`
	File      string `json:"file,omitempty" doc:"Name of the file imported"`
	Line      int64  `json:"line,omitempty" doc:"Of the file"`
}

func viewCause(e *Entry) *causeView {
	c := &e.Cause
	if c.By == ByUnknown && e.MessageID == "" {
		return nil
	}
	return &causeView{By: c.By, Event: string(c.Event), EventID: c.EventID, MessageID: e.MessageID, Message: number(c.Message), Storage: c.Storage,
		Subject: c.Subject, Key: c.Key, Import: number(c.Import), File: c.file, Line: c.Line}
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

type reasonView struct {
	List    Kind       `json:"list" enum:"bounces,complaints,unsubscribes,whitelists"`
	Value   string     `json:"value" doc:"Address, or domain of the allowlist, as it was given"`
	Since   time.Time  `json:"since"`
	Tag     string     `json:"tag,omitempty" doc:"Of an unsubscribe; * for all mail"`
	Code    string     `json:"code,omitempty" doc:"Of a bounce: reply code of the server"`
	Text    string     `json:"text,omitempty" doc:"Of a bounce: reply of the server; of the allowlist: the reason given"`
	Because string     `json:"because" doc:"What put it there, in words"`
	Means   string     `json:"means" doc:"What follows, in words"`
	Cause   *causeView `json:"cause,omitempty"`
}

type whyOut struct {
	Address    string       `json:"address"`
	Suppressed bool         `json:"suppressed" doc:"A message with the tags asked about would not be sent"`
	Code       int          `json:"code,omitempty" doc:"delivery-status code of its event"`
	Reason     string       `json:"reason,omitempty" doc:"Reason of its event"`
	Allowed    bool         `json:"allowed" doc:"The allowlist keeps its bounces from being listed"`
	Items      []reasonView `json:"items" doc:"What is listed"`
}

func (l *list) why(ctx context.Context, in *whyIn) (*whyOut, error) {
	if _, err := addr.ParseMailbox(in.Address); err != nil {
		return nil, badAddress("address", in.Address, err)
	}
	id, err := l.domainID(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	x, err := l.s.Why(ctx, id, in.Address, in.Tags)
	if err != nil {
		return nil, err
	}
	out := &whyOut{Address: in.Address, Suppressed: x.Verdict != nil, Items: make([]reasonView, len(x.Reasons))}
	if x.Verdict != nil {
		out.Code, out.Reason = x.Verdict.Code, x.Verdict.Reason
	}
	for i := range x.Reasons {
		r := &x.Reasons[i]
		out.Allowed = out.Allowed || r.Kind == Allowlist
		out.Items[i] = reasonView{List: r.Kind, Value: r.Address, Since: utc(r.CreatedAt), Tag: r.Tag, Code: r.Code, Text: r.Reason,
			Because: r.Because, Means: r.Means, Cause: viewCause(&r.Entry)}
	}
	return out, nil
}

func whyOp(l *list) op.Op {
	return op.New("GET", "/v1/postroad/domains/{domain}/suppressions/{address}", op.Suppressions, op.Read, "Say why an address is suppressed", l.why).WithDoc(whyDoc)
}
