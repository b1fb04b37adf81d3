package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/mailgun/mailgun-go/v5"

	"postroad/internal/cli"
)

// asProgram makes the test binary behave as the program: so the process under
// test is the code the tests were built with, race detector included.
const asProgram = "POSTROAD_COMPAT_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Unsetenv(asProgram)
		os.Exit(cli.Main(cli.Env{Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout,
			Stderr: os.Stderr, Version: "compat"}))
	}
	os.Exit(m.Run())
}

const (
	adminKey = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
	domain   = "example.com"
	patience = 20 * time.Second
)

// server is the program under test.
type server struct {
	mode string
	base string // http://host:port
	key  string
	mg   *mailgun.Client
	out  *inbox // where serve delivers; nil in dev
}

// modes runs fn against a server of each mode.
func modes(t *testing.T, fn func(t *testing.T, s *server)) {
	for _, mode := range []string{"dev", "serve"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			fn(t, start(t, mode))
		})
	}
}

// start runs the program until the test ends. It must end by itself, with
// status 0, when asked to: a data race or a failed shutdown fails the test.
func start(t *testing.T, mode string, more ...string) *server {
	t.Helper()
	s := &server{mode: mode, key: adminKey}
	addr := freeAddr(t)
	args := []string{mode, "--data", filepath.Join(t.TempDir(), "data"), "--http", addr, "--log-format", "json"}
	if mode == "serve" {
		s.out = startInbox(t)
		args = append(args, "--hostname", "mx.example.org", "--relay", "*=smtp://"+s.out.addr, "--relay-without-tls",
			"--assume-verified", "--allow-private-urls", "--retry", "1s,1s")
	} else {
		args = append(args, "--https", "off", "--smtp", freeAddr(t))
	}
	s.run(t, append(args, more...))
	s.base = "http://" + addr
	s.mg = s.client(t, s.key)
	eventually(t, "the server is ready", func() error {
		resp, err := http.Get(s.base + "/readyz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	if _, err := s.mg.CreateDomain(t.Context(), domain, nil); err != nil {
		t.Fatalf("create the domain: %v", err)
	}
	return s
}

func (s *server) run(t *testing.T, args []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "POSTROAD_ADMIN_KEY="+s.key, "RESEND_WEBHOOK_SECRET="+resendSecret)
	cmd.Env = without(cmd.Env, "POSTROAD_TEST_", "POSTROAD_DATABASE")
	var log syncBuffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		select {
		case err := <-exited:
			if err != nil {
				t.Errorf("the program ended with %v", err)
			}
		case <-time.After(40 * time.Second):
			cmd.Process.Kill()
			t.Error("the program did not stop within 40 s")
		}
		if t.Failed() {
			t.Logf("log of the program:\n%s", log.String())
		}
	})
}

func without(env []string, prefixes ...string) []string {
	var out []string
next:
	for _, e := range env {
		for _, p := range prefixes {
			if strings.HasPrefix(e, p) {
				continue next
			}
		}
		out = append(out, e)
	}
	return out
}

func (s *server) client(t *testing.T, key string) *mailgun.Client {
	t.Helper()
	mg := mailgun.NewMailgun(key)
	if err := mg.SetAPIBase(s.base); err != nil {
		t.Fatal(err)
	}
	return mg
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually calls check until it returns nil.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatalf("waiting until %s: %v", what, err)
		case <-tick.C:
		}
	}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// mail is a message as the receiving server got it.
type mail struct {
	from, to string
	data     []byte
}

// inbox is the server mail is delivered to in serve mode.
type inbox struct {
	addr string
	mu   sync.Mutex
	got  []mail
}

func startInbox(t *testing.T) *inbox {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box := &inbox{addr: l.Addr().String()}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{box: box}, nil }))
	srv.Domain = "inbox.example.org"
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return box
}

// wait returns the one message delivered to an address.
func (b *inbox) wait(t *testing.T, to string) mail {
	t.Helper()
	var found mail
	eventually(t, "a message to "+to+" is delivered", func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		var n int
		for _, m := range b.got {
			if m.to == to {
				found = m
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%d messages arrived", n)
		}
		return nil
	})
	return found
}

type session struct {
	box  *inbox
	from string
	to   []string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error   { s.to = append(s.to, to); return nil }
func (s *session) Reset()                                      { s.from, s.to = "", nil }
func (s *session) Logout() error                               { return nil }

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	for _, to := range s.to {
		s.box.got = append(s.box.got, mail{s.from, to, data})
	}
	return nil
}

// raw makes a request no client library offers and returns the body.
func (s *server) raw(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth("api", s.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, body)
	}
	return body, err
}
