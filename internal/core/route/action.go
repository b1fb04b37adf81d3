package route

import (
	"fmt"
	"strings"

	"postroad/internal/mail/addr"
)

// Kind is what an action does.
type Kind string

// The kinds of actions.
const (
	Forward Kind = "forward" // to an address or a URL
	Store   Kind = "store"   // keep the message; with a URL, say so there
	Stop    Kind = "stop"    // look at no route after this one
)

// Action is one thing to do with a message. A forward to several destinations
// is several actions.
type Action struct {
	Kind    Kind
	Address string // of a Forward: the mailbox, or
	URL     string // the URL; of a Store: whom to notify, may be empty
	// Problem says why the destination, with what the groups captured, is not
	// usable; then Address and URL are empty and the action cannot be done.
	Problem string
}

// action is one as written, taken apart.
type action struct {
	kind  Kind
	dests []*template // of a forward; of a store none or one
}

// parseAction reads forward("..."), store(), store(notify="...") or stop(). The
// groups its texts name must exist in the expression. The error is a *fault.
func parseAction(src string, of *expression) (*action, error) {
	s, err := newScanner(src)
	if err != nil {
		return nil, err
	}
	name := s.tok
	a := &action{kind: Kind(name.text)}
	if name.kind != word || a.kind != Forward && a.kind != Store && a.kind != Stop {
		return nil, expected("forward, store or stop", name)
	}
	if err := s.next(); err != nil {
		return nil, err
	}
	if err := s.take("("); err != nil {
		return nil, err
	}
	switch {
	case a.kind == Forward:
		err = a.destinations(s, of)
	case a.kind == Store && !s.tok.is(")"):
		err = a.notify(s, of)
	}
	if err != nil {
		return nil, err
	}
	if err := s.take(")"); err != nil {
		return nil, err
	}
	if s.tok.kind != atEnd {
		return nil, expected("the end: each action is a parameter of its own", s.tok)
	}
	return a, nil
}

// destinations reads the addresses and URLs of a forward.
func (a *action) destinations(s *scanner, of *expression) error {
	text, err := s.takeText("an address or a URL")
	if err != nil {
		return err
	}
	for item := range strings.SplitSeq(text.text, ",") {
		t, err := parseTemplate(strings.TrimSpace(item), of)
		if err == nil {
			err = t.checkForward()
		}
		if err != nil {
			return &fault{text.at, err.Error()}
		}
		a.dests = append(a.dests, t)
	}
	return nil
}

// notify reads the URL of a store, with or without its name.
func (a *action) notify(s *scanner, of *expression) error {
	if s.tok.kind == word && s.tok.text == "notify" {
		if err := s.next(); err != nil {
			return err
		}
		if err := s.take("="); err != nil {
			return err
		}
	} else if s.tok.kind != quoted {
		return expected(`notify="URL" or ")"`, s.tok)
	}
	text, err := s.takeText("a URL")
	if err != nil {
		return err
	}
	t, err := parseTemplate(strings.TrimSpace(text.text), of)
	if err == nil && !t.isURL() {
		err = fmt.Errorf("%q is not a URL: it must begin with http:// or https://", clip(t.src, 100))
	}
	if err == nil {
		err = t.checkURL()
	}
	if err != nil {
		return &fault{text.at, err.Error()}
	}
	a.dests = []*template{t}
	return nil
}

// checkForward refuses a destination that can never be one.
func (t *template) checkForward() error {
	if t.isURL() {
		return t.checkURL()
	}
	if scheme, _, ok := strings.Cut(t.src, "://"); ok {
		return fmt.Errorf("%q is neither an address nor a URL that begins with http:// or https://", clip(scheme+"://...", 40))
	}
	if t.refs {
		return nil // checked when the groups are known
	}
	m, err := addr.ParseMailbox(t.src)
	if err != nil {
		return fmt.Errorf("%q is neither an address (%v) nor a URL; a comma in a URL is written %%2C", clip(t.src, 100), err)
	}
	t.mailbox = m.Mailbox()
	return nil
}

// resolve appends what the action is for one message.
func (a *action) resolve(out []Action, c *captures) []Action {
	if len(a.dests) == 0 {
		return append(out, Action{Kind: a.kind})
	}
	for _, t := range a.dests {
		out = append(out, t.resolve(a.kind, c))
	}
	return out
}
