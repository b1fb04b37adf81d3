package feedback

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/mail/addr"
)

// Type is what happened to a message, whichever provider says so.
type Type string

// The types of events.
const (
	Sent         Type = "sent"      // taken by the provider
	Delivered    Type = "delivered" // taken by the recipient's server
	Opened       Type = "opened"
	Clicked      Type = "clicked"
	Bounced      Type = "bounced" // refused for good by the recipient's server
	Failed       Type = "failed"  // given up for another reason
	Complained   Type = "complained"
	Unsubscribed Type = "unsubscribed"
	Delayed      Type = "delayed" // refused for the time being
)

// types returns all types in the order of the documents.
func types() []Type {
	return []Type{Sent, Delivered, Opened, Clicked, Bounced, Failed, Complained, Unsubscribed, Delayed}
}

// Event is what a provider said about a message and a recipient.
type Event struct {
	ID        string          `json:"id" doc:"our id of the event"`
	Type      Type            `json:"type" doc:"sent, delivered, opened, clicked, bounced, failed, complained, unsubscribed or delayed"`
	Timestamp int64           `json:"timestamp" doc:"when it happened, in milliseconds since 1970"`
	MessageID string          `json:"messageId" doc:"the provider's id of the message, as sending returned it"`
	Recipient string          `json:"recipient"`
	Sender    string          `json:"sender"`
	Subject   string          `json:"subject"`
	Tags      []string        `json:"tags"`
	Metadata  json.RawMessage `json:"metadata" doc:"what was given with the message: a JSON object"`
	Raw       json.RawMessage `json:"raw" doc:"the event as the provider sent it"`
}

// Known is what was sent to a recipient.
type Known struct {
	Metadata json.RawMessage // a JSON object, nil for none
	Tags     []string
	Sender   string // address
	Subject  string
}

// incoming is an event on its way in.
type incoming struct {
	Event
	provider string
	source   string // names the event with its provider
	metadata map[string]json.RawMessage

	id  int64
	doc []byte
}

// complete adds what is known of the message where the event does not say it.
func (e *incoming) complete(k *Known) {
	var metadata map[string]json.RawMessage
	if json.Unmarshal(k.Metadata, &metadata) == nil {
		for name, v := range metadata {
			if _, ok := e.metadata[name]; !ok {
				e.set(name, v)
			}
		}
	}
	if len(e.Tags) == 0 {
		e.Tags = k.Tags
	}
	if e.Sender == "" {
		e.Sender = k.Sender
	}
	if e.Subject == "" {
		e.Subject = k.Subject
	}
}

// incomplete reports whether there is something to look up. Resend: events have
// tags, which are no metadata.
func (e *incoming) incomplete() bool {
	return e.provider == resendName || len(e.metadata) == 0 || len(e.Tags) == 0 || e.Sender == "" || e.Subject == ""
}

func (e *incoming) set(name string, v json.RawMessage) {
	if e.metadata == nil {
		e.metadata = map[string]json.RawMessage{}
	}
	e.metadata[name] = v
}

// seal gives the event its id and makes its document.
func (e *incoming) seal(id int64) error {
	e.id, e.ID = id, "evt_"+strconv.FormatInt(id, 36)
	if e.Tags == nil {
		e.Tags = []string{}
	}
	e.Metadata = json.RawMessage("{}")
	var err error
	if len(e.metadata) > 0 {
		if e.Metadata, err = encode(e.metadata); err != nil {
			return fmt.Errorf("metadata of an event: %w", err)
		}
	}
	if e.doc, err = encode(&e.Event); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	return nil
}

// encode is json.Marshal that leaves the characters of HTML as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// at is when the event happened, in microseconds.
func (e *incoming) at() int64 { return e.Timestamp * 1000 }

// sourceHash names the event among those of all providers.
func (e *incoming) sourceHash() string {
	sum := sha256.Sum256([]byte(e.provider + "\x00" + e.source))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// maxIndexed is by how many members of its metadata an event can be found.
const maxIndexed = 20

// keys returns what the event is found by, each once.
func (e *incoming) keys() []int64 {
	out := []int64{typeKey(e.Type), messageKey(e.MessageID), recipientKey(e.Recipient)}
	for _, name := range slices.Sorted(maps.Keys(e.metadata)) {
		if v, ok := scalar(e.metadata[name]); ok && len(out) < 3+maxIndexed {
			out = append(out, metadataKey(name, v))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// scalar returns a value of metadata as a query has it: a string's content, or a
// number, true or false as written.
func scalar(raw json.RawMessage) (string, bool) {
	switch {
	case len(raw) == 0 || raw[0] == '{' || raw[0] == '[' || raw[0] == 'n':
		return "", false
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	}
	return string(raw), true
}

func typeKey(t Type) int64             { return key("type", string(t)) }
func messageKey(id string) int64       { return key("message", bare(id)) }
func recipientKey(to string) int64     { return key("recipient", addr.Canonical(to)) }
func metadataKey(name, v string) int64 { return key("metadata", name+"\x00"+v) }

func key(kind, v string) int64 {
	sum := sha256.Sum256([]byte(kind + "\x00" + v))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// bare is a message's id without angle brackets. Mailgun: sending returns it with
// them, events have it without.
func bare(id string) string { return strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">") }

// mailbox returns the address of a header field, or its text where that is none.
func mailbox(s string) string {
	if a, err := addr.Parse(s); err == nil {
		return a.Mailbox()
	}
	return s
}

// latest bounds times that providers give.
var latest = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// millis returns t in milliseconds, or now where t cannot be.
func millis(t, now time.Time) int64 {
	if t.Unix() <= 0 || t.After(latest) {
		t = now
	}
	return t.UnixMilli()
}
