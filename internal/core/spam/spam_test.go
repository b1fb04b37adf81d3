package spam

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/netx"
	"postroad/internal/mail/authres"
)

func newFilter(t testing.TB, c Config) *Filter {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 20
	}
	if c.Concurrency == 0 {
		c.Concurrency = 4
	}
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Hostname = "mail.own.example"
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// answering is a server that reads what it is sent and gives one answer; with
// "" it keeps the client waiting.
func answering(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				io.ReadAtLeast(c, make([]byte, 4096), 40)
				if text != "" {
					io.WriteString(c, text)
					c.(*net.TCPConn).CloseWrite()
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestBrokenFilter(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\nContent-Length: "
	for _, c := range []struct{ protocol, answer, want string }{
		{Spamd, "220 mail.example ESMTP\r\n", "no answer in its protocol"},
		{Spamd, "SPAMD/1.0 79 Timeout: \x1b[31m\r\n", "SPAMD/1.0 79 Timeout: [31m"},
		{Spamd, "SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: True ; 9 / 5\r\n", "breaks off"},
		{Spamd, "SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: True ; 9 / 5\r\n\r\nGTU", "breaks off"},
		{Spamd, "SPAMD/1.1 0 EX_OK\r\nContent-length: 3\r\n\r\nGTU", "without a verdict"},
		{Spamd, "SPAMD/1.1 0 EX_OK\r\nSpam: Perhaps ; 9 / 5\r\n\r\n", "not understood"},
		{Spamd, "SPAMD/1.1 0 EX_OK\r\nSpam: True ; NaN / 5\r\n\r\n", "not understood"},
		{Spamd, strings.Repeat("SPAMD/", maxReply), "too long"},
		{Spamd, "", "deadline exceeded"},
		{Rspamd, "220 mail.example ESMTP\r\n", "malformed HTTP"},
		{Rspamd, ok + "2\r\n\r\n{}", "unknown action"},
		{Rspamd, ok + "9\r\n\r\n{}", "unexpected EOF"},
		{Rspamd, ok + "4\r\n\r\nnull", "unknown action"},
		{Rspamd, ok + "30\r\n\r\n{\"action\":\"no action\",\"score\":", "unexpected end of JSON"},
		{Rspamd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 24\r\n\r\n{\"error\":\"Unauthorized\"}", "status 403 Unauthorized"},
		{Rspamd, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "status 302"},
		{Rspamd, ok + "9000000\r\n\r\n" + strings.Repeat(" ", 9000000), "too long"},
		{Rspamd, "", "deadline exceeded"},
	} {
		timeout := 20 * time.Second
		if c.answer == "" {
			timeout = 50 * time.Millisecond
		}
		f := newFilter(t, Config{Protocol: c.protocol, Network: "tcp", Address: answering(t, c.answer), Timeout: timeout})
		v := f.Check(t.Context(), session(ham))
		if v.Err == nil || !strings.Contains(v.Err.Error(), c.want) {
			t.Errorf("%s %.60q: %v, want %q", c.protocol, c.answer, v.Err, c.want)
		}
		if h := v.Headers(); len(h) != 1 || h[0].Name != "X-Postroad-Spam-Check" || h[0].Value != "unavailable" {
			t.Errorf("marked with %v", h)
		}
		if f.Stats.Unchecked.Load() != 1 || f.Stats.Failures.Load() != 1 || f.Stats.Checked.Load() != 0 {
			t.Errorf("%s %.60q: counted wrongly", c.protocol, c.answer)
		}
	}
}

// scripted is an engine that does as it is told.
type scripted struct {
	err   error
	calls int
	block chan struct{}
}

func (s *scripted) check(ctx context.Context, _ *Mail, _ []byte) (*Verdict, error) {
	s.calls++
	if s.block != nil {
		<-s.block
	}
	return &Verdict{}, s.err
}

// TestBreaker: a filter that is gone is asked now and then only, and the log has
// a line when it goes and one when it is back.
func TestBreaker(t *testing.T) {
	now := clock.NewFake(time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC))
	var log bytes.Buffer
	f := newFilter(t, Config{Protocol: Spamd, Network: "tcp", Address: "127.0.0.1:1", Clock: now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	e := &scripted{err: errors.New("connection refused")}
	f.engine = e
	check := func(n int) (v *Verdict) {
		for range n {
			v = f.Check(t.Context(), session(ham))
		}
		return v
	}
	if v := check(100); e.calls != tolerated || !errors.Is(v.Err, ErrOpen) {
		t.Errorf("asked %d times: %v", e.calls, v.Err)
	}
	now.Advance(pause)
	if check(100); e.calls != tolerated+1 {
		t.Errorf("asked %d times", e.calls)
	}
	now.Advance(pause)
	e.err = nil
	if v := check(100); v.Err != nil || e.calls != tolerated+1+100 {
		t.Errorf("asked %d times: %v", e.calls, v.Err)
	}
	text := log.String()
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, "not available") || !strings.Contains(text, "available again") || !strings.Contains(text, "connection refused") {
		t.Errorf("log:\n%s", text)
	}
	log.Reset()
	for range 100 { // one that comes and goes
		e.err = errors.New("reset")
		check(1)
		e.err = nil
		check(1)
	}
	if log.Len() != 0 {
		t.Errorf("within a minute of the last line:\n%s", log.String())
	}
	if n := f.Stats.Unchecked.Load(); n != 200+100 {
		t.Errorf("%d passed unchecked", n)
	}
}

// TestBusy: more checks at once than allowed wait, not longer than their time.
func TestBusy(t *testing.T) {
	f := newFilter(t, Config{Protocol: Spamd, Network: "tcp", Address: "127.0.0.1:1", Concurrency: 1, Timeout: 30 * time.Millisecond})
	e := &scripted{block: make(chan struct{})}
	f.engine = e
	first := make(chan *Verdict)
	f.turns <- struct{}{} // one is under way
	if v := f.Check(t.Context(), session(ham)); !errors.Is(v.Err, ErrBusy) {
		t.Errorf("%v", v.Err)
	}
	if f.Stats.Failures.Load() != 0 || f.Stats.Unchecked.Load() != 1 {
		t.Error("being busy is no failure of the filter, but the message passed unchecked")
	}
	f.config.Timeout = time.Minute
	go func() { first <- f.Check(t.Context(), session(ham)) }()
	<-f.turns // the other one is done
	close(e.block)
	if v := <-first; v.Err != nil {
		t.Errorf("%v", v.Err)
	}
}

// TestOnlyTheFilter: the guard of outgoing calls lets pass the address of the
// filter and no other.
func TestOnlyTheFilter(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"action":"no action","score":-1.5}`) })
	server := httptest.NewServer(h)
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	f := newFilter(t, Config{Protocol: Rspamd, Network: "tcp", Address: address})
	if v := f.Check(t.Context(), session(ham)); v.Err != nil || v.Score != -1.5 {
		t.Errorf("%+v", v)
	}
	r := newFilter(t, Config{Protocol: Rspamd, Network: "tcp", Address: "127.0.0.2:9"}).engine.(*rspamd)
	if _, err := r.client.Do(t.Context(), netx.Request{URL: server.URL}); !errors.Is(err, netx.ErrForbiddenAddress) {
		t.Errorf("another address: %v", err)
	}
	_, port, _ := net.SplitHostPort(address)
	f = newFilter(t, Config{Protocol: Rspamd, Network: "tcp", Address: "localhost:" + port})
	if v := f.Check(t.Context(), session(ham)); v.Err != nil {
		t.Errorf("by name: %+v", v)
	}
}

func TestHeaders(t *testing.T) {
	for _, c := range []struct {
		v    Verdict
		want string
	}{
		{Verdict{Spam: true, Score: 1004.2}, "X-Mailgun-Sflag: Yes, X-Mailgun-Sscore: 1004.2"},
		{Verdict{Score: -0.001}, "X-Mailgun-Sflag: No, X-Mailgun-Sscore: 0"},
		{Verdict{Score: -2.345}, "X-Mailgun-Sflag: No, X-Mailgun-Sscore: -2.35"},
		{Verdict{Score: 4.9, Partial: true}, "X-Mailgun-Sflag: No, X-Mailgun-Sscore: 4.9, X-Postroad-Spam-Check: partial"},
		{Verdict{Err: ErrOpen}, "X-Postroad-Spam-Check: unavailable"},
	} {
		var got []string
		for _, f := range c.v.Headers() {
			got = append(got, f.Name+": "+f.Value)
			if rest, err := authres.Strip([]byte(strings.ToLower(f.Name)+": x\r\n\r\n"), "mx.example"); err != nil || string(bytes.Join(rest, nil)) != "\r\n" {
				t.Errorf("%s may be brought from outside: %q, %v", f.Name, rest, err)
			}
		}
		if g := strings.Join(got, ", "); g != c.want {
			t.Errorf("%s, want %s", g, c.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	good := Config{Protocol: Spamd, Network: "unix", Address: "/s", Timeout: 1, MaxBytes: 1, Concurrency: 1, Logger: slog.New(slog.DiscardHandler)}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"protocol": func(c *Config) { c.Protocol = "milter" }, "rspamd over unix": func(c *Config) { c.Protocol = Rspamd },
		"no time": func(c *Config) { c.Timeout = 0 }, "no size": func(c *Config) { c.MaxBytes = 0 }, "no turn": func(c *Config) { c.Concurrency = 0 },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("SPAMD/1.1 0 EX_OK\r\nContent-length: 11\r\nSpam: True ; 1004.2 / 5.0\r\n\r\nGTUBE,OTHER"))
	f.Add([]byte("SPAMD/1.0 76 Bad header line: FOO\r\n"))
	f.Add([]byte(`{"is_skipped":false,"score":8.75,"required_score":15.0,"action":"add header","thresholds":{"greylist":null,"add header":6},"symbols":{"A":{"name":"A","score":7.5}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, parse := range map[string]func() (*Verdict, error){
			"spamd":  func() (*Verdict, error) { return parseSpamd(b) },
			"rspamd": func() (*Verdict, error) { return parseRspamd(200, b) },
		} {
			v, err := parse()
			if (v == nil) == (err == nil) {
				t.Fatalf("%s: %v, %v", name, v, err)
			}
			if err == nil && len(v.Symbols) > maxSymbols {
				t.Fatalf("%s: %d symbols", name, len(v.Symbols))
			}
			if err == nil {
				for _, field := range v.Headers() {
					if field.Check() != nil {
						t.Fatalf("%s: %+v", name, field)
					}
				}
			}
		}
	})
}

func FuzzSession(f *testing.F) {
	f.Add("mx.peer.example", "a@peer.example", "out.peer.example")
	f.Add("x\r\n y", "<>\x00", "(")
	s := &spamd{hostname: "mail.own.example", clock: clock.NewFake(time.Unix(1e9, 0))}
	f.Fuzz(func(t *testing.T, helo, sender, name string) {
		m := session(ham)
		m.HELO, m.Sender, m.ClientName = helo, sender, name
		if n := strings.Count(string(s.session(m)), "\r\n"); n != 4 {
			t.Fatalf("%d lines", n)
		}
		if n := strings.Count(string(s.session(m)), "\n"); n != 4 {
			t.Fatalf("%d lines", n)
		}
	})
}
