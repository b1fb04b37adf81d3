package resend

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
)

// maxBatch is how many emails a batch may have, maxKey how long an idempotency key
// may be.
const (
	maxBatch = 100
	maxKey   = 256
)

type sendIn struct {
	Idempotency string          `header:"Idempotency-Key" doc:"makes a repeated request return the first answer, up to 256 characters"`
	Body        json.RawMessage `body:"json" required:"The request body is missing." doc:"the email"`
}

type sent struct {
	ID string `json:"id"`
}

func (s *Service) send(ctx context.Context, in *sendIn) (*sent, error) {
	out, err := s.take(ctx, &request{path: "/emails", key: in.Idempotency, body: in.Body, emails: []json.RawMessage{in.Body}})
	if err != nil {
		return nil, err
	}
	return &out.Data[0], nil
}

type batchIn struct {
	Idempotency string          `header:"Idempotency-Key" doc:"makes a repeated request return the first answer, up to 256 characters"`
	Validation  string          `header:"X-Batch-Validation" doc:"strict (the default) or permissive"`
	Body        json.RawMessage `body:"json" required:"The request body is missing." doc:"list of emails"`
}

// answer is what a request leads to. Resend: errors is there in permissive mode only.
type answer struct {
	Data   []sent     `json:"data"`
	Errors []rejected `json:"errors,omitempty"`
}

type rejected struct {
	Index   int    `json:"index"`
	Message string `json:"message"`
}

type permissiveAnswer struct {
	Data   []sent     `json:"data"`
	Errors []rejected `json:"errors"`
}

// Respond implements op.Responder.
func (a *answer) Respond() op.Response {
	if a.Errors != nil {
		return op.Response{JSON: permissiveAnswer(*a)}
	}
	return op.Response{JSON: *a}
}

func (s *Service) batch(ctx context.Context, in *batchIn) (*answer, error) {
	r := &request{path: "/emails/batch", key: in.Idempotency, body: in.Body, batch: true, permissive: in.Validation == "permissive"}
	if in.Validation != "" && in.Validation != "strict" && !r.permissive {
		return nil, invalid("The `x-batch-validation` header must be `strict` or `permissive`.")
	}
	if err := unmarshal(in.Body, &r.emails); err != nil {
		return nil, err
	}
	if n := len(r.emails); n == 0 || n > maxBatch {
		return nil, invalid("A batch must have between 1 and %d emails.", maxBatch)
	}
	return s.take(ctx, r)
}

// request is emails that are taken together.
type request struct {
	path, key         string
	body              []byte
	emails            []json.RawMessage
	batch, permissive bool
}

// hash is what a repeated request has in common with the first.
func (r *request) hash() []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%t\x00", r.path, r.permissive)
	h.Write(r.body)
	return h.Sum(nil)
}

// item is one email on its way.
type item struct {
	email *email
	sub   *message.Submission
	done  func()
	err   error
}

// take sends the emails of a request: in one transaction, all of them or, if it is
// permissive, those that are valid.
func (s *Service) take(ctx context.Context, r *request) (*answer, error) {
	caller := account.From(ctx)
	if err := authorize(caller, op.Messages, op.Send); err != nil {
		return nil, err
	}
	if len(r.key) > maxKey {
		return nil, refuse(400, badKeyLength, "The key must be between 1-%d chars.", maxKey)
	}
	if earlier, err := s.earlier(ctx, caller.AccountID, r); err != nil || earlier != nil {
		return earlier, err
	}
	items := s.prepare(ctx, r)
	defer func() {
		for _, it := range items {
			if it.done != nil {
				it.done()
			}
		}
	}()
	out := &answer{Data: []sent{}}
	if r.permissive {
		out.Errors = []rejected{}
	}
	var subs []*message.Submission
	var emails []*email
	for i, it := range items {
		if it.err != nil {
			if !r.permissive || errs.KindOf(it.err) == errs.Internal || errs.KindOf(it.err) == errs.Unavailable {
				return nil, r.about(i, it.err)
			}
			out.Errors = append(out.Errors, rejected{i, public(it.err)})
			continue
		}
		subs, emails = append(subs, it.sub), append(emails, it.email)
		out.Data = append(out.Data, sent{it.sub.Meta.Email.ID})
	}
	if len(subs) == 0 {
		return out, nil
	}
	return s.submit(ctx, caller.AccountID, r, out, subs, emails)
}

