package event

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/when"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
)

// Limits of the logs API. Mailgun: 100 items at most.
const (
	maxLogLimit     = 100
	defaultLogLimit = 50
	maxLogDomains   = 2000
	maxPredicates   = 50
	maxLogValues    = 1000 // of all predicates together
	maxLogToken     = 512
)

const logsDoc = "Searches all domains of the account. `filter.AND` is a list of predicates; one predicate holds if any of its values does " +
	"(for negated comparators: none). Attributes: see the event's members, in lower case with underscores. " +
	"`total` is left out when counting would cost too much."

type logsIn struct {
	Start       string        `json:"start" doc:"Begin of the range, RFC 2822 date; one day before end if absent"`
	End         string        `json:"end" doc:"End of the range, RFC 2822 date; now if absent"`
	Duration    string        `json:"duration" doc:"Length of the range before end instead of start: a number and h (hours), d (days) or m (months)"`
	Events      []string      `json:"events" doc:"Types of events to include"`
	Metrics     []string      `json:"metric_events" doc:"Metrics whose events to include, such as delivered_count"`
	Filter      logFilter     `json:"filter" doc:"Conditions, all of which must hold"`
	Subaccounts bool          `json:"include_subaccounts" doc:"Also search subaccounts; there are none"`
	Totals      bool          `json:"include_totals" doc:"Count all items of the range"`
	Pagination  logPagination `json:"pagination" doc:"Order and page"`
}

type logFilter struct {
	AND []logPredicate `json:"AND"`
}

type logPredicate struct {
	Attribute  string     `json:"attribute"`
	Comparator string     `json:"comparator"`
	Values     []logValue `json:"values"`
}

// logValue is a labelled value; a plain text or number is taken as well.
type logValue struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// UnmarshalJSON reads an object with label and value, or the value alone.
func (v *logValue) UnmarshalJSON(b []byte) error {
	var o struct {
		Label string          `json:"label"`
		Value json.RawMessage `json:"value"`
	}
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == '{' {
		if err := json.Unmarshal(b, &o); err != nil {
			return err
		}
		b = o.Value
	}
	v.Label, v.Value = o.Label, string(b)
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &v.Value)
	}
	return nil
}

type logPagination struct {
	Sort  string `json:"sort"`
	Token string `json:"token"`
	Limit int    `json:"limit"`
}

// LogList is a page of the logs API.
type LogList struct {
	Start      string        `json:"start"`
	End        string        `json:"end"`
	Items      []LogItem     `json:"items"`
	Pagination logPages      `json:"pagination"`
	Aggregates logAggregates `json:"aggregates"`
}

// logPages: Mailgun: empty when there is one page.
type logPages struct {
	Previous string `json:"previous,omitempty"`
	Next     string `json:"next,omitempty"`
	First    string `json:"first,omitempty"`
	Last     string `json:"last,omitempty"`
	Total    *int64 `json:"total,omitempty"`
}

type logAggregates struct{}

// logToken is a page of a range.
type logToken struct {
	Kind   string `json:"k"`
	From   int64  `json:"b"`
	To     int64  `json:"e"`
	Asc    bool   `json:"a,omitempty"`
	Cursor int64  `json:"c,omitempty"`
}

func (t logToken) encode(kind string, cursor int64) (string, error) {
	t.Kind, t.Cursor = kind, cursor
	b, err := json.Marshal(t)
	return base64.RawURLEncoding.EncodeToString(b), err
}

