package message

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"postroad/internal/base/blob"
	"postroad/internal/core/event"
	"postroad/internal/mail/addr"
)

// Message is a message that was taken in.
type Message struct {
	ID         int64
	AccountID  string
	DomainID   int64
	Domain     string
	StorageKey string
	MessageID  string // without brackets
	Sender     string // envelope sender
	Blob       blob.Ref
	Size       int64
	Meta       Meta
	Request    Request
	CreatedAt  time.Time
	ExpiresAt  time.Time
}

// Meta is what events and delivery need to know of a message without reading
// its body, stored as JSON.
type Meta struct {
	Options     Options            `json:"o"`
	Method      string             `json:"method"` // http or smtp
	From        string             `json:"from"`
	FromMailbox string             `json:"sender,omitempty"` // bare address of From
	To          string             `json:"to"`
	Subject     string             `json:"subject"`
	Recipients  []string           `json:"rcpts"`
	Attachments []event.Attachment `json:"files,omitempty"`
	Variables   json.RawMessage    `json:"v,omitempty"`
	UTF8        bool               `json:"utf8,omitempty"`  // headers are raw UTF-8: needs SMTPUTF8
	EightBit    bool               `json:"8bit,omitempty"`  // body has 8-bit parts
	Batch       bool               `json:"batch,omitempty"` // personalised at delivery, To is added there
	// Vars are the recipient variables by mailbox, kept for people who look at
	// the message later; left out when they are large.
	Vars     map[string]Vars `json:"rv,omitempty"`
	Template *event.Template `json:"template,omitempty"`
	// Track is what is done to each copy to learn what becomes of it, decided when
	// the message was taken in; nil for nothing. Each recipient gets an own copy
	// then.
	Track *Track `json:"track,omitempty"`
	// List is the mailing list a batch is a post to: its To is that of the post.
	Email   *event.Email       `json:"email,omitempty"`
	List    *event.MailingList `json:"list,omitempty"`
	Foreign bool               `json:"foreign,omitempty"` // came from outside, without credentials
	// ReturnTo is the envelope sender the message came with, where reports about
	// it are to go (see Notice): of a submission when it asked for reports, of
	// mail from outside when SPF or DKIM vouch for it.
	ReturnTo   string `json:"return,omitempty"`
	DSN        *DSN   `json:"dsn,omitempty"`
	Report     bool   `json:"report,omitempty"` // about mail: has no return address itself (RFC 5321 section 4.5.5)
	KeyID      string `json:"key,omitempty"`
	RemoteIP   string `json:"ip,omitempty"`
	StorageURL string `json:"url,omitempty"`
}

// Options are the sending options of a message. Zero values mean "as the
// domain says".
type Options struct {
	Tags                []string `json:"tag,omitempty"`
	DKIM                *bool    `json:"dkim,omitempty"`
	SecondaryDKIM       string   `json:"secondary-dkim,omitempty"`
	SecondaryDKIMPublic string   `json:"secondary-dkim-public,omitempty"`
	TestMode            bool     `json:"testmode,omitempty"`
	DeliveryTime        int64    `json:"deliverytime,omitempty"`   // microseconds
	DeliverWithin       int64    `json:"deliver-within,omitempty"` // seconds
	OptimizePeriod      string   `json:"deliverytime-optimize-period,omitempty"`
	TimeZoneLocalize    string   `json:"time-zone-localize,omitempty"`
	Tracking            string   `json:"tracking,omitempty"`
	TrackingClicks      string   `json:"tracking-clicks,omitempty"`
	TrackingOpens       string   `json:"tracking-opens,omitempty"`
	TrackingPixelTop    string   `json:"tracking-pixel-location-top,omitempty"`
	RequireTLS          *bool    `json:"require-tls,omitempty"`
	SkipVerification    *bool    `json:"skip-verification,omitempty"`
	SendingIP           string   `json:"sending-ip,omitempty"`
	SendingIPPool       string   `json:"sending-ip-pool,omitempty"`
	ArchiveTo           string   `json:"archive-to,omitempty"` // addresses and URLs, separated by blanks
	SuppressHeaders     string   `json:"suppress-headers,omitempty"`
	NativeSend          string   `json:"native-send,omitempty"`
	Template            string   `json:"template,omitempty"`
	TemplateVersion     string   `json:"t:version,omitempty"`
	TemplateVariables   string   `json:"t:variables,omitempty"`
	TemplateText        string   `json:"t:text,omitempty"`
}

// Track says what is put into the copies of a message.
type Track struct {
	Clicks      string `json:"clicks,omitempty"` // yes, or htmlonly: links of text parts stay
	Opens       bool   `json:"opens,omitempty"`
	PixelTop    bool   `json:"top,omitempty"`
	Unsubscribe bool   `json:"unsub,omitempty"` // footers and List-Unsubscribe
	HTMLFooter  string `json:"hfoot,omitempty"`
	TextFooter  string `json:"tfoot,omitempty"`
	Base        string `json:"base"` // scheme://host of the links
	// Secure is Base for List-Unsubscribe where Base is not https: one-click needs it.
	Secure string `json:"secure,omitempty"`
}

