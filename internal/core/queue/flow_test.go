package queue

import (
	"context"
	"fmt"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

// from sets who sends.
func from(account string, list []*Delivery) []*Delivery {
	for _, d := range list {
		d.AccountID = account
	}
	return list
}

// job returns a message to n recipients.
func (r *rig) job(account, lane string, n int) []*Delivery {
	list := from(account, r.make(lane, n))
	for _, d := range list {
		d.MessageID = list[0].MessageID
	}
	return list
}

// TestOvertake: a small job is done while a large one that came first still has
// nearly all before it, whether the small one is one message or many.
func TestOvertake(t *testing.T) {
	for _, c := range []struct {
		name  string
		small func(r *rig) []*Delivery
	}{
		{"20 messages", func(r *rig) []*Delivery { return from("small", r.make("x.test", 20)) }},
		{"one message to 20", func(r *rig) []*Delivery { return r.job("small", "x.test", 20) }},
		{"one message, same sender", func(r *rig) []*Delivery { return from("large", r.make("x.test", 1)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, coretest.SQLite(t, clock.System{}), Options{Policy: sessions(1)})
			for range 10 { // 100,000 recipients in messages of 1,000
				var list []*Delivery
				for range 10 {
					list = append(list, r.job("large", "x.test", 1000)...)
				}
				r.stage(list)
			}
			type turn struct {
				list []*Delivery
				done chan struct{}
			}
			turns := make(chan turn)
			r.run(func(ctx context.Context, l *Lane) {
				for got := l.Take(ctx, 100); got != nil; got = l.Take(ctx, 100) {
					x := turn{got, make(chan struct{})}
					select {
					case turns <- x:
						<-x.done
					case <-ctx.Done():
						return
					}
					r.finish(got)
				}
			})
			for range 5 {
				close(receive(t, turns, "a turn of the large job").done)
			}
			small := c.small(r)
			r.stage(small)
			open := map[int64]bool{}
			for _, d := range small {
				open[d.ID] = true
			}
			large, turnsTaken := 0, 0
			for len(open) > 0 {
				x := receive(t, turns, "a turn")
				turnsTaken++
				for _, d := range x.list {
					if !open[d.ID] {
						large++
					}
					delete(open, d.ID)
				}
				close(x.done)
			}
			if large > 2000 || turnsTaken > 100 {
				t.Errorf("%d of the large job and %d turns went by before the small one was done", large, turnsTaken)
			}
			go func() {
				for x := range turns {
					close(x.done)
				}
			}()
		})
	}
}

// TestTurns: flows with work take turns in proportion to what their
// transactions cost, and a flow that comes and goes does not starve them.
func TestTurns(t *testing.T) {
	r := newRig(t, coretest.SQLite(t, fake()), Options{Window: 200000, LaneWindow: 100000})
	for i := range 4 {
		r.offer(from(fmt.Sprint("single", i), r.make("x.test", 1500)))
	}
	r.offer(r.job("job", "x.test", 9000))
	got, turns := map[string]int{}, map[string]int{}
	for range 2000 {
		if r.lanes["x.test"].turn%5 == 0 { // alone each time it comes
			r.offer(from("now and then", r.make("x.test", 1)))
		}
		list := r.next("x.test", 100)
		got[list[0].AccountID] += len(list)
		turns[list[0].AccountID]++
	}
	for i := range 4 {
		if n := turns[fmt.Sprint("single", i)]; n < 250 || n > 450 {
			t.Errorf("flow %d had %d turns of 2000: %v", i, n, turns)
		}
	}
	if n := got["job"]; n < 1500 || n > 4500 {
		t.Errorf("the job got %d: %v", n, got)
	}
	if n := turns["now and then"]; n < 150 {
		t.Errorf("what comes and goes had %d turns: %v", n, turns)
	}
}

// TestFlowRoom: whatever a large sender brings, there is room in its lane for
// others at once.
func TestFlowRoom(t *testing.T) {
	r := newRig(t, coretest.SQLite(t, fake()), Options{Window: 6000})
	for range 30 {
		r.stage(r.job("large", "x.test", 1000))
	}
	r.stage(from("large", r.make("x.test", 3000)))
	limit := r.room(r.Depth().Held)
	if held := r.Depth().Held; held > limit {
		t.Fatalf("%d held of %d", held, limit)
	}
	for i := range 10 {
		list := from(fmt.Sprint("small", i), r.make("x.test", 1))
		r.stage(list)
		if !r.holds(list[0].ID) {
			t.Fatalf("no room for small sender %d beside %d of at most %d", i, r.Depth().Held, limit)
		}
	}
}

// TestStoredLeavesRoom: what comes from the table leaves room for what is
// accepted now, also when it is of many senders.
func TestStoredLeavesRoom(t *testing.T) {
	c := fake()
	r := newRig(t, coretest.SQLite(t, c), Options{Window: 2000})
	list := r.make("x.test", 5000)
	for i, d := range list {
		d.DomainID = int64(i)
	}
	r.store(list)
	if _, err := r.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := r.Depth().Held
	for i := range 5 {
		r.stage(from(fmt.Sprint(i), r.make("x.test", 1)))
	}
	if r.Depth().Held != before+5 || before < 100 {
		t.Errorf("%d held, then %d", before, r.Depth().Held)
	}
}

// TestStormOfFirsts: 50,000 deliveries that become due at once, to one place and
// to many, delay neither new mail to the same places nor to others.
func TestStormOfFirsts(t *testing.T) {
	c := fake()
	d := coretest.SQLite(t, c)
	r := newRig(t, d, Options{Window: 4000, Sessions: 32, Policy: sessions(2)})
	var storm []*Delivery
	for i := range 50 {
		storm = append(storm, r.job(fmt.Sprint("list", i), "big.test", 500)...)
	}
	for i := range 25000 {
		storm = append(storm, r.make(fmt.Sprintf("s%d.test", i%500), 1)...)
	}
	for i, x := range storm {
		if x.Due += 3600e6; i%2 == 0 {
			x.Tries = 1
		}
	}
	r.store(storm)
	took := make(chan *Delivery)
	r.run(func(ctx context.Context, l *Lane) {
		for got := l.Take(ctx, 100); got != nil; got = l.Take(ctx, 100) {
			for _, d := range got {
				select {
				case took <- d:
				case <-ctx.Done():
					return
				}
			}
			r.finish(got)
		}
	})
	c.Advance(61e9 * 60)
	ended := make(chan struct{})
	defer close(ended)
	go func() { // time goes on: searches of the table pause by the clock
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.Advance(10 * time.Millisecond)
			case <-ended:
				return
			}
		}
	}()
	for range 2000 {
		receive(t, took, "the storm")
	}
	for _, lane := range []string{"big.test", "s7.test", "new.test"} {
		fresh := from("fresh", r.make(lane, 1))
		r.stage(fresh)
		n := 0
		for ; receive(t, took, "new mail to "+lane).ID != fresh[0].ID; n++ {
		}
		t.Logf("%d others before new mail to %s", n, lane)
		if n > 5000 {
			t.Errorf("%d others before new mail to %s", n, lane)
		}
	}
	go func() {
		for range took {
		}
	}()
}

// TestOneTransaction: a row that one transaction inserts, changes and deletes
// is gone, whatever that transaction did to other rows before.
func TestOneTransaction(t *testing.T) {
	coretest.Each(t, fake(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, Options{})
		old := r.make("a.test", 3)
		r.stage(old)
		fresh := r.make("a.test", 2)
		if err := d.Write(t.Context(), func(tx *db.Tx) error {
			r.Finish(tx, old[0])
			if err := r.Defer(tx, old[1], tx.Now+60e6); err != nil {
				return err
			}
			r.Stage(tx, fresh)
			r.Postpone(tx, fresh[0], tx.Now+60e6)
			r.Finish(tx, fresh[0])
			r.Finish(tx, old[1])
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		rows := r.rows()
		if _, ok := rows[old[2].ID]; !ok || len(rows) != 2 || rows[fresh[1].ID] != r.node {
			t.Errorf("rows %v, want %d and %d", rows, old[2].ID, fresh[1].ID)
		}
	})
}
