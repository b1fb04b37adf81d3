package list

import (
	"bytes"
	"context"
	_ "embed" // the page
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/op"
	"postroad/internal/core/event"
)

const leaveDoc = "The address is in every post, as %mailing_list_unsubscribe_url% and in List-Unsubscribe; clients that unsubscribe with one click (RFC 8058) use it too. Only POST unsubscribes: programs that follow links change nothing."

//go:embed leave.html
var leaveText string

var leavePage = template.Must(template.New("leave").Parse(leaveText))

type leaveIn struct {
	Token string `path:"token" doc:"Token of a member, as it stands in the link"`
}

// leaveOut is the page a member sees.
type leaveOut struct {
	Title, Member, List string
	Ask, Left           bool
}

// Respond implements op.Responder. Nothing on the page comes from elsewhere, and
// it cannot be framed: a click on it means something.
func (o *leaveOut) Respond() op.Response {
	r := op.Response{ContentType: "text/html; charset=utf-8", Header: [][2]string{
		{"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"},
		{"Cache-Control", "no-store"}, {"Referrer-Policy", "no-referrer"}, {"X-Robots-Tag", "noindex"},
	}}
	if !o.Ask && !o.Left {
		r.Status = 404
	}
	var b bytes.Buffer
	if err := leavePage.Execute(&b, o); err != nil {
		return op.Response{Status: 500, ContentType: "text/plain", Body: strings.NewReader("Internal Server Error")}
	}
	r.Body = &b
	return r
}

func badLink() *leaveOut { return &leaveOut{Title: "This link does not work"} }

func (s *Service) askLeave(ctx context.Context, in *leaveIn) (*leaveOut, error) {
	listID, memberID, ok := s.readToken(in.Token)
	if !ok {
		return badLink(), nil
	}
	var l *List
	var m *Member
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		l, m, err = memberByID(tx, listID, memberID)
		return err
	})
	if err != nil || m == nil {
		return badLink(), err
	}
	if !m.Subscribed {
		return left(l, m), nil
	}
	return &leaveOut{Title: "Unsubscribe from " + l.Address, Member: m.Address, List: l.title(), Ask: true}, nil
}

func left(l *List, m *Member) *leaveOut {
	return &leaveOut{Title: "Unsubscribed", Member: m.Address, List: l.title(), Left: true}
}

func (l *List) title() string {
	if l.Name == "" {
		return l.Address
	}
	return l.Name + " <" + l.Address + ">"
}

func (s *Service) leave(ctx context.Context, in *leaveIn) (*leaveOut, error) {
	l, m, err := s.unsubscribe(ctx, in.Token, op.RequestFrom(ctx).RemoteIP)
	if err != nil || m == nil {
		return badLink(), err
	}
	return left(l, m), nil
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
