package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/netx"
)

func TestFill(t *testing.T) {
	v := Variables{"name": "Ann & Bob", "n": 3.5, "list": []any{"a"}, "nil": nil, "with-dash.and_dot": "x", "loop": "{{name}}", "lines": "a\r\nBcc: b\nc\rd\x00"}
	for _, c := range []struct {
		template string
		at       Place
		want     string
	}{
		{"Hi {{name}}, {{ n }}!", Text, "Hi Ann & Bob, 3.5!"},
		{"Hi {{name}}, {{{name}}}", HTML, "Hi Ann &amp; Bob, Ann & Bob"},
		{"{{lines}}|{{{lines}}}|{{name}}", Subject, "a Bcc: b c d|a Bcc: b c d|Ann & Bob"},
		{"{{lines}}", Text, "a\r\nBcc: b\nc\rd\x00"},
		{"{{{name}}}", Text, "Ann & Bob"},
		{"{{missing}}|{{nil}}|{{list}}|{{with-dash.and_dot}}", Text, `||["a"]|x`},
		{"{{loop}}", Text, "{{name}}"},
		{"{{", Text, "{{"},
		{"{{name", Text, "{{name"},
		{"{{name}", Text, "{{name}"},
		{"{{{name}}", Text, "{Ann & Bob"},
		{"{{#if x}}{{name}}{{/if}}", Text, "{{#if x}}Ann & Bob{{/if}}"},
		{"{{ {{name}} }}", Text, "{{ Ann & Bob }}"},
		{"style {color:red} {{}} {{ }}", Text, "style {color:red} {{}} {{ }}"},
	} {
		if got := Fill(c.template, v, c.at); got != c.want {
			t.Errorf("%q: %q, want %q", c.template, got, c.want)
		}
	}
}

func TestVariablesKeepNumbers(t *testing.T) {
	var v Variables
	if err := json.Unmarshal([]byte(`{"n":12345678901234567890,"o":{"x":1e2}}`), &v); err != nil {
		t.Fatal(err)
	}
	if got := Fill("{{n}} {{o}}", v, Text); got != `12345678901234567890 {"x":1e2}` {
		t.Error(got)
	}
	if err := json.Unmarshal([]byte(`[1]`), &v); err == nil {
		t.Error("a list was taken for an object")
	}
}

// TestDoubt: what was sent without an answer may have been taken.
func TestDoubt(t *testing.T) {
	for _, connected := range []bool{true, false} {
		resp := netx.Response{}
		if connected {
			resp.RemoteAddr = "192.0.2.1:443"
		}
		do := func(context.Context, netx.Request) (netx.Response, error) { return resp, errors.New("reset") }
		_, err := Mailgun("https://x", do, &waits{}).Send(t.Context(), Account{Domain: "x"}, &mail)
		var e *Error
		if !errors.As(err, &e) || e.Doubt != connected {
			t.Errorf("connected %v: %+v", connected, err)
		}
	}
}

// TestDoubtStays: that the provider is gone now does not mean that it took nothing
// before.
func TestDoubtStays(t *testing.T) {
	calls := 0
	do := func(context.Context, netx.Request) (netx.Response, error) {
		if calls++; calls == 1 {
			return netx.Response{Status: 200, BodyErr: errors.New("reset")}, nil
		}
		return answer(503, ""), nil
	}
	_, err := Mailgun("https://x", do, &waits{}).Send(t.Context(), Account{Domain: "x"}, &mail)
	var e *Error
	if !errors.As(err, &e) || e.Status != 503 || !e.Doubt || calls != 4 {
		t.Errorf("%+v after %d calls", err, calls)
	}
}

func FuzzFill(f *testing.F) {
	for _, s := range []string{"{{a}}", "{{{a}}}", "{{{{a}}}}", "{{ a", "x{{a}}y{{b}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		same := replace(s, func(h hole) string { return s[h.start:h.end] })
		if same != s {
			t.Fatalf("%q became %q", s, same)
		}
	})
}

