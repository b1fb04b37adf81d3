package event

import (
	"encoding/json"
	"strconv"
	"time"
)

// Type is the kind of an event as the API names it.
type Type string

// The event types. Mailgun: events API.
const (
	Accepted     Type = "accepted"
	Rejected     Type = "rejected"
	Delivered    Type = "delivered"
	Failed       Type = "failed"
	Opened       Type = "opened"
	Clicked      Type = "clicked"
	Unsubscribed Type = "unsubscribed"
	Complained   Type = "complained"
	Stored       Type = "stored"

	// Of an upload of mailing list members.
	ListMemberUploaded    Type = "list_member_uploaded"
	ListMemberUploadError Type = "list_member_upload_error"
	ListUploaded          Type = "list_uploaded"
)

// Severities of a failed event.
const (
	Permanent = "permanent"
	Temporary = "temporary"
)

// codes number the types in the partitions' type column; never renumber.
var codes = map[Type]int64{Accepted: 1, Rejected: 2, Delivered: 3, Failed: 4, Opened: 5, Clicked: 6,
	Unsubscribed: 7, Complained: 8, Stored: 9, ListMemberUploaded: 10, ListMemberUploadError: 11, ListUploaded: 12}

// Event is one fact on its way into or out of the store.
type Event struct {
	ID        int64 // time-ordered row id, set by Seal
	AccountID string
	DomainID  int64
	MessageID int64 // row id of the message, 0 when there is none
	Doc       Doc
	// Detail is the conversation of the attempt, by SMTP or HTTP, in
	// smtp.EncodeTranscript form; of an accepted event the time chosen for the
	// delivery, as message writes it. Not part of the document.
	Detail string

	// What sinks need to know beside the document.

	// First says of an opened or clicked event that it is the first of its
	// recipient and message within seven days, by a human as far as can be told.
	First bool
	// Leave are the tags an unsubscribed event is about; none means all mail of
	// the domain.
	Leave []string
	// Email is the message in the API that Resend's clients speak; nil when it did
	// not come by that.
	Email *Email
	// TimeZone is where a click came from, an IANA name, "" if unknown.
	TimeZone string

	text         []byte
	sealed       []byte
	sealedDetail []byte
}

// Email is what a message is in the API that Resend's clients speak.
type Email struct {
	ID        string `json:"id"`
	Scheduled bool   `json:"scheduled,omitempty"` // for later than when it was taken
}

// JSON returns the document of a sealed event.
func (e *Event) JSON() []byte { return e.text }

// Doc is an event as clients see it. Members are in the order Mailgun's
// documents have them; absent parts are nil or empty.
type Doc struct {
	Event          Type            `json:"event"`
	ID             string          `json:"id"`
	Timestamp      Timestamp       `json:"timestamp"`
	LogLevel       string          `json:"log-level"`
	Severity       string          `json:"severity,omitempty"`
	Reason         string          `json:"reason,omitempty"`
	Method         string          `json:"method,omitempty"`
	APIKeyID       string          `json:"api-key-id,omitempty"`
	OriginatingIP  string          `json:"originating-ip,omitempty"`
	Envelope       *Envelope       `json:"envelope,omitempty"`
	Flags          *Flags          `json:"flags,omitempty"`
	Reject         *Reject         `json:"reject,omitempty"`
	DeliveryStatus *DeliveryStatus `json:"delivery-status,omitempty"`
	Message        *Message        `json:"message,omitempty"`
	Storage        *Storage        `json:"storage,omitempty"`
	Batch          *Batch          `json:"batch,omitempty"`
	Template       *Template       `json:"template,omitempty"`
	MailingList    *MailingList    `json:"mailing-list,omitempty"`
	Routes         []Route         `json:"routes,omitempty"`
	*Upload
	Recipient     string          `json:"recipient,omitempty"`
	RecipientDom  string          `json:"recipient-domain,omitempty"`
	Provider      string          `json:"recipient-provider,omitempty"`
	IP            string          `json:"ip,omitempty"`
	URL           string          `json:"url,omitempty"`
	ClientInfo    *ClientInfo     `json:"client-info,omitempty"`
	Geolocation   *Geolocation    `json:"geolocation,omitempty"`
	Tags          []string        `json:"tags"`
	Campaigns     []string        `json:"campaigns"`
	UserVariables json.RawMessage `json:"user-variables"`
}

// Timestamp is microseconds since 1970; JSON has seconds with six decimals.
// Mailgun: float epoch with microseconds.
type Timestamp int64

// MarshalJSON writes seconds with microseconds.
func (t Timestamp) MarshalJSON() ([]byte, error) { return t.append(make([]byte, 0, 20)), nil }

func (t Timestamp) append(b []byte) []byte {
	b = strconv.AppendInt(b, int64(t)/1e6, 10)
	at := len(b)
	b = strconv.AppendInt(b, int64(t)%1e6+1e6, 10) // 1 and six digits
	b[at] = '.'
	return b
}

// UnmarshalJSON reads what MarshalJSON writes, exactly.
func (t *Timestamp) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	*t = Timestamp(f*1e6 + 0.5)
	return err
}

// Time returns the timestamp as a time.
func (t Timestamp) Time() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Envelope is the SMTP envelope of the message.
type Envelope struct {
	Sender    string `json:"sender,omitempty"`
	Transport string `json:"transport,omitempty"`
	Targets   string `json:"targets,omitempty"`
	SendingIP string `json:"sending-ip,omitempty"`
}

