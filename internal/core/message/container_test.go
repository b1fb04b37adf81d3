package message

import (
	"encoding/base64"
	"strings"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/ids"
)

func testIDs() *ids.Source { return ids.NewSource(clock.NewFake(testNow)) }

// TestContainer: the message inside is what is sent, with the variables of all
// places. Mailgun: the container's go before the header's, and those before the
// parameter's.
func TestContainer(t *testing.T) {
	inner := "X-Mailgun-Recipient-Variables: {\"a@b.com\": {\"x\": \"header\", \"y\": \"header\"},\r\n \"B@b.com\": {\"x\": \"header\"}}\r\n" +
		"From: Me <me@ex.com>\r\nTo: %recipient.name% <%recipient%>\r\nSubject: Hi %recipient.name%\r\n\r\nx %recipient.x%\r\n"
	outer := boxedMessage(`{"a@b.com": {"x": "box", "name": "Ann"}, "b@b.com": {"name": "Lee, Bob"}, "c@b.com": {}, "all": [1]}`, inner)
	f := withFile(values("to", "a@b.com, b@b.com, c@b.com", "recipient-variables",
		`{"a@b.com": {"x": "parameter", "y": "parameter", "z": "parameter", "all": "parameter"}, "c@b.com": {"x": "parameter"}}`), outer)
	d, err := fromFile(t, f)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ to, vars string }{
		{"Ann <a@b.com>", `{"all":[1],"name":"Ann","x":"box","y":"header","z":"parameter"}`},
		{`"Lee, Bob" <b@b.com>`, `{"all":[1],"name":"Lee, Bob","x":"header"}`},
		{"c@b.com", `{"all":[1],"x":"parameter"}`},
	} {
		r := d.sub.Recipients[i]
		if r.Header != want.to || string(r.Vars) != want.vars {
			t.Errorf("To %s, variables %s\nwant %s, %s", r.Header, r.Vars, want.to, want.vars)
		}
	}
	p := parsedDraft(t, d)
	if p.Get("Subject") != "Hi %recipient.name%" || p.Get("To") != "" || p.Text != "x %recipient.x%\r\n" || d.sub.Meta.FromMailbox != "me@ex.com" ||
		strings.Contains(string(d.sub.MIME), "mailgun-variables") || strings.Contains(string(d.sub.MIME), "outer") {
		t.Errorf("%s", d.sub.MIME)
	}
}

// TestContainerOfTheManual is the example of the manual: variables without an
// address, in base64.
func TestContainerOfTheManual(t *testing.T) {
	raw := strings.Replace(boxedMessage("eyJkZXNjcmlwdGlvbiI6ICJrbGl6aGVudGFzIn0=", "Date: Thu, 26 Jul 2012 19:42:55 +0400\r\nTo: %recipient.description%\r\n"+
		"From: me@example.com\r\nSubject: (rackspace) Hello MSK 2012\r\nMessage-Id: <20120726154302.29322.40670@definebox.com>\r\n\r\nsupport %recipient.description%\r\n"),
		"application/json\r\n", "application/json\r\nContent-Transfer-Encoding: base64\r\n", 1)
	d, err := overSMTP(raw, "a@b.com", "b@b.com")
	if err != nil {
		t.Fatal(err)
	}
	if !d.sub.Meta.Batch || string(d.sub.Recipients[1].Vars) != `{"description":"klizhentas"}` || d.sub.MessageID != "20120726154302.29322.40670@definebox.com" {
		t.Errorf("%+v", d.sub)
	}
	if d.sub.Recipients[0].Header != "a@b.com" { // the description is no address
		t.Errorf("To: %s", d.sub.Recipients[0].Header)
	}
}

func TestContainerRefusals(t *testing.T) {
	whole := boxedMessage("{}", plainMessage)
	for name, c := range map[string]struct{ raw, want string }{
		"no JSON":       {boxedMessage("[1]", plainMessage), "'multipart/mailgun-variables' part is not a valid JSON"},
		"null":          {boxedMessage("null", plainMessage), "'multipart/mailgun-variables' part is not a valid JSON"},
		"no message":    {strings.Replace(whole, "message/rfc822", "text/plain", 1), "multipart/mailgun-variables needs an application/json and a message/rfc822 part"},
		"no variables":  {strings.Replace(whole, "application/json", "text/plain", 1), "multipart/mailgun-variables needs an application/json and a message/rfc822 part"},
		"not base64":    {strings.Replace(whole, "application/json\r\n", "application/json\r\nContent-Transfer-Encoding: base64\r\n", 1), "multipart/mailgun-variables needs an application/json and a message/rfc822 part"},
		"no boundary":   {strings.Replace(whole, "boundary", "border", 1), "multipart/mailgun-variables needs an application/json and a message/rfc822 part"},
		"NUL in base64": {strings.Replace(boxedMessage("{}", base64.StdEncoding.EncodeToString([]byte("From: a@b.com\r\n\r\n\x00"))), "message/rfc822\r\n", "message/rfc822\r\nContent-Transfer-Encoding: base64\r\n", 1), "the message contains a NUL byte"},
		"no From":       {boxedMessage("{}", "Subject: x\r\n\r\nT"), "from parameter is not a valid address. please check documentation"},
		"box in a box":  {boxedMessage("{}", whole), ""},
		"common":        {boxedMessage(`{"x": "`+strings.Repeat("x", MaxOptions)+`"}`, plainMessage), "'multipart/mailgun-variables': variables for all recipients are limited to 16 kB total"},
		"outer option":  {"X-Mailgun-Dkim: perhaps\r\n" + whole, "invalid value 'perhaps' of 'o:dkim': expected yes, no, true or false"},
	} {
		d, err := overSMTP(c.raw, "a@b.com")
		if c.want == "" { // what is inside is a message like any other
			if err != nil || d.sub.Meta.Subject != "outer" {
				t.Errorf("%s: %v", name, err)
			}
		} else if got := publicText(err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzFromSMTP(f *testing.F) {
	f.Add(plainMessage)
	f.Add(boxedMessage(`{"a@b.com": {"x": 1}, "y": "z"}`, "X-Mailgun-Recipient-Variables: {\"a@b.com\":{}}\r\nTo: %recipient%\r\n"+plainMessage))
	f.Add("X-Mailgun-Archive-To: a@b.com,c@d.org\r\nX-Mailgun-Suppress-Headers: all\r\nX-Mailgun-Variables: {\"a\":1}\r\n" + plainMessage)
	f.Fuzz(func(t *testing.T, raw string) {
		d, err := overSMTP(raw, "a@b.com", "b@b.com")
		if err != nil {
			return
		}
		if d.sub.MessageID == "" || len(d.sub.Recipients) != 2 {
			t.Fatalf("%+v", d.sub)
		}
		for i := range d.sub.Recipients {
			if v := varsOf(&d.sub.Recipients[i]); v == "{}" {
				t.Fatalf("variables that cannot be written: %q", d.sub.Recipients[i].Vars)
			}
		}
		if _, err := encodeMeta(&d.sub.Meta); err != nil {
			t.Fatal(err)
		}
	})
}
