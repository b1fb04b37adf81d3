package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

// world is a queue under random treatment and what must be true of it.
type world struct {
	*rig
	c     *clock.Fake
	rnd   *rand.Rand
	open  map[int64]bool // deliveries accepted and not finished
	out   []*Delivery    // in the hands of sessions
	over  map[int64]Order
	p     *whims
	known *table
	log   []string
}

// whims is a policy that answers at random. It is asked by one goroutine until
// it is calm, and then has no limits.
type whims struct {
	rnd  *rand.Rand
	calm atomic.Bool
}

func (p *whims) one(n int) bool { return !p.calm.Load() && p.rnd.IntN(n) == 0 }

func (p *whims) wait() time.Duration { return time.Duration(1+p.rnd.IntN(200)) * time.Second }

func (p *whims) Sessions(string) int {
	if p.one(3) {
		return 0
	}
	return 4
}

func (p *whims) Take(_ string, n int) time.Duration {
	if p.one(4) || n > 2 && p.one(2) {
		return p.wait()
	}
	return 0
}

func (p *whims) TakeFlow(string, int64, string) time.Duration {
	if p.one(5) {
		return p.wait()
	}
	return 0
}

func newWorld(t *testing.T, d *db.DB, c *clock.Fake, seed uint64) *world {
	w := &world{c: c, rnd: rand.New(rand.NewPCG(seed, 1)), open: map[int64]bool{}, over: map[int64]Order{}, known: &table{lanes: map[string]string{}}}
	w.p = &whims{rnd: w.rnd}
	w.rig = newRig(t, d, Options{Name: "n", Window: 40, Policy: w.p, Route: w.known.route, Settle: w.settleOne,
		Resolve: func(_ context.Context, d *Delivery) { w.known.set(d.Destination, "mx:"+d.Destination[:1]) }})
	return w
}

// settleOne is a Settle that fails at times.
func (w *world) settleOne(ctx context.Context, list []*Delivery, o Order) error {
	if w.p.one(4) {
		return errNo
	}
	return w.d.Group(ctx, func(tx *db.Tx) error {
		for _, d := range list {
			if o.Kind == Expire && d.Deadline >= tx.Now-grace.Microseconds() {
				w.t.Errorf("delivery %d expires early", d.ID)
			}
			w.Finish(tx, d)
			w.over[d.ID] = o
			delete(w.open, d.ID)
		}
		return nil
	})
}

// TestProperty: after any sequence of what can happen each unfinished delivery
// is in the table exactly once, is held by at most one window, and is handed
// out or expires in the end, whatever the policy says and where lanes are found.
func TestProperty(t *testing.T) {
	c := fake()
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		for seed := range uint64(6) {
			w := newWorld(t, d, c, seed)
			for range 200 {
				w.act()
				w.check()
				if t.Failed() {
					t.Fatalf("seed %d: %v", seed, w.log)
				}
			}
			w.drain()
		}
	})
}

func (w *world) act() {
	acts := []struct {
		name string
		fn   func()
	}{
		{"accept", w.accept}, {"accept", w.accept}, {"accept", w.accept}, {"accept, rolled back", w.refuse},
		{"load", w.claim}, {"load", w.claim}, {"take", w.take}, {"take", w.take}, {"take", w.take}, {"take", w.take},
		{"finish", w.end}, {"finish", w.end}, {"defer", w.again}, {"postpone", w.postpone}, {"time passes", w.wait},
		{"crash", w.crash}, {"stop and start", w.restart}, {"cancel", w.cancel},
		{"find lanes", w.find}, {"find lanes", w.find}, {"upkeep", w.upkeep}, {"upkeep", w.upkeep}, {"limits rise", w.rise}, {"order", w.order},
	}
	a := acts[w.rnd.IntN(len(acts))]
	w.log = append(w.log, a.name)
	a.fn()
}

// find ends what Resolve would do.
func (w *world) find() {
	w.mu.Lock()
	list := w.asking
	w.asking = nil
	w.mu.Unlock()
	for _, l := range list {
		if len(l.pending) > 0 && w.rnd.IntN(4) > 0 {
			w.opt.Resolve(context.Background(), l.pending[0])
		}
		w.resolving++
		w.resolved(l)
	}
}

