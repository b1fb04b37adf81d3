//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// fate is what has to become of a message.
type fate int

const (
	arrives fate = iota // delivered, once
	expires             // tried as often as the schedule says, then given up
	bounces             // refused for good at the first attempt
)

// enemy is a receiver that misbehaves.
type enemy struct {
	name string
	do   script
	want fate
}

// shy reports whether no session comes about: the server leaves such a receiver
// alone for minutes, whatever the schedule says.
func (e enemy) shy() bool {
	return e.want == expires && (e.do.at == atConnect || e.do.at == atEHLO || strings.HasPrefix(e.do.reply, "421"))
}

func enemies() []enemy {
	var out []enemy
	for _, s := range stages() {
		want := expires
		if s == afterDot {
			want = arrives
		}
		out = append(out, enemy{"drops at " + string(s), script{at: s, drop: true}, want})
		if s == afterDot || s == atBody {
			continue
		}
		out = append(out,
			enemy{"421 at " + string(s), script{at: s, reply: "421 4.3.2 going down"}, expires},
			enemy{"451 at " + string(s), script{at: s, reply: "451 4.7.1 later"}, expires},
			enemy{"garbage at " + string(s), script{at: s, reply: "what?"}, expires})
		if s != atEHLO { // a client may fall back to HELO
			out = append(out, enemy{"554 at " + string(s), script{at: s, reply: "554 5.7.1 no"}, bounces})
		}
	}
	return append(out,
		enemy{"100 KB line at RCPT", script{at: atRcpt, reply: "250 " + strings.Repeat("x", 100<<10)}, expires},
		enemy{"reply without end at MAIL", script{at: atMail, reply: strings.Repeat("250-and\r\n", 200_000) + "250 so on"}, expires},
		enemy{"354 at MAIL", script{at: atMail, reply: "354 go ahead"}, expires},
		enemy{"250 at DATA", script{at: atData, reply: "250 ok"}, expires})
}

// hostile is R5: receivers that drop, refuse or talk nonsense at each stage.
// Each message has to end as it should, and a good receiver must get everything
// meanwhile.
func (r *rig) hostile(ctx context.Context, res *result) error {
	t, n, err := r.newWorld("hostile", "--retry", "1s,1s")
	if err != nil {
		return err
	}
	defer n.end()
	defer t.close()
	list := enemies()
	for i, e := range list {
		if _, err := n.domain(fmt.Sprintf("e%d.test", i), e.do, t.book.arrive); err != nil {
			return err
		}
	}
	good, err := n.domain("good.test", script{}, t.book.arrive)
	if err != nil {
		return err
	}
	if err := t.open(ctx); err != nil {
		return err
	}
	const each = 3
	for i := range list {
		if err := errors.Join(t.post(ctx, fmt.Sprintf("e%d.test", i), 0, each, "o:deliver-within", "5m"), t.post(ctx, "good.test", each*i, each)); err != nil {
			return err
		}
	}
	shy := 0
	for _, e := range list {
		if e.shy() {
			shy++
		}
	}
	if err := t.ends(ctx, 30*time.Second, each*shy); err != nil {
		res.wrong("%s", err)
	}
	if err := t.late(ctx, r.long); err != nil {
		return err
	}
	if err := t.ends(ctx, 30*time.Second, 0); err != nil {
		res.wrong("%s", err)
	}
	if got := t.book.have("good.test"); got != each*len(list) {
		res.wrong("the good receiver got %d of %d", got, each*len(list))
	}
	res.note("%d receivers; most connections to one: %d", len(list), good.most.Load())
	res.Rounds, res.Acknowledged, res.Duplicates = len(list), t.book.ackedCount(), t.book.duplicates()
	if res.Duplicates > 0 {
		res.wrong("%d messages came twice", res.Duplicates)
	}
	return t.fates(ctx, res, list, each)
}

// ends waits until no more than some messages are queued.
func (t *site) ends(ctx context.Context, limit time.Duration, rest int) error {
	return until(ctx, limit, fmt.Sprintf("all but %d messages have ended", rest), func() (bool, error) {
		q, err := t.queued(ctx)
		return err == nil && q <= rest, err
	})
}

// late waits until the messages to receivers that are left alone are too old: in
// a long run as long as that takes, else by changing the database of the
// stopped server.
func (t *site) late(ctx context.Context, long bool) error {
	if long {
		return t.ends(ctx, 15*time.Minute, 0)
	}
	if err := t.stop(); err != nil {
		return err
	}
	if err := edit(t.data, fmt.Sprintf("UPDATE delivery SET deadline = %d, due = 0", time.Now().UnixMicro())); err != nil {
		return err
	}
	return t.start(ctx)
}

