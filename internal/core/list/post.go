package list

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/core/account"
	"postroad/internal/core/message"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
	"postroad/internal/mail/report"
)

// Divert implements message.Config.Divert: of a submission by somebody who may
// send for them, it takes out the recipients that are lists of the account and
// makes a post to each. Others' lists get their mail the way all mail goes.
func (s *Service) Divert(ctx context.Context, sub *message.Submission) ([]*message.Submission, error) {
	caller := account.From(ctx)
	if caller.AccountID == "" || len(*s.domains.Load()) == 0 {
		return nil, nil
	}
	var posts []*message.Submission
	keep := make([]message.Recipient, 0, len(sub.Recipients))
	for _, r := range sub.Recipients {
		l, err := s.find(ctx, r.Address)
		if err != nil {
			return nil, fmt.Errorf("mailing list: %w", err)
		}
		if l == nil || l.AccountID != caller.AccountID || !caller.MayUse(domainOf(l.Address)) {
			keep = append(keep, r)
			continue
		}
		to := ""
		if sub.Meta.Batch {
			to = r.Header // the To of a batch is added at delivery, that of a post is not
		}
		p, err := s.post(ctx, l, sub, to)
		if err != nil {
			return nil, err
		}
		posts = append(posts, p)
	}
	if posts == nil {
		return nil, nil
	}
	noneTo := !slices.ContainsFunc(keep, func(r message.Recipient) bool { return !r.Copy })
	sub.Recipients, sub.Meta.Recipients = keep, make([]string, len(keep))
	for i, r := range keep {
		sub.Meta.Recipients[i] = r.Address
		keep[i].Copy = r.Copy && !noneTo // copies of nobody's copy would be none
	}
	return posts, nil
}

// Inbound is a message from outside.
type Inbound struct {
	To       string // envelope recipient
	Sender   string // envelope sender, "" for the null sender
	Raw      []byte // with the fields the receiving server added
	RemoteIP string
	HELO     string
}

// Takes reports whether mail from outside to the mailbox, which is taken for a
// domain, is for Prepare: a list of that domain, or a way out of one.
func (s *Service) Takes(ctx context.Context, domainID int64, mailbox string) (bool, error) {
	if token, ok := leaveToken(mailbox); ok {
		_, _, ok = s.readToken(token)
		return ok, nil
	}
	l, err := s.find(ctx, mailbox)
	return l != nil && l.DomainID == domainID, err
}

func leaveToken(mailbox string) (string, bool) {
	local := mailbox[:max(strings.LastIndexByte(mailbox, '@'), 0)]
	if len(local) < len(leavePrefix) || !strings.EqualFold(local[:len(leavePrefix)], leavePrefix) {
		return "", false
	}
	return local[len(leavePrefix):], true
}

// Prepare makes the post of a message that came from outside, which the caller
// submits, or lets a member leave who wrote to the address for that: that is done
// when it returns, and there is no post. NotFound if there is no such list;
// Forbidden, with a text for the sender, if the message is not taken.
func (s *Service) Prepare(ctx context.Context, in Inbound) (*message.Submission, error) {
	if token, ok := leaveToken(in.To); ok {
		fields, _, err := mime.ScanHeader(in.Raw)
		if err != nil {
			return nil, errs.Wrap(errs.Invalid, err, "the message header could not be read")
		}
		if ok, why := report.IsRequest(in.Sender, fields); !ok {
			s.Logger.Info("message to leave a mailing list ignored", "to", in.To, "from", in.Sender, "why", why)
			return nil, nil
		}
		if _, m, err := s.unsubscribe(ctx, token, in.RemoteIP); err != nil || m != nil {
			return nil, err
		}
		return nil, errs.New(errs.NotFound, "this address for leaving a mailing list is not valid")
	}
	l, err := s.find(ctx, in.To)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return nil, missing(in.To)
	}
	fields, _, err := mime.ScanHeader(in.Raw)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "the message header could not be read")
	}
	if automatic(fields, in.Sender) {
		return nil, errs.New(errs.Forbidden, "Mailing list %s does not take automatic replies, reports and bulk mail", l.Address)
	}
	if err := s.mayPost(ctx, l, fields); err != nil {
		return nil, err
	}
	to, err := addr.ParseMailbox(l.Address)
	if err != nil {
		return nil, err
	}
	d, err := s.Domains.ByID(ctx, l.DomainID)
	if err != nil {
		return nil, err
	}
	sub, err := s.Messages.Outside(in.Raw, to, message.SMTPMessage{Domain: d, RemoteIP: in.RemoteIP, HELO: in.HELO})
	if err != nil {
		return nil, err
	}
	return s.post(ctx, l, sub, "")
}

