package workspace

import (
	"encoding/json"
	"testing"

	"postroad/internal/base/db"
	"postroad/internal/core/event"
)

// permutations calls fn with the numbers below n in every order.
func permutations(n int, fn func([]int)) {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	var place func(int)
	place = func(k int) {
		if k == n {
			fn(list)
			return
		}
		for i := k; i < n; i++ {
			list[k], list[i] = list[i], list[k]
			place(k + 1)
			list[k], list[i] = list[i], list[k]
		}
	}
	place(0)
}

// TestStatusInAnyOrder: whatever the order of events, the status and the times end
// the same, and the status never falls on the way.
func TestStatusInAnyOrder(t *testing.T) {
	tests := []struct {
		name  string
		facts []fact
		want  status
		times map[status]int64 // index of the fact whose time it is, plus 1
		unset []status
	}{
		{name: "read", facts: []fact{{event: "accepted"}, {event: "delivered"}, {event: "opened"}, {event: "clicked"}, {event: "opened"}},
			want: clicked, times: map[status]int64{sent: 1, delivered: 2, opened: 3, clicked: 4}, unset: []status{bounced, failed}},
		{name: "tried again", facts: []fact{{event: "accepted"}, {event: "failed", severity: "temporary"}, {event: "delivered"}, {event: "opened"}},
			want: opened, times: map[status]int64{sent: 1, delivered: 3, opened: 4}, unset: []status{bounced, failed, clicked}},
		{name: "refused", facts: []fact{{event: "accepted"}, {event: "failed", severity: "permanent", reason: "bounce", code: 550}},
			want: bounced, times: map[status]int64{sent: 1, bounced: 2}, unset: []status{failed, delivered}},
		{name: "full", facts: []fact{{event: "accepted"}, {event: "failed", severity: "permanent", reason: "generic", code: 552}},
			want: bounced, times: map[status]int64{sent: 1, bounced: 2}, unset: []status{failed, delivered}},
		{name: "given up", facts: []fact{{event: "accepted"}, {event: "temporary_fail"}, {event: "failed", severity: "permanent", reason: "old", code: 421}},
			want: failed, times: map[status]int64{sent: 1, failed: 3}, unset: []status{bounced, delivered}},
		{name: "suppressed", facts: []fact{{event: "accepted"}, {event: "permanent_fail", reason: "suppress-bounce", code: 605}},
			want: failed, times: map[status]int64{sent: 1, failed: 2}, unset: []status{bounced}},
		{name: "dropped", facts: []fact{{event: "accepted"}, {event: "dropped"}},
			want: failed, times: map[status]int64{sent: 1, failed: 2}, unset: []status{bounced}},
		{name: "bounced later", facts: []fact{{event: "delivered"}, {event: "failed", severity: "permanent", reason: "generic", delayed: true}, {event: "complained"}},
			want: bounced, times: map[status]int64{delivered: 1, bounced: 2}, unset: []status{failed, opened}},
		{name: "old name of a bounce", facts: []fact{{event: "delivered"}, {event: "bounced"}},
			want: bounced, times: map[status]int64{delivered: 1, bounced: 2}, unset: []status{failed}},
		{name: "opened where it bounced from", facts: []fact{{event: "delivered"}, {event: "bounced"}, {event: "opened"}},
			want: opened, times: map[status]int64{delivered: 1, bounced: 2, opened: 3}, unset: []status{failed}},
		{name: "complained", facts: []fact{{event: "accepted"}, {event: "complained"}, {event: "unsubscribed"}},
			want: delivered, times: map[status]int64{sent: 1}, unset: []status{delivered, opened}},
		{name: "nothing of ours", facts: []fact{{event: "stored"}, {event: "list_uploaded"}}, want: pending, unset: []status{sent, delivered}},
	}
	for _, tt := range tests {
		permutations(len(tt.facts), func(order []int) {
			m := &email{}
			for _, i := range order {
				to, exactly, ok := tt.facts[i].status()
				if !ok {
					continue
				}
				c := change{to: to}
				if exactly {
					c.at = int64(i + 1)
				}
				before := m.status
				c.apply(m)
				if m.status < before {
					t.Fatalf("%s, %v: %s became %s", tt.name, order, before, m.status)
				}
			}
			if m.status != tt.want {
				t.Errorf("%s, %v: %s, want %s", tt.name, order, m.status, tt.want)
			}
			for st, at := range tt.times {
				if m.times[st] != at {
					t.Errorf("%s, %v: %s at %d, want %d", tt.name, order, st, m.times[st], at)
				}
			}
			for _, st := range tt.unset {
				if m.times[st] != 0 {
					t.Errorf("%s, %v: %s at %d", tt.name, order, st, m.times[st])
				}
			}
		})
	}
}

func (w *world) event(e *event.Event) {
	w.t.Helper()
	if err := w.db.Group(w.t.Context(), func(tx *db.Tx) error { return w.Event(tx, e) }); err != nil {
		w.t.Fatal(err)
	}
}

// TestSink: mail follows events of its own account that have its variable, and only
// those.
func TestSink(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := w.mustSend("ws", "a@example.net")
		vars := json.RawMessage(`{"postroad-workspace-email":"` + out.UUID + `"}`)
		at := event.Timestamp(begin.UnixMicro())
		for _, e := range []event.Event{
			{AccountID: "other", Doc: event.Doc{Event: event.Clicked, Timestamp: at, UserVariables: vars}},
			{AccountID: "acc", Doc: event.Doc{Event: event.Clicked, Timestamp: at, UserVariables: json.RawMessage(`{"x":"postroad-workspace-email"}`)}},
			{AccountID: "acc", Doc: event.Doc{Event: event.Clicked, Timestamp: at, UserVariables: json.RawMessage(`{"postroad-workspace-email":"unknown"}`)}},
			{AccountID: "acc", Doc: event.Doc{Event: event.Clicked, Timestamp: at, UserVariables: json.RawMessage(`{"postroad-workspace-email":{}}`)}},
		} {
			w.event(&e)
		}
		if v := w.get("ws", out.ID); v.Status != "sent" || v.ClickedAt != "" {
			t.Errorf("events of others: %+v", v)
		}
		w.event(&event.Event{AccountID: "acc", Doc: event.Doc{Event: event.Opened, Timestamp: at + 60_000_000, UserVariables: vars}})
		w.event(&event.Event{AccountID: "acc", Doc: event.Doc{Event: event.Delivered, Timestamp: at, UserVariables: vars}})
		v := w.get("ws", out.UUID)
		if v.Status != "opened" || v.DeliveredAt != "2026-03-02T09:00:00Z" || v.OpenedAt != "2026-03-02T09:01:00Z" {
			t.Errorf("%+v", v)
		}
		for _, st := range []status{sent, delivered} {
			if _, n, err := w.list(t.Context(), "ws", &filter{limit: 1, status: &st}); n != 0 || err != nil {
				t.Errorf("%s: still %d, %v", st, n, err)
			}
		}
		op := opened
		if _, n, err := w.list(t.Context(), "ws", &filter{limit: 1, status: &op}); n != 1 || err != nil {
			t.Errorf("opened: %d, %v", n, err)
		}
	})
}
