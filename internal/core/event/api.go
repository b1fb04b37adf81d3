package event

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
)

// Domains tells whose a domain is; *domain.Service does.
type Domains interface {
	// Owned returns the caller's domain of that name, or NotFound.
	Owned(ctx context.Context, c *account.Caller, name string) (*domain.Domain, error)
	// List returns domains of an account and how many it has.
	List(ctx context.Context, accountID string, q domain.Query) ([]*domain.Domain, int, error)
}

// Limits of a page of the events API. Mailgun: 100 by default, 300 at most.
const (
	defaultLimit = 100
	maxLimit     = 300
)

// api serves the operations.
type api struct {
	*Service
	domains Domains
}

// Ops returns the operations of the package.
func (s *Service) Ops(d Domains) []op.Op {
	a := &api{s, d}
	return []op.Op{
		op.New("GET", "/v3/{domain}/events", op.Events, op.Read, "List events of a domain", a.list).WithDoc(listDoc),
		op.New("GET", "/v3/{domain}/events/{page}", op.Events, op.Read, "Get a page of events by its token", a.page),
		op.New("POST", "/v1/analytics/logs", op.Events, op.Read, "Search events of the account", a.logs).WithDoc(logsDoc),
	}
}

const listDoc = "Events are newest first unless `ascending=yes` or `begin` and `end` say otherwise. " +
	"A filter value is an expression: terms side by side or joined by `AND` must all match, `OR`, `NOT` and parentheses work as usual, " +
	"quotes hold a phrase together, and `size` takes `>1000 <2000`. Matching ignores case. " +
	"`paging.next` of an ascending range without `end` stays valid when it returned nothing: it returns later events, each once."

type listIn struct {
	Domain    string `path:"domain" doc:"Name of the domain"`
	Begin     string `query:"begin" doc:"Begin of the time range: RFC 2822 date or seconds since 1970"`
	End       string `query:"end" doc:"End of the time range: RFC 2822 date or seconds since 1970; older than begin for newest first"`
	Ascending string `query:"ascending" doc:"Direction: yes for oldest first, no for newest first; needed with begin and no end"`
	Limit     int    `query:"limit" default:"100" min:"1" doc:"Number of events to return, 300 at most"`
	Pretty    string `query:"pretty" default:"yes" doc:"no for JSON without line breaks"`

	Event      []string `query:"event" doc:"Type of the event"`
	List       []string `query:"list" doc:"Address of the mailing list the message was sent to"`
	Attachment []string `query:"attachment" doc:"Name of an attached file"`
	From       []string `query:"from" doc:"Address or words of the From field"`
	MessageID  []string `query:"message-id" doc:"Message-Id, with or without angle brackets"`
	Subject    []string `query:"subject" doc:"Words of the subject"`
	To         []string `query:"to" doc:"Address or words of the To field"`
	Size       []string `query:"size" doc:"Size of the message in bytes, usually a range: >1000 <2000"`
	Recipient  []string `query:"recipient" doc:"Address of the recipient, or a part of it such as its domain"`
	Recipients []string `query:"recipients" doc:"Address of any recipient of the message, where events have them all"`
	Tags       []string `query:"tags" doc:"Tag of the message"`
	Severity   []string `query:"severity" doc:"Severity of a failure: temporary or permanent"`
}

type pageIn struct {
	Domain string `path:"domain" doc:"Name of the domain"`
	Page   string `path:"page" doc:"Token of the page, from the URLs of paging"`
}

// paging is the URLs of the neighbouring pages; all are always there.
type paging struct {
	First    string `json:"first"`
	Last     string `json:"last"`
	Next     string `json:"next"`
	Previous string `json:"previous"`
}

// EventList is a page of events.
type EventList struct {
	Items  []Doc  `json:"items"`
	Paging paging `json:"paging"`

	raw  []json.RawMessage
	flat bool
}

// Respond implements op.Responder: documents go out as they are stored.
func (l *EventList) Respond() op.Response {
	return op.Response{Pretty: !l.flat, JSON: struct {
		Items  []json.RawMessage `json:"items"`
		Paging paging            `json:"paging"`
	}{l.raw, l.Paging}}
}

func (in *listIn) filters() [][2]string {
	var out [][2]string
	for _, f := range []struct {
		name   string
		values []string
	}{{"event", in.Event}, {"list", in.List}, {"attachment", in.Attachment}, {"from", in.From}, {"message-id", in.MessageID},
		{"subject", in.Subject}, {"to", in.To}, {"size", in.Size}, {"recipient", in.Recipient}, {"recipients", in.Recipients},
		{"tags", in.Tags}, {"severity", in.Severity}} {
		for _, v := range f.values {
			if strings.TrimSpace(v) != "" {
				out = append(out, [2]string{f.name, v})
			}
		}
	}
	return out
}

func (a *api) list(ctx context.Context, in *listIn) (*EventList, error) {
	d, err := a.domains.Owned(ctx, account.From(ctx), in.Domain)
	if err != nil {
		return nil, err
	}
	r, err := parseSpan(in.Begin, in.End, in.Ascending, clock.FromMicro(a.now()))
	if err != nil {
		return nil, err
	}
	t := token{Kind: firstPage, From: r.from, To: r.to, Asc: r.ascending, Filter: in.filters()}
	t.Flat = strings.EqualFold(in.Pretty, "no") || strings.EqualFold(in.Pretty, "false")
	if t.Limit = min(in.Limit, maxLimit); t.Limit == 0 {
		t.Limit = defaultLimit
	}
	if !t.valid() {
		return nil, errs.New(errs.Invalid, "filter expressions are longer than %d characters", maxFilterBytes)
	}
	return a.serve(ctx, d, t)
}

func (a *api) page(ctx context.Context, in *pageIn) (*EventList, error) {
	d, err := a.domains.Owned(ctx, account.From(ctx), in.Domain)
	if err != nil {
		return nil, err
	}
	t, err := decodeToken(in.Page)
	if err != nil {
		return nil, err
	}
	return a.serve(ctx, d, t)
}

// serve reads the page t stands for.
func (a *api) serve(ctx context.Context, d *domain.Domain, t token) (*EventList, error) {
	p, err := a.read(ctx, d.ID, t)
	if err != nil {
		return nil, err
	}
	out := &EventList{raw: make([]json.RawMessage, len(p.rows)), flat: t.Flat}
	for i, r := range p.rows {
		out.raw[i] = r.text
	}
	base := pageBase(op.RequestFrom(ctx), d.Name)
	first, last := t, t
	first.Kind, first.Cursor, first.Seen = firstPage, 0, nil
	last.Kind, last.Cursor, last.Seen = lastPage, 0, nil
	for _, l := range []struct {
		to *string
		t  token
	}{{&out.Paging.First, first}, {&out.Paging.Last, last}, {&out.Paging.Next, p.next}, {&out.Paging.Previous, p.prev}} {
		s, err := l.t.encode()
		if err != nil {
			return nil, err
		}
		*l.to = base + s
	}
	return out, nil
}

// pageBase is the URL in front of a token, in the form the client used.
func pageBase(r *op.Request, name string) string {
	const part = "/events"
	if i := strings.LastIndex(r.Path, part); i >= 0 && (r.Path[i+len(part):] == "" || r.Path[i+len(part)] == '/') {
		return r.BaseURL + r.Path[:i+len(part)] + "/"
	}
	return r.BaseURL + "/v3/" + url.PathEscape(name) + part + "/"
}
