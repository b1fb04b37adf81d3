//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// deleted is R14: a domain is deleted while its mail is queued. Its deliveries
// end; those of another domain do not.
func (r *rig) deleted(ctx context.Context, res *result) error {
	for range r.rounds(3, 20) {
		if err := r.delete(ctx, res); err != nil {
			return err
		}
		res.Rounds++
	}
	return nil
}

func (r *rig) delete(ctx context.Context, res *result) error {
	t, err := r.newSite("deleted", r.binary, "", script{at: atRcpt, reply: "450 4.2.0 later"}, "--retry", "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s")
	if err != nil {
		return err
	}
	defer t.close()
	const other = "other.example"
	if err := errors.Join(t.open(ctx), t.createDomain(ctx, other)); err != nil {
		return err
	}
	gone := newLedger()
	for i := range 50 {
		for _, d := range []string{sender, other} {
			id := fmt.Sprintf("%s-%d", d, i)
			form := url.Values{"from": {"rig@" + d}, "to": {"user@sink.example"}, "subject": {"x"}, "text": {"x"}, "h:" + rigHeader: {id}}
			if err := t.call(ctx, http.MethodPost, "/v3/"+d+"/messages", form, nil); err != nil {
				return err
			}
			if d == sender {
				t.book.ack(id)
			} else {
				gone.ack(id)
			}
		}
	}
	limit, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := t.call(limit, http.MethodDelete, "/v3/domains/"+other, nil, nil); err != nil {
		return err
	}
	t.sink.set(script{})
	if err := t.drain(ctx, 15*time.Second, t.book.quiet); err != nil {
		return err
	}
	t.book.mu.Lock()
	late := 0
	for id := range t.book.arrived {
		if gone.acked[id] != (time.Time{}) {
			late++
		}
	}
	t.book.mu.Unlock()
	if late > 0 {
		res.wrong("%d messages of the deleted domain were sent", late)
	}
	return t.finish(ctx, res)
}

// removed is R14s: mail is queued for two source addresses, and the server is
// started with one of them, then with another one only. What waited for an
// address that is gone leaves from another.
func (r *rig) removed(ctx context.Context, res *result) error {
	t, n, err := r.newWorld("removed", "--retry", "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s")
	if err != nil {
		return err
	}
	defer n.end()
	defer t.close()
	var hosts []*sink
	for i := range 5 {
		s, err := n.domain(fmt.Sprintf("d%d.test", i), script{at: atRcpt, reply: "450 4.2.0 later"}, t.book.arrive)
		if err != nil {
			return err
		}
		hosts = append(hosts, s)
	}
	plain := t.args
	from := func(list ...string) {
		t.args = plain
		for _, s := range list {
			t.args = append(t.args[:len(t.args):len(t.args)], "--source", s)
		}
	}
	from("one=127.26.0.1", "two=127.26.0.2")
	if err := t.open(ctx); err != nil {
		return err
	}
	for i := range hosts {
		if err := t.post(ctx, fmt.Sprintf("d%d.test", i), 0, 20); err != nil {
			return err
		}
	}
	for _, next := range []string{"one=127.26.0.1", "three=127.26.0.3"} {
		if err := errors.Join(pause(ctx, 1500*time.Millisecond), t.stop()); err != nil {
			return err
		}
		from(next)
		if err := t.start(ctx); err != nil {
			return err
		}
		res.Rounds++
	}
	for _, s := range hosts {
		s.set(script{})
	}
	return t.finish(ctx, res)
}

// retention is R15: retention ends while mail is not sent yet; what is sent goes,
// the rest stays.
func (r *rig) retention(ctx context.Context, res *result) error {
	t, err := r.newSite("retention", r.binary, "", script{}, "--retry", "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s", "--retention", "0s")
	if err != nil {
		return err
	}
	defer t.close()
	if err := errors.Join(t.open(ctx), t.send(ctx, 50, nil), t.drain(ctx, 10*time.Second, t.book.quiet)); err != nil {
		return err
	}
	t.sink.set(script{at: atRcpt, reply: "450 4.2.0 later"})
	if err := errors.Join(t.send(ctx, 50, nil), t.stop()); err != nil {
		return err
	}
	if err := edit(t.data, "UPDATE message SET expires_at = 1"); err != nil {
		return err
	}
	if n, err := sentMessages(t.data); err != nil || n == 0 {
		return errors.Join(err, errors.New("there is nothing for retention to remove"))
	}
	if err := t.start(ctx); err != nil { // the sweep runs at the start
		return err
	}
	if err := until(ctx, 10*time.Second, "messages that were sent are removed", func() (bool, error) {
		n, err := sentMessages(t.data)
		return n == 0, err
	}); err != nil {
		return err
	}
	t.sink.set(script{})
	res.Rounds = 1
	return t.finish(ctx, res)
}

