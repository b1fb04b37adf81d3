package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/disk"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
	"postroad/internal/config"
)

// newTestProbe is a probe of a machine whose network is the loopback.
func newTestProbe(t *testing.T, z *dnstest.Zone, flags ...string) *probe {
	t.Helper()
	args := append([]string{"--data", filepath.Join(t.TempDir(), "data"), "--hostname", "mail.example.com", "--dns", z.Start(t)}, flags...)
	cfg, _, _, err := config.Parse(config.Serve, args, nil, func(string) ([]byte, error) { return nil, os.ErrNotExist })
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProbe(&Env{Clock: newQuick(), Zone: time.UTC}, cfg, &clientFlags{})
	if err != nil {
		t.Fatal(err)
	}
	p.targets, p.patience = []string{"big.test", "large.test"}, 300*time.Millisecond
	p.source = func(v6 bool) (netip.Addr, error) {
		if v6 {
			return netip.Addr{}, errors.New("network is unreachable")
		}
		return netip.MustParseAddr("8.8.4.4"), nil
	}
	p.synced = func() (bool, bool) { return true, true }
	return p
}

func mailZone(t *testing.T) *dnstest.Zone {
	z := dnstest.New()
	z.Set(t, "big.test", "MX", "10 mx.big.test.")
	z.Set(t, "mx.big.test", "A", "127.0.0.1")
	return z
}

func (f finding) expect(t *testing.T, state, evidence string) {
	t.Helper()
	if f.state != state || !strings.Contains(f.evidence, evidence) {
		t.Errorf("%s: %s\nwant %s: %s", f.state, f.evidence, state, evidence)
	}
	if (f.state == stateFail || f.state == stateWarn) && f.fix == "" {
		t.Errorf("%s has no fix: %s", f.state, f.evidence)
	}
}

func TestCheckPort(t *testing.T) {
	for _, tt := range []struct{ name, address, state, evidence string }{
		{"greets", speaking(t, "220 mx.big.test ESMTP\x1b[2J\r\n"), stateOK, "mx.big.test: 220 mx.big.test ESMTP?[2J"},
		{"refuses", speaking(t, "554 go away\r\n"), stateFail, "): 554 go away"},
		{"silent", speaking(t, ""), stateFail, "connected, but no greeting came"},
		{"closed", closedPort(t), stateFail, "): connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newTestProbe(t, mailZone(t))
			_, p.port, _ = strings.Cut(tt.address, ":")
			p.checkPort(t.Context(), false).expect(t, tt.state, tt.evidence)
			p.checkPort(t.Context(), true).expect(t, stateSkip, "no IPv6")
		})
	}
}

// TestCheckPortUnreachable: a dial that never ends must not hold the check up.
func TestCheckPortUnreachable(t *testing.T) {
	p := newTestProbe(t, mailZone(t))
	p.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p.checkPort(t.Context(), false).expect(t, stateFail, "mx.big.test (127.0.0.1:25): no answer within 300ms")
}

func TestCheckPortIPv6(t *testing.T) {
	z := mailZone(t)
	z.Set(t, "mx.big.test", "AAAA", "::1")
	p := newTestProbe(t, z)
	_, p.port, _ = strings.Cut(speaking(t, "220 hello\r\n"), ":")
	p.source = func(bool) (netip.Addr, error) { return netip.MustParseAddr("2a00::1"), nil }
	p.checkPort(t.Context(), true).expect(t, stateWarn, "mx.big.test ([::1]:") // nobody listens there
	p.port = "1"
	p.checkPort(t.Context(), true).expect(t, stateFail, "mx.big.test ([::1]:1): ")
}

func TestCheckPortSkips(t *testing.T) {
	p := newTestProbe(t, mailZone(t), "--relay", "*=smtp://127.0.0.1:1")
	p.checkPort(t.Context(), false).expect(t, stateSkip, "relay")
	p.checkPTR(t.Context()).expect(t, stateSkip, "relay")
	p.cfg.Mode = config.Dev
	p.checkPort(t.Context(), false).expect(t, stateSkip, "capture mode")
	p.checkHostname(t.Context()).expect(t, stateSkip, "capture mode")
	p.checkPTR(t.Context()).expect(t, stateSkip, "capture mode")
}