// fates compares the events with what should have been.
func (t *site) fates(ctx context.Context, res *result, list []enemy, each int) error {
	type story struct {
		attempts, delivered, failed int
		last                        event
	}
	stories := map[string]*story{}
	if err := t.events(ctx, sender, "", func(e event) {
		s := stories[e.Recipient]
		if s == nil {
			s = &story{}
			stories[e.Recipient] = s
		}
		switch {
		case e.Event == "delivered":
			s.delivered++
		case e.Event == "failed" && e.Severity == "permanent":
			s.failed, s.last = s.failed+1, e
		case e.Event == "failed":
			s.attempts++
		}
	}); err != nil {
		return err
	}
	for i, e := range list {
		for u := range each {
			s := stories[fmt.Sprintf("u%d@e%d.test", u, i)]
			if s == nil {
				res.wrong("%s: no events", e.name)
				continue
			}
			ok := false
			switch e.want {
			case arrives:
				ok = s.delivered == 1 && s.failed == 0 && t.book.have(fmt.Sprintf("e%d.test", i)) == each
			case expires:
				ok = s.delivered == 0 && s.failed == 1 && (s.attempts == 2 || e.shy()) && s.last.Reason == "old"
			case bounces:
				ok = s.delivered == 0 && s.failed == 1 && s.attempts == 0
			}
			if !ok {
				res.wrong("%s: %d temporary failures, %d delivered, %d given up (%s, %d %q)", e.name, s.attempts, s.delivered, s.failed,
					s.last.Reason, s.last.Status.Code, s.last.Status.Message)
				break
			}
		}
	}
	return nil
}

// stalling is R5s: receivers that fall silent at each stage. The others get
// their mail meanwhile, connections stay within bounds, the server stops in
// time, and what was stuck is delivered when the receivers have come to their
// senses. In a long run the time-outs of RFC 5321 are waited for instead.
func (r *rig) stalling(ctx context.Context, res *result) error {
	t, n, err := r.newWorld("stalling", "--retry", "1s,1s,1s,1s", "--shutdown-timeout", "5s")
	if err != nil {
		return err
	}
	defer n.end()
	defer t.close()
	var stuck []*sink
	for i, s := range stages()[:7] {
		k, err := n.domain(fmt.Sprintf("s%d.test", i), script{at: s, stall: true}, t.book.arrive)
		if err != nil {
			return err
		}
		stuck = append(stuck, k)
	}
	for i := range 5 {
		if _, err := n.domain(fmt.Sprintf("g%d.test", i), script{}, t.book.arrive); err != nil {
			return err
		}
	}
	if err := t.open(ctx); err != nil {
		return err
	}
	for i := range stuck {
		if err := t.post(ctx, fmt.Sprintf("s%d.test", i), 0, 40); err != nil {
			return err
		}
	}
	for i := range 5 {
		if err := t.post(ctx, fmt.Sprintf("g%d.test", i), 0, 40); err != nil {
			return err
		}
	}
	if err := until(ctx, 20*time.Second, "the good receivers have their mail", func() (bool, error) {
		got := 0
		for i := range 5 {
			got += t.book.have(fmt.Sprintf("g%d.test", i))
		}
		return got == 200, nil
	}); err != nil {
		res.wrong("%s", err)
	}
	if r.long {
		if err := t.timeouts(ctx, res, stuck); err != nil {
			return err
		}
	}
	most, open := int64(0), int64(0)
	for _, k := range stuck {
		most, open = max(most, k.most.Load()), open+k.open.Load()
	}
	res.note("connections stuck: %d in all, at most %d to one receiver", open, most)
	if most > 20 || open > 128 {
		res.wrong("%d connections are stuck, %d to one receiver", open, most)
	}
	began := time.Now()
	if err := t.stop(); err != nil {
		return err
	}
	res.note("SIGTERM to end with stuck sessions: %.1f s, allowed 5", time.Since(began).Seconds())
	if time.Since(began) > 15*time.Second {
		res.wrong("the server took %s to stop", time.Since(began))
	}
	for _, k := range stuck {
		res.InFlight += int(k.cut.Load())
		k.set(script{})
	}
	res.Rounds = len(stuck)
	if err := t.start(ctx); err != nil {
		return err
	}
	return t.finish(ctx, res)
}

// timeouts waits until every silent receiver was given up once: 10 minutes
// after the dot, 5 or less elsewhere.
func (t *site) timeouts(ctx context.Context, res *result, stuck []*sink) error {
	began := time.Now()
	seen := map[string]bool{}
	err := until(ctx, 14*time.Minute, "every stalled session timed out", func() (bool, error) {
		if err := pause(ctx, 2*time.Second); err != nil {
			return false, err
		}
		err := t.events(ctx, sender, "failed", func(e event) {
			domain := e.Recipient[strings.IndexByte(e.Recipient, '@')+1:]
			if !seen[domain] {
				seen[domain] = true
				res.note("%s: %s after %.0f s", domain, e.Status.Message, time.Since(began).Seconds())
			}
		})
		return len(seen) >= len(stuck), err
	})
	if err != nil {
		res.wrong("%s", err)
	}
	return nil
}
