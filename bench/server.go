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
	workers  = 128
)

// server is a postroad process with its data directory. It may be killed and
// started again on the same data.
type server struct {
	binary string
	data   string
	http   string   // host:port
	smtp   string   // host:port that takes mail; "" for none
	dns    string   // host:port of a resolver; with it nobody is trusted to send without login
	group  *group   // its processes belong there; nil for none
	relay  string   // host:port everything is delivered to
	routes []string // PATTERN=host:port: domains that are delivered elsewhere
	retry  string
	log    string // file its output goes to
	cmd    *exec.Cmd
	exited chan error
}

// newServer prepares a server that keeps everything under dir.
func newServer(binary, dir, relay string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return &server{binary: binary, data: filepath.Join(dir, "data"), http: addr, relay: relay, retry: "1s,5s",
		log: filepath.Join(dir, "postroad.log")}, nil
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
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	args := []string{"serve", "--data", s.data, "--http", s.http, "--hostname", "mx.example.com",
		"--relay", "*=smtp://" + s.relay, "--relay-without-tls", "--assume-verified", "--retry", s.retry,
		"--workers", fmt.Sprint(workers)}
	for _, route := range s.routes {
		args = append(args, "--relay", strings.Replace(route, "=", "=smtp://", 1))
	}
	switch {
	case s.smtp == "":
		args = append(args, "--smtp", "off")
	case s.dns != "":
		args = append(args, "--smtp", s.smtp, "--dns", s.dns)
	default:
		args = append(args, "--smtp", s.smtp, "--smtp-trust", "127.0.0.0/8")
	}
	if s.group == nil {
		s.cmd = exec.Command(s.binary, args...)
	} else {
		s.cmd = s.group.command("", s.binary, args...)
	}
	s.cmd.Env = append(os.Environ(), "POSTROAD_ADMIN_KEY="+adminKey)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		return err
	}
	if s.group != nil {
		s.group.add(s.cmd.Process.Pid)
	}
	s.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan error) { exited <- cmd.Wait() }(s.cmd, s.exited)
	if err := s.ready(ctx); err != nil {
		return errors.Join(err, s.kill(), s.lastLog())
	}
	return nil
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.http+"/readyz", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(req); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-s.exited:
			s.exited <- err
			return fmt.Errorf("postroad ended while starting: %v", err)
		case <-ctx.Done():
			return fmt.Errorf("postroad was not ready: %w", ctx.Err())
		case <-tick.C:
		}
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
	http.DefaultClient.CloseIdleConnections()
	return nil
}

// stop asks the process to end and waits for it.
func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-s.exited:
		s.cmd = nil
		return err
	case <-time.After(45 * time.Second):
		return errors.Join(errors.New("postroad did not stop within 45 s"), s.kill())
	}
}

// lastLog is the end of the log as an error, for messages about failures.
func (s *server) lastLog() error {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err
	}
	return fmt.Errorf("end of its log:\n%s", text[max(0, len(text)-2000):])
}

// createDomain makes the sending domain.
func (s *server) createDomain(ctx context.Context) error {
	return s.create(ctx, "/v4/domains", url.Values{"name": {sender}, "web_scheme": {"http"}})
}

// createRoute makes a route for mail from outside.
func (s *server) createRoute(ctx context.Context, expression, action string) error {
	return s.create(ctx, "/v3/routes", url.Values{"expression": {expression}, "action": {action}})
}

func (s *server) create(ctx context.Context, path string, form url.Values) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.http+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.call(req, nil)
}

func (s *server) call(req *http.Request, into any) error {
	return s.callWith(http.DefaultClient, req, into)
}

func (s *server) callWith(client *http.Client, req *http.Request, into any) error {
	req.SetBasicAuth("api", adminKey)
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, answer.Status, bytes.TrimSpace(text))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", req.URL, err)
	}
	return nil
}

// queueGauges are the parts of the queue as /metrics names them.
func queueGauges() []string {
	return []string{"postroad_queue_waiting", "postroad_queue_due", "postroad_queue_held"}
}

// queued is how many deliveries are not finished.
func (s *server) queued(ctx context.Context) (int, error) { return s.gauges(ctx, queueGauges()...) }

// gauges adds up metrics.
func (s *server) gauges(ctx context.Context, names ...string) (int, error) {
	text, err := s.metrics(ctx)
	if err != nil {
		return 0, err
	}
	return sumMetrics(text, names)
}

// metrics returns what /metrics says.
func (s *server) metrics(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.http+"/metrics", nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// sumMetrics adds up metrics without labels; each must be there.
func sumMetrics(text string, names []string) (int, error) {
	sum := 0
	for _, name := range names {
		found := false
		for line := range strings.Lines(text) {
			value, ok := strings.CutPrefix(line, name+" ")
			if !ok {
				continue
			}
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0, fmt.Errorf("metric %s: %w", name, err)
			}
			sum, found = sum+int(n), true
		}
		if !found {
			return 0, fmt.Errorf("/metrics has no %s", name)
		}
	}
	return sum, nil
}