func TestCheckResolver(t *testing.T) {
	newTestProbe(t, mailZone(t)).checkResolver(t.Context()).expect(t, stateOK, "big.test has 1 mail host, answered in ")

	closed := newTestProbe(t, dnstest.New())
	closed.checkResolver(t.Context()).expect(t, stateFail, "knows none of big.test, large.test: ")
	closed.checkPort(t.Context(), false).expect(t, stateFail, "no mail host can be looked up: big.test MX: no such name")
	closed.cfg.Mode = config.Dev
	closed.checkResolver(t.Context()).expect(t, stateWarn, "knows none of")

	z := dnstest.New()
	defer z.Silence("big.test")()
	dead := newTestProbe(t, z)
	dead.checkResolver(t.Context()).expect(t, stateFail, "no answer in time")

	dead.resolver = noResolver{errors.New("no name server in /etc/resolv.conf")}
	dead.checkResolver(t.Context()).expect(t, stateFail, "no name server in /etc/resolv.conf")
}

func TestCheckRelay(t *testing.T) {
	good, bad := speaking(t, "220 relay\r\n"), closedPort(t)
	p := newTestProbe(t, mailZone(t), "--relay", "*=smtp://"+good, "--relay", "a.test=smtp://"+bad, "--relay", "b.test=smtp://"+bad, "--relay", "c.test=smtps://"+speaking(t, "220 no TLS\r\n"))
	list := p.relays()
	if len(list) != 3 || list[0] != good || list[1] != bad {
		t.Fatalf("%q", list)
	}
	p.checkRelay(t.Context(), good).expect(t, stateOK, "127.0.0.1: 220 relay")
	p.checkRelay(t.Context(), bad).expect(t, stateFail, "connection refused")
	p.checkRelay(t.Context(), list[2]).expect(t, stateFail, "no greeting")
}

func TestCheckHostname(t *testing.T) {
	z := dnstest.New()
	z.Set(t, "mail.example.com", "A", "192.0.2.1")
	p := newTestProbe(t, z)
	for name, want := range map[string][2]string{
		"mail.example.com": {stateOK, "has the address 192.0.2.1"}, "no.example.com": {stateWarn, "no.example.com A: no such name"},
		"vm": {stateFail, "not a full name"}, "localhost": {stateFail, "refuse"}, "LOCALHOST.localdomain": {stateFail, "refuse"},
		"mail.local": {stateFail, ".local does not exist"}, "192.0.2.1": {stateFail, "not a name"},
	} {
		p.cfg.Hostname = name
		p.checkHostname(t.Context()).expect(t, want[0], want[1])
	}
}

func TestCheckPTR(t *testing.T) {
	z := dnstest.New()
	z.Set(t, "mail.example.com", "A", "8.8.4.4")
	z.Set(t, "host-8.provider.test", "A", "8.8.4.4")
	z.Set(t, "4.4.8.8.in-addr.arpa", "PTR", "mail.example.com.")
	p := newTestProbe(t, z)
	p.checkPTR(t.Context()).expect(t, stateOK, "8.8.4.4 (address of this machine) is named mail.example.com")

	z.Set(t, "4.4.8.8.in-addr.arpa", "PTR", "host-8.provider.test.")
	p.checkPTR(t.Context()).expect(t, stateWarn, "is named host-8.provider.test, the host name in HELO is mail.example.com")
	z.Set(t, "4.4.8.8.in-addr.arpa", "PTR", "wrong.test.")
	p.checkPTR(t.Context()).expect(t, stateFail, "does not lead back")
	z.Delete(t, "4.4.8.8.in-addr.arpa", "PTR")
	p.checkPTR(t.Context()).expect(t, stateFail, "8.8.4.4 (address of this machine) has no name")

	p.source = func(bool) (netip.Addr, error) { return netip.MustParseAddr("10.0.0.5"), nil }
	p.checkPTR(t.Context()).expect(t, stateFail, "8.8.4.4 (address of mail.example.com) has no name")
	p.cfg.Hostname = "inside.test"
	p.checkPTR(t.Context()).expect(t, stateSkip, "cannot be told")
}

func TestIsPublic(t *testing.T) {
	for text, want := range map[string]bool{"8.8.8.8": true, "2a00::1": true, "10.1.1.1": false, "100.64.1.1": false, "192.0.2.2": false, "127.0.0.1": false,
		"169.254.1.1": false, "fe80::1": false, "fd00::1": false, "2001:db8::1": false, "0.0.0.0": false, "224.0.0.1": false} {
		if isPublic(netip.MustParseAddr(text)) != want {
			t.Error(text)
		}
	}
}

