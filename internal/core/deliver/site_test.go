package deliver_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/config"
	"postroad/internal/core/event"
	"postroad/internal/mail/tlspolicy"
)

// TestSharedHosts: the domains of one provider share a connection, each with a
// transaction of its own.
func TestSharedHosts(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.World.Sink(t, "mx.provider.test", script{})
	b.World.MX(t, "one.test", k.Host)
	b.World.MX(t, "two.test", k.Host)
	for _, to := range []string{"x@one.test", "d@two.test"} { // looked up from now on
		ok().check(t, b.Outcome(b.Send(from, fields{"to", to}), to, 1))
	}
	id := b.Send(from, fields{"to", "a@one.test, b@two.test, c@one.test"})
	for _, to := range []string{"a@one.test", "b@two.test", "c@one.test"} {
		ok().check(t, b.Outcome(id, to, 1))
	}
	if n, _ := k.Conns(); n != 1 {
		t.Errorf("%d connections", n)
	}
	got := k.Messages()
	if len(got) != 2+2 { // a and c together
		t.Fatalf("%d transactions: %+v", len(got), got)
	}
	for _, m := range got {
		for _, to := range m.To {
			if strings.SplitN(to, "@", 2)[1] != strings.SplitN(m.To[0], "@", 2)[1] {
				t.Errorf("one transaction for %v", m.To)
			}
		}
	}
}

// policies serves MTA-STS policies by domain.
func policies(t *testing.T, w *apptest.World, texts map[string]string) (port string) {
	t.Helper()
	var names []string
	for domain := range texts {
		names = append(names, "mta-sts."+domain)
		w.DNS.Set(t, "mta-sts."+domain, "A", "127.0.0.1")
		w.DNS.Set(t, "_mta-sts."+domain, "TXT", "v=STSv1; id=1;")
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		fmt.Fprint(rw, texts[strings.TrimPrefix(host, "mta-sts.")])
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*w.Cert(t, names...)}}
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func sts(mode string, mx ...string) string {
	return "version: STSv1\nmode: " + mode + "\nmx: " + strings.Join(mx, "\nmx: ") + "\nmax_age: 86400\n"
}

// TestMTASTS: what a domain's policy enforces decides, its hosts are kept apart
// from those of domains without one, and how it went is counted.
func TestMTASTS(t *testing.T) {
	w := apptest.NewWorld(t)
	port := policies(t, w, map[string]string{
		"strict.test": sts("enforce", "mx.shared.test"), "wrong.test": sts("enforce", "mx.wrong.test"), "clear.test": sts("enforce", "mx.clear.test"),
		"other.test": sts("enforce", "elsewhere.test"), "try.test": sts("testing", "elsewhere.test"), "second.test": sts("enforce", "*.second.test")})
	b := start(t, apptest.Options{World: w, Wire: app.Wire{PolicyPort: port}})
	shared := w.Sink(t, "mx.shared.test", script{Cert: w.Cert(t, "mx.shared.test")})
	for _, d := range []string{"strict.test", "plain.test", "other.test", "try.test"} {
		w.MX(t, d, shared.Host)
	}
	b.site(t, "wrong.test", script{Cert: w.Cert(t, "not.this.test")})
	b.site(t, "clear.test", script{})
	w.Sink(t, "mx1.second.test", script{Cert: w.Cert(t, "not.this.test")})
	second := w.Sink(t, "mx2.second.test", script{Cert: w.Cert(t, "mx2.second.test")})
	w.MX(t, "second.test", "mx1.second.test", second.Host)
	for _, c := range []struct {
		domain string
		want   want
	}{
		{"plain.test", ok()},
		{"strict.test", ok()},
		{"try.test", ok()},
		{"second.test", ok()},
		{"wrong.test", temporary(421, "4.7.5", "TLS handshake failed with mx.wrong.test (MTA-STS)")},
		{"clear.test", temporary(450, "4.7.4", "required by the domain's MTA-STS policy")},
		{"other.test", temporary(451, "4.7.5", "not in the domain's MTA-STS policy")},
	} {
		to := "x@" + c.domain
		c.want.check(t, b.Outcome(b.Send(from, fields{"to", to}), to, 1))
	}
	if n, _ := shared.Conns(); n != 2 || len(shared.Messages()) != 3 {
		t.Errorf("%d connections, %d messages: want strict.test on one, plain.test and try.test on another", n, len(shared.Messages()))
	}
	if got := second.Messages(); len(got) != 1 || !got[0].TLS {
		t.Errorf("%+v", got)
	}
	at := b.Clock.Now()
	b.Stop()
	again := apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Data: b.Data, Clock: b.Clock})
	list, err := again.Peers.Results(context.Background(), at)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, r := range list {
		have[fmt.Sprint(r.PolicyDomain, " ", r.PolicyType, " ", r.ResultType)] = true
	}
	for _, want := range []string{"strict.test sts ", "wrong.test sts " + string(tlspolicy.CertificateHostMismatch),
		"clear.test sts " + string(tlspolicy.StartTLSNotSupported), "other.test sts " + string(tlspolicy.ValidationFailure)} {
		if !have[want] {
			t.Errorf("no result %q among %v", want, have)
		}
	}
}

