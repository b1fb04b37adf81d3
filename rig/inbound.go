//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// inbound is R16: other servers deliver to a domain of the server, whose route
// stores the mail and forwards it, and the server is killed: at a random moment,
// when half of a message is sent, right after a 250. All that was acknowledged is
// stored and forwarded.
func (r *rig) inbound(ctx context.Context, res *result) error {
	n, err := newInternet() // where no name exists
	if err != nil {
		return err
	}
	defer n.end()
	t, err := r.newSite("inbound", r.binary, "", script{}, "--dns", n.addr, "--retry", "1s,5s")
	if err != nil {
		return err
	}
	defer t.close()
	if err := errors.Join(t.withSMTP(t.dir), t.open(ctx)); err != nil {
		return err
	}
	route := url.Values{"expression": {`match_recipient("box.*@` + sender + `$")`}, "action": {"store()", `forward("archive@sink.example")`}}
	if err := t.call(ctx, http.MethodPost, "/v3/routes", route, nil); err != nil {
		return err
	}
	for i := range r.rounds(9, 150) {
		if err := r.killInbound(ctx, t, res, i%3); err != nil {
			return err
		}
		res.Rounds++
	}
	if err := t.drain(ctx, 20*time.Second, t.book.quiet); err != nil {
		return errors.Join(err, t.lastLog())
	}
	if err := t.stored(ctx, res); err != nil {
		return err
	}
	return t.finish(ctx, res)
}

// killInbound is one round; how says when the server is killed.
func (r *rig) killInbound(ctx context.Context, t *site, res *result, how int) error {
	l := newLoad(t.server, t.book.ack, t.next)
	l.http, l.outside = 0, 24
	reached := make(chan struct{})
	left := atomic.Int64{}
	left.Store(50 + r.random.Int64N(1500))
	one := func() {
		if left.Add(-1) == 0 {
			close(reached)
		}
	}
	switch how {
	case 0:
		defer time.AfterFunc(r.moment(50*time.Millisecond, time.Second), func() { close(reached) }).Stop()
	case 1:
		l.half = one
	case 2:
		l.ack = func(rig string) { t.book.ack(rig); one() }
	}
	if err := t.during(ctx, l, func() error {
		select {
		case <-reached:
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Minute):
			return fmt.Errorf("the load came to nothing: %s", few(l.other()))
		}
		return t.crash(res)
	}); err != nil {
		return err
	}
	if strange := l.other(0); len(strange) > 0 {
		res.wrong("answers: %s", few(strange))
	}
	return t.start(ctx)
}

// stored checks that what was acknowledged is stored, once, and that what is
// stored can be fetched; of the latter a sample.
func (t *site) stored(ctx context.Context, res *result) error {
	have, where := map[string]int{}, map[string]string{}
	if err := t.events(ctx, sender, "stored", func(e event) {
		have[e.Message.Headers.MessageID]++
		where[e.Message.Headers.MessageID] = e.Storage.URL
	}); err != nil {
		return err
	}
	var lost, twice []string
	t.book.mu.Lock()
	for rig := range t.book.acked {
		if have[outsideID(rig)] == 0 {
			lost = append(lost, rig)
		}
	}
	t.book.mu.Unlock()
	read := 0
	for id, times := range have {
		if times > 1 {
			twice = append(twice, id)
		}
		if read++; read > 300 {
			continue
		}
		var m struct {
			ID string `json:"Message-Id"`
		}
		if err := t.call(ctx, http.MethodGet, where[id], nil, &m); err != nil {
			return err
		}
		if m.ID != "<"+id+">" {
			res.wrong("stored as %s: %s", id, m.ID)
		}
	}
	if len(lost) > 0 || len(twice) > 0 {
		res.wrong("%d acknowledged messages are not stored: %s; %d are stored twice: %s", len(lost), few(lost), len(twice), few(twice))
	}
	res.note("%d messages are stored, %d of them were fetched", len(have), min(read, 300))
	return nil
}
