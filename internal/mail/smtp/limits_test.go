package smtp

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
)

// A client that brings nothing is sent away, whatever it passes the time with.
func TestFutileCommands(t *testing.T) {
	for _, line := range []string{"NOOP", "RSET", "VRFY a", "HELP", "EHLO c", "HELO c", "MAIL FROM:<a@b>\r\nRSET", "MAIL FROM:<a@b>\r\nRCPT TO:<reject@d>\r\nRSET",
		"MAIL FROM:<a@b>\r\nRCPT TO:<b@d>\r\nDATA\r\nSubject: spam\r\n.", "MAIL FROM:<a@b>\r\nRCPT TO:<b@d>\r\nBDAT 13 LAST\r\nSubject: spam"} {
		s, addr := serve(t, Config{Backend: &store{}, MaxFutile: 20, MaxErrors: 1000})
		r := rawDial(t, addr)
		r.expect("220")
		r.write("EHLO c\r\n")
		r.expect("250")
		go func() { _, _ = io.WriteString(r.Conn, strings.Repeat(line+"\r\n", 100)) }() // the server may close before the end
		n := 0
		for got := ""; !strings.HasPrefix(got, "421 4.7.0 too many commands"); n++ {
			if got = r.reply(); n > 80 || got == "" {
				t.Fatalf("%q: reply %d is %q", line, n, got)
			}
		}
		if s.Stats.Cut.Load() != 1 {
			t.Errorf("%q: not counted", line)
		}
	}
}

// One that brings messages may go on for ever, and so may one that has a long
// list with some stale addresses.
func TestNoFutileCommands(t *testing.T) {
	s, addr := serve(t, Config{Backend: &store{}, MaxFutile: 20})
	r := rawDial(t, addr)
	r.expect("220")
	for range 50 {
		r.write("RSET\r\nNOOP\r\n" + toB + "DATA\r\nx\r\n.\r\n")
		r.expect("250", "250", "250", "250", "250", "354", "250")
	}
	r.write("MAIL FROM:<a@b>\r\n")
	r.expect("250")
	for range 100 {
		r.write("RCPT TO:<a@b>\r\nRCPT TO:<reject@b>\r\n")
		r.expect("250", "550")
	}
	r.write("DATA\r\nx\r\n.\r\n")
	r.expect("354", "250")
	if got := s.Stats.Messages.Load(); got != 51 {
		t.Errorf("%d messages are counted", got)
	}
}

// Time without a message is bounded as well, in a transaction too, and the
// session as a whole.
func TestSessionTime(t *testing.T) {
	c := clock.NewFake(time.Unix(1_000_000, 0))
	_, addr := serve(t, Config{Backend: &store{}, Now: c.Now})
	r := rawDial(t, addr)
	r.expect("220")
	r.write("NOOP\r\n")
	r.expect("250")
	c.Advance(14 * time.Minute)
	r.write(toB + "DATA\r\nx\r\n.\r\n")
	r.expect("250", "250", "250", "354", "250")
	c.Advance(14 * time.Minute)
	r.write("MAIL FROM:<a@b>\r\n")
	r.expect("250")
	c.Advance(2 * time.Minute)
	r.write("NOOP\r\n") // the wait for it began before
	r.expect("250", "421 4.4.2", "")

	r = rawDial(t, addr)
	r.expect("220")
	for range 23 {
		c.Advance(10 * time.Minute)
		r.write(toB + "DATA\r\nx\r\n.\r\n")
		r.expect("250", "250", "250", "354", "250")
	}
	r.write("MAIL FROM:<a@b>\r\n")
	r.expect("250")
	c.Advance(14 * time.Minute)
	r.write("RCPT TO:<b@d>\r\nDATA\r\nx\r\n.\r\n") // what is under way comes to its end
	r.expect("250", "354", "250", "421 4.4.2", "")
}

// The chunks of one message together have the time of a message.
func TestChunkTime(t *testing.T) {
	c := clock.NewFake(time.Unix(1_000_000, 0))
	_, addr := serve(t, Config{Backend: &store{}, Now: c.Now, Timeouts: ServerTimeouts{Message: 10 * time.Minute}})
	r := rawDial(t, addr)
	r.expect("220")
	r.write(toB + "BDAT 1\r\nx")
	r.expect("250", "250", "250", "250")
	c.Advance(6 * time.Minute)
	r.write("BDAT 1\r\nx")
	r.expect("250")
	c.Advance(6 * time.Minute)
	r.write("BDAT 1\r\nx")
	for got := r.reply(); !strings.HasPrefix(got, "421 4.4.2"); got = r.reply() {
		if !strings.HasPrefix(got, "250 2.0.0 1 octets") {
			t.Fatal(got)
		}
	}
}

