package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/core/feedback"
	"postroad/internal/core/provider"
	"postroad/internal/mail/addr"
)

// keepSent is how long events can be told what was sent.
const keepSent = 90 * 24 * time.Hour

// Lookup returns what is known of the message that a provider ("mailgun" or
// "resend") knows by externalID, with or without angle brackets, to one of its
// recipients. ok is false if the gateway did not send it, or too long ago.
func (s *Service) Lookup(ctx context.Context, providerName, externalID, recipient string) (k feedback.Known, ok bool, err error) {
	id, to := bare(externalID), addr.Canonical(recipient)
	read := func(tx *db.Tx) error {
		k, err = selectSent(tx, providerName, id, to)
		return err
	}
	// Mostly it is in the table. An event may also be faster than that.
	if err = s.DB.Peek(ctx, read); errors.Is(err, db.ErrNoRows) {
		err = s.DB.Read(ctx, read)
	}
	if errors.Is(err, db.ErrNoRows) {
		return feedback.Known{}, false, nil
	}
	return k, err == nil, err
}

// bare is an id as events have it.
func bare(id string) string { return strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">") }

// note is a row of gateway_sent.
type note struct {
	driver, id, recipient string
	metadata              json.RawMessage
	subject               string
}

// stageNotes keeps what was sent of a message.
func stageNotes(tx *db.Tx, m *provider.Message, list []note) error {
	tagText, err := json.Marshal(m.Tags)
	if err != nil {
		return err
	}
	sender, expires := mailbox(m.From), tx.Now+keepSent.Microseconds()
	for _, n := range list {
		stageSent(tx, &n, string(tagText), sender, expires)
	}
	return nil
}

// remember keeps what was sent. That it cannot be kept does not unsend it.
func (s *Service) remember(ctx context.Context, m *provider.Message, list []note) {
	err := s.DB.Group(context.WithoutCancel(ctx), func(tx *db.Tx) error { return stageNotes(tx, m, list) })
	if err != nil {
		s.Logger.Error("what was sent could not be kept for events", "error", err, "recipients", len(list))
	}
}

// notes are the rows of those recipients of a batch who were sent to.
func notes(b *provider.Batch, list []result) []note {
	out := make([]note, 0, len(list))
	for i, r := range list {
		if r.Err != nil {
			continue
		}
		to := &b.Recipients[i]
		metadata := to.Metadata
		if metadata == nil {
			metadata = b.Metadata
		}
		out = append(out, note{r.driver, bare(r.ID), mailbox(to.Email), metadata, provider.Fill(b.Subject, to.Variables, provider.Subject)})
	}
	return out
}
