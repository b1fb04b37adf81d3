package suppress

import (
	"bytes"
	"encoding/json"

	"postroad/internal/base/errs"
)

// Limits of a request that adds entries.
const (
	maxBatch = 1000
	maxTags  = 100 // of one unsubscribe
)

// errBatch has Mailgun's text, though 1000 are taken.
var errBatch = errs.New(errs.Invalid, "Batch size should be less than 1000")

// record is an entry as a client gives it. One unsubscribe is an entry per tag.
type record interface {
	entries() ([]Entry, *errs.Error)
}

// batch is a JSON array of records. A JSON object leaves it nil: its members
// are the parameters that a form has.
type batch[R record] []R

// UnmarshalJSON reads an array and stops where it gets too long.
func (b *batch[R]) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if start, err := dec.Token(); err != nil || start != json.Delim('[') {
		return errs.New(errs.Invalid, "request body is invalid: must be a JSON array or object")
	}
	all := make(batch[R], 0, 16)
	for dec.More() {
		if len(all) == maxBatch {
			return errBatch
		}
		var r R
		if err := dec.Decode(&r); err != nil {
			return err
		}
		all = append(all, r)
	}
	*b = all
	return nil
}

// given is what a request adds.
type given struct {
	entries []Entry
	records int  // as the client counts
	array   bool // a JSON array, whatever its length
}

// gather makes entries of the array or, where there is none, of the form.
func gather[R record](form record, b batch[R]) (*given, error) {
	if b == nil {
		entries, err := form.entries()
		if err != nil {
			return nil, err
		}
		return &given{entries: entries, records: 1}, nil
	}
	g := &given{records: len(b), array: true, entries: make([]Entry, 0, len(b))}
	for i := range b {
		entries, err := b[i].entries()
		if err != nil {
			return nil, numbered(err, i, len(b))
		}
		g.entries = append(g.entries, entries...)
	}
	return g, nil
}

// text is a value that clients send as a JSON string or number.
type text string

// UnmarshalJSON takes a string, or a number as it is written.
func (t *text) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	if data[0] == '-' || '0' <= data[0] && data[0] <= '9' {
		*t = text(data)
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// stamp is when an entry was made. Mailgun: its documents spell the name both
// ways; the second stands for createdat too.
type stamp struct {
	CreatedAt text `form:"created_at" json:"created_at,omitempty" doc:"When it happened: RFC 2822 date or seconds since 1970; now if absent"`
	Alias     text `form:"createdAt" json:"createdAt,omitempty" doc:"The same as created_at"`
}

func (s stamp) micro() (int64, *errs.Error) {
	if s.CreatedAt == "" {
		return parseDate(string(s.Alias))
	}
	return parseDate(string(s.CreatedAt))
}

// one completes e with the time of the record.
func (s stamp) one(e Entry) ([]Entry, *errs.Error) {
	at, err := s.micro()
	e.CreatedAt = at
	return []Entry{e}, err
}
