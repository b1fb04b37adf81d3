package message

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/domain"
	"postroad/internal/mail/mime"
)

// fields is a form for tests.
type fields struct {
	list      []op.Field
	multipart bool
}

func (f *fields) Next() (op.Field, error) {
	if len(f.list) == 0 {
		return op.Field{}, io.EOF
	}
	n := f.list[0]
	f.list = f.list[1:]
	return n, nil
}
func (f *fields) Multipart() bool     { return f.multipart }
func (f *fields) ContentType() string { return "multipart/form-data" }

// values makes a form of name and value pairs.
func values(pairs ...string) *fields {
	f := &fields{multipart: true}
	for i := 0; i < len(pairs); i += 2 {
		f.list = append(f.list, op.Field{Name: pairs[i], Body: strings.NewReader(pairs[i+1])})
	}
	return f
}

func upload(name, filename, content string) op.Field {
	return op.Field{Name: name, Filename: filename, IsFile: true, Body: strings.NewReader(content)}
}

var testNow = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func testDomain() *domain.Domain {
	return &domain.Domain{ID: 1, Name: "ex.com", AccountID: "a", State: domain.Active}
}

func parse(t *testing.T, f *fields) (*draft, error) {
	t.Helper()
	r, err := readForm(f, 25<<20, plenty(), nil)
	if err != nil {
		return nil, err
	}
	return fromParts(r, testDomain(), testNow, letterTemplate)
}

// base is a valid request to which a case adds or overrides.
func base(extra ...string) *fields {
	return values(append(extra, "from", "Me <me@ex.com>", "to", "a@b.com", "subject", "S", "text", "T")...)
}

func TestRefusals(t *testing.T) {
	many := make([]string, 0, 2*1001)
	for i := range 1001 {
		many = append(many, "to", "u"+strings.Repeat("x", i%5)+string(rune('a'+i%26))+strings.Repeat("y", i/26)+"@b.com")
	}
	for name, c := range map[string]struct {
		form *fields
		want string
	}{
		"no from":            {values("to", "a@b.com", "text", "t"), "from parameter is missing"},
		"no to":              {values("from", "a@b.com", "text", "t"), "to parameter is missing"},
		"bad from":           {values("from", "nobody", "to", "a@b.com", "text", "t"), "from parameter is not a valid address. please check documentation"},
		"bad to":             {base("to", "nobody"), "to parameter is not a valid address. please check documentation"},
		"bad cc":             {base("cc", "@"), "cc parameter is not a valid address. please check documentation"},
		"bad bcc":            {base("bcc", "a@b@c"), "bcc parameter is not a valid address. please check documentation"},
		"no body":            {values("from", "a@b.com", "to", "a@b.com"), "Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified"},
		"html and template":  {base("html", "h", "template", "t"), "Only one parameters 'html' or 'template' is allowed"},
		"too many":           {base(many...), "Too many recipients, max is 1000"},
		"variables":          {base("recipient-variables", "{"), "'recipient-variables' parameter is not a valid JSON"},
		"variables no map":   {base("recipient-variables", `{"a@b.com": 1}`), "'recipient-variables' parameter is not a valid JSON"},
		"template variables": {base("t:variables", "["), "'t:variables' parameter is not a valid JSON"},
		"options size":       {base("v:big", strings.Repeat("x", 17<<10)), "Send options (parameters starting with o:, h:, v:, or t:) are limited to 16 kB total"},
		"header name":        {base("h:X-Schlüssel", "v"), "Header name must be pure ASCII: X-Schlüssel"},
		"header injection":   {base("h:X-A", "v\r\nBcc: x@y.z"), "Header value must not contain line breaks or NUL: X-A"},
		"subject injection":  {values("from", "me@ex.com", "to", "a@b.com", "text", "t", "subject", "a\nBcc: x@y.z"), "Header value must not contain line breaks or NUL: Subject"},
		"NUL":                {base("h:X-A", "a\x00b"), "'h:X-A' parameter contains a NUL byte"},
		"date":               {base("o:deliverytime", "tomorrow"), "tomorrow is not an RFC-2822 compliant date"},
		"far date":           {base("o:deliverytime", "Fri, 27 Nov 2026 12:00:00 +0000"), "invalid delivery time: at most 72h0m0s ahead"},
		"within form":        {base("o:deliver-within", "soon"), "invalid delivery time format"},
		"within range":       {base("o:deliver-within", "4m"), "invalid value '4m' of 'o:deliver-within': expected between 5m and 24h"},
		"24 hour time":       {base("o:time-zone-localize", "25:00"), "25:00 invalid 24 hour time(value of 'o:time-zone-localize')"},
		"time to send":       {base("o:time-zone-localize", "noon"), "noon is not a valid time to send (value of 'o:time-zone-localize')"},
		"period":             {base("o:deliverytime-optimize-period", "12h"), "invalid value '12h' of 'o:deliverytime-optimize-period': expected 24h to 72h"},
		"secondary dkim":     {base("o:secondary-dkim", "x y"), "x y is not a valid secondary dkim domain name"},
		"yes or no":          {base("o:testmode", "maybe"), "invalid value 'maybe' of 'o:testmode': expected yes, no, true or false"},
		"or htmlonly":        {base("o:tracking", "maybe"), "invalid value 'maybe' of 'o:tracking': expected yes, no, true, false or htmlonly"},
		"message id":         {base("h:Message-Id", "a b"), "invalid Message-Id: expected <local@domain>"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, c.form)
			var e *errs.Error
			if !errors.As(err, &e) || e.Public != c.want {
				t.Fatalf("got %v\nwant %s", err, c.want)
			}
			if e.Kind != errs.Invalid {
				t.Fatalf("kind %d", e.Kind)
			}
		})
	}
}

