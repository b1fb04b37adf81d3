package optout

import (
	"context"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/event"
	"postroad/internal/mail/linktoken"
)

const (
	path = "/u/{token}"

	askDoc   = "The address is in messages, as %unsubscribe_url%, %tag_unsubscribe_url% and in List-Unsubscribe. A page in the language of the reader asks; to look changes nothing."
	leaveDoc = "For the button of the page, and the one click of mail programs (RFC 8058), which get a line of text. Unsubscribing again changes nothing and makes no other event. " +
		"What this link did, action=resubscribe undoes."
)

// Ops returns the operations.
func (s *Service) Ops() []op.Op {
	return []op.Op{
		op.New("GET", path, op.Suppressions, op.Public, "Page to unsubscribe", s.ask).WithDoc(askDoc),
		op.New("POST", path, op.Suppressions, op.Public, "Unsubscribe", s.post).WithDoc(leaveDoc),
	}
}

type askIn struct {
	Token string `path:"token" doc:"Token of the link"`
}

type postIn struct {
	Token    string `path:"token" doc:"Token of the link"`
	OneClick string `form:"List-Unsubscribe" doc:"One-Click, from mail programs"`
	Action   string `form:"action" doc:"resubscribe to undo what this link did; anything else unsubscribes"`
}

// find returns what a token is about, nil for one that is about nothing. Tags that
// are not in the token are those its events have; without any it is the domain
// that is left.
func (s *Service) find(ctx context.Context, token string) (*subject, error) {
	t, ok := s.Links.Open(token)
	if !ok || t.Kind != linktoken.Unsubscribe && t.Kind != linktoken.UnsubscribeTag {
		return nil, nil
	}
	d, err := s.Domains.ByID(ctx, t.Domain)
	if errs.Is(err, errs.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := s.message(ctx, d, t.Message)
	if err != nil {
		return nil, err
	}
	n, err := s.about(ctx, d, t.Message, m, t.Recipient)
	if err != nil || t.Kind == linktoken.Unsubscribe {
		return n, err
	}
	if n.Tags = t.Tags(); n.Tags == nil {
		n.Tags = n.event.Doc.Tags
	}
	return n, nil
}

func (s *Service) ask(ctx context.Context, in *askIn) (*Page, error) {
	return s.page(ctx, in.Token, func(n *subject) (State, error) { return Ask, nil }), nil
}

func (s *Service) post(ctx context.Context, in *postIn) (*Page, error) {
	p := s.page(ctx, in.Token, func(n *subject) (State, error) {
		if in.Action == "resubscribe" {
			return Back, s.rejoin(ctx, n)
		}
		var by event.Doc
		by.IP, by.ClientInfo, by.Geolocation = s.Client(op.RequestFrom(ctx))
		_, err := s.leave(ctx, n, by)
		return Done, err
	})
	p.Plain = in.OneClick != ""
	return p, nil
}

func (s *Service) rejoin(ctx context.Context, n *subject) error {
	gone, err := s.Suppress.Rejoin(ctx, n.Leaving)
	if gone > 0 {
		s.Logger.Info("subscribed again", "domain", n.domain.Name, "recipient", n.Address, "tags", n.Tags, "message", n.MessageID, "ip", op.RequestFrom(ctx).RemoteIP)
	}
	return err
}

// page does something with what a token is about and shows how the address stands
// then; the state do returns is what is shown if that agrees with it.
func (s *Service) page(ctx context.Context, token string, do func(*subject) (State, error)) *Page {
	p := &Page{Accept: op.RequestFrom(ctx).Header("Accept-Language")}
	err := s.fill(ctx, p, token, do)
	if err != nil {
		if ctx.Err() == nil {
			s.Logger.Error("unsubscribe", "error", err)
		}
		return &Page{State: Fail, Accept: p.Accept}
	}
	return p
}

func (s *Service) fill(ctx context.Context, p *Page, token string, do func(*subject) (State, error)) error {
	n, err := s.find(ctx, token)
	if n == nil || err != nil {
		return err
	}
	if p.State, err = do(n); err != nil {
		return err
	}
	st, err := s.Suppress.Standing(ctx, n.Leaving)
	if err != nil {
		return err
	}
	p.Address, p.Sender, p.Topics = n.Address, n.domain.Name, n.Tags
	if st.Left {
		p.State, p.Undo = Done, st.Undo
	}
	return nil
}
