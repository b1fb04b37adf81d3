package deliver_test

import (
	"fmt"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/core/event"
)

func TestTLS(t *testing.T) {
	b := start(t, apptest.Options{Wire: brief()})
	w := b.World
	good := func(host string) script { return script{Cert: w.Cert(t, host)} }
	bad := func(string) script { return script{Cert: w.Cert(t, "other.test")} }
	plain := func(string) script { return script{} }
	broken := func(string) script { return script{StartTLS: apptest.Garbage} }
	refuse := func(string) script { return script{StartTLS: "454 4.7.0 no TLS now"} }
	drop := func(string) script { return script{StartTLS: apptest.Drop} }
	stall := func(string) script { return script{StartTLS: apptest.Stall} }
	require, both := fields{"o:require-tls", "yes"}, fields{"o:require-tls", "yes", "o:skip-verification", "yes"}
	for i, c := range []struct {
		name     string
		script   func(host string) script
		opt      fields
		want     want
		tls      bool
		verified bool
	}{
		{"offered", good, nil, ok(), true, true},
		{"offered, certificate of another", bad, nil, ok(), true, false},
		{"not offered", plain, nil, ok(), false, false},
		{"handshake fails", broken, nil, ok(), false, false},
		{"refused", refuse, nil, ok(), false, false},
		{"drops", drop, nil, ok(), false, false},
		{"stalls", stall, nil, ok(), false, false},
		{"skip-verification alone", bad, fields{"o:skip-verification", "yes"}, ok(), true, false},
		{"required", good, require, ok(), true, true},
		{"required, not offered", plain, require, temporary(450, "4.7.4", "does not offer TLS"), false, false},
		{"required, certificate of another", bad, require, temporary(421, "4.7.5", "TLS handshake failed"), false, false},
		{"required, handshake fails", broken, require, temporary(421, "4.7.5", "TLS handshake failed"), false, false},
		{"required, refused", refuse, require, temporary(421, "4.7.5", "no TLS now"), false, false},
		{"required unverified, certificate of another", bad, both, ok(), true, false},
		{"required unverified, not offered", plain, both, temporary(450, "4.7.4", "does not offer TLS"), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := fmt.Sprintf("tls%d.test", i)
			k := b.site(t, name, c.script("mx."+name))
			d := b.Outcome(b.Send(from, append(fields{"to", "x@" + name}, c.opt...)), "x@"+name, 1)
			c.want.check(t, d)
			if d.Event != event.Delivered {
				if got := k.All(); len(got) != 0 {
					t.Errorf("a message went out: %+v", got)
				}
				return
			}
			m := k.Await(t, 1)[0]
			if m.TLS != c.tls || *d.DeliveryStatus.TLS != c.tls || *d.DeliveryStatus.CertificateVerified != c.verified {
				t.Errorf("sink saw TLS %v; event says TLS %v, verified %v", m.TLS, *d.DeliveryStatus.TLS, *d.DeliveryStatus.CertificateVerified)
			}
		})
	}
}

// TestReuseRespectsTLS: a message that requires TLS does not travel on the open
// plaintext connection of one that did not.
func TestReuseRespectsTLS(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "mixed.test", script{Cert: b.World.Cert(t, "other.test")})
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "a@mixed.test"}), "a@mixed.test", 1))
	d := b.Outcome(b.Send(from, fields{"to", "b@mixed.test", "o:require-tls", "yes"}), "b@mixed.test", 1)
	temporary(421, "4.7.5", "TLS handshake failed").check(t, d)
	if len(k.Messages()) != 1 {
		t.Errorf("messages: %+v", k.Messages())
	}
}

// TestDomainRequiresTLS: the domain's setting holds unless the message has its own.
func TestDomainRequiresTLS(t *testing.T) {
	b := start(t, apptest.Options{})
	b.site(t, "clear.test", script{})
	b.Must("PUT", "/v3/domains/"+from+"/connection", fields{"require_tls", "true"})
	temporary(450, "4.7.4", "does not offer TLS").check(t, b.Outcome(b.Send(from, fields{"to", "a@clear.test"}), "a@clear.test", 1))
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "b@clear.test", "o:require-tls", "no"}), "b@clear.test", 1))
}

