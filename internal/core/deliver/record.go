package deliver

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
	"postroad/internal/mail/classify"
)

// entry is what is written of one outcome. Writing only stages rows, so that a
// transaction of outcomes needs no statement of its own.
type entry struct {
	o      *outcome
	msg    *message.Message // nil when it is gone
	events []*event.Event
	due    int64
	revive *queue.Delivery // takes the delivery's place, which gets no outcome
	notice *message.Notice // to the sender, of this and the message's other outcomes; may be nil
}

// record writes the outcomes: one transaction with the events, what follows
// from them, and the finished or rescheduled deliveries. It is tried until it
// succeeds, because what is not recorded would be delivered again.
func (e *Engine) record(ctx context.Context, msg *message.Message, list []*outcome) {
	entries := make([]entry, 0, len(list))
	jitter := e.Jitter() // one for all: what travelled together is retried together
	for _, o := range list {
		if o.verdict == undecided {
			o.tempfail(451, "4.4.2", "the attempt ended without an answer")
		}
		en := entry{o: o, msg: msg}
		if o.verdict == deferred {
			en.due = e.reschedule(o, jitter)
		}
		if msg != nil {
			en.events = e.sealed(msg, o)
		}
		entries = append(entries, en)
		e.count(o)
		e.logAttempt(msg, o)
	}
	tell := e.told(msg, list)
	for try, wait := 1, 100*time.Millisecond; ; try, wait = try+1, min(2*wait, 10*time.Second) {
		err := e.notify(ctx, entries, tell)
		if err == nil {
			err = e.commit(ctx, entries)
		}
		if err == nil {
			return
		}
		e.Logger.Error("outcome could not be recorded", "message", list[0].d.MessageID, "error", err)
		if try >= 5 && !db.IsFull(err) && e.bare(ctx, entries) {
			return
		}
		c, stop := e.clock.After(wait)
		select {
		case <-c:
		case <-ctx.Done(): // stopping: the row stays and the next start delivers again
			stop()
			return
		}
	}
}

func (e *Engine) commit(ctx context.Context, entries []entry) error {
	return e.DB.Group(context.WithoutCancel(ctx), func(tx *db.Tx) error { return e.write(tx, entries) })
}

func (e *Engine) write(tx *db.Tx, entries []entry) error {
	for _, en := range entries {
		for _, ev := range en.events {
			if err := e.Events.Stage(tx, ev); err != nil {
				return err
			}
		}
		if en.notice != nil {
			if err := en.notice.Stage(tx); err != nil {
				return err
			}
		}
		if en.revive != nil {
			e.Queue.Finish(tx, en.o.d)
			e.Queue.Stage(tx, []*queue.Delivery{en.revive})
		} else if en.o.verdict != deferred {
			e.Queue.Finish(tx, en.o.d)
		} else if err := e.Queue.Defer(tx, en.o.d, en.due); err != nil {
			return err
		}
	}
	return nil
}

// bare records what became of deliveries whose events cannot be written, so
// that one bad event neither repeats a delivery nor holds up its lane. While
// the store itself is down this fails as well, and the events are kept.
func (e *Engine) bare(ctx context.Context, entries []entry) bool {
	without := make([]entry, len(entries))
	for i, en := range entries {
		without[i] = entry{o: en.o, due: en.due}
	}
	err := e.commit(ctx, without)
	if err == nil {
		e.Logger.Error("outcomes recorded without their events", "message", entries[0].o.d.MessageID, "deliveries", len(entries))
	}
	return err == nil
}

// sealed makes and encodes the events of an outcome. What cannot be encoded is
// left out: the delivery matters more.
func (e *Engine) sealed(msg *message.Message, o *outcome) (out []*event.Event) {
	if message.ArchiveCopy(o.d.Vars) {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			e.Logger.Error("panic in an event", "message", msg.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			out = nil
		}
	}()
	for _, ev := range e.events(msg, o) {
		if err := e.Events.Seal(ev); err != nil {
			e.Logger.Error("event could not be encoded", "message", msg.ID, "error", err)
			continue
		}
		out = append(out, ev)
	}
	return out
}

// Waits that a reply asks for in place of the schedule's.
const (
	greylistWait  = 5 * time.Minute // when the reply names no time
	greylistTries = 4               // after that many it is no greylisting
	fullWait      = time.Hour       // a full mailbox is not emptied in minutes
	shortestWait  = 30 * time.Second
)

// pace adjusts the schedule's wait to what the reply means.
func (o *outcome) pace(schedule time.Duration) time.Duration {
	hint := o.meaning.RetryAfter
	switch {
	case o.soon > 0:
		return min(o.soon, schedule)
	case o.meaning.Class == classify.Greylisted && o.d.Tries < greylistTries:
		if hint == 0 {
			hint = greylistWait
		}
		return max(hint, shortestWait)
	case o.meaning.Class == classify.MailboxFull:
		return max(schedule, fullWait, hint)
	case o.meaning.Class == classify.RateLimited:
		return max(schedule, hint)
	}
	return max(schedule, o.notBefore)
}

// lastTry is how close to the deadline another attempt makes no sense.
const lastTry = time.Minute

// reschedule sets when to try again, or turns the outcome into giving up when
// the schedule or the deadline is over.
func (e *Engine) reschedule(o *outcome, jitter float64) int64 {
	d := o.d
	now := e.clock.Now()
	o.setLast(last{o.status.Code, o.status.EnhancedCode, o.status.Message, o.status.MXHost, now.UnixMicro(), o.lastAttempt().Told})
	wait := o.next
	if wait == 0 {
		if d.Tries >= len(e.Retry) {
			o.expire()
			return 0
		}
		wait = o.pace(e.Retry[d.Tries])
		wait += time.Duration(float64(wait) * 0.1 * jitter) // a stampede of equal waits is spread
	}
	due, deadline := now.Add(wait), time.UnixMicro(d.Deadline)
	if due.After(deadline) {
		if deadline.Sub(now) < lastTry {
			o.expire()
			return 0
		}
		due = deadline // one last attempt at the end of the time given
	}
	o.status.RetrySeconds = int(max(1, due.Sub(now)/time.Second))
	return due.UnixMicro()
}
