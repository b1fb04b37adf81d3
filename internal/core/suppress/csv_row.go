package suppress

import (
	"bytes"
	"slices"
	"strings"

	"postroad/internal/base/errs"
)

// columns says where the values of a row stand; -1 is nowhere.
type columns struct {
	address, domain, code, reason, tags, created int
}

// errHeader is Mailgun's text; what is wrong stands in the hint.
var errHeader = errs.New(errs.Invalid, "while reading csv header")

// bom is what some programs begin a file of UTF-8 with.
var bom = []byte("\xef\xbb\xbf")

// header reads the first line of a file: which columns it has, and what separates
// them. It returns the table behind it. Mailgun: the names of the columns.
func header(t *table, kind Kind) (columns, error) {
	if err := t.fill(); err != nil {
		return columns{}, err
	}
	if bytes.HasPrefix(t.buf, bom) {
		t.at, t.done = len(bom), int64(len(bom))
	}
	t.comma = separator(t.buf[t.at:])
	first, err := t.next()
	if err != nil {
		return columns{}, errHeader.WithHint("the file is empty")
	}
	if first.err != nil {
		return columns{}, errHeader.WithHint("%s", first.err.Public)
	}
	c, twice := named(first.fields, kind)
	switch {
	case twice != "":
		return c, errHeader.WithHint("two columns are named %s", twice)
	case kind == Allowlist && c.address < 0 && c.domain < 0:
		return c, errHeader.WithHint("the first line must name a column address or domain")
	case kind != Allowlist && c.address < 0:
		return c, errHeader.WithHint("the first line must name a column address")
	}
	return c, nil
}

// separator is the first of comma, semicolon and tab in the first line.
func separator(data []byte) byte {
	first, _, _ := bytes.Cut(data, []byte("\n"))
	if at := bytes.IndexAny(first, ",;\t"); at >= 0 {
		return first[at]
	}
	return ','
}

// named finds the columns of a kind, in any case and order; others do not count.
// twice is the name of one that is there again.
func named(fields []string, kind Kind) (c columns, twice string) {
	c = columns{-1, -1, -1, -1, -1, -1}
	for i, f := range fields {
		name := strings.ReplaceAll(strings.ToLower(f), "_", "")
		var at *int
		switch {
		case name == "address":
			at = &c.address
		case name == "createdat":
			at = &c.created
		case name == "domain" && kind == Allowlist:
			at = &c.domain
		case name == "reason" && kind == Allowlist, name == "error" && kind == Bounces:
			at = &c.reason
		case name == "code" && kind == Bounces:
			at = &c.code
		case (name == "tags" || name == "tag") && kind == Unsubscribes:
			at = &c.tags
		default:
			continue
		}
		if *at >= 0 {
			return c, f
		}
		*at = i
	}
	return c, ""
}

// entries makes of a row what the API would make of the same values.
func (c *columns) entries(fields []string, kind Kind) ([]Entry, *errs.Error) {
	cell := func(at int) string {
		if at < 0 || at >= len(fields) {
			return ""
		}
		return fields[at]
	}
	s := stamp{CreatedAt: text(cell(c.created))}
	var list []Entry
	var err *errs.Error
	switch kind {
	case Unsubscribes:
		list, err = s.tagged(cell(c.address), tagsOf(cell(c.tags)))
	case Allowlist:
		list, err = allowRow(cell(c.address), cell(c.domain), cell(c.reason), s)
	default:
		list, err = s.one(Entry{Address: cell(c.address), Code: cell(c.code), Reason: cell(c.reason)})
	}
	for i := range list {
		if list[i].Kind = kind; err == nil {
			err = list[i].clean()
		}
	}
	return list, err
}

// allowRow is a row of the allowlist. Mailgun: an address or a domain, not both.
func allowRow(address, domain, reason string, s stamp) ([]Entry, *errs.Error) {
	if address != "" && domain != "" {
		return nil, errs.New(errs.Invalid, "a row must have an address or a domain, not both")
	}
	r := allowRecord{Address: address, Domain: domain, Reason: text(reason), stamp: s}
	return r.entries()
}

// tagsOf reads tags in one cell: "a, b", "[a, b]", `["a", "b"]`; nothing is "*".
func tagsOf(cell string) []string {
	if inner, ok := strings.CutPrefix(cell, "["); ok {
		cell = strings.TrimSuffix(inner, "]")
	}
	var out []string
	for part := range strings.SplitSeq(cell, ",") {
		if part = strings.TrimSpace(strings.Trim(strings.TrimSpace(part), `"'`)); part != "" && !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	if len(out) == 0 {
		return []string{everyTag}
	}
	return out
}
