package webhook

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/netx"
)

// Statuses with a meaning of their own. Mailgun: webhooks page of the manual.
const (
	statusOK            = 200
	statusNotAcceptable = 406
)

// sent is what is kept of a request: the payload is in the call already, so
// the row of an attempt needs only what differs between attempts.
type sent struct {
	Header    [][2]string `json:"header"`
	Signature Signature   `json:"signature"` // zero: in the header
}

// body is the document a receiver gets.
// Mailgun: {"signature":{...},"event-data":{...}}.
func (s *sent) body(payload string) ([]byte, error) {
	if s.Signature == (Signature{}) {
		return []byte(payload), nil
	}
	sig, err := json.Marshal(s.Signature)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(payload)+len(sig)+32)
	b = append(append(b, `{"signature":`...), sig...)
	b = append(append(b, `,"event-data":`...), payload...)
	return append(b, '}'), nil
}

// restore builds the request of an attempt again, byte for byte up to the limit.
func (s *sent) restore(c *Call) (Request, error) {
	b, err := s.body(c.Payload)
	if err != nil {
		return Request{}, err
	}
	return Request{Method: "POST", URL: c.URL, Header: s.Header, Body: storable(b[:min(len(b), MaxRequest)])}, nil
}

// result is what came of one request.
type result struct {
	at       int64 // microseconds
	duration time.Duration
	status   int
	request  string // a sent, as JSON
	response string
	err      string
}

// post signs the payload and sends it. A signing key that cannot be read makes
// an attempt that failed, so that such a call ends with its plan.
func (s *Service) post(ctx context.Context, account, to, payload string) (*result, error) {
	now := s.clock().Now()
	key, err := s.accounts.SigningKey(ctx, account)
	if err != nil {
		s.log.Error("webhook not signed", "account", account, "error", err)
		return &result{at: clock.Micro(now), request: "{}", err: "not sent: the signing key of the account cannot be read"}, nil
	}
	what := sent{Header: s.header(to), Signature: NewSignature(key, now)}
	body, err := what.body(payload)
	if err != nil {
		return nil, err
	}
	kept, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	r := s.exchange(ctx, to, what.Header, body)
	r.at, r.request = clock.Micro(now), string(kept)
	return r, nil
}

// make performs one attempt of a call.
func (s *Service) make(ctx context.Context, c *claimed) (*result, error) {
	if c.secret != "" {
		return s.postSigned(ctx, c)
	}
	return s.post(ctx, c.account, c.url, c.payload)
}

func (s *Service) header(to string) [][2]string {
	out := [][2]string{{"Content-Type", "application/json"}, {"User-Agent", s.o.UserAgent}}
	if u, err := url.Parse(to); err == nil {
		out = append([][2]string{{"Host", u.Host}}, out...)
	}
	return out
}

// verdict is what an attempt means for its call.
type verdict struct {
	state State
	step  int64
	due   int64 // 0 when nothing is to come
}

// judge applies the plan. Mailgun: 200 is success, 406 a refusal for good,
// anything else is tried again.
func judge(r *result, step int64, plan []time.Duration, now int64) verdict {
	switch {
	case r.status == statusOK:
		return verdict{state: Delivered, step: step}
	case r.status == statusNotAcceptable:
		return verdict{state: Rejected, step: step}
	case step >= int64(len(plan)):
		return verdict{state: Failed, step: step}
	}
	return verdict{state: Waiting, step: step + 1, due: now + plan[step].Microseconds()}
}

// attempt makes one claimed call and records what came of it. The outcome
// says what the scheduler has to know of the receiver.
func (s *Service) attempt(ctx context.Context, c *claimed) outcome {
	s.count.inFlight.Add(1)
	defer s.count.inFlight.Add(-1)
	r, err := s.make(ctx, c)
	if err == nil && r.status == 0 && ctx.Err() != nil {
		err = ctx.Err() // we broke it off before any answer, the receiver is not to blame
	}
	if err != nil {
		s.log.Warn("webhook call given back", "call", c.id, "error", err)
		return s.giveBack(c)
	}
	var v verdict
	err = s.db.Group(context.WithoutCancel(ctx), func(tx *db.Tx) error {
		v = judge(r, c.step, s.o.Plan, tx.Now)
		if c.secret != "" && r.status >= 200 && r.status < 300 {
			v = verdict{state: Delivered, step: c.step}
		}
		return finish(tx, c, s.node, s.ids.Next(), r, v)
	})
	if err != nil {
		s.log.Error("webhook result not recorded, the call will be made again", "call", c.id, "error", err)
		return outcome{next: c.lease}
	}
	s.observe(c, r, v)
	return outcome{next: v.due, troubled: r.status == 0 || r.duration > s.o.SlowAfter}
}

// giveBack ends a claim without an attempt; the call is due again at once.
// When even that fails the lease runs out by itself.
func (s *Service) giveBack(c *claimed) outcome {
	next := c.lease
	err := s.db.Group(context.Background(), func(tx *db.Tx) error {
		next = tx.Now
		return releaseOne(tx, c, s.node)
	})
	if err != nil {
		s.log.Error("webhook claim not released", "call", c.id, "error", err)
		next = c.lease
	}
	return outcome{next: next}
}

func (s *Service) observe(c *claimed, r *result, v verdict) {
	s.count.attempts.Add(1)
	switch v.state {
	case Delivered:
		s.count.delivered.Add(1)
	case Rejected:
		s.count.rejected.Add(1)
	case Failed:
		s.count.failed.Add(1)
	case Waiting:
		s.count.retried.Add(1)
	}
	s.log.Info("webhook", "call", c.id, "url", netx.Redact(c.url), "attempt", c.attempt+1, "status", strconv.Itoa(r.status),
		"ms", r.duration.Milliseconds(), "state", string(v.state), "error", r.err)
}
