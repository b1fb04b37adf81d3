package event

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"postroad/internal/base/errs"
)

// Filter decides which events a query is for. The zero value takes all. It is
// immutable.
type Filter struct {
	conds []cond
	// What an index can tell beforehand; nil means nothing. A row that fails
	// one of them can not match.
	types, recipients, msgids []int64
	// indexed: types decides alone, the document need not be looked at.
	indexed bool
}

// cond is one condition on a document.
type cond interface{ match(d *Doc) bool }

// FieldFilter is a filter field of the events API with its expression.
type FieldFilter struct {
	Field string // one of FilterFields
	Expr  string // empty or blank: no condition
}

// maxHints bounds the values looked up in an index at once.
const maxHints = 200

// NewFilter makes a filter of which every field must match. The error is
// Invalid and says what is wrong with which expression.
func NewFilter(fields []FieldFilter) (Filter, error) {
	f := Filter{indexed: true}
	for _, ff := range fields {
		if strings.TrimSpace(ff.Expr) == "" {
			continue
		}
		fd, ok := filterFields[ff.Field]
		if !ok {
			return Filter{}, errs.New(errs.Invalid, "'%s' is not a filter field", clip(ff.Field, 40)).
				WithHint("filter fields are %s", strings.Join(FilterFields(), ", "))
		}
		e, err := parseExpr(ff.Expr, fd.number != nil)
		if err != nil {
			return Filter{}, errs.New(errs.Invalid, "Invalid filter expression for '%s': %v", ff.Field, err)
		}
		f.add(fieldCond{fd, e})
		f.hint(ff.Field, fd, e)
	}
	return f, nil
}

func (f *Filter) add(c cond) { f.conds = append(f.conds, c) }

// hint takes from an expression what an index can tell.
func (f *Filter) hint(name string, fd *field, e *expr) {
	switch name {
	case "event":
		f.limitTypes(func(d *Doc) bool { return fieldCond{fd, e}.match(d) })
		return
	case "severity":
		if !(fieldCond{fd, e}).match(&Doc{}) { // only failed events have one
			f.limitTypes(func(d *Doc) bool { return d.Event == Failed })
		}
	case "recipient":
		f.recipients = narrow(f.recipients, e, isAddress)
	case "message-id":
		f.msgids = narrow(f.msgids, e, func(string) bool { return true })
	}
	f.indexed = false
}