func plenty() *memory { return &memory{max: 1 << 30} }

// TestMemoryBudget: what does not fit is refused for now, and everything taken
// is given back.
func TestMemoryBudget(t *testing.T) {
	m := &memory{max: 100}
	f := base()
	f.list = append(f.list, upload("attachment", "big.bin", strings.Repeat("x", 2000)))
	if _, err := readForm(f, 1<<20, m, nil); !errs.Is(err, errs.Unavailable) {
		t.Fatal(err)
	}
	r, err := readForm(base(), 1<<20, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m.used.Load() == 0 {
		t.Fatal("nothing was counted")
	}
	r.release()
	if n := m.used.Load(); n != 0 {
		t.Fatalf("%d bytes were not given back", n)
	}
}

func TestTooLarge(t *testing.T) {
	f := base()
	f.list = append(f.list, upload("attachment", "big.bin", strings.Repeat("x", 2000)))
	_, err := readForm(f, 1000, plenty(), nil)
	if !errs.Is(err, errs.TooLarge) {
		t.Fatal(err)
	}
}

func TestRecipients(t *testing.T) {
	d, err := parse(t, values("from", "me@ex.com", "to[]", "Ann <a@x.com>, Team: b@x.com, c@x.com;", "to[]", "A@X.com",
		"cc", "b@x.com, d@x.com", "bcc", "e@x.com", "text", "t", "subject", "s"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range d.sub.Recipients {
		got = append(got, r.Address)
	}
	if s := strings.Join(got, " "); s != "a@x.com b@x.com c@x.com d@x.com e@x.com" {
		t.Fatalf("recipients %s", s)
	}
	p := parsedDraft(t, d)
	if p.Get("Bcc") != "" || strings.Contains(string(d.sub.MIME), "e@x.com") {
		t.Fatal("bcc shows in the message")
	}
	if p.Get("Cc") != "b@x.com, d@x.com" {
		t.Fatalf("cc %q", p.Get("Cc"))
	}
}

func parsedDraft(t *testing.T, d *draft) *mime.Message {
	t.Helper()
	p, err := mime.Parse(d.sub.MIME, mime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOptionsAndHeaders(t *testing.T) {
	f := base("o:tag", "Welcome", "o:tag", "welcome", "o:tag", "r\u00e9sum\u00e9", "o:testmode", "True", "o:require-tls", "yes",
		"o:skip-verification", "no", "o:deliver-within", "1h30m", "o:deliverytime", "1795176060", "o:tracking-clicks", "htmlonly",
		"h:Message-Id", "<my-id@ex.com>", "h:Reply-To", "Gr\u00fc\u00dfe <r@ex.com>", "v:n", "1", "v:j", `{"a":1}`,
		"h:X-Mailgun-Variables", `{"j":{"b":2}}`, "o:nonsense", "x", "template", "tpl", "t:version", "V1")
	d, err := parse(t, f)
	if err != nil {
		t.Fatal(err)
	}
	o := d.sub.Meta.Options
	if strings.Join(o.Tags, ",") != "Welcome,rsum" || !o.TestMode || !*o.RequireTLS || *o.SkipVerification || o.DeliverWithin != 5400 ||
		o.DeliveryTime != 1795176060e6 || o.TrackingClicks != "htmlonly" || o.Template != "tpl" || o.TemplateVersion != "v1" {
		t.Fatalf("%+v", o)
	}
	if string(d.sub.Meta.Variables) != `{"n":"1","j":{"b":2}}` {
		t.Fatalf("variables %s", d.sub.Meta.Variables)
	}
	if d.sub.MessageID != "my-id@ex.com" || strings.Join(d.unknown, " ") != "o:nonsense" {
		t.Fatalf("%q %v", d.sub.MessageID, d.unknown)
	}
	p := parsedDraft(t, d)
	for name, want := range map[string]string{"Message-Id": "<my-id@ex.com>", "Reply-To": "Gr\u00fc\u00dfe <r@ex.com>",
		"X-Mailgun-Tag": "Welcome", "X-Mailgun-Variables": `{"n":"1","j":{"b":2}}`, "Subject": "S", "From": "Me <me@ex.com>"} {
		if got := p.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestSuppressHeaders(t *testing.T) {
	d, err := parse(t, base("o:tag", "a", "v:x", "1", "o:suppress-headers", "X-Mailgun-Tag, x-mailgun-variables"))
	if err != nil {
		t.Fatal(err)
	}
	p := parsedDraft(t, d)
	if p.Get("X-Mailgun-Tag")+p.Get("X-Mailgun-Variables") != "" || p.Get("X-Mailgun-Sid") == "" {
		t.Fatal(p.Header)
	}
	if d, err = parse(t, base("o:suppress-headers", "all", "o:tag", "a")); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToLower(string(d.sub.MIME)), "x-mailgun") {
		t.Fatal("a header stayed")
	}
}

func TestFiles(t *testing.T) {
	f := base("html", "<img src=cid:logo.png>")
	f.list = append(f.list, upload("attachment", `C:\tmp\r\u00e9sum\u00e9.pdf`, "PDF"), upload("inline", "logo.png", "PNG"))
	d, err := parse(t, f)
	if err != nil {
		t.Fatal(err)
	}
	if a := d.sub.Meta.Attachments; len(a) != 2 || a[1].Filename != "logo.png" || a[1].ContentType != "image/png" || a[0].Size != 3 {
		t.Fatalf("%+v", a)
	}
	p := parsedDraft(t, d)
	if len(p.Attachments) != 2 || p.Text != "T" || p.HTML != "<img src=cid:logo.png>" {
		t.Fatalf("%+v", p)
	}
	f = base()
	f.list = append(f.list, upload("o:tag", "x", "y"))
	if _, err := parse(t, f); err == nil {
		t.Fatal("a file as an option was taken")
	}
}

func TestBatch(t *testing.T) {
	d, err := parse(t, values("from", "me@ex.com", "to", "Ann <a@x.com>", "to", "b@x.com", "cc", "c@x.com", "text", "hi %recipient.n%",
		"recipient-variables", `{"A@x.com": {"n": "Ann", "id": 7}, "b@x.com": {}}`))
	if err != nil {
		t.Fatal(err)
	}
	if !d.sub.Meta.Batch || string(d.sub.Recipients[0].Vars) != `{"n":"Ann","id":7}` || d.sub.Recipients[2].Vars != nil {
		t.Fatalf("%+v", d.sub.Recipients)
	}
	if parsedDraft(t, d).Get("To") != "" {
		t.Fatal("a batch names its recipients")
	}
	v := Vars{To: "Ann Smith Jones <a@x.com>", Target: "a@x.com", Vars: d.sub.Recipients[0].Vars}
	lookup, err := v.Lookup()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"recipient": "a@x.com", "recipient.n": "Ann", "recipient.id": "7", "recipient_name": "Ann Smith Jones",
		"recipient_fname": "Ann", "recipient_lname": "Smith Jones", "recipient_email": "a@x.com"} {
		if got, ok := lookup(key); !ok || got != want {
			t.Errorf("%s: %q %v", key, got, ok)
		}
	}
	if _, ok := lookup("recipient.none"); ok {
		t.Error("an unknown variable was found")
	}
}

func TestMIME(t *testing.T) {
	raw := "From: Me <me@ex.com>\nTo: a@b.com\nBcc: secret@b.com\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nX-Mailgun-Tag: t1\n" +
		"X-Mailgun-Drop-Message: yes\nX-Mailgun-Variables: {\"k\":1}\n\nhello\n"
	f := values("to", "a@b.com", "v:k", "0")
	f.list = append(f.list, upload("message", "m.eml", raw))
	r, err := readForm(f, 1<<20, plenty(), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := fromMIMEForm(r, testDomain(), testNow, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := parsedDraft(t, d)
	if p.Get("Bcc") != "" || strings.Contains(string(d.sub.MIME), "secret") || p.Get("Date") == "" || p.Get("Message-Id") != "<"+d.sub.MessageID+">" {
		t.Fatalf("%s", d.sub.MIME)
	}
	m := d.sub.Meta
	if m.Subject != "Gr\u00fc\u00dfe" || !m.Options.TestMode || m.Options.Tags[0] != "t1" || string(m.Variables) != `{"k":1}` || p.Text != "hello\r\n" {
		t.Fatalf("%+v %q", m, p.Text)
	}
	for name, c := range map[string]struct {
		f    *fields
		want string
	}{
		"missing":  {values("to", "a@b.com"), "message parameter is missing"},
		"no file":  {values("to", "a@b.com", "message", raw), "'message' parameter is not a file"},
		"no to":    {values("x", "y"), "to parameter is missing"},
		"no from":  {withFile(values("to", "a@b.com"), "Subject: x\n\nhi"), "from parameter is not a valid address. please check documentation"},
		"with NUL": {withFile(values("to", "a@b.com"), "From: a@b.com\n\nh\x00i"), "the message contains a NUL byte"},
	} {
		r, err := readForm(c.f, 1<<20, plenty(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fromMIMEForm(r, testDomain(), testNow, nil)
		var e *errs.Error
		if !errors.As(err, &e) || e.Public != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func withFile(f *fields, raw string) *fields {
	f.list = append(f.list, upload("message", "m.eml", raw))
	return f
}

func TestUserVariablesAreCut(t *testing.T) {
	d, err := parse(t, base("v:big", strings.Repeat("x", 5000)))
	if err != nil {
		t.Fatal(err)
	}
	if s := string(d.sub.Meta.Variables); s != `"Could not load user-variables. They were either truncated or invalid JSON"` {
		t.Fatal(s)
	}
}

// FuzzParts checks that no field can smuggle a header line or break the form
// of the message, whatever it holds.
func FuzzParts(f *testing.F) {
	f.Add("Me <me@ex.com>", "a@b.com", "subject", "text", "X-A", "v")
	f.Add("a@b.c", "Team: a@b.c;", "s\r\nBcc: x@y.z", "\x00", "Bcc", "q@r.s")
	f.Fuzz(func(t *testing.T, from, to, subject, text, name, value string) {
		r, err := readForm(values("from", from, "to", to, "subject", subject, "text", text, "h:"+name, value), 1<<20, plenty(), nil)
		if err != nil {
			return
		}
		d, err := fromParts(r, testDomain(), testNow, nil)
		if err != nil {
			return
		}
		fields, _, err := mime.ScanHeader(d.sub.MIME)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range fields {
			n := strings.ToLower(string(h.Name))
			known := strings.HasPrefix(n, "x-mailgun") || n == strings.ToLower(strings.TrimSpace(name))
			switch n {
			case "date", "from", "to", "subject", "message-id", "mime-version", "content-type", "content-transfer-encoding":
				known = true
			}
			if !known || n == "bcc" {
				t.Fatalf("header %q appeared in %q", n, d.sub.MIME)
			}
		}
	})
}

// TestUTF8 tells what a message asks of the servers it passes: an IDN domain
// nothing, a local part outside ASCII SMTPUTF8.
func TestUTF8(t *testing.T) {
	for from, want := range map[string]bool{"J\u00f6 <a@m\u00fcller.de>": false, "\u00f6@ex.com": true} {
		d, err := parse(t, values("from", from, "to", "a@b.com", "text", "Gr\u00fc\u00dfe", "subject", "\u00dc"))
		if err != nil {
			t.Fatal(err)
		}
		if d.sub.Meta.UTF8 != want {
			t.Errorf("%s: %v\n%s", from, d.sub.Meta.UTF8, d.sub.MIME)
		}
	}
}
