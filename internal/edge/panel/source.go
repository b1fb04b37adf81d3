package panel

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound is what a Source returns, possibly wrapped, when the named
// message, part, webhook call or domain does not exist or is not visible to
// the person asking. The panel answers 404.
var ErrNotFound = errors.New("panel: not found")

// ErrKey is what Source.Authenticate returns, possibly wrapped, for a key that
// is unknown, expired or not allowed to use the panel.
var ErrKey = errors.New("panel: key not accepted")

// Refusal is an error whose text may be shown to the person who asked: a
// Source returns it when a request is understood but cannot be done, such as
// resending to a malformed address. The panel answers 422.
type Refusal struct {
	Text string // one sentence, plain text
}

// Error returns the public text.
func (r *Refusal) Error() string { return r.Text }

// Source is what the panel reads and changes. All methods are safe for
// concurrent use. In serve mode the context carries the name that Authenticate
// returned (see [Who]), and a Source shows only what that name may see.
type Source interface {
	// Authenticate checks an API key typed into the login page and returns a
	// name for its holder. It returns ErrKey if the key is not accepted.
	Authenticate(ctx context.Context, key string) (who string, err error)

	// Messages lists messages, newest first, one row per recipient.
	Messages(ctx context.Context, q Query) (MessagePage, error)
	// Message returns everything known about one message. Its content is the
	// copy made for the recipient rcpt; an empty rcpt, or one that is no
	// recipient of the message, means the first.
	Message(ctx context.Context, id, rcpt string) (MessageDetail, error)
	// Part returns one MIME part of a recipient's copy with its decoded content.
	Part(ctx context.Context, id, rcpt string, index int) (Part, []byte, error)
	// Raw returns the message as it was or will be transmitted to rcpt.
	Raw(ctx context.Context, id, rcpt string) ([]byte, error)
	// DeleteMessage removes one message and its stored content.
	DeleteMessage(ctx context.Context, id string) error
	// ClearMessages removes every message. The panel offers it only in dev mode.
	ClearMessages(ctx context.Context) error
	// Resend submits the message again to the given addresses and returns the
	// new message's id. It returns a *Refusal for addresses it cannot accept.
	Resend(ctx context.Context, id string, to []string) (string, error)

	// WebhookCalls lists webhook calls, newest first. Filter.Statuses holds
	// CallState values here.
	WebhookCalls(ctx context.Context, q Query) (CallPage, error)
	// ReplayWebhook schedules another attempt of a call, whatever its state.
	ReplayWebhook(ctx context.Context, callID string) error

	// Domains lists the sending domains by name.
	Domains(ctx context.Context) ([]Domain, error)
	// VerifyDomain looks the domain's records up now and stores the result.
	VerifyDomain(ctx context.Context, name string) error

	// System describes the running process.
	System(ctx context.Context) (System, error)
	// Subscribe returns a channel of changes, closed when ctx ends or the
	// server stops. A slow reader may miss notices; it never blocks the sender.
	Subscribe(ctx context.Context) <-chan Notice
}

// Query selects a page of a list.
type Query struct {
	Search string // what the person typed, unparsed
	Filter Filter // the same, parsed by [ParseSearch], with the chosen status
	Before string // cursor: only older rows, the newest of them first
	After  string // cursor: only newer rows, those nearest the cursor
	Limit  int    // rows wanted, at least 1
}

// MessagePage is one page of the list of messages.
type MessagePage struct {
	Rows   []MessageRow
	Counts map[Status]int // recipients by status, all filters but the status applied
	Total  int            // recipients with all filters but the status applied
	Older  string         // cursor for Query.Before, empty on the last page
	Newer  string         // cursor for Query.After, empty on the first page
}

