package event_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	mailgun "github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/events"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/edge/httpapi"
)

var _ event.Domains = (*domain.Service)(nil)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// domains is the domains of account acc: example.org (1) and example.com (2);
// other.org (3) is another's.
type domains struct{}

func (domains) all() []*domain.Domain {
	return []*domain.Domain{{ID: 1, Name: "example.org", AccountID: "acc"}, {ID: 2, Name: "example.com", AccountID: "acc"}, {ID: 3, Name: "other.org", AccountID: "oth"}}
}

func (s domains) Owned(_ context.Context, c *account.Caller, name string) (*domain.Domain, error) {
	for _, d := range s.all() {
		if d.Name == name && d.AccountID == c.AccountID {
			return d, nil
		}
	}
	return nil, errs.New(errs.NotFound, "Domain not found")
}

func (s domains) List(_ context.Context, accountID string, q domain.Query) (out []*domain.Domain, _ int, _ error) {
	for _, d := range s.all() {
		if d.AccountID == accountID {
			out = append(out, d)
		}
	}
	return out[min(q.Skip, len(out)):min(q.Skip+q.Limit, len(out))], len(out), nil
}

type gate struct{}

func (gate) Authenticate(ctx context.Context, _, _ string, _ *op.Request) (context.Context, httpapi.Caller, error) {
	return account.With(ctx, &account.Caller{AccountID: "acc", Role: account.Admin}), httpapi.Caller{AccountID: "acc"}, nil
}

func (gate) Authorize(context.Context, op.Op, string) error { return nil }

// world is the API over HTTP.
type world struct {
	t      *testing.T
	s      *event.Service
	clock  *clock.Fake
	url    string
	client *mailgun.Client
	n      int
}