// about says which email of a batch is refused.
func (r *request) about(i int, err error) error {
	var e *errs.Error
	if !r.batch || !errors.As(err, &e) || e.Kind == errs.Internal || e.Kind == errs.Unavailable {
		return err
	}
	c := *e
	c.Public = fmt.Sprintf("Email at index %d: %s", i, e.Public)
	return &c
}

func public(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Public
	}
	return "The email could not be sent."
}

// preparing is how many emails of a batch are made at a time.
const preparing = 8

// prepare makes submissions of the emails of a request.
func (s *Service) prepare(ctx context.Context, r *request) []item {
	items := make([]item, len(r.emails))
	var g errgroup.Group
	g.SetLimit(preparing)
	for i, raw := range r.emails {
		g.Go(func() error {
			items[i].err = s.prepareOne(ctx, r, raw, &items[i])
			return nil // each has its own
		})
	}
	g.Wait()
	return items
}

func (s *Service) prepareOne(ctx context.Context, r *request, raw json.RawMessage, it *item) (err error) {
	if it.email, err = decode(raw, s.Clock.Now()); err != nil {
		return err
	}
	if r.batch && len(it.email.Attachments) > 0 {
		return invalid("The `attachments` field is not supported in a batch.")
	}
	if c := account.From(ctx); !c.MayUse(it.email.domain) {
		return refuse(401, restricted, "This API key is restricted to only send emails from the domain %s.", c.Domain)
	}
	if err = s.fetch(ctx, it.email); err != nil {
		return err
	}
	if it.sub, it.done, err = s.Messages.Prepare(ctx, it.email.domain, it.email.form()); err != nil {
		return refusedBy(err, it.email.domain)
	}
	it.sub.Meta.Email = &event.Email{ID: ids.UUID(), Scheduled: !it.email.due.IsZero()}
	if it.sub.Meta.Email.Scheduled {
		it.sub.Meta.Options.DeliveryTime = it.email.due.UnixMicro() // message takes no more than three days
	}
	return nil
}

// refusedBy words what message said.
func refusedBy(err error, domain string) error {
	var e *errs.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case errs.Unauthorized: // Mailgun's word for a domain that is not the caller's
		return refuse(403, validation, "The %s domain is not verified. Please, add and verify your domain.", clip(domain, 253))
	case errs.Forbidden:
		return refuse(403, validation, "%s", e.Public)
	case errs.Invalid, errs.TooLarge:
		return invalid("%s", e.Public)
	}
	return err
}

// submit stores the emails with what is kept of the request.
func (s *Service) submit(ctx context.Context, accountID string, r *request, out *answer, subs []*message.Submission, emails []*email) (*answer, error) {
	text, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	earlier, hash := "", r.hash()
	err = s.Messages.SubmitAll(ctx, subs, func(tx *db.Tx, list []*message.Message) (store bool, err error) {
		if r.key != "" {
			if earlier, err = claim(tx, accountID, r.key, hash, string(text)); err != nil || earlier != "" {
				return false, err
			}
		}
		for i, m := range list {
			if err := stageEmail(tx, newRow(m, emails[i])); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if earlier != "" {
		return r.replay(ctx, earlier)
	}
	return out, nil
}

// earlier returns what the request was answered with before, nil if it is new.
func (s *Service) earlier(ctx context.Context, accountID string, r *request) (*answer, error) {
	if r.key == "" {
		return nil, nil
	}
	var text string
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		text, err = findRequest(tx, accountID, r.key, r.hash())
		return err
	})
	if err != nil || text == "" {
		return nil, err
	}
	return r.replay(ctx, text)
}

// replay answers as before.
func (r *request) replay(ctx context.Context, text string) (*answer, error) {
	out := &answer{}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return nil, fmt.Errorf("answer to an earlier request: %w", err)
	}
	if r.permissive && out.Errors == nil {
		out.Errors = []rejected{}
	}
	op.RequestFrom(ctx).SetHeader("Idempotent-Replayed", "true")
	return out, nil
}

// claim writes a request down, or returns what it was answered with before.
func claim(tx *db.Tx, accountID, key string, hash []byte, answer string) (earlier string, err error) {
	if earlier, err = findRequest(tx, accountID, key, hash); err != nil || earlier != "" {
		return earlier, err
	}
	return "", insertRequest(tx, accountID, key, hash, answer)
}

// checkID refuses what is no UUID.
func checkID(id string) error {
	ok := len(id) == 36
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			ok = c == '-'
		} else {
			ok = c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		}
	}
	if !ok {
		return refuse(422, badParameter, "The `id` must be a valid UUID.")
	}
	return nil
}