// server is a provider that answers what it is told to.
type server struct {
	answers []netx.Response
	errs    []error
	got     []netx.Request
}

func (s *server) do(_ context.Context, r netx.Request) (netx.Response, error) {
	s.got = append(s.got, r)
	i := len(s.got) - 1
	if i < len(s.errs) && s.errs[i] != nil {
		return netx.Response{}, s.errs[i]
	}
	return s.answers[min(i, len(s.answers)-1)], nil
}

func answer(status int, body string, header ...string) netx.Response {
	h := map[string][]string{}
	for i := 0; i+1 < len(header); i += 2 {
		h[header[i]] = []string{header[i+1]}
	}
	return netx.Response{Status: status, Body: []byte(body), Header: h}
}

var mail = Message{From: "Ann <ann@example.com>", ReplyTo: "r@example.com", To: []string{"b@example.net"}, Subject: "Hi {{name}}",
	HTML: "<b>{{name}}</b>{{{raw}}}", Text: "{{name}}", Tags: []string{"one tag"}, Metadata: json.RawMessage(`{"campaign_id":1}`), IdempotencyKey: "k1"}

func TestMailgun(t *testing.T) {
	s := &server{answers: []netx.Response{answer(200, `{"id":"<1@x>","message":"Queued. Thank you."}`)}}
	d := Mailgun("https://mail.example/", s.do, clock.System{})
	a := Account{Key: "key", Domain: "example.com"}
	id, err := d.Send(t.Context(), a, &mail)
	if err != nil || id != "<1@x>" {
		t.Fatal(id, err)
	}
	r := s.got[0]
	f, err := url.ParseQuery(string(r.Body))
	if err != nil || r.URL != "https://mail.example/v3/example.com/messages" || r.Header["Authorization"][0] != "Basic YXBpOmtleQ==" || r.Header["Idempotency-Key"][0] != "k1" {
		t.Fatalf("%+v %v", r, err)
	}
	for name, want := range map[string]string{"from": mail.From, "to": "b@example.net", "subject": "Hi {{name}}", "h:Reply-To": "r@example.com",
		"o:tag": "one tag", "v:metadata": `{"campaign_id":1}`, "html": mail.HTML, "text": mail.Text} {
		if got := f.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	b := &Batch{Message: mail, Recipients: []Recipient{
		{Email: "Bob <bob@example.net>", Variables: Variables{"name": "Bob & Co", "raw": "<i>"}, Metadata: json.RawMessage(`{"participant_id":7}`)},
		{Email: "c@example.net", Variables: Variables{}},
	}}
	sent := d.SendBatch(t.Context(), a, b)
	if len(sent) != 2 || sent[0] != (Sent{ID: "<1@x>"}) || sent[1] != sent[0] {
		t.Fatalf("%+v", sent)
	}
	f, err = url.ParseQuery(string(s.got[1].Body))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Get("html"); got != "<b>%recipient.h_name%</b>%recipient.p_raw%" {
		t.Errorf("html %q", got)
	}
	if got := f.Get("v:metadata"); got != "%recipient.metadata%" {
		t.Errorf("metadata %q", got)
	}
	var vars map[string]map[string]string
	if err := json.Unmarshal([]byte(f.Get("recipient-variables")), &vars); err != nil {
		t.Fatal(err)
	}
	if got := vars["bob@example.net"]; got["h_name"] != "Bob &amp; Co" || got["p_name"] != "Bob & Co" || got["p_raw"] != "<i>" || got["metadata"] != `{"participant_id":7}` {
		t.Errorf("%+v", got)
	}
	if got := vars["c@example.net"]; got["metadata"] != `{"campaign_id":1}` || got["p_name"] != "" {
		t.Errorf("%+v", got)
	}
}

func TestResend(t *testing.T) {
	s := &server{answers: []netx.Response{answer(200, `{"id":"e1"}`), answer(200, `{"data":[{"id":"e1"},{"id":"e2"}]}`), answer(200, `{"data":[]}`)}}
	d := Resend("https://resend.example", s.do, clock.System{})
	a := Account{Key: "re_key"}
	if id, err := d.Send(t.Context(), a, &mail); err != nil || id != "e1" {
		t.Fatal(id, err)
	}
	var m resendMail
	if err := json.Unmarshal(s.got[0].Body, &m); err != nil || m.ReplyTo != "r@example.com" || m.Tags[0] != (resendTag{"one_tag", "1"}) || s.got[0].Header["Authorization"][0] != "Bearer re_key" {
		t.Fatalf("%+v %v", m, err)
	}
	b := &Batch{Message: mail, Recipients: []Recipient{{Email: "b@example.net", Variables: Variables{"name": "<B>"}}, {Email: "c@example.net"}}}
	if sent := d.SendBatch(t.Context(), a, b); sent[0].ID != "e1" || sent[1].ID != "e2" {
		t.Fatalf("%+v", sent)
	}
	var list []resendMail
	if err := json.Unmarshal(s.got[1].Body, &list); err != nil || list[0].HTML != "<b>&lt;B&gt;</b>" || list[0].Subject != "Hi <B>" || list[1].To[0] != "c@example.net" {
		t.Fatalf("%+v %v", list, err)
	}
	if sent := d.SendBatch(t.Context(), a, b); sent[0].Err == nil || sent[1].Err == nil {
		t.Fatalf("an answer for no message was taken: %+v", sent)
	}
}

func TestTries(t *testing.T) {
	good := answer(200, `{"id":"x"}`)
	broken := errors.New("connection reset")
	for _, c := range []struct {
		name    string
		answers []netx.Response
		errs    []error
		calls   int
		waits   []time.Duration
		status  int // of the error; -1: none
	}{
		{"at once", []netx.Response{good}, nil, 1, nil, -1},
		{"after trouble", []netx.Response{answer(503, ""), answer(429, ""), good}, nil, 3, []time.Duration{250e6, 500e6}, -1},
		{"no connection", []netx.Response{good}, []error{broken}, 2, []time.Duration{250e6}, -1},
		{"when asked to wait", []netx.Response{answer(429, "", "Retry-After", "2"), good}, nil, 2, []time.Duration{2e9}, -1},
		{"not for an hour", []netx.Response{answer(429, "", "Retry-After", "3600")}, nil, 1, nil, 429},
		{"not what is wrong", []netx.Response{answer(401, "Forbidden")}, nil, 1, nil, 401},
		{"not for ever", []netx.Response{answer(500, "")}, nil, 4, []time.Duration{250e6, 500e6, 1e9}, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &server{answers: c.answers, errs: c.errs}
			w := &waits{}
			_, err := Mailgun("https://x", s.do, w).Send(t.Context(), Account{Domain: "x"}, &mail)
			var e *Error
			if c.status < 0 && err != nil || c.status >= 0 && (!errors.As(err, &e) || e.Status != c.status) {
				t.Errorf("%v", err)
			}
			if len(s.got) != c.calls || len(w.list) != len(c.waits) {
				t.Fatalf("%d calls, waits %v", len(s.got), w.list)
			}
			for i := range c.waits {
				if w.list[i] != c.waits[i] {
					t.Errorf("waits %v, want %v", w.list, c.waits)
				}
			}
		})
	}
}

func TestErrorsTellNoKey(t *testing.T) {
	s := &server{answers: []netx.Response{answer(401, `{"message":"bad\nkey"}`)}}
	_, err := Mailgun("https://x", s.do, clock.System{}).Send(t.Context(), Account{Key: "SECRET", Domain: "x"}, &mail)
	if err == nil || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}

// waits is a clock on which every wait is over at once.
type waits struct {
	clock.System
	list []time.Duration
}

func (w *waits) After(d time.Duration) (<-chan time.Time, func()) {
	w.list = append(w.list, d)
	c := make(chan time.Time, 1)
	c <- time.Time{}
	return c, func() {}
}
