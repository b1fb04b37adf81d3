package classify

import (
	"fmt"
	"strings"
)

// maxText bounds what is looked at of a reply, in octets.
const maxText = 1024

// maxPhrases bounds a table so that a set of phrases fits in a fixed array.
const maxPhrases = 1024

// phraseSet is which phrases a text holds.
type phraseSet [maxPhrases / 64]uint64

func (s *phraseSet) add(i uint16)      { s[i/64] |= 1 << (i % 64) }
func (s *phraseSet) has(i uint16) bool { return s[i/64]&(1<<(i%64)) != 0 }

// automaton finds all phrases in one pass (Aho and Corasick 1975): next is its
// complete transition table over classes of octets, so that a step is one load.
type automaton struct {
	class  [256]uint8 // of an octet; letters of either case are one, 0 is in no phrase
	width  int        // number of classes
	next   []uint16   // by state*width + class
	first  []uint16   // by state: 1 + the first of its phrases in found, 0 if it has none
	found  []uint16   // runs of phrase numbers, each ended by endOfRun
	states int
}

const endOfRun = 0xffff

// maxStates is what fits in a transition.
const maxStates = 0xfff0

// newAutomaton compiles phrases, which are lower case and not empty.
func newAutomaton(phrases []string) (*automaton, error) {
	if len(phrases) > maxPhrases {
		return nil, fmt.Errorf("%d phrases, at most %d", len(phrases), maxPhrases)
	}
	a := &automaton{width: 1}
	a.classify(phrases)
	ends, err := a.trie(phrases)
	if err != nil {
		return nil, err
	}
	return a, a.complete(ends)
}

// classify gives every octet that occurs in a phrase a class.
func (a *automaton) classify(phrases []string) {
	for _, p := range phrases {
		for i := range len(p) {
			if c := p[i]; a.class[c] == 0 {
				a.class[c] = uint8(a.width)
				a.width++
			}
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		a.class[c-'a'+'A'] = a.class[c]
	}
	for _, c := range "\n\r\t" {
		a.class[c] = a.class[' ']
	}
}

// trie enters the phrases and returns which end in each state.
func (a *automaton) trie(phrases []string) (ends [][]uint16, err error) {
	a.next, ends = make([]uint16, a.width), make([][]uint16, 1)
	for n, p := range phrases {
		at := 0
		for i := range len(p) {
			slot := at*a.width + int(a.class[p[i]])
			if a.next[slot] == 0 {
				if len(ends) >= maxStates {
					return nil, fmt.Errorf("the phrases are too long together: more than %d octets", maxStates)
				}
				a.next[slot] = uint16(len(ends))
				a.next = append(a.next, make([]uint16, a.width)...)
				ends = append(ends, nil)
			}
			at = int(a.next[slot])
		}
		ends[at] = append(ends[at], uint16(n))
	}
	a.states = len(ends)
	return ends, nil
}

// complete fills the transitions that leave the trie, breadth first: they go
// where the longest proper suffix goes, and its phrases end here as well.
func (a *automaton) complete(ends [][]uint16) error {
	fail, order := make([]int, a.states), []int{0}
	for i := 0; i < len(order); i++ {
		at := order[i]
		for c := range a.width {
			slot, back := at*a.width+c, a.next[fail[at]*a.width+c]
			to := int(a.next[slot])
			switch {
			case to == 0:
				if at != 0 {
					a.next[slot] = back
				}
				continue
			case at != 0:
				fail[to] = int(back)
			}
			ends[to] = append(ends[to], ends[fail[to]]...)
			order = append(order, to)
		}
	}
	a.first = make([]uint16, a.states)
	for s, list := range ends {
		if len(list) > 0 {
			a.first[s] = uint16(len(a.found)) + 1
			a.found = append(append(a.found, list...), endOfRun)
		}
	}
	if len(a.found) >= endOfRun {
		return fmt.Errorf("too many phrases end with others")
	}
	return nil
}

// scan adds the phrases that text holds to set. A run of white space, line
// ends included, counts as one space; mail addresses are left out.
func (a *automaton) scan(text string, set *phraseSet) {
	text = text[:min(len(text), maxText)]
	space, last, at := a.class[' '], uint8(0), 0
	from, to := address(text, 0)
	for i := 0; i < len(text); i++ {
		if i == from {
			i, at, last = to-1, 0, 0
			from, to = address(text, to)
			continue
		}
		c := a.class[text[i]]
		if c == space && last == space && c != 0 {
			continue
		}
		last = c
		at = int(a.next[at*a.width+int(c)])
		if f := a.first[at]; f != 0 {
			for _, p := range a.found[f-1:] {
				if p == endOfRun {
					break
				}
				set.add(p)
			}
		}
	}
}

// address finds the next mail address in text at or behind begin: the octets
// around an @ up to what cannot be part of one. Without one it returns a place
// behind the text.
func address(text string, begin int) (from, to int) {
	n := strings.IndexByte(text[begin:], '@')
	if n < 0 {
		return len(text), len(text)
	}
	for from = begin + n; from > begin && !delimits(text[from-1]); from-- {
	}
	for to = begin + n + 1; to < len(text) && !delimits(text[to]); to++ {
	}
	return from, to
}

func delimits(c byte) bool {
	return c <= ' ' || strings.IndexByte("<>()[],;:\"'=", c) >= 0
}
