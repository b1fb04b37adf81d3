package deliver

import (
	"context"
	"errors"
	"strings"
	"time"

	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
	"postroad/internal/mail/smtp"
)

// Limits of reusing a connection. Time bounds it as well as count: by count
// alone the slowest host of a destination would collect all connections.
const (
	maxPerConn  = 500
	maxConnAge  = 5 * time.Minute
	errTextSize = 500
)

// wire delivers by SMTP to the MX hosts of a domain or to a relay. It belongs
// to one session and keeps at most one connection.
type wire struct {
	e    *Engine
	lane string
	conn *conn

	patience time.Time // when to look for a host no longer
}

// conn is an open connection and what was learned while opening it.
type conn struct {
	*smtp.Client
	mx       string // host name as the MX record gives it
	local    string // our address
	tls      bool
	verified bool // certificate valid for the host
	opened   time.Time
	sent     int
}

// policy is what a message asks of the connection.
type policy struct {
	require bool // no delivery without TLS
	verify  bool // and the certificate must be valid
}

func (t *wire) close() {
	if t.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if t.conn.Usable() {
			t.conn.Quit(ctx) // politeness; the connection ends either way
		}
		t.conn.Close()
		t.conn = nil
	}
}

// policyOf reads the message's wishes, then the domain's. Mailgun: the message
// level wins.
func policyOf(j *job) policy {
	req, skip := j.dom.Settings.RequireTLS, j.dom.Settings.SkipVerification
	if v := j.msg.Meta.Options.RequireTLS; v != nil {
		req = *v
	}
	if v := j.msg.Meta.Options.SkipVerification; v != nil {
		skip = *v
	}
	return policy{require: req, verify: req && !skip}
}

func (c *conn) fits(p policy) bool { return (!p.require || c.tls) && (!p.verify || c.verified) }

// send hands the job over, on the open connection if it will do. A reused
// connection that turns out to be closed says nothing about the message: one
// fresh connection is tried.
func (t *wire) send(ctx context.Context, j *job) {
	p := policyOf(j)
	if c := t.conn; c != nil {
		if c.Usable() && c.fits(p) && c.sent < maxPerConn && t.e.clock.Now().Sub(c.opened) < maxConnAge {
			c.StartTranscript()
			if t.transact(ctx, j, c) {
				t.e.Stats.Reused.Add(1)
				t.part()
				return
			}
		}
		t.close()
	}
	c, fail := t.connect(ctx, domainOf(j.list[0].d.Recipient), p)
	if fail != nil {
		fail.apply(j.list)
		return
	}
	t.conn = c
	if !t.transact(ctx, j, c) {
		for _, o := range j.list {
			if o.verdict == undecided {
				o.tempfail(421, "4.4.2", "connection lost before the message was handed over")
				t.note(o, c)
			}
		}
	}
	t.part()
}

// part lets go of a connection that cannot be used again.
func (t *wire) part() {
	if t.conn != nil && !t.conn.Usable() {
		t.close()
	}
}

// transact runs one transaction and decides the outcomes. It reports false,
// deciding nothing, when the connection ended before the other side can have
// taken responsibility: it broke, or it was used before and the server says
// now that it closes it.
func (t *wire) transact(ctx context.Context, j *job, c *conn) bool {
	env := smtp.Envelope{From: j.msg.Sender, EightBit: j.msg.Meta.EightBit, UTF8: j.msg.Meta.UTF8, To: make([]string, len(j.list))}
	for i, o := range j.list {
		env.To[i] = wireAddress(o.d.Recipient)
	}
	c.sent++
	res, err := c.Send(ctx, env, j.body)
	if errors.Is(err, smtp.ErrNoEightBit) {
		var body smtp.Message
		if body, err = t.sevenBit(j); err == nil {
			env.EightBit = false
			res, err = c.Send(ctx, env, body)
		}
	}
	var broken *smtp.StageError
	if errors.As(err, &broken) && broken.Stage != smtp.StageBody || errors.Is(err, smtp.ErrUnusable) {
		return false
	}
	var refused *smtp.ReplyError
	if errors.As(err, &refused) && c.sent > 1 && (refused.Stage == smtp.StageReset || refused.Stage == smtp.StageMail && refused.Reply.Code == 421) {
		return false // about the connection, not about this message
	}
	for i, o := range j.list {
		t.decide(o, &res, i, refused, err)
		t.note(o, c)
	}
	return true
}

// decide gives recipient i its outcome.
func (t *wire) decide(o *outcome, res *smtp.Result, i int, refused *smtp.ReplyError, err error) {
	r := res.Outcome(i)
	// A reply to an earlier step stands in for that to RCPT.
	own := !res.Recipients[i].Positive() && (refused == nil || refused.Stage != smtp.StageMail)
	switch {
	case r.Code != 0:
		o.classify(r.Code, r.Enhanced, clip(r.Text), own)
	case errors.Is(err, mime.ErrEightBit):
		o.permfail(554, "5.6.3", "the server takes no 8-bit messages and this one cannot be converted", "generic")
	case err != nil:
		o.tempfail(451, "4.4.2", clip(err.Error()))
	default:
		o.tempfail(451, "4.4.2", "the server gave no answer for this recipient")
	}
}

// wireAddress is the form of a mailbox for the envelope: the domain in A-labels,
// so that only a local part that needs it needs SMTPUTF8 (RFC 6531).
func wireAddress(mailbox string) string {
	if a, err := addr.ParseMailbox(mailbox); err == nil {
		return a.ASCII()
	}
	return mailbox
}

// note records how the message travelled.
func (t *wire) note(o *outcome, c *conn) {
	isTLS, verified, utf8 := c.tls, c.verified, c.Extensions().SMTPUTF8
	o.status.TLS, o.status.CertificateVerified, o.status.UTF8 = &isTLS, &verified, &utf8
	o.status.MXHost = c.mx
	o.ip = c.local
	o.detail = smtp.EncodeTranscript(c.Transcript())
}

// failure is an attempt that ended before a transaction.
type failure struct {
	perm     bool
	code     int
	enhanced string
	text     string
	bounce   bool
	silent   bool // no connection came about
	mx, log  string
}

func (f *failure) apply(list []*outcome) {
	for _, o := range list {
		switch {
		case f.perm && f.bounce:
			o.permfail(f.code, f.enhanced, f.text, "bounce")
		case f.perm:
			o.permfail(f.code, f.enhanced, f.text, "generic")
		default:
			o.tempfail(f.code, f.enhanced, f.text)
		}
		o.status.Description = f.text
		o.status.MXHost = f.mx
		o.detail = f.log
	}
}

func clip(s string) string {
	if len(s) > errTextSize {
		return strings.ToValidUTF8(s[:errTextSize], "") + "..."
	}
	return s
}
