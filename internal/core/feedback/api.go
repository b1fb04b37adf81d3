package feedback

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/base/svix"
	"postroad/internal/core/account"
	"postroad/internal/core/webhook"
)

// Ops returns the operations of the package.
func (s *Service) Ops() []op.Op {
	list := []op.Op{
		op.New("POST", "/api/webhooks/mailgun", op.Webhooks, op.Public, "Take a webhook of Mailgun", s.takeMailgun).WithDoc(mailgunDoc),
		op.New("POST", "/api/webhooks/resend", op.Webhooks, op.Public, "Take a webhook of Resend", s.takeResend).WithDoc(resendDoc),
		guarded(s, "GET", "/api/email/events", "List the events of email providers", s.listEvents).WithDoc(eventsDoc),
		guarded(s, "GET", "/api/webhooks/subscriptions", "List the URLs events are forwarded to", s.listSubscriptions),
		guarded(s, "POST", "/api/webhooks/subscriptions", "Have events forwarded to a URL", s.createSubscription).WithDoc(subscribeDoc),
		guarded(s, "DELETE", "/api/webhooks/subscriptions/{id}", "Stop forwarding events to a URL", s.removeSubscription),
	}
	for i := range list {
		list[i] = list[i].WithErrors(Fail)
	}
	return list
}

const (
	mailgunDoc = "The signature is checked with `mailgun_webhook_signing_key`, or, where that is not set, with the signing key of the account " +
		"of this program that has the domain of the message's id. A signature is taken once and for 15 minutes; an event that comes again with another " +
		"one is answered 200 and kept once. Events that are not about a message on its way out are answered 200 and not kept."
	resendDoc = "The signature is checked with `resend_webhook_secret`. It is taken once and for 5 minutes; a webhook that comes again with the same `svix-id` " +
		"and another time is answered 200 and kept once. Events that are not about a message on its way out are answered 200 and not kept."
)

// failure is an error as the multi-provider API words it.
type failure struct {
	Error   string `json:"error"`
	Details string `json:"details,omitempty"`
}

// Fail words errors as the multi-provider API does; it is for op.Op.WithErrors.
func Fail(f op.Failure) any { return failure{f.Text, f.Hint} }

// guarded is op.New for an operation of the first account's administrators.
func guarded[In, Out any](s *Service, method, path, summary string, fn func(context.Context, *In) (*Out, error)) op.Op {
	access := op.Write
	if method == "GET" {
		access = op.Read
	}
	return op.New(method, path, op.Queue, access, summary, func(ctx context.Context, in *In) (*Out, error) {
		first, err := s.First(ctx)
		if err != nil {
			return nil, err
		}
		if account.From(ctx).AccountID != first {
			return nil, errs.New(errs.Forbidden, "Forbidden").WithHint("events of email providers belong to the installation: use an administrator's key of its first account")
		}
		return fn(ctx, in)
	})
}

// mailgunIn is a webhook of Mailgun. Its signature covers the time and a token, not
// the event: that makes refusing a repeated token more than a formality.
type mailgunIn struct {
	Body []byte `body:"raw" max:"1048576" required:"Invalid webhook payload" doc:"signature and event-data, as Mailgun sends them"`
}

type resendIn struct {
	ID        string `header:"svix-id" max:"256" doc:"id of the webhook, the same in each attempt"`
	Timestamp string `header:"svix-timestamp" max:"32" doc:"seconds since 1970"`
	Signature string `header:"svix-signature" max:"4096" doc:"v1 and the signature in base64; several are separated by spaces"`
	Body      []byte `body:"raw" max:"1048576" required:"Invalid webhook payload" doc:"the event, as Resend sends it"`
}

type takenOut struct {
	Success bool `json:"success"`
	Stored  int  `json:"stored" doc:"events that are new: 0 if they came before, or are of a type that is not kept"`
}

func (s *Service) takeMailgun(ctx context.Context, in *mailgunIn) (*takenOut, error) {
	var c mailgunCall
	var m mailgunEvent
	err := payload(in.Body, &c)
	if err == nil {
		err = payload(c.Data, &m)
	}
	if err != nil {
		return nil, err
	}
	if err := s.verifyMailgun(ctx, &c, m.domain()); err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	return s.taken(ctx, signed{mailgunName, c.Signature.Token, now.Add(2 * webhook.Tolerance)}, m.normalize(c.Data, now))
}

func (s *Service) takeResend(ctx context.Context, in *resendIn) (*takenOut, error) {
	now := s.Clock.Now()
	if err := s.verifyResend(in, now); err != nil {
		return nil, errSignature(err)
	}
	var r resendEvent
	if err := payload(in.Body, &r); err != nil {
		return nil, err
	}
	return s.taken(ctx, signed{resendName, in.ID + "." + in.Timestamp, now.Add(2 * svix.Tolerance)}, r.normalize(in.ID, in.Body, now))
}

func (s *Service) taken(ctx context.Context, r signed, list []*incoming) (*takenOut, error) {
	n, err := s.take(ctx, r, list)
	if err != nil {
		return nil, err
	}
	return &takenOut{true, n}, nil
}

func (s *Service) verifyResend(in *resendIn, now time.Time) (err error) {
	err = svix.ErrSignature // without a secret nothing is believed
	for _, key := range s.ResendSecrets {
		if err = key.Verify(in.ID, in.Timestamp, in.Signature, in.Body, now); err == nil {
			return nil
		}
	}
	return err
}

// payload decodes a JSON object; the error is the client's.
func payload(raw json.RawMessage, v any) error {
	if len(raw) == 0 || !utf8.Valid(raw) || !strings.HasPrefix(strings.TrimLeft(string(raw[:min(len(raw), 64)]), " \t\r\n"), "{") {
		return errs.New(errs.Invalid, textPayload).WithHint("a JSON object is expected")
	}
	if err := decode(raw, v); err != nil {
		return errs.Wrap(errs.Invalid, err, textPayload).WithHint("the JSON is damaged")
	}
	return nil
}
