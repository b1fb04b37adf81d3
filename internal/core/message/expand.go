package message

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/event"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// A post to a mailing list is stored once and gets its recipients page by page.
// A page goes into the queue in the transaction that moves the cursor behind it,
// so that whatever happens each member gets one copy. As long as enough of a
// post waits for a first attempt no more is added: what is in memory and in the
// queue does not grow with the list.
const (
	firstPage  = 50   // members of the first page: it should leave soon
	nextPage   = 500  // of the others
	maxAhead   = 5000 // deliveries of a post that wait for their first attempt
	expandJobs = 64   // posts looked at in a round
	idleExpand = 30 * time.Second
	pressed    = 250 * time.Millisecond // between looks at posts that cannot go on
	hurt       = time.Second            // after an error
)

// Page asks for members of an audience.
type Page struct {
	Audience int64
	After    int64 // cursor: 0, then what the page before had as Next
	Before   int64 // id of the post: who joined after it gets the next one
	Limit    int
}

// Members are a page of an audience.
type Members struct {
	Recipients []Recipient
	Next       int64 // cursor behind the page
	Last       bool  // there are no more
}

// expansion is a post whose members are not all in the queue yet.
type expansion struct {
	messageID, domainID, audience, cursor, due int64
}

// errMoved says that somebody else changed or removed the expansion.
var errMoved = errors.New("the expansion was moved or cancelled meanwhile")

func (s *Service) wakeExpansion() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// RunExpansion adds the members of audiences to the queue until ctx ends.
func (s *Service) RunExpansion(ctx context.Context) error {
	var turn int64 // posts take turns: a small one overtakes a large one
	for ctx.Err() == nil {
		wait, err := s.expandRound(ctx, &turn)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("posts to mailing lists", "error", err)
			wait = hurt
		}
		if wait == 0 {
			continue
		}
		c, stop := s.clock.After(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-c:
		}
		stop()
	}
	return nil
}

// expandRound gives each of some posts one page, and returns how long to wait.
func (s *Service) expandRound(ctx context.Context, turn *int64) (time.Duration, error) {
	var list []expansion
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		list, err = expansions(tx, *turn, expandJobs)
		return err
	})
	if err != nil {
		return 0, err
	}
	if len(list) == 0 && *turn != 0 {
		*turn = 0
		return 0, nil
	}
	*turn = 0
	if len(list) == expandJobs {
		*turn = list[len(list)-1].messageID
	}
	wait, now := idleExpand, s.clock.Now().UnixMicro()
	for _, x := range list {
		if x.due > now {
			wait = min(wait, time.Duration(x.due-now)*time.Microsecond)
			continue
		}
		moved, err := s.expand(ctx, &x)
		switch {
		case ctx.Err() != nil:
			return 0, nil
		case err != nil:
			s.Logger.Error("post to a mailing list", "message", x.messageID, "error", err)
			wait = min(wait, hurt)
		case moved:
			wait = 0
		default:
			wait = min(wait, pressed)
		}
	}
	return wait, nil
}

// expand adds one page of x to the queue. moved is false when there is no room.
func (s *Service) expand(ctx context.Context, x *expansion) (moved bool, err error) {
	if s.Refuse != nil && s.Refuse() != nil {
		return false, nil
	}
	var ahead int
	if err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		ahead, err = untried(tx, x.messageID, maxAhead)
		return err
	}); err != nil || ahead+nextPage > maxAhead {
		return false, err
	}
	m, err := s.ByID(ctx, x.messageID)
	if err == nil {
		_, err = s.Domains.ByID(ctx, x.domainID)
	}
	if errs.Is(err, errs.NotFound) { // deleted meanwhile
		return true, s.DB.Write(ctx, func(tx *db.Tx) error { return deleteExpansion(tx, x.messageID) })
	}
	if err != nil {
		return false, err
	}
	q := Page{Audience: x.audience, After: x.cursor, Before: x.messageID, Limit: nextPage}
	if x.cursor == 0 {
		q.Limit = firstPage
	}
	page, err := s.Members(ctx, q)
	if err != nil {
		return false, fmt.Errorf("members: %w", err)
	}
	err = s.extend(ctx, m, x, &page)
	return err == nil || errors.Is(err, errMoved), ignoreMoved(err)
}

func ignoreMoved(err error) error {
	if errors.Is(err, errMoved) {
		return nil
	}
	return err
}

// extend queues a page and moves the cursor, in one transaction.
func (s *Service) extend(ctx context.Context, m *Message, x *expansion, page *Members) error {
	dom, err := s.Domains.ByID(ctx, m.DomainID)
	if err != nil {
		return err
	}
	sub, now := &Submission{Domain: dom, Recipients: page.Recipients}, s.clock.Now()
	when := s.times(ctx, m, sub, now)
	list := s.deliveries(m, sub, now, when)
	accepted, err := s.acceptedEvents(m, list, when)
	if err != nil {
		return err
	}
	return s.DB.Group(ctx, func(tx *db.Tx) error {
		if err := moveExpansion(tx, x, page); err != nil {
			return err
		}
		s.Queue.Stage(tx, list)
		return s.stageEvents(tx, accepted)
	})
}

// acceptedPost is the event of a post itself. Its recipient is the list.
func (s *Service) acceptedPost(m *Message) ([]*event.Event, error) {
	e := m.Event(event.Accepted, m.Meta.List.Address)
	e.Doc.Method, e.Doc.APIKeyID, e.Doc.OriginatingIP = m.Meta.Method, m.Meta.KeyID, m.Meta.RemoteIP
	e.Doc.Message.Recipients = m.Meta.Recipients
	return []*event.Event{e}, s.Events.Seal(e)
}

// CancelDomain takes the mail of a domain that no session has begun out of the
// queue, and posts whose members are not all in it. It returns how many
// deliveries there were.
func (s *Service) CancelDomain(tx *db.Tx, domainID int64) (int64, error) {
	if err := deleteExpansions(tx, domainID); err != nil {
		return 0, err
	}
	return s.Queue.CancelDomain(tx, domainID)
}

// Outside makes a submission of a message that came from outside, without
// credentials, to one address. What its header tells us to do (X-Mailgun-*) is
// removed and not done.
func (s *Service) Outside(raw []byte, to addr.Address, in SMTPMessage) (*Submission, error) {
	pieces, err := mime.EditHeader(raw, func(f mime.RawField) bool {
		const own = "x-mailgun-"
		return len(f.Name) >= len(own) && f.Name[0]|0x20 == 'x' && mime.RawField{Name: f.Name[:len(own)]}.Is(own)
	}, nil, nil)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "the message header could not be read")
	}
	d, err := fromSMTP(mime.Join(pieces), []addr.Address{to}, in.Domain, s.clock.Now(), nil)
	if err != nil {
		return nil, err
	}
	d.sub.Meta.RemoteIP, d.sub.Meta.Foreign = in.RemoteIP, true
	d.sub.Request = Request{Method: "SMTP", RemoteIP: in.RemoteIP, UserAgent: shorten(in.HELO, 200)}
	return d.sub, nil
}

// MaySend returns nil if mail may be sent from the domain in its state; else the
// error has the text for the client.
func (s *Service) MaySend(ctx context.Context, domainID int64) error {
	d, err := s.Domains.ByID(ctx, domainID)
	if err != nil {
		return err
	}
	return s.maySend(d)
}
