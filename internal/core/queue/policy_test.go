package queue

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

// rules is a policy that tests set.
type rules struct {
	mu     sync.Mutex
	n      int                      // sessions of a lane that closed does not name
	closed map[string]time.Duration // lanes without sessions, and what Take says of them
	muted  map[string]time.Duration // accounts that may not send
	left   map[string]int           // what Take grants a lane before it says wait
	wait   time.Duration
	asked  atomic.Int64
}

func newRules(n int) *rules {
	return &rules{n: n, closed: map[string]time.Duration{}, muted: map[string]time.Duration{}, left: map[string]int{}}
}

func (p *rules) set(fn func(*rules)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn(p)
}

func (p *rules) Sessions(lane string) int {
	p.asked.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, closed := p.closed[lane]; closed {
		return 0
	}
	return p.n
}

func (p *rules) Take(lane string, n int) time.Duration {
	p.asked.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait, closed := p.closed[lane]; closed {
		return wait
	}
	if left, limited := p.left[lane]; limited {
		if left < n {
			return p.wait
		}
		p.left[lane] = left - n
	}
	return 0
}

func (p *rules) TakeFlow(account string, _ int64, _ string) time.Duration {
	p.asked.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.muted[account]
}

// book is a Settle that records what it is told.
type book struct {
	r    *rig
	mu   sync.Mutex
	seen map[int64]Order
	fail error
}

func (b *book) settle(ctx context.Context, list []*Delivery, o Order) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	return b.r.d.Group(ctx, func(tx *db.Tx) error {
		for _, d := range list {
			b.r.Finish(tx, d)
			b.seen[d.ID] = o
		}
		return nil
	})
}

func (b *book) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}

// newBook returns options that settle into a book, which wants its rig.
func newBook(o Options) (Options, *book) {
	b := &book{seen: map[int64]Order{}}
	o.Settle = b.settle
	return o, b
}

// TestPaused: mail of a sender that may not send leaves the window, comes back
// when the time is over or the pause is lifted, and holds up nobody.
func TestPaused(t *testing.T) {
	for _, lifted := range []bool{false, true} {
		c := fake()
		p := newRules(2)
		p.muted["paused"] = 2 * time.Hour
		r := newRig(t, coretest.SQLite(t, c), Options{Window: 1000, Policy: p})
		var done sync.Map
		var n atomic.Int64
		r.run(r.all(func(d *Delivery) { done.Store(d.ID, d); n.Add(1) }))
		held := from("paused", append(r.make("a.test", 400), r.make("b.test", 400)...))
		r.stage(held)
		r.until("the window to be empty", func() bool { return r.Depth().Held == 0 })
		r.stage(from("other", r.make("a.test", 50)))
		r.until("the others to be delivered", func() bool { return n.Load() == 50 })
		for _, d := range held {
			if _, sent := done.Load(d.ID); sent {
				t.Fatalf("delivery %d was handed out", d.ID)
			}
		}
		// A delivery counts as done when it is handed out, a moment before its row is gone.
		r.until("the rows of the others to be gone", func() bool { return len(r.rows()) == 800 })
		asked := p.asked.Load()
		r.stage(from("other", r.make("a.test", 1)))
		r.until("another", func() bool { return n.Load() == 51 })
		if more := p.asked.Load() - asked; more > 100 {
			t.Errorf("the policy was asked %d times for one delivery", more)
		}
		p.set(func(p *rules) { clear(p.muted) })
		if lifted {
			r.Changed("")
		}
		r.until("the rest", func() bool {
			if !lifted {
				c.Advance(time.Minute)
			}
			return n.Load() == 851
		})
		if at := c.Now().Sub(fake().Now()); !lifted && at < 2*time.Hour {
			t.Errorf("they came after %v", at)
		}
		done.Range(func(_, v any) bool {
			if d := v.(*Delivery); d.Attempt != 1 || d.Tries != 0 {
				t.Errorf("claim %d, tries %d", d.Attempt, d.Tries)
			}
			return true
		})
	}
}

