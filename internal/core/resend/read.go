package resend

import (
	"context"
	"strings"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/mail/mime"
)

// view is an email as the list has it.
type view struct {
	ID          string    `json:"id"`
	MessageID   string    `json:"message_id"`
	To          addresses `json:"to"`
	From        string    `json:"from"`
	CreatedAt   string    `json:"created_at"`
	Subject     string    `json:"subject"`
	BCC         addresses `json:"bcc"`
	CC          addresses `json:"cc"`
	ReplyTo     addresses `json:"reply_to"`
	LastEvent   string    `json:"last_event"`
	ScheduledAt *string   `json:"scheduled_at"`
}

// fullView is an email as GET has it. html and text are null once the message is
// not kept any more.
type fullView struct {
	Object string `json:"object"`
	view
	HTML    *string `json:"html"`
	Text    *string `json:"text"`
	Tags    []tag   `json:"tags,omitempty"`
	TopicID *string `json:"topic_id"`
}

// stamp writes a time as Resend does.
func stamp(micros int64) string { return clock.FromMicro(micros).Format("2006-01-02T15:04:05.000Z") }

func (r *row) view(last string) view {
	d := &r.Detail
	v := view{ID: r.PublicID, MessageID: "<" + d.MessageID + ">", To: d.To, From: d.From, CreatedAt: stamp(r.CreatedAt), Subject: d.Subject,
		BCC: d.BCC, CC: d.CC, ReplyTo: d.ReplyTo, LastEvent: last}
	if r.Scheduled != 0 {
		at := stamp(r.Scheduled)
		v.ScheduledAt = &at
	}
	return v
}

type idIn struct {
	ID string `path:"id" doc:"id of the email"`
}

// own returns an email of the caller's. A sending key does not come here.
func (s *Service) own(ctx context.Context, id string, a op.Access) (r *row, err error) {
	caller := account.From(ctx)
	if err := authorize(caller, op.Messages, a); err != nil {
		return nil, err
	}
	if err := checkID(id); err != nil {
		return nil, err
	}
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		r, err = findEmail(tx, caller.AccountID, id)
		return err
	})
	return r, err
}

func (s *Service) get(ctx context.Context, in *idIn) (*fullView, error) {
	r, err := s.own(ctx, in.ID, op.Read)
	if err != nil {
		return nil, err
	}
	last, err := s.lastEvents(ctx, []*row{r})
	if err != nil {
		return nil, err
	}
	out := &fullView{Object: "email", view: r.view(last[0]), Tags: r.Detail.Tags}
	out.HTML, out.Text, err = s.bodies(ctx, r)
	return out, err
}

// bodies returns what the stored message says, nil where it has none or is not kept.
func (s *Service) bodies(ctx context.Context, r *row) (html, text *string, err error) {
	m, err := s.Messages.ByID(ctx, r.ID)
	if errs.Is(err, errs.NotFound) || err == nil && s.Messages.Hidden(m) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	raw, err := s.Messages.Body(m)
	if err != nil {
		return nil, nil, err
	}
	p, err := mime.Parse(raw, mime.Limits{})
	if err != nil {
		return nil, nil, err
	}
	return written(p.HTML), written(p.Text), nil
}

