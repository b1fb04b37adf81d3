package message

import (
	"errors"
	"strings"
	"testing"

	"postroad/internal/base/errs"
	"postroad/internal/core/template"
	"postroad/internal/mail/handlebars"
)

// versions is a finder of one version of any template, but of none called none.
func versions(content, from, subject, replyTo string) finder {
	return func(name, tag string) (*template.Version, error) {
		if name == "none" {
			return nil, errs.New(errs.Invalid, "template 'none' was not found")
		}
		if tag == "" {
			tag = "initial"
		}
		v := &template.Version{Name: strings.ToLower(name), Tag: tag}
		for _, part := range []struct {
			text string
			to   **handlebars.Template
		}{{content, &v.Content}, {from, &v.From}, {subject, &v.Subject}, {replyTo, &v.ReplyTo}} {
			if part.text == "" {
				continue
			}
			t, err := handlebars.Parse(part.text)
			if err != nil {
				return nil, err
			}
			*part.to = t
		}
		return v, nil
	}
}

// letterTemplate is a template with all header fields.
var letterTemplate = versions("<p>Hi {{name}}, {{{link}}}</p>", "{{brand}} <hello@ex.com>", "For {{name}}", "help@ex.com")

func withTemplate(t *testing.T, find finder, f *fields) (*draft, error) {
	t.Helper()
	r, err := readForm(f, 25<<20, plenty(), nil)
	if err != nil {
		return nil, err
	}
	return fromParts(r, testDomain(), testNow, find)
}

func TestTemplateInForm(t *testing.T) {
	vars := `{"name":"Ann & Bob","brand":"Shop","link":"%recipient.link%"}`
	for name, c := range map[string]struct {
		form *fields
		find finder
		want map[string]string // header fields; html and text are the bodies
	}{
		"all from the template": {values("to", "a@b.com", "template", "Welcome", "t:variables", vars), letterTemplate, map[string]string{
			"From": "Shop <hello@ex.com>", "Subject": "For Ann & Bob", "Reply-To": "help@ex.com", "X-Mailgun-Template-Name": "welcome",
			"X-Mailgun-Template-Variables": vars, "html": "<p>Hi Ann &amp; Bob, %recipient.link%</p>", "text": ""}},
		"all from the request": {base("template", "welcome", "t:variables", vars, "h:Reply-To", "me@ex.com"), letterTemplate, map[string]string{
			"From": "Me <me@ex.com>", "Subject": "S", "Reply-To": "me@ex.com", "text": "T"}},
		"h: fields": {values("to", "a@b.com", "template", "welcome", "h:Subject", "H", "h:From", "h@ex.com"), letterTemplate, map[string]string{
			"From": "h@ex.com", "Subject": "H", "Reply-To": "help@ex.com"}},
		"by a header": {values("to", "a@b.com", "h:X-Mailgun-Template-Name", "welcome", "h:X-Mailgun-Template-Variables", vars), letterTemplate, map[string]string{
			"From": "Shop <hello@ex.com>", "html": "<p>Hi Ann &amp; Bob, %recipient.link%</p>"}},
		"no From anywhere": {values("to", "a@b.com", "template", "t"), versions("x", "", "", ""), map[string]string{
			"From": "postmaster@ex.com", "Subject": "", "Reply-To": "", "html": "x"}},
		"empty values of SDKs": {values("to", "a@b.com", "template", "t", "from", " ", "subject", "", "text", "", "html", "", "t:variables", vars), letterTemplate, map[string]string{
			"From": "Shop <hello@ex.com>", "Subject": "For Ann & Bob", "text": ""}},
		"text": {values("to", "a@b.com", "template", "t", "t:text", "yes"), versions("<h1>A &amp; B</h1><p>c</p>", "", "", ""), map[string]string{
			"text": "A & B\n\nc", "html": "<h1>A &amp; B</h1><p>c</p>"}},
		"variables of all kinds": {values("to", "a@b.com", "template", "t", "v:a", "1", "v:b", "1", "v:c", "1", "h:X-Mailgun-Variables", `{"b":2,"c":{"d":2}}`, "t:variables", `{"c":3}`),
			versions("{{a}}{{b}}{{c}}", "", "", ""), map[string]string{"html": "123", "X-Mailgun-Variables": `{"a":"1","b":2,"c":{"d":2}}`}},
		"a header before the v: it wins over": {values("to", "a@b.com", "template", "t", "h:X-Mailgun-Variables", `{"b":2,"c":{"d":2}}`, "v:a", "1", "v:b", "1", "v:c", "1", "t:variables", `{"c":3}`),
			versions("{{a}}{{b}}{{c}}", "", "", ""), map[string]string{"html": "123", "X-Mailgun-Variables": `{"a":"1","b":2,"c":{"d":2}}`}},
		"nested variables": {values("to", "a@b.com", "template", "t", "h:X-Mailgun-Variables", `{"c":{"d":[2]}}`),
			versions("{{#each c.d}}{{this}}{{/each}}", "", "", ""), map[string]string{"html": "2"}},
		"nothing suppressed stays": {values("to", "a@b.com", "template", "t", "t:variables", "{}", "o:suppress-headers", "all"), letterTemplate, map[string]string{
			"X-Mailgun-Template-Name": "", "X-Mailgun-Template-Variables": ""}},
	} {
		d, err := withTemplate(t, c.find, c.form)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p := parsedDraft(t, d)
		for field, want := range c.want {
			got := p.Get(field)
			switch field {
			case "html":
				got = strings.TrimSuffix(p.HTML, "\r\n")
			case "text":
				got = strings.ReplaceAll(strings.TrimSuffix(p.Text, "\r\n"), "\r\n", "\n")
			}
			if got != want {
				t.Errorf("%s: %s is %q, want %q", name, field, got, want)
			}
		}
		if from := p.Get("From"); d.sub.Meta.From != from || d.sub.Meta.Subject != p.Get("Subject") {
			t.Errorf("%s: events say from %q, subject %q", name, d.sub.Meta.From, d.sub.Meta.Subject)
		}
	}
}

