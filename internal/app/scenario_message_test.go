package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/internal/config"
)

const (
	queued      = `{"id":"<**>","message":"Queued. Thank you."}`
	badAddress  = ` parameter is not a valid address. please check documentation"}`
	needBody    = `{"message":"Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified"}`
	tooManyRcpt = `{"message":"Too many recipients, max is 1000"}`
)

// letter is the smallest message with everything usual.
var letter = []string{"from", "Me <me@example.com>", "to", "jane@example.net", "subject", "Hi", "text", "Hello."}

func crowd(n int, prefix string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s%d@example.net,", prefix, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func TestScenarioSend(t *testing.T) {
	s := newStage(t, config.Serve)
	const path = "/v3/example.com/messages"
	s.run(t, []probe{
		{name: "urlencoded", path: path, form: letter, want: queued},
		{name: "multipart", path: path, parts: letter, want: queued},
		{name: "form of the id", path: path, form: letter, want: `{"id":"<20**.**@example.com>","message":"Queued. Thank you."}`},
		{name: "Rails names", path: path, form: []string{"from[]", "a@example.com", "to[]", "b@example.net", "to[]", "c@example.net", "text[]", "x"}, want: queued},
		{name: "own id", path: path, form: with(letter, "h:message-id", "<own@id.example>"), want: `{"id":"<own@id.example>","message":"Queued. Thank you."}`},
		{name: "another domain in from", path: path, form: with(without(letter, "from"), "from", "a@elsewhere.example"), want: queued},
		{name: "empty text beside html", path: path, form: with(without(letter, "text"), "text", "", "html", "<p>x"), want: queued},
		{name: "no subject", path: path, form: without(letter, "subject"), want: queued},
		{name: "amp", path: path, form: with(letter, "amp-html", "<html amp4email>"), want: queued},
		{name: "repeated and listed", path: path, form: with(letter, "to", "A <a@example.net>, \"B, C\" <b@example.net>", "cc", "c@example.net", "bcc", "d@example.net"), want: queued},
		{name: "group", path: path, form: with(letter, "to", "Friends: a@example.net, b@example.net;"), want: queued},
		{name: "IDN", path: path, form: with(letter, "to", "x@b\u00fccher.example"), want: queued},
		{name: "SMTPUTF8", path: path, form: with(letter, "to", "j\u00f6rg@example.net"), want: queued},
		{name: "1,000 recipients", path: path, form: with(without(letter, "to"), "to", crowd(1000, "u")), want: queued},
		{name: "1,001 recipients", path: path, form: with(without(letter, "to"), "to", crowd(1001, "u")), status: 400, want: tooManyRcpt},
		{name: "600 and 600", path: path, form: with(without(letter, "to"), "to", crowd(600, "u"), "cc", crowd(600, "c")), status: 400, want: tooManyRcpt},
		{name: "600 and the same 600", path: path, form: with(without(letter, "to"), "to", crowd(600, "u"), "cc", crowd(600, "u")), want: queued},
		{name: "repeated request", path: path, form: letter, head: [][2]string{{"Idempotency-Key", "one"}}, want: queued},
		{name: "repeated request again", path: path, form: letter, head: [][2]string{{"Idempotency-Key", "one"}}, want: queued, header: "Idempotent-Replayed: true"},
		{name: "repeated request, changed", path: path, form: with(letter, "cc", "x@example.net"), head: [][2]string{{"Idempotency-Key", "one"}}, status: 409},
		{name: "text for a file", path: path, form: with(letter, "attachment", "hello"), want: queued, header: "X-Hint: ignored attachment: **"},
		{name: "unknown option", path: path, form: with(letter, "o:foo", "1"), want: queued, header: "X-Hint: ignored unknown options: o:foo"},
		{name: "filename in a name", path: path, parts: with(letter, "v:filename", "x"), want: queued},

		{name: "nothing", path: path, form: []string{}, method: "POST", status: 400, want: `{"message":"from parameter is missing"}`},
		{name: "no from", path: path, form: without(letter, "from"), status: 400, want: `{"message":"from parameter is missing"}`},
		{name: "no to", path: path, form: without(letter, "to"), status: 400, want: `{"message":"to parameter is missing"}`},
		{name: "empty to", path: path, form: with(without(letter, "to"), "to", " "), status: 400, want: `{"message":"to parameter is missing"}`},
		{name: "bad from", path: path, form: with(without(letter, "from"), "from", "me"), status: 400, want: `{"message":"from` + badAddress},
		{name: "bad to", path: path, form: with(without(letter, "to"), "to", "me"), status: 400, want: `{"message":"to` + badAddress},
		{name: "one bad to", path: path, form: with(letter, "to", "a@example.net, me"), status: 400, want: `{"message":"to` + badAddress},
		{name: "bad cc", path: path, form: with(letter, "cc", "me"), status: 400, want: `{"message":"cc` + badAddress},
		{name: "bad bcc", path: path, form: with(letter, "bcc", "me"), status: 400, want: `{"message":"bcc` + badAddress},
		{name: "no body", path: path, form: without(letter, "text"), status: 400, want: needBody},
		{name: "template and html", path: path, form: with(letter, "html", "x", "template", "t"), status: 400, want: `{"message":"Only one parameters 'html' or 'template' is allowed"}`},
		{name: "NUL", path: path, form: with(without(letter, "text"), "text", "a\x00b"), status: 400, want: `{"message":"parameter text contains a NUL byte"}`},
		{name: "file for to", path: path, parts: without(letter, "to"), files: []upload{{"to", "t.txt", "", "a@b.com"}}, status: 400, want: `{"message":"'to' parameter may not be a file"}`},

		{name: "sending key", as: "sending", path: path, form: letter, want: queued},
		{name: "sending key, other domain", as: "sending", path: "/v3/example.org/messages", form: letter, status: 401, want: forbidden},
		{name: "analyst", as: "basic", path: path, form: letter, status: 401, want: forbidden},
		{name: "support", as: "support", path: path, form: letter, status: 401, want: forbidden},
		{name: "developer", as: "developer", path: path, form: letter, want: queued},
		{name: "domain of nobody", path: "/v3/elsewhere.example/messages", form: letter, status: 401, want: forbidden},
		{name: "wrong key", as: "wrong", path: path, form: letter, status: 401, want: forbidden},
		{name: "GET", path: path, status: 405, want: `{"message":"Method Not Allowed"}`},
	})
}

