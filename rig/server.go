//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	adminKey = "key-0123456789abcdef0123456789abcdef"
	sender   = "example.com"
	login    = "rig@" + sender
	password = "rig-password-1"
)

// server is a postroad process with its data directory. It may be killed and
// started again on the same data.
type server struct {
	binary string
	data   string
	http   string // host:port
	smtp   string // host:port, "off" for none
	args   []string
	before []string // a command that runs the program, as a shell
	log    string   // file its output goes to
	cmd    *exec.Cmd
	exited chan error
	client *http.Client
}

// newServer prepares a server that keeps its log under dir, and its data there
// too unless data says otherwise.
func newServer(binary, dir, data string, args ...string) (*server, error) {
	if data == "" {
		data = filepath.Join(dir, "data")
	}
	s := &server{binary: binary, data: data, smtp: "off", args: args, log: filepath.Join(dir, "postroad.log"),
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	var err error
	s.http, err = freeAddr()
	return s, err
}

// withSMTP has the server listen for submission with a certificate of its own.
func (s *server) withSMTP(dir string) (err error) {
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := selfSigned(cert, key); err != nil {
		return err
	}
	s.smtp, err = freeAddr()
	s.args = append(s.args, "--tls-cert", cert, "--tls-key", key)
	return err
}

// freeAddr returns a loopback address nothing listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts the process and waits until it is ready.
func (s *server) start(ctx context.Context) error {
	if err := s.launch(); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return errors.Join(err, s.kill(), s.lastLog())
	}
	return nil
}

func (s *server) launch() error {
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	argv := append(append([]string(nil), s.before...), s.binary, "serve", "--data", s.data, "--http", s.http, "--smtp", s.smtp,
		"--hostname", "mx.example.com", "--relay-without-tls", "--assume-verified", "--log-level", "warn")
	argv = append(argv, s.args...)
	s.cmd = exec.Command(argv[0], argv[1:]...)
	s.cmd.Env = append(os.Environ(), "POSTROAD_ADMIN_KEY="+adminKey)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan error) { exited <- cmd.Wait() }(s.cmd, s.exited)
	return nil
}

// errEnded begins the error of a server that ended while it was to start.
var errEnded = errors.New("postroad ended while starting")

func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if status, _, err := s.do(ctx, http.MethodGet, "/readyz", nil); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case err := <-s.exited:
			s.exited <- err
			return fmt.Errorf("%w: %v", errEnded, err)
		case <-ctx.Done():
			return fmt.Errorf("postroad was not ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// alive reports whether the process runs.
func (s *server) alive() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case err := <-s.exited:
		s.exited <- err
		return false
	default:
		return true
	}
}

// kill ends the process at once, as kill -9.
func (s *server) kill() error {
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.exited
	s.cmd = nil
	s.client.CloseIdleConnections()
	return nil
}

// stop asks the process to end and waits for it.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	s.client.CloseIdleConnections()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-s.exited:
		s.cmd = nil
		return err
	case <-time.After(45 * time.Second):
		return errors.Join(errors.New("postroad did not stop within 45 s of SIGTERM"), s.kill())
	}
}

// lastLog is the end of the log as an error, for messages about failures.
func (s *server) lastLog() error {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err
	}
	return fmt.Errorf("end of its log:\n%s", text[max(0, len(text)-1500):])
}

// logged counts the lines of the log that contain text.
func (s *server) logged(text string) int {
	all, err := os.ReadFile(s.log)
	if err != nil {
		return 0
	}
	n := 0
	for line := range bytes.Lines(all) {
		if bytes.Contains(line, []byte(text)) {
			n++
		}
	}
	return n
}

// do makes a request with the admin key; a form is sent with POST and PUT.
func (s *server) do(ctx context.Context, method, path string, form url.Values) (int, []byte, error) {
	address := path
	if !strings.HasPrefix(path, "http") {
		address = "http://" + s.http + path
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return 0, nil, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if key := form.Get("idempotency-key"); key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
	}
	req.SetBasicAuth("api", adminKey)
	answer, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// call is do for what has to succeed.
func (s *server) call(ctx context.Context, method, path string, form url.Values, into any) error {
	status, text, err := s.do(ctx, method, path, form)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s %s: %d: %s", method, path, status, bytes.TrimSpace(text))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// createDomain makes a sending domain.
func (s *server) createDomain(ctx context.Context, name string) error {
	return s.call(ctx, http.MethodPost, "/v4/domains", url.Values{"name": {name}, "web_scheme": {"http"}}, nil)
}

// createLogin makes the SMTP credentials of the load.
func (s *server) createLogin(ctx context.Context) error {
	return s.call(ctx, http.MethodPost, "/v3/domains/"+sender+"/credentials", url.Values{"login": {login}, "password": {password}}, nil)
}

// metrics reads metrics without labels.
func (s *server) metrics(ctx context.Context) (map[string]float64, error) {
	_, text, err := s.do(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = n
		}
	}
	return out, nil
}

// queued is how many deliveries are not finished.
func (s *server) queued(ctx context.Context) (int, error) {
	m, err := s.metrics(ctx)
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, name := range []string{"postroad_queue_waiting", "postroad_queue_due", "postroad_queue_held"} {
		n, ok := m[name]
		if !ok {
			return 0, fmt.Errorf("/metrics has no %s", name)
		}
		sum += int(n)
	}
	return sum, nil
}

// drain waits until the queue is empty; quiet says how long nothing has come
// of it.
func (s *server) drain(ctx context.Context, patience time.Duration, quiet func() time.Duration) error {
	began := time.Now()
	for {
		n, err := s.queued(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if time.Since(began) > patience && quiet() > patience {
			return fmt.Errorf("%d deliveries are queued, but nothing arrived for %s", n, patience)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// until waits for a condition.
func until(ctx context.Context, limit time.Duration, what string, ok func() (bool, error)) error {
	end := time.Now().Add(limit)
	for {
		yes, err := ok()
		if yes {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("after %s not yet: %s", limit, what), err)
		}
		if err := pause(ctx, 30*time.Millisecond); err != nil {
			return err
		}
	}
}

// event is what the rig reads of GET /v3/{domain}/events.
type event struct {
	Event     string `json:"event"`
	Severity  string `json:"severity"`
	Reason    string `json:"reason"`
	Recipient string `json:"recipient"`
	Message   struct {
		Headers struct {
			MessageID string `json:"message-id"`
		} `json:"headers"`
	} `json:"message"`
	Storage struct {
		URL string `json:"url"`
	} `json:"storage"`
	Status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Attempt int    `json:"attempt-no"`
	} `json:"delivery-status"`
}

// events calls fn for each event of a kind, "" for all.
func (s *server) events(ctx context.Context, domain, kind string, fn func(event)) error {
	next := "/v3/" + domain + "/events?limit=300&pretty=no&ascending=yes&event=" + kind
	for {
		var p struct {
			Items  []event `json:"items"`
			Paging struct {
				Next string `json:"next"`
			} `json:"paging"`
		}
		if err := s.call(ctx, http.MethodGet, next, nil, &p); err != nil {
			return err
		}
		for _, e := range p.Items {
			fn(e)
		}
		if len(p.Items) == 0 {
			return nil
		}
		next = p.Paging.Next
	}
}
