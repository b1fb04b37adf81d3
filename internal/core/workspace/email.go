package workspace

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/clock"
)

// email is one message of a workspace.
type email struct {
	id        int64
	uuid      string
	workspace int64 // its number
	seq       int64
	direction direction
	status    status

	from, to, replyTo, subject string
	messageID                  string // with brackets, "" while unknown
	metadata                   string // a JSON object, "" for none

	sessionID, sessionUUID, userID, contactID string

	created int64
	times   [statuses]int64 // when it came to each status, 0 if it has not; that of pending is not used

	plain, html string // only where they were asked for
}

// idPrefix begins the ids of messages.
const idPrefix = "email-"

func publicID(id int64) string { return idPrefix + strconv.FormatInt(id, 10) }

// parseID returns the row id in an id of the API, 0 if it is none.
func parseID(s string) int64 {
	digits, ok := strings.CutPrefix(s, idPrefix)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n <= 0 {
		return 0
	}
	return n
}

// view is a message as clients see it.
type view struct {
	ID          string          `json:"id" doc:"Internal id"`
	UUID        string          `json:"uuid" doc:"Public UUID"`
	WorkspaceID string          `json:"workspaceId" doc:"Workspace"`
	MessageID   string          `json:"mailgunMessageId" doc:"Message-ID, empty before the message is sent"`
	Direction   string          `json:"direction" enum:"inbound,outbound" doc:"inbound or outbound"`
	From        string          `json:"from" doc:"Sender"`
	To          string          `json:"to" doc:"Recipient"`
	Subject     string          `json:"subject" doc:"Subject"`
	Plain       *string         `json:"bodyPlain,omitempty" doc:"Plain text; not in lists"`
	HTML        *string         `json:"bodyHtml,omitempty" doc:"HTML; absent if there is none, and in lists"`
	Status      string          `json:"status" doc:"pending, sent, delivered, opened, clicked, bounced or failed"`
	Metadata    json.RawMessage `json:"metadata,omitempty" doc:"Object given when it was sent"`
	SessionID   string          `json:"sessionId,omitempty" doc:"Session it is linked to"`
	SessionUUID string          `json:"sessionUuid,omitempty" doc:"UUID of the session"`
	UserID      string          `json:"userId,omitempty" doc:"User it is linked to"`
	ContactID   string          `json:"contactId,omitempty" doc:"Contact it is linked to"`
	ReplyTo     string          `json:"replyTo,omitempty" doc:"Address answers go to"`
	CreatedAt   string          `json:"createdAt" doc:"ISO 8601, UTC"`
	SentAt      string          `json:"sentAt,omitempty" doc:"ISO 8601, UTC"`
	DeliveredAt string          `json:"deliveredAt,omitempty" doc:"ISO 8601, UTC"`
	OpenedAt    string          `json:"openedAt,omitempty" doc:"ISO 8601, UTC"`
	ClickedAt   string          `json:"clickedAt,omitempty" doc:"ISO 8601, UTC"`
	BouncedAt   string          `json:"bouncedAt,omitempty" doc:"ISO 8601, UTC"`
	FailedAt    string          `json:"failedAt,omitempty" doc:"ISO 8601, UTC"`
}

func (m *email) view(workspaceID string) view {
	return view{
		ID: publicID(m.id), UUID: m.uuid, WorkspaceID: workspaceID, MessageID: m.messageID, Direction: m.direction.String(),
		From: m.from, To: m.to, Subject: m.subject, Status: m.status.String(), Metadata: json.RawMessage(m.metadata),
		SessionID: m.sessionID, SessionUUID: m.sessionUUID, UserID: m.userID, ContactID: m.contactID, ReplyTo: m.replyTo,
		CreatedAt: formatTime(m.created), SentAt: formatTime(m.times[sent]), DeliveredAt: formatTime(m.times[delivered]),
		OpenedAt: formatTime(m.times[opened]), ClickedAt: formatTime(m.times[clicked]), BouncedAt: formatTime(m.times[bounced]),
		FailedAt: formatTime(m.times[failed]),
	}
}

// whole is view with the bodies.
func (m *email) whole(workspaceID string) view {
	v := m.view(workspaceID)
	v.Plain = &m.plain
	if m.html != "" {
		v.HTML = &m.html
	}
	return v
}

func formatTime(us int64) string {
	if us == 0 {
		return ""
	}
	return clock.FromMicro(us).Truncate(time.Millisecond).Format("2006-01-02T15:04:05.999Z")
}
