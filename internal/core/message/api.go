package message

import (
	"context"
	"crypto/sha256"
	"hash"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
)

// Ops returns the operations of messages.
func (s *Service) Ops() []op.Op {
	return append([]op.Op{
		op.New("POST", "/v3/{domain}/messages", op.Messages, op.Send, "Send a message from its parts", s.send).WithDoc(sendDoc),
		op.New("POST", "/v3/{domain}/messages.mime", op.Messages, op.Send, "Send a message in MIME form", s.sendMIME).WithDoc(mimeDoc),
		op.New("GET", "/v3/domains/{domain}/messages/{key}", op.Messages, op.Read, "Get a stored message", s.getStored),
		op.New("POST", "/v3/domains/{domain}/messages/{key}", op.Messages, op.Write, "Send a stored message again", s.resend),
		op.New("DELETE", "/v3/domains/{domain}/messages/{key}", op.Messages, op.Write, "Delete a stored message", s.deleteStored),
		op.New("GET", "/v3/domains/{domain}/messages/{key}/attachments/{index}", op.Messages, op.Read, "Get an attachment of a stored message", s.getAttachment),
		op.New("GET", "/v3/domains/{domain}/sending_queues", op.Messages, op.Read, "Get the state of the sending queues", s.sendingQueues),
		op.New("DELETE", "/v3/{domain}/envelopes", op.Messages, op.Write, "Cancel scheduled and waiting messages", s.deleteEnvelopes),
	}, s.viewOps()...)
}

const sendDoc = `Options (o:, h:, v:, t:) are limited to 16 kB together, the message to 25 MB, recipients to 1,000. Any header field is set with h:NAME, any variable with v:NAME.

The header Idempotency-Key makes a repeated request return the first answer without sending again, for 24 hours.`

const mimeDoc = `The body is multipart/form-data. The o:, h:, v: and t: options are those of the other endpoint; X-Mailgun-* fields of the message do the same and go before them. A multipart/mailgun-variables holds the message and its recipient variables.`

type sendIn struct {
	Domain      string  `path:"domain" doc:"sending domain"`
	Idempotency string  `header:"Idempotency-Key" max:"255" doc:"makes a repeated request return the first answer"`
	Form        op.Form `doc:"the message"`
}

// FormDoc documents the fields of the form, which is read as a stream.
func (sendIn) FormDoc() any { return sendFields{} }

