//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// storm is R7: very many retries fall due at the same moment, as after a long
// stop. New mail to the same destination and to another one must not wait until
// they are through. The retries are made in the database of a stopped server.
func (r *rig) storm(ctx context.Context, res *result) error {
	t, err := r.newSite("storm", r.binary, "", script{}, "--retry", "1h,1h,1h")
	if err != nil {
		return err
	}
	defer t.close()
	other, err := startSink("127.0.0.1:0", script{}, t.book.arrive)
	if err != nil {
		return err
	}
	defer other.close()
	t.args = append(t.args, "--relay", "other.example=smtp://"+other.addr())
	if err := t.open(ctx); err != nil {
		return err
	}
	batches := r.rounds(20, 200)
	for i := range batches {
		if err := t.later(ctx, fmt.Sprintf("storm-%d", i)); err != nil {
			return err
		}
	}
	if err := t.stop(); err != nil {
		return err
	}
	if err := edit(t.data, fmt.Sprintf("UPDATE delivery SET due = %d, tries = 1", time.Now().UnixMicro())); err != nil {
		return err
	}
	t.sink.set(script{pause: 20 * time.Millisecond})
	if err := t.start(ctx); err != nil {
		return err
	}
	if err := errors.Join(pause(ctx, 500*time.Millisecond), t.newMail(ctx, res, batches)); err != nil {
		return err
	}
	t.sink.set(script{})
	if err := t.drain(ctx, 20*time.Second, t.book.quiet); err != nil {
		return err
	}
	for i := range batches {
		if n := t.book.copies(fmt.Sprintf("storm-%d", i)); n != 1000 {
			res.wrong("%d of 1000 recipients of a batch got it", n)
		}
	}
	res.Rounds = 1
	return t.finish(ctx, res)
}

// later submits a batch to 1,000 recipients that is not due for a day.
func (t *site) later(ctx context.Context, id string) error {
	var to, vars []string
	for i := range 1000 {
		a := fmt.Sprintf("user%d@sink.example", i)
		to, vars = append(to, a), append(vars, fmt.Sprintf("%q:{}", a))
	}
	form := url.Values{"from": {"rig@" + sender}, "to": to, "subject": {"x"}, "text": {"x"}, "h:" + rigHeader: {id},
		"recipient-variables": {"{" + strings.Join(vars, ",") + "}"}, "o:deliverytime": {time.Now().Add(24 * time.Hour).UTC().Format(time.RFC1123Z)}}
	err := t.call(ctx, http.MethodPost, "/v3/"+sender+"/messages", form, nil)
	if err == nil {
		t.book.ack(id)
	}
	return err
}

// newMail sends new mail into the storm and compares.
func (t *site) newMail(ctx context.Context, res *result, batches int) error {
	const each = 200
	for i := range each {
		for _, d := range []string{"sink.example", "other.example"} {
			if err := t.post(ctx, d, i, 1); err != nil {
				return err
			}
		}
	}
	for _, d := range []string{"other.example", "sink.example"} {
		began := time.Now()
		if err := until(ctx, 60*time.Second, "new mail to "+d+" arrived", func() (bool, error) { return t.book.have(d) == each, nil }); err != nil {
			return err
		}
		left, err := t.queued(ctx)
		if err != nil {
			return err
		}
		res.note("%d new messages to %s all arrived %.1f s after the last was taken, with %d of %d retries still queued", each, d,
			time.Since(began).Seconds(), left, 1000*batches)
		if left < 500*batches {
			res.wrong("new mail to %s had to wait for the storm: %d of %d retries are left", d, left, 1000*batches)
		}
	}
	return nil
}

// clock is R9. A clock cannot be set for one process, so these are the tests of
// the program that run it on a clock of their own.
func (r *rig) clock(ctx context.Context, res *result) error {
	for _, t := range [][2]string{{"TestClockStep", "./internal/core/deliver"}, {"TestClockSetBack", "./internal/core/webhook"}} {
		out, err := goCommand(ctx, r.source, "test", "-count=1", "-v", "-run", "^"+t[0]+"$", t[1])
		if err != nil {
			return fmt.Errorf("%s in %s: %w\n%s", t[0], t[1], err, out)
		}
		if !strings.Contains(out, "--- PASS: "+t[0]) {
			return fmt.Errorf("there is no test %s in %s", t[0], t[1])
		}
		res.Rounds++
		res.note("go test -run %s %s", t[0], t[1])
	}
	return nil
}