// Request is what is kept of the request a message came in by, for the person
// who asks what their program really sent.
type Request struct {
	ID        string      `json:"id,omitempty"`
	Method    string      `json:"method"`
	Path      string      `json:"path"`
	RemoteIP  string      `json:"ip"`
	UserAgent string      `json:"agent,omitempty"`
	KeyID     string      `json:"key,omitempty"`
	Fields    [][2]string `json:"fields,omitempty"` // name and shortened value
}

// Recipient is one address a message goes to.
type Recipient struct {
	Address string // mailbox
	Header  string // as it stands in a header, with its name
	Copy    bool   // cc or bcc
	Routed  *Routed
	Vars    json.RawMessage
	Links   *Links // of a member of a mailing list
}

// Links are a list member's ways out of the list.
type Links struct {
	URL   string `json:"url"`
	Email string `json:"email"`
}

// Vars is what a delivery of a batch carries: whom the copy is for and that
// recipient's variables.
type Vars struct {
	To     string          `json:"to"`     // header form
	Target string          `json:"target"` // mailbox the variables belong to
	Vars   json.RawMessage `json:"v,omitempty"`
	// Archive: a copy for nobody, in which no placeholder is replaced.
	Archive bool    `json:"archive,omitempty"`
	Links   *Links  `json:"l,omitempty"`
	Routed  *Routed `json:"r,omitempty"`
}

// Routed is what a delivery carries that a route asked for. Its recipient is an
// address or the URL to post to.
type Routed struct {
	Recipient  string `json:"rcpt"` // the message came in for
	ID         string `json:"id"`   // of the route
	Expression string `json:"expr"`
	Notify     bool   `json:"notify,omitempty"` // store(notify=): what the message is instead of the message
}

// Delivery is the part of an event all deliveries of the message share.
func (m *Message) eventDoc(t event.Type, recipient string) event.Doc {
	return event.Doc{
		Event: t, Recipient: recipient,
		Envelope:      &event.Envelope{Sender: m.Meta.FromMailbox, Transport: "smtp", Targets: recipient},
		Flags:         &event.Flags{IsAuthenticated: !m.Meta.Foreign, IsTestMode: m.Meta.Options.TestMode},
		Message:       &event.Message{Headers: m.headers(), Attachments: m.attachments(), Size: m.Size},
		Storage:       &event.Storage{URL: m.Meta.StorageURL, Region: "local", Key: m.StorageKey, Env: "production"},
		Tags:          m.Meta.Options.Tags,
		UserVariables: m.Meta.Variables,
		Template:      m.Meta.Template,
		Batch:         m.batch(),
		MailingList:   m.Meta.List,
	}
}

// Event returns an event about the message; the caller adds what happened.
func (m *Message) Event(t event.Type, recipient string) *event.Event {
	return &event.Event{AccountID: m.AccountID, DomainID: m.DomainID, MessageID: m.ID, Email: m.Meta.Email, Doc: m.eventDoc(t, recipient)}
}

func (m *Message) batch() *event.Batch {
	if !m.Meta.Batch || m.Meta.List != nil {
		return nil
	}
	return &event.Batch{ID: m.StorageKey}
}

func (m *Message) headers() event.Headers {
	return event.Headers{To: m.Meta.To, MessageID: m.MessageID, From: m.Meta.From, Subject: m.Meta.Subject}
}

// maxEventFiles bounds the attachments an event lists: there is an event per
// recipient.
const maxEventFiles = 100

func (m *Message) attachments() []event.Attachment {
	if m.Meta.Attachments == nil {
		return []event.Attachment{}
	}
	return m.Meta.Attachments[:min(len(m.Meta.Attachments), maxEventFiles)]
}

// Lookup returns the values of %recipient...% placeholders by their names
// without percent signs; it is for one goroutine. Mailgun: values of other JSON
// types are written as they are; names no recipient has stay in the text. In mail
// to a list %recipient% has the name too, and there are ways out of the list.
func (v *Vars) Lookup() (func(name string) (string, bool), error) {
	var vars map[string]json.RawMessage
	if len(v.Vars) > 0 {
		if err := json.Unmarshal(v.Vars, &vars); err != nil {
			return nil, fmt.Errorf("recipient variables: %w", err)
		}
	}
	seen := map[string]string{} // decoded, as a text may have one in many places
	name := displayName(v.To)
	first, rest, _ := strings.Cut(name, " ")
	if v.Archive {
		return func(string) (string, bool) { return "", false }, nil
	}
	return func(key string) (string, bool) {
		if v.Links != nil {
			switch key {
			case "recipient":
				return v.To, true
			case "mailing_list_unsubscribe_url":
				return v.Links.URL, true
			case "unsubscribe_email":
				return v.Links.Email, true
			}
		}
		switch key {
		case "recipient", "recipient_email":
			return v.Target, true
		case "recipient_name":
			return name, true
		case "recipient_fname":
			return first, true
		case "recipient_lname":
			return strings.TrimSpace(rest), true
		}
		key = strings.TrimPrefix(key, "recipient.")
		if s, ok := seen[key]; ok {
			return s, true
		}
		raw, ok := vars[key]
		if !ok {
			return "", false
		}
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			s = string(raw) // a number, list or object is written as it is
		}
		seen[key] = s
		return s, true
	}, nil
}

func displayName(header string) string {
	a, err := addr.Parse(header)
	if err != nil {
		return ""
	}
	return a.Name
}