// idempotency is R10: one key, many requests at the same time, a kill among
// them, and the same again afterwards: one message.
func (r *rig) idempotency(ctx context.Context, res *result) error {
	t, err := r.newSite("idempotency", r.binary, "", script{}, "--retry", "1s,5s")
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.open(ctx); err != nil {
		return err
	}
	for i := range r.rounds(5, 50) {
		id := fmt.Sprintf("key-%d", i)
		form := url.Values{"from": {"rig@" + sender}, "to": {"user@sink.example"}, "subject": {"x"}, "text": {"x"},
			"h:" + rigHeader: {id}, "idempotency-key": {id}}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if status, _, err := t.do(ctx, http.MethodPost, "/v3/"+sender+"/messages", form); err == nil && status == http.StatusOK {
					t.book.ack(id)
				}
			})
		}
		if err := pause(ctx, r.moment(0, 60*time.Millisecond)); err != nil {
			return err
		}
		if err := errors.Join(t.crash(res)); err != nil {
			return err
		}
		wg.Wait()
		if err := t.start(ctx); err != nil {
			return err
		}
		for range 3 {
			if err := t.call(ctx, http.MethodPost, "/v3/"+sender+"/messages", form, nil); err != nil {
				return err
			}
			t.book.ack(id)
		}
		res.Rounds++
	}
	if err := t.drain(ctx, 15*time.Second, t.book.quiet); err != nil {
		return err
	}
	for i := range res.Rounds {
		if n := t.book.copies(fmt.Sprintf("key-%d", i)); n != 1 {
			res.wrong("one key made %d messages", n)
		}
	}
	return t.finish(ctx, res)
}

// batch is R11: a message to 1,000 recipients with variables is killed while it
// is taken or delivered: all of it or nothing.
func (r *rig) batch(ctx context.Context, res *result) error {
	t, err := r.newSite("batch", r.binary, "", script{}, "--retry", "1s,5s")
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.open(ctx); err != nil {
		return err
	}
	var to, vars []string
	for i := range 1000 {
		a := fmt.Sprintf("user%d@sink.example", i)
		to, vars = append(to, a), append(vars, fmt.Sprintf("%q:{\"n\":%d}", a, i))
	}
	taken := 0
	for i := range r.rounds(6, 60) {
		id := fmt.Sprintf("batch-%d", i)
		form := url.Values{"from": {"rig@" + sender}, "to": to, "subject": {"for %recipient.n%"}, "text": {"x"},
			"h:" + rigHeader: {id}, "recipient-variables": {"{" + strings.Join(vars, ",") + "}"}}
		answered := make(chan bool, 1)
		go func() {
			status, _, err := t.do(ctx, http.MethodPost, "/v3/"+sender+"/messages", form)
			answered <- err == nil && status == http.StatusOK
		}()
		if err := pause(ctx, r.moment(0, 300*time.Millisecond)); err != nil {
			return err
		}
		if err := t.crash(res); err != nil {
			return err
		}
		if <-answered {
			t.book.ack(id)
		}
		if err := errors.Join(t.start(ctx), t.drain(ctx, 15*time.Second, t.book.quiet)); err != nil {
			return err
		}
		n := t.book.copies(id)
		if n != 0 && n != len(to) {
			res.wrong("%d of %d recipients of a batch got it", n, len(to))
		}
		if n > 0 {
			taken++
		}
		res.Rounds++
	}
	res.note("%d of %d batches were taken", taken, res.Rounds)
	return t.finish(ctx, res)
}

// sentMessages counts messages without an unfinished delivery in the database of
// a running server.
func sentMessages(data string) (n int, err error) {
	err = query(data, "SELECT COUNT(*) FROM message WHERE id NOT IN (SELECT message_id FROM delivery)", &n)
	return n, err
}
