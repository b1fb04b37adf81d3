package authres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"postroad/internal/mail/dkim"
)

// maxSets is the number of ARC sets a message may have (RFC 8617, section 4.2.1).
const maxSets = 50

const resultsName = "ARC-Authentication-Results"

// set is one ARC set.
type set struct {
	results   dkim.Field
	signature *dkim.Signature
	seal      *dkim.Signature
}

// Errors of chains.
var (
	errManySets = errors.New("more than 50 sets")
	errInstance = errors.New("malformed instance")
	errTwice    = errors.New("two fields of one kind in a set")
	errGap      = errors.New("incomplete set")
	errClosed   = errors.New("the chain has failed before")
	errStatus   = errors.New("seal with a status out of place")
)

// chain is what a message has of ARC: the sets by number, from 1. top is the
// greatest number seen, also if err says that the chain cannot be used.
type chain struct {
	sets []set
	top  int
	err  error
}

// readChain collects the sets (RFC 8617, section 5.2, steps 1 to 3).
func readChain(m *dkim.Message) chain {
	var c chain
	names := []string{resultsName, dkim.ARCMessageSignature.FieldName(), dkim.ARCSeal.FieldName()}
	for _, name := range names {
		if m.Count(name) > maxSets {
			c.err = errManySets
		}
	}
	c.sets = make([]set, maxSets)
	for _, f := range m.Fields(resultsName, maxSets) {
		if s := c.at(resultsInstance(f)); s != nil {
			c.once(s.results.Raw() == nil)
			s.results = f
		}
	}
	for _, f := range m.Fields(names[1], maxSets) {
		if sig := c.read(dkim.ARCMessageSignature, f); sig != nil {
			s := c.at(sig.Instance)
			c.once(s.signature == nil)
			s.signature = sig
		}
	}
	for _, f := range m.Fields(names[2], maxSets) {
		if sig := c.read(dkim.ARCSeal, f); sig != nil {
			s := c.at(sig.Instance)
			c.once(s.seal == nil)
			s.seal = sig
		}
	}
	c.sets = c.sets[:c.top]
	c.checkStructure()
	return c
}

// at returns the set of a number. What belongs to none breaks the chain.
func (c *chain) at(instance int) *set {
	if instance == 0 {
		c.fail(errInstance)
		return nil
	}
	c.top = max(c.top, instance)
	return &c.sets[instance-1]
}

func (c *chain) once(vacant bool) {
	if !vacant {
		c.fail(errTwice)
	}
}

// read returns a signature that belongs to a set, even if it is broken.
func (c *chain) read(kind dkim.Kind, f dkim.Field) *dkim.Signature {
	s, err := dkim.ParseSignature(kind, f)
	if err != nil {
		c.fail(fmt.Errorf("%s: %w", kind.FieldName(), err))
	}
	if s.Instance == 0 {
		return nil
	}
	return s
}

func (c *chain) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *chain) checkStructure() {
	if c.closed() {
		c.err = errClosed
		return
	}
	for i, s := range c.sets {
		want := "pass"
		if i == 0 {
			want = "none"
		}
		switch {
		case s.results.Raw() == nil || s.signature == nil || s.seal == nil:
			c.fail(errGap)
		case s.seal.Status != want:
			c.fail(errStatus)
		}
	}
}

// last is the seal with the greatest number, nil if there is none.
func (c *chain) last() *dkim.Signature {
	if c.top == 0 {
		return nil
	}
	return c.sets[c.top-1].seal
}

// closed reports whether the last seal says that the chain has failed.
func (c *chain) closed() bool {
	s := c.last()
	return s != nil && s.Status == "fail"
}

// resultsInstance reads the number of an ARC-Authentication-Results field, which
// stands first.
func resultsInstance(f dkim.Field) int {
	tag, _, ok := bytes.Cut(f.Value(), []byte(";"))
	name, value, _ := bytes.Cut(tag, []byte("="))
	if !ok || string(bytes.Trim(name, " \t\r\n")) != "i" {
		return 0
	}
	return dkim.ParseInstance(string(bytes.Trim(value, " \t\r\n")))
}

// checkARC validates the chain (RFC 8617, section 5.2).
func checkARC(ctx context.Context, r Resolver, m *dkim.Message, now time.Time) ARC {
	c := readChain(m)
	a := ARC{Result: None, Instance: c.top}
	if c.top == 0 && c.err == nil {
		return a
	}
	if s := c.last(); s != nil {
		a.Domain, a.Closed = s.Domain, c.closed()
	}
	err := c.err
	if err == nil {
		err = c.verify(ctx, r, m, now)
	}
	if err == nil {
		a.Result = Pass
		return a
	}
	a.Result, a.Reason, a.Temporary = Fail, err.Error(), errors.Is(err, errNoAnswer)
	return a
}

// verify checks the last signature of the message and all seals. The seals are
// taken from the first on, since each is a continuation of what those before
// signed; the outcome is the same.
func (c *chain) verify(ctx context.Context, r Resolver, m *dkim.Message, now time.Time) error {
	last := c.sets[c.top-1].signature
	if err := verify(ctx, r, last, func() error { return m.Precheck(last, now) }, m.Verify); err != nil {
		return fmt.Errorf("message signature %d: %w", c.top, err)
	}
	sealed := dkim.NewSealedHash()
	for i, s := range c.sets {
		sealed.Add(s.results)
		sealed.Add(s.signature.Field())
		if err := verify(ctx, r, s.seal, func() error { return nil }, sealed.Verify); err != nil {
			return fmt.Errorf("seal %d: %w", i+1, err)
		}
		sealed.Add(s.seal.Field())
	}
	return nil
}