// written is a body as it was given, but for a line end at its end: mail has its own.
func written(s string) *string {
	if s == "" {
		return nil
	}
	s = strings.TrimSuffix(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	return &s
}

type listIn struct {
	Limit  int    `query:"limit" default:"20" doc:"emails wanted, 1 to 100"`
	After  string `query:"after" doc:"id of an email: only older ones"`
	Before string `query:"before" doc:"id of an email: the next newer ones"`
}

type listOut[T any] struct {
	Object  string `json:"object"`
	HasMore bool   `json:"has_more"`
	Data    []T    `json:"data"`
}

// page reads the parameters of a list; find returns the row id of a public one.
func (in *listIn) page(find func(id string) (int64, error)) (p page, err error) {
	if in.Limit < 1 || in.Limit > 100 {
		return p, invalid("The `limit` must be between 1 and 100.")
	}
	p.limit = in.Limit
	if in.After != "" && in.Before != "" {
		return p, invalid("Only one of `after` and `before` may be given.")
	}
	for _, c := range []struct {
		id string
		to *int64
	}{{in.After, &p.after}, {in.Before, &p.before}} {
		if c.id == "" {
			continue
		}
		if err := checkID(c.id); err != nil {
			return p, err
		}
		if *c.to, err = find(c.id); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (s *Service) list(ctx context.Context, in *listIn) (*listOut[view], error) {
	caller := account.From(ctx)
	if err := authorize(caller, op.Messages, op.Read); err != nil {
		return nil, err
	}
	var rows []*row
	out := &listOut[view]{Object: "list", Data: []view{}}
	err := s.DB.Read(ctx, func(tx *db.Tx) error {
		p, err := in.page(func(id string) (int64, error) {
			r, err := findEmail(tx, caller.AccountID, id)
			if err != nil {
				return 0, err
			}
			return r.ID, nil
		})
		if err != nil {
			return err
		}
		rows, out.HasMore, err = list(tx, selEmail, caller.AccountID, p, scanEmail)
		return err
	})
	if err != nil {
		return nil, err
	}
	last, err := s.lastEvents(ctx, rows)
	if err != nil {
		return nil, err
	}
	for i, r := range rows {
		out.Data = append(out.Data, r.view(last[i]))
	}
	return out, nil
}

// lastEvents returns the states of emails.
func (s *Service) lastEvents(ctx context.Context, rows []*row) ([]string, error) {
	list := make([]int64, len(rows))
	for i, r := range rows {
		list[i] = r.ID
	}
	events, err := s.Events.OfMessages(ctx, list)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.lastEvent(events[r.ID], s.Clock.Now())
	}
	return out, nil
}

type updateIn struct {
	ID          string `path:"id" doc:"id of the email"`
	ScheduledAt string `json:"scheduled_at" doc:"when to send it: ISO 8601, or in 1 hour"`
}

type changed struct {
	Object string `json:"object"`
	ID     string `json:"id"`
}

func (s *Service) update(ctx context.Context, in *updateIn) (*changed, error) {
	r, err := s.own(ctx, in.ID, op.Write)
	if err != nil {
		return nil, err
	}
	if in.ScheduledAt == "" {
		return nil, refuse(422, missingField, "Missing `scheduled_at` field.")
	}
	now := s.Clock.Now()
	due, err := (&email{ScheduledAt: in.ScheduledAt}).schedule(now)
	if err != nil {
		return nil, err
	}
	if due.IsZero() {
		due = now
	}
	return s.whileScheduled(ctx, r, func(tx *db.Tx) (bool, error) {
		if ok, err := moveEmail(tx, r.ID, due); !ok || err != nil {
			return false, err
		}
		n, err := s.Queue.Reschedule(tx, r.ID, due.UnixMicro())
		return n > 0, err
	})
}

func (s *Service) cancel(ctx context.Context, in *idIn) (*changed, error) {
	r, err := s.own(ctx, in.ID, op.Write)
	if err != nil {
		return nil, err
	}
	return s.whileScheduled(ctx, r, func(tx *db.Tx) (bool, error) {
		if ok, err := cancelEmail(tx, r.ID); !ok || err != nil {
			return false, err
		}
		n, err := s.Queue.CancelMessage(tx, r.ID)
		return n > 0, err
	})
}

// whileScheduled changes an email that waits for its time, in one transaction with
// its deliveries.
func (s *Service) whileScheduled(ctx context.Context, r *row, change func(tx *db.Tx) (bool, error)) (*changed, error) {
	err := s.DB.Write(ctx, func(tx *db.Tx) error {
		ok, err := change(tx)
		if err == nil && !ok {
			err = invalid("The email is not scheduled any more: it was sent or canceled.")
			if r.Scheduled == 0 {
				err = invalid("Only scheduled emails can be changed.")
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &changed{"email", r.PublicID}, nil
}

// pastDue reports whether the time of a scheduled email has come.
func (r *row) pastDue(now time.Time) bool { return r.Scheduled <= now.UnixMicro() }
