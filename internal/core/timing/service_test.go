package timing

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
	"postroad/internal/core/event"
)

// world is the service behind the events of a real store.
type world struct {
	*Service
	t      *testing.T
	clock  *clock.Fake
	events *event.Service
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	c := clock.NewFake(monday)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		c.Advance(monday.Sub(c.Now()))
		log := slog.New(slog.DiscardHandler)
		w := &world{Service: New(d, log, []byte("secret of the installation")), t: t, clock: c}
		var err error
		w.events, err = event.New(d, ids.NewSource(c), log, w.Service)
		w.check(err)
		fn(t, w)
	})
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// happen records an event at a time.
func (w *world) happen(kind event.Type, account, address, when, zone, bot string) {
	w.t.Helper()
	w.check(w.events.Append(context.Background(), &event.Event{AccountID: account, DomainID: 1, MessageID: 1, TimeZone: zone, Doc: event.Doc{
		Event: kind, Recipient: address, Timestamp: event.Timestamp(at(w.t, when).UnixMicro()), ClientInfo: &event.ClientInfo{Bot: bot}}}))
}

func (w *world) one(account, address string) *profile {
	w.t.Helper()
	list, err := w.known(context.Background(), account, []string{address})
	w.check(err)
	return list[0]
}

func (w *world) addDomain(account string) {
	w.t.Helper()
	w.check(w.db.Write(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO domain (id, public_id, name, account_id, state, type, authority, settings, records, checked_at, created_at)
			VALUES (1, 'd', 'example.com', ?, 'active', 'custom', '', '{}', '[]', 0, 0)`, account)
		return err
	}))
}

func (w *world) count(table string) (n int) {
	w.t.Helper()
	w.check(w.db.Read(context.Background(), func(tx *db.Tx) error { return tx.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n) }))
	return n
}

func TestEventsBecomeProfiles(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.happen(event.Opened, "acc", "Jane@Example.net", "2026-02-24T14:10:00Z", "", "")
		w.happen(event.Opened, "acc", "jane@example.net", "2026-02-24T14:40:00Z", "", "")
		w.happen(event.Clicked, "acc", "jane@example.net", "2026-02-25T14:10:00Z", "Asia/Kolkata", "")
		w.check(w.Fold(ctx))
		w.happen(event.Clicked, "acc", "jane@EXAMPLE.net", "2026-02-26T14:10:00Z", "", "") // from an unknown place
		w.happen(event.Clicked, "acc", "jane@example.net", "2026-02-26T15:10:00Z", "Nowhere/At_All", "")
		for _, bot := range []string{"apple", "gmail", "generic"} {
			w.happen(event.Opened, "acc", "jane@example.net", "2026-02-27T03:00:00Z", "", bot)
			w.happen(event.Clicked, "acc", "jane@example.net", "2026-02-27T04:00:00Z", "Europe/Berlin", bot)
		}
		for _, kind := range []event.Type{event.Accepted, event.Delivered, event.Unsubscribed, event.Complained} {
			w.happen(kind, "acc", "jane@example.net", "2026-02-27T05:00:00Z", "Europe/Berlin", "")
		}
		w.happen(event.Opened, "acc", "joe@example.net", "2026-02-20T01:00:00Z", "", "")
		w.happen(event.Opened, "other", "jane@example.net", "2026-02-20T02:00:00Z", "", "")
		w.check(w.Fold(ctx))

		p := w.one("acc", "JANE@example.net")
		var got []string
		for _, e := range p.hours {
			got = append(got, fmt.Sprintf("%s %v", hourAt(e.hour()).Format("02T15"), e.clicked()))
		}
		if s := strings.Join(got, ", "); s != "24T14 false, 25T14 true, 26T14 true, 26T15 true" || p.zone != "Asia/Kolkata" || p.zoneHour != hourOf(at(t, "2026-02-25T14:10:00Z")) {
			t.Errorf("%s %+v", s, p)
		}
		if n := w.count("timing"); n != 3 {
			t.Errorf("%d profiles, want one per account and recipient", n)
		}
		if n := w.count("timing_note"); n != 0 {
			t.Errorf("%d rows left to fold", n)
		}
	})
}

// No address is in the tables, and the same one has another hash for each account
// and installation.
func TestNoAddressIsStored(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.happen(event.Opened, "acc", "jane@example.net", "2026-02-24T14:10:00Z", "", "")
		n := 0
		w.check(w.db.Read(context.Background(), func(tx *db.Tx) error {
			return tx.QueryRow("SELECT COUNT(*) FROM timing_note WHERE address = ?", []byte("jane@example.net")).Scan(&n)
		}))
		a := w.hash("acc", "jane@example.net")
		if n != 0 || len(a) != 16 || a == w.hash("other", "jane@example.net") || a == New(w.db, w.log, []byte("another")).hash("acc", "jane@example.net") {
			t.Errorf("%d %x", n, a)
		}
		if w.hash("a", "b@c") == w.hash("ab", "@c") {
			t.Error("account and address run into one another")
		}
	})
}

func TestFoldInBatches(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.check(w.db.Write(ctx, func(tx *db.Tx) error {
			for i := range int64(2*foldBatch + 7) {
				stageNote(tx, &note{id: i + 1, account: "acc", address: w.hash("acc", fmt.Sprintf("u%d@example.net", i%600)), hour: 490_000 + i, clicked: i%2 == 0})
			}
			return nil
		}))
		w.check(w.Fold(ctx))
		if n := w.count("timing"); n != 600 || w.count("timing_note") != 0 {
			t.Fatalf("%d profiles", n)
		}
		if p := w.one("acc", "u6@example.net"); len(p.hours) != 2 || p.hours[0].hour() != 490_006 || p.hours[1].hour() != 490_606 || !p.hours[0].clicked() {
			t.Errorf("%+v", p)
		}
	})
}

func TestChooseForMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		var list []string
		for i := range selectRows + 50 {
			list = append(list, fmt.Sprintf("u%d@example.net", i))
		}
		w.happen(event.Clicked, "acc", list[0], "2026-02-24T14:10:00Z", "Asia/Kolkata", "")
		w.happen(event.Clicked, "acc", list[len(list)-1], "2026-02-24T14:10:00Z", "America/New_York", "")
		w.check(w.Fold(ctx))
		got, err := w.Choose(ctx, &Wish{AccountID: "acc", Message: 7, Now: monday, From: monday, Limit: monday.Add(72 * time.Hour), Local: "09:00"}, list)
		w.check(err)
		if len(got) != len(list) || !got[list[0]].At.Equal(at(t, "2026-03-03T03:30:00Z")) || !got[list[len(list)-1]].At.Equal(at(t, "2026-03-02T14:00:00Z")) || !got[list[1]].At.Equal(monday) {
			t.Errorf("%d, %v, %v", len(got), got[list[0]], got[list[len(list)-1]])
		}
		if _, err := w.Choose(ctx, &Wish{Local: "noon"}, list); err == nil {
			t.Error("noon is a time of day")
		}
	})
}

func TestForget(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.happen(event.Opened, "acc", "jane@example.net", "2026-02-24T14:10:00Z", "", "")
		w.happen(event.Opened, "acc", "joe@example.net", "2026-02-24T14:10:00Z", "", "")
		w.check(w.Fold(ctx))
		w.happen(event.Opened, "acc", "jane@example.net", "2026-02-25T14:10:00Z", "", "")
		w.check(w.Forget(ctx, "acc", "JANE@example.net"))
		w.check(w.Fold(ctx))
		if p := w.one("acc", "jane@example.net"); len(p.hours) != 0 {
			t.Errorf("%+v", p)
		}
		if p := w.one("acc", "joe@example.net"); len(p.hours) != 1 {
			t.Errorf("%+v", p)
		}
	})
}

// What was not touched for 13 months goes, and what an account without domains
// has; both in batches.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, now := context.Background(), hourOf(monday)
		w.check(w.db.Write(ctx, func(tx *db.Tx) error {
			for i := range int64(3 * (sweepBatch + 10)) {
				account, hour := "has-domains", now-24
				switch i % 3 {
				case 1:
					account = "gone"
				case 2:
					hour = now - keepHours - 1
				}
				if err := upsertProfile(tx, w.hash(account, fmt.Sprint(i)), account, &profile{hours: []engagement{engaged(hour, true)}, lastHour: hour}); err != nil {
					return err
				}
			}
			return nil
		}))
		w.addDomain("has-domains")
		w.check(w.sweep(ctx))
		if n := w.count("timing WHERE account_id = 'has-domains'"); n != sweepBatch+10 || n != w.count("timing") {
			t.Errorf("%d of %d left", n, w.count("timing"))
		}
	})
}

// Run folds what comes, and ends.
func TestRun(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.addDomain("acc")
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		done := make(chan error, 1)
		w.happen(event.Opened, "acc", "jane@example.net", "2026-02-24T14:10:00Z", "", "") // before the program was killed
		go func() { done <- w.Run(ctx) }()
		for _, want := range []int{1, 2, 3} {
			begin := time.Now()
			for len(w.one("acc", "jane@example.net").hours) < want {
				w.clock.Advance(time.Second)
				if time.Since(begin) > 20*time.Second {
					t.Fatalf("%d of %d folded", len(w.one("acc", "jane@example.net").hours), want)
				}
			}
			w.happen(event.Opened, "acc", "jane@example.net", fmt.Sprintf("2026-02-24T%d:10:00Z", 14+want), "", "")
		}
		stop()
		w.check(<-done)
	})
}
