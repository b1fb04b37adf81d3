package deliver

import (
	"context"
	"slices"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/core/queue"
	"postroad/internal/core/shape"
	"postroad/internal/mail/classify"
)

// verdictOf is what a reply means.
type verdictOf = classify.Verdict

// Shaper bounds lanes and learns from what comes of attempts. Its methods are
// quick.
type Shaper interface {
	Report(lane, mx string, r shape.Report)
	// PerConnection is how many messages a connection of the lane may carry, 0
	// for any number.
	PerConnection(lane string) int
}

// said finds out what the server's words in a failure mean. What is about our
// address or our conduct holds at the other hosts of the site as well.
func (t *wire) said(f *failure) {
	f.verdict = classify.Classify(f.code, f.enhanced, f.text, f.mx)
	f.everywhere = ours(f.verdict)
}

// ours reports whether a reply is about what we did or are, at this site.
func ours(v verdictOf) bool {
	return (v.Class == classify.RateLimited || v.Class == classify.Blocklisted) && v.Scope == classify.ScopeSource
}

// perConn is how many messages a connection of the lane may carry.
func (e *Engine) perConn(lane string) int {
	if e.Shape != nil {
		if n := e.Shape.PerConnection(lane); n > 0 {
			return min(n, maxPerConn)
		}
	}
	return maxPerConn
}

// reportAnswer tells the lane what came of a transaction: what it was accused of,
// if anything, and for how many recipients the message was taken.
func (t *wire) reportAnswer(lane string, c *conn, list []*outcome, took time.Duration) {
	if t.e.Shape == nil {
		return
	}
	var accused, other *outcome
	taken := 0
	for _, o := range list {
		switch {
		case o.verdict == delivered:
			taken++
		case ours(o.meaning) || o.meaning.Class == classify.ServerBusy && o.status.Code == 421:
			accused = o
		case other == nil || other.meaning.Class == classify.Other:
			other = o
		}
		if o.meaning.Scope == classify.ScopeConnection && o.meaning.Class == classify.RateLimited {
			c.worn = true // another connection is welcome
		}
	}
	say := func(o *outcome) {
		t.e.Shape.Report(lane, c.mx, shape.Report{Verdict: o.meaning, Code: o.status.Code, Text: o.status.Message, Connected: true, Latency: took})
	}
	if accused != nil {
		say(accused)
	}
	if taken > 0 {
		t.e.Shape.Report(lane, c.mx, shape.Report{Verdict: verdictOf{Class: classify.Accepted}, Code: 250, Delivered: true, Connected: true,
			Deliveries: taken, Latency: took})
		t.e.Router.Pool.Count(c.source, c.site, taken)
	} else if accused == nil && other != nil {
		say(other)
	}
}

// reportFailure tells the lane about an attempt that came to no transaction.
func (t *wire) reportFailure(lane string, f *failure) {
	if t.e.Shape == nil || f.unreached || f.again || f.ours {
		return
	}
	t.e.Shape.Report(lane, f.mx, shape.Report{Verdict: f.verdict, Code: f.code, Text: f.text, Connected: f.via != nil || f.tls})
}

// switchSoon is when mail leaves from another source that its site refused from
// one.
const switchSoon = time.Minute

// elsewhere gives mail that was refused because of where it came from another try
// from another source of the pool, if there is one: for the message that is not
// the end. One such reply does not block the source when others were taken at the
// same time, so it may be asked again.
func (e *Engine) elsewhere(o *outcome, source string) {
	if o.meaning.Class != classify.Blocklisted || o.meaning.Scope != classify.ScopeSource || o.d.Tries >= len(e.Retry) ||
		o.verdict != deferred && o.verdict != failed || !e.Router.Pool.Others(source) {
		return
	}
	if e.Router.Source(o.d).Name == source && o.d.Tries >= askAgain {
		return
	}
	if o.verdict == failed {
		o.tempfail(o.status.Code, o.status.EnhancedCode, o.status.Message)
		o.status.BounceType = ""
	}
	o.soon = switchSoon
}

// askAgain is how many times a source that is refused as blocked is used again
// for a message although the refusal is permanent.
const askAgain = 2

// stuckFor is how long mail is put back that a rule ties to a blocked source.
const stuckFor = 15 * time.Minute

// leave gives deliveries back to the queue that belong to another lane by now: a
// rule or the hosts of their site have changed, or the source is blocked and
// another one takes over. What is tied to a blocked source is put off. It returns
// those to deliver.
func (e *Engine) leave(ctx context.Context, lane string, list []*queue.Delivery) []*queue.Delivery {
	blocked := e.Router.Blocked(lane)
	if !blocked && !slices.ContainsFunc(list, func(d *queue.Delivery) bool { return e.Router.moved(lane, d) }) {
		return list
	}
	var rest []*queue.Delivery
	err := e.DB.Group(context.WithoutCancel(ctx), func(tx *db.Tx) error {
		rest = nil
		for _, d := range list {
			switch {
			case e.Router.moved(lane, d):
				e.Queue.Postpone(tx, d, tx.Now)
			case blocked:
				e.Queue.Postpone(tx, d, tx.Now+stuckFor.Microseconds())
			default:
				rest = append(rest, d)
			}
		}
		return nil
	})
	if err != nil {
		e.Logger.Error("deliveries could not be moved to another lane", "lane", lane, "error", err)
		return list
	}
	return rest
}
