package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"
)

// acceptSMTP measures taking mail over SMTP and nothing else: each message is
// on disk before its 250, and none is delivered. Postroad is told in the
// message to deliver it tomorrow, Postfix defers its transport, Exim only
// queues.
type acceptSMTP struct {
	target
	choice
	messages, connections, size, runs int
	out                               string
}

func defineAcceptSMTP(f *flag.FlagSet) func(context.Context) error {
	var a acceptSMTP
	a.target.define(f)
	a.choice.define(f)
	f.IntVar(&a.messages, "messages", 10000, "messages per run")
	f.IntVar(&a.connections, "connections", 64, "connections of the load tool")
	f.IntVar(&a.size, "size", 10240, "bytes of text in each message")
	f.IntVar(&a.runs, "runs", 1, "runs of each system; medians are reported")
	f.StringVar(&a.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error { return single(ctx, a.out, a.run) }
}

// keeper is a peer that can tell how many messages it holds.
type keeper interface {
	kept(ctx context.Context) (int, error)
}

const kindAccept = "accept-smtp"

func (a *acceptSMTP) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	binary, err := a.resolve(ctx, dir)
	if err != nil {
		return err
	}
	all, err := a.pick(binary)
	if err != nil {
		return err
	}
	here, failed := all.holding().present(ctx, r, kindAccept)
	for range a.runs {
		for _, p := range here.list {
			if ctx.Err() != nil {
				return errors.Join(failed, ctx.Err())
			}
			if err := a.one(ctx, r, p, dir); err != nil {
				failed = errors.Join(failed, here.missed(r, kindAccept, p, p.name, err))
			}
		}
	}
	return errors.Join(failed, ctx.Err())
}

func (a *acceptSMTP) one(ctx context.Context, r *report, p product, dir string) error {
	relay, err := freeAddr() // nothing listens there
	if err != nil {
		return err
	}
	w, err := launch(ctx, p, dir, relay, false, true)
	if err != nil {
		return err
	}
	return errors.Join(w.explain(a.measure(ctx, r, p.name, w)), w.end(ctx))
}

func (a *acceptSMTP) measure(ctx context.Context, r *report, name string, w *running) error {
	file, err := writeMessage(w.dir, a.size, false, "X-Mailgun-Deliver-By: "+time.Now().Add(24*time.Hour).Format(time.RFC1123Z))
	if err != nil {
		return err
	}
	one, err := taking(ctx, w, smtpLoad(w.addr(), file, a.connections), a.messages)
	if err != nil {
		return err
	}
	one.Kind, one.System, one.Connections, one.Size = kindAccept, name, a.connections, a.size
	return r.add(one)
}

// taking measures n messages being taken, and checks that all are held then.
func taking(ctx context.Context, w *running, send submit, n int) (result, error) {
	k, ok := w.peer.(keeper)
	if !ok {
		return result{}, errors.New("it does not tell what it holds")
	}
	m, err := begin(ctx, w.group)
	if err != nil {
		return result{}, err
	}
	defer m.stop()
	if _, err := send(ctx, n); err != nil {
		return result{}, err
	}
	end := time.Now()
	if err := pause(ctx, settle); err != nil {
		return result{}, err
	}
	one, err := m.result(end, n)
	if err != nil {
		return result{}, err
	}
	return one, awaitKept(ctx, k, n)
}

// awaitKept waits until all messages are found: a queue in which they are being
// moved may show one twice or not at all.
func awaitKept(ctx context.Context, k keeper, want int) error {
	for last := time.Now().Add(20 * time.Second); ; {
		n, err := k.kept(ctx)
		if err != nil {
			return err
		}
		if n == want {
			return nil
		}
		if time.Now().After(last) {
			return fmt.Errorf("it took %d messages and holds %d", want, n)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}
