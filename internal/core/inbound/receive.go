package inbound

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/core/list"
	"postroad/internal/core/message"
	"postroad/internal/core/spam"
	"postroad/internal/mail/authres"
	"postroad/internal/mail/mime"
)

// Bounds of a message from outside (RFC 5321 section 6.3 for hops).
const (
	maxHeader = 100 << 10
	maxHops   = 50
	maxParts  = 1000
	maxDepth  = 50 // levels of multiparts
)

// received is a message on its way from DATA to where it goes.
type received struct {
	Session
	raw     []byte      // as it came
	fields  mime.Fields // of raw
	at      time.Time
	verdict *authres.Verdict // nil: not checked
	spam    *spam.Verdict    // nil: not checked
	refusal error            // of what a person wrote to a feedback address
}

// Receive takes a message for the targets. When it returns without error all that
// follows is on disk. Forbidden and Invalid errors are refusals for good, the
// text is for the sender.
func (s *Service) Receive(ctx context.Context, in Session, targets []*Target, body io.Reader) (id string, err error) {
	raw, release, err := s.Messages.Read(ctx, body)
	if err != nil {
		return "", err
	}
	defer release()
	r := &received{Session: in, raw: raw, at: s.clock.Now().UTC()}
	if err := r.check(); err != nil {
		s.Stats.Refused.Add(1)
		return "", err
	}
	if targets, err = s.reports(ctx, r, targets); err != nil || len(targets) == 0 {
		if err == nil && r.refusal != nil {
			s.Stats.Refused.Add(1)
			err = r.refusal
		}
		return in.QueueID, err
	}
	if s.Resolver != nil {
		r.verdict = authres.Check(ctx, s.Resolver, authres.Request{IP: in.IP, HELO: in.HELO, MailFrom: in.Sender, Message: raw, AuthservID: s.Hostname, Time: r.at})
	}
	if targets, err = s.filter(ctx, r, targets); err != nil {
		s.Stats.Spam.Add(1)
		return "", err
	}
	if err := s.deliver(ctx, r, targets); err != nil {
		return "", err
	}
	s.Stats.Taken.Add(1)
	return in.QueueID, nil
}

// check refuses what is malformed beyond use, too large in some part, or goes
// in circles.
func (r *received) check() (err error) {
	var end int
	if r.fields, end, err = mime.ScanHeader(r.raw); err != nil {
		return errs.Wrap(errs.Invalid, err, "the message header could not be read: "+err.Error())
	}
	if end > maxHeader {
		return errs.New(errs.Invalid, "the message header has more than %d bytes", maxHeader)
	}
	hops := 0
	for _, f := range r.fields {
		if f.Is("Received") {
			hops++
		}
	}
	if hops > maxHops {
		return errs.New(errs.Forbidden, "the message went through %d servers: it goes in circles", hops)
	}
	_, cut, err := mime.Structure(r.raw, mime.Limits{MaxParts: maxParts, MaxDepth: maxDepth})
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "the message could not be parsed: "+err.Error())
	}
	if cut { // those who read it would not see all of it
		return errs.New(errs.Invalid, "the message could not be parsed: more than %d parts or %d levels of them", maxParts, maxDepth)
	}
	return nil
}

// clientName is the name of the client's address that leads back to it, "" for
// none: what only the owner of the address says is no name.
func (r *received) clientName() string {
	if r.verdict == nil || r.verdict.IPRev.Result != authres.Pass {
		return ""
	}
	return strings.TrimSuffix(r.verdict.IPRev.Name, ".")
}

// passes counts how often the message came in here before.
func (r *received) passes(hostname string) (n int) {
	by := []byte("by " + hostname + " (Postroad) with ")
	for _, f := range r.fields {
		if f.Is("Received") && bytes.Contains(f.Value, by) {
			n++
		}
	}
	return n
}

