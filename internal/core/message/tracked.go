package message

import (
	"cmp"
	"fmt"

	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/mime"
)

// Where the links of copies lead, below Track.Base; behind each stands a token.
const (
	ClickPath       = "/c/"
	OpenPath        = "/o/" // the token, then OpenSuffix
	OpenSuffix      = ".png"
	UnsubscribePath = "/u/"
)

// tracks reports whether something is put into the copies of m.
func (s *Service) tracks(m *Message) bool { return m.Meta.Track != nil && s.LinkKey != nil }

// Compile finds what differs in the copies of m, whose body is raw.
func (s *Service) Compile(m *Message, raw []byte) (*mime.Template, error) {
	var add mime.Additions
	if s.tracks(m) {
		t := m.Meta.Track
		add = mime.Additions{HTMLLinks: t.Clicks != "", TextLinks: t.Clicks != "" && t.Clicks != "htmlonly", Pixel: t.Opens, PixelTop: t.PixelTop, Base: t.Base}
		if t.Unsubscribe {
			add.HTMLFooter, add.TextFooter = t.HTMLFooter, t.TextFooter
		}
	}
	t, err := mime.CompileTracked(raw, add)
	if err != nil {
		return nil, fmt.Errorf("personal copy: %w", err)
	}
	return t, nil
}

// tracked is what tracking puts into one copy.
type tracked struct {
	s         *Service
	m         *Message
	recipient string // whom the copy goes to
}

func (c *tracked) link(path string, k linktoken.Kind, url string) string {
	return c.seal(path, c.token(k, url))
}

func (c *tracked) token(k linktoken.Kind, url string) linktoken.Token {
	return linktoken.Token{Kind: k, Message: c.m.ID, Domain: c.m.DomainID, Recipient: c.recipient, URL: url}
}

func (c *tracked) seal(path string, t linktoken.Token) string {
	return c.m.Meta.Track.Base + path + c.s.LinkKey.Seal(t)
}

func (c *tracked) links() (l mime.Links) {
	if c.m.Meta.Track.Clicks != "" {
		l.Click = func(url string) string { return c.link(ClickPath, linktoken.Click, url) }
	}
	if c.m.Meta.Track.Opens {
		l.Pixel = c.link(OpenPath, linktoken.Open, "") + OpenSuffix
	}
	return l
}

// address is where the recipient writes to be unsubscribed, "" for nowhere.
func (c *tracked) address() string {
	if c.s.UnsubscribeAddress == nil {
		return ""
	}
	return c.s.UnsubscribeAddress(c.m, c.recipient)
}

// lookup adds the ways out to the names next knows. What next says goes first: a
// list has its own address.
func (c *tracked) lookup(next mime.Lookup) mime.Lookup {
	return func(name string) (string, bool) {
		if v, ok := next(name); ok {
			return v, true
		}
		switch name {
		case "unsubscribe_url":
			return c.link(UnsubscribePath, linktoken.Unsubscribe, ""), true
		case "tag_unsubscribe_url":
			return c.seal(UnsubscribePath, linktoken.TagToken(c.m.ID, c.m.DomainID, c.recipient, c.m.Meta.Options.Tags)), true
		case "unsubscribe_email":
			a := c.address()
			return a, a != ""
		}
		return "", false
	}
}

// oneClick is the content of List-Unsubscribe-Post.
const oneClick = "List-Unsubscribe=One-Click"

// fields are the ways out in the header, if the message is to have one and its
// author wrote none. The one-click POST (RFC 8058) needs https.
func (c *tracked) fields(t *mime.Template) []mime.Field {
	const name, post = "List-Unsubscribe", "List-Unsubscribe-Post"
	if !c.m.Meta.Track.Unsubscribe && !t.HasUnsubscribeURL() || t.HasField(name) {
		return nil
	}
	base := cmp.Or(c.m.Meta.Track.Secure, c.m.Meta.Track.Base)
	value := "<" + base + UnsubscribePath + c.s.LinkKey.Seal(c.token(linktoken.Unsubscribe, "")) + ">"
	if a := c.address(); a != "" {
		value += ", <mailto:" + a + ">"
	}
	fields := []mime.Field{{Name: name, Value: value}}
	if secure(base) && !t.HasField(post) {
		fields = append(fields, mime.Field{Name: post, Value: oneClick})
	}
	return fields
}
