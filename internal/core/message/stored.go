package message

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
	"postroad/internal/mail/parsed"
)

type storedIn struct {
	Domain string `path:"domain" doc:"domain of the message"`
	Key    string `path:"key" doc:"storage key, as events carry it"`
	Accept string `header:"Accept" doc:"message/rfc2822 for the raw message"`
}

// storedOut is JSON whose members depend on the message.
type storedOut map[string]any

// Respond implements op.Responder. Mailgun: pretty-printed, sorted.
func (o *storedOut) Respond() op.Response { return op.Response{JSON: map[string]any(*o), Pretty: true} }

func (s *Service) find(ctx context.Context, in *storedIn) (*Message, []byte, error) {
	dom, err := s.Domains.Owned(ctx, account.From(ctx), in.Domain)
	if err != nil {
		return nil, nil, err
	}
	m, err := s.ByKey(ctx, dom.ID, in.Key)
	if err != nil {
		return nil, nil, err
	}
	raw, err := s.Body(m)
	return m, raw, err
}

func (s *Service) getStored(ctx context.Context, in *storedIn) (*storedOut, error) {
	m, raw, err := s.find(ctx, in)
	if err == nil && s.Capture && s.tracks(m) { // tests look for the links here
		raw, err = s.CopyFor(m, "")
	}
	if err != nil {
		return nil, err
	}
	if strings.Contains(strings.ToLower(in.Accept), "message/rfc2822") {
		return &storedOut{"recipients": strings.Join(m.Meta.Recipients, ", "), "sender": m.Meta.FromMailbox,
			"from": m.Meta.From, "subject": m.Meta.Subject, "body-mime": string(raw)}, nil
	}
	p, err := parsed.Parse(raw, parseLimits)
	if err != nil {
		return nil, fmt.Errorf("stored message %d: %w", m.ID, err)
	}
	return m.document(p), nil
}

// document is the stored message as JSON: what it says, and its envelope.
func (m *Message) document(p *parsed.Message) *storedOut {
	out := storedOut(p.Document(m.Meta.StorageURL))
	out["sender"] = m.Meta.FromMailbox
	out["recipients"] = strings.Join(m.Meta.Recipients, ", ")
	out["from"], out["subject"] = m.Meta.From, m.Meta.Subject
	return &out
}

type attachmentIn struct {
	Domain string `path:"domain" doc:"domain of the message"`
	Key    string `path:"key" doc:"storage key"`
	Index  int    `path:"index" min:"0" doc:"number of the attachment, from 0"`
}

type attachmentOut struct{ part mime.Part }

// Respond implements op.Responder. The file is never rendered by a browser on
// our origin.
func (o *attachmentOut) Respond() op.Response {
	name := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, o.part.Name)
	return op.Response{ContentType: o.part.ContentType, Body: bytes.NewReader(o.part.Data), Header: [][2]string{
		{"Content-Disposition", `attachment; filename="` + name + `"; filename*=UTF-8''` + url.PathEscape(o.part.Name)}, {"Content-Security-Policy", "sandbox; default-src 'none'"}}}
}

func (s *Service) getAttachment(ctx context.Context, in *attachmentIn) (*attachmentOut, error) {
	_, raw, err := s.find(ctx, &storedIn{Domain: in.Domain, Key: in.Key})
	if err != nil {
		return nil, err
	}
	files, err := mime.Attachments(raw, parseLimits)
	if err != nil {
		return nil, err
	}
	if in.Index >= len(files) {
		return nil, errs.New(errs.NotFound, "Attachment not found")
	}
	return &attachmentOut{files[in.Index]}, nil
}

type resendIn struct {
	Domain string   `path:"domain" doc:"domain of the message"`
	Key    string   `path:"key" doc:"storage key"`
	To     []string `form:"to" required:"to parameter is missing" doc:"recipients, comma-separated or repeated"`
}

func (s *Service) resend(ctx context.Context, in *resendIn) (*queued, error) {
	m, raw, err := s.find(ctx, &storedIn{Domain: in.Domain, Key: in.Key})
	if err != nil {
		return nil, err
	}
	n, err := s.Resend(ctx, m, raw, in.To)
	if err != nil {
		return nil, err
	}
	return &queued{ID: "<" + n.MessageID + ">", Message: "Queued. Thank you."}, nil
}

