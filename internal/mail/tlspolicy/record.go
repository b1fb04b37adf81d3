package tlspolicy

import (
	"fmt"
	"strings"
)

// field is one "name=value" of a TXT record.
type field struct{ name, value string }

// recordFields picks the one record of a version among the TXT records of a name
// and takes its fields apart. MTA-STS and TLS reports share the grammar (RFC 8461,
// section 3.1; RFC 8460, section 3).
func recordFields(texts []string, version string) ([]field, error) {
	found, body := 0, ""
	for _, t := range texts {
		if rest, ok := ofVersion(t, version); ok {
			found++
			body = rest
		}
	}
	switch {
	case found == 0:
		return nil, ErrNoRecord
	case found > 1:
		return nil, ErrManyRecords
	case len(body) > maxRecordBytes:
		return nil, fmt.Errorf("%w record: longer than %d bytes", ErrSyntax, maxRecordBytes)
	}
	return splitFields(body)
}

// ofVersion returns what follows the first delimiter of a record of the version.
// Without a delimiter there is no field, and it is no such record.
func ofVersion(text, version string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(text, "v="+version)
	if !ok {
		return "", false
	}
	return strings.CutPrefix(strings.TrimLeft(rest, " \t"), ";")
}

func splitFields(body string) ([]field, error) {
	var fields []field
	parts := strings.Split(body, ";")
	for i, part := range parts {
		part = strings.Trim(part, " \t")
		if part == "" && i == len(parts)-1 { // a delimiter may stand at the end
			break
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok || !isFieldName(name) || !isFieldValue(value) {
			return nil, fmt.Errorf("%w record: field %d", ErrSyntax, i+1)
		}
		fields = append(fields, field{name, value})
	}
	if len(fields) == 0 {
		return nil, fmt.Errorf("%w record: no field", ErrSyntax)
	}
	return fields, nil
}

// isFieldValue is wider than the grammar by "=", which addresses to report to
// hold, by spaces, which stand between them, and by octets above 127.
func isFieldValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}
