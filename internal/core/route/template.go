package route

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"postroad/internal/base/netx"
	"postroad/internal/mail/addr"
)

// maxURL bounds a URL in bytes, as those of webhooks.
const maxURL = 2048

// template is a destination in which \1, \g<1> and \g<name> stand for what a
// group captured.
type template struct {
	src     string
	parts   []part
	refs    bool   // there is a reference
	host    string // of a URL; references cannot change it
	mailbox string // of an address without references
}

// part is a text, or the groups of which the first that took part stands here.
type part struct {
	text   string
	groups []int
}

// parseTemplate takes a destination apart. As in Python's re templates a
// backslash begins a reference and nothing else.
func parseTemplate(src string, of *expression) (*template, error) {
	t := &template{src: src}
	for rest := src; rest != ""; {
		i := strings.IndexByte(rest, '\\')
		if i < 0 {
			t.parts = append(t.parts, part{text: rest})
			break
		}
		if i > 0 {
			t.parts = append(t.parts, part{text: rest[:i]})
		}
		groups, n, err := reference(rest[i:], of)
		if err != nil {
			return nil, err
		}
		t.parts, t.refs = append(t.parts, part{groups: groups}), true
		rest = rest[i+n:]
	}
	return t, nil
}

// reference reads one at the beginning of s, which has a backslash there.
func reference(s string, of *expression) (groups []int, n int, err error) {
	n = 1
	for n < len(s) && n < 3 && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	name := s[1:n]
	if strings.HasPrefix(s, `\g<`) {
		end := strings.IndexByte(s, '>')
		if end < 0 {
			return nil, 0, fmt.Errorf("missing > after %q", clip(s, 20))
		}
		name, n = s[3:end], end+1
	} else if name == "" || name[0] == '0' {
		return nil, 0, fmt.Errorf(`%q is no reference to a group: write \1, \g<1> or \g<name>`, clip(s, 8))
	}
	if name != "" && digits(name) {
		number, err := strconv.Atoi(name)
		if err != nil || number > of.groups || of.size == 0 {
			return nil, 0, fmt.Errorf("there is no group %s: the expression has %d", clip(name, 20), of.groups)
		}
		return []int{number}, n, nil
	}
	if groups = of.names[name]; groups == nil {
		return nil, 0, fmt.Errorf("the expression has no group named %q", clip(name, 40))
	}
	return groups, n, nil
}

func (t *template) isURL() bool {
	for _, scheme := range []string{"http://", "https://"} {
		if len(t.src) >= len(scheme) && strings.EqualFold(t.src[:len(scheme)], scheme) {
			return true
		}
	}
	return false
}

// sample is the URL with a letter for each reference, to be checked.
func (t *template) sample() string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.groups != nil {
			b.WriteByte('x')
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// checkURL refuses a URL that cannot be called, and a reference before its
// path: who writes to us would choose whom we call.
func (t *template) checkURL() error {
	if len(t.src) > maxURL {
		return fmt.Errorf("%s is not a valid url: longer than %d bytes", clip(t.src, 60), maxURL)
	}
	if _, host, _ := strings.Cut(t.parts[0].text, "://"); t.refs && !strings.ContainsAny(host, "/?#") {
		return fmt.Errorf("%q: a group cannot be part of the host of a URL", clip(t.src, 100))
	}
	if err := netx.ValidateURL(t.sample()); err != nil {
		return err
	}
	u, err := url.Parse(t.sample())
	if err != nil {
		return err
	}
	t.host = u.Host
	if t.refs {
		if problem := t.changed(t.sample()); problem != "" {
			return errors.New(problem)
		}
	}
	return nil
}

// resolve makes the destination of one message.
func (t *template) resolve(kind Kind, c *captures) Action {
	a := Action{Kind: kind}
	switch {
	case !t.refs && t.mailbox != "":
		a.Address = t.mailbox
	case !t.refs:
		a.URL = t.src
	case t.isURL():
		a.URL = t.insert(c, percent)
		a.Problem = t.changed(a.URL)
	default:
		m, err := addr.ParseMailbox(t.insert(c, func(s string) string { return s }))
		if err != nil {
			a.Problem = fmt.Sprintf("%q becomes no address here: %v", clip(t.src, 100), err)
		}
		a.Address = m.Mailbox()
	}
	if a.Problem != "" {
		a.Address, a.URL = "", ""
	}
	return a
}

func (t *template) insert(c *captures, escape func(string) string) string {
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.text)
		if p.groups != nil {
			b.WriteString(escape(c.first(p.groups)))
		}
	}
	return b.String()
}

// percent encodes all but unreserved characters (RFC 3986 section 2.3), so that
// a captured text is data wherever in the URL it stands.
func percent(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// changed says what is wrong with a URL after insertion, "" if nothing: its host
// must be the one that was written, and no segment of its path may be . or ..,
// which cannot be encoded away, since receivers read %2e%2e as .. too.
func (t *template) changed(made string) string {
	u, err := url.Parse(made)
	switch {
	case len(made) > maxURL:
		return fmt.Sprintf("%q becomes longer than %d bytes here", clip(t.src, 100), maxURL)
	case err != nil || u.Host != t.host || netx.ValidateURL(made) != nil:
		return fmt.Sprintf("%q becomes no valid URL here", clip(t.src, 100))
	case slices.ContainsFunc(strings.Split(u.Path, "/"), func(s string) bool { return s == "." || s == ".." }):
		return fmt.Sprintf("%q leaves its directory here", clip(t.src, 100))
	}
	return ""
}
