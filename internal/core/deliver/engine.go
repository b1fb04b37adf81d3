package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/errs"
	"postroad/internal/base/netx"
	"postroad/internal/base/recent"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/peer"
	"postroad/internal/core/queue"
	"postroad/internal/core/suppress"
	"postroad/internal/mail/dkim"
	"postroad/internal/mail/mime"
	"postroad/internal/mail/smtp"
)

// maxTogether is how many recipients of one message go in one transaction;
// every server takes 100 (RFC 5321 section 4.5.3.1.8).
const maxTogether = 100

// Config is what the engine is made of.
type Config struct {
	DB       *db.DB
	Queue    *queue.Queue
	Events   *event.Service
	Messages *message.Service
	Domains  *domain.Service
	Suppress *suppress.Service
	Resolver dnsx.Resolver
	Logger   *slog.Logger

	Hostname string          // HELO name
	Retry    []time.Duration // waits between attempts; after the last one delivery is given up
	Jitter   func() float64  // in [0,1); nil: random
	Router   *Router
	Peer     *peer.Service
	Shape    Shaper // nil: nothing is limited
	// HTTP calls the URLs of routes and archives. It follows no redirects.
	HTTP *netx.Client
	// SigningKey is the key that signs what is posted for an account.
	SigningKey func(ctx context.Context, accountID string) (string, error)
	// PlainRelay allows relays without TLS, passwords included.
	PlainRelay bool
	Capture    bool   // dev mode: no mail leaves; URLs are called
	Port       string // of MX hosts, "25"
	Timeouts   smtp.ClientTimeouts
	Connect    time.Duration // per address; 0 means 30 s
	Limit      time.Duration // of one attempt in all; 0 means 30 min
	Trace      *Trace        // of conversations; nil: nobody can watch
	// Dial opens connections from a local address, the system's choice if it is
	// invalid; nil means SystemDial.
	Dial func(ctx context.Context, network, addr string, local netip.Addr) (net.Conn, error)
	// Shuffle orders hosts of equal preference; nil means at random.
	Shuffle dnsx.Shuffle
	// Roots verify the certificates of other servers; nil means the system's.
	Roots *x509.CertPool
}

// Engine delivers.
type Engine struct {
	Config
	clock     clock.Clock
	signer    *dkim.Signer
	buffers   *smtp.Buffers
	signed    *recent.Map[int64, string]         // by message: signatures of those to several destinations
	templates *recent.Map[int64, *mime.Template] // by message: compiled, if personal
	bodies    *semaphore.Weighted                // bytes of large bodies in sessions
	dead      *recent.Map[string, *outage]       // by lane: what let us wait in vain
	hosts     *hosts
	tickets   tls.ClientSessionCache
	watch     watch
	started   time.Time
	Stats     Stats
}

// Stats count outcomes since the start.
type Stats struct {
	Attempts, Delivered, Deferred, Failed, Signatures, Connections, Reused atomic.Int64
}

// New returns an engine; Work is its session for queue.Run.
func New(c Config) *Engine {
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.Port == "" {
		c.Port = "25"
	}
	if c.Connect == 0 {
		c.Connect = 30 * time.Second
	}
	if c.Limit == 0 {
		c.Limit = attemptLimit
	}
	if c.Trace == nil {
		c.Trace = &Trace{}
	}
	if c.Dial == nil {
		c.Dial = SystemDial
	}
	if c.Shuffle == nil {
		c.Shuffle = rand.Shuffle
	}
	return &Engine{Config: c, clock: c.DB.Clock(), signer: &dkim.Signer{}, buffers: &smtp.Buffers{},
		signed: recent.New[int64, string](4096), templates: recent.New[int64, *mime.Template](64),
		bodies: semaphore.NewWeighted(maxBodies), dead: recent.New[string, *outage](4096), hosts: newHosts(c.DB.Clock()), tickets: tls.NewLRUClientSessionCache(ticketsKept), started: c.DB.Clock().Now()}
}

// Bodies above smallBody count against maxBodies while a session holds them, so
// that slow receivers of large messages cannot take all memory. A body counts
// twice: composing may copy it.
const (
	smallBody = 64 << 10
	maxBodies = 512 << 20
)

// room waits until the body of the job fits and returns what gives the room
// back.
func (e *Engine) room(ctx context.Context, size int64) (release func(), err error) {
	if size <= smallBody {
		return func() {}, nil
	}
	n := min(2*size, maxBodies)
	if err := e.bodies.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { e.bodies.Release(n) }, nil
}

// transport hands messages over. Every delivery of the job gets an outcome.
type transport interface {
	send(ctx context.Context, j *job)
	close()
}

// job is deliveries of one message that travel together.
type job struct {
	msg  *message.Message
	dom  *domain.Domain
	list []*outcome
	body smtp.Message // set before send
}

// Work serves a lane until there is nothing to do.
func (e *Engine) Work(ctx context.Context, lane *queue.Lane) {
	s := e.watch.enter(ctx, lane.Name)
	defer e.watch.leave(s)
	t := e.transport(lane, s)
	defer t.close()
	for s.ctx.Err() == nil {
		list := lane.Take(ctx, maxTogether)
		if list == nil {
			return
		}
		if list = e.leave(ctx, lane.Name, list); len(list) > 0 {
			e.attempt(ctx, s, t, list)
		}
	}
}