type sendFields struct {
	From             string   `form:"from" doc:"sender: Name <address>; may be absent if the template has one"`
	To               []string `form:"to" doc:"recipients, comma-separated or repeated"`
	Cc               []string `form:"cc" doc:"recipients of a copy"`
	Bcc              []string `form:"bcc" doc:"recipients of a copy the others do not see"`
	Subject          string   `form:"subject" doc:"subject line"`
	Text             string   `form:"text" doc:"plain text body"`
	HTML             string   `form:"html" doc:"HTML body"`
	AMP              string   `form:"amp-html" doc:"AMP body"`
	Attachment       []byte   `form:"attachment" doc:"file, repeatable"`
	Inline           []byte   `form:"inline" doc:"file shown in the HTML as cid:filename, repeatable"`
	RecipientVars    string   `form:"recipient-variables" doc:"JSON object by recipient address: every to-recipient gets an own copy with %recipient.key% replaced"`
	Template         string   `form:"template" doc:"name of a stored template of the domain or the account, in place of html"`
	TemplateVersion  string   `form:"t:version" doc:"tag of the version; the active one if absent"`
	TemplateVars     string   `form:"t:variables" doc:"JSON object with values for the template; v: values are there as well"`
	TemplateText     string   `form:"t:text" doc:"yes: make the text part from the rendered template"`
	Tag              []string `form:"o:tag" doc:"tag, up to 10, 128 ASCII characters"`
	DKIM             string   `form:"o:dkim" doc:"yes or no"`
	SecondaryDKIM    string   `form:"o:secondary-dkim" doc:"domain/selector of a second signature; stored"`
	SecondaryPublic  string   `form:"o:secondary-dkim-public" doc:"public domain/selector of the second signature; stored"`
	TestMode         string   `form:"o:testmode" doc:"yes: events are made, nothing is delivered"`
	DeliveryTime     string   `form:"o:deliverytime" doc:"RFC 2822 date or epoch seconds, up to 3 days ahead or the domain's message_ttl"`
	DeliverWithin    string   `form:"o:deliver-within" doc:"NhNm between 5m and 24h: give up after that, from the time the delivery is scheduled for"`
	OptimizePeriod   string   `form:"o:deliverytime-optimize-period" doc:"24h to 72h: deliver at the hour of that period in which the recipient opens and clicks most; one recipient only"`
	TimeZoneLocalize string   `form:"o:time-zone-localize" doc:"HH:mm or hh:mmaa: deliver at that time of the recipient's time zone"`
	RequireTLS       string   `form:"o:require-tls" doc:"yes: no delivery without TLS"`
	SkipVerification string   `form:"o:skip-verification" doc:"yes: any certificate will do"`
	Tracking         string   `form:"o:tracking" doc:"yes, no or htmlonly; stored"`
	TrackingClicks   string   `form:"o:tracking-clicks" doc:"yes, no or htmlonly; stored"`
	TrackingOpens    string   `form:"o:tracking-opens" doc:"yes or no; stored"`
	TrackingPixelTop string   `form:"o:tracking-pixel-location-top" doc:"yes, no or htmlonly; stored"`
	SendingIP        string   `form:"o:sending-ip" doc:"address to send from, if the server has it"`
	SendingIPPool    string   `form:"o:sending-ip-pool" doc:"pool of addresses to send from, if the server has it"`
	ArchiveTo        string   `form:"o:archive-to" doc:"address or URL that gets a copy; repeatable, up to 10"`
	SuppressHeaders  string   `form:"o:suppress-headers" doc:"X-Mailgun-* headers to leave out, comma-separated or repeated, or all"`
}

type mimeIn struct {
	Domain      string  `path:"domain" doc:"sending domain"`
	Idempotency string  `header:"Idempotency-Key" max:"255" doc:"makes a repeated request return the first answer"`
	Form        op.Form `doc:"the message"`
}

// FormDoc documents the fields of the form.
func (mimeIn) FormDoc() any {
	return struct {
		To      []string `form:"to" doc:"recipients, comma-separated or repeated"`
		Message []byte   `form:"message" doc:"file with the complete MIME message"`
	}{}
}

type queued struct {
	ID      string `json:"id"`
	Message string `json:"message"`
}

func (s *Service) send(ctx context.Context, in *sendIn) (*queued, error) {
	return s.receive(ctx, in.Domain, in.Idempotency, in.Form, fromParts)
}

func (s *Service) sendMIME(ctx context.Context, in *mimeIn) (*queued, error) {
	if !in.Form.Multipart() {
		return nil, errs.New(errs.Invalid, "Invalid request content type. Expecting 'multipart/form-data' but got '%s'", in.Form.ContentType())
	}
	return s.receive(ctx, in.Domain, in.Idempotency, in.Form, fromMIMEForm)
}

// receive reads a send request, makes a draft of it and submits that.
func (s *Service) receive(ctx context.Context, name, idempotency string, f op.Form, make func(*form, *domain.Domain, time.Time, finder) (*draft, error)) (*queued, error) {
	dom, err := s.sendingDomain(ctx, name)
	if err != nil {
		return nil, err
	}
	var digest hash.Hash
	if idempotency != "" {
		digest = sha256.New()
	}
	r, err := readForm(f, s.MaxBytes, s.memory, digest)
	if err != nil {
		return nil, err
	}
	defer r.release()
	d, err := make(r, dom, s.clock.Now(), s.templates(ctx, dom))
	if err != nil {
		return nil, err
	}
	if d.template != nil { // a small request made a large message
		if err := r.hold(len(d.sub.MIME)); err != nil {
			return nil, err
		}
	}
	return s.submitHTTP(ctx, idempotency, r, d)
}

