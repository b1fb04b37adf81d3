package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// dialogue is one line sent and the beginning of the reply wanted.
type dialogue struct{ send, want string }

func TestDialogue(t *testing.T) {
	serverTLS, _ := certificate(t)
	big := strings.Repeat("x", 3000)
	tests := map[string][]dialogue{
		"order": {
			{"MAIL FROM:<a@b>", "503 5.5.1"}, {"RCPT TO:<a@b>", "503 5.5.1"}, {"DATA", "503 5.5.1"}, {"AUTH PLAIN x", "503 5.5.1"},
			{"HELO", "501 5.5.4"}, {"EHLO a b", "501"}, {"EHLO a\x7fb", "501"}, {"HELO c", "250 mx.example.com"},
			{"RCPT TO:<a@b>", "503"}, {"DATA", "503"},
		},
		"rcpt": {
			{"EHLO c", "250-mx.example.com|250-PIPELINING|250-SIZE 5000|250-8BITMIME|250-SMTPUTF8|250-CHUNKING|250-STARTTLS|250-LIMITS RCPTMAX=3|250 ENHANCEDSTATUSCODES"},
			{"MAIL FROM:<a@b>", "250 2.1.0"}, {"MAIL FROM:<a@b>", "503 5.5.1"}, {"RCPT TO:<>", "501 5.1.3"}, {"RCPT TO:<c>", "501 5.1.3"},
			{"RCPT TO:<reject@d>", "550 5.1.1 no such user"}, {"RCPT TO:<defer@d>", "450 4.2.1"}, {"DATA", "554 5.5.1"},
			{"RCPT TO:<c@d>", "503"},
		},
		"limit": {
			{"EHLO c", "250"}, {"mail from: <>", "250"}, {"rcpt to:<a@d>", "250"}, {"RCPT TO:<postMaster>", "250"}, {"RCPT TO:<c@d>", "250"},
			{"RCPT TO:<e@d>", "452 4.5.3"}, {"DATA", "354"}, {"x\r\n.", "250 2.0.0 OK queued as q1"}, {"DATA", "503"},
		},
		"reset": {
			{"EHLO c", "250"}, {"MAIL FROM:<a@b>", "250"}, {"RCPT TO:<a@d>", "250"}, {"RSET", "250"}, {"DATA", "503"},
			{"MAIL FROM:<a@b>", "250"}, {"RCPT TO:<a@d>", "250"}, {"EHLO c", "250"}, {"DATA", "503"},
			{"MAIL FROM:<a@b>", "250"}, {"RCPT TO:<a@d>", "250"}, {"DATA now", "501"}, {"RCPT TO:<a@d>", "503"},
			{"RSET now", "501"},
		},
		"refused data": {
			{"EHLO c", "250"}, {"MAIL FROM:<a@b>", "250"}, {"RCPT TO:<a@d>", "250"}, {"DATA", "354"}, {"Subject: spam\r\n.", "554 5.7.1 spam"},
			{"RCPT TO:<a@d>", "503"}, {"DATA", "503"},
			{"MAIL FROM:<a@b>", "250"}, {"RCPT TO:<a@d>", "250"}, {"DATA", "354"}, {strings.Repeat(big+"\r\n", 2) + ".", "552 5.3.4"},
			{"RCPT TO:<a@d>", "503"}, {"MAIL FROM:<a@b>", "250"}, {"RCPT TO:<a@d>", "250"}, {"DATA", "354"}, {"a\x00b\r\n.", "550 5.6.0"},
			{"DATA", "503"},
		},
		"flood": {
			{"EHLO c", "250"}, {"MAIL FROM:<a@b>", "250"}, {"RCPT TO:<a@d>", "250"}, {"DATA", "354"}, {strings.Repeat(big+"\r\n", 12), "552 5.3.4"},
			{"", ""},
		},
		"parameters": {
			{"EHLO c", "250"}, {"MAIL FROM:<a@b> SIZE=5001", "552 5.3.4"}, {"MAIL FROM:<a@b> SIZE=99999999999999999999999", "552 5.3.4"},
			{"MAIL FROM:<a@b> SIZE=x", "501"}, {"MAIL FROM:<a@b> SIZE=-1", "501"}, {"MAIL FROM:<a@b> SIZE=1 size=2", "501"},
			{"MAIL FROM:<a@b> BODY=BINARYMIME", "501"}, {"MAIL FROM:<a@b> REQUIRETLS", "555"}, {"MAIL FROM:<a@b> RET=FULL", "555"},
			{"MAIL FROM:<a@b> AUTH=<>", "555"}, {"MAIL FROM:<a@b>SIZE=1", "501"},
		},
		"parameters taken": {
			{"EHLO c", "250"}, {"MAIL FROM:<\u00fc@b>", "553 5.6.7"}, {"MAIL FROM:<\u00fc@b> SMTPUTF8=1", "555"},
			{"MAIL FROM:<\u00fc@b> SMTPUTF8 BODY=8BITMIME SIZE=10", "250"}, {"RCPT TO:<\u00fc@b> NOTIFY=NEVER", "555"}, {"RCPT TO:<\u00fc@b>", "250"},
			{"RSET", "250"}, {"MAIL FROM:<a@b> body=7bit", "250"}, {"RCPT TO:<\u00fc@b>", "553 5.6.7"},
		},
		"addresses": {
			{"EHLO c", "250"}, {"MAIL FROM:<Postmaster>", "501 5.1.7"}, {"MAIL FROM:a@b", "501 5.1.7"}, {"MAIL TO:<a@b>", "501 5.5.4"}, {"MAIL", "501"},
			{"MAIL FROM:<bad@example.com>", "550-5.7.1 not|550 5.7.1 you"}, {"MAIL FROM:<broken@example.com>", "451 4.3.0 temporary failure"},
			{"RCPT TO:<a@b>", "503"},
		},
		"others": {
			{"VRFY a", "252"}, {"NOOP x", "250"}, {"HELP", "214"}, {"EXPN a", "502"}, {"ETRN a", "502"}, {"XCLIENT ADDR=192.0.2.1", "550 5.7.0"}, {"XYZZY", "500"}, {"", "500"},
			{"NOOP a\rb", "500"}, {"NOOP a\x00b", "500"}, {"NOOP \xff", "500"}, {big, "500 5.5.2"}, {"quit", "221"}, {"", ""},
		},
		"very long line": {{strings.Repeat("x", 40000), "500 5.5.2 line too long"}, {"NOOP", "250"}},
		"endless line":   {{strings.Repeat("x", 200000), "500 5.5.2 line too long"}, {"", ""}},
		"browser":        {{"POST / HTTP/1.1", "421"}, {"", ""}},
		"proxy":          {{"PROXY TCP4 192.0.2.1 192.0.2.2 1 25", "421"}, {"", ""}},
		"banned":         {{"EHLO banned.example", "421 4.7.1"}, {"", ""}},
		"no auth": {
			{"EHLO c", "250"}, {"AUTH PLAIN AHVzZXIAcGFzcyB3b3Jk", "538 5.7.11"}, {"STARTTLS now", "501"},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			_, addr := serve(t, Config{Backend: &store{}, TLS: serverTLS, RequireTLSForAuth: true, MaxMessageBytes: 5000, MaxRecipients: 3, MaxErrors: 100})
			r := rawDial(t, addr)
			r.expect("220 mx.example.com ESMTP")
			for _, d := range steps {
				if d.want == "" { // the connection has ended
					if got := r.line(); got != "" {
						t.Fatalf("got %q after the end", got)
					}
					continue
				}
				// The server may close before all is written.
				if _, err := r.Write([]byte(d.send + "\r\n")); err != nil && !strings.HasPrefix(d.want, "552") && len(d.send) < 100000 {
					t.Fatal(err)
				}
				if got := r.reply(); !strings.HasPrefix(got, d.want) && !(got == "" && len(d.send) >= 100000) {
					t.Fatalf("%.60q: got %q, want %q", d.send, got, d.want)
				}
			}
		})
	}
}

