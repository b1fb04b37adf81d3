package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

// world is a queue under random treatment and what must be true of it.
type world struct {
	*rig
	c    *clock.Fake
	rnd  *rand.Rand
	open map[int64]bool // deliveries accepted and not finished
	out  []*Delivery    // in the hands of sessions
	log  []string
}

// TestProperty: after any sequence of what can happen each unfinished delivery
// is in the table exactly once, is held by at most one window, and is handed
// out in the end.
func TestProperty(t *testing.T) {
	c := fake()
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		for seed := range uint64(6) {
			w := &world{rig: newRig(t, d, Options{Name: "n", Window: 40}), c: c, rnd: rand.New(rand.NewPCG(seed, 1)), open: map[int64]bool{}}
			for range 150 {
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
		{"accept", w.accept}, {"accept", w.accept}, {"accept, rolled back", w.refuse},
		{"load", w.claim}, {"load", w.claim}, {"take", w.take}, {"take", w.take}, {"take", w.take},
		{"finish", w.end}, {"finish", w.end}, {"defer", w.again}, {"time passes", w.wait},
		{"crash", w.crash}, {"stop and start", w.restart}, {"cancel", w.cancel},
	}
	a := acts[w.rnd.IntN(len(acts))]
	w.log = append(w.log, a.name)
	a.fn()
}

func (w *world) some() []*Delivery {
	var list []*Delivery
	for range 1 + w.rnd.IntN(3) {
		group := w.make(fmt.Sprintf("l%d.test", w.rnd.IntN(6)), 1+w.rnd.IntN(8))
		for _, d := range group {
			d.MessageID, d.DomainID = group[0].ID, int64(1+w.rnd.IntN(9))
			if w.rnd.IntN(4) == 0 {
				d.Due += int64(w.rnd.IntN(120)) * 1e6
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
	if _, err := w.load(context.Background()); err != nil {
		w.t.Error(err)
	}
}

// take hands out as a session's Take does.
func (w *world) take() {
	names := slices.Sorted(maps.Keys(w.lanes))
	if len(names) == 0 {
		return
	}
	w.out = append(w.out, w.lanes[names[w.rnd.IntN(len(names))]].pop(1+w.rnd.IntN(4))...)
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
	seen := map[int64]int{}
	for _, d := range w.out {
		seen[d.ID]++
	}
	for _, l := range w.lanes {
		for _, d := range append(slices.Clone(l.first), l.again...) {
			seen[d.ID]++
		}
	}
	if len(seen) != len(w.mine) || len(w.mine) > w.opt.Window {
		w.t.Errorf("%d deliveries at hand, %d held, window %d", len(seen), len(w.mine), w.opt.Window)
	}
	for id, n := range seen {
		if n != 1 {
			w.t.Errorf("delivery %d is at hand %d times", id, n)
		}
	}
}

// drain lets the real sessions finish what is left.
func (w *world) drain() {
	w.t.Helper()
	w.crash()
	w.c.Advance(time.Hour)
	handed := make(chan int64, 10000)
	stop := w.run(w.all(func(d *Delivery) { handed <- d.ID }))
	w.until("all to be delivered", func() bool { return len(w.rows()) == 0 })
	stop()
	close(handed)
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