func decodeLogToken(s string) (t logToken, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(s) > maxLogToken {
		return t, errLogToken
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(&t) != nil || d.More() || t.From < 0 || t.To < 0 || t.Cursor < 0 || !slices.Contains([]string{firstPage, nextPage, prevPage, lastPage}, t.Kind) {
		return logToken{}, errLogToken
	}
	return t, nil
}

var errLogToken = errs.New(errs.Invalid, "invalid pagination token")

func (a *api) logs(ctx context.Context, in *logsIn) (*LogList, error) {
	c := account.From(ctx)
	t, err := in.window(clock.FromMicro(a.now()))
	if err != nil {
		return nil, err
	}
	filter, err := in.filter()
	if err != nil {
		return nil, err
	}
	names, err := a.names(ctx, c, in.Filter.AND)
	if err != nil {
		return nil, err
	}
	q := Query{From: t.From, To: t.To, Filter: filter, After: t.Cursor}
	for id := range names {
		q.DomainIDs = append(q.DomainIDs, id)
	}
	limit := in.Pagination.Limit
	if limit == 0 {
		limit = defaultLogLimit
	}
	out := &LogList{Start: in.Start, End: in.End, Items: []LogItem{}}
	if err := a.logPage(ctx, t, q, min(limit, maxLogLimit), func(e *Event) {
		out.Items = append(out.Items, logItem(&e.Doc, c.AccountID, names[e.DomainID]))
	}, &out.Pagination); err != nil {
		return nil, err
	}
	if in.Totals {
		n, exact, err := a.Count(ctx, q)
		if err != nil {
			return nil, err
		}
		if exact {
			out.Pagination.Total = &n
		}
	}
	return out, nil
}

// logPage reads a page and makes the tokens of its neighbours.
func (a *api) logPage(ctx context.Context, t logToken, q Query, limit int, item func(*Event), p *logPages) error {
	backward := t.Kind == prevPage || t.Kind == lastPage
	q.Ascending, q.Limit = t.Asc != backward, limit+1
	page, err := a.Find(ctx, q)
	if err != nil {
		return err
	}
	list, more := page.Events, !page.Done
	if len(list) > limit {
		list, more = list[:limit], true
		page.Cursor = list[limit-1].ID
	}
	// near is the side the page was entered from, far the one it was read to.
	near, far, head := t.Kind != firstPage && t.Kind != lastPage, page.Cursor, t.Cursor
	switch {
	case len(list) > 0:
		head = list[0].ID
	case q.Ascending:
		head++ // the page on the other side holds what the cursor names
	default:
		head = max(head-1, 0)
	}
	if backward {
		slices.Reverse(list)
	}
	for _, e := range list {
		item(e)
	}
	toNext, toPrev := &p.Next, &p.Previous
	if backward {
		toNext, toPrev = toPrev, toNext
	}
	kinds := [2]string{nextPage, prevPage}
	if backward {
		kinds = [2]string{prevPage, nextPage}
	}
	if !more && !near {
		return nil // one page
	}
	if more {
		if *toNext, err = t.encode(kinds[0], far); err != nil {
			return err
		}
	}
	if near {
		if *toPrev, err = t.encode(kinds[1], head); err != nil {
			return err
		}
	}
	if p.First, err = t.encode(firstPage, 0); err == nil {
		p.Last, err = t.encode(lastPage, 0)
	}
	return err
}

// window gives the range and place asked for and fills in what is echoed.
func (in *logsIn) window(now time.Time) (t logToken, err error) {
	end, hasEnd, err := parseInstant("end", in.End)
	if err != nil {
		return t, err
	}
	if !hasEnd {
		end = now
		in.End = now.Format(time.RFC1123Z)
	}
	start, hasStart, err := parseInstant("start", in.Start)
	if err != nil {
		return t, err
	}
	if in.Duration != "" {
		if start, err = parseDuration(in.Duration, end); err != nil {
			return t, err
		}
	} else if !hasStart {
		start = end.AddDate(0, 0, -1)
	}
	if in.Duration != "" || !hasStart {
		in.Start = start.Format(time.RFC1123Z)
	}
	if end.Before(start) {
		return t, errs.New(errs.Invalid, "'end' must not be before 'start'")
	}
	t = logToken{Kind: firstPage, From: ids.Floor(start), To: behind(end)}
	if !hasEnd {
		t.To = ids.Floor(end.Add(slack))
	}
	return in.place(t)
}

// place reads the order and the token.
func (in *logsIn) place(t logToken) (logToken, error) {
	switch strings.ToLower(in.Pagination.Sort) {
	case "", "timestamp", "timestamp:desc", "@timestamp:desc":
	case "timestamp:asc", "@timestamp:asc", "@timestamp":
		t.Asc = true
	default:
		return t, errs.New(errs.Invalid, "'%s' is not a valid sort", clip(in.Pagination.Sort, 60)).
			WithHint("sort is timestamp:asc or timestamp:desc")
	}
	if in.Pagination.Limit < 0 {
		return t, errs.New(errs.Invalid, "'limit' must not be negative")
	}
	if in.Pagination.Token != "" {
		return decodeLogToken(in.Pagination.Token)
	}
	return t, nil
}

// parseDuration gives the time a duration before end.
func parseDuration(s string, end time.Time) (time.Time, error) {
	if start, _, ok := when.Before(end, s); ok {
		return start, nil
	}
	return end, errs.New(errs.Invalid, "'%s' is not a valid duration", clip(s, 40)).
		WithHint("a duration is a number with h, d or m, such as 1d")
}

// filter makes the filter of everything but the domains.
func (in *logsIn) filter() (Filter, error) {
	f := Filter{indexed: true}
	if kinds, err := in.kinds(); err != nil {
		return f, err
	} else if kinds != nil {
		f.addKinds(kinds)
	}
	n := 0
	for _, p := range in.Filter.AND {
		n += len(p.Values)
	}
	if len(in.Filter.AND) > maxPredicates || n > maxLogValues {
		return f, errs.New(errs.Invalid, "filter has more than %d predicates or %d values", maxPredicates, maxLogValues)
	}
	for _, p := range in.Filter.AND {
		pred, err := p.predicate()
		if err != nil {
			return f, err
		}
		if attributeName(p.Attribute) != "domain" {
			f.addPredicate(p.Attribute, pred)
		}
	}
	return f, nil
}

func (p logPredicate) predicate() (predicate, error) {
	values := make([]string, len(p.Values))
	for i, v := range p.Values {
		values[i] = v.Value
	}
	return newPredicate(p.Attribute, p.Comparator, values)
}

// kinds is what events and metric_events select together.
func (in *logsIn) kinds() (kindCond, error) {
	var out kindCond
	for _, e := range in.Events {
		if _, ok := codes[Type(strings.ToLower(e))]; !ok && !strings.HasPrefix(e, "list_") {
			return nil, errs.New(errs.Invalid, "'%s' is not a valid event", clip(e, 60))
		}
		out = append(out, kind{Type(strings.ToLower(e)), ""})
	}
	for _, m := range in.Metrics {
		k, ok := metricKinds(m)
		if !ok {
			return nil, errs.New(errs.Invalid, "'%s' is not a valid metric event", clip(m, 60))
		}
		out = append(out, k...)
	}
	return out, nil
}

// names gives the domains to search: those of the account, or the one of the
// caller's key, that the predicates on domain take.
func (a *api) names(ctx context.Context, c *account.Caller, filter []logPredicate) (map[int64]string, error) {
	var conds []predicate
	for _, p := range filter {
		if attributeName(p.Attribute) == "domain" {
			pred, err := p.predicate()
			if err != nil {
				return nil, err
			}
			conds = append(conds, pred)
		}
	}
	out := map[int64]string{}
	const step = 500
	for skip, total := 0, 1; skip < total; skip += step {
		list, n, err := a.domains.List(ctx, c.AccountID, domain.Query{Sort: "name", Skip: skip, Limit: step})
		if err != nil {
			return nil, err
		}
		total = n
		for _, d := range list {
			if c.MayUse(d.Name) && !slices.ContainsFunc(conds, func(p predicate) bool { return !p.matchValues([]string{d.Name}) }) {
				out[d.ID] = d.Name
			}
		}
	}
	if len(out) > maxLogDomains {
		return nil, errs.New(errs.Invalid, "more than %d domains to search, add a filter on domain", maxLogDomains)
	}
	return out, nil
}