func TestCheckClock(t *testing.T) {
	p := newTestProbe(t, dnstest.New())
	p.client = newClient("http://"+closedPort(t), "k")
	p.checkClock(t.Context()).expect(t, stateOK, "2026-11-20 12:00:00 UTC; a time service keeps it")
	p.synced = func() (bool, bool) { return false, true }
	p.checkClock(t.Context()).expect(t, stateWarn, "no time service keeps it")
	p.synced = func() (bool, bool) { return false, false }
	p.checkClock(t.Context()).expect(t, stateOK, "is not known")

	if err := os.MkdirAll(p.cfg.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(p.cfg.Data, "postroad.db")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, noon.Add(time.Hour), noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	p.checkClock(t.Context()).expect(t, stateFail, "postroad.db was written at 2026-11-20 13:00:00 UTC")
	p.e.Clock = &quick{now: time.Unix(1000, 0)}
	p.checkClock(t.Context()).expect(t, stateFail, "it shows 1970-01-01")
}

func TestCheckDisk(t *testing.T) {
	p := newTestProbe(t, dnstest.New())
	for _, tt := range []struct {
		s               disk.Space
		err             error
		state, evidence string
	}{
		{disk.Space{Free: 5 << 30, Total: 9 << 30, FreeFiles: 5000, Files: 9000}, nil, stateOK, "5.0 GB free of 9.0 GB in "},
		{disk.Space{Free: 1 << 30, Total: 9 << 30, FreeFiles: 0, Files: 0}, nil, stateWarn, "1.0 GB free"},
		{disk.Space{Free: 1 << 20, Total: 9 << 30, FreeFiles: 0, Files: 0}, nil, stateFail, "below 256.0 MB no mail is taken"},
		{disk.Space{Free: 5 << 30, Total: 9 << 30, FreeFiles: 10, Files: 9000}, nil, stateFail, "room for 10 more files"},
		{disk.Space{}, os.ErrPermission, stateFail, "permission denied"},
		{disk.Space{}, errors.ErrUnsupported, stateSkip, ""},
	} {
		p.disk = func(dir string) (disk.Space, error) {
			if dir != filepath.Dir(p.cfg.Data) {
				t.Errorf("asked for %s", dir)
			}
			return tt.s, tt.err
		}
		p.checkDisk(t.Context()).expect(t, tt.state, tt.evidence)
	}
	p.disk = disk.Of
	if f := p.checkDisk(t.Context()); f.state == stateSkip || !strings.Contains(f.evidence, " in ") {
		t.Errorf("%+v", f)
	}
}

func TestCheckData(t *testing.T) {
	p := newTestProbe(t, dnstest.New())
	dir, secret := p.cfg.Data, filepath.Join(p.cfg.Data, "secret")
	p.checkData(t.Context()).expect(t, stateSkip, "not there yet")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dir, 0o755))
	must(os.Chmod(dir, 0o755))
	f := p.checkData(t.Context())
	f.expect(t, stateFail, "has permissions 0755")
	if f.fix != "chmod 700 "+dir {
		t.Error(f.fix)
	}
	must(os.Chmod(dir, 0o700))
	p.checkData(t.Context()).expect(t, stateOK, "no secret in it yet")
	must(os.WriteFile(secret, []byte("x"), 0o600))
	must(os.Chmod(secret, 0o640))
	p.checkData(t.Context()).expect(t, stateFail, "has permissions 0640")
	must(os.Chmod(secret, 0o600))
	p.checkData(t.Context()).expect(t, stateOK, "so is the secret")
	p.cfg.Data = secret
	p.checkData(t.Context()).expect(t, stateFail, "not a directory")
}

func TestCheckServerAndKey(t *testing.T) {
	ready := func(status int, body string) string { return answering(t, status, [2]string{}, body) }
	for _, tt := range []struct{ name, url, state, evidence string }{
		{"ready", ready(200, `{"status":"ready","checks":{"disk":"ok"}}`), stateOK, " is ready"},
		{"not ready", ready(503, `{"status":"not ready","checks":{"disk":"3 MB left","database":"ok","state":"stopping"}}`), stateFail, "not ready: disk: 3 MB left, state: stopping"},
		{"stranger", ready(200, "<html>"), stateFail, "answers with 200 OK, but is not Postroad"},
		{"nobody", "http://" + closedPort(t), stateFail, "nothing listens there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newTestProbe(t, dnstest.New())
			p.client = newClient(tt.url, "k")
			p.checkServer(t.Context()).expect(t, tt.state, tt.evidence)
		})
	}
	for _, tt := range []struct{ name, url, state, evidence string }{
		{"good", ready(200, `{"items":[]}`), stateOK, "may read"},
		{"unknown", ready(401, "Forbidden"), stateFail, "no such key"},
		{"narrow", ready(403, `{"message":"no"}`), stateOK, "may not read"},
		{"nobody", "http://" + closedPort(t), stateSkip, "does not answer"},
	} {
		t.Run("key "+tt.name, func(t *testing.T) {
			p := newTestProbe(t, dnstest.New())
			p.checkKey(t.Context()).expect(t, stateSkip, "no key given")
			p.client, p.hasKey = newClient(tt.url, "k"), true
			p.checkKey(t.Context()).expect(t, tt.state, tt.evidence)
		})
	}
}

