package deliver

import (
	"context"
	"strings"
	"time"

	"postroad/internal/core/message"
	"postroad/internal/mail/report"
)

// delayAfter is how long a delivery has been tried before a sender who asked for
// it hears of the delay, once.
const delayAfter = 4 * time.Hour

// recipients are the addresses of the job as the deliveries have them.
func (j *job) recipients() []string {
	out := make([]string, len(j.list))
	for i, o := range j.list {
		out[i] = o.d.Recipient
	}
	return out
}

// told returns what the sender of msg asked to be told of the outcomes.
func (e *Engine) told(msg *message.Message, list []*outcome) (out []report.Outcome) {
	if msg == nil || msg.Meta.ReturnTo == "" {
		return nil
	}
	for _, o := range list {
		r, ok := e.reported(o)
		if !ok {
			continue
		}
		if r, ok = msg.Told(r, o.d.Vars); !ok {
			continue
		}
		if r.Action == report.Delayed {
			l := o.lastAttempt()
			l.Told = true
			o.setLast(l)
		}
		out = append(out, r)
	}
	return out
}

// reported is an outcome as reports have it; false for those nobody is told of:
// successes that the next server reports, short delays, and what an operator
// dropped.
func (e *Engine) reported(o *outcome) (report.Outcome, bool) {
	r := report.Outcome{Address: o.d.Recipient, Status: o.status.EnhancedCode, RemoteMTA: o.status.MXHost, Reply: o.status.Message}
	if o.said {
		r.Code = o.status.Code
	} else if o.status.Description != "" {
		r.Reply = o.status.Description
	}
	if !o.unattempted {
		r.LastAttempt = e.clock.Now().UTC()
	}
	switch o.verdict {
	case delivered:
		r.Action, r.Code, r.Reply = report.Relayed, 0, ""
		return r, !o.passed
	case deferred:
		r.Action, r.RetryUntil = report.Delayed, time.UnixMicro(o.d.Deadline).UTC()
		old := o.d.FirstAt != 0 && e.clock.Now().Sub(time.UnixMicro(o.d.FirstAt)) >= delayAfter
		return r, old && !o.lastAttempt().Told
	case failed, rejected:
		r.Action = report.Failed
		switch {
		case o.reason == "old":
			r.Status, r.Code, r.Reply = "4.4.7", 0, o.status.Description // RFC 3463 section 3.5: delivery time expired
		case !strings.HasPrefix(r.Status, "5."):
			r.Status = ""
		}
		return r, !o.unattempted || o.status.Code != droppedCode
	}
	return r, false
}

// notify makes the report of what is to be told and puts it with the first of the
// message's outcomes, unless it is there from an earlier try.
func (e *Engine) notify(ctx context.Context, entries []entry, tell []report.Outcome) (err error) {
	if first := &entries[0]; len(tell) > 0 && first.notice == nil {
		first.notice, err = e.Messages.Notice(context.WithoutCancel(ctx), first.msg, first.o.d.Recipient, tell)
	}
	return err
}