func TestScenarioOptions(t *testing.T) {
	s := newStage(t, config.Serve)
	at := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }
	jsonText := func(what string) string { return `{"message":"` + what + ` is not a valid JSON"}` }
	cases := []struct{ name, option, value, want string }{
		{"tag", "o:tag", "newsletter", ""},
		{"tag outside ASCII", "o:tag", "\u00fcber\r\nX: y", ""},
		{"dkim", "o:dkim", "no", ""},
		{"dkim, neither", "o:dkim", "maybe", `{"message":"invalid value 'maybe' of 'o:dkim': expected yes, no, true or false"}`},
		{"test mode", "o:testmode", "true", ""},
		{"tracking", "o:tracking", "htmlonly", ""},
		{"clicks", "o:tracking-clicks", "htmlonly", ""},
		{"opens", "o:tracking-opens", "yes", ""},
		{"opens have no htmlonly", "o:tracking-opens", "htmlonly", `{"message":"invalid value 'htmlonly' of 'o:tracking-opens': **"}`},
		{"deliver at", "o:deliverytime", at(time.Hour), ""},
		{"deliver in the past", "o:deliverytime", "Fri, 14 Oct 2011 23:10:10 -0000", ""},
		{"deliver at no time", "o:deliverytime", "tomorrow", `{"message":"tomorrow is not an RFC-2822 compliant date"}`},
		{"deliver in four days", "o:deliverytime", at(96 * time.Hour), `{"message":"invalid delivery time: **"}`},
		{"within", "o:deliver-within", "1h30m", ""},
		{"within nothing", "o:deliver-within", "soon", `{"message":"invalid delivery time format"}`},
		{"local time", "o:time-zone-localize", "02:15PM", ""},
		{"no hour", "o:time-zone-localize", "25:00", `{"message":"25:00 invalid 24 hour time(value of 'o:time-zone-localize')"}`},
		{"no time", "o:time-zone-localize", "noon", `{"message":"noon is not a valid time to send (value of 'o:time-zone-localize')"}`},
		{"second signature", "o:secondary-dkim", "example.org/s1", ""},
		{"second signature of nobody", "o:secondary-dkim", "x", `{"message":"x is not a valid secondary dkim domain name"}`},
		{"header", "h:X-My", "\u00fc", ""},
		{"header outside ASCII", "h:X-\u00dc", "1", `{"message":"Header name must be pure ASCII: X-` + "\u00dc" + `"}`},
		{"two lines", "h:X-My", "1\r\nBcc: x@example.net", `{"message":"Header value must not contain line breaks or NUL: X-My"}`},
		{"two lines in the name", "h:X: y\r\nBcc", "1", `{"message":"Header name must be pure ASCII: **"}`},
		{"two lines in the id", "h:Message-Id", "<a@b>\r\nBcc: x@y.z", `{"message":"invalid Message-Id: **"}`},
		{"two lines in the subject", "subject", "a\r\nBcc: x@example.net", `{"message":"Header value must not contain line breaks or NUL: Subject"}`},
		{"two lines in from", "from", "\"a\r\nBcc: x@y.z\" <a@example.com>", `{"message":"from` + badAddress},
		{"two lines in to", "to", "a\r\nBcc: x@y.z <a@example.com>", `{"message":"to` + badAddress},
		{"two lines in the template", "template", "a\r\nX: y", `{"message":"template** was not found"}`},
		{"variable", "v:my", "a\r\nX: y", ""},
		{"16 kB of options", "v:my", strings.Repeat("x", 16384-len("v:my")), ""},
		{"more than 16 kB of options", "v:my", strings.Repeat("x", 16385-len("v:my")), `{"message":"Send options (parameters starting with o:, h:, v:, or t:) are limited to 16 kB total"}`},
		{"template variables", "t:variables", "{\n \"a\": 1\n}", ""},
		{"broken template variables", "t:variables", "{", jsonText("'t:variables' parameter")},
		{"variables by header", "h:X-Mailgun-Variables", "{\"a\":\n {\"b\": 1}}", ""},
		{"broken variables by header", "h:X-Mailgun-Variables", "{", jsonText("'X-Mailgun-Variables' header")},
		{"recipient variables", "recipient-variables", `{"jane@example.net":{"n":1}}`, ""},
		{"broken recipient variables", "recipient-variables", `{"jane`, jsonText("'recipient-variables' parameter")},
		{"recipient variables in a list", "recipient-variables", `[1]`, jsonText("'recipient-variables' parameter")},
		{"recipient variables without names", "recipient-variables", `{"jane@example.net":1}`, jsonText("'recipient-variables' parameter")},
	}
	for _, c := range cases {
		p := probe{name: c.name, path: "/v3/example.com/messages", form: with(without(letter, c.option), c.option, c.value), want: queued}
		if c.want != "" {
			p.status, p.want = 400, c.want
		}
		s.run(t, []probe{p})
	}
}