// Flags are the event's booleans.
type Flags struct {
	IsRouted        bool `json:"is-routed"`
	IsAuthenticated bool `json:"is-authenticated"`
	IsSystemTest    bool `json:"is-system-test"`
	IsTestMode      bool `json:"is-test-mode"`
	IsDelayedBounce bool `json:"is-delayed-bounce,omitempty"`
}

// Reject says why a message was not taken to delivery.
type Reject struct {
	Reason      string `json:"reason"`
	Description string `json:"description"`
}

// DeliveryStatus is the outcome of one attempt.
type DeliveryStatus struct {
	TLS                 *bool   `json:"tls,omitempty"`
	MXHost              string  `json:"mx-host,omitempty"`
	Code                int     `json:"code"`
	Description         string  `json:"description"`
	SessionSeconds      float64 `json:"session-seconds"`
	UTF8                *bool   `json:"utf8,omitempty"`
	AttemptNo           int     `json:"attempt-no"`
	Message             string  `json:"message"`
	CertificateVerified *bool   `json:"certificate-verified,omitempty"`
	EnhancedCode        string  `json:"enhanced-code,omitempty"`
	RetrySeconds        int     `json:"retry-seconds,omitempty"`
	BounceCode          string  `json:"bounce-code,omitempty"` // of a delayed bounce
	LastCode            int     `json:"last-code,omitempty"`
	LastMessage         string  `json:"last-message,omitempty"`
	BounceType          string  `json:"bounce-type,omitempty"`
	FirstAttemptSeconds float64 `json:"first-delivery-attempt-seconds,omitempty"`
}

// Message describes the message the event is about.
type Message struct {
	Headers     Headers      `json:"headers"`
	Attachments []Attachment `json:"attachments"`
	Recipients  []string     `json:"recipients,omitempty"`
	Size        int64        `json:"size"`
}

// Headers are the header fields events carry. MessageID has no brackets.
type Headers struct {
	To        string `json:"to"`
	MessageID string `json:"message-id"`
	From      string `json:"from"`
	Subject   string `json:"subject"`
}

// Attachment describes a file of the message.
type Attachment struct {
	Filename    string `json:"filename"`
	ContentType string `json:"content-type"`
	Size        int64  `json:"size"`
}

// Storage says where the stored message can be fetched.
type Storage struct {
	URL    string `json:"url"`
	Region string `json:"region"`
	Key    string `json:"key"`
	Env    string `json:"env"`
}

// Batch identifies the API call of a message to several recipients.
type Batch struct {
	ID string `json:"id"`
}

// Template names the stored template a message was made from.
type Template struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	IsText  bool   `json:"is-text,omitempty"`
}

// MailingList names the list a message went through.
type MailingList struct {
	Address string `json:"address"`
	ListID  string `json:"list-id,omitempty"`
	SID     string `json:"sid,omitempty"`
}

// Upload is what only events of an upload of list members have; it stands in the
// document itself. Mailgun: the names.
type Upload struct {
	Member            *ListMember  `json:"member,omitempty"`
	TaskID            string       `json:"task-id,omitempty"`
	Format            string       `json:"format,omitempty"` // json or csv
	MemberDescription string       `json:"member-description,omitempty"`
	Error             *UploadError `json:"error,omitempty"`
	Subscribed        *bool        `json:"subscribed,omitempty"`
	IsUpsert          *bool        `json:"is-upsert,omitempty"`
	UpsertedCount     *int64       `json:"upserted-count,omitempty"`
	FailedCount       *int64       `json:"failed-count,omitempty"`
}

// UploadError says why a member was not taken.
type UploadError struct {
	Message string `json:"message"`
}

// ListMember is a member of a mailing list that was uploaded. Mailgun: vars is a
// list; it has the names.
type ListMember struct {
	Subscribed bool     `json:"subscribed"`
	Address    string   `json:"address"`
	Name       string   `json:"name"`
	Vars       []string `json:"vars"`
}

// Route names the route by which mail from outside goes on. Mailgun: the match
// has the recipient the mail came in for.
type Route struct {
	Expression string     `json:"expression"`
	ID         string     `json:"id"`
	Match      RouteMatch `json:"match"`
}

// RouteMatch is what a route matched.
type RouteMatch struct {
	Recipient string `json:"recipient"`
}

// ClientInfo describes what opened or clicked.
type ClientInfo struct {
	ClientType string `json:"client-type"`
	ClientOS   string `json:"client-os"`
	DeviceType string `json:"device-type"`
	ClientName string `json:"client-name"`
	UserAgent  string `json:"user-agent"`
	Bot        string `json:"bot"`
}

// Geolocation is where the request came from.
type Geolocation struct {
	Country string `json:"country"`
	Region  string `json:"region"`
	City    string `json:"city"`
}

// WebhookName returns the name under which webhooks register for d, "" when
// none can. Mailgun: both failures arrive as failed, registration tells them
// apart.
func (d *Doc) WebhookName() string {
	switch d.Event {
	case Failed:
		if d.Severity == Temporary {
			return "temporary_fail"
		}
		return "permanent_fail"
	case Accepted, Delivered, Opened, Clicked, Unsubscribed, Complained:
		return string(d.Event)
	}
	return ""
}

// logLevel is the level users see. Mailgun: info, warn or error.
func (d *Doc) logLevel() string {
	switch {
	case d.Event == Failed && d.Severity == Temporary, d.Event == Rejected, d.Event == Complained:
		return "warn"
	case d.Event == Failed, d.Event == ListMemberUploadError:
		return "error"
	}
	return "info"
}