// TestSuspended: a lane without sessions gets none, leaves the window after a
// while, and goes on when it may. Its mail expires in time.
func TestSuspended(t *testing.T) {
	c := fake()
	for _, says := range []time.Duration{0, 3 * time.Hour} {
		p := newRules(2)
		p.closed["down.test"] = says
		o, b := newBook(Options{Window: 1000, Policy: p})
		r := newRig(t, coretest.SQLite(t, c), o)
		b.r = r
		var began sync.Map
		var n atomic.Int64
		work := r.all(func(d *Delivery) { n.Add(1) })
		r.run(func(ctx context.Context, l *Lane) {
			began.Store(l.Name, true)
			work(ctx, l)
		})
		list := r.make("down.test", 150)
		for _, d := range list[:50] { // 20 min
			d.Deadline = d.Due + 20*60e6
		}
		r.stage(list)
		r.stage(r.make("up.test", 10))
		r.until("the other lane", func() bool { return n.Load() == 10 })
		start := c.Now()
		r.until("the window to be empty", func() bool { c.Advance(2 * time.Second); return r.Depth().Held == 0 })
		if after := c.Now().Sub(start); after > 10*time.Minute {
			t.Errorf("it took %v", after)
		}
		late := r.make("down.test", 5) // is not taken into the window at all
		r.stage(late)
		if r.Depth().Held != 0 {
			t.Errorf("%+v", r.Depth())
		}
		r.until("those with a deadline to expire", func() bool { c.Advance(2 * time.Second); return b.count() == 50 })
		if after := c.Now().Sub(start); after < 20*time.Minute || after > 35*time.Minute {
			t.Errorf("they expired after %v", after)
		}
		for _, d := range list[:50] {
			if b.seen[d.ID].Kind != Expire {
				t.Errorf("delivery %d: %+v", d.ID, b.seen[d.ID])
			}
		}
		if _, yes := began.Load("down.test"); yes {
			t.Error("a session began")
		}
		p.set(func(p *rules) { clear(p.closed) })
		r.Changed("down.test")
		r.until("the rest to be delivered", func() bool { return n.Load() == 10+105 })
	}
}

// TestSurplus: a lane above its number of sessions loses some as they ask, and
// gets them again.
func TestSurplus(t *testing.T) {
	p := newRules(8)
	r := newRig(t, coretest.SQLite(t, clock.System{}), Options{Policy: p})
	goOn := make(chan struct{})
	r.run(func(ctx context.Context, l *Lane) {
		for got := l.Take(ctx, 1); got != nil; got = l.Take(ctx, 1) {
			select {
			case <-goOn:
			case <-ctx.Done():
			}
			r.finish(got)
		}
	})
	r.stage(r.make("a.test", 400))
	for _, want := range []int{8, 3, 0, 5} {
		p.set(func(p *rules) { p.n = want })
		r.Changed("a.test")
		r.until("the sessions", func() bool {
			select {
			case goOn <- struct{}{}:
			default:
			}
			return r.Depth().Sessions == want
		})
		for range 3 * want {
			goOn <- struct{}{}
		}
		if n := r.Depth().Sessions; n > want {
			t.Fatalf("%d sessions, want %d", n, want)
		}
	}
	close(goOn)
	r.until("the rest", func() bool { return r.Depth().Held == 0 })
}

// TestRate: what Take grants is handed out and no more; between grants nobody
// asks again and again, and other lanes get the sessions.
func TestRate(t *testing.T) {
	c := fake()
	p := newRules(20)
	p.wait = 10 * time.Second
	p.left["slow.test"] = 5
	r := newRig(t, coretest.SQLite(t, c), Options{Policy: p, Sessions: 2})
	var slow, fast atomic.Int64
	r.run(r.all(func(d *Delivery) {
		if d.Lane == "slow.test" {
			slow.Add(1)
		} else {
			fast.Add(1)
		}
	}))
	r.stage(r.job("a", "slow.test", 100))
	r.until("the first", func() bool { return slow.Load() == 5 })
	r.stage(r.make("fast.test", 50))
	r.until("the other lane", func() bool { return fast.Load() == 50 })
	for i := range int64(5) {
		var until time.Time
		r.until("the lane to wait", func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			until = r.lanes["slow.test"].until
			return until.After(c.Now())
		})
		asked := p.asked.Load()
		p.set(func(p *rules) { p.left["slow.test"] = 3 })
		c.Advance(until.Sub(c.Now()) - time.Millisecond)
		r.stage(r.make("fast.test", 1))
		r.until("the other lane", func() bool { return fast.Load() == 51+i })
		if n := slow.Load(); n != 5+3*i {
			t.Fatalf("%d before the time", n)
		}
		r.until("the next", func() bool { c.Advance(time.Second); return slow.Load() == 5+3*(i+1) })
		if n := p.asked.Load() - asked; n > 3000 { // TakeFlow is asked once per recipient
			t.Errorf("asked %d times", n)
		}
	}
	p.set(func(p *rules) { delete(p.left, "slow.test") })
	r.Changed("slow.test")
	r.until("the rest", func() bool { return slow.Load() == 100 })
}
