package resend

import (
	"context"
	"log/slog"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/base/netx"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
)

// Config is what the service is made of.
type Config struct {
	DB       *db.DB
	IDs      *ids.Source
	Clock    clock.Clock
	Logger   *slog.Logger
	Messages *message.Service
	Events   *event.Service
	Queue    *queue.Queue
	Hooks    *Hooks
	Client   *netx.Client // fetches attachments; keeps at least the size of a message of an answer
	// CheckURL refuses URLs that cannot be webhooks.
	CheckURL func(ctx context.Context, url string) error
}

// Service is the API. Its methods are safe for concurrent use.
type Service struct {
	Config
	fetching chan struct{}
}

// fetches is how many attachments are fetched at the same time.
const fetches = 8

// New returns the service.
func New(c Config) *Service { return &Service{Config: c, fetching: make(chan struct{}, fetches)} }

// Resources are the first segments of the paths of Resend's API, those included
// that are not offered.
func Resources() []string {
	return []string{"emails", "webhooks", "domains", "api-keys", "audiences", "segments", "contacts", "contact-properties", "broadcasts",
		"templates", "topics", "automations", "events", "inboxes", "logs", "oauth", "suppressions", "usage"}
}

// Ops returns the operations.
func (s *Service) Ops() []op.Op {
	list := []op.Op{
		op.New("POST", "/emails", op.Messages, op.Send, "Send an email", s.send).WithDoc(sendDoc),
		op.New("POST", "/emails/batch", op.Messages, op.Send, "Send up to 100 emails", s.batch).WithDoc(batchDoc),
		op.New("GET", "/emails", op.Messages, op.Read, "List emails", s.list),
		op.New("GET", "/emails/{id}", op.Messages, op.Read, "Get an email", s.get),
		op.New("PATCH", "/emails/{id}", op.Messages, op.Write, "Send a scheduled email at another time", s.update),
		op.New("POST", "/emails/{id}/cancel", op.Messages, op.Write, "Cancel a scheduled email", s.cancel),

		op.New("POST", "/webhooks", op.Webhooks, op.Write, "Create a webhook for emails", s.createHook),
		op.New("GET", "/webhooks", op.Webhooks, op.Read, "List webhooks for emails", s.listHooks),
		op.New("GET", "/webhooks/{id}", op.Webhooks, op.Read, "Get a webhook for emails", s.getHook),
		op.New("PATCH", "/webhooks/{id}", op.Webhooks, op.Write, "Change a webhook for emails", s.updateHook),
		op.New("DELETE", "/webhooks/{id}", op.Webhooks, op.Write, "Delete a webhook for emails", s.deleteHook),
		op.New("POST", "/webhooks/{id}/signing-secret/rotate", op.Webhooks, op.Write, "Replace the secret of a webhook for emails", s.rotateHook),
	}
	for i := range list {
		list[i] = list[i].WithBearer().WithErrors(Failure)
	}
	return list
}

const sendDoc = `The body is JSON as the clients of Resend send it: from, to, cc, bcc, reply_to, subject, html, text, headers, attachments, tags, scheduled_at.

The header Idempotency-Key makes a repeated request return the first answer without sending again, for 24 hours.`

const batchDoc = `The body is a list of emails as POST /emails takes one, without attachments. All are sent or none is; with the header x-batch-validation: permissive those that are valid are sent, and errors names the others.`

// authorize refuses callers whose key is not for the operation. Resend: a key that may
// only send is told so.
func authorize(c *account.Caller, g op.Group, a op.Access) error {
	switch {
	case account.Allowed(c.Role, g, a):
		return nil
	case c.Role == account.Sending:
		return refuse(401, restricted, "This API key is restricted to only send emails.")
	}
	return refuse(401, restricted, "The role %s of this API key does not allow this.", c.Role)
}

// Clean forgets what nobody can ask for any more: emails whose message and events
// are gone, requests whose keys may be used again. Emails before the given time are
// looked at.
func (s *Service) Clean(ctx context.Context, before int64) error {
	const batch = 500
	for {
		var n int64
		err := s.DB.Write(ctx, func(tx *db.Tx) (err error) {
			if n, err = deleteOldEmails(tx, before, batch); err != nil {
				return err
			}
			more, err := deleteOldRequests(tx, batch)
			n = max(n, more)
			return err
		})
		if err != nil || n < batch {
			return err
		}
	}
}
