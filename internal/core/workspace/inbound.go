package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/core/webhook"
)

const (
	// maxReferences is how many messages a reply may name that are looked for.
	maxReferences = 20
	// maxHeader bounds the texts kept of a header in bytes.
	maxHeader = 2000
)

// arrival is a message from outside as a route posts it.
type arrival struct {
	recipient, from, subject string
	plain, html              string
	headers                  string // JSON list of pairs
}

// receive stores a message from outside. One that a workspace has already for the
// same recipient is not stored again: routes repeat posts whose answer was lost.
func (s *Service) receive(ctx context.Context, sig webhook.Signature, workspaceID string, a *arrival) (*email, error) {
	m := s.newEmail(inbound)
	m.from, m.to, m.subject, m.plain, m.html = clip(a.from), clip(a.recipient), clip(a.subject), a.plain, a.html
	id, answered := references(a.headers)
	m.messageID, m.status = id, delivered
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		if err := s.takeOnce(tx, sig); err != nil {
			return err
		}
		w, err := lock(tx, workspaceID, s.IDs.Next())
		if err != nil {
			return err
		}
		if there, err := isStored(tx, w.num, m.messageID, m.to); err != nil || there {
			return err
		}
		if err := link(tx, w.num, m, answered); err != nil {
			return err
		}
		m.times[delivered] = max(tx.Now, w.at)
		return s.store(tx, w, m)
	})
	return m, err
}

// link gives a reply the links of what it answers: the newest message of ours that
// it names.
func link(tx *db.Tx, workspace int64, m *email, answered []string) error {
	for _, id := range answered {
		to, err := selectByMessageID(tx, workspace, outbound, id)
		if errors.Is(err, db.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		m.sessionID, m.sessionUUID, m.userID, m.contactID = to.sessionID, to.sessionUUID, to.userID, to.contactID
		return nil
	}
	return nil
}

// references reads the Message-ID of a message and those of what it answers, the
// nearest first (RFC 5322 section 3.6.4).
func references(headers string) (id string, answered []string) {
	var list [][]string
	if json.Unmarshal([]byte(headers), &list) != nil {
		return "", nil
	}
	var replied, thread []string
	for _, h := range list {
		if len(h) != 2 {
			continue
		}
		switch strings.ToLower(h[0]) {
		case "message-id":
			if found := messageIDs(h[1]); len(found) > 0 && id == "" {
				id = found[0]
			}
		case "in-reply-to":
			replied = append(replied, messageIDs(h[1])...)
		case "references":
			thread = append(thread, messageIDs(h[1])...)
		}
	}
	answered = replied
	for i := len(thread) - 1; i >= 0; i-- {
		answered = append(answered, thread[i])
	}
	return id, answered[:min(len(answered), maxReferences)]
}

// messageIDs returns the ids in a field, with their brackets.
func messageIDs(s string) (out []string) {
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			return out
		}
		s = s[i:]
		end := strings.IndexByte(s, '>')
		if end < 0 {
			return out
		}
		if id := s[:end+1]; len(id) > 2 && len(id) <= maxHeader {
			out = append(out, id)
		}
		s = s[end+1:]
	}
}

// clip bounds a text of a header.
func clip(s string) string {
	if len(s) <= maxHeader {
		return s
	}
	return strings.ToValidUTF8(s[:maxHeader], "")
}