func TestTemplateEvent(t *testing.T) {
	d, err := withTemplate(t, letterTemplate, base("template", "Welcome", "t:version", "V2", "t:text", "yes"))
	if err != nil {
		t.Fatal(err)
	}
	if e := d.sub.Meta.Template; e == nil || e.Name != "welcome" || e.Version != "v2" || !e.IsText {
		t.Errorf("%+v", e)
	}
	if d, err = withTemplate(t, letterTemplate, base()); err != nil || d.sub.Meta.Template != nil {
		t.Errorf("a message without a template: %v, %v", d, err)
	}
}

func TestTemplateRefusals(t *testing.T) {
	many := versions(strings.Repeat("{{#each @root.x}}", 8)+strings.Repeat("{{/each}}", 8), "", "", "")
	for name, c := range map[string]struct {
		form *fields
		find finder
		want string
	}{
		"unknown":       {base("template", "none"), letterTemplate, "template 'none' was not found"},
		"no templates":  {base("template", "x"), nil, "template 'x' was not found"},
		"with html":     {base("template", "x", "html", "y"), letterTemplate, "Only one parameters 'html' or 'template' is allowed"},
		"no to":         {values("template", "x"), letterTemplate, "to parameter is missing"},
		"bad From":      {values("to", "a@b.com", "template", "x"), versions("x", "nobody", "", ""), "the From of the template is not a valid address"},
		"two lines":     {values("to", "a@b.com", "template", "x", "t:variables", `{"s":"a\r\nBcc: x@y.z"}`), versions("x", "", "{{s}}", ""), "Header value must not contain line breaks or NUL: Subject"},
		"reply to two":  {values("to", "a@b.com", "template", "x", "t:variables", `{"s":"a\r\nBcc: x@y.z"}`), versions("x", "", "", "{{s}}"), "Header value must not contain line breaks or NUL: Reply-To"},
		"too many":      {base("template", "t", "t:variables", `{"x":[0,1,2,3,4,5,6,7,8,9]}`), many, "template 't' could not be rendered: the template takes too many steps, line 1 column 120"},
		"deep data":     {base("template", "t", "t:variables", `{"x":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}`), letterTemplate, "template variables are invalid: nested more than 100 levels deep"},
		"name of blank": {values("to", "a@b.com", "template", " "), letterTemplate, "from parameter is missing"},
	} {
		_, err := withTemplate(t, c.find, c.form)
		var e *errs.Error
		if !errors.As(err, &e) || e.Kind != errs.Invalid || e.Public != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestTemplateInMIME(t *testing.T) {
	const files = "Content-Type: multipart/mixed; boundary=b\r\nMIME-Version: 1.0\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nold text\r\n" +
		"--b\r\nContent-Type: text/html\r\n\r\n<p>old</p>\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\nContent-Disposition: inline; filename=l.png\r\n\r\nPNG\r\n" +
		"--b\r\nContent-Type: text/csv; name=a.csv\r\nContent-Disposition: attachment; filename=a.csv\r\nContent-Transfer-Encoding: base64\r\n\r\nMSwy\r\n--b--\r\n"
	const asked = "X-Mailgun-Template-Name: Welcome\r\nX-Mailgun-Template-Variables: {\"name\":\"Ann\",\r\n \"brand\":\"Shop\"}\r\n"
	for name, c := range map[string]struct {
		raw  string
		want map[string]string
	}{
		"text": {"From: Me <me@ex.com>\r\nSubject: S\r\nTo: a@b.com\r\nX-Own: 1\r\n" + asked + "\r\nold\r\n", map[string]string{
			"From": "Me <me@ex.com>", "Subject": "S", "X-Own": "1", "Reply-To": "help@ex.com", "html": "<p>Hi Ann, </p>", "text": "", "X-Mailgun-Template-Name": "welcome"}},
		"nothing given": {"To: a@b.com\r\nSubject: \r\n" + asked + "\r\n", map[string]string{
			"From": "Shop <hello@ex.com>", "Subject": "For Ann", "html": "<p>Hi Ann, </p>"}},
		"no body at all": {"From: me@ex.com\r\n" + asked, map[string]string{"From": "me@ex.com", "html": "<p>Hi Ann, </p>"}},
		"files":          {"From: me@ex.com\r\nReply-To: r@ex.com\r\n" + asked + files, map[string]string{"Reply-To": "r@ex.com", "html": "<p>Hi Ann, </p>", "text": "", "files": "a.csv=1,2 l.png=PNG"}},
	} {
		for _, way := range []string{"SMTP", "messages.mime"} {
			var d *draft
			var err error
			if way == "SMTP" {
				d, err = overSMTP(c.raw, "a@b.com")
			} else {
				d, err = fromFile(t, withFile(values("to", "a@b.com"), c.raw))
			}
			if err != nil {
				t.Errorf("%s by %s: %v", name, way, err)
				continue
			}
			p := parsedDraft(t, d)
			for field, want := range c.want {
				got := p.Get(field)
				switch field {
				case "html":
					got = strings.TrimSuffix(p.HTML, "\r\n")
				case "text":
					got = p.Text
				case "files":
					got = ""
					for i := len(p.Attachments) - 1; i >= 0; i-- {
						got += p.Attachments[i].Name + "=" + strings.TrimSpace(string(p.Attachments[i].Data)) + " "
					}
					got = strings.TrimSpace(got)
				}
				if got != want {
					t.Errorf("%s by %s: %s is %q, want %q\n%s", name, way, field, got, want, d.sub.MIME)
				}
			}
			if strings.Contains(string(d.sub.MIME), "old") || d.sub.Meta.From != p.Get("From") || d.sub.Meta.Template == nil {
				t.Errorf("%s by %s: from %q, %+v\n%s", name, way, d.sub.Meta.From, d.sub.Meta.Template, d.sub.MIME)
			}
		}
	}
	// In the form of messages.mime, with a text part.
	d, err := fromFile(t, withFile(values("to", "a@b.com", "template", "welcome", "t:text", "yes", "v:name", "Bob"), "From: me@ex.com\r\n\r\nold"))
	if err != nil {
		t.Fatal(err)
	}
	if p := parsedDraft(t, d); strings.TrimSpace(p.Text) != "Hi Bob," || strings.TrimSpace(p.HTML) != "<p>Hi Bob, </p>" {
		t.Errorf("%q %q", p.Text, p.HTML)
	}
	// Mail from outside is not made from anybody's templates.
	d, err = fromSMTP([]byte("From: a@b.com\r\n\r\nold"), nil, testDomain(), testNow, nil)
	if err != nil || d.sub.Meta.Template != nil {
		t.Errorf("%v, %v", d, err)
	}
}
