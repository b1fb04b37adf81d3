package quote

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// meaning is what the attributes of an element tell of its content.
type meaning uint8

const (
	meansNothing    meaning = iota
	meansQuote              // a quotation
	meansHolder             // around a quotation, and answers in it
	meansIntro              // the line above a quotation
	meansBlockquote         // perhaps a quotation
	meansSignature
	meansCut  // behind it everything is a quotation
	meansRule // it draws a line above itself
)

// attributes are those that tell something, folded to lower case.
type attributes struct {
	class, id, name, kind, marker, style string
	tiny                                 bool // a picture of one pixel
}

// maxValue is the longest value of an attribute that is looked at.
const maxValue = 2000

func readAttributes(z *html.Tokenizer, more bool) (a attributes) {
	one := 0
	for more {
		var key, val []byte
		key, val, more = z.TagAttr()
		if len(val) > maxValue {
			continue
		}
		switch v := string(val); string(key) {
		case "class":
			a.class = strings.ToLower(v)
		case "id":
			a.id = strings.ToLower(v)
		case "name":
			a.name = strings.ToLower(v)
		case "type":
			a.kind = strings.ToLower(v)
		case "data-marker":
			a.marker = strings.ToLower(v)
		case "style":
			a.style = strings.ToLower(v)
		case "width", "height":
			if v == "0" || v == "1" {
				one++
			}
		}
	}
	a.tiny = one == 2
	return a
}

// Classes, ids and names mail programs use. Outlook puts x_ before those of
// others.
var (
	quoteNames = []string{
		"yahoo_quoted", "zmail_extra", "tutanota_quote", "ms-outlook-mobile-reference-message", "mail-editor-reference-message-container",
		"olk_src_body_section", "messagereplysection", "isreplycontent", "ntes-pcmail-quote", "ntes-mail-quote", "mailru-blockquote", "mail-quote-collapse",
		"front-blockquote", "missive_quote", "clean_bq", "bloop_original_html", "mailmate-quote", "aolreplacedbody", "quotedmessage", "hey_quoted", "replied-message",
	}
	holderNames    = []string{"gmail_quote", "gmail_quote_container", "protonmail_quote"}
	introNames     = []string{"gmail_attr", "moz-cite-prefix", "reply-intro", "js-helper-attribution"}
	signatureNames = []string{
		"gmail_signature", "gmail_signature_prefix", "moz-signature", "signature", "protonmail_signature_block", "ms-outlook-mobile-signature", "messagesignaturesection",
		"-x-evo-signature", "_rc_sig", "composer_signature", "bloop_sign", "aolsignature", "zmail_signature_below", "__sig_pre__", "__sig_post__", "tutanota_signature", "missive_signature",
	}
	cutNames = []string{"divrplyfwdmsg", "appendonsend", "outlookmessageheader", "zwchr", "__divider__", "mail-editor-reference-message"}
)

// means tells what is known of an element.
func (a *attributes) means(tag atom.Atom) meaning {
	if tag == atom.Blockquote {
		switch {
		case a.kind == "cite", a.has(holderNames), a.has(quoteNames), a.id == "qt":
			return meansQuote
		}
		return meansBlockquote
	}
	if a.class == "" && a.id == "" && a.name == "" && a.marker == "" && a.style == "" {
		return meansNothing
	}
	switch {
	case tag == atom.Div && a.name == "quote" && a.style != "", a.has(quoteNames), strings.HasPrefix(a.id, "yahoo_quoted_"), a.marker == "__quoted_text__":
		return meansQuote
	case tag != atom.Div && a.has(holderNames[:1]):
		return meansIntro // <span class="gmail_quote">: the line above, in old mail
	case a.has(holderNames):
		return meansHolder
	case a.has(introNames):
		return meansIntro
	case a.has(signatureNames), strings.HasPrefix(a.id, "bloop_sign_"):
		return meansSignature
	case a.has(cutNames):
		return meansCut
	case a.drawsRule():
		return meansRule
	}
	return meansNothing
}

// has reports whether a class, the id, the name or the marker is in a list.
func (a *attributes) has(list []string) bool {
	for _, n := range list {
		if a.id == n || a.name == n || a.marker == n || strings.TrimPrefix(a.id, "x_") == n {
			return true
		}
	}
	if a.class == "" {
		return false
	}
	for c := range strings.FieldsSeq(a.class) {
		c = strings.TrimPrefix(c, "x_")
		for _, n := range list {
			if c == n {
				return true
			}
		}
	}
	return false
}

// drawsRule reports whether an element has a line above itself and nowhere
// else, which Outlook puts between the answer and the header block.
func (a *attributes) drawsRule() bool {
	i := strings.Index(a.style, "border-top:")
	if i < 0 {
		return false
	}
	value, _, _ := strings.Cut(a.style[i:], ";")
	return strings.Contains(value, "solid")
}

func isVoid(tag atom.Atom) bool {
	switch tag {
	case atom.Br, atom.Hr, atom.Img, atom.Input, atom.Area, atom.Base, atom.Col, atom.Embed, atom.Link, atom.Meta, atom.Param, atom.Source, atom.Track, atom.Wbr:
		return true
	}
	return false
}

// isHidden reports whether the text of an element is not shown.
func isHidden(tag atom.Atom) bool {
	switch tag {
	case atom.Style, atom.Script, atom.Title, atom.Textarea, atom.Noscript, atom.Iframe, atom.Noembed, atom.Noframes:
		return true
	}
	return false
}

// isBlock reports whether an element begins and ends lines.
func isBlock(tag atom.Atom) bool {
	switch tag {
	case atom.Div, atom.P, atom.Table, atom.Tr, atom.Td, atom.Th, atom.Tbody, atom.Thead, atom.Tfoot, atom.Caption, atom.Ul, atom.Ol, atom.Li, atom.Dl, atom.Dt, atom.Dd,
		atom.Blockquote, atom.Pre, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Main, atom.Nav, atom.Aside,
		atom.Center, atom.Form, atom.Fieldset, atom.Address, atom.Figure, atom.Figcaption, atom.Body, atom.Html, atom.Head, atom.Details, atom.Summary:
		return true
	}
	return false
}