func (s *Service) submitHTTP(ctx context.Context, idempotency string, r *form, d *draft) (*queued, error) {
	req, sub := op.RequestFrom(ctx), d.sub
	sub.describe(ctx, r)
	if idempotency != "" {
		sub.IdempotencyKey = idempotency
		r.digest("path", "", []byte(req.Path))
		sub.BodyHash = [sha256.Size]byte(r.hash.Sum(nil))
	}
	if r.notFiles != "" {
		req.SetHeader("X-Hint", "ignored "+r.notFiles+": it is not a file; send it as a multipart part with a filename")
	}
	if len(d.unknown) > 0 {
		req.SetHeader("X-Hint", "ignored unknown options: "+shorten(strings.Join(d.unknown, ", "), 200))
	}
	m, replayed, err := s.Submit(ctx, sub)
	if err != nil {
		return nil, err
	}
	if replayed {
		req.SetHeader("Idempotent-Replayed", "true")
	}
	return &queued{ID: "<" + m.MessageID + ">", Message: "Queued. Thank you."}, nil
}

// describe keeps who asked and how.
func (s *Submission) describe(ctx context.Context, r *form) {
	req, caller := op.RequestFrom(ctx), account.From(ctx)
	s.Meta.KeyID, s.Meta.RemoteIP, s.Meta.StorageURL = caller.KeyID, req.RemoteIP, req.BaseURL
	s.Request = Request{ID: req.ID, Method: req.Method, Path: req.Path, RemoteIP: req.RemoteIP,
		UserAgent: shorten(req.UserAgent, 200), KeyID: caller.KeyID, Fields: r.kept()}
}

// Prepare makes a submission of a form with the fields of POST messages, for
// SubmitAll. Until done is called it counts against the memory for messages being
// received. The errors are those of that operation.
func (s *Service) Prepare(ctx context.Context, name string, f op.Form) (sub *Submission, done func(), err error) {
	dom, err := s.sendingDomain(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	r, err := readForm(f, s.MaxBytes, s.memory, nil)
	if err != nil {
		return nil, nil, err
	}
	d, err := fromParts(r, dom, s.clock.Now(), s.templates(ctx, dom))
	if err != nil {
		r.release()
		return nil, nil, err
	}
	d.sub.describe(ctx, r)
	return d.sub, r.release, nil
}

// sendingDomain returns the domain if the caller may send from it. Mailgun: a
// domain that is not the caller's looks like a bad key.
func (s *Service) sendingDomain(ctx context.Context, name string) (*domain.Domain, error) {
	dom, err := s.ownDomain(ctx, name)
	if errs.Is(err, errs.NotFound) {
		return nil, errs.New(errs.Unauthorized, "Forbidden").WithHint("the key is valid, but domain %s does not belong to its account; add it with POST /v4/domains", shorten(name, 253))
	}
	if err != nil {
		return nil, err
	}
	return dom, s.maySend(dom)
}

func (s *Service) ownDomain(ctx context.Context, name string) (*domain.Domain, error) {
	caller := account.From(ctx)
	if s.Dev {
		return s.Domains.Ensure(ctx, caller.AccountID, name)
	}
	return s.Domains.Owned(ctx, caller, name)
}

// maySend refuses domains in no state to send. Mailgun: the three texts.
func (s *Service) maySend(d *domain.Domain) error {
	switch {
	case d.State == domain.Disabled:
		return errs.New(errs.Forbidden, "Domain %s is not allowed to send: the domain is disabled", d.Name)
	case s.Dev:
		return nil
	case d.Type == domain.Sandbox:
		return errs.New(errs.Forbidden, "Domain %s is not allowed to send: Sandbox subdomains are for test purposes only. Please add your own domain or add the address to authorized recipients in Account Settings.", d.Name)
	case d.State != domain.Active:
		return errs.New(errs.Forbidden, "Domain %s is not allowed to send: The domain is unverified and requires DNS configuration. Log in to your control panel to view required DNS records.", d.Name)
	}
	return nil
}