// TestDANE: what signed records say of a host's certificate decides, the
// authorities do not.
func TestDANE(t *testing.T) {
	b := start(t, apptest.Options{})
	w := b.World
	for i, c := range []struct {
		name   string
		sign   bool // the zone is
		match  bool // the records are those of the certificate
		broken bool // the records cannot be looked up
		tls    bool
		want   want
	}{
		{"match", true, true, false, true, ok()},
		{"mismatch", true, false, false, true, temporary(421, "4.7.5", "(DANE)")},
		{"mismatch in a zone without signatures", false, false, false, true, ok()},
		{"no TLS", true, true, false, false, temporary(450, "4.7.4", "required by DANE")},
		{"withheld", true, true, true, true, temporary(451, "4.7.5", "TLSA records cannot be looked up")},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := fmt.Sprintf("dane%d.test", i)
			cert, other := w.Cert(t, "not.this.test"), w.Cert(t, "not.this.test")
			s := script{}
			if c.tls {
				s.Cert = cert
			}
			b.site(t, name, s)
			if !c.match {
				cert = other
			}
			leaf, err := x509.ParseCertificate(cert.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			w.DNS.Set(t, "_25._tcp.mx."+name, "TLSA", fmt.Sprintf("3 1 1 %x", sha256.Sum256(leaf.RawSubjectPublicKeyInfo)))
			if c.sign {
				w.DNS.Sign(name)
			}
			if c.broken {
				w.DNS.Fail("_25._tcp.mx."+name, dns.RcodeServerFailure)
			}
			d := b.Outcome(b.Send(from, fields{"to", "x@" + name}), "x@"+name, 1)
			c.want.check(t, d)
			if s := d.DeliveryStatus; d.Event == event.Delivered && *s.CertificateVerified != (c.sign && c.match) {
				t.Errorf("certificate verified: %v", *s.CertificateVerified)
			}
		})
	}
}

// TestHappyEyeballs: an IPv6 address that swallows everything costs a moment once,
// and nothing the next time.
func TestHappyEyeballs(t *testing.T) {
	o := apptest.Options{Mode: config.Serve, Wire: app.Wire{Connect: 30 * time.Second, Linger: time.Millisecond}}
	b := &bed{Server: apptest.Start(t, o), t: t}
	b.dom = b.AddDomain(from)
	w := b.World
	const hole = "2001:db8::bad"
	w.BlackHole(hole)
	k := w.Sink(t, "mx.eyes.test", script{PerConn: 1})
	w.DNS.Set(t, "mx.eyes.test", "AAAA", hole)
	w.MX(t, "eyes.test", k.Host)
	began := time.Now()
	for i := range 3 {
		to := fmt.Sprintf("u%d@eyes.test", i)
		ok().check(t, b.Outcome(b.Send(from, fields{"to", to}), to, 1))
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
	if got := w.Dialed(); !slices.Equal(got, []string{hole, k.IP, k.IP, k.IP}) {
		t.Errorf("dialled %v", got)
	}
	six := w.SinkAt(t, "mx.well.test", "2001:db8::25", script{})
	w.DNS.Set(t, "mx.well.test", "AAAA", six.IP)
	w.DNS.Set(t, "mx.well.test", "A", w.Address())
	w.MX(t, "well.test", "mx.well.test")
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "x@well.test"}), "x@well.test", 1))
	if got := w.Dialed(); got[len(got)-1] != six.IP {
		t.Errorf("IPv6 that works was not preferred: %v", got)
	}
}

