package compat

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/events"
)

// ids lists the ids of events.
func ids(list []events.Event) []string {
	var out []string
	for _, e := range list {
		out = append(out, e.GetID())
	}
	return out
}

func TestEventIterator(t *testing.T) {
	modes(t, func(t *testing.T, s *server) {
		const count = 7
		for i := range count {
			m := mailgun.NewMessage(domain, "ann@example.com", fmt.Sprint("Number ", i), "words", fmt.Sprintf("bob%d@example.net", i))
			if err := m.AddTag(map[bool]string{true: "even", false: "odd"}[i%2 == 0]); err != nil {
				t.Fatal(err)
			}
			event[*events.Delivered](t, s, "delivered", send(t, s, m), fmt.Sprintf("bob%d@example.net", i))
		}
		opts := &mailgun.ListEventOptions{Limit: 3, Filter: map[string]string{"event": "accepted"}}
		it := s.mg.ListEvents(domain, opts)
		var all, page []events.Event
		var pages []int
		for it.Next(t.Context(), &page) {
			pages = append(pages, len(page))
			all = append(all, page...)
		}
		if it.Err() != nil || len(all) != count || !slices.Equal(pages, []int{3, 3, 1}) {
			t.Fatalf("%d events on pages of %v: %v", len(all), pages, it.Err())
		}
		if !slices.IsSortedFunc(all, func(a, b events.Event) int { return b.GetTimestamp().Compare(a.GetTimestamp()) }) {
			t.Error("events are not newest first")
		}
		if unique := slices.Compact(slices.Sorted(slices.Values(ids(all)))); len(unique) != count {
			t.Errorf("ids repeat: %q", ids(all))
		}
		if !it.First(t.Context(), &page) || !slices.Equal(ids(page), ids(all[:3])) {
			t.Errorf("first page = %q, want %q: %v", ids(page), ids(all[:3]), it.Err())
		}
		if !it.Next(t.Context(), &page) || !it.Previous(t.Context(), &page) || !slices.Equal(ids(page), ids(all[:3])) {
			t.Errorf("page before the second = %q, want %q: %v", ids(page), ids(all[:3]), it.Err())
		}
		if !it.Last(t.Context(), &page) || len(page) == 0 || page[len(page)-1].GetID() != all[count-1].GetID() {
			t.Errorf("last page = %q, want the end of %q: %v", ids(page), ids(all), it.Err())
		}
		odd := s.mg.ListEvents(domain, &mailgun.ListEventOptions{Compact: true, ForceAscending: true,
			Begin: time.Now().Add(-time.Hour), Filter: map[string]string{"event": "accepted", "tags": "odd"}})
		if !odd.Next(t.Context(), &page) || len(page) != 3 || !page[0].GetTimestamp().Before(page[2].GetTimestamp()) {
			t.Errorf("tag odd, ascending: %d events: %v", len(page), odd.Err())
		}
	})
}

// TestEventPoller checks that a poller sees each event once, those included
// that happen while it waits.
func TestEventPoller(t *testing.T) {
	s := start(t, "serve")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	poller := s.mg.PollEvents(domain, &mailgun.ListEventOptions{Begin: time.Now().Add(-time.Minute), Limit: 2,
		PollInterval: 50 * time.Millisecond, Filter: map[string]string{"event": "delivered"}})
	seen := map[string]int{}
	for i := range 5 {
		id := send(t, s, mailgun.NewMessage(domain, "ann@example.com", "poll", "words", fmt.Sprintf("bob%d@example.net", i)))
		for {
			var page []events.Event
			if !poller.Poll(ctx, &page) {
				t.Fatalf("poll: %v, %v", poller.Err(), ctx.Err())
			}
			done := false
			for _, e := range page {
				seen[e.GetID()]++
				d, ok := e.(*events.Delivered)
				done = done || ok && d.Message.Headers.MessageID == id
			}
			if done {
				break
			}
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d events, want 5", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("event %s was seen %d times", id, n)
		}
	}
}
