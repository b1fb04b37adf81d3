package list

import (
	"strings"

	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// label is the list's identifier in angle brackets (RFC 2919): the address with
// a dot, what may not stand there replaced.
func (l *List) label() string {
	local, dom, _ := strings.Cut(addr.Canonical(l.Address), "@")
	local = strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' {
			return r
		}
		return '-'
	}, local)
	return "<" + local + "." + dom + ">"
}

// id is the value of List-Id.
func (l *List) id() string {
	if l.Name == "" {
		return l.label()
	}
	const dummy = "<x@x>"
	name := addr.Address{Name: l.Name, Local: "x", Domain: "x"}.String() // quoted or encoded where that is needed
	return strings.TrimSuffix(name, dummy) + l.label()
}

// header returns the fields a post gets (RFC 2369, 2919, 8058). What the account
// says itself about leaving and the like stays.
func (s *Service) header(l *List, fields mime.Fields, foreign bool) (out []mime.Field) {
	post := "<mailto:" + l.Address + ">"
	if l.Access == Readonly {
		post = "NO"
	}
	optional := []mime.Field{
		{Name: "List-Help", Value: "<%mailing_list_unsubscribe_url%>"},
		{Name: "List-Post", Value: post},
		{Name: "List-Unsubscribe", Value: "<%mailing_list_unsubscribe_url%>, <mailto:%unsubscribe_email%>"},
	}
	// One click needs HTTPS (RFC 8058 section 3.1), and our own link.
	if _, own := fields.Find("List-Unsubscribe"); (foreign || !own) && strings.HasPrefix(s.BaseURL, "https://") {
		optional = append(optional, mime.Field{Name: "List-Unsubscribe-Post", Value: "List-Unsubscribe=One-Click"})
	}
	for _, f := range optional {
		if _, own := fields.Find(f.Name); foreign || !own {
			out = append(out, f)
		}
	}
	out = append(out, mime.Field{Name: "List-Id", Value: l.id()}, mime.Field{Name: "Precedence", Value: "list"},
		mime.Field{Name: hopField, Value: l.Address})
	if l.replies() == ToList {
		out = append(out, mime.Field{Name: "Reply-To", Value: l.replyTo()})
	}
	return out
}

func (l *List) replyTo() string {
	a, err := addr.ParseMailbox(l.Address)
	if err != nil {
		return l.Address
	}
	a.Name = l.Name
	return a.String()
}

// removes reports whether a field of a message does not go to the members: what
// is said anew, and from outside also other lists' fields and wishes for receipts
// that all members would send.
func (l *List) removes(f mime.RawField, foreign bool) bool {
	switch name := strings.ToLower(string(f.Name)); name {
	case "list-id", "precedence", "return-path", "bcc":
		return true
	case "reply-to":
		return l.replies() == ToList
	case "disposition-notification-to", "return-receipt-to", "x-confirm-reading-to":
		return foreign
	default:
		return foreign && strings.HasPrefix(name, "list-")
	}
}