func TestConnectRate(t *testing.T) {
	c := clock.NewFake(time.Unix(1_000_000, 0))
	s, addr := serve(t, Config{Backend: &store{}, Now: c.Now, MaxConnectRate: 3})
	for _, want := range []string{"220", "220", "220", "421 4.3.2 mx.example.com too many new connections", "421"} {
		rawDial(t, addr).expect(want)
	}
	c.Advance(20 * time.Second)
	rawDial(t, addr).expect("220")
	rawDial(t, addr).expect("421")
	if got := s.Stats.Refused.Load(); got != 3 {
		t.Errorf("%d are counted as refused", got)
	}
}

func TestMaxMessages(t *testing.T) {
	_, addr := serve(t, Config{Backend: &store{}, MaxMessages: 2, MaxRecipients: 7})
	r := rawDial(t, addr)
	r.expect("220")
	r.write("EHLO c\r\n")
	if got := r.reply(); !strings.Contains(got, "|250-LIMITS RCPTMAX=7 MAILMAX=2|") {
		t.Error(got)
	}
	r.write("MAIL FROM:<a@b>\r\nRSET\r\nMAIL FROM:<a@b>\r\nRSET\r\nMAIL FROM:<a@b>\r\n")
	r.expect("250", "250", "250", "250", "421 4.7.0", "")
}

// released waits until no session holds buffers.
func released(t testing.TB, s *Server, want int64) {
	t.Helper()
	for deadline := time.Now().Add(wait); s.bufs.lent.Load() != want; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions hold buffers, want %d", s.bufs.lent.Load(), want)
		}
	}
}

// A connection that waits keeps no buffers, under TLS as well, and goes on as if
// it had: with half a line, a batch, a message.
func TestIdleBuffers(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	st := &store{}
	s, addr := serve(t, Config{Backend: st, TLS: serverTLS, Timeouts: ServerTimeouts{Release: time.Millisecond}})
	r := rawDial(t, addr)
	r.expect("220")
	released(t, s, 0)
	r.write("NO")
	r.write("OP\r\n")
	r.expect("250")
	released(t, s, 0)
	r.write(toB + "DATA\r\nx\r\n.\r\n")
	r.expect("250", "250", "250", "354", "250")
	released(t, s, 0)
	r.write(toB)
	r.expect("250", "250", "250")
	released(t, s, 0)
	r.write("BDAT 3\r\nx\r\n")
	r.expect("250")
	released(t, s, 0)
	r.write("BDAT 3 LAST\r\ny\r\n")
	r.expect("250")
	released(t, s, 0)
	r.write("\x00\r\n")
	r.expect("500")

	c := connect(t, addr, ClientOptions{})
	released(t, s, 0)
	if err := c.StartTLS(testContext(t), clientTLS); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		released(t, s, 0)
		if _, err := c.Send(testContext(t), testEnvelope, testBody); err != nil {
			t.Fatal(err)
		}
	}
	if got := st.messages(); len(got) != 5 || got[1].body != "x\r\ny\r\n" {
		t.Errorf("%+v", got)
	}
	// The end of the server reaches those that have none, too.
	released(t, s, 0)
	if err := s.Shutdown(testContext(t)); err != nil {
		t.Fatal(err)
	}
	r.expect("421 4.3.2", "")
}

func TestIdleTimeout(t *testing.T) {
	_, addr := serve(t, Config{Backend: &store{}, Timeouts: ServerTimeouts{Release: time.Millisecond, Command: 50 * time.Millisecond}})
	rawDial(t, addr).expect("220", "421 4.4.2", "")
}

// 1,000 connections that idle and 500 that send, all served, at once.
func TestManyConnections(t *testing.T) {
	const idle, busy, each = 1000, 500, 4
	st := &store{}
	s, addr := serve(t, Config{Backend: st, Timeouts: ServerTimeouts{Release: 10 * time.Millisecond}})
	before := memory()
	rest := make([]*raw, idle)
	for i := range rest {
		rest[i] = rawDial(t, addr)
		rest[i].write("EHLO c\r\n")
		rest[i].expect("220", "250")
	}
	released(t, s, 0)
	// The client's side of a connection in this process is counted as well.
	perIdle := (memory() - before) / idle
	t.Logf("an idle connection takes %d bytes, of both sides", perIdle)
	if perIdle > 16<<10 {
		t.Errorf("an idle connection takes %d bytes", perIdle)
	}
	clients := make([]*Client, busy)
	for i := range clients {
		clients[i] = connect(t, addr, ClientOptions{})
	}
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := range each {
				env := Envelope{From: "a@example.com", To: []string{fmt.Sprintf("c%d-%d@example.com", i, n)}}
				if _, err := c.Send(testContext(t), env, testBody); err != nil {
					t.Error(i, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, r := range rest {
		r.write("NOOP\r\nQUIT\r\n")
		r.expect("250", "221")
	}
	to := map[string]bool{}
	for _, m := range st.messages() {
		to[m.to[0]] = true
	}
	if len(to) != busy*each {
		t.Errorf("%d messages arrived", len(to))
	}
}

// memory is what the program holds on its heap and stacks.
func memory() uint64 {
	var m runtime.MemStats
	for range 3 { // pools let go in two cycles
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