// mayPost checks the access level for a sender without credentials.
func (s *Service) mayPost(ctx context.Context, l *List, fields mime.Fields) error {
	if l.Access == Everyone {
		return nil
	}
	if l.Access == Readonly {
		return errs.New(errs.Forbidden, "Mailing list %s is read-only: only its owner can post", l.Address)
	}
	refused := errs.New(errs.Forbidden, "Mailing list %s takes mail from its subscribed members only", l.Address)
	from, err := addr.ParseList(fields.Raw("From"))
	if err != nil || len(from) != 1 {
		return refused
	}
	lookup := addr.Canonical(from[0].Mailbox())
	var found map[string]*Member
	if err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		found, err = selectMembersByLookup(tx, l.ID, []string{lookup})
		return err
	}); err != nil {
		return err
	}
	if m := found[lookup]; m == nil || !m.Subscribed {
		return refused
	}
	return nil
}

// automatic reports whether a message must not be posted because of where it is
// from: answers of programs and reports would answer the list's own mail (RFC
// 3834 section 2), and bulk mail is another list's. What a program writes of its
// own accord is taken. Mail that went through a list of ours is bounded by its
// hops instead: lists may be members of lists.
func automatic(fields mime.Fields, sender string) bool {
	o, _ := report.OriginOf(sender, fields)
	if _, ours := fields.Find(hopField); ours && o == report.Bulk {
		return false
	}
	return o == report.Reply || o == report.Notice || o == report.Bulk
}

// hopField names a list a message went through; it is there once for each.
const (
	hopField = "X-Postroad-List"
	maxHops  = 5
)

// looped refuses what went through this list, or through many. List-Id tells it
// of mail that lost our own field.
func (l *List) looped(fields mime.Fields) error {
	hops := fields.Values(hopField)
	for _, h := range hops {
		if strings.EqualFold(strings.TrimSpace(h), l.Address) {
			return errs.New(errs.Forbidden, "the message has been sent to mailing list %s already", l.Address)
		}
	}
	if strings.HasSuffix(strings.TrimSpace(strings.ToLower(fields.Get("List-Id"))), strings.ToLower(l.label())) {
		return errs.New(errs.Forbidden, "the message has been sent to mailing list %s already", l.Address)
	}
	if len(hops) >= maxHops {
		return errs.New(errs.Forbidden, "the message went through %d mailing lists", len(hops))
	}
	return nil
}

// post makes the submission of a post to l. to is its To, "" to keep the one it
// has.
func (s *Service) post(ctx context.Context, l *List, sub *message.Submission, to string) (*message.Submission, error) {
	d, err := s.Domains.ByID(ctx, l.DomainID)
	if err == nil {
		err = s.Messages.MaySend(ctx, d.ID)
	}
	if err != nil {
		return nil, err
	}
	fields, _, err := mime.ScanHeader(sub.MIME)
	if err == nil {
		err = l.looped(fields)
	}
	if err != nil {
		return nil, err
	}
	added := s.header(l, fields, sub.Meta.Foreign)
	if to != "" {
		added = append(added, mime.Field{Name: "To", Value: to})
	}
	pieces, err := mime.EditHeader(sub.MIME, func(f mime.RawField) bool { return l.removes(f, sub.Meta.Foreign) }, nil, added)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "the message header could not be read")
	}
	sid := fields.Get("X-Mailgun-Sid")
	if sid == "" {
		sid = ids.Token(24)
	}
	p := &message.Submission{Domain: d, MIME: mime.Join(pieces), MessageID: sub.MessageID, Meta: sub.Meta, Request: sub.Request, Audience: l.ID}
	p.Meta.Batch, p.Meta.List = true, l.inEvents(sid)
	p.Meta.Recipients, p.Meta.Vars = []string{l.Address}, nil
	if to != "" {
		p.Meta.To = to
	}
	return p, nil
}

// Members implements message.Config.Members. A list that is its own member gets
// no copy.
func (s *Service) Members(ctx context.Context, q message.Page) (out message.Members, err error) {
	var l *List
	var list []*Member
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		if l, err = selectByID(tx, q.Audience); l == nil || err != nil {
			return err
		}
		list, err = audience(tx, l.ID, q.After, q.Before, q.Limit)
		return err
	})
	if err != nil {
		return out, err
	}
	out.Last = len(list) < q.Limit
	out.Recipients = make([]message.Recipient, 0, len(list))
	for _, m := range list {
		out.Next = m.ID
		a, err := addr.ParseMailbox(m.Address)
		if err != nil || strings.EqualFold(m.Address, l.Address) {
			continue // not parsed: cannot be, it was when it was added
		}
		a.Name = m.Name
		token := s.token(l.ID, m.ID)
		r := message.Recipient{Address: m.Address, Header: a.String(), Links: &message.Links{URL: s.BaseURL + leavePath + token, Email: leavePrefix + token + "@" + domainOf(l.Address)}}
		if string(m.Vars) != "{}" {
			r.Vars = m.Vars
		}
		out.Recipients = append(out.Recipients, r)
	}
	return out, nil
}
