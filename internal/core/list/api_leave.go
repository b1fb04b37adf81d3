package list

import (
	"context"
	"fmt"
	"strconv"

	"postroad/internal/base/db"
	"postroad/internal/base/op"
	"postroad/internal/core/event"
	"postroad/internal/core/optout"
)

const leaveDoc = "The address is in every post, as %mailing_list_unsubscribe_url% and in List-Unsubscribe; clients that unsubscribe with one click (RFC 8058) use it too. Only POST unsubscribes: programs that follow links change nothing."

type leaveIn struct {
	Token string `path:"token" doc:"Token of a member, as it stands in the link"`
}

type doLeaveIn struct {
	leaveIn
	OneClick string `form:"List-Unsubscribe" doc:"One-Click, from mail programs, which get a line of text"`
}

func (s *Service) askLeave(ctx context.Context, in *leaveIn) (*optout.Page, error) {
	var l *List
	var m *Member
	var err error
	if listID, memberID, ok := s.readToken(in.Token); ok {
		err = s.DB.Read(ctx, func(tx *db.Tx) (err error) {
			l, m, err = memberByID(tx, listID, memberID)
			return err
		})
	}
	return s.page(ctx, l, m, err), nil
}

func (s *Service) leave(ctx context.Context, in *doLeaveIn) (*optout.Page, error) {
	l, m, err := s.unsubscribe(ctx, in.Token, op.RequestFrom(ctx).RemoteIP)
	p := s.page(ctx, l, m, err)
	p.Plain = in.OneClick != ""
	return p, nil
}

// page shows how a member stands with a list; both are nil for a bad link.
func (s *Service) page(ctx context.Context, l *List, m *Member, err error) *optout.Page {
	p := &optout.Page{Accept: op.RequestFrom(ctx).Header("Accept-Language")}
	switch {
	case err != nil:
		if p.State = optout.Fail; ctx.Err() == nil {
			s.Logger.Error("mailing list: unsubscribe", "error", err)
		}
	case m != nil:
		p.State, p.Address, p.List = optout.Done, m.Address, l.title()
		if m.Subscribed {
			p.State = optout.Ask
		}
	}
	return p
}

func (l *List) title() string {
	if l.Name == "" {
		return l.Address
	}
	return l.Name + " <" + l.Address + ">"
}

// unsubscribe takes the member a token is for off its list, with the event; nil
// for a token that is for none.
func (s *Service) unsubscribe(ctx context.Context, token, ip string) (l *List, m *Member, err error) {
	listID, memberID, ok := s.readToken(token)
	if !ok {
		return nil, nil, nil
	}
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		if l, m, err = memberByID(tx, listID, memberID); err != nil || m == nil {
			return err
		}
		changed, err := unsubscribe(tx, m.ID)
		if err != nil || !changed {
			return err
		}
		m.Subscribed = false
		e := &event.Event{AccountID: l.AccountID, DomainID: l.DomainID, Doc: event.Doc{Event: event.Unsubscribed,
			Recipient: m.Address, IP: ip, MailingList: l.inEvents("")}}
		if err := s.Events.Seal(e); err != nil {
			return err
		}
		return s.Events.Stage(tx, e)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("unsubscribe: %w", err)
	}
	return l, m, nil
}

// inEvents is how events name the list; sid is that of a post.
func (l *List) inEvents(sid string) *event.MailingList {
	id := l.ListID
	if id == "" {
		id = strconv.FormatInt(l.ID, 10)
	}
	return &event.MailingList{Address: l.Address, ListID: id, SID: sid}
}
