//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// silent is R6: after a run without trouble, good receivers get mail while one
// domain has a silent host before a good one, one has only silent hosts, one
// refuses connections and one is slow.
func (r *rig) silent(ctx context.Context, res *result) error {
	t, n, err := r.newWorld("silent", "--retry", "2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s")
	if err != nil {
		return err
	}
	defer n.end()
	defer t.close()
	for i := range 5 {
		if _, err := n.domain(fmt.Sprintf("g%d.test", i), script{}, t.book.arrive); err != nil {
			return err
		}
	}
	if err := r.trouble(n, t); err != nil {
		return err
	}
	if err := t.open(ctx); err != nil {
		return err
	}
	each := r.rounds(100, 1000)
	base, err := t.measure(ctx, 0, each)
	if err != nil {
		return err
	}
	for _, d := range []string{"half.test", "hole.test", "down.test", "slow.test"} {
		if err := t.post(ctx, d, 0, each); err != nil {
			return err
		}
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	with, err := t.measure(ctx, each, each)
	if err != nil {
		return err
	}
	stuck, err := t.queued(ctx)
	if err != nil {
		return err
	}
	res.note("good receivers: p50 %s, p99 %s alone; p50 %s, p99 %s beside the others, %d deliveries stuck", base.p50, base.p99, with.p50, with.p99, stuck)
	if stuck < each {
		res.wrong("only %d deliveries are stuck: nothing was tried", stuck)
	}
	if with.p99 > max(10*base.p99, time.Second) {
		res.wrong("p99 of good receivers went from %s to %s", base.p99, with.p99)
	}
	began := time.Now()
	err = until(ctx, 3*time.Minute, "all mail to half.test went to its good host", func() (bool, error) {
		return t.book.have("half.test") == each, nil
	})
	res.note("all for the domain with a silent first host: %.0f s (time to connect: 30 s)", time.Since(began).Seconds())
	res.Rounds, res.Acknowledged, res.Duplicates = 1, t.book.ackedCount(), t.book.duplicates()
	if res.Duplicates > 0 {
		res.wrong("%d messages came twice", res.Duplicates)
	}
	return err
}

// trouble makes the bad domains.
func (r *rig) trouble(n *internet, t *site) error {
	first, err1 := n.hole()
	good, _, err2 := n.host(script{}, t.book.arrive)
	second, err3 := n.hole()
	down, _, err4 := n.address()
	_, err5 := n.domain("slow.test", script{pause: 300 * time.Millisecond}, t.book.arrive)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	return errors.Join(n.mx("half.test", first, good), n.mx("hole.test", second), n.mx("down.test", down))
}

// delay is how long messages took from the answer to the sink.
type delay struct{ p50, p99 time.Duration }

// measure sends to the good receivers and waits for all of it.
func (t *site) measure(ctx context.Context, from, each int) (delay, error) {
	before := map[string]bool{}
	t.book.mu.Lock()
	for id := range t.book.acked {
		before[id] = true
	}
	t.book.mu.Unlock()
	for i := range 5 {
		if err := t.post(ctx, fmt.Sprintf("g%d.test", i), from, each); err != nil {
			return delay{}, err
		}
	}
	if err := until(ctx, 20*time.Second, "the good receivers have their mail", func() (bool, error) {
		got := 0
		for i := range 5 {
			got += t.book.have(fmt.Sprintf("g%d.test", i))
		}
		return got == 5*(from+each), nil
	}); err != nil {
		return delay{}, err
	}
	var list []time.Duration
	t.book.mu.Lock()
	for id, at := range t.book.acked {
		if first, ok := t.book.first[id]; ok && !before[id] {
			list = append(list, max(0, first.Sub(at)))
		}
	}
	t.book.mu.Unlock()
	slices.Sort(list)
	return delay{list[len(list)/2].Round(time.Microsecond), list[len(list)*99/100].Round(time.Microsecond)}, nil
}
