package deliver_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/base/db"
)

// TestPanic: a panic while delivering sets back that message and nothing else.
func TestPanic(t *testing.T) {
	w := apptest.NewWorld(t)
	bad := w.Address()
	b := start(t, apptest.Options{World: w, Wire: app.Wire{Dial: func(ctx context.Context, network, addr string, local netip.Addr) (net.Conn, error) {
		if strings.HasPrefix(addr, bad+":") {
			panic("poison")
		}
		return w.Dial(ctx, network, addr, local)
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

// crashed leaves the waiting deliveries as n programs do that claimed them and
// were killed.
func (b *bed) crashed(n int) {
	b.t.Helper()
	if err := b.DB.Write(b.t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE delivery SET attempt = ? WHERE node = 0", n)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

// TestPoison: a delivery that ended with the program again and again is set
// aside without another attempt; when its time has come it is tried as usual.
func TestPoison(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "crash.test", script{Any: "450 4.2.0 later"})
	id := b.Send(from, fields{"to", "x@crash.test"})
	temporary(450, "4.2.0", "later").check(t, b.Outcome(id, "x@crash.test", 1))
	b.crashed(12)
	k.Set(script{})
	b.Advance(660 * time.Second)
	d := b.Outcome(id, "x@crash.test", 2)
	temporary(451, "4.3.0", "set aside").check(t, d)
	if len(k.Messages()) != 0 || d.DeliveryStatus.RetrySeconds != 630 {
		t.Errorf("%d attempts, retry-seconds %d", len(k.Messages()), d.DeliveryStatus.RetrySeconds)
	}
	if got := b.Waiting(id); len(got) != 1 || got[0].Tries != 2 || got[0].Attempt != 0 {
		t.Fatalf("waiting: %+v", got)
	}
	b.Advance(660 * time.Second)
	d = b.Outcome(id, "x@crash.test", 3)
	ok().check(t, d)
	if d.DeliveryStatus.AttemptNo != 3 {
		t.Errorf("attempt %d, want the third", d.DeliveryStatus.AttemptNo)
	}
}

// TestCrashesAreNoAttempts: after ten crashes before its first attempt a
// not now delivery is deferred by the first step of the schedule.
func TestCrashesAreNoAttempts(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		k := b.site(t, "grey.test", script{Any: "451 4.7.1 not now"})
		at := b.Clock.Now().Add(time.Minute)
		id := b.Send(from, fields{"to", "x@grey.test", "o:deliverytime", at.Format(time.RFC1123Z)})
		b.crashed(10)
		b.Advance(time.Minute)
		d := b.Outcome(id, "x@grey.test", 1)
		temporary(451, "4.7.1", "not now").check(t, d)
		if s := d.DeliveryStatus; s.AttemptNo != 1 || s.RetrySeconds != 630 {
			t.Errorf("attempt %d, retry-seconds %d, want the first and 630", s.AttemptNo, s.RetrySeconds)
		}
		if got := b.Waiting(id); len(got) != 1 || got[0].Tries != 1 || got[0].Attempt != 0 {
			t.Fatalf("waiting: %+v", got)
		}
		k.Set(script{})
		b.Advance(630 * time.Second)
		ok().check(t, b.Outcome(id, "x@grey.test", 2))
	})
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
}
