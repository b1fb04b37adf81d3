package mime

import (
	"bytes"
	"errors"
	"strings"
)

// Limits of a header that is scanned.
const (
	maxHeaderBytes  = 4 << 20
	maxHeaderFields = 20000
)

// ErrHeaderTooLarge: a header has over 4 MiB or 20,000 fields.
var ErrHeaderTooLarge = errors.New("message header too large")

// RawField is a field as it stands in a message. Its slices point into it.
type RawField struct {
	// Name as written; empty for a line that is no field (without colon).
	Name []byte
	// Value as written, with its folding, without the colon and the final
	// line end.
	Value []byte
	// Start and End are offsets in the message; End is behind the line end.
	Start, End int
}

// Is reports whether the field has this name; case does not matter.
func (f RawField) Is(name string) bool {
	return len(f.Name) == len(name) && strings.EqualFold(view(f.Name), name)
}

// Text gives the value decoded, see DecodeHeader.
func (f RawField) Text() string { return DecodeHeader(string(f.Value)) }

// Fields is a scanned header.
type Fields []RawField

// Find gives the first field of this name.
func (fs Fields) Find(name string) (RawField, bool) {
	for _, f := range fs {
		if f.Is(name) {
			return f, true
		}
	}
	return RawField{}, false
}

// Get gives the decoded value of the first field of this name, or "".
func (fs Fields) Get(name string) string {
	f, _ := fs.Find(name)
	return f.Text()
}

// Raw gives the unfolded but undecoded value of the first field of this name.
func (fs Fields) Raw(name string) string {
	f, _ := fs.Find(name)
	s := string(f.Value)
	if strings.ContainsAny(s, "\r\n") {
		s = strings.NewReplacer("\r", "", "\n", "").Replace(s)
	}
	return strings.Trim(s, " \t")
}

// Values gives the decoded values of all fields of this name.
func (fs Fields) Values(name string) []string {
	var out []string
	for _, f := range fs {
		if f.Is(name) {
			out = append(out, f.Text())
		}
	}
	return out
}

// ScanHeader finds the fields of a message and the offset of its body, that is
// of the octet behind the empty line, or the length of raw if there is none.
// Nothing is copied. Lines may end in CRLF or LF. A line without colon is
// given as a field without name. The one error is ErrHeaderTooLarge.
func ScanHeader(raw []byte) (Fields, int, error) {
	return scanHeader(raw, 0, len(raw))
}

// scanHeader scans raw[from:to]; offsets are those of raw.
func scanHeader(raw []byte, from, to int) (Fields, int, error) {
	fields := make(Fields, 0, 24)
	for i := from; i < to; {
		end := lineEnd(raw, i, to)
		if isEmptyLine(raw[i:end]) {
			return fields, end, nil
		}
		for end < to && (raw[end] == ' ' || raw[end] == '\t') {
			end = lineEnd(raw, end, to)
		}
		if end-from > maxHeaderBytes || len(fields) >= maxHeaderFields {
			return nil, 0, ErrHeaderTooLarge
		}
		fields = append(fields, newField(raw, i, end))
		i = end
	}
	return fields, to, nil
}

func newField(raw []byte, start, end int) RawField {
	f := RawField{Start: start, End: end, Value: trimEOL(raw[start:end])}
	colon := bytes.IndexByte(f.Value, ':')
	if colon <= 0 {
		return f
	}
	// Blanks before the colon are obsolete syntax (RFC 5322 section 4.5).
	name := bytes.TrimRight(f.Value[:colon], " \t")
	if len(name) == 0 || bytes.ContainsAny(name, " \t\r\n") {
		return f
	}
	f.Name, f.Value = name, f.Value[colon+1:]
	return f
}

// lineEnd gives the offset behind the line that starts at i.
func lineEnd(raw []byte, i, to int) int {
	if n := bytes.IndexByte(raw[i:to], '\n'); n >= 0 {
		return i + n + 1
	}
	return to
}

func isEmptyLine(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

func trimEOL(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte{'\n'})
	return bytes.TrimSuffix(b, []byte{'\r'})
}
