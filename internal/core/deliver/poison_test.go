package deliver_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/base/db"
	"postroad/internal/core/event"
)

// TestPanic: a panic while delivering sets back that message and nothing else.
func TestPanic(t *testing.T) {
	w := apptest.NewWorld(t)
	bad := w.Address()
	b := start(t, apptest.Options{World: w, Wire: app.Wire{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, bad+":") {
			panic("poison")
		}
		return w.Dial(ctx, network, addr)
	}}})
	w.DNS.Set(t, "mx.poison.test", "A", bad)
	w.MX(t, "poison.test", "mx.poison.test")
	b.site(t, "fine.test", script{})
	id := b.Send(from, fields{"to", "a@poison.test,b@poison.test"})
	for _, to := range []string{"a@poison.test", "b@poison.test"} {
		temporary(451, "4.3.0", "internal error while delivering").check(t, b.Outcome(id, to, 1))
	}
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "x@fine.test"}), "x@fine.test", 1))
	if got := b.Waiting(id); len(got) != 2 || got[0].Due != got[1].Due {
		t.Errorf("waiting %+v: not to be retried together", got)
	}
}

// TestPoison: a delivery that ended with the program again and again is given
// up without another attempt.
func TestPoison(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "crash.test", script{Any: "450 4.2.0 later"})
	id := b.Send(from, fields{"to", "x@crash.test"})
	temporary(450, "4.2.0", "later").check(t, b.Outcome(id, "x@crash.test", 1))
	if err := b.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE delivery SET attempt = 17") // the schedule has seven waits
		return err
	}); err != nil {
		t.Fatal(err)
	}
	k.Set(script{})
	b.Advance(1e9 * 660)
	permanent("old", 602, "4.2.0", "Too old").check(t, b.Outcome(id, "x@crash.test", 2))
	if len(k.Messages()) != 0 {
		t.Error("another attempt was made")
	}
}

// TestUnwritableEvents: when the events of an outcome cannot be written the
// delivery ends all the same, and only once.
func TestUnwritableEvents(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "odd.test", script{Dot: apptest.Hold})
	id := b.Send(from, fields{"to", "x@odd.test"})
	k.AwaitHeld(t, 1)
	day := "event_" + b.Clock.Now().Format("20060102")
	if err := b.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("ALTER TABLE " + day + " RENAME TO " + day + "_gone")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	k.Release()
	b.Until("the row to go", func() bool {
		b.Clock.Advance(1e9)
		return len(b.Waiting(id)) == 0
	})
	if n := len(k.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
	if got := b.Recorded(func(e *event.Event) bool { return e.Doc.Event == event.Delivered }); len(got) != 0 {
		t.Errorf("events: %+v", got)
	}
}
