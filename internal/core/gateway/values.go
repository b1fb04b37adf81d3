package gateway

import (
	"bytes"
	"encoding/json"
	"maps"

	"postroad/internal/base/errs"
	"postroad/internal/core/provider"
)

// Bounds of lists in requests.
const (
	maxRecipients = 50_000 // of bulk mail and campaigns
	maxAddresses  = 1_000  // of each of to, cc and bcc
	maxTags       = 100
	maxPut        = 1_000 // participants at once
)

// readList reads a JSON array of up to most items, no further than that. null is
// none: programs send it for what they do not have.
func readList[T any](b []byte, most int, what string) ([]T, error) {
	if string(b) == "null" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, errs.New(errs.Invalid, "%s must be an array", what)
	}
	var out []T
	for d.More() {
		if len(out) == most {
			return nil, errs.New(errs.Invalid, "too many %s, max is %d", what, most)
		}
		var item T
		if err := d.Decode(&item); err != nil {
			return nil, errs.Wrap(errs.Invalid, err, what+" has an item of the wrong type")
		}
		out = append(out, item)
	}
	return out, nil
}

// addresses is one address or several.
type addresses []string

// UnmarshalJSON takes a string or an array of strings.
func (a *addresses) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		list, err := readList[string](b, maxAddresses, "to, cc and bcc")
		*a = list
		return err
	}
	var one string
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*a = nil
	if one != "" {
		*a = addresses{one}
	}
	return nil
}

type tags []string

// UnmarshalJSON takes an array of strings.
func (t *tags) UnmarshalJSON(b []byte) (err error) {
	*t, err = readList[string](b, maxTags, "tags")
	return err
}

// recipient is one of bulk mail. ID is that of the participant it was found by.
type recipient struct {
	Email     string             `json:"email"`
	Variables provider.Variables `json:"variables,omitempty"`
	Metadata  object             `json:"metadata,omitempty"`
	ID        *int64             `json:"id,omitempty"` // not of requests: see recipients
}

type recipients []recipient

// UnmarshalJSON takes an array of objects.
func (r *recipients) UnmarshalJSON(b []byte) (err error) {
	*r, err = readList[recipient](b, maxRecipients, "recipients")
	for i := range *r {
		(*r)[i].ID = nil
	}
	return err
}

type numbers []int64

// UnmarshalJSON takes an array of whole numbers.
func (n *numbers) UnmarshalJSON(b []byte) (err error) {
	*n, err = readList[int64](b, maxRecipients, "recipient_ids")
	return err
}

// object is a JSON object whose values are kept as they are written.
type object map[string]json.RawMessage

// over returns the object with the members of o over its own.
func (a object) over(o object) object {
	if len(a) == 0 {
		return o
	}
	if len(o) == 0 {
		return a
	}
	out := maps.Clone(a)
	maps.Copy(out, o)
	return out
}

// text is the object as JSON, nil when it is empty.
func (a object) text() json.RawMessage {
	if len(a) == 0 {
		return nil
	}
	b, err := json.Marshal(a)
	if err != nil { // it came from JSON
		return nil
	}
	return b
}
