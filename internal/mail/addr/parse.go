package addr

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"postroad/internal/mail/mime/encword"
)

// MaxInput is the longest list read, in octets: 1,000 recipients with long
// names take less than half of it.
const MaxInput = 1 << 20

// maxName bounds a display name, in octets.
const maxName = 1024

// Reason tells why text is not an address.
type Reason string

// The reasons of an Error.
const (
	ReasonEmpty         Reason = "no address"
	ReasonTooLong       Reason = "address list too long"
	ReasonControl       Reason = "control character"
	ReasonMissing       Reason = "address missing"
	ReasonLocal         Reason = "invalid local part"
	ReasonLocalLong     Reason = "local part too long"
	ReasonDomainMissing Reason = "domain missing"
	ReasonDomain        Reason = "invalid domain"
	ReasonDomainLong    Reason = "domain too long"
	ReasonLiteral       Reason = "address literal not accepted"
	ReasonRoute         Reason = "source route not accepted"
	ReasonBracket       Reason = "unbalanced angle bracket"
	ReasonQuote         Reason = "unterminated quoted string"
	ReasonComment       Reason = "unterminated comment"
	ReasonNameLong      Reason = "name too long"
	ReasonGroup         Reason = "group not accepted here"
	ReasonTrailing      Reason = "unexpected text after address"
	ReasonCount         Reason = "more than one address"
)

// Error tells where and why parsing stopped.
type Error struct {
	Pos    int // octets from the start of the input
	Reason Reason
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s at offset %d", e.Reason, e.Pos) }

// ParseList reads an address list (RFC 5322 section 3.4) as people write it:
// names with or without quotes, in UTF-8 or encoded words; comments; groups,
// which are flattened; separators ',' and ';', also repeated or trailing.
// Words without '@' before a comma belong to the name of the next bracketed
// address (`Smith, John <j@example.com>`). A list of nothing is an error, an
// empty group is not. The error is an *Error.
func ParseList(s string) ([]Address, error) {
	p := parser{s: s}
	return p.list()
}

// Parse reads exactly one address, with or without a name; no groups.
func Parse(s string) (Address, error) {
	p := parser{s: s, noGroup: true}
	list, err := p.list()
	if err != nil {
		return Address{}, err
	}
	if len(list) != 1 {
		return Address{}, &Error{0, ReasonCount}
	}
	return list[0], nil
}

// ParseMailbox reads a bare local@domain as of an envelope (RFC 5321 section
// 4.1.2): no name, no comment, no brackets, no blanks.
func ParseMailbox(s string) (Address, error) {
	p := parser{s: s}
	if err := p.check(); err != nil {
		return Address{}, err
	}
	a, err := p.addrSpec()
	if err != nil {
		return Address{}, err
	}
	if p.i != len(s) {
		return Address{}, p.fail(p.i, ReasonTrailing)
	}
	return a, nil
}

type parser struct {
	s       string
	i       int
	noGroup bool
	inGroup bool
	groups  int
	comment string // text of the comment read last
	out     []Address
}

func (p *parser) fail(pos int, r Reason) error { return &Error{pos, r} }

// check refuses what no part of an address may hold.
func (p *parser) check() error {
	if len(p.s) > MaxInput {
		return p.fail(0, ReasonTooLong)
	}
	for i := 0; i < len(p.s); i++ {
		if c := p.s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return p.fail(i, ReasonControl)
		}
	}
	return nil
}

func (p *parser) list() ([]Address, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	for p.i < len(p.s) {
		if err := p.item(); err != nil {
			return nil, err
		}
	}
	if len(p.out) == 0 && p.groups == 0 {
		return nil, p.fail(0, ReasonEmpty)
	}
	return p.out, nil
}

// item reads up to and with the next separator.
func (p *parser) item() error {
	var ph phrase
	p.comment = ""
	for {
		if err := p.skip(); err != nil {
			return err
		}
		if p.i >= len(p.s) {
			return p.noAddress(&ph)
		}
		switch c := p.s[p.i]; c {
		case '<':
			return p.angle(&ph)
		case ',':
			p.i++
			if ph.n == 0 {
				return nil
			}
			ph.comma()
		case ';':
			p.i++
			p.inGroup = false
			return p.noAddress(&ph)
		case ':':
			return p.openGroup(&ph)
		default:
			done, err := p.word(&ph)
			if done || err != nil {
				return err
			}
		}
	}
}

func (p *parser) noAddress(ph *phrase) error {
	if ph.n > 0 {
		return p.fail(ph.start, ReasonMissing)
	}
	return nil
}

func (p *parser) openGroup(ph *phrase) error {
	if p.noGroup || p.inGroup || ph.n == 0 || ph.commas {
		return p.fail(p.i, ReasonGroup)
	}
	p.i++
	p.groups++
	p.inGroup = true
	return nil
}