func narrow(have []int64, e *expr, exact func(string) bool) []int64 {
	texts, ok := e.only(exact)
	if !ok || have != nil || len(texts) > maxHints {
		return have
	}
	out := make([]int64, len(texts))
	for i, t := range texts {
		out[i] = Hash(strings.Trim(t, "<>"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// limitTypes keeps the types a document of which match takes.
func (f *Filter) limitTypes(match func(*Doc) bool) {
	out := []int64{}
	for t, code := range codes {
		if (f.types == nil || slices.Contains(f.types, code)) && match(&Doc{Event: t}) {
			out = append(out, code)
		}
	}
	slices.Sort(out)
	f.types = out
}

// Match reports whether the filter takes d.
func (f Filter) Match(d *Doc) bool {
	for _, c := range f.conds {
		if !c.match(d) {
			return false
		}
	}
	return true
}

// never reports whether nothing can match.
func (f Filter) never() bool { return f.types != nil && len(f.types) == 0 }

// selective reports whether an index can pass over rows.
func (f Filter) selective() bool { return f.types != nil || f.recipients != nil || f.msgids != nil }

// onIndex reports whether the index decides alone.
func (f Filter) onIndex() bool { return len(f.conds) == 0 || f.indexed }

// field is a filter field: how its values are got and how a term meets one.
type field struct {
	values func(*Doc) []string
	term   func(value, text string, phrase bool) bool
	number func(*Doc) (float64, bool)
}

type fieldCond struct {
	field *field
	expr  *expr
}

func (c fieldCond) match(d *Doc) bool {
	if c.field.number != nil {
		v, ok := c.field.number(d)
		return ok && c.expr.eval(func(e *expr) bool { return e.compare(v) })
	}
	values := c.field.values(d)
	for i, v := range values {
		values[i] = strings.ToLower(v)
	}
	return c.expr.eval(func(e *expr) bool {
		return slices.ContainsFunc(values, func(v string) bool { return c.field.term(v, e.text, e.op == opPhrase) })
	})
}

// FilterFields lists the filter fields of the events API.
func FilterFields() []string {
	return []string{"event", "list", "attachment", "from", "message-id", "subject", "to", "size", "recipient", "recipients", "tags", "severity"}
}

// filterFields: Mailgun: "Filter Field". Terms of texts are whole words and
// phrases any part; where the value is a name, terms are the whole of it.
var filterFields = map[string]*field{
	"event":      {values: func(d *Doc) []string { return one(string(d.Event)) }, term: equalTerm},
	"severity":   {values: func(d *Doc) []string { return one(d.Severity) }, term: equalTerm},
	"tags":       {values: func(d *Doc) []string { return slices.Clone(d.Tags) }, term: equalTerm},
	"message-id": {values: func(d *Doc) []string { return one(d.headers().MessageID) }, term: idTerm},
	"recipient":  {values: func(d *Doc) []string { return one(d.Recipient) }, term: mailboxTerm},
	"recipients": {values: (*Doc).recipients, term: mailboxTerm},
	"list":       {values: (*Doc).list, term: mailboxTerm},
	"from":       {values: func(d *Doc) []string { return one(d.headers().From) }, term: addressTerm},
	"to":         {values: func(d *Doc) []string { return one(d.headers().To) }, term: addressTerm},
	"subject":    {values: func(d *Doc) []string { return one(d.headers().Subject) }, term: wordTerm},
	"attachment": {values: (*Doc).files, term: wordTerm},
	"size":       {number: (*Doc).size},
}

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func (d *Doc) headers() Headers {
	if d.Message == nil {
		return Headers{}
	}
	return d.Message.Headers
}

func (d *Doc) recipients() []string {
	if d.Message == nil {
		return nil
	}
	return slices.Clone(d.Message.Recipients)
}

func (d *Doc) list() []string {
	if d.MailingList == nil {
		return nil
	}
	return one(d.MailingList.Address)
}

func (d *Doc) files() []string {
	if d.Message == nil {
		return nil
	}
	var out []string
	for _, a := range d.Message.Attachments {
		out = append(out, a.Filename)
	}
	return out
}

func (d *Doc) size() (float64, bool) {
	if d.Message == nil {
		return 0, false
	}
	return float64(d.Message.Size), true
}

func equalTerm(value, text string, _ bool) bool { return value == text }

func idTerm(value, text string, _ bool) bool { return value == strings.Trim(text, "<>") }

// isAddress: a term like that is the whole mailbox and no part of one.
func isAddress(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && !strings.ContainsAny(s, " <>,")
}

func mailboxTerm(value, text string, phrase bool) bool {
	if isAddress(text) {
		return value == text
	}
	return wordTerm(value, text, phrase)
}

// addressTerm finds an address as a whole in a header field, or a word.
func addressTerm(value, text string, phrase bool) bool {
	if isAddress(text) {
		return contains(value, text, func(r rune) bool {
			return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._+-=@", r)
		})
	}
	return wordTerm(value, text, phrase)
}

func wordTerm(value, text string, phrase bool) bool {
	if phrase {
		return strings.Contains(value, text)
	}
	return contains(value, text, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// contains finds text where it neither begins nor ends inside a word.
func contains(value, text string, inWord func(rune) bool) bool {
	if text == "" {
		return true
	}
	first, _ := utf8.DecodeRuneInString(text)
	last, _ := utf8.DecodeLastRuneInString(text)
	for from := 0; from <= len(value); {
		i := strings.Index(value[from:], text)
		if i < 0 {
			return false
		}
		at := from + i
		before, n := utf8.DecodeLastRuneInString(value[:at])
		after, m := utf8.DecodeRuneInString(value[at+len(text):])
		if (n == 0 || !inWord(first) || !inWord(before)) && (m == 0 || !inWord(last) || !inWord(after)) {
			return true
		}
		from = at + len(text)
	}
	return false
}