// upkeep is what the keeper and the alarm do.
func (w *world) upkeep() {
	w.inspect()
	for _, err := range []error{w.tidyUp(context.Background()), w.sweep(context.Background())} {
		if err != nil {
			w.t.Error(err)
		}
	}
	w.ring()
}

func (w *world) rise() {
	lane := ""
	if names := slices.Sorted(maps.Keys(w.lanes)); len(names) > 0 && w.rnd.IntN(2) > 0 {
		lane = names[w.rnd.IntN(len(names))]
	}
	w.Changed(lane)
}

func (w *world) order() {
	if _, err := w.Order(context.Background(), Selector{DomainID: int64(1 + w.rnd.IntN(9))}, Order{Kind: Drop}); err != nil && !errors.Is(err, errNo) {
		w.t.Error(err)
	}
}

func (w *world) postpone() {
	list := w.pick()
	if err := w.d.Group(context.Background(), func(tx *db.Tx) error {
		for _, d := range list {
			w.Postpone(tx, d, tx.Now+int64(w.rnd.IntN(300))*1e6)
		}
		return nil
	}); err != nil {
		w.t.Error(err)
	}
}

func (w *world) some() []*Delivery {
	var list []*Delivery
	for range 1 + w.rnd.IntN(3) {
		group := w.make(fmt.Sprintf("%c%d.test", "lm"[w.rnd.IntN(2)], w.rnd.IntN(6)), 1+w.rnd.IntN(14))
		for _, d := range group {
			d.MessageID, d.DomainID = group[0].ID, int64(1+w.rnd.IntN(9))
			d.AccountID = fmt.Sprint(w.rnd.IntN(3))
			if w.rnd.IntN(4) == 0 {
				d.Due += int64(w.rnd.IntN(120)) * 1e6
			}
			if w.rnd.IntN(8) == 0 {
				d.Deadline = d.Due + int64(w.rnd.IntN(600))*1e6
			}
		}
		list = append(list, group...)
	}
	return list
}

func (w *world) accept() {
	list := w.some()
	w.stage(list)
	for _, d := range list {
		w.open[d.ID] = true
	}
}

var errNo = errors.New("no")

func (w *world) refuse() {
	list := w.some()
	err := w.d.Group(context.Background(), func(tx *db.Tx) error { w.Stage(tx, list); return errNo })
	if !errors.Is(err, errNo) {
		w.t.Errorf("rolled back with %v", err)
	}
}

func (w *world) claim() {
	for range 1 + w.rnd.IntN(3) {
		if _, err := w.load(context.Background()); err != nil {
			w.t.Error(err)
		}
	}
}

// take hands out as a session's Take does.
func (w *world) take() {
	names := slices.Sorted(maps.Keys(w.lanes))
	if len(names) == 0 {
		return
	}
	w.out = append(w.out, w.next(names[w.rnd.IntN(len(names))], 1+w.rnd.IntN(4))...)
}

// pick takes up to three deliveries out of the sessions' hands.
func (w *world) pick() []*Delivery {
	w.rnd.Shuffle(len(w.out), func(i, j int) { w.out[i], w.out[j] = w.out[j], w.out[i] })
	n := min(len(w.out), 3)
	list := w.out[:n:n]
	w.out = w.out[n:]
	return list
}

func (w *world) end() {
	list := w.pick()
	w.finish(list)
	for _, d := range list {
		delete(w.open, d.ID)
	}
}