// MessageRow is one recipient of one message.
type MessageRow struct {
	ID          string // the message's id, as Source.Message takes it
	Time        time.Time
	Status      Status
	From        string // address of the From header
	To          string // envelope recipient
	Subject     string
	Domain      string // sending domain
	Tags        []string
	Size        int64 // octets
	Attachments int   // number of attached parts
	// Result is the shortest evidence for the status: "1.8 s", "550 5.1.1",
	// "451 4.7.500". May be empty.
	Result  string
	NextTry time.Time // for deferred and scheduled, else zero
}

// MessageDetail is everything known about one message.
type MessageDetail struct {
	ID         string
	MessageID  string // the Message-ID header
	Accepted   time.Time
	Scheduled  time.Time // delivery time asked for, zero if none
	From       string    // From header, decoded
	Sender     string    // envelope sender, empty for a bounce
	Subject    string
	Domain     string
	Tags       []string
	Size       int64  // octets
	Via        string // how it came in: "HTTP API", "SMTP"
	Personal   bool   // every recipient gets a copy of their own
	Recipients []Recipient
	Events     []Event // oldest first
	Headers    [][2]string
	Text       string // decoded text/plain body
	HTML       string // decoded text/html body
	Parts      []Part
	Webhooks   []WebhookCall
	Request    *Request // nil if it did not come in by HTTP
	Newer      string   // id of the next newer message, empty if none
	Older      string   // id of the next older message, empty if none
}

// Recipient is one envelope recipient and the attempts to reach it.
type Recipient struct {
	Address  string
	Status   Status
	Attempts []Attempt // oldest first
	NextTry  time.Time // zero if none is planned
	// Reason explains a status no attempt explains: the suppression that
	// stopped it, the rule that rejected it.
	Reason string
	// Captured says that the message was kept here and nothing was sent: what
	// happened after is simulated.
	Captured bool
	// Chosen is the time the copy was to leave at, if it was chosen for this
	// recipient, with the reason.
	Chosen    time.Time
	WhyChosen string
	// Listed is what put a suppressed recipient on its list; nil if nobody asks or
	// may know.
	Listed *Listed
}

// Listed says why an address is on a suppression list.
type Listed struct {
	Since   time.Time // zero if it is no longer listed
	Because string    // what put it there: a sentence without its end
	ID      string    // message that caused it, empty if it is not there any more
	Subject string    // of that message
}

// Attempt is one try at delivering to one recipient.
type Attempt struct {
	Time       time.Time
	Duration   time.Duration
	Outcome    Status // delivered, deferred or failed
	MX         string // host tried
	IP         string // its address
	LocalIP    string // address we sent from
	TLS        string // version and cipher, empty for plain text
	Code       int    // SMTP reply code, 0 if no reply was received
	Enhanced   string // enhanced status code (RFC 3463), such as "5.1.1"
	Reply      string // text of the deciding reply, without its codes
	Error      string // what went wrong on our side or the wire, if no reply decided
	Transcript []Line
}

// Line is one line of an SMTP dialogue.
type Line struct {
	Client bool // we sent it; otherwise the server did
	Text   string
	At     time.Duration // since the attempt began
}

// Event is one fact about a message.
type Event struct {
	Time      time.Time
	Name      string // "accepted", "delivered", "opened", ...
	Recipient string
	Text      string // one line of evidence, may be empty
	JSON      []byte // the event as the API returns it
}

// Part is one leaf of the MIME tree.
type Part struct {
	Index       int
	Name        string // file name, decoded, as untrusted as it arrived
	ContentType string
	Size        int64  // octets, decoded
	ContentID   string // without angle brackets
	Inline      bool   // shown within the body rather than attached
}

// CallState is what became of a webhook call.
type CallState string

// States of a webhook call.
const (
	CallPending   CallState = "pending"   // not yet accepted, more attempts planned
	CallDelivered CallState = "delivered" // an attempt was answered 2xx
	CallFailed    CallState = "failed"    // given up
)

// CallPage is one page of the list of webhook calls.
type CallPage struct {
	Calls  []WebhookCall
	Counts map[CallState]int
	Total  int
	Older  string
	Newer  string
}

