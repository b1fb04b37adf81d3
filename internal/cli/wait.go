package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	firstPoll = 100 * time.Millisecond
	slowest   = 5 * time.Second
	// maxMisses is how many polls in a row may fail: a restart of the server
	// does not end the waiting.
	maxMisses = 10
)

// errPatience says that --timeout is over.
var errPatience = errors.New("timeout")

// sendAndWait follows a message that was taken and prints how it ended.
func sendAndWait(ctx context.Context, e *Env, o *sendOptions, c *client, a *accepted, patience time.Duration) error {
	how := o.form(e)
	if how == forPeople {
		fmt.Fprintln(e.Stdout, "Queued as", clean(a.ID))
	}
	w := &waiter{e: e, c: c, id: a.ID, tell: how == forPeople, told: map[string]string{}}
	m, raw, err := w.wait(ctx, patience)
	if m == nil {
		if how != forPeople { // the message was taken; its name must not be lost
			err = errors.Join(err, printAccepted(e, o, a))
		}
		return followFailed(err, a.ID)
	}
	if err := printEnd(e, how, a, raw); err != nil {
		return err
	}
	if errors.Is(err, errPatience) {
		return waitedEnough(m, patience)
	}
	if err != nil {
		return followFailed(err, a.ID)
	}
	return verdict(m)
}

// printEnd prints the last state known.
func printEnd(e *Env, how form, a *accepted, raw json.RawMessage) error {
	switch how {
	case forPrograms:
		var m struct {
			Recipients json.RawMessage `json:"recipients"`
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		return printJSON(e.Stdout, struct {
			*accepted
			Recipients json.RawMessage `json:"recipients"` // as the server says it
		}{a, m.Recipients})
	case forScripts:
		_, err := fmt.Fprintln(e.Stdout, clean(a.ID))
		return err
	}
	return nil // told as it happened
}

// followFailed is the error of a message that was taken but cannot be followed.
func followFailed(err error, id string) error {
	f := *asFailure(err)
	f.message = "the message was taken as " + id + ", but what becomes of it cannot be seen: " + f.message
	return &f
}

// verdict is the result of waiting to the end.
func verdict(m *messageItem) error {
	missed := 0
	for i := range m.Recipients {
		if _, arrived := m.Recipients[i].final(); !arrived {
			missed++
		}
	}
	if missed == 0 {
		return nil
	}
	f := failed("%d of %s not reached", missed, count(len(m.Recipients), "recipient was", "recipients were"))
	f.code = "not_delivered"
	return f.try("postroad messages show " + m.ID)
}

func waitedEnough(m *messageItem, patience time.Duration) error {
	open := 0
	for i := range m.Recipients {
		if done, _ := m.Recipients[i].final(); !done {
			open++
		}
	}
	f := failed("after %s, %d of %s still on the way; the server goes on trying", patience, open, count(len(m.Recipients), "recipient is", "recipients are"))
	f.code = "timeout"
	return f.try("postroad messages show " + m.ID)
}

// waiter asks for a message until the fate of all recipients is known.
type waiter struct {
	e    *Env
	c    *client
	id   string
	tell bool
	told map[string]string // state told for each recipient
}

// wait returns the last state seen, nil if there is none, also as it came. The
// error is errPatience when time was over.
func (w *waiter) wait(ctx context.Context, patience time.Duration) (last *messageItem, raw json.RawMessage, err error) {
	var over <-chan time.Time
	if patience > 0 {
		c, stop := w.e.clock().After(patience)
		defer stop()
		over = c
	}
	pause, misses := firstPoll, 0
	for {
		m, a, err := w.c.message(ctx, w.id)
		switch {
		case err == nil:
			last, raw, misses = m, a.raw, 0
			if w.report(m) {
				return m, raw, nil
			}
		case !temporary(err) || misses >= maxMisses:
			return last, raw, err
		default:
			misses++
		}
		c, stop := w.e.clock().After(pause)
		select {
		case <-c:
		case <-over:
			stop()
			if last == nil && err != nil {
				return nil, nil, err
			}
			return last, raw, errPatience
		}
		pause = min(pause*3/2, slowest)
	}
}

// report tells people what is new and returns whether all recipients are done.
func (w *waiter) report(m *messageItem) (all bool) {
	all = len(m.Recipients) > 0
	for i := range m.Recipients {
		r := &m.Recipients[i]
		done, _ := r.final()
		all = all && done
		now := r.Status + answerText(r.Code, r.Message)
		if r.NextTry != nil {
			now += r.NextTry.String()
		}
		if !w.tell || w.told[r.Address] == now || r.Status == "accepted" {
			continue
		}
		w.told[r.Address] = now
		line := r.Address + "  " + r.Status
		if text := answerText(r.Code, r.Message); text != "" {
			line += "  " + text
		}
		if !done && r.NextTry != nil {
			line += ", next try " + w.e.ago(*r.NextTry)
		}
		fmt.Fprintln(w.e.Stdout, clean(line))
	}
	return all
}