func TestScenarioMIME(t *testing.T) {
	s := newStage(t, config.Serve)
	const path = "/v3/example.com/messages.mime"
	to := []string{"to", "jane@example.net"}
	eml := func(data string) []upload { return []upload{{"message", "m.eml", "message/rfc2822", data}} }
	var deep strings.Builder
	deep.WriteString("From: a@example.com\r\n")
	for i := range 10_000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	wide := "From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 20_000) + "--b--\r\n"
	const good = "From: a@example.com\r\nTo: x@y.z\r\nSubject: s\r\n\r\nhello\r\n"
	s.run(t, []probe{
		{name: "good", path: path, parts: to, files: eml(good), want: queued},
		{name: "bare line feeds", path: path, parts: to, files: eml(strings.ReplaceAll(good, "\r", "")), want: queued},
		{name: "its own id", path: path, parts: to, files: eml("Message-Id: <own@id.example>\r\n" + good), want: `{"id":"<own@id.example>",**`},
		{name: "10,000 parts in one another", path: path, parts: to, files: eml(deep.String()), want: queued},
		{name: "20,000 parts beside one another", path: path, parts: to, files: eml(wide), want: queued},
		{name: "urlencoded", path: path, form: with(to, "message", good), status: 400, want: `{"message":"Invalid request content type. Expecting 'multipart/form-data' but got 'application/x-www-form-urlencoded'"}`},
		{name: "no message", path: path, parts: to, status: 400, want: `{"message":"message parameter is missing"}`},
		{name: "message as text", path: path, parts: with(to, "message", good), status: 400, want: `{"message":"'message' parameter is not a file"}`},
		{name: "no to", path: path, parts: []string{"o:tag", "x"}, files: eml(good), status: 400, want: `{"message":"to parameter is missing"}`},
		{name: "no From", path: path, parts: to, files: eml("Subject: s\r\n\r\nhello\r\n"), status: 400, want: `{"message":"from` + badAddress},
		{name: "NUL", path: path, parts: to, files: eml(good + "\x00"), status: 400, want: `{"message":"the message contains a NUL byte"}`},
		{name: "no header at all", path: path, parts: to, files: eml("\r\n"), status: 400},
		{name: "sending key", as: "sending", path: path, parts: to, files: eml(good), want: queued},
		{name: "analyst", as: "basic", path: path, parts: to, files: eml(good), status: 401, want: forbidden},
	})
}

