package spam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// peers are the daemons all tests of the package share; they are started by the
// first that needs one.
type peers struct {
	dir              string
	rspamd, spamd    sync.Once
	rspamdAt, spamAt string // TCP addresses
	failed           map[string]error
	running          []*exec.Cmd
}

var shared *peers // set by TestMain, for tests only

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "spam")
	if err != nil {
		panic(err)
	}
	os.Chmod(dir, 0o755) // spamd's children are nobody
	shared = &peers{dir: dir, failed: map[string]error{}}
	code := m.Run()
	for _, c := range shared.running {
		c.Process.Signal(os.Interrupt)
		c.Wait()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func (p *peers) socket() string { return filepath.Join(p.dir, "spamd.sock") }

// need starts a daemon. One that is not installed skips the test unless
// POSTROAD_TEST_PEERS demands it.
func (p *peers) need(t *testing.T, name string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		if os.Getenv("POSTROAD_TEST_PEERS") != "" {
			t.Fatalf("%s is not installed, and POSTROAD_TEST_PEERS demands it", name)
		}
		t.Skipf("%s is not installed", name)
	}
	switch name {
	case Rspamd:
		p.rspamd.Do(func() { p.failed[name] = p.startRspamd(path) })
	case Spamd:
		p.spamd.Do(func() { p.failed[name] = p.startSpamd(path) })
	}
	if err := p.failed[name]; err != nil {
		t.Fatal(err)
	}
}

// rspamdConfig has a worker, one rule, and one that says what the session was.
// A short list of top-level domains saves ten seconds of start.
const rspamdConfig = `
options { pidfile = "%[1]s/rspamd.pid"; tempdir = "%[1]s"; filters = "regexp"; url_tld = "%[1]s/tld";
	dns { nameserver = ["127.0.0.1:1"]; } control_socket = "%[1]s/control mode=0600"; }
logging { type = "console"; level = "error"; }
worker "normal" { bind_socket = "%[2]s"; count = 1; }
actions { reject = 15; "add header" = 6; greylist = null; }
lua = "%[1]s/rules.lua";
`

const rspamdRules = `
config.regexp = { PILLS = { re = 'Subject=/pills/i', score = 7.5, description = 'pills' } }
rspamd_config:register_symbol{ name = 'SESSION', score = 0.25, callback = function(task)
  local to, from = task:get_recipients('smtp') or {}, task:get_from('smtp')
  return task:get_from_ip():to_string() == '198.51.100.7' and task:get_helo() == 'mx.peer.example'
    and task:get_hostname() == 'out.peer.example' and from[1].addr == 'a@peer.example' and to[1].addr == 'x@own.example'
    and task:get_user() == 'carol' and #to == 2
end }
`

func (p *peers) startRspamd(path string) error {
	p.rspamdAt = freeAddress()
	for name, text := range map[string]string{"tld": "com\nexample\n", "rules.lua": rspamdRules, "rspamd.conf": fmt.Sprintf(rspamdConfig, p.dir, p.rspamdAt)} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	args := []string{"-f", "-c", filepath.Join(p.dir, "rspamd.conf")}
	if os.Getuid() == 0 {
		args = append(args, "-i", "-u", "root", "-g", "root")
	}
	return p.start(p.rspamdAt, path, args...)
}

func (p *peers) startSpamd(path string) error {
	p.spamAt = freeAddress()
	args := []string{"--local", "--nouser-config", "--listen=" + p.spamAt, "--listen=" + p.socket(), "--min-children=1", "--max-children=2",
		"--pidfile=" + filepath.Join(p.dir, "spamd.pid"), "--syslog=stderr"}
	if os.Getuid() == 0 {
		args = append(args, "--username=nobody")
	}
	return p.start(p.spamAt, path, args...)
}

func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start waits until the daemon answers at its address: connecting is refused
// at once until then.
func (p *peers) start(address, path string, args ...string) error {
	var log bytes.Buffer
	c := exec.Command(path, args...)
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		return err
	}
	p.running = append(p.running, c)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w", path, err)
		}
	}
}

func session(raw string) *Mail {
	return &Mail{Raw: []byte(raw), ClientIP: netip.MustParseAddr("198.51.100.7"), ClientName: "out.peer.example", HELO: "mx.peer.example",
		Sender: "a@peer.example", Recipients: []string{"x@own.example", "y@own.example"}, User: "carol"}
}

const ham = "From: Ann <a@peer.example>\r\nTo: x@own.example\r\nSubject: minutes of the meeting\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n" +
	"Message-ID: <1@peer.example>\r\n\r\nPlease find below what we agreed on last Tuesday.\r\n"

var spamMessage = strings.Replace(ham, "Please find", "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\nPlease find", 1)

func (v *Verdict) has(symbol string) bool {
	return slices.ContainsFunc(v.Symbols, func(s Symbol) bool { return s.Name == symbol })
}