// TestCapabilities has servers that lack an extension, or have limits.
func TestCapabilities(t *testing.T) {
	b := start(t, apptest.Options{})
	none := script{Offer: []string{}}
	eight := "From: s@" + from + "\r\nTo: x@y.test\r\nSubject: 8bit\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n.\r\n"
	for i, c := range []struct {
		name   string
		script script
		local  string
		send   func(to string) string
		want   want
		check  func(t *testing.T, m apptest.Message)
	}{
		{"no extensions at all", none, "x", func(to string) string { return b.Send(from, fields{"to", to, "html", "<p>ü</p>"}) }, ok(),
			func(t *testing.T, m apptest.Message) {
				if m.Params != "" {
					t.Errorf("MAIL parameters %q", m.Params)
				}
				b.verify(t, m.Data)
			}},
		{"SMTPUTF8 address", script{}, "jürgen", func(to string) string { return b.Send(from, fields{"to", to}) }, ok(),
			func(t *testing.T, m apptest.Message) {
				if !strings.Contains(m.Params, "SMTPUTF8") {
					t.Errorf("MAIL parameters %q", m.Params)
				}
				b.verify(t, m.Data)
			}},
		{"SMTPUTF8 address, not offered", script{Offer: []string{"8BITMIME"}}, "jürgen", func(to string) string { return b.Send(from, fields{"to", to}) },
			permanent("generic", 553, "5.6.7", "SMTPUTF8"), nil},
		{"8-bit body", script{Offer: []string{"8BITMIME", "PIPELINING"}}, "x", func(to string) string { return b.SendMIME(from, eight, fields{"to", to}) }, ok(),
			func(t *testing.T, m apptest.Message) {
				if !strings.Contains(m.Params, "BODY=8BITMIME") || !strings.Contains(m.Data, "Grüße") {
					t.Errorf("MAIL parameters %q\n%s", m.Params, m.Data)
				}
				b.verify(t, m.Data)
			}},
		{"8-bit body, not offered", none, "x", func(to string) string { return b.SendMIME(from, eight, fields{"to", to}) }, ok(), sevenBit(b, true)},
		{"8-bit body, not offered, no DKIM", none, "x", func(to string) string {
			return b.SendMIME(from, eight, fields{"to", to, "o:dkim", "no"})
		}, ok(), sevenBit(b, false)},
		{"size within limit", script{Offer: []string{"SIZE 100000"}}, "x", func(to string) string { return b.Send(from, fields{"to", to}) }, ok(),
			func(t *testing.T, m apptest.Message) {
				if m.Params != fmt.Sprintf("SIZE=%d", len(m.Data)) {
					t.Errorf("MAIL parameters %q of %d bytes", m.Params, len(m.Data))
				}
			}},
		{"size over limit", script{Offer: []string{"SIZE 2000"}}, "x", func(to string) string {
			return b.Send(from, fields{"to", to, "text", strings.Repeat("long ", 1000)})
		}, permanent("generic", 552, "5.3.4", "larger than the server's limit of 2000"), nil},
		{"no DKIM", script{}, "x", func(to string) string { return b.Send(from, fields{"to", to, "o:dkim", "no"}) }, ok(),
			func(t *testing.T, m apptest.Message) {
				if header(m.Data, "DKIM-Signature") != "" {
					t.Errorf("signed:\n%s", m.Data)
				}
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := fmt.Sprintf("%s@cap%d.test", c.local, i)
			k := b.site(t, fmt.Sprintf("cap%d.test", i), c.script)
			c.want.check(t, b.Outcome(c.send(to), to, 1))
			if c.check == nil {
				if got := k.All(); len(got) != 0 {
					t.Errorf("a message went out: %+v", got)
				}
				return
			}
			c.check(t, k.Await(t, 1)[0])
		})
	}
}

// sevenBit checks a message that was converted on the way.
func sevenBit(b *bed, signed bool) func(*testing.T, apptest.Message) {
	return func(t *testing.T, m apptest.Message) {
		t.Helper()
		if strings.ContainsFunc(m.Data, func(r rune) bool { return r > 0x7f }) || m.Params != "" {
			t.Errorf("not 7-bit, parameters %q:\n%s", m.Params, m.Data)
		}
		if signed {
			b.verify(t, m.Data)
		} else if header(m.Data, "DKIM-Signature") != "" {
			t.Errorf("signed against the sender's wish:\n%s", m.Data)
		}
	}
}

// A message whose sender requires TLS asks a server that knows REQUIRETLS to
// hand it on in no other way, and no other message does.
func TestRequireTLSExtension(t *testing.T) {
	b := start(t, apptest.Options{Wire: brief()})
	cert := b.World.Cert(t, "mx.asks.test")
	k := b.site(t, "asks.test", script{Cert: cert, Offer: []string{"PIPELINING", "8BITMIME", "REQUIRETLS"}})
	old := b.site(t, "old.test", script{Cert: b.World.Cert(t, "mx.old.test")})
	for _, c := range []struct {
		sink *apptest.Sink
		to   string
		opt  fields
		want bool
	}{
		{k, "a@asks.test", fields{"o:require-tls", "yes"}, true},
		{k, "b@asks.test", nil, false},
		{k, "c@asks.test", fields{"o:require-tls", "yes", "o:skip-verification", "yes"}, false},
		{old, "d@old.test", fields{"o:require-tls", "yes"}, false},
	} {
		ok().check(t, b.Outcome(b.Send(from, append(fields{"to", c.to}, c.opt...)), c.to, 1))
		list := c.sink.All()
		if m := list[len(list)-1]; strings.Contains(m.Params, "REQUIRETLS") != c.want {
			t.Errorf("%s: MAIL with %q", c.to, m.Params)
		}
	}
}