func each(t *testing.T, fn func(w *world)) {
	c := clock.NewFake(noon)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		s, err := event.New(d, ids.NewSource(c), slog.New(slog.DiscardHandler))
		must(t, err)
		if err := httpapi.CheckOps(s.Ops(domains{})); err != nil {
			t.Error(err)
		}
		api, err := httpapi.New(httpapi.Config{Ops: s.Ops(domains{}), Auth: gate{}})
		must(t, err)
		srv := httptest.NewServer(api)
		t.Cleanup(srv.Close)
		w := &world{t: t, s: s, clock: c, url: srv.URL, client: mailgun.NewMailgun("key")}
		must(t, w.client.SetAPIBase(srv.URL))
		fn(w)
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put appends n delivered events of the domain and gives their public ids.
func (w *world) put(domainID int64, n int) (out []string) {
	w.t.Helper()
	for range n {
		w.n++
		out = append(out, w.doc(domainID, event.Doc{Event: event.Delivered, Recipient: fmt.Sprintf("r%d@x.org", w.n)}))
	}
	return out
}

func (w *world) doc(domainID int64, d event.Doc) string {
	w.t.Helper()
	d.Message = &event.Message{Headers: event.Headers{MessageID: "m@shop.example", Subject: "Hello world"}, Attachments: []event.Attachment{}, Size: 700}
	e := &event.Event{DomainID: domainID, Doc: d}
	must(w.t, w.s.Append(w.t.Context(), e))
	return e.Doc.ID
}

func (w *world) do(method, url, body string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	must(w.t, err)
	r.SetBasicAuth("api", "key")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(r)
	must(w.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(w.t, err)
	return res.StatusCode, string(b)
}

type list struct {
	Items []struct {
		ID string `json:"id"`
	} `json:"items"`
	Paging struct{ First, Last, Next, Previous string } `json:"paging"`
}

func (w *world) get(url string) (list, []string) {
	w.t.Helper()
	if strings.HasPrefix(url, "/") {
		url = w.url + url
	}
	code, body := w.do("GET", url, "")
	var l list
	if err := json.Unmarshal([]byte(body), &l); err != nil || code != 200 {
		w.t.Fatalf("%s: %d %s", url, code, body)
	}
	p := l.Paging
	for _, u := range []string{p.First, p.Last, p.Next, p.Previous} {
		token, ok := strings.CutPrefix(u, w.url+"/v3/example.org/events/")
		if !ok || token == "" || strings.ContainsAny(token, "/?=+%") {
			w.t.Fatalf("paging url %q", u)
		}
	}
	out := []string{}
	for _, i := range l.Items {
		out = append(out, i.ID)
	}
	return l, out
}

func reversed(v []string) []string { v = slices.Clone(v); slices.Reverse(v); return v }

func (w *world) want(got, want []string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Fatalf("got %v\nwant %v", got, want)
	}
}

func TestPaging(t *testing.T) {
	each(t, func(w *world) {
		begin := w.clock.Now().Unix()
		all := w.put(1, 10)
		w.put(2, 3)
		w.put(3, 3)
		w.clock.Advance(time.Hour)
		down := reversed(all)
		for _, c := range []struct {
			query string
			want  []string
		}{
			{"limit=4", down}, {"limit=4&ascending=no", down}, {fmt.Sprintf("limit=4&ascending=yes&begin=%d", begin), all},
			{fmt.Sprintf("limit=4&begin=%d&end=%d", begin, begin+60), all}, {fmt.Sprintf("limit=4&begin=%d&end=%d", begin+60, begin), down},
			{"limit=4&ascending=yes", all}, {"limit=4&event=delivered", down}, {"limit=4&subject=hello+AND+world&ascending=yes", all},
		} {
			first, got := w.get("/v3/example.org/events?" + c.query)
			w.want(got, c.want[:4])
			second, got := w.get(first.Paging.Next)
			w.want(got, c.want[4:8])
			third, got := w.get(second.Paging.Next)
			w.want(got, c.want[8:])
			end, got := w.get(third.Paging.Next)
			w.want(got, nil)
			_, got = w.get(end.Paging.Next)
			w.want(got, nil)
			back, got := w.get(end.Paging.Previous)
			w.want(got, c.want[6:])
			back, got = w.get(back.Paging.Previous)
			w.want(got, c.want[2:6])
			_, got = w.get(back.Paging.Next)
			w.want(got, c.want[6:])
			back, got = w.get(back.Paging.Previous)
			w.want(got, c.want[:2])
			back, got = w.get(back.Paging.Previous)
			w.want(got, nil)
			_, got = w.get(back.Paging.Next)
			w.want(got, c.want[:4])
			_, got = w.get(third.Paging.First)
			w.want(got, c.want[:4])
			last, got := w.get(first.Paging.Last)
			w.want(got, c.want[6:])
			_, got = w.get(last.Paging.Previous)
			w.want(got, c.want[2:6])
			_, got = w.get(last.Paging.Next)
			w.want(got, nil)
			before, got := w.get(first.Paging.Previous)
			w.want(got, nil)
			_, got = w.get(before.Paging.Previous)
			w.want(got, nil)
		}
	})
}

// next of an open range gives every later event once, whatever the order in
// which they become visible.
func TestFollow(t *testing.T) {
	each(t, func(w *world) {
		all := w.put(1, 3)
		l, got := w.get(fmt.Sprintf("/v3/example.org/events?ascending=yes&limit=2&begin=%d", w.clock.Now().Unix()))
		var late []*event.Event
		for i := range 40 {
			var page []string
			l, page = w.get(l.Paging.Next)
			got = append(got, page...)
			switch {
			case i%5 == 1:
				all = append(all, w.put(1, 3)...)
			case i%5 == 2: // sealed now, visible later
				e := &event.Event{DomainID: 1, Doc: event.Doc{Event: event.Opened, Recipient: "x@y.z"}}
				must(w.t, w.s.Seal(e))
				late = append(late, e)
				all = append(all, e.Doc.ID)
			case i%5 == 3 && i < 35:
				all = append(all, w.put(1, 1)...)
			case i%5 == 4:
				must(w.t, w.s.StageNow(w.t.Context(), late[0]))
				late = late[1:]
				w.clock.Advance(3 * time.Second)
			}
		}
		for range 20 {
			var page []string
			l, page = w.get(l.Paging.Next)
			got = append(got, page...)
			w.clock.Advance(7 * time.Second)
		}
		slices.Sort(got)
		slices.Sort(all)
		w.want(got, all)
	})
}

func TestListAnswers(t *testing.T) {
	each(t, func(w *world) {
		w.doc(1, event.Doc{Event: event.Failed, Severity: event.Temporary, Recipient: "a@x.org", Tags: []string{"t"}})
		_, body := w.do("GET", w.url+"/v3/example.org/events", "")
		if !strings.Contains(body, "{\n  \"items\": [\n    {\n      \"event\": \"failed\",") {
			t.Errorf("not pretty: %s", body)
		}
		_, body = w.do("GET", w.url+"/v3/example.org/events?pretty=no", "")
		if !strings.HasPrefix(body, `{"items":[{"event":"failed","id":"`) || strings.Count(strings.TrimSpace(body), "\n") > 0 {
			t.Errorf("not compact: %s", body)
		}
		_, body = w.do("GET", w.url+"/v3/example.org/events?event=opened&pretty=no", "")
		if !strings.HasPrefix(body, `{"items":[],"paging":{"first":"`) {
			t.Errorf("%s", body)
		}
		for _, c := range []struct {
			path string
			code int
			text string
		}{
			{"/v3/other.org/events", 404, "Domain not found"}, {"/v3/other.org/events/abc", 404, "Domain not found"},
			{"/v3/example.org/events/abc", 400, "Invalid page token"}, {"/v3/example.org/events?event=(a", 400, "Invalid filter expression for 'event': ')' is missing at character 3"},
			{"/v3/example.org/events?begin=100", 400, "'ascending'"}, {"/v3/example.org/events?begin=100&end=50&ascending=yes", 400, "contradicts"},
			{"/v3/example.org/events?begin=yesterday", 400, "Invalid value for parameter 'begin'"}, {"/v3/example.org/events?limit=0", 400, "limit"},
			{"/v3/example.org/events?limit=1000", 200, ""}, {"/v3/example.org/events?size=big", 400, "not a number"},
			{"/v3/example.org/events?subject=" + strings.Repeat("a", 5000), 400, "longer than"},
			{"/v3/example.org/events?event=failed&event=NOT+failed", 200, `"items": []`}, {"/v3/example.org/events?tags=t&severity=temporary", 200, "a@x.org"},
		} {
			if code, body := w.do("GET", w.url+c.path, ""); code != c.code || !strings.Contains(body, c.text) {
				t.Errorf("%.100s: %d %.300s", c.path, code, body)
			}
		}
	})
}

func idsOf(page []events.Event) (out []string) {
	for _, e := range page {
		out = append(out, e.GetID())
	}
	return out
}

func TestMailgunIterator(t *testing.T) {
	each(t, func(w *world) {
		all := w.put(1, 7)
		begin := w.clock.Now().Add(-time.Minute)
		w.clock.Advance(time.Minute)
		it := w.client.ListEvents("example.org", &mailgun.ListEventOptions{Limit: 3, Compact: true, ForceAscending: true, Begin: begin, Filter: map[string]string{"event": "delivered"}})
		var got []string
		var page []events.Event
		for it.Next(t.Context(), &page) {
			got = append(got, idsOf(page)...)
		}
		must(t, it.Err())
		w.want(got, all)
		if !it.Previous(t.Context(), &page) {
			t.Fatal(it.Err())
		}
		w.want(idsOf(page), all[4:])
		if !it.First(t.Context(), &page) {
			t.Fatal(it.Err())
		}
		w.want(idsOf(page), all[:3])
		if !it.Last(t.Context(), &page) {
			t.Fatal(it.Err())
		}
		w.want(idsOf(page), all[4:])
	})
}

func TestMailgunPoller(t *testing.T) {
	each(t, func(w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		p := w.client.PollEvents("example.org", &mailgun.ListEventOptions{Begin: w.clock.Now().Add(-time.Minute), PollInterval: time.Millisecond, Limit: 2})
		all := w.put(1, 3)
		var got []string
		for round := range 4 {
			for len(got) < len(all) {
				var page []events.Event
				if !p.Poll(ctx, &page) {
					t.Fatal(p.Err())
				}
				got = append(got, idsOf(page)...)
			}
			w.want(got, all)
			w.clock.Advance(time.Duration(round*4) * time.Second)
			all = append(all, w.put(1, 2)...)
		}
	})
}