// word reads a word of a name, or a whole address if the word turns out to
// be a local part; done tells that the item is complete.
func (p *parser) word(ph *phrase) (done bool, err error) {
	start := p.i
	text, err := p.localOrWord()
	if err != nil {
		return false, err
	}
	if p.i >= len(p.s) || p.s[p.i] != '@' {
		ph.add(text, start, p.i)
		if ph.size > maxName {
			return false, p.fail(ph.start, ReasonNameLong)
		}
		return false, nil
	}
	p.i = start
	a, err := p.addrSpec()
	if err != nil {
		return false, err
	}
	return p.bare(ph, a, start)
}

// bare finishes an address written without brackets. What follows in
// brackets makes it the name: `a@example.com <a@example.com>`.
func (p *parser) bare(ph *phrase, a Address, start int) (bool, error) {
	end := p.i
	if err := p.skip(); err != nil {
		return false, err
	}
	if p.i < len(p.s) && p.s[p.i] == '<' {
		ph.add(p.s[start:end], start, end)
		return true, p.angle(ph)
	}
	if ph.n > 0 {
		return false, p.fail(ph.start, ReasonMissing)
	}
	return true, p.finish(a, "")
}

// finish adds the address and reads its separator.
func (p *parser) finish(a Address, name string) error {
	if err := p.skip(); err != nil {
		return err
	}
	if name == "" {
		name = p.comment
	}
	if len(name) > maxName {
		return p.fail(p.i, ReasonNameLong)
	}
	if a.Name = name; name != "" {
		a.Name = cleanName(name)
	}
	p.out = append(p.out, a)
	if p.i >= len(p.s) {
		return nil
	}
	switch p.s[p.i] {
	case ';':
		p.inGroup = false
	case ',':
	default:
		return p.fail(p.i, ReasonTrailing)
	}
	p.i++
	return nil
}

func (p *parser) angle(ph *phrase) error {
	open := p.i
	p.i++
	if err := p.skip(); err != nil {
		return err
	}
	if p.i < len(p.s) && p.s[p.i] == '@' {
		return p.fail(p.i, ReasonRoute)
	}
	a, err := p.addrSpec()
	if err != nil {
		return err
	}
	if err := p.skip(); err != nil {
		return err
	}
	if p.i >= len(p.s) || p.s[p.i] != '>' {
		return p.fail(open, ReasonBracket)
	}
	p.i++
	return p.finish(a, ph.text())
}

// addrSpec reads local@domain without blanks.
func (p *parser) addrSpec() (Address, error) {
	start := p.i
	if p.i >= len(p.s) || p.s[p.i] == '>' {
		return Address{}, p.fail(p.i, ReasonMissing)
	}
	local, err := p.localOrWord()
	if err != nil {
		return Address{}, err
	}
	if p.i == start {
		return Address{}, p.fail(start, ReasonLocal)
	}
	if p.i >= len(p.s) || p.s[p.i] != '@' {
		return Address{}, p.fail(p.i, ReasonDomainMissing)
	}
	if r := checkLocal(local, p.s[start] == '"'); r != "" {
		return Address{}, p.fail(start, r)
	}
	p.i++
	at := p.i
	for p.i < len(p.s) && domainByte(p.s[p.i]) {
		p.i++
	}
	if p.i == at && p.i < len(p.s) && p.s[p.i] == '[' {
		return Address{}, p.fail(at, ReasonLiteral)
	}
	domain, r := checkDomain(p.s[at:p.i])
	if r != "" {
		return Address{}, p.fail(at, r)
	}
	return Address{Local: local, Domain: domain}, nil
}

func checkLocal(s string, quoted bool) Reason {
	switch {
	case len(quoteLocal(s)) > MaxLocal:
		return ReasonLocalLong
	case !quoted && !isDotAtom(s), strings.IndexByte(s, '\t') >= 0:
		return ReasonLocal
	}
	if !isASCII(s) && !printable(s) {
		return ReasonLocal
	}
	return ""
}

// printable refuses invalid UTF-8, controls, and the invisible characters
// that make two different addresses look the same.
func printable(s string) bool {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n < 2 {
				return false
			}
		}
		if r >= utf8.RuneSelf && (unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d') {
			return false
		}
	}
	return true
}

// domainByte tells what may be part of a domain as far as the scan goes;
// checkDomain decides.
func domainByte(c byte) bool {
	return isAtext(c) || c == '.' || c >= utf8.RuneSelf
}

// cleanName decodes encoded words, which may hide controls.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, encword.Decode(s))
	return strings.TrimSpace(s)
}
