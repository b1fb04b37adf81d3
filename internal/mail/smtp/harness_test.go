package smtp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// received is a message that the test backend accepted.
type received struct {
	from string
	to   []string
	ropt []RcptOptions // by recipient
	opt  MailOptions
	body string
	helo string
	ip   string // of the client
	name string // that XCLIENT told
	tls  bool
	user string
}

// store is a Backend that keeps messages in memory. Recipients whose local part
// is "reject" or "defer" are refused.
type store struct {
	mu     sync.Mutex
	got    []received
	events []string
	gate   chan struct{} // when set, Data waits for it
	inData chan struct{} // when set, told when Data begins
}

type storeSession struct {
	st   *store
	conn Conn
	user string
	cur  received
}

func (st *store) NewSession(c Conn) (Session, error) {
	if c.HELO() == "banned.example" {
		return nil, &Error{Code: 421, Enhanced: "4.7.1", Text: "go away"}
	}
	st.note("new")
	return &storeSession{st: st, conn: c}, nil
}

func (st *store) note(s string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.events = append(st.events, s)
}

func (st *store) messages() []received {
	st.mu.Lock()
	defer st.mu.Unlock()
	return append([]received(nil), st.got...)
}

func (s *storeSession) Auth(_ context.Context, user, pass string) error {
	switch {
	case user == "down":
		return errors.New("directory unreachable: secret detail")
	case user != "user" || pass != "pass word":
		return ErrAuthFailed
	}
	s.user = user
	return nil
}

func (s *storeSession) Mail(_ context.Context, from string, o MailOptions) error {
	switch from {
	case "bad@example.com":
		return &Error{Code: 550, Enhanced: "5.7.1", Text: "not\nyou"}
	case "broken@example.com":
		return errors.New("disk on fire: secret detail")
	}
	s.cur = received{from: from, opt: o}
	return nil
}

func (s *storeSession) Rcpt(_ context.Context, to string, o RcptOptions) error {
	switch local, _, _ := strings.Cut(to, "@"); local {
	case "reject":
		return &Error{Code: 550, Enhanced: "5.1.1", Text: "no such user"}
	case "defer":
		return &Error{Code: 450, Enhanced: "4.2.1", Text: "later"}
	}
	s.cur.to, s.cur.ropt = append(s.cur.to, to), append(s.cur.ropt, o)
	return nil
}

func (s *storeSession) Data(_ context.Context, r io.Reader) (string, error) {
	if s.st.inData != nil {
		s.st.inData <- struct{}{}
	}
	if s.st.gate != nil {
		<-s.st.gate
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return "", err
	}
	if strings.HasPrefix(b.String(), "Subject: spam") {
		return "", &Error{Code: 554, Enhanced: "5.7.1", Text: "spam"}
	}
	s.cur.body, s.cur.helo, s.cur.tls, s.cur.user = b.String(), s.conn.HELO(), s.conn.TLS() != nil, s.user
	s.cur.ip, s.cur.name = s.conn.RemoteAddr().String(), s.conn.PeerName()
	s.st.mu.Lock()
	defer s.st.mu.Unlock()
	s.st.got = append(s.st.got, s.cur)
	return "q1", nil
}

func (s *storeSession) Reset() { s.cur = received{}; s.st.note("reset") }
func (s *storeSession) Close() { s.st.note("close") }

// wait is how long a test waits for what must happen.
const wait = 20 * time.Second

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	t.Cleanup(cancel)
	return ctx
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve starts a server and returns it with its address.
func serve(t testing.TB, cfg Config) (*Server, string) {
	t.Helper()
	if cfg.Hostname == "" {
		cfg.Hostname = "mx.example.com"
	}
	s := &Server{Config: cfg}
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s, l.Addr().String()
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// connect dials addr with a Client.
func connect(t testing.TB, addr string, o ClientOptions) *Client {
	t.Helper()
	if o.HELO == "" {
		o.HELO = "client.example.com"
	}
	c, err := NewClient(testContext(t), dial(t, addr), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// certificate makes a key pair for "mx.example.com" and a config that trusts it.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "mx.example.com"}
}

// raw is a hand-driven client connection.
type raw struct {
	t testing.TB
	net.Conn
	buf []byte
}

func rawDial(t testing.TB, addr string) *raw {
	t.Helper()
	r := &raw{t: t, Conn: dial(t, addr)}
	if err := r.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *raw) write(s string) {
	r.t.Helper()
	if _, err := io.WriteString(r.Conn, s); err != nil {
		r.t.Fatal(err)
	}
}

// line reads one line; "" means the end of the connection.
func (r *raw) line() string {
	r.t.Helper()
	for {
		if i := bytes.IndexByte(r.buf, '\n'); i >= 0 {
			s := strings.TrimRight(string(r.buf[:i]), "\r")
			r.buf = r.buf[i+1:]
			return s
		}
		p := make([]byte, 4096)
		n, err := r.Read(p)
		r.buf = append(r.buf, p[:n]...)
		if n == 0 && err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				r.t.Fatal("no reply in time")
			}
			return ""
		}
	}
}

// reply reads one reply and returns its lines joined with "|".
func (r *raw) reply() string {
	r.t.Helper()
	var all []string
	for {
		l := r.line()
		all = append(all, l)
		if len(l) < 4 || l[3] != '-' {
			return strings.Join(all, "|")
		}
	}
}

// expect reads replies and compares their beginnings.
func (r *raw) expect(prefixes ...string) {
	r.t.Helper()
	for _, p := range prefixes {
		got := r.reply()
		if p == "" && got != "" || !strings.HasPrefix(got, p) {
			r.t.Fatalf("got reply %q, want %q", got, p)
		}
	}
}

// everywhere is all networks.
var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// tape is a connection whose client said everything at once and hung up.
type tape struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *tape) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (*tape) Close() error                       { return nil }
func (*tape) LocalAddr() net.Addr                { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25} }
func (*tape) RemoteAddr() net.Addr               { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1025} }
func (*tape) SetDeadline(time.Time) error        { return nil }
func (*tape) SetReadDeadline(time.Time) error    { return nil }
func (*tape) SetWriteDeadline(t time.Time) error { return nil }

// converse runs a session without a network and returns what the server said.
func converse(cfg Config, in []byte) string {
	var log bytes.Buffer
	cfg.Hostname, cfg.Logger = "mx.example.com", slog.New(slog.NewTextHandler(&log, nil))
	s := &Server{Config: cfg}
	s.once.Do(s.prepare)
	c := &tape{in: bytes.NewReader(in)}
	ss := newSession(s, c)
	ss.run(context.Background())
	if strings.Contains(log.String(), "panicked") {
		panic(log.String())
	}
	return c.out.String()
}