func (w *world) again() {
	list := w.pick()
	if err := w.d.Group(context.Background(), func(tx *db.Tx) error {
		for _, d := range list {
			if err := w.Defer(tx, d, tx.Now+int64(w.rnd.IntN(300))*1e6); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		w.t.Error(err)
	}
}

func (w *world) wait() { w.c.Advance(time.Duration(w.rnd.IntN(100)) * time.Second) }

// crash loses all memory and starts again.
func (w *world) crash() {
	w.out = nil
	w.wait()
	w.c.Advance(time.Millisecond)
	w.rig = newRig(w.t, w.d, w.opt)
}

func (w *world) restart() {
	w.out = nil // sessions that were cut before they recorded anything
	if err := w.stop(); err != nil {
		w.t.Error(err)
	}
	w.c.Advance(time.Millisecond)
	w.rig = newRig(w.t, w.d, w.opt)
}

func (w *world) cancel() {
	domain := int64(1 + w.rnd.IntN(9))
	var gone []int64
	for id := range w.open {
		gone = append(gone, id)
	}
	if err := w.d.Write(context.Background(), func(tx *db.Tx) error {
		_, err := w.CancelDomain(tx, domain)
		return err
	}); err != nil {
		w.t.Error(err)
	}
	left := w.rows()
	for _, id := range gone {
		if _, ok := left[id]; !ok {
			delete(w.open, id)
			if w.holds(id) {
				w.t.Errorf("cancelled delivery %d is held", id)
			}
		}
	}
	for _, d := range w.out { // those begun are not cancelled
		if !w.open[d.ID] {
			w.t.Errorf("delivery %d was cancelled in a session's hands", d.ID)
		}
	}
}

func (w *world) check() {
	w.t.Helper()
	rows := w.rows()
	if len(rows) != len(w.open) {
		w.t.Errorf("%d rows for %d deliveries", len(rows), len(w.open))
	}
	for id, node := range rows {
		if !w.open[id] {
			w.t.Errorf("row %d of a finished delivery", id)
		}
		if _, held := w.mine[id]; held != (node == w.node) || node != 0 && node != w.node {
			w.t.Errorf("row %d names node %d, we are %d and hold it: %v", id, node, w.node, held)
		}
	}
	seen := w.atHand()
	for _, d := range w.out {
		seen[d.ID]++
	}
	for _, list := range [][]*Delivery{w.stale, w.failed} {
		for _, d := range list {
			seen[d.ID]++
		}
	}
	for _, s := range w.off {
		seen[s.d.ID]++
	}
	w.accounts()
	if len(seen) != len(w.mine) || len(w.mine) > w.opt.Window+len(w.failed)+len(w.stale) {
		w.t.Errorf("%d deliveries at hand, %d held, window %d", len(seen), len(w.mine), w.opt.Window)
	}
	for id, n := range seen {
		if n != 1 {
			w.t.Errorf("delivery %d is at hand %d times", id, n)
		}
	}
}

// accounts checks that what lanes and flows count is what there is.
func (w *world) accounts() {
	w.t.Helper()
	held, retries, ready := map[*Lane]int{}, map[*Lane]int{}, map[*schedule]int{}
	byFlow := map[*flow]int{}
	for _, d := range w.mine {
		if d.place == nil {
			continue
		}
		l := d.place.key.lane
		byFlow[d.place]++
		if held[l]++; d.retry {
			retries[l]++
		}
		if w.lanes[l.Name] != l {
			w.t.Errorf("lane %q is not that of its deliveries", l.Name)
		}
	}
	for _, f := range w.flows {
		if !f.stuck {
			ready[f.key.lane.schedule(f.key.retry)] += f.len()
		}
		if f.held != byFlow[f] {
			w.t.Errorf("flow %+v holds %d, not %d", f.key, byFlow[f], f.held)
		}
	}
	for name, l := range w.lanes {
		if l.held != held[l] || l.retries != retries[l] || l.first.n != ready[&l.first] || l.again.n != ready[&l.again] {
			w.t.Errorf("lane %q: held %d of %d, retries %d of %d, ready %d and %d of %d and %d", name, held[l], l.held, retries[l], l.retries,
				ready[&l.first], ready[&l.again], l.first.n, l.again.n)
		}
	}
	if len(w.mine) == 0 && len(w.flows)+len(w.lanes) > 0 {
		w.t.Errorf("%d flows and %d lanes without deliveries", len(w.flows), len(w.lanes))
	}
}

// drain lets the real sessions finish what is left.
func (w *world) drain() {
	w.t.Helper()
	w.crash()
	w.p.calm.Store(true)
	w.c.Advance(time.Hour)
	handed := make(chan int64, 10000)
	stop := w.run(w.all(func(d *Delivery) { handed <- d.ID }))
	w.until("all to be delivered", func() bool { w.c.Advance(time.Second); return len(w.rows()) == 0 })
	stop()
	close(handed)
	if len(w.over) == 0 {
		w.t.Error("nothing was settled")
	}
	for id := range handed {
		if !w.open[id] {
			w.t.Errorf("delivery %d was handed out without being open, or twice", id)
		}
		delete(w.open, id)
	}
	if len(w.open) != 0 {
		w.t.Errorf("%d deliveries were lost", len(w.open))
	}
}
