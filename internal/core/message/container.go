package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// open scans a complete message. Of a multipart/mailgun-variables it takes the
// message inside, and the variables for it; the options in the outer header count
// as well, before those of the message.
func (d *draft) open(raw []byte) (message []byte, fields mime.Fields, variables []byte, err error) {
	if raw, fields, err = scan(raw); err != nil {
		return nil, nil, nil, err
	}
	variables, inside, err := mime.OpenContainer(raw, fields)
	switch {
	case errors.Is(err, mime.ErrContainer):
		return nil, nil, nil, errs.Wrap(errs.Invalid, err, err.Error())
	case err != nil:
		return nil, nil, nil, errs.Wrap(errs.Invalid, err, "the message header could not be read")
	case inside == nil:
		return raw, fields, nil, nil
	}
	for _, f := range fields {
		if ours(string(f.Name)) {
			if err := d.mimeHeader(f); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	message, fields, err = scan(inside)
	return message, fields, variables, err
}

func scan(raw []byte) ([]byte, mime.Fields, error) {
	raw = mime.NormalizeCRLF(raw)
	if bytes.IndexByte(raw, 0) >= 0 {
		return nil, nil, errs.New(errs.Invalid, "the message contains a NUL byte")
	}
	fields, _, err := mime.ScanHeader(raw)
	if err != nil {
		return nil, nil, errs.Wrap(errs.Invalid, err, "the message header could not be read")
	}
	return raw, fields, nil
}

// ours reports whether a header field is one of Mailgun's.
func ours(name string) bool {
	const prefix = "X-Mailgun-"
	return len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// boxed are the variables of a container.
type boxed struct {
	common json.RawMessage            // for every recipient; nil: none
	each   map[string]json.RawMessage // by canonical address
}

// box reads the JSON of a container. The manual speaks of an object per address
// and shows plain variables, which can only be meant for every recipient: both
// are taken.
func (d *draft) box(text []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(text, &m); err != nil || m == nil {
		return errs.New(errs.Invalid, "'multipart/mailgun-variables' part is not a valid JSON")
	}
	common := map[string]json.RawMessage{}
	d.boxed.each = make(map[string]json.RawMessage, len(m))
	for key, v := range m {
		if v[0] == '{' && strings.Contains(key, "@") {
			d.boxed.each[addr.Canonical(key)] = compactJSON(v)
		} else {
			common[key] = v
		}
	}
	if len(common) > 0 {
		d.boxed.common = object(common)
	}
	if len(d.boxed.common) > MaxOptions { // each recipient has a copy of them
		return errs.New(errs.Invalid, "'multipart/mailgun-variables': variables for all recipients are limited to 16 kB total")
	}
	d.sub.Meta.Batch = true
	return nil
}

// varsOf are a recipient's variables. Mailgun: those of all places are merged,
// the container's before those of the header before those of the parameter.
func (d *draft) varsOf(mailbox string) json.RawMessage {
	key := addr.Canonical(mailbox)
	return merged(merged(d.rcptVars[key], d.boxed.common), d.boxed.each[key])
}

// merged is the object low with the members of high in it or in their place.
func merged(low, high json.RawMessage) json.RawMessage {
	switch {
	case len(low) == 0:
		return high
	case len(high) == 0:
		return low
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(low, &m) != nil || json.Unmarshal(high, &m) != nil {
		return high // both were parsed when they came in
	}
	return object(m)
}

func object(m map[string]json.RawMessage) json.RawMessage {
	b, err := json.Marshal(m)
	if err != nil {
		return json.RawMessage("{}") // parsed JSON always encodes
	}
	return b
}

// addressed is the To field of a recipient's copy, made from that of the message
// if it has placeholders and what comes out are addresses.
func (d *draft) addressed(r *Recipient) string {
	if d.toField == "" {
		return r.Header
	}
	v := Vars{To: r.Header, Target: r.Address, Vars: r.Vars}
	lookup, err := v.Lookup()
	if err != nil {
		return r.Header
	}
	to := mime.Expand(d.toField, bounded(lookup, 200))
	list, err := addr.ParseList(to)
	if err != nil || len(list) == 0 || len(to) > 998 || mime.HasPlaceholder(to) {
		return r.Header
	}
	return addr.Join(list)
}
