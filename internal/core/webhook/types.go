package webhook

import (
	"slices"
	"time"
)

// State is where a call stands. A replay makes a finished call wait again.
type State string

// The states of a call.
const (
	Waiting   State = "waiting"   // has an attempt to come
	Delivered State = "delivered" // the last attempt was answered with 200
	Rejected  State = "rejected"  // the last attempt was answered with 406
	Failed    State = "failed"    // the plan is used up
)

// EventTypes are the names webhooks register for, in the order of the API's
// answers. Mailgun: domain webhooks API.
func EventTypes() []string {
	return []string{"accepted", "delivered", "opened", "clicked", "unsubscribed", "complained", "temporary_fail", "permanent_fail"}
}

func knownType(name string) bool { return slices.Contains(EventTypes(), name) }

// MaxURLs is the number of URLs one event type may have, per domain and for
// the account. Mailgun: 3.
const MaxURLs = 3

// Plan returns the waits between the attempts of a call; there is one attempt
// more than waits. Mailgun: webhooks page of the manual.
func Plan() []time.Duration {
	return []time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
}

// Call is one event on its way to one URL.
type Call struct {
	ID        int64
	AccountID string
	DomainID  int64
	EventType string // name it was registered under: permanent_fail, not failed
	EventID   int64
	MessageID int64 // row id of the message, 0 when there is none
	URL       string
	Payload   string // the event-data document
	State     State
	Due       time.Time // of the next attempt; zero when none is to come
	CreatedAt time.Time
	Attempts  []Attempt // oldest first
}

// Attempt is one request made for a call.
type Attempt struct {
	Number   int // from 1
	At       time.Time
	Duration time.Duration
	Status   int     // HTTP status, 0 when there was no answer
	Request  Request // as sent
	Response string  // body of the answer, at most MaxResponse bytes
	Error    string  // why there was no answer
	Next     time.Time
}

// Request is what was sent.
type Request struct {
	Method string
	URL    string
	Header [][2]string
	Body   string // at most MaxRequest bytes
}

// What is kept of a request and its answer, in bytes.
const (
	MaxRequest  = 64 << 10
	MaxResponse = 4 << 10
)

// Query selects calls for Calls.
type Query struct {
	AccountID string // required
	MessageID int64  // 0: of any message
	State     State  // empty: any
	Before    int64  // ids smaller than this; 0: from the newest
	Limit     int    // 0: 100; at most 300
}

// Stats are counters since the start, and what is going on now.
type Stats struct {
	Staged    int64 // calls written
	Attempts  int64 // requests made
	Delivered int64 // attempts answered with 200
	Rejected  int64 // attempts answered with 406
	Retried   int64 // attempts that will be followed by another
	Failed    int64 // attempts that were the last of their plan
	InFlight  int64 // requests being made
	Lanes     int64 // receivers with waiting calls
}
