package list

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"postroad/internal/base/errs"
)

// record is one member of an upload, or what is wrong with it. text is it as it
// was given, shortened.
type record struct {
	candidate
	err  error
	text string
}

// Bounds of an upload.
const (
	maxJSONMembers = 1000 // Mailgun
	maxAtOnce      = 100  // Mailgun: more are added in the background
	maxUpload      = 5 << 20
	maxRecord      = 64 << 10 // bytes of one member
	maxText        = 500
)

// records reads the members of an upload; the same data gives the same records
// every time. subscribed is for new ones that do not say.
func records(format string, data []byte, subscribed bool) iter.Seq[record] {
	if format == "csv" {
		return csvRecords(data, subscribed)
	}
	return func(yield func(record) bool) {
		var list []json.RawMessage
		if json.Unmarshal(data, &list) != nil { // cannot be: it was read when it came
			return
		}
		for _, raw := range list {
			if !yield(jsonRecord(raw, subscribed)) {
				return
			}
		}
	}
}

// jsonMember is a member as an object. Mailgun: vars is an object, or a text that
// holds one.
type jsonMember struct {
	Address    string          `json:"address"`
	Name       *string         `json:"name"`
	Subscribed json.RawMessage `json:"subscribed"`
	Vars       json.RawMessage `json:"vars"`
}

var errMember = errs.New(errs.Invalid, "a member must be an address or an object with an address")

// jsonRecord reads one member: an address, or an object.
func jsonRecord(raw json.RawMessage, subscribed bool) record {
	r := record{text: shorten(string(raw))}
	if len(raw) > maxRecord {
		r.err = errs.New(errs.Invalid, "a member must be at most %d bytes long", maxRecord)
		return r
	}
	var text string
	if json.Unmarshal(raw, &text) == nil && raw[0] == '"' {
		r.candidate, r.err = newCandidate(text, nil, nil, nil)
		r.outside = !subscribed
		return r
	}
	var m jsonMember
	if raw[0] != '{' || json.Unmarshal(raw, &m) != nil {
		r.err = errMember
		return r
	}
	var vars *string
	if len(m.Vars) > 0 && string(m.Vars) != "null" {
		inner := string(m.Vars)
		if m.Vars[0] == '"' && json.Unmarshal(m.Vars, &inner) != nil {
			r.err = errMember
			return r
		}
		vars = &inner
	}
	given, err := yesNo(strings.Trim(string(m.Subscribed), `"`))
	if err != nil {
		r.err = err
		return r
	}
	r.candidate, r.err = newCandidate(m.Address, m.Name, vars, given)
	r.outside = !subscribed
	return r
}

// yesNo reads what clients write for a boolean, nil for nothing.
func yesNo(s string) (*bool, error) {
	var v bool
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "", "null":
		return nil, nil
	case "yes", "true", "1":
		v = true
		return &v, nil
	case "no", "false", "0":
		return &v, nil
	}
	return nil, errs.New(errs.Invalid, "'subscribed' parameter is invalid: must be yes or no")
}

// csvRecords reads a table: the columns its first row names, or address, name
// and vars where that row is a member already. Columns with names of their own
// are variables. Commas, semicolons and tabs separate; what the first line has.
func csvRecords(data []byte, subscribed bool) iter.Seq[record] {
	return func(yield func(record) bool) {
		data := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
		r := csv.NewReader(bytes.NewReader(data))
		r.Comma, r.LazyQuotes, r.FieldsPerRecord, r.TrimLeadingSpace = separator(data), true, -1, true
		columns := []string{"address", "name", "vars"}
		for first := true; ; first = false {
			row, err := r.Read()
			if err == io.EOF {
				return
			}
			if first && err == nil && isHeader(row) {
				columns = row
				continue
			}
			if err == nil && strings.TrimSpace(strings.Join(row, "")) == "" {
				continue
			}
			rec := csvRecord(columns, row, subscribed)
			if err != nil {
				rec.err = errs.New(errs.Invalid, "the row cannot be read")
			}
			if !yield(rec) {
				return
			}
		}
	}
}

func separator(data []byte) rune {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	best, most := ',', bytes.Count(line, []byte(","))
	for _, c := range []rune{';', '\t'} {
		if n := bytes.Count(line, []byte(string(c))); most == 0 && n > 0 {
			best, most = c, n
		}
	}
	return best
}

// isHeader reports whether a row names columns: one is the address, and none is
// one.
func isHeader(row []string) bool {
	named := false
	for _, c := range row {
		if strings.Contains(c, "@") {
			return false
		}
		named = named || column(c) == "address"
	}
	return named
}

func column(name string) string {
	switch n := strings.ToLower(strings.TrimSpace(name)); n {
	case "email", "e-mail", "email address", "email_address":
		return "address"
	default:
		return n
	}
}

func csvRecord(columns, row []string, subscribed bool) record {
	r := record{text: shorten(strings.Join(row, ","))}
	size := 0
	var address, own string
	var name, vars *string
	extra := map[string]string{}
	for i, v := range row {
		if size += len(v); size > maxRecord || !utf8.ValidString(v) {
			r.err = errs.New(errs.Invalid, "the row is not UTF-8, or longer than %d bytes", maxRecord)
			return r
		}
		if i >= len(columns) {
			break
		}
		switch column(columns[i]) {
		case "address":
			address = v
		case "name":
			name = &v
		case "vars":
			vars = &v
		case "subscribed":
			own = v
		case "":
		default:
			extra[strings.TrimSpace(columns[i])] = v
		}
	}
	given, err := yesNo(own)
	if err == nil {
		r.candidate, err = newCandidate(address, name, vars, given)
		r.outside = !subscribed
	}
	if err == nil && len(extra) > 0 {
		err = r.merge(extra)
	}
	r.err = err
	return r
}

// merge adds columns of their own to the variables; vars wins.
func (r *record) merge(extra map[string]string) error {
	all := map[string]any{}
	for k, v := range extra {
		all[k] = v
	}
	if r.vars != nil {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(r.vars, &m); err != nil {
			return err
		}
		for k, v := range m {
			all[k] = v
		}
	}
	b, err := json.Marshal(all)
	if err == nil {
		r.vars, err = readVars(b)
	}
	return err
}

func shorten(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}

// public is the text of an error for the client.
func public(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Public
	}
	return "the member could not be added"
}