func TestRspamd(t *testing.T) {
	shared.need(t, Rspamd)
	f := newFilter(t, Config{Protocol: Rspamd, Network: "tcp", Address: shared.rspamdAt, Password: "secret"})
	v := f.Check(t.Context(), session(ham))
	if v.Err != nil || v.Spam || v.Score != 0.25 || !v.has("SESSION") {
		t.Errorf("ham: %+v", v)
	}
	v = f.Check(t.Context(), session(spamMessage))
	if v.Err != nil || !v.Spam || v.Score < v.Required || v.Required <= 0 || !v.has("GTUBE") {
		t.Errorf("GTUBE: %+v", v)
	}
	v = f.Check(t.Context(), session(strings.Replace(ham, "minutes", "PILLS", 1)))
	if v.Err != nil || !v.Spam || v.Score != 7.75 || v.Symbols[0] != (Symbol{"PILLS", 7.5}) {
		t.Errorf("a rule: %+v", v)
	}
	if v, err := f.Probe(t.Context()); err != nil || !v.Spam {
		t.Errorf("probe: %+v, %v", v, err)
	}
}

// TestRspamdHostile: nothing a client says breaks the request.
func TestRspamdHostile(t *testing.T) {
	shared.need(t, Rspamd)
	f := newFilter(t, Config{Protocol: Rspamd, Network: "tcp", Address: shared.rspamdAt})
	m := session("no header at all \x00\xff")
	m.HELO, m.Sender, m.ClientName = "x\r\nUser: root", "", strings.Repeat("\x01é", 5000)
	m.ClientIP = netip.MustParseAddr("::ffff:198.51.100.7")
	for i := range 1000 {
		m.Recipients = append(m.Recipients, fmt.Sprintf("%0300d@own.example\r\n", i))
	}
	if v := f.Check(t.Context(), m); v.Err != nil || v.Spam || v.has("SESSION") {
		t.Errorf("%+v", v)
	}
}

func TestSpamd(t *testing.T) {
	shared.need(t, Spamd)
	for network, address := range map[string]string{"tcp": shared.spamAt, "unix": shared.socket()} {
		t.Run(network, func(t *testing.T) {
			f := newFilter(t, Config{Protocol: Spamd, Network: network, Address: address})
			v := f.Check(t.Context(), session(ham))
			if v.Err != nil || v.Spam || v.Score >= v.Required || v.Required != 5 {
				t.Errorf("ham: %+v", v)
			}
			v = f.Check(t.Context(), session(spamMessage))
			if v.Err != nil || !v.Spam || v.Score < 900 || !v.has("GTUBE") {
				t.Errorf("GTUBE: %+v", v)
			}
			if v, err := f.Probe(t.Context()); err != nil || !v.Spam {
				t.Errorf("probe: %+v, %v", v, err)
			}
		})
	}
}

// TestSpamdSession: SpamAssassin reads the session from the field that is put
// before the message, whatever the client calls itself.
func TestSpamdSession(t *testing.T) {
	shared.need(t, Spamd)
	f := newFilter(t, Config{Protocol: Spamd, Network: "tcp", Address: shared.spamAt})
	bare := session(ham)
	bare.ClientIP = netip.Addr{}
	if v := f.Check(t.Context(), bare); v.Err != nil || !v.has("NO_RELAYS") {
		t.Errorf("without a client: %+v", v)
	}
	for _, ip := range []string{"198.51.100.7", "2001:db8::7", "::ffff:198.51.100.7"} {
		for _, helo := range []string{"mx.peer.example", "x (y [127.0.0.1]) by z\r\nX: ", "", strings.Repeat("(", 3000)} {
			m := session(ham)
			m.ClientIP, m.HELO, m.User = netip.MustParseAddr(ip), helo, ""
			if v := f.Check(t.Context(), m); v.Err != nil || v.has("NO_RELAYS") || v.has("UNPARSEABLE_RELAY") || v.has("ALL_TRUSTED") {
				t.Errorf("%s, HELO %.40q: %+v", ip, helo, v)
			}
		}
	}
	m := session(ham)
	m.ClientIP = netip.MustParseAddr("127.0.0.1")
	if v := f.Check(t.Context(), m); v.Err != nil || !v.has("ALL_TRUSTED") {
		t.Errorf("from loopback: %+v", v)
	}
}

// TestHead: what lies behind the limit is not looked at, and the verdict says so.
func TestHead(t *testing.T) {
	shared.need(t, Spamd)
	shared.need(t, Rspamd)
	long := ham + strings.Repeat("The quick brown fox jumps over the lazy dog.\r\n", 500)
	for _, c := range []Config{{Protocol: Rspamd, Network: "tcp", Address: shared.rspamdAt}, {Protocol: Spamd, Network: "tcp", Address: shared.spamAt}} {
		c.MaxBytes = 4096
		f := newFilter(t, c)
		behind := f.Check(t.Context(), session(long+spamMessage[strings.Index(spamMessage, "XJS"):]))
		if behind.Err != nil || behind.Spam || !behind.Partial {
			t.Errorf("%s: %+v", c.Protocol, behind)
		}
		if f.Stats.Partial.Load() != 1 || f.Stats.Checked.Load() != 1 {
			t.Errorf("%s: not counted", c.Protocol)
		}
	}
}

// TestCallerGone: a check whose caller gives up says nothing about the filter.
func TestCallerGone(t *testing.T) {
	shared.need(t, Spamd)
	f := newFilter(t, Config{Protocol: Spamd, Network: "tcp", Address: shared.spamAt})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range tolerated {
		if v := f.Check(ctx, session(ham)); !errors.Is(v.Err, context.Canceled) && !errors.Is(v.Err, ErrBusy) {
			t.Errorf("%+v", v)
		}
	}
	if v := f.Check(t.Context(), session(ham)); v.Err != nil {
		t.Errorf("after them: %+v", v)
	}
}
