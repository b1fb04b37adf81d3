package workspace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/provider"
)

// Variable is the user variable that ties the events of a message to it.
const Variable = "postroad-workspace-email"

const (
	// sendLimit is how long sending may take, with its repetitions.
	sendLimit = 2 * time.Minute
	// finishWithin is how long a message whose sending was cut off is tried again:
	// as long as our API knows its idempotency key.
	finishWithin = 24 * time.Hour
	// finishBatch is how many of them are read at once.
	finishBatch = 100
)

// send stores m and sends it. The error is of kind Internal if the provider did not
// take it, which m then says as well.
func (s *Service) send(ctx context.Context, workspaceID string, m *email) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendLimit) // a client that leaves does not stop it
	defer cancel()
	s.claim(m.id)
	defer s.free(m.id)
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		w, err := lock(tx, workspaceID, s.IDs.Next())
		if err != nil {
			return err
		}
		return s.store(tx, w, m)
	})
	if err != nil {
		return err
	}
	return s.submit(ctx, m, false)
}

// claim notes that a message is being sent, and reports whether it was not before.
func (s *Service) claim(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return false
	}
	s.busy[id] = true
	return true
}

func (s *Service) free(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, id)
}

// submit hands a stored message to the provider and records what it said. Where
// again is set, one that may be taken later stays pending.
func (s *Service) submit(ctx context.Context, m *email, again bool) error {
	id, err := s.Driver.Send(ctx, s.Account, &provider.Message{
		From: m.from, ReplyTo: m.replyTo, To: []string{m.to}, Subject: m.subject, Text: m.plain, HTML: m.html,
		Variables: map[string]string{Variable: m.uuid}, IdempotencyKey: m.uuid,
	})
	c := change{to: sent, messageID: bracketed(id)}
	var refused *provider.Error
	if err != nil {
		if !errors.As(err, &refused) {
			refused = &provider.Error{Text: "no answer in time"}
		}
		if again && refused.Temporary() {
			return err
		}
		c = change{to: failed}
	}
	c.at = s.clock.Now().UnixMicro()
	// What the provider said is recorded even if that took all the time there is.
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendLimit)
	defer cancel()
	if err := s.db.Write(record, func(tx *db.Tx) error {
		return s.change(tx, &c, func(tx *db.Tx) (*email, error) { return selectByID(tx, m.id) })
	}); err != nil {
		return fmt.Errorf("record what was sent: %w", err)
	}
	c.apply(m)
	if refused == nil {
		return nil
	}
	return fail(errs.Internal, codeProvider, "Mailgun did not take the message", map[string]any{
		"id": publicID(m.id), "uuid": m.uuid, "providerStatus": refused.Status, "providerMessage": refused.Text})
}

// finishPending sends what is pending and not being sent: the program ended in
// between. With the same idempotency key our API takes none twice.
func (s *Service) finishPending(ctx context.Context) error {
	for after := int64(0); ; {
		var list []*email
		err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
			list, err = selectPending(tx, after, finishBatch)
			return err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, m := range list {
			if after = m.id; !s.claim(m.id) {
				continue
			}
			err := s.finish(ctx, m)
			s.free(m.id)
			if err != nil {
				return err
			}
		}
	}
}

// finish sends one message again. The error says that others would fare no better.
func (s *Service) finish(ctx context.Context, m *email) error {
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		now, err := selectByID(tx, m.id) // it may have been sent since the list was read
		if err != nil {
			return err
		}
		*m = *now
		return selectBody(tx, m)
	})
	if err != nil || m.status != pending {
		return err
	}
	old := s.clock.Now().UnixMicro()-m.created > finishWithin.Microseconds()
	if err := s.submit(ctx, m, !old); !errs.Is(err, errs.Internal) || m.status == pending {
		return err
	}
	return nil // refused, which is recorded
}

// bracketed gives a Message-ID the form it has in mail.
func bracketed(id string) string {
	if id == "" || id[0] == '<' {
		return id
	}
	return "<" + id + ">"
}