func TestCheckServerHangs(t *testing.T) {
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-stop }))
	defer s.Close()
	defer close(stop)
	p := newTestProbe(t, dnstest.New())
	p.client = newClient(s.URL, "k")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	p.checkServer(ctx).expect(t, stateFail, "did not answer in time")
}

func TestCheckSettings(t *testing.T) {
	p := newTestProbe(t, dnstest.New(), "--assume-verified")
	p.checkSettings(t.Context()).expect(t, stateOK, "4 set, the others as they come; no settings file")
	p.warnings = []string{"unknown variable POSTROAD_HTP; did you mean POSTROAD_HTTP?"}
	p.checkSettings(t.Context()).expect(t, stateWarn, "POSTROAD_HTP")
	p.checkInsecure(t.Context()).expect(t, stateWarn, "assume_verified: ")
	p.cfg.AssumeVerified = false
	p.checkInsecure(t.Context()).expect(t, stateOK, "no insecure setting")
}

func TestCheckSigning(t *testing.T) {
	p := newTestProbe(t, dnstest.New())
	p.e.Clock = nil
	if f := p.checkSigning(t.Context()); f.state != stateOK && f.state != stateWarn || !strings.HasPrefix(f.evidence, "RSA-2048: ") {
		t.Errorf("%+v", f)
	}
}

func TestListenURL(t *testing.T) {
	for _, tt := range []struct{ http, https, want string }{
		{":8080", "", "http://localhost:8080"}, {"127.0.0.1:1", "", "http://localhost:1"}, {"[::]:80", "", "http://localhost:80"},
		{"192.0.2.1:80", ":443", "http://192.0.2.1:80"}, {"", "mail.example.com:443", "https://mail.example.com:443"}, {"", "", defaultURL},
	} {
		if got := listenURL(&config.Config{HTTP: config.Listen(tt.http), HTTPS: config.Listen(tt.https)}); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

// TestDoctor runs the command against the real server.
func TestDoctor(t *testing.T) {
	z := mailZone(t)
	z.Set(t, "gmail.com", "MX", "10 mx.big.test.")
	dns := z.Start(t)
	url := startServer(t)
	dir := filepath.Join(t.TempDir(), "none")
	r := live(url, "", false, "doctor", "dev", "--data", dir, "--dns", dns)
	var doc struct {
		OK     bool
		Checks []check
	}
	if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	states := map[string]string{}
	for _, c := range doc.Checks {
		if c.ID == "" || c.Title == "" || c.Evidence == "" || states[c.ID] != "" {
			t.Errorf("%+v", c)
		}
		states[c.ID] = c.State
	}
	for id, want := range map[string]string{"server": stateOK, "key": stateOK, "resolver": stateOK, "port25-ipv4": stateSkip, "hostname": stateSkip, "data": stateSkip, "insecure": stateOK} {
		if states[id] != want {
			t.Errorf("%s is %s, want %s", id, states[id], want)
		}
	}
	r = live("http://"+closedPort(t), "", true, "doctor", "dev", "--data", dir, "--dns", dns, "--quiet")
	if r.status != exitCheck || !strings.HasPrefix(r.stdout, "FAIL  Server answers ") || strings.Contains(r.stdout, "\nOK ") || !strings.Contains(r.stdout, "Fix: start it: postroad dev") {
		t.Errorf("%+v", r)
	}
	r = live("http://"+closedPort(t), "", false, "doctor", "dev", "--data", dir, "--dns", dns)
	if e := errorOf(t, r); r.status != exitCheck || e.Code != "check_failed" || !strings.Contains(e.Message, " of 16 checks failed") {
		t.Errorf("%d %+v", r.status, e)
	}
}

func TestReport(t *testing.T) {
	var out, errs strings.Builder
	e := &Env{Stdout: &out, Stderr: &errs, Terminal: &Terminal{Stdout: true, Width: 60}}
	list := []check{
		{"a", "First", stateOK, "all is well", ""},
		{"b", "Second one", stateWarn, "a longer piece of evidence that\x1b has to be wrapped", "do this or that to make it right again"},
	}
	const want = "OK    First       all is well\n" +
		"WARN  Second one  a longer piece of evidence that? has to be\n" +
		"                  wrapped\n" +
		"                  Fix: do this or that to make it right\n" +
		"                  again\n"
	if err := report(e, &clientFlags{}, list); err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, out.String())
	}
	list[0].State = stateFail
	if f := asFailureOrNil(report(e, &clientFlags{}, list)); f == nil || f.status != exitCheck || f.message != "1 of 2 checks failed" {
		t.Errorf("%+v", f)
	}
}

var (
	_ dnsx.Resolver = noResolver{}
	_ io.Writer     = tail{}
)