// filter has the spam filter judge the message where a domain wants that, and
// leaves out the targets whose domains do not take spam. It is an error when none
// is left.
func (s *Service) filter(ctx context.Context, r *received, targets []*Target) ([]*Target, error) {
	wanted := false
	rcpts := make([]string, 0, len(targets))
	for _, t := range targets {
		wanted = wanted || t.domain.Settings.SpamAction == "tag" || t.domain.Settings.SpamAction == "block"
		rcpts = append(rcpts, t.Mailbox)
	}
	if !wanted || s.Spam == nil {
		return targets, nil
	}
	mail := &spam.Mail{Raw: r.raw, ClientIP: r.IP, HELO: r.HELO, Sender: r.Sender, Recipients: rcpts}
	mail.ClientName = r.clientName()
	r.spam = s.Spam.Check(ctx, mail)
	if r.spam.Err != nil || !r.spam.Spam {
		return targets, nil
	}
	var rest []*Target
	for _, t := range targets {
		if t.domain.Settings.SpamAction != "block" {
			rest = append(rest, t)
		}
	}
	if n := len(targets) - len(rest); n > 0 {
		s.Logger.Info("spam refused", "from", r.Sender, "ip", r.IP, "score", r.spam.Score, "recipients", n, "taken for", len(rest))
	}
	if len(rest) == 0 {
		return nil, errs.New(errs.Forbidden, "the message was classified as spam (score %.1f)", r.spam.Score)
	}
	return rest, nil
}

// deliver hands the message to lists and routes. All that comes of it is stored
// together: a client that has to try again makes no second copies. Only when
// nothing at all takes it is it refused.
func (s *Service) deliver(ctx context.Context, r *received, targets []*Target) error {
	b := s.Messages.Bundle()
	taken, refusal, err := s.lists(ctx, r, targets, b)
	if err != nil {
		return err
	}
	n, refused, err := s.routes(ctx, r, targets, b)
	if err != nil {
		return err
	}
	if taken+n > 0 {
		return b.Commit(ctx)
	}
	s.Stats.Refused.Add(1)
	switch {
	case refusal != nil:
		return refusal
	case refused != nil:
		return refused
	}
	return errs.New(errs.Forbidden, "no route takes this message")
}

// lists adds the posts to the targets that are lists. It returns how many took the
// message, and why one did not.
func (s *Service) lists(ctx context.Context, r *received, targets []*Target, b *message.Bundle) (taken int, refusal, err error) {
	for _, t := range targets {
		if !t.list {
			continue
		}
		sub, err := s.prepare(ctx, r, t)
		if err == nil && sub != nil {
			err = b.Add(ctx, sub)
		}
		switch {
		case err == nil:
			taken++
		case errs.Is(err, errs.Forbidden), errs.Is(err, errs.NotFound), errs.Is(err, errs.Invalid):
			refusal = err
			s.Logger.Info("inbound message not posted", "list", t.Mailbox, "from", r.Sender, "why", err)
		default:
			return taken, refusal, err
		}
	}
	return taken, refusal, nil
}

func (s *Service) prepare(ctx context.Context, r *received, t *Target) (*message.Submission, error) {
	raw, err := s.marked(r, []*Target{t}, false)
	if err != nil {
		return nil, err
	}
	return s.Lists.Prepare(ctx, list.Inbound{To: t.Mailbox, Sender: r.Sender, Raw: raw, RemoteIP: r.IP.String(), HELO: r.HELO})
}

// Bounds of the matching of the routes of one message.
const (
	matchTime  = 5 * time.Second // for one target
	routesTime = 30 * time.Second
)

// maxPasses is how often routes send a message through this server: one that
// forwards to an address of another route can be meant, but two that forward to
// several of each other's would make more and more of it.
const maxPasses = 4

// routes runs the accounts' routes and adds what they ask for, a message for each
// domain. Of these one at a time is in memory. It returns for how many targets a
// route matched.
func (s *Service) routes(ctx context.Context, r *received, targets []*Target, b *message.Bundle) (matched int, refusal, err error) {
	ctx, cancel := context.WithTimeout(ctx, routesTime)
	defer cancel()
	passes := r.passes(s.Hostname)
	for _, same := range byDomain(targets) {
		if passes >= maxPasses {
			refusal = errs.New(errs.Forbidden, "the message came here %d times before: it goes in circles", passes)
			s.Logger.Warn("routes send a message in circles", "domain", same[0].domain.Name, "from", r.Sender, "passes", passes)
			continue
		}
		n, err := s.routesOf(ctx, r, same, b)
		if err != nil {
			return matched, refusal, err
		}
		matched += n
	}
	return matched, refusal, nil
}