func (e *Engine) transport(lane *queue.Lane, s *session) transport {
	switch {
	case netx.IsURL(lane.Name):
		return &post{e: e, lane: lane.Name, session: s.id}
	case e.Capture:
		return &capture{e: e, lane: lane}
	}
	return &wire{e: e, lane: lane.Name, session: s.id}
}

// attempt takes deliveries of one message through one attempt and records
// what came of it. A panic on the way is an outcome too: it sets back this
// message and nothing else. Only the attempt is bounded by the session's
// context: an outcome is recorded however long that takes.
func (e *Engine) attempt(ctx context.Context, s *session, t transport, list []*queue.Delivery) {
	now := e.clock.Now()
	s.message.Store(list[0].MessageID)
	s.began.Store(now.UnixNano())
	outcomes := make([]*outcome, len(list))
	for i, d := range list {
		if d.FirstAt == 0 {
			d.FirstAt = now.UnixMicro()
		}
		outcomes[i] = &outcome{d: d, began: now}
	}
	msg := e.try(s.ctx, t, outcomes)
	s.began.Store(0)
	e.Stats.Attempts.Add(int64(len(list)))
	e.record(ctx, msg, outcomes)
}

func (e *Engine) try(ctx context.Context, t transport, list []*outcome) (msg *message.Message) {
	defer func() {
		if p := recover(); p != nil {
			e.Logger.Error("panic in delivery", "message", list[0].d.MessageID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			t.close() // what was said last is not known
			setBack(list, "internal error while delivering")
		}
	}()
	j, err := e.load(ctx, list)
	if errs.Is(err, errs.NotFound) {
		// Its domain was deleted while it was held: no key to sign with, no one to tell.
		e.Logger.Warn("delivery dropped, its message or domain is gone", "message", list[0].d.MessageID, "error", err)
		for _, o := range list {
			o.verdict = dropped
		}
		return nil
	}
	if err != nil {
		e.Logger.Error("loading a delivery", "message", list[0].d.MessageID, "error", err)
		setBack(list, "the message could not be read")
		return nil
	}
	if j.list = e.screen(ctx, j); len(j.list) == 0 {
		return j.msg
	}
	msg = j.msg
	size := j.msg.Size
	if netx.IsURL(list[0].d.Recipient) {
		size *= postWeight
	}
	release, err := e.room(ctx, size)
	if err != nil {
		setBack(j.list, "the server was stopped before the attempt")
		return msg
	}
	defer release()
	if err := e.compose(j); err != nil {
		e.Logger.Error("composing a delivery", "message", j.msg.ID, "error", err)
		setBack(j.list, "the message could not be composed: "+err.Error())
		return msg
	}
	t.send(ctx, j)
	return msg
}

// setBack defers what has no outcome yet.
func setBack(list []*outcome, text string) {
	for _, o := range list {
		if o.verdict == undecided {
			o.tempfail(451, "4.3.0", text)
		}
	}
}

// load finds the message and its domain; NotFound when one of them is gone.
func (e *Engine) load(ctx context.Context, list []*outcome) (*job, error) {
	d := list[0].d
	msg, ok := d.Payload.(*message.Message)
	if !ok {
		var err error
		if msg, err = e.Messages.ByID(ctx, d.MessageID); err != nil {
			return nil, err
		}
	}
	j := &job{msg: msg, list: list}
	var err error
	j.dom, err = e.Domains.ByID(ctx, msg.DomainID)
	return j, err
}

// poison is after how many claims without an outcome a delivery is set aside
// unattempted: each of them ended with the program, and it may be the cause. It
// is deferred, not failed, because whatever else was in the window at the time
// has as many claims.
const poison = 12

// screen decides the deliveries that need no connection and returns the rest.
func (e *Engine) screen(ctx context.Context, j *job) []*outcome {
	rest := j.list[:0:0]
	for _, o := range j.list {
		switch {
		case e.late(j, o):
			o.expire()
		case o.d.Attempt > poison:
			o.tempfail(451, "4.3.0", "set aside: the program ended again and again before this was delivered")
		case j.dom.State == domain.Disabled:
			o.permfail(550, "5.7.1", "domain "+j.dom.Name+" is disabled", "generic")
		case j.msg.Meta.Options.TestMode:
			// Mailgun: test mode makes a delivered event with code 650.
			o.deliver(650, "", "Message dropped: test mode")
		case netx.IsURL(o.d.Recipient): // on no list
			rest = append(rest, o)
		default:
			if e.suppressed(ctx, j, o) {
				continue
			}
			rest = append(rest, o)
		}
	}
	return rest
}

// late reports whether the time the sender gave is over. Other deliveries get
// their attempt however long the program was down.
func (e *Engine) late(j *job, o *outcome) bool {
	return j.msg.Meta.Options.DeliverWithin > 0 && e.clock.Now().After(time.UnixMicro(o.d.Deadline).Add(lastTry))
}

func (e *Engine) suppressed(ctx context.Context, j *job, o *outcome) bool {
	v, err := e.Suppress.Check(ctx, j.dom.ID, o.d.Recipient, j.msg.Meta.Options.Tags)
	if err != nil {
		e.Logger.Error("suppression check", "error", err)
		o.tempfail(451, "4.3.0", "suppressions could not be checked")
		return true
	}
	if v != nil && v.Reason != "suppress-bounce" && j.msg.Meta.Foreign && j.msg.Meta.List == nil {
		// Who wants no mail of the domain's is not asked about what others write to
		// it and a route sends on.
		return false
	}
	if v != nil {
		o.permfail(v.Code, "", v.Message, v.Reason)
	}
	return v != nil
}