// Domains in no state to send say so.
func TestScenarioNotAllowed(t *testing.T) {
	s := newStage(t, config.Serve)
	var sandbox string
	list := decode[struct{ Items []struct{ Name, Type string } }](t, string(s.Must("GET", "/v4/domains", nil)))
	for _, d := range list.Items {
		if d.Type == "sandbox" {
			sandbox = d.Name
		}
	}
	if sandbox == "" {
		t.Fatal("no sandbox domain")
	}
	const why = ": Sandbox subdomains are for test purposes only. Please add your own domain or add the address to authorized recipients in Account Settings."
	s.run(t, []probe{
		{name: "sandbox sends", path: "/v3/" + sandbox + "/messages", form: letter, status: 403, want: `{"message":"Domain ` + sandbox + ` is not allowed to send` + why + `"}`},
		{name: "in test mode too", path: "/v3/" + sandbox + "/messages", form: with(letter, "o:testmode", "yes"), status: 403},
	})
}

func TestScenarioUnverified(t *testing.T) {
	s := newStage(t, config.Serve, "--assume-verified=false")
	s.World.DNS.Set(t, "mail.postroad.test", "A", "192.0.2.200") // SPF is about the addresses of the host name
	const refusal = `{"message":"Domain example.com is not allowed to send: The domain is unverified and requires DNS configuration. Log in to your control panel to view required DNS records."}`
	s.run(t, []probe{
		{name: "unverified", path: "/v3/example.com/messages", form: letter, status: 403, want: refusal},
		{name: "MIME", path: "/v3/example.com/messages.mime", parts: []string{"to", "a@example.net"}, files: []upload{{"message", "m", "", "From: a@example.com\r\n\r\nx"}}, status: 403, want: refusal},
		{name: "verify", method: "PUT", path: "/v4/domains/example.com/verify", want: `{"message":"Domain DNS records have been updated","domain":{**"state":"active",**`},
		{name: "verified", path: "/v3/example.com/messages", form: letter, want: queued},
	})
}
