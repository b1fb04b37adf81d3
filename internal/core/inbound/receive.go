package inbound

import (
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
)

// received is a message on its way from DATA to where it goes.
type received struct {
	Session
	raw     []byte      // as it came
	fields  mime.Fields // of raw
	at      time.Time
	verdict *authres.Verdict // nil: not checked
	spam    *spam.Verdict    // nil: not checked
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
	return nil
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
	if r.verdict != nil {
		mail.ClientName = r.verdict.IPRev.Name
	}
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
	if len(rest) == 0 {
		s.Logger.Info("spam refused", "from", r.Sender, "ip", r.IP, "score", r.spam.Score, "recipients", len(targets))
		return nil, errs.New(errs.Forbidden, "the message was classified as spam (score %.1f)", r.spam.Score)
	}
	return rest, nil
}

// deliver hands the message to lists and routes, one target after the other in
// groups of a domain. Only when nothing at all takes it is it refused.
func (s *Service) deliver(ctx context.Context, r *received, targets []*Target) error {
	var refusal error
	taken := 0
	for _, t := range targets {
		if !t.list {
			continue
		}
		raw, err := s.marked(ctx, r, t, false)
		if err != nil {
			return err
		}
		_, err = s.Lists.Post(ctx, list.Inbound{To: t.Mailbox, Sender: r.Sender, Raw: raw, RemoteIP: r.IP.String(), HELO: r.HELO})
		switch {
		case err == nil:
			taken++
		case errs.Is(err, errs.Forbidden), errs.Is(err, errs.NotFound), errs.Is(err, errs.Invalid):
			refusal = err
		default:
			return err
		}
	}
	n, err := s.routes(ctx, r, targets)
	if err != nil {
		return err
	}
	if taken += n; taken > 0 {
		return nil
	}
	s.Stats.Refused.Add(1)
	if refusal != nil {
		return refusal
	}
	return errs.New(errs.Forbidden, "no route takes this message")
}

// matchTime bounds the matching of the routes of one message.
const matchTime = 5 * time.Second

// routes runs the accounts' routes and submits what they ask for, a message for
// each domain. It returns for how many targets a route matched.
func (s *Service) routes(ctx context.Context, r *received, targets []*Target) (matched int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	groups := map[int64]*group{}
	var order []*group
	for _, t := range targets {
		if !t.route {
			continue
		}
		g := groups[t.domain.ID]
		if g == nil {
			if g, err = s.newGroup(ctx, r, t); err != nil {
				return matched, err
			}
			groups[t.domain.ID] = g
			order = append(order, g)
		}
		ok, err := s.match(ctx, g, t)
		if err != nil {
			return matched, err
		}
		if ok {
			matched++
		}
	}
	for _, g := range order {
		if err := s.submit(ctx, r, g); err != nil {
			return matched, err
		}
	}
	return matched, nil
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
			g.add(t, m.Route, &m.Actions[i], s.Logger)
		}
	}
	if len(list) > 0 {
		g.rcpts = append(g.rcpts, t.Mailbox)
		g.dsn.Recipients = append(g.dsn.Recipients, t.Options)
	}
	return len(list) > 0, nil
}

// submit takes a group's message in. What only said stop() is dropped, as asked.
func (s *Service) submit(ctx context.Context, r *received, g *group) error {
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
	_, _, err = s.Messages.Submit(ctx, sub)
	return err
}

// authentic reports whether the envelope sender is proved, so that a report to it
// reaches who wrote the message and no one else.
func (r *received) authentic() bool {
	return r.Sender != "" && r.verdict != nil && (r.verdict.MailFrom.Result == authres.Pass || r.verdict.DMARC.Result == authres.Pass)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
