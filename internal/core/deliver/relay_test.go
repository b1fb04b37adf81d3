package deliver_test

import (
	"net"
	"testing"

	"postroad/internal/apptest"
)

func TestRelay(t *testing.T) {
	w := apptest.NewWorld(t)
	relay := func(host string, s script) (*apptest.Sink, string) {
		k := w.SinkAt(t, host, w.Address(), s)
		_, port, err := net.SplitHostPort(k.Addr())
		if err != nil {
			t.Fatal(err)
		}
		return k, port
	}
	auth := script{User: "user", Pass: "p@ss", Cert: w.Cert(t, "localhost")}
	submit, submitPort := relay("localhost", auth)
	implicit := auth
	implicit.Implicit = true
	smtps, smtpsPort := relay("localhost", implicit)
	wrong, wrongPort := relay("localhost", auth)
	plain, plainPort := relay("localhost", script{User: "user", Pass: "p@ss"})
	// A relay by its name goes through the World's resolver of addresses: none.
	far := w.Sink(t, "relay.far.test", script{})
	closed, closedPort := relay("localhost", script{Banner: "554 5.7.1 you are blocked"})
	b := start(t, apptest.Options{World: w, Args: []string{
		"--relay=submit.test=smtp://user:p%40ss@localhost:" + submitPort,
		"--relay=smtps.test=smtps://user:p%40ss@localhost:" + smtpsPort,
		"--relay=wrong.test=smtp://user:no@localhost:" + wrongPort,
		"--relay=plain.test=smtp://user:p%40ss@localhost:" + plainPort,
		"--relay=far.test=smtp://" + far.IP + ":25",
		"--relay=closed.test=smtp://localhost:" + closedPort,
	}})
	for _, c := range []struct {
		to   string
		sink *apptest.Sink
		want want
	}{
		{"x@submit.test", submit, ok()},
		{"x@smtps.test", smtps, ok()},
		{"x@plain.test", plain, ok()}, // on this machine nothing is overheard
		{"x@wrong.test", wrong, temporary(454, "4.7.0", "no")},
		{"x@closed.test", closed, temporary(554, "5.7.1", "you are blocked")}, // ours to repair: the message waits
		{"x@far.test", far, temporary(450, "4.7.4", "does not offer TLS")},
	} {
		t.Run(c.to, func(t *testing.T) {
			d := b.Outcome(b.Send(from, fields{"to", c.to}), c.to, 1)
			c.want.check(t, d)
			got := c.sink.All()
			if c.want.severity != "" {
				if len(got) != 0 {
					t.Errorf("went out: %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].User != "user" || got[0].TLS != (c.sink != plain) || *d.DeliveryStatus.TLS != got[0].TLS {
				t.Errorf("%+v; event says TLS %v", got, *d.DeliveryStatus.TLS)
			}
			b.verify(t, got[0].Data)
		})
	}
}

// TestPlainRelay: the switch allows a relay without TLS.
func TestPlainRelay(t *testing.T) {
	w := apptest.NewWorld(t)
	far := w.Sink(t, "relay.far.test", script{User: "user", Pass: "pw"})
	b := start(t, apptest.Options{World: w, Args: []string{"--relay=*=smtp://user:pw@" + far.IP + ":25", "--relay-without-tls"}})
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "x@any.test"}), "x@any.test", 1))
	if got := far.Messages(); len(got) != 1 || got[0].TLS || got[0].User != "user" {
		t.Errorf("%+v", got)
	}
}
