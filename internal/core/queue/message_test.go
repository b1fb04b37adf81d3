package queue

import (
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

// TestOneMessage: what waits for a time can be canceled and moved, message by
// message, and goes when it says then.
func TestOneMessage(t *testing.T) {
	c := clock.NewFake(time.Unix(1_800_000_000, 0))
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Options{})
		list := r.make("a.test", 4)
		for _, x := range list[:3] {
			x.Due += time.Hour.Microseconds()
		}
		r.stage(list)
		do := func(fn func(*db.Tx) (int64, error)) (n int64) {
			t.Helper()
			if err := d.Write(t.Context(), func(tx *db.Tx) (err error) { n, err = fn(tx); return err }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		cancel := func(x *Delivery) int64 {
			return do(func(tx *db.Tx) (int64, error) { return r.CancelMessage(tx, x.MessageID) })
		}
		move := func(x *Delivery, to time.Time) int64 {
			return do(func(tx *db.Tx) (int64, error) { return r.Reschedule(tx, x.MessageID, to.UnixMicro()) })
		}
		if n := cancel(list[0]); n != 1 {
			t.Errorf("%d canceled", n)
		}
		if n := cancel(list[3]); n != 0 {
			t.Errorf("%d canceled of what is being delivered", n)
		}
		if n := move(list[3], c.Now().Add(time.Minute)); n != 0 {
			t.Errorf("%d moved of what is being delivered", n)
		}
		soon := c.Now().Add(time.Minute)
		if n := move(list[1], soon); n != 1 {
			t.Errorf("%d moved", n)
		}
		if err := d.Read(t.Context(), func(tx *db.Tx) error {
			got, err := OfMessage(tx, list[1].MessageID)
			if err == nil && (len(got) != 1 || got[0].Due != soon.UnixMicro() || got[0].Deadline-got[0].Due != list[1].Deadline-list[1].Due) {
				t.Errorf("%+v", got[0])
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		got := make(chan *Delivery, 4)
		r.run(r.all(func(d *Delivery) { got <- d }))
		want := func(x *Delivery) {
			t.Helper()
			if g := receive(t, got, "a delivery"); g.ID != x.ID {
				t.Errorf("%d, want %d", g.ID, x.ID)
			}
		}
		want(list[3])
		c.Advance(2 * time.Minute)
		r.Wake()
		want(list[1])
		c.Advance(time.Hour)
		r.Wake()
		want(list[2])
		if n := move(list[2], c.Now()); n != 0 || len(got) != 0 {
			t.Errorf("%d moved, %d came as well", n, len(got))
		}
	})
}