func TestMaxErrors(t *testing.T) {
	_, addr := serve(t, Config{Backend: &store{}, MaxErrors: 3})
	r := rawDial(t, addr)
	r.write("EHLO c\r\nfoo\r\nNOOP\r\nRCPT TO:<a@b>\r\nbar\r\nNOOP\r\n")
	r.expect("220", "250", "500", "250", "503", "500", "421 4.7.0")
	if got := r.line(); got != "" {
		t.Error(got)
	}
}

func TestBareLFCommands(t *testing.T) {
	for _, lax := range []bool{false, true} {
		_, addr := serve(t, Config{Backend: &store{}, AllowBareLF: lax})
		r := rawDial(t, addr)
		r.write("NOOP\nNOOP\r\n")
		want := "500 5.5.2"
		if lax {
			want = "250"
		}
		r.expect("220", want, "250")
	}
}

// writes counts the writes on a connection.
type writes struct {
	net.Conn
	mu sync.Mutex
	n  int
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.n++
	w.mu.Unlock()
	return w.Conn.Write(p)
}

type countingListener struct {
	net.Listener
	conns chan *writes
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &writes{Conn: c}
	l.conns <- w
	return w, nil
}

// A pipelined batch is answered with one write.
func TestBatchedReplies(t *testing.T) {
	l := countingListener{listen(t), make(chan *writes, 1)}
	s := &Server{Config: Config{Backend: &store{}, Hostname: "mx.example.com"}}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- s.Serve(ctx, l) }()
	r := rawDial(t, l.Addr().String())
	w := <-l.conns
	r.expect("220")
	r.write("EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@d>\r\nRCPT TO:<b@d>\r\nRCPT TO:<c@d>\r\nNOOP\r\n")
	r.expect("250", "250", "250", "250", "250", "250")
	w.mu.Lock()
	if w.n != 2 { // the banner is the first
		t.Errorf("%d writes", w.n)
	}
	w.mu.Unlock()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := r.line(); got != "" {
		t.Error(got)
	}
}

