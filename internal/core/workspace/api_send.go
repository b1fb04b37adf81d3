package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"postroad/internal/mail/addr"
)

const (
	maxSubject  = 998      // a line of RFC 5322 section 2.1.1
	maxBody     = 10 << 20 // of text and HTML each
	maxMetadata = 64 << 10
)

// Members are checked in draft, so that an answer names all that are wrong.
type sendIn struct {
	Workspace   json.RawMessage `json:"workspaceId" doc:"Workspace, text, required"`
	To          json.RawMessage `json:"to" doc:"Address of the recipient, text, required"`
	Subject     json.RawMessage `json:"subject" doc:"Text, required"`
	Text        json.RawMessage `json:"text" doc:"Plain text, required"`
	HTML        json.RawMessage `json:"html" doc:"HTML, text"`
	From        json.RawMessage `json:"from" doc:"Sender in place of the default, text"`
	ReplyTo     json.RawMessage `json:"replyTo" doc:"Address answers go to, text"`
	SessionID   json.RawMessage `json:"sessionId" doc:"Session to link to, text"`
	SessionUUID json.RawMessage `json:"sessionUuid" doc:"UUID of the session, text"`
	UserID      json.RawMessage `json:"userId" doc:"User to link to, text"`
	ContactID   json.RawMessage `json:"contactId" doc:"Contact to link to, text"`
	Metadata    json.RawMessage `json:"metadata" doc:"Object kept with the message"`
}

type sendOut struct {
	Success   bool   `json:"success" doc:"true"`
	ID        string `json:"id" doc:"Internal id"`
	UUID      string `json:"uuid" doc:"Public UUID"`
	MessageID string `json:"mailgunMessageId" doc:"Message-ID"`
	Status    string `json:"status" doc:"sent"`
}

func (s *Service) sendOp(ctx context.Context, in *sendIn) (*sendOut, error) {
	m, workspace, err := s.draft(ctx, in)
	if err != nil {
		return nil, err
	}
	if !s.canSend() {
		return nil, notConfigured("no domain to send from is configured")
	}
	if err := s.send(ctx, workspace, m); err != nil {
		return nil, err
	}
	return &sendOut{Success: true, ID: publicID(m.id), UUID: m.uuid, MessageID: m.messageID, Status: m.status.String()}, nil
}

// draft checks a request. A workspace that is not the caller's is NotFound, which
// comes before everything else about the message.
func (s *Service) draft(ctx context.Context, in *sendIn) (*email, string, error) {
	bad := faults{}
	workspace := text(bad, "workspaceId", in.Workspace, true, maxID)
	if workspace != "" {
		if err := allowed(ctx, workspace); err != nil {
			return nil, "", err
		}
	}
	m := s.newEmail(outbound)
	m.to = mailbox(bad, "to", text(bad, "to", in.To, true, maxHeader))
	m.subject = line(bad, "subject", text(bad, "subject", in.Subject, true, maxSubject))
	m.plain = text(bad, "text", in.Text, true, maxBody)
	m.html = text(bad, "html", in.HTML, false, maxBody)
	if m.from = mailbox(bad, "from", text(bad, "from", in.From, false, maxHeader)); m.from == "" {
		m.from = s.From
	}
	m.replyTo = mailbox(bad, "replyTo", text(bad, "replyTo", in.ReplyTo, false, maxHeader))
	m.sessionID = text(bad, "sessionId", in.SessionID, false, maxID)
	m.sessionUUID = text(bad, "sessionUuid", in.SessionUUID, false, maxID)
	m.userID = text(bad, "userId", in.UserID, false, maxID)
	m.contactID = text(bad, "contactId", in.ContactID, false, maxID)
	m.metadata = object(bad, "metadata", in.Metadata)
	return m, workspace, bad.err()
}

// text reads a member that is a text.
func text(bad faults, name string, raw json.RawMessage, required bool, most int) string {
	var s string
	switch {
	case len(raw) > 0 && json.Unmarshal(raw, &s) != nil:
		bad.add(name, "must be a string")
	case required && strings.TrimSpace(s) == "":
		bad.add(name, "is required")
	case len(s) > most:
		bad.add(name, "must be at most "+strconv.Itoa(most)+" bytes long")
	}
	return s
}

func line(bad faults, name, s string) string {
	if strings.ContainsAny(s, "\r\n") {
		bad.add(name, "must be one line")
	}
	return s
}

// mailbox checks an address, with a name or without.
func mailbox(bad faults, name, s string) string {
	s = line(bad, name, strings.TrimSpace(s))
	if s != "" && bad[name] == "" {
		if _, err := addr.Parse(s); err != nil {
			bad.add(name, "must be an email address")
		}
	}
	return s
}

// object reads a member that is a JSON object.
func object(bad faults, name string, raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	var b bytes.Buffer
	switch {
	case raw[0] != '{' || json.Compact(&b, raw) != nil:
		bad.add(name, "must be an object")
	case b.Len() > maxMetadata:
		bad.add(name, "must be at most "+strconv.Itoa(maxMetadata)+" bytes long")
	}
	return b.String()
}