// WebhookCall is one event reported to one URL.
type WebhookCall struct {
	ID        string
	Event     string
	URL       string
	Domain    string
	MessageID string // id of the message, as Source.Message takes it
	Recipient string
	Created   time.Time
	State     CallState
	Attempts  []CallAttempt // oldest first
	NextTry   time.Time     // zero if none is planned
}

// CallAttempt is one HTTP request of a webhook call.
type CallAttempt struct {
	Time            time.Time
	Duration        time.Duration
	Status          int    // HTTP status, 0 if there was no answer
	Error           string // why there was no answer
	RequestHeaders  [][2]string
	RequestBody     string
	ResponseHeaders [][2]string
	ResponseBody    string
}

// Request is the API request that created a message.
type Request struct {
	ID        string
	Time      time.Time
	Method    string
	Path      string
	Status    int
	Duration  time.Duration
	KeyID     string // identifies the key without revealing it
	IP        string
	UserAgent string
	Fields    [][2]string // form fields in order
	Response  string
}

// RecordState says how a DNS record compares with what was found.
type RecordState string

// States of a DNS record.
const (
	RecordValid   RecordState = "valid"
	RecordWrong   RecordState = "wrong"   // something else was found
	RecordMissing RecordState = "missing" // nothing was found
	RecordUnknown RecordState = "unknown" // not looked up, or the lookup failed
)

// Domain is one sending domain and its DNS records.
type Domain struct {
	Name    string
	State   string // "active", "unverified", "disabled"
	Created time.Time
	Checked time.Time // last lookup, zero if never
	Links   string    // what tracking links begin with and why, unless it is the domain's own host
	Records []Record
}

// Record is one DNS record the domain should have.
type Record struct {
	Purpose  string // "DKIM", "SPF", "Receiving", "Tracking", "DMARC"
	Type     string // "TXT", "MX", "CNAME"
	Name     string // absolute, without the trailing dot
	Value    string // wanted
	Priority int    // for MX
	Found    []string
	State    RecordState
	Required bool   // sending does not work without it
	Server   string // name server that answered
	Note     string // what the lookup said, if it failed
}

// System describes the running process.
type System struct {
	Revision  string // source revision, may be empty
	Started   time.Time
	Hostname  string
	DataDir   string
	Database  string // "SQLite 3.50, 12 MB"
	Signing   string // what makes RSA signatures: "avx512-ifma"
	DataSize  int64  // octets used by the data directory
	DiskFree  int64  // octets, 0 if unknown
	DiskTotal int64
	Listeners []Listener
	Settings  []Setting
	Warnings  []Warning
}

// Listener is one address the server accepts connections on.
type Listener struct {
	Name    string // "HTTP API and panel", "SMTP submission"
	Address string
	TLS     string // "none", "STARTTLS", "implicit"
}

// Setting is one setting in force.
type Setting struct {
	Name   string
	Value  string // never a secret: a Source passes those masked
	Origin string // "default", "file /etc/postroad.toml:12", "env POSTROAD_X", "flag"
	// Insecure marks a value that weakens security; it is shown loudly.
	Insecure bool
}

// Warning is something the operator should act on.
type Warning struct {
	Text     string
	Fix      string // what to do about it
	Insecure bool   // a security switch is off, as opposed to a nuisance
}

// NoticeKind says what changed.
type NoticeKind string

// Kinds of notice.
const (
	NoticeMessage NoticeKind = "message"
	NoticeWebhook NoticeKind = "webhook"
	NoticeDomain  NoticeKind = "domain"
)

// Notice says that something changed; the page asks for itself again.
type Notice struct {
	Kind NoticeKind
	ID   string // of the message, call or domain; empty for all of them
}

type whoKey struct{}

// Who returns the name Authenticate gave to the person the context belongs
// to, or "" in dev mode.
func Who(ctx context.Context) string {
	who, _ := ctx.Value(whoKey{}).(string)
	return who
}

func withWho(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, whoKey{}, who)
}
