package optout

import (
	"bytes"
	_ "embed" // the page
	"html/template"
	"strings"

	"golang.org/x/net/idna"

	"postroad/internal/base/op"
)

// State is what a page says.
type State uint8

// The states.
const (
	Bad  State = iota // the link is for nothing
	Ask               // nothing has changed
	Done              // unsubscribed
	Back              // subscribed again
	Fail              // it is not known, the store did not answer
)

// Page is what somebody sees who leaves. The address is shown in full: people
// have several, and have to know which one it is about. Who was forwarded a
// message sees it there anyway.
type Page struct {
	State   State
	Address string
	Sender  string   // domain of the sender, "" for a list
	Topics  []string // none: all mail
	List    string   // the mailing list
	Undo    bool     // Done can be taken back
	Accept  string   // Accept-Language of the request
	Plain   bool     // for a program: one line of text
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// view is a page with its texts.
type view struct {
	*Page
	Words *words
}

// Title is the heading.
func (v view) Title() string {
	w := v.Words
	return [...]string{Bad: w.Bad, Ask: w.Ask, Done: w.Done, Back: w.Back, Fail: w.Fail}[v.State]
}

// Text is what is below the heading.
func (v view) Text() string {
	w := v.Words
	effect := w.Domain
	switch {
	case v.List != "":
		effect = w.List
	case len(v.Topics) > 0:
		effect = w.Topic
	}
	return [...]string{Bad: w.BadText, Ask: effect, Done: effect, Back: w.BackText, Fail: w.FailText}[v.State]
}

// Asks reports whether the page has the question.
func (v view) Asks() bool { return v.State == Ask }

// Left reports whether the page says that it is done.
func (v view) Left() bool { return v.State == Done }

// Domain is the sender as people write it.
func (v view) Domain() string {
	if u, err := idna.Display.ToUnicode(v.Sender); err == nil {
		return u
	}
	return v.Sender
}

// statuses are those of HTTP.
var statuses = [...]int{Bad: 404, Ask: 200, Done: 200, Back: 200, Fail: 503}

// Respond implements op.Responder. Nothing on the page comes from elsewhere, and
// it cannot be framed: a click on it means something. The policy about referrers
// keeps the token from other sites; without one to our own, the browser would not
// say where the form comes from.
func (p *Page) Respond() op.Response {
	v := view{p, choose(p.Accept)}
	r := op.Response{Status: statuses[p.State], ContentType: "text/html; charset=utf-8", Header: [][2]string{
		{"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"},
		{"Cache-Control", "no-store"}, {"Referrer-Policy", "same-origin"}, {"X-Robots-Tag", "noindex"},
		{"Content-Language", v.Words.Tag}, {"Vary", "Accept-Language"},
	}}
	if p.State == Fail {
		r.Header = append(r.Header, [2]string{"Retry-After", "60"})
	}
	if p.Plain {
		r.ContentType, r.Body = "text/plain; charset=utf-8", strings.NewReader(v.Title()+"\n")
		return r
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		return op.Response{Status: 500, ContentType: "text/plain", Body: strings.NewReader("Internal Server Error")}
	}
	r.Body = &b
	return r
}
