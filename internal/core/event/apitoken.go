package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"

	"postroad/internal/base/errs"
)

// The kinds of pages a token can stand for.
const (
	firstPage = "f"
	nextPage  = "n"
	prevPage  = "p"
	lastPage  = "l"
)

// Bounds of a token.
const (
	maxTokenBytes  = 32 << 10
	maxFilterBytes = 4 << 10 // of all expressions together
	maxSeen        = 400
)

var errToken = errs.New(errs.Invalid, "Invalid page token").
	WithHint("use the URLs of paging as they are")

// token is everything a page URL stands for. It is no secret: the domain is
// that of the path, and what is read here is checked like parameters.
type token struct {
	Kind   string      `json:"k"`
	From   int64       `json:"b,omitempty"`
	To     int64       `json:"e,omitempty"`
	Asc    bool        `json:"a,omitempty"`
	Limit  int         `json:"l"`
	Cursor int64       `json:"c,omitempty"`
	Seen   []int64     `json:"s,omitempty"` // ids behind Cursor already given, as differences
	Filter [][2]string `json:"f,omitempty"`
	Flat   bool        `json:"n,omitempty"` // pretty=no
}

func (t token) encode() (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(t)
	return base64.RawURLEncoding.EncodeToString(bytes.TrimSpace(b.Bytes())), err
}

func decodeToken(s string) (token, error) {
	var t token
	if len(s) > maxTokenBytes {
		return t, errToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return t, errToken
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(&t) != nil || d.More() || !t.valid() {
		return token{}, errToken
	}
	return t, nil
}

func (t token) valid() bool {
	switch t.Kind {
	case firstPage, nextPage, prevPage, lastPage:
	default:
		return false
	}
	size := 0
	for _, f := range t.Filter {
		size += len(f[1])
	}
	sum := t.Cursor
	for _, d := range t.Seen {
		if sum += d; d <= 0 || sum < 0 {
			return false
		}
	}
	return t.From >= 0 && t.To >= 0 && t.Cursor >= 0 && t.Limit >= 1 && t.Limit <= maxLimit &&
		len(t.Seen) <= maxSeen && len(t.Filter) <= 100 && size <= maxFilterBytes
}

// setSeen stores ids, ascending and all greater than the cursor. If there are
// too many the cursor moves up to keep the latest.
func (t *token) setSeen(ids []int64) {
	if over := len(ids) - maxSeen; over > 0 {
		t.Cursor, ids = ids[over-1], ids[over:]
	}
	t.Seen = nil
	last := t.Cursor
	for _, id := range ids {
		t.Seen = append(t.Seen, id-last)
		last = id
	}
}

func (t token) seen() []int64 {
	out := make([]int64, len(t.Seen))
	last := t.Cursor
	for i, d := range t.Seen {
		last += d
		out[i] = last
	}
	return out
}

func (t token) filter() (Filter, error) {
	fields := make([]FieldFilter, len(t.Filter))
	for i, f := range t.Filter {
		fields[i] = FieldFilter{f[0], f[1]}
	}
	return NewFilter(fields)
}
