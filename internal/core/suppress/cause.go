package suppress

import (
	"encoding/json"
	"strconv"
	"strings"

	"postroad/internal/core/event"
)

// By is who put an entry on its list.
type By string

// Who adds entries.
const (
	ByUnknown By = ""       // the entry is older than causes are kept
	ByEvent   By = "event"  // an event, which Event and EventID name
	ByKey     By = "key"    // a call of the API with the key Key
	ByImport  By = "import" // line Line of the file of the import Import
)

// Cause is what put an entry on its list. It is kept with the entry, because the
// event and the message are gone long before it.
type Cause struct {
	By      By         `json:"by"`
	Event   event.Type `json:"event,omitempty"`
	EventID string     `json:"event_id,omitempty"`
	Delayed bool       `json:"delayed,omitempty"` // the bounce came as a report, after delivery
	Message int64      `json:"message,omitempty"` // row id
	Storage string     `json:"storage,omitempty"` // storage key of the message
	Subject string     `json:"subject,omitempty"` // of the message
	Key     string     `json:"key,omitempty"`     // id of the API key
	Import  int64      `json:"import,omitempty"`  // row id
	Line    int64      `json:"line,omitempty"`    // counted from 1

	file string // of the import, as Why finds it
}

// maxSubject bounds the subject kept of a message, in bytes.
const maxSubject = 200

// causeOf returns what is kept of an event.
func causeOf(e *event.Event) Cause {
	d := &e.Doc
	c := Cause{By: ByEvent, Event: d.Event, EventID: d.ID, Message: e.MessageID, Delayed: d.Flags != nil && d.Flags.IsDelayedBounce}
	if d.Message != nil {
		c.Subject = clip(d.Message.Headers.Subject, maxSubject)
	}
	if d.Storage != nil {
		c.Storage = d.Storage.Key
	}
	return c
}

func (c *Cause) encode() (string, error) {
	if c.By == ByUnknown {
		return "", nil
	}
	b, err := json.Marshal(c)
	return string(b), err
}

func (c *Cause) decode(text string) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), c)
}

// because says in a sentence what put e on its list.
func (e *Entry) because() string {
	c := &e.Cause
	switch {
	case c.By == ByKey:
		return "added through the API with the key " + c.Key
	case c.By == ByImport && c.file != "":
		return "imported from the file " + strconv.Quote(c.file) + ", line " + strconv.FormatInt(c.Line, 10)
	case c.By == ByImport:
		return "imported from a file, line " + strconv.FormatInt(c.Line, 10)
	case c.By == ByEvent && e.Kind == Complaints:
		return "the recipient reported a message as spam"
	case c.By == ByEvent && e.Kind == Unsubscribes:
		return "the recipient unsubscribed"
	case c.By == ByEvent && c.Delayed:
		return "a message was returned after delivery" + e.reply()
	case c.By == ByEvent:
		return "the recipient's server refused a message for good" + e.reply()
	case e.MessageID != "":
		return "a message caused it, at a time when no more was kept about it"
	}
	return "nothing is known: it was added when causes were not kept yet"
}

// reply is the answer of the server as the end of a sentence.
func (e *Entry) reply() string {
	if text := strings.TrimSpace(e.Code + " " + strings.TrimPrefix(e.Reason, e.Code+" ")); text != "" {
		return ": " + text
	}
	return ""
}

// means says in a sentence what the entry has for effect.
func (e *Entry) means() string {
	switch {
	case e.Kind == Allowlist:
		return "Bounces of it are not listed. What is on a list already stays there and is not sent to."
	case e.Kind == Unsubscribes && e.Tag != everyTag && e.Tag != "":
		return "No message with the tag " + strconv.Quote(e.Tag) + " is sent to it."
	}
	return "No message of the domain is sent to it."
}

// clip cuts s to at most n bytes and makes it valid UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
