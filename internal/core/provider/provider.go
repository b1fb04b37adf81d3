// Package provider sends mail through the HTTP API of an email provider: Mailgun,
// or whatever speaks its API, and Resend. The program's own API is one of them:
// it is reached by the same requests, without a network.
//
// Callers: workspace, gateway.
package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/netx"
)

// Message is one message to one or several recipients who see each other.
type Message struct {
	From, ReplyTo string // as in a header field, ReplyTo may be empty
	To, CC, BCC   []string
	Subject       string
	HTML, Text    string // one of them may be empty
	Tags          []string
	// Metadata is a JSON object that comes back with events, nil for none.
	Metadata json.RawMessage
	// Variables are further values that come back with events.
	Variables map[string]string
	// IdempotencyKey lets a provider that knows it take a repeated request once.
	IdempotencyKey string
}

// Batch is a message to many recipients, each of whom gets an own copy. Subject,
// HTML and Text of the message have {{variables}}; its recipients are not used.
type Batch struct {
	Message
	Recipients []Recipient
}

// Recipient is one of a batch.
type Recipient struct {
	Email     string // address, with or without a name
	Variables Variables
	Metadata  json.RawMessage // nil: that of the message
}

// Sent is what became of one recipient of a batch.
type Sent struct {
	ID  string // the provider's, of the message or of the whole batch
	Err error
}

// Account is whose mail it is.
type Account struct {
	Key    string // of the provider's API; never logged
	Domain string // that sends, where the API wants to know
}

// Driver sends by one provider.
type Driver interface {
	// Name as clients name it.
	Name() string
	// BatchSize is how many recipients one request may have.
	BatchSize() int
	// Send sends one message and returns the provider's id of it. The error is an
	// *Error, or that of ctx.
	Send(ctx context.Context, a Account, m *Message) (id string, err error)
	// SendBatch sends one request's worth of a batch, at most BatchSize recipients.
	// There is one result for each of them.
	SendBatch(ctx context.Context, a Account, b *Batch) []Sent
}

// Error is a provider's refusal or its absence.
type Error struct {
	Status     int    // of HTTP; 0: there was no answer
	Text       string // what the provider said, or what failed
	RetryAfter time.Duration
	// Doubt: there was a connection and no answer, so the provider may have taken
	// the message. Only the same request with the same idempotency key may follow.
	Doubt bool
	err   error
}

// Error implements error. It has no key and no address.
func (e *Error) Error() string {
	if e.Status == 0 {
		return "the provider did not answer: " + e.Text
	}
	return "the provider answered " + strconv.Itoa(e.Status) + ": " + e.Text
}

// Unwrap returns what failed when there was no answer.
func (e *Error) Unwrap() error { return e.err }

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool { return e.Status == 0 || e.Status == 429 || e.Status >= 500 }

// Doer performs a request: a *netx.Client's Do, or one without a network.
type Doer func(ctx context.Context, r netx.Request) (netx.Response, error)

// Patience is how often and how long a request is tried. Waits double from First
// to Longest; a provider that asks for a longer wait than Longest is not waited for.
type Patience struct {
	Tries   int
	First   time.Duration
	Longest time.Duration
}

// usual is the patience with a client that waits for the answer.
var usual = Patience{Tries: 4, First: 250 * time.Millisecond, Longest: 10 * time.Second}

// caller tries requests.
type caller struct {
	do       Doer
	clock    clock.Clock
	patience Patience
}

// call performs r until it is answered for good. The response has status 2xx, or
// the error is an *Error or that of ctx.
func (c *caller) call(ctx context.Context, r netx.Request) (netx.Response, error) {
	wait, doubt := c.patience.First, false
	for try := 1; ; try++ {
		resp, err := c.once(ctx, r)
		var e *Error
		if errors.As(err, &e) { // a later refusal says nothing about an earlier try
			doubt = doubt || e.Doubt
			e.Doubt = doubt
		}
		if e == nil || !e.Temporary() || try >= c.patience.Tries || e.RetryAfter > c.patience.Longest {
			return resp, err
		}
		after, stop := c.clock.After(max(wait, e.RetryAfter))
		select {
		case <-after:
		case <-ctx.Done():
			stop()
			return resp, ctx.Err()
		}
		wait = min(2*wait, c.patience.Longest)
	}
}

func (c *caller) once(ctx context.Context, r netx.Request) (netx.Response, error) {
	resp, err := c.do(ctx, r)
	switch {
	case ctx.Err() != nil:
		return resp, ctx.Err()
	case err != nil:
		return resp, &Error{Text: reason(err), Doubt: resp.RemoteAddr != "", err: err}
	case resp.BodyErr != nil && resp.Status < 300:
		return resp, &Error{Text: "the answer broke off", Doubt: true, err: resp.BodyErr}
	case resp.Status >= 200 && resp.Status < 300:
		return resp, nil
	}
	return resp, &Error{Status: resp.Status, Text: said(resp.Body), RetryAfter: retryAfter(resp.Header, c.clock.Now())}
}

// reason words why there was no answer.
func reason(err error) string {
	var refused *netx.ForbiddenAddressError
	switch {
	case errors.As(err, &refused):
		return refused.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return "the connection failed"
}

// said returns the text of a provider's error: Mailgun's and Resend's have a
// member message, and Mailgun's may be plain text.
func said(body []byte) string {
	var doc struct {
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	text := string(body)
	if json.Unmarshal(body, &doc) == nil {
		if text = doc.Message; text == "" {
			text = doc.Error
		}
	}
	const most = 500
	if len(text) > most {
		text = text[:most]
	}
	return fmt.Sprintf("%+q", text)
}

// retryAfter reads the field of RFC 9110 section 10.2.3 in both forms.
func retryAfter(h map[string][]string, now time.Time) time.Duration {
	v := h["Retry-After"]
	if len(v) == 0 {
		return 0
	}
	if n, err := strconv.ParseUint(v[0], 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := time.Parse(time.RFC1123, v[0]); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
