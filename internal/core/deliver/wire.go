package deliver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"postroad/internal/core/ippool"
	"postroad/internal/core/peer"
	"postroad/internal/core/queue"
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

// wire delivers by SMTP to the MX hosts of a site or to a relay. It belongs to
// one session and keeps at most one connection.
type wire struct {
	e      *Engine
	lane   string
	source ippool.Source // of the connection that is open or being opened
	conn   *conn
	job    *job // under way

	session int64

	patience time.Time // when to look for a host no longer
}

// conn is an open connection and what was learned while opening it.
type conn struct {
	*smtp.Client
	site, source  string // whose mail may travel on it
	mx            string // host name as the MX record gives it
	local, remote string // addresses
	ask           ask
	*facts
	unverified error // why the certificate is not valid, where somebody wants to know
	opened     time.Time
	sent       int
	worn       bool // the server would rather have another connection
}

// facts are what events tell of a connection. They lie apart from it, because an
// event may outlive it.
type facts struct {
	tls      bool
	verified bool // certificate valid for the host
	utf8     bool // SMTPUTF8 is offered
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

// fits reports whether mail for a domain of the site may travel on the
// connection. What DANE proved, it proved for the domain that asked.
func (c *conn) fits(site *Site, source, domain string, p policy) bool {
	return c.site == site.Name && c.source == source && (!p.require || c.tls) && (!p.verify || c.verified) &&
		(!site.Secure || c.ask.domain == domain || c.ask.secure && c.ask.Source != peer.FromDANE)
}

// send hands the job over, one transaction for each destination: a provider's
// domains share the connection, but not every server takes them together. A
// relay does.
func (t *wire) send(ctx context.Context, j *job) {
	if d := j.list[0].d; slices.ContainsFunc(j.list, func(o *outcome) bool { return o.d.Destination != d.Destination }) {
		slices.SortStableFunc(j.list, func(a, b *outcome) int { return strings.Compare(a.d.Destination, b.d.Destination) })
	}
	for list := j.list; len(list) > 0; {
		d := list[0].d
		site, src := t.e.Router.For(ctx, d)
		n := 1
		for n < len(list) && (list[n].d.Destination == d.Destination || site.Relay != nil && t.e.together(ctx, list[n].d, site)) {
			n++
		}
		part := *j
		part.list = list[:n]
		t.job = &part
		t.sendTo(ctx, &part, site, src)
		list = list[n:]
	}
	t.job = nil
}

// together reports whether a delivery goes through the relay, too.
func (e *Engine) together(ctx context.Context, d *queue.Delivery, relay *Site) bool {
	site, _ := e.Router.For(ctx, d)
	return site == relay
}

// sendTo hands over what goes to one site, on the open connection if it will
// do. A connection that was used before and turns out to be closed says nothing
// about the message: a fresh one is tried. Neither does a host that loses the
// connection or closes it before it has the message: another host is.
func (t *wire) sendTo(ctx context.Context, j *job, site *Site, src ippool.Source) {
	p := policyOf(j)
	began := t.e.clock.Now()
	if c := t.conn; c != nil {
		if t.reusable(c, site, src.Name, j.list[0].d.Destination, p) {
			c.StartTranscript()
			if fail := t.transact(ctx, j, c); fail == nil {
				t.e.Stats.Reused.Add(1)
				t.settled(j, site, src.Name, c, began)
				return
			}
		}
		t.close()
	}
	var avoid []string
	var worst *failure
	for {
		c, fail := t.connect(ctx, site, src, p, avoid)
		if c == nil {
			if worst != nil {
				fail = worst
			}
			t.failed(j, site, src.Name, fail)
			return
		}
		t.conn = c
		if fail = t.transact(ctx, j, c); fail == nil {
			t.settled(j, site, src.Name, c, began)
			return
		}
		t.e.hosts.failed(c.mx, src.Name)
		t.close()
		if worst = later(worst, fail); fail.everywhere || t.tired(ctx) {
			t.failed(j, site, src.Name, worst)
			return
		}
		avoid = append(avoid, c.mx)
	}
}

func (t *wire) reusable(c *conn, site *Site, source, domain string, p policy) bool {
	return c.Usable() && !c.worn && c.fits(site, source, domain, p) && c.sent < t.e.perConn(t.lane) && t.e.clock.Now().Sub(c.opened) < maxConnAge
}

// settled tells what came of a transaction and lets go of a connection that
// cannot be used again.
func (t *wire) settled(j *job, site *Site, source string, c *conn, began time.Time) {
	t.reportAnswer(t.laneOf(site, source), c, j.list, t.e.clock.Now().Sub(began))
	for _, o := range j.list {
		t.e.elsewhere(o, source)
	}
	if !c.Usable() || c.worn {
		t.close()
	}
}

// failed gives the deliveries the outcome of an attempt without a transaction.
func (t *wire) failed(j *job, site *Site, source string, f *failure) {
	f.apply(j.list)
	t.reportFailure(t.laneOf(site, source), f)
	for _, o := range j.list {
		t.e.elsewhere(o, source)
	}
}

// laneOf is the lane's name; it differs from the session's when the delivery was
// rerouted since it came into the window.
func (t *wire) laneOf(site *Site, source string) string {
	if n := len(site.Name); len(t.lane) >= n && t.lane[:n] == site.Name && strings.TrimPrefix(t.lane[n:], "@") == source {
		return t.lane
	}
	return laneName(site.Name, source)
}

// transact runs one transaction and decides the outcomes. It returns a failure,
// deciding nothing, when the connection ended before the other side can have
// taken responsibility: it broke, or the server says before it has heard of a
// recipient that it closes it.
func (t *wire) transact(ctx context.Context, j *job, c *conn) *failure {
	env := smtp.Envelope{From: t.sender(j), EightBit: j.msg.Meta.EightBit, UTF8: j.msg.Meta.UTF8, To: make([]string, len(j.list)),
		// A sender who wants verified TLS wants it all the way, as far as it is to
		// be had (RFC 8689 section 2).
		RequireTLS: policyOf(j).verify && c.verified && c.Extensions().RequireTLS}
	for i, o := range j.list {
		env.To[i] = wireAddress(o.d.Recipient)
	}
	if j.msg.Meta.DSN != nil {
		env.DSN = j.msg.PassOn(j.recipients())
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
		return &failure{code: 421, enhanced: "4.4.2", text: "connection lost before the message was handed over", mx: c.mx, via: c}
	}
	var refused *smtp.ReplyError
	if errors.As(err, &refused) && (refused.Stage == smtp.StageReset || refused.Stage == smtp.StageMail && refused.Reply.Code == 421) {
		f := &failure{code: refused.Reply.Code, enhanced: refused.Reply.Enhanced, text: clip(refused.Reply.Text), mx: c.mx, via: c, said: true}
		t.said(f)
		return f
	}
	detail := smtp.EncodeTranscript(c.Transcript())
	for i, o := range j.list {
		t.decide(o, &res, i, refused, err, c.mx)
		o.note(c, detail)
		o.passed = env.DSN != nil && c.Extensions().DSN
	}
	return nil
}

// sender is the envelope sender: it names the recipient when it is the only one,
// so that a bounce tells which it is about.
func (t *wire) sender(j *job) string {
	if len(j.list) == 1 {
		return t.e.Messages.ReturnPath(j.msg, j.list[0].d.Recipient)
	}
	return j.msg.Sender
}

// decide gives recipient i its outcome.
func (t *wire) decide(o *outcome, res *smtp.Result, i int, refused *smtp.ReplyError, err error, mx string) {
	r := res.Outcome(i)
	// A reply to an earlier step stands in for that to RCPT.
	own := !res.Recipients[i].Positive() && (refused == nil || refused.Stage != smtp.StageMail)
	switch {
	case r.Code != 0:
		o.classify(r.Code, r.Enhanced, clip(r.Text), mx, own)
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
func (o *outcome) note(c *conn, detail string) {
	o.status.TLS, o.status.CertificateVerified, o.status.UTF8 = &c.tls, &c.verified, &c.utf8
	o.status.MXHost = c.mx
	o.ip = c.local
	o.detail = detail
}

// failure is an attempt that ended before a transaction.
type failure struct {
	perm     bool
	code     int
	enhanced string
	text     string
	bounce   bool
	mx, log  string
	via      *conn // the connection that was lost

	silent     bool // no connection came about, or nobody spoke on it
	tls        bool // the handshake failed, or was refused by us
	said       bool // code and text are the server's
	everywhere bool // other hosts of the site would say the same
	ours       bool // nothing the host did
	unreached  bool // nothing was tried: there was no host to try
	again      bool // remembered from another attempt
	verdict    verdictOf
}

func (f *failure) apply(list []*outcome) {
	detail := f.log
	if f.via != nil {
		detail = smtp.EncodeTranscript(f.via.Transcript())
	}
	for _, o := range list {
		switch {
		case f.perm && f.bounce:
			o.permfail(f.code, f.enhanced, f.text, "bounce")
		case f.perm:
			o.permfail(f.code, f.enhanced, f.text, "generic")
		default:
			o.tempfail(f.code, f.enhanced, f.text)
		}
		o.meaning, o.said = f.verdict, f.said
		if f.via != nil {
			o.note(f.via, detail)
			if f.said {
				continue
			}
		}
		o.status.Description = f.text
		o.status.MXHost = f.mx
		o.detail = detail
	}
}

func clip(s string) string {
	if len(s) > errTextSize {
		return strings.ToValidUTF8(s[:errTextSize], "") + "..."
	}
	return s
}