// Commands sent in the clear behind STARTTLS must not be carried out under TLS.
func TestCommandInjection(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	st := &store{}
	_, addr := serve(t, Config{Backend: st, TLS: serverTLS, RequireTLSForAuth: true})
	r := rawDial(t, addr)
	r.expect("220")
	r.write("EHLO plain.example\r\nMAIL FROM:<a@b>\r\n")
	r.expect("250", "250")
	r.write("STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@b>\r\n")
	r.expect("220")
	tc := tls.Client(r.Conn, clientTLS)
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	r.Conn = tc
	// Nothing of the time before is left: no HELO, no transaction.
	r.write("RCPT TO:<a@d>\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\n")
	r.expect("503 5.5.1 MAIL first", "503 5.5.1 say EHLO first", "503 5.5.1 TLS")
	r.write("EHLO c\r\n")
	if got := r.reply(); strings.Contains(got, "STARTTLS") || !strings.Contains(got, "AUTH PLAIN LOGIN") {
		t.Error(got)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if got := fmt.Sprint(st.events); got != "[new reset close new]" {
		t.Error(got)
	}
}

func TestImplicitTLS(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	st := &store{}
	_, addr := serve(t, Config{Backend: st, TLS: serverTLS, ImplicitTLS: true})
	c, err := NewClient(testContext(t), tls.Client(dial(t, addr), clientTLS), ClientOptions{HELO: "c.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if c.TLS() == nil || !c.TLS().HandshakeComplete || c.Extensions().StartTLS {
		t.Error(c.TLS())
	}
	if _, err := c.Send(testContext(t), testEnvelope, testBody); err != nil {
		t.Fatal(err)
	}
	if got := st.messages(); len(got) != 1 || !got[0].tls {
		t.Errorf("%+v", got)
	}
}

type pickySession struct {
	storeSession
	mechs []string
}

func (p *pickySession) AuthMechanisms() []string { return p.mechs }

type picky struct {
	store
	mechs []string
}

func (p *picky) NewSession(c Conn) (Session, error) {
	return &pickySession{storeSession{st: &p.store, conn: c}, p.mechs}, nil
}

func TestServerAuth(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	good := b64("\x00user\x00pass word")
	tests := []struct {
		name string
		send []string
		want []string
	}{
		{"initial", []string{"AUTH PLAIN " + good, "AUTH PLAIN " + good}, []string{"235 2.7.0", "503"}},
		{"challenge", []string{"auth plain", good}, []string{"334 ", "235"}},
		{"identity", []string{"AUTH PLAIN " + b64("user\x00user\x00pass word")}, []string{"235"}},
		{"other identity", []string{"AUTH PLAIN " + b64("root\x00user\x00pass word")}, []string{"535 5.7.8"}},
		{"wrong", []string{"AUTH PLAIN " + b64("\x00user\x00x"), "AUTH PLAIN " + good}, []string{"535 5.7.8", "235"}},
		{"down", []string{"AUTH PLAIN " + b64("\x00down\x00x")}, []string{"454 4.7.0 temporary"}},
		{"cancel", []string{"AUTH PLAIN", "*", "NOOP"}, []string{"334", "501 5.7.0", "250"}},
		{"garbage", []string{"AUTH PLAIN !!!", "AUTH PLAIN =", "AUTH PLAIN " + b64("a\x00b"), "AUTH PLAIN " + b64("\x00\x00p")}, []string{"501", "501", "501", "501"}},
		{"login", []string{"AUTH LOGIN", b64("user"), b64("pass word")}, []string{"334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235"}},
		{"login initial", []string{"AUTH LOGIN " + b64("user"), b64("x")}, []string{"334 UGFzc3dvcmQ6", "535"}},
		{"login cancel", []string{"AUTH LOGIN", b64("user"), "*"}, []string{"334", "334", "501"}},
		{"unknown", []string{"AUTH CRAM-MD5", "AUTH"}, []string{"504 5.5.4", "504"}},
		{"in transaction", []string{"MAIL FROM:<a@b>", "AUTH PLAIN " + good}, []string{"250", "503"}},
		{"long response", []string{"AUTH PLAIN", strings.Repeat("A", 12000), "AUTH PLAIN", strings.Repeat("A", 13000)}, []string{"334", "501", "334", "500"}},
		{"mail parameter", []string{"MAIL FROM:<a@b> AUTH=<>"}, []string{"250"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, addr := serve(t, Config{Backend: &store{}})
			r := rawDial(t, addr)
			r.write("EHLO c\r\n")
			r.expect("220", "250")
			for i := range tt.send {
				r.write(tt.send[i] + "\r\n")
				r.expect(tt.want[i])
			}
		})
	}
	for _, mechs := range [][]string{{"LOGIN", "X"}, {}} {
		_, addr := serve(t, Config{Backend: &picky{mechs: mechs}})
		c := connect(t, addr, ClientOptions{})
		if got := fmt.Sprint(c.Extensions().Auth); got != fmt.Sprint(mechs[:min(1, len(mechs))]) {
			t.Error(got)
		}
	}
	_, addr := serve(t, Config{Backend: &store{}, MaxErrors: 2})
	r := rawDial(t, addr)
	r.write("EHLO c\r\nAUTH PLAIN " + b64("\x00user\x00x") + "\r\nAUTH PLAIN " + b64("\x00user\x00y") + "\r\n")
	r.expect("220", "250", "535", "535", "421")
}

// deaf takes every message, whatever reading it said.
type deaf struct{}

type deafSession struct {
	sinkSession
	read bool
}

func (*deaf) NewSession(c Conn) (Session, error) {
	return &deafSession{read: c.HELO() == "read"}, nil
}

func (d *deafSession) Data(_ context.Context, r io.Reader) (string, error) {
	if d.read {
		_, _ = io.Copy(io.Discard, r)
	}
	return "q1", nil
}

// A message that must be refused is, even if the backend took it or never looked.
func TestVerdictOverridesBackend(t *testing.T) {
	_, addr := serve(t, Config{Backend: &deaf{}, MaxMessageBytes: 100})
	for _, helo := range []string{"read", "ignore"} {
		for body, want := range map[string]string{
			"x\r\n": "250 2.0.0 OK queued as q1", "a\nb\r\n": "550 5.6.11", "a\rb\r\n": "550 5.6.11", "\x00\r\n": "550 5.6.0",
			strings.Repeat("x", 150) + "\r\n": "552 5.3.4",
		} {
			r := rawDial(t, addr)
			r.write("EHLO " + helo + "\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@d>\r\nDATA\r\n")
			r.expect("220", "250", "250", "250", "354")
			r.write(body + ".\r\nNOOP\r\n")
			r.expect(want, "250")
		}
	}
}

// What a backend says for itself stays in the log.
func TestBackendErrorsAreLogged(t *testing.T) {
	var log syncBuffer
	_, addr := serve(t, Config{Backend: &store{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r := rawDial(t, addr)
	r.write("EHLO c\r\nMAIL FROM:<broken@example.com>\r\n")
	r.expect("220", "250")
	if got := r.reply(); strings.Contains(got, "secret") || !strings.HasPrefix(got, "451 4.3.0 ") {
		t.Error(got)
	}
	if got := log.String(); !strings.Contains(got, "disk on fire") || !strings.Contains(got, "command=MAIL") {
		t.Error(got)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type panicky struct{}

func (*panicky) NewSession(c Conn) (Session, error) { panic("boom") }

func TestPanic(t *testing.T) {
	var log syncBuffer
	_, addr := serve(t, Config{Backend: &panicky{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		r := rawDial(t, addr)
		r.write("EHLO c\r\n")
		r.expect("220")
		if got := r.line(); got != "" {
			t.Error(got)
		}
	}
	if !strings.Contains(log.String(), "boom") {
		t.Error(log.String())
	}
}

func TestServerTimeouts(t *testing.T) {
	const short = 30 * time.Millisecond
	_, addr := serve(t, Config{Backend: &store{}, Timeouts: ServerTimeouts{Command: short}})
	r := rawDial(t, addr)
	r.expect("220", "421 4.4.2")
	for _, to := range []ServerTimeouts{{Data: short}, {Message: short}} {
		st := &store{}
		_, addr = serve(t, Config{Backend: st, Timeouts: to})
		r = rawDial(t, addr)
		r.write("EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@d>\r\nDATA\r\n")
		r.expect("220", "250", "250", "250", "354")
		r.write("begun\r\n")
		r.expect("421 4.4.2")
		if got := r.line(); got != "" || len(st.messages()) != 0 {
			t.Error(got, st.messages())
		}
	}
}

func TestConnectionLimits(t *testing.T) {
	for _, cfg := range []Config{{MaxConnections: 2}, {MaxConnectionsPerIP: 2}} {
		cfg.Backend = &store{}
		_, addr := serve(t, cfg)
		first := rawDial(t, addr)
		first.expect("220")
		rawDial(t, addr).expect("220")
		third := rawDial(t, addr)
		third.expect("421 4.3.2")
		first.write("QUIT\r\n")
		first.expect("221")
		// The place is free once the server has seen the end of the session.
		for deadline := time.Now().Add(wait); ; {
			r := rawDial(t, addr)
			got := r.reply()
			if strings.HasPrefix(got, "220") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(got)
			}
		}
	}
}

func TestClientPrefix(t *testing.T) {
	for ip, want := range map[string]string{"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "2001:db8:1:2:3::4": "2001:db8:1:2::/64"} {
		if got := ClientPrefix(&net.TCPAddr{IP: net.ParseIP(ip)}).String(); got != want {
			t.Errorf("%s: %s", ip, got)
		}
	}
	if ClientPrefix(&net.UnixAddr{}).IsValid() {
		t.Error("unix address")
	}
}

func TestServeConfig(t *testing.T) {
	for _, cfg := range []Config{{}, {Hostname: "a"}, {Backend: &store{}}, {Backend: &store{}, Hostname: "a", ImplicitTLS: true}} {
		if err := (&Server{Config: cfg}).Serve(testContext(t), listen(t)); !errors.Is(err, ErrConfig) {
			t.Error(err)
		}
	}
	l := listen(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := (&Server{Config: Config{Backend: &store{}, Hostname: "a"}}).Serve(testContext(t), l); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