// Resend submits a stored message once more, to other recipients, as it was.
func (s *Service) Resend(ctx context.Context, m *Message, raw []byte, to []string) (*Message, error) {
	dom, err := s.Domains.ByID(ctx, m.DomainID)
	if err != nil {
		return nil, err
	}
	if err := s.maySend(dom); err != nil {
		return nil, err
	}
	r := &form{}
	for _, t := range to {
		r.fields = append(r.fields, pair{"to", t})
	}
	d := newDraft(dom, s.clock.Now(), m.Meta.Method)
	if err := d.recipients(r); err != nil {
		return nil, err
	}
	req, caller := op.RequestFrom(ctx), account.From(ctx)
	sub := d.sub
	recipients := sub.Meta.Recipients
	sub.MIME, sub.MessageID, sub.Meta = raw, m.MessageID, m.Meta
	sub.Meta.Recipients, sub.Meta.Options.DeliveryTime = recipients, 0
	sub.Meta.Options.OptimizePeriod, sub.Meta.Options.TimeZoneLocalize = "", ""
	sub.Meta.Options.ArchiveTo = "" // the archive has it
	sub.Meta.Email = nil
	sub.Meta.ReturnTo, sub.Meta.DSN = "", nil // this is not the doing of who sent it first
	sub.Meta.To = shorten(addr.Join(d.to), 1000)
	sub.keepVars(m.Meta.Vars)
	sub.Meta.KeyID, sub.Meta.RemoteIP, sub.Meta.StorageURL = caller.KeyID, req.RemoteIP, req.BaseURL
	sub.Request = Request{ID: req.ID, Method: req.Method, Path: req.Path, RemoteIP: req.RemoteIP, UserAgent: shorten(req.UserAgent, 200), KeyID: caller.KeyID, Fields: r.kept()}
	out, _, err := s.Submit(ctx, sub)
	return out, err
}

// keepVars gives the recipients of a batch sent again the variables they had.
// The copies of others are personal to nobody.
func (s *Submission) keepVars(old map[string]Vars) {
	if !s.Meta.Batch {
		return
	}
	for i := range s.Recipients {
		r := &s.Recipients[i]
		r.Vars = old[r.Address].Vars
	}
	s.Meta.Vars = keptVars(s.Recipients)
}

func (s *Service) deleteStored(ctx context.Context, in *storedIn) (*op.Message, error) {
	m, _, err := s.find(ctx, in)
	if err != nil {
		return nil, err
	}
	return &op.Message{Message: "Message has been deleted"}, s.Delete(ctx, m)
}

// Hidden reports whether m's retention is over.
func (s *Service) Hidden(m *Message) bool { return s.clock.Now().After(m.ExpiresAt) }

type domainIn struct {
	Domain string `path:"domain" doc:"sending domain"`
}

type queueState struct {
	IsDisabled bool `json:"is_disabled"`
	Disabled   struct {
		Until  string `json:"until"`
		Reason string `json:"reason"`
	} `json:"disabled"`
}

type sendingQueuesOut struct {
	Regular   queueState `json:"regular"`
	Scheduled queueState `json:"scheduled"`
}

// sendingQueues says whether the domain's queues run. A queue is disabled
// while its domain is.
func (s *Service) sendingQueues(ctx context.Context, in *domainIn) (*sendingQueuesOut, error) {
	dom, err := s.Domains.Owned(ctx, account.From(ctx), in.Domain)
	if err != nil {
		return nil, err
	}
	out := &sendingQueuesOut{}
	if dom.State == "disabled" {
		out.Regular.IsDisabled, out.Regular.Disabled.Reason = true, "domain is disabled"
		out.Scheduled = out.Regular
	}
	return out, nil
}

// deleteEnvelopes cancels what waits for the domain. Mailgun: the text, and
// the 404 in lower case.
func (s *Service) deleteEnvelopes(ctx context.Context, in *domainIn) (*op.Message, error) {
	dom, err := s.Domains.Owned(ctx, account.From(ctx), in.Domain)
	if errs.Is(err, errs.NotFound) {
		return nil, errs.New(errs.NotFound, "domain not found")
	}
	if err != nil {
		return nil, err
	}
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		n, err := s.CancelDomain(tx, dom.ID)
		s.Logger.Info("envelopes deleted", "domain", dom.Name, "deliveries", n)
		return err
	})
	return &op.Message{Message: "done"}, err
}

// usualBytes is room for most messages, so that reading one seldom has to grow
// its buffer.
const usualBytes = 16 << 10

// readAll takes a complete message from r.
func (s *Service) readAll(r io.Reader) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, usualBytes))
	_, err := b.ReadFrom(io.LimitReader(r, s.MaxBytes+1))
	if err == nil && int64(b.Len()) > s.MaxBytes {
		err = errTooLarge(s.MaxBytes)
	}
	return b.Bytes(), err
}