// byDomain returns the targets that routes could match, those of a domain
// together.
func byDomain(targets []*Target) (out [][]*Target) {
	at := map[int64]int{}
	for _, t := range targets {
		if !t.route {
			continue
		}
		i, ok := at[t.domain.ID]
		if !ok {
			i = len(out)
			at[t.domain.ID] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], t)
	}
	return out
}

// routesOf does for the targets of one domain what routes does.
func (s *Service) routesOf(ctx context.Context, r *received, targets []*Target, b *message.Bundle) (matched int, err error) {
	g, err := s.newGroup(r, targets)
	if err != nil {
		return 0, err
	}
	for _, t := range targets {
		ok, err := s.match(ctx, g, t)
		if err != nil {
			return matched, err
		}
		if ok {
			matched++
		} else if !t.list {
			s.Logger.Info("no route takes an inbound message", "recipient", t.Mailbox, "from", r.Sender)
		}
	}
	return matched, s.submit(ctx, r, g, b)
}

// match runs the routes for one target and notes what they ask for.
func (s *Service) match(ctx context.Context, g *group, t *Target) (bool, error) {
	mctx, cancel := context.WithTimeout(ctx, matchTime)
	defer cancel()
	list, err := s.Routes.Match(mctx, t.domain.AccountID, t.ascii, g.fields)
	if err != nil {
		return false, errs.Wrap(errs.Unavailable, err, "the routes could not be run, try again later")
	}
	for _, m := range list {
		for i := range m.Actions {
			if err := g.add(t, m.Route, &m.Actions[i], s.Logger); err != nil {
				return false, err
			}
		}
	}
	if len(list) > 0 {
		g.rcpts = append(g.rcpts, t.Mailbox)
		g.dsn.Recipients = append(g.dsn.Recipients, t.Options)
	}
	return len(list) > 0, nil
}

// submit adds a group's message. What only said stop() is dropped, as asked.
func (s *Service) submit(ctx context.Context, r *received, g *group, b *message.Bundle) error {
	if len(g.recipients) == 0 && !g.store {
		if len(g.rcpts) > 0 {
			s.Logger.Info("inbound message dropped by a route", "from", r.Sender, "recipients", g.rcpts)
		}
		return nil
	}
	raw := g.raw
	if g.forwards {
		raw = s.seal(ctx, r, g)
	}
	sub, err := s.Messages.Foreign(raw, g.target.domain)
	if err != nil {
		return err
	}
	sub.Recipients, sub.Store = g.recipients, g.store
	m := &sub.Meta
	m.Recipients, m.FromMailbox, m.RemoteIP = g.rcpts, r.Sender, r.IP.String()
	m.UTF8, m.EightBit = m.UTF8 || r.UTF8, m.EightBit || r.EightBit
	if r.authentic() {
		g.dsn.Return, g.dsn.EnvelopeID = r.Return, r.EnvelopeID
		m.ReturnTo, m.DSN = r.Sender, message.Wishes(r.Sender, &g.dsn, func(i int) string { return g.rcpts[i] })
	}
	sub.Request = message.Request{Method: "SMTP", RemoteIP: r.IP.String(), UserAgent: clip(r.HELO, 200)}
	return b.Add(ctx, sub)
}

// authentic reports whether the envelope sender is proved, so that a report to it
// reaches who wrote the message and no one else: by SPF, or by the author's domain
// if the sender is on it. A signature says nothing about an envelope of another.
func (r *received) authentic() bool {
	if r.Sender == "" || r.verdict == nil {
		return false
	}
	d := &r.verdict.DMARC
	on := r.Sender[strings.LastIndexByte(r.Sender, '@')+1:]
	return r.verdict.MailFrom.Result == authres.Pass || d.Result == authres.Pass && strings.EqualFold(d.Domain, on)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
