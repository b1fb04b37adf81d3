package deliver_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/miekg/dns"

	"postroad/internal/apptest"
	"postroad/internal/base/dnsx"
)

// verify checks the message's DKIM signatures with another implementation and
// the keys in the World's DNS.
func (b *bed) verify(t *testing.T, data string) {
	t.Helper()
	r, err := dnsx.New(dnsx.Config{Servers: []string{b.World.Resolver()}, CacheSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	list, err := dkim.VerifyWithOptions(strings.NewReader(data), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		return r.TXT(context.Background(), name)
	}})
	if err != nil || len(list) == 0 {
		t.Fatalf("no signature verified: %v\n%s", err, data)
	}
	for _, v := range list {
		if v.Err != nil || v.Domain != from {
			t.Errorf("signature of %s: %v\n%s", v.Domain, v.Err, data)
		}
	}
}

func TestDelivered(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		k := b.site(t, "there.test", script{})
		id := b.Send(from, fields{"to", "Jane <jane@there.test>", "text", "line one\n.dot\n..two\nünïcödé", "o:tag", "t1", "v:order", "7"})
		d := b.Outcome(id, "jane@there.test", 1)
		ok().check(t, d)
		s := d.DeliveryStatus
		if s.MXHost != "mx.there.test" || s.AttemptNo != 1 || *s.TLS || *s.CertificateVerified || !*s.UTF8 || d.Envelope.SendingIP != "127.0.0.1" {
			t.Errorf("status %+v, envelope %+v", s, d.Envelope)
		}
		m := k.Await(t, 1)[0]
		b.verify(t, m.Data)
		if !strings.HasPrefix(m.From, "bounce+") || !strings.HasSuffix(m.From, "@"+from) || !slices.Equal(m.To, []string{"jane@there.test"}) {
			t.Errorf("envelope %s %v", m.From, m.To)
		}
		if header(m.Data, "Message-Id") != id || header(m.Data, "To") != `Jane <jane@there.test>` || header(m.Data, "Bcc") != "" {
			t.Errorf("header of\n%s", m.Data)
		}
		b.Idle()
	})
}

func TestRouting(t *testing.T) {
	b := start(t, apptest.Options{})
	w := b.World
	// The first MX refuses connections, the second greets with 421, the third takes mail.
	w.DNS.Set(t, "mx1.fall.test", "A", w.Address())
	w.Sink(t, "mx2.fall.test", script{Banner: apptest.Slow421})
	fall := w.Sink(t, "mx3.fall.test", script{})
	w.MX(t, "fall.test", "mx1.fall.test", "mx2.fall.test", "mx3.fall.test")

	spare := w.Sink(t, "mx2.prefer.test", script{})
	first := w.Sink(t, "mx1.prefer.test", script{})
	w.DNS.Set(t, "prefer.test", "MX", "20 mx2.prefer.test.", "5 mx1.prefer.test.")

	implicit := w.Sink(t, "implicit.test", script{})
	w.DNS.Set(t, "null.test", "MX", "0 .")
	w.DNS.Set(t, "text.test", "TXT", "no mail here")
	w.DNS.Fail("broken.test", dns.RcodeServerFailure)
	w.MX(t, "dangling.test", "mx.nowhere.test")

	six := w.SinkAt(t, "mx.six.test", "2001:db8::25", script{})
	w.DNS.Set(t, "mx.six.test", "AAAA", "2001:db8::25")
	w.MX(t, "six.test", "mx.six.test")
	both := w.SinkAt(t, "mx.both.test", "2001:db8::26", script{})
	w.DNS.Set(t, "mx.both.test", "AAAA", "2001:db8::26")
	w.DNS.Set(t, "mx.both.test", "A", w.Address()) // answers nothing
	w.MX(t, "both.test", "mx.both.test")
	alias := w.Sink(t, "mx.real.test", script{})
	w.MX(t, "real.test", alias.Host)
	w.DNS.Set(t, "alias.test", "CNAME", "real.test.")
	idn := w.Sink(t, "mx.xn--bcher-kva.test", script{})
	w.MX(t, "xn--bcher-kva.test", idn.Host)

	for _, c := range []struct {
		to   string
		sink *apptest.Sink
		want want
	}{
		{"x@fall.test", fall, ok()},
		{"x@prefer.test", first, ok()},
		{"x@implicit.test", implicit, ok()},
		{"x@six.test", six, ok()},
		{"x@both.test", both, ok()},
		{"x@alias.test", alias, ok()},
		{"x@bücher.test", idn, ok()},
		{"x@null.test", nil, permanent("bounce", 556, "5.1.10", "null MX")},
		{"x@gone.test", nil, temporary(498, "4.4.4", "No MX for [gone.test]")},
		{"x@text.test", nil, temporary(498, "4.4.4", "No MX for [text.test]")},
		{"x@dangling.test", nil, temporary(450, "4.4.3", "no address for mx.nowhere.test")},
		{"x@broken.test", nil, temporary(451, "4.4.3", "No MX for [broken.test]")},
	} {
		t.Run(c.to, func(t *testing.T) {
			d := b.Outcome(b.Send(from, fields{"to", c.to}), c.to, 1)
			c.want.check(t, d)
			if c.sink == nil {
				return
			}
			if got := c.sink.Messages(); len(got) != 1 || d.DeliveryStatus.MXHost != c.sink.Host {
				t.Errorf("%s has %d messages, the event names %s", c.sink.Host, len(got), d.DeliveryStatus.MXHost)
			}
		})
	}
	if n, _ := spare.Conns(); n != 0 {
		t.Errorf("the spare MX got %d connections although the preferred one answers", n)
	}
	if got := idn.Messages(); len(got) == 1 && (got[0].To[0] != "x@xn--bcher-kva.test" || strings.Contains(got[0].Params, "SMTPUTF8")) {
		t.Errorf("IDN envelope: %v %s", got[0].To, got[0].Params)
	}
	if got := b.Listed(b.dom, "bounces"); !slices.Equal(got, []string{"x@null.test"}) {
		t.Errorf("bounces: %v", got)
	}
}
