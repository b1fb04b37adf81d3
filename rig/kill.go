//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// moment is a random time between two.
func (r *rig) moment(least, most time.Duration) time.Duration {
	return least + time.Duration(r.random.Int64N(int64(most-least)+1))
}

// kills is R1: the server is killed at random moments under load over HTTP and
// SMTP. A killed process loses what it held in memory, not what it gave to the
// kernel; R2 is about that.
func (r *rig) kills(ctx context.Context, res *result) error {
	t, err := r.newSite("kill", r.binary, "", script{}, "--retry", "1s,5s")
	if err != nil {
		return err
	}
	defer t.close()
	if err := errors.Join(t.withSMTP(t.dir), t.open(ctx)); err != nil {
		return err
	}
	if err := t.createLogin(ctx); err != nil {
		return err
	}
	for range r.rounds(6, 100) {
		l := newLoad(t.server, t.book.ack, t.next)
		l.smtp = 6
		if err := t.during(ctx, l, func() error {
			if err := pause(ctx, r.moment(50*time.Millisecond, 2*time.Second)); err != nil {
				return err
			}
			return t.crash(res)
		}); err != nil {
			return err
		}
		res.Rounds++
		if strange := l.other(0); len(strange) > 0 {
			res.wrong("answers: %s", few(strange))
		}
		if err := t.start(ctx); err != nil {
			return err
		}
	}
	if err := t.drain(ctx, 20*time.Second, t.book.quiet); err != nil {
		return errors.Join(err, t.lastLog())
	}
	if err := t.facts(ctx, res); err != nil {
		return err
	}
	return t.finish(ctx, res)
}

// facts checks that what arrived has its events.
func (t *site) facts(ctx context.Context, res *result) error {
	for _, kind := range []string{"accepted", "delivered"} {
		have := map[string]int{}
		if err := t.events(ctx, sender, kind, func(e event) { have[e.Message.Headers.MessageID]++ }); err != nil {
			return err
		}
		without := 0
		t.book.mu.Lock()
		for rig := range t.book.acked {
			for idTo := range t.book.arrived[rig] {
				var id string
				fmt.Sscan(idTo, &id)
				if have[id] == 0 {
					without++
				}
			}
		}
		t.book.mu.Unlock()
		if without > 0 {
			res.wrong("%d messages arrived and have no %s event", without, kind)
		}
	}
	return nil
}
