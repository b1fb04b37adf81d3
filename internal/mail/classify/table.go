package classify

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

//go:embed rules.txt
var rulesText string

// Table is a compiled set of rules. It never changes and may be shared.
type Table struct {
	words     *automaton
	phrases   map[string]uint16
	providers map[string]*section // by suffix of the MX host name
	general   section
}

// section is the rules of one provider, or of everybody, for 4yz and 5yz
// replies, in the order they are tried.
type section struct {
	name  string
	rules [2][]rule
	leads [2][]uint16 // of each rule its first phrase, or anyText: kept together, most rules fail there
}

// anyText is the lead of a rule without phrases.
const anyText = 0xffff

type rule struct {
	codes    []span
	statuses []statusSpan // of the enhanced status; none: any, and none at all
	all      []uint16     // phrases the text must hold
	none     []uint16     // phrases it must not hold
	verdict  Verdict
}

// Default returns the table that comes with the program.
var Default = sync.OnceValues(func() (*Table, error) { return Load(rulesText) })

// Load compiles rules. A line is empty, a comment (#), the head of a section
//
//	[name] mx-suffix mx-suffix ...
//
// with "[*]" for everybody, or a rule of the section:
//
//	code | enhanced | phrase & phrase & !phrase | class | hints
//
// A code is "421", "4xx" or "*", several with commas. An enhanced status is
// "5.7.1", "x.7.1", "5.7.606-649", "5.7.*", "-" (there is none) or "*". Phrases are looked for in
// any case, all of them and none of those with "!"; a rule without phrases
// holds for the status alone. Hints are "retry=15m", "scope=recipient" and
// "connections".
//
// A provider's rules are tried before those for everybody, each in the order of
// the file. Mail addresses in a reply are not looked into: a mailbox may be
// called spam. An error names the line.
func Load(text string) (*Table, error) {
	t := &Table{phrases: map[string]uint16{}, providers: map[string]*section{}, general: section{name: "*"}}
	var at *section
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		var err error
		if line[0] == '[' {
			at, err = t.head(line)
		} else if at == nil {
			err = fmt.Errorf("a rule before the first [section]")
		} else {
			err = t.rule(at, line)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	list := make([]string, len(t.phrases))
	for p, n := range t.phrases {
		list[n] = p
	}
	var err error
	if t.words, err = newAutomaton(list); err != nil {
		return nil, err
	}
	return t, nil
}

// head begins a section.
func (t *Table) head(line string) (*section, error) {
	name, rest, ok := strings.Cut(line[1:], "]")
	name = strings.TrimSpace(name)
	suffixes := strings.Fields(rest)
	switch {
	case !ok || name == "":
		return nil, fmt.Errorf("a section is [name] and its MX suffixes")
	case name == "*" && len(suffixes) > 0:
		return nil, fmt.Errorf("the section for everybody has no MX suffixes")
	case name == "*":
		return &t.general, nil
	case len(suffixes) == 0:
		return nil, fmt.Errorf("section %q names no MX suffix", name)
	}
	s := &section{name: name}
	for _, x := range suffixes {
		x = strings.ToLower(strings.Trim(x, "."))
		if t.providers[x] != nil {
			return nil, fmt.Errorf("the suffix %q belongs to section %q already", x, t.providers[x].name)
		}
		t.providers[x] = s
	}
	return s, nil
}

// rule adds a rule to a section, for the kinds of reply it can match.
func (t *Table) rule(s *section, line string) error {
	f := strings.Split(line, "|")
	if len(f) != 4 && len(f) != 5 {
		return fmt.Errorf("%d fields, a rule has code | enhanced | phrases | class | hints", len(f))
	}
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	var r rule
	var err error
	if r.codes, err = parseCodes(f[0]); err != nil {
		return err
	}
	if r.statuses, err = parseStatuses(f[1]); err != nil {
		return err
	}
	if err = t.register(&r, f[2]); err != nil {
		return err
	}
	if r.verdict.Class, err = ParseClass(f[3]); err != nil {
		return err
	}
	if len(f) == 5 {
		if err = r.verdict.hints(f[4]); err != nil {
			return err
		}
	}
	r.verdict.Rule = s.name + "/" + f[2]
	if f[2] == "" {
		r.verdict.Rule = s.name + "/" + f[0] + " " + f[1]
	}
	lead, added := uint16(anyText), false
	if len(r.all) > 0 {
		lead = r.all[0]
	}
	for i := range s.rules {
		if r.within(400+100*i, 499+100*i) {
			s.rules[i], s.leads[i], added = append(s.rules[i], r), append(s.leads[i], lead), true
		}
	}
	if !added {
		return fmt.Errorf("code %q is neither 4xx nor 5xx", f[0])
	}
	return nil
}

// register registers the phrases of a rule.
func (t *Table) register(r *rule, field string) error {
	if field == "" {
		return nil
	}
	for p := range strings.SplitSeq(field, "&") {
		p = strings.ToLower(strings.Join(strings.Fields(p), " "))
		p, not := strings.CutPrefix(p, "!")
		if p = strings.TrimSpace(p); len(p) < 3 {
			return fmt.Errorf("the phrase %q is too short to mean anything", p)
		}
		n, ok := t.phrases[p]
		if !ok {
			if len(t.phrases) == maxPhrases {
				return fmt.Errorf("more than %d phrases", maxPhrases)
			}
			n = uint16(len(t.phrases))
			t.phrases[p] = n
		}
		if not {
			r.none = append(r.none, n)
		} else {
			r.all = append(r.all, n)
		}
	}
	if len(r.all) == 0 {
		return fmt.Errorf("only phrases that must not occur")
	}
	return nil
}
