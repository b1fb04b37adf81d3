package dnsx_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postroad/internal/base/dnsx"
)

// serveRaw answers queries over UDP with whatever messages reply makes of them.
func serveRaw(t *testing.T, reply func(*dns.Msg) []*dns.Msg) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, done := make(chan struct{}), make(chan error, 1)
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }}
	server.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		for _, m := range reply(query) {
			if err := w.WriteMsg(m); err != nil {
				t.Log(err) // the client has gone
			}
		}
	})
	go func() { done <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(), <-done); err != nil {
			t.Error(err)
		}
	})
	return conn.LocalAddr().String()
}

func replyTo(query *dns.Msg, text string) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(query)
	m.Answer = []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60},
		Txt: []string{text},
	}}
	return m
}

func TestForgedRepliesAreNotUsed(t *testing.T) {
	tests := map[string]func(forged *dns.Msg){
		"other name":       func(m *dns.Msg) { m.Question[0].Name = "other.example." },
		"other type":       func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX },
		"no question":      func(m *dns.Msg) { m.Question = nil },
		"not a reply":      func(m *dns.Msg) { m.Response = false },
		"other owner":      func(m *dns.Msg) { m.Answer[0].Header().Name = "other.example." },
		"other class":      func(m *dns.Msg) { m.Answer[0].Header().Class = dns.ClassCHAOS },
		"server failure":   func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure },
		"no such name":     func(m *dns.Msg) { m.Rcode, m.Answer = dns.RcodeNameError, nil },
		"question doubled": func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
	}
	for name, forge := range tests {
		t.Run(name, func(t *testing.T) {
			server := serveRaw(t, func(q *dns.Msg) []*dns.Msg {
				m := replyTo(q, "forged")
				forge(m)
				return []*dns.Msg{m}
			})
			c, err := dnsx.New(dnsx.Config{Servers: []string{server}, Timeout: 300 * time.Millisecond, Attempts: 1})
			if err != nil {
				t.Fatal(err)
			}
			texts, err := c.TXT(t.Context(), "x.example")
			var e *dnsx.Error
			if !errors.As(err, &e) || texts != nil {
				t.Errorf("got %q, %v", texts, err)
			}
		})
	}
}

func TestReplyWithOtherIDIsPassedOver(t *testing.T) {
	server := serveRaw(t, func(q *dns.Msg) []*dns.Msg {
		forged := replyTo(q, "forged")
		forged.Id++
		return []*dns.Msg{forged, replyTo(q, "true")}
	})
	c, err := dnsx.New(dnsx.Config{Servers: []string{server}})
	if err != nil {
		t.Fatal(err)
	}
	texts, err := c.TXT(t.Context(), "x.example")
	check(t, err, texts, []string{"true"})
}
