package workspace

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// maxID bounds ids that applications make, in bytes.
const maxID = 255

// maxOffset bounds offsets: nobody has more messages.
const maxOffset = 1_000_000_000

// Values are checked in filter, so that an answer names all that are wrong.
type listIn struct {
	Workspace string `path:"workspaceId" doc:"Workspace"`
	Limit     string `query:"limit" default:"50" doc:"Number of messages, 1 to 100"`
	Offset    string `query:"offset" default:"0" doc:"Number of messages to leave out"`
	Direction string `query:"direction" doc:"inbound or outbound"`
	Status    string `query:"status" doc:"pending, sent, delivered, failed, bounced, opened or clicked"`
	From      string `query:"from" doc:"Part of the sender, in any case"`
	To        string `query:"to" doc:"Part of the recipient, in any case"`
	StartDate string `query:"startDate" doc:"Only messages from this time on, ISO 8601; without a zone it is UTC"`
	EndDate   string `query:"endDate" doc:"Only messages up to this time, ISO 8601; a date counts to its end"`
	Session   string `query:"sessionId" doc:"Only messages linked to this session"`
	Contact   string `query:"contactId" doc:"Only messages linked to this contact"`
}

type listOut struct {
	Messages   []view `json:"messages" doc:"Messages, newest first"`
	Pagination paging `json:"pagination" doc:"Which part of all they are"`
}

type paging struct {
	Total   int  `json:"total" doc:"Number of messages that match"`
	Limit   int  `json:"limit" doc:"Limit in force"`
	Offset  int  `json:"offset" doc:"Offset in force"`
	HasMore bool `json:"hasMore" doc:"Whether there are messages after these"`
}

func (s *Service) listOp(ctx context.Context, in *listIn) (*listOut, error) {
	if err := allowed(ctx, in.Workspace); err != nil {
		return nil, err
	}
	f, err := in.filter()
	if err != nil {
		return nil, err
	}
	list, total, err := s.list(ctx, in.Workspace, f)
	if err != nil {
		return nil, err
	}
	out := &listOut{Messages: make([]view, len(list)), Pagination: paging{Total: total, Limit: f.limit, Offset: f.offset, HasMore: f.offset+len(list) < total}}
	for i, m := range list {
		out.Messages[i] = m.view(in.Workspace)
	}
	return out, nil
}

func (in *listIn) filter() (*filter, error) {
	bad := faults{}
	f := &filter{from: in.From, to: in.To, sessionID: in.Session, contactID: in.Contact}
	f.limit = number(bad, "limit", in.Limit, 1, 100)
	f.offset = number(bad, "offset", in.Offset, 0, maxOffset)
	if in.Direction != "" {
		d, ok := parseDirection(in.Direction)
		if f.direction = &d; !ok {
			bad.add("direction", "must be inbound or outbound")
		}
	}
	if in.Status != "" {
		st, ok := parseStatus(in.Status)
		if f.status = &st; !ok {
			bad.add("status", "must be one of pending, sent, delivered, failed, bounced, opened, clicked")
		}
	}
	f.start = date(bad, "startDate", in.StartDate, false)
	f.end = date(bad, "endDate", in.EndDate, true)
	for name, value := range map[string]string{"from": in.From, "to": in.To, "sessionId": in.Session, "contactId": in.Contact} {
		if len(value) > maxID {
			bad.add(name, "must be at most 255 bytes long")
		}
	}
	return f, bad.err()
}

func number(bad faults, name, text string, low, high int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		bad.add(name, "must be a whole number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high))
	}
	return n
}

// isoForms are the forms of ISO 8601 that are read: RFC 3339's, with fewer digits
// or without a zone as well, and dates.
var isoForms = [...]string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04"}

// date reads a time in microseconds, 0 for none. A date as an end is its last
// microsecond.
func date(bad faults, name, text string, end bool) int64 {
	if text == "" {
		return 0
	}
	text = strings.Replace(strings.TrimSpace(text), " ", "+", 1) // a + of the zone that was not escaped
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		if end {
			t = t.AddDate(0, 0, 1).Add(-time.Microsecond)
		}
		return bounded(bad, name, t)
	}
	for _, form := range isoForms {
		if t, err := time.Parse(form, text); err == nil {
			return bounded(bad, name, t)
		}
	}
	bad.add(name, "must be a date of ISO 8601, such as 2025-12-01T00:00:00Z")
	return 0
}

// bounded keeps times within what microseconds hold.
func bounded(bad faults, name string, t time.Time) int64 {
	if y := t.UTC().Year(); y < 1971 || y > 9999 {
		bad.add(name, "must be after 1970")
		return 0
	}
	return t.UnixMicro()
}