// TestOtherHost: what one host does before it has the message says nothing about
// the message, and another host gets it.
func TestOtherHost(t *testing.T) {
	b := start(t, apptest.Options{Wire: brief()})
	for i, c := range []struct {
		name  string
		first script
		want  want
		taken int // messages at the second host
	}{
		{"banner 421", script{Banner: "421 4.3.2 closing"}, ok(), 1},
		{"banner stall", script{Banner: apptest.Stall}, ok(), 1},
		{"banner 554", script{Banner: "554 5.3.0 no service here"}, ok(), 1},
		{"mail 421", script{Mail: apptest.Slow421}, ok(), 1},
		{"mail drop", script{Mail: apptest.Drop}, ok(), 1},
		{"rcpt drop", script{Any: apptest.Drop}, ok(), 1},
		{"rcpt stall", script{Any: apptest.Stall}, ok(), 1},
		{"data drop", script{Data: apptest.Drop}, ok(), 1},
		{"dot drop", script{Dot: apptest.Drop}, temporary(451, "4.4.2", "body"), 0},
		{"rcpt 450", script{Any: "450 4.2.0 later"}, temporary(450, "4.2.0", "later"), 0},
		{"too many connections", script{Mail: "421 4.7.0 Too many connections from your IP address"}, temporary(421, "4.7.0", "Too many"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := fmt.Sprintf("pair%d.test", i)
			b.World.Sink(t, "mx1."+name, c.first)
			k := b.World.Sink(t, "mx2."+name, script{})
			b.World.MX(t, name, "mx1."+name, k.Host)
			c.want.check(t, b.Outcome(b.Send(from, fields{"to", "x@" + name}), "x@"+name, 1))
			if got := len(k.Messages()); got != c.taken {
				t.Errorf("%d messages at the second host", got)
			}
		})
	}
}

// TestBlackHoleOfTwo: with one of two hosts swallowing connections the other gets
// the mail, and other sites notice nothing; with both the mail waits.
func TestBlackHoleOfTwo(t *testing.T) {
	o := apptest.Options{Mode: config.Serve, Wire: app.Wire{Connect: 600 * time.Millisecond}}
	b := &bed{Server: apptest.Start(t, o), t: t}
	b.dom = b.AddDomain(from)
	w := b.World
	holes := []string{w.Address(), w.Address(), w.Address()}
	for i, ip := range holes {
		w.BlackHole(ip)
		w.DNS.Set(t, fmt.Sprintf("mx%d.hole.test", i), "A", ip)
	}
	good := w.Sink(t, "good.half.test", script{PerConn: 10})
	w.MX(t, "half.test", "mx0.hole.test", good.Host)
	w.MX(t, "none.test", "mx1.hole.test", "mx2.hole.test")
	fast := b.site(t, "fast.test", script{})
	slow := b.site(t, "slow.test", script{Dot: apptest.Hold})
	const n = 100
	var half, none []string
	for i := range n {
		half = append(half, b.Send(from, fields{"to", fmt.Sprintf("u%d@half.test", i)}))
		if i < 10 {
			none = append(none, b.Send(from, fields{"to", fmt.Sprintf("u%d@none.test", i)}))
			b.Send(from, fields{"to", fmt.Sprintf("u%d@slow.test", i)})
		}
		b.Send(from, fields{"to", fmt.Sprintf("u%d@fast.test", i)})
	}
	fast.Await(t, n)
	for i, id := range half {
		ok().check(t, b.Outcome(id, fmt.Sprintf("u%d@half.test", i), 1))
	}
	if len(slow.Messages()) != 0 {
		t.Error("the slow site was waited for")
	}
	dials := 0
	for _, ip := range w.Dialed() {
		if ip == holes[0] {
			dials++
		}
	}
	if dials > 10 {
		t.Errorf("the silent host was dialled %d times", dials)
	}
	slow.Release()
	d := b.Outcome(none[0], "u0@none.test", 1)
	if d.Severity != event.Temporary || d.DeliveryStatus.Code != 421 {
		t.Errorf("%+v", d.DeliveryStatus)
	}
}

// TestWatchdog: a session that hangs beyond every patience is cut, and what it was
// delivering is tried again.
func TestWatchdog(t *testing.T) {
	o := apptest.Options{Mode: config.Serve, Wire: app.Wire{Limit: 300 * time.Millisecond}}
	o.Wire.Timeouts.Banner, o.Wire.Timeouts.Final, o.Wire.Timeouts.Command = time.Hour, time.Hour, time.Hour
	b := &bed{Server: apptest.Start(t, o), t: t}
	b.dom = b.AddDomain(from)
	for name, s := range map[string]script{"banner.test": {Banner: apptest.Stall}, "rcpt.test": {Any: apptest.Stall}, "dot.test": {Dot: apptest.Stall}} {
		b.site(t, name, s)
		d := b.Outcome(b.Send(from, fields{"to", "x@" + name}), "x@"+name, 1)
		if d.Severity != event.Temporary || d.DeliveryStatus.RetrySeconds == 0 {
			t.Errorf("%s: %s %+v", name, d.Severity, d.DeliveryStatus)
		}
	}
	b.site(t, "fine.test", script{})
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "x@fine.test"}), "x@fine.test", 1))
}
