package netx_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
	"postroad/internal/base/netx"
)

// watched is a listener on loopback that counts connections.
type watched struct {
	listener net.Listener
	port     string
	count    atomic.Int64
	accepted chan struct{}
}

func watch(t *testing.T) *watched {
	t.Helper()
	l, err := net.Listen("tcp", ":0") // all addresses, IPv4 and IPv6
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{listener: l, port: port, accepted: make(chan struct{}, 1000)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.count.Add(1)
			conn.Close()
			w.accepted <- struct{}{}
		}
	}()
	t.Cleanup(func() { l.Close() })
	return w
}

// connects returns how many connections there were. It makes one itself and waits
// for it to arrive, behind which none can be hidden.
func (w *watched) connects(t *testing.T) int {
	t.Helper()
	before := w.count.Load()
	conn, err := net.Dial("tcp", "127.0.0.1:"+w.port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-w.accepted
	return int(max(before, w.count.Load()-1))
}

func resolver(t *testing.T, z *dnstest.Zone) dnsx.Resolver {
	t.Helper()
	r, err := dnsx.New(dnsx.Config{Servers: []string{z.Start(t)}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// forbiddenHosts are ways to say loopback, private and other special addresses.
func forbiddenHosts(t *testing.T, z *dnstest.Zone) []string {
	hosts := []string{
		"127.0.0.1", "127.0.0.2", "localhost", "LOCALHOST", "0.0.0.0", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]",
		"[2001::7f00:1]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]",
		"127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "localhost.",
		"10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"\uff11\uff12\uff17.0.0.1", "user@127.0.0.1", "1.1.1.1@127.0.0.1",
	}
	for i, addr := range []string{"127.0.0.1", "10.0.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"} {
		name := fmt.Sprintf("v4-%d.evil.example", i)
		z.Set(t, name, "A", addr)
		hosts = append(hosts, name)
	}
	for i, addr := range []string{"::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::1", "fe80::1", "fc00::1"} {
		name := fmt.Sprintf("v6-%d.evil.example", i)
		z.Set(t, name, "AAAA", addr)
		hosts = append(hosts, name)
	}
	z.Set(t, "alias.evil.example", "CNAME", "v4-0.evil.example.")
	z.Set(t, "localhost", "A", "127.0.0.1")
	return append(hosts, "alias.evil.example")
}

func TestNoConnectToForbiddenAddresses(t *testing.T) {
	target := watch(t)
	z := dnstest.New()
	hosts := forbiddenHosts(t, z)
	for name, r := range map[string]dnsx.Resolver{"own resolver": resolver(t, z), "system resolver": nil} {
		c := netx.NewClient(netx.Config{Timeout: 2 * time.Second, Resolver: r})
		for _, host := range hosts {
			if r == nil && (strings.Contains(host, "evil") || host == "localhost.") {
				continue // the system's resolver does not know the zone, nor everywhere this name
			}
			for _, scheme := range []string{"http", "https"} {
				u := scheme + "://" + host + ":" + target.port + "/"
				_, err := c.Do(t.Context(), netx.Request{URL: u})
				checkRefused(t, name+" "+u, err)
				if err := c.CheckURL(t.Context(), u); err == nil {
					t.Errorf("CheckURL takes %s", u)
				}
			}
		}
	}
	if n := target.connects(t); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// checkRefused wants a refusal for cause: not a connection that happened to fail.
func checkRefused(t *testing.T, what string, err error) {
	t.Helper()
	var forbidden *netx.ForbiddenAddressError
	var bad *netx.URLError
	if !errors.As(err, &forbidden) && !errors.As(err, &bad) {
		t.Errorf("%s: %v", what, err)
	}
	if forbidden != nil && !forbidden.Addr.IsValid() {
		t.Errorf("%s: no address in the error", what)
	}
}

func TestRebinding(t *testing.T) {
	target := watch(t)
	z := dnstest.New()
	z.SetTTL(0)
	z.Set(t, "rebind.example", "A", "1.1.1.1")
	c := netx.NewClient(netx.Config{Timeout: 2 * time.Second, Resolver: resolver(t, z)})
	u := "http://rebind.example:" + target.port + "/hook"
	if err := c.CheckURL(t.Context(), u); err != nil {
		t.Fatalf("while the name is public: %v", err)
	}
	z.Set(t, "rebind.example", "A", "127.0.0.1")
	if _, err := c.Do(t.Context(), netx.Request{Method: "POST", URL: u}); !errors.Is(err, netx.ErrForbiddenAddress) {
		t.Errorf("after it moved: %v", err)
	}
	if n := target.connects(t); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// origin is a server at an address that only the test's client may call.
func origin(t *testing.T, h http.HandlerFunc) (url string, allow []netip.Prefix) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
}

func TestRedirectToPrivate(t *testing.T) {
	target := watch(t)
	z := dnstest.New()
	z.Set(t, "inside.example", "A", "127.0.0.1")
	var location atomic.Value
	base, allow := origin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", location.Load().(string))
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	c := netx.NewClient(netx.Config{Timeout: 2 * time.Second, MaxRedirects: 5, Allow: allow, Resolver: resolver(t, z)})
	for _, to := range []string{
		"http://127.0.0.1:%s/", "http://[::1]:%s/", "http://inside.example:%s/", "//127.0.0.1:%s/",
		"http://u:p@1.1.1.1:%s/", "http://2130706433:%s/", "gopher://127.0.0.1:%s/",
	} {
		location.Store(fmt.Sprintf(to, target.port))
		_, err := c.Do(t.Context(), netx.Request{Method: "POST", URL: base, Body: []byte("x")})
		checkRefused(t, "redirect to "+to, err)
	}
	if n := target.connects(t); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func TestRedirects(t *testing.T) {
	var served atomic.Int64
	base, allow := origin(t, func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		if r.URL.Path == "/end" {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "%s %s", r.Method, body)
			return
		}
		next := "/end"
		if r.URL.Path == "/loop" {
			next = "/loop"
		}
		http.Redirect(w, r, next, http.StatusTemporaryRedirect)
	})
	post := netx.Request{Method: "POST", URL: base + "/a", Body: []byte("payload")}
	none := netx.NewClient(netx.Config{Allow: allow})
	r, err := none.Do(t.Context(), post)
	if err != nil || r.Status != http.StatusTemporaryRedirect || served.Load() != 1 {
		t.Errorf("without redirects: %+v, %v, %d requests", r, err, served.Load())
	}
	some := netx.NewClient(netx.Config{Allow: allow, MaxRedirects: 3})
	r, err = some.Do(t.Context(), post)
	if err != nil || r.Status != 200 || string(r.Body) != "POST payload" {
		t.Errorf("with redirects: %+v, %v", r, err)
	}
	served.Store(0)
	post.URL = base + "/loop"
	if _, err = some.Do(t.Context(), post); !errors.Is(err, netx.ErrTooManyRedirects) || served.Load() != 4 {
		t.Errorf("loop: %v after %d requests", err, served.Load())
	}
}

func TestNoDowngrade(t *testing.T) {
	base, _ := origin(t, func(http.ResponseWriter, *http.Request) { t.Error("the plain request was made") })
	secure := httptest.NewTLSServer(http.RedirectHandler(base, http.StatusFound))
	defer secure.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	c := netx.NewClient(netx.Config{AllowPrivate: true, MaxRedirects: 1, TLS: &tls.Config{RootCAs: roots}})
	if _, err := c.Do(t.Context(), netx.Request{URL: secure.URL}); !errors.Is(err, netx.ErrDowngrade) {
		t.Errorf("got %v", err)
	}
}

func TestDo(t *testing.T) {
	var clock atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clock.Add(int64(3 * time.Second))
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Seen", r.Header.Get("User-Agent")+"|"+r.Header.Get("X-A")+"|"+string(body))
		w.WriteHeader(http.StatusNotAcceptable)
		w.Write(bytes.Repeat([]byte("x"), 100))
	}))
	defer server.Close()
	for limit, truncated := range map[int64]bool{99: true, 100: false, 101: false} {
		clock.Store(0)
		c := netx.NewClient(netx.Config{AllowPrivate: true, MaxResponseBytes: limit, UserAgent: "Agent/1",
			Clock: func() time.Time { return time.Unix(0, clock.Load()) }})
		r, err := c.Do(t.Context(), netx.Request{Method: "POST", URL: server.URL, Header: map[string][]string{"x-a": {"1"}}, Body: []byte("in")})
		if err != nil {
			t.Fatal(err)
		}
		if r.Status != http.StatusNotAcceptable || r.Header["X-Seen"][0] != "Agent/1|1|in" || r.Duration != 3*time.Second ||
			"http://"+r.RemoteAddr != server.URL || r.Truncated != truncated || int64(len(r.Body)) != min(limit, 100) {
			t.Errorf("limit %d: %+v", limit, r)
		}
		c.CloseIdle()
	}
}

// TestOpen: a body that is read while it is sent goes out with its length.
func TestOpen(t *testing.T) {
	const size = 3 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.ContentLength, n, err)
	}))
	defer server.Close()
	c := netx.NewClient(netx.Config{AllowPrivate: true})
	open := func() io.Reader { return io.LimitReader(zeros{}, size) }
	for range 2 {
		r, err := c.Do(t.Context(), netx.Request{Method: "POST", URL: server.URL, Open: open, Size: size})
		if err != nil || string(r.Body) != "3145728 3145728 <nil>" {
			t.Fatalf("%s, %v", r.Body, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestWithoutAnswer: an error tells whether there was a connection.
func TestWithoutAnswer(t *testing.T) {
	w := watch(t)
	c := netx.NewClient(netx.Config{AllowPrivate: true})
	if r, err := c.Do(t.Context(), netx.Request{URL: "http://127.0.0.1:" + w.port}); err == nil || r.RemoteAddr != "127.0.0.1:"+w.port {
		t.Errorf("closed without an answer: %+v, %v", r, err)
	}
	w.listener.Close()
	if r, err := c.Do(t.Context(), netx.Request{URL: "http://127.0.0.1:" + w.port}); err == nil || r.RemoteAddr != "" {
		t.Errorf("nobody there: %+v, %v", r, err)
	}
}

func TestRedact(t *testing.T) {
	for u, want := range map[string]string{"https://h.example/a?key=1#f": "https://h.example/a", "http://u:p@h.example": "http://h.example", "http://[": "(unreadable url)"} {
		if got := netx.Redact(u); got != want {
			t.Errorf("%s: %s", u, got)
		}
	}
}

func TestRequestErrors(t *testing.T) {
	c := netx.NewClient(netx.Config{AllowPrivate: true})
	for name, r := range map[string]netx.Request{
		"method": {Method: "PO ST", URL: "http://127.0.0.1:9/"},
		"header": {URL: "http://127.0.0.1:9/", Header: map[string][]string{"X": {"a\r\nB: c"}}},
		"url":    {URL: "file:///etc/passwd"},
	} {
		if _, err := c.Do(t.Context(), r); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	c := netx.NewClient(netx.Config{AllowPrivate: true, Timeout: 30 * time.Millisecond})
	if _, err := c.Do(t.Context(), netx.Request{URL: server.URL}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestNoProxyFromEnvironment(t *testing.T) {
	proxy := watch(t)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:"+proxy.port)
	t.Setenv("http_proxy", "http://127.0.0.1:"+proxy.port)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "direct") }))
	defer server.Close()
	z := dnstest.New()
	z.Set(t, "proxied.example", "A", "127.0.0.1") // under a name: loopback addresses never go to a proxy
	c := netx.NewClient(netx.Config{AllowPrivate: true, Timeout: 5 * time.Second, Resolver: resolver(t, z)})
	u := strings.Replace(server.URL, "127.0.0.1", "proxied.example", 1)
	if r, err := c.Do(t.Context(), netx.Request{URL: u}); err != nil || string(r.Body) != "direct" {
		t.Errorf("%+v, %v", r, err)
	}
	if n := proxy.connects(t); n != 0 {
		t.Errorf("the proxy was called %d times", n)
	}
}

func TestCheckURL(t *testing.T) {
	z := dnstest.New()
	z.Set(t, "public.example", "A", "1.1.1.1")
	z.Set(t, "mixed.example", "A", "127.0.0.1", "1.1.1.1")
	z.Set(t, "private.example", "A", "10.0.0.1")
	c := netx.NewClient(netx.Config{Resolver: resolver(t, z)})
	for u, want := range map[string]string{
		"https://public.example/x": "",
		"https://mixed.example/":   "",
		"https://private.example/": "https://private.example/ is not a valid url: host private.example has address 10.0.0.1, which is not allowed",
		"http://10.0.0.1/":         "http://10.0.0.1/ is not a valid url: address 10.0.0.1 is not allowed",
		"https://nowhere.example/": "https://nowhere.example/ is not a valid url: host not found",
		"https:/x":                 "https:/x is not a valid url: missing host",
	} {
		err := c.CheckURL(t.Context(), u)
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// TestSecondAddress: a host of which one address does not answer is reached by
// the other.
func TestSecondAddress(t *testing.T) {
	base, allow := origin(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "here") })
	z := dnstest.New()
	z.Set(t, "two.example", "A", "127.0.0.3", "127.0.0.2", "127.0.0.1")
	allow = append(allow, netip.MustParsePrefix("127.0.0.3/32"))
	c := netx.NewClient(netx.Config{Allow: allow, Resolver: resolver(t, z), Timeout: 5 * time.Second})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Do(t.Context(), netx.Request{URL: "http://two.example:" + port})
	if err != nil || string(r.Body) != "here" || r.RemoteAddr != "127.0.0.2:"+port {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestBrokenBody: a receiver that has sent a status has answered, whatever becomes
// of the body.
func TestBrokenBody(t *testing.T) {
	release, seen := make(chan struct{}), make(chan struct{}, 3)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotFirstResponseByte: func() { seen <- struct{}{} }})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "part")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-seen // a reset must not overtake what was sent
		switch r.URL.Path {
		case "/slow":
			<-release
		case "/reset":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}))
	defer server.Close()
	defer close(release)
	for path, timeout := range map[string]time.Duration{"/short": 0, "/reset": 0, "/slow": 500 * time.Millisecond} {
		c := netx.NewClient(netx.Config{AllowPrivate: true, Timeout: timeout})
		r, err := c.Do(ctx, netx.Request{URL: server.URL + path})
		if err != nil || r.Status != http.StatusOK || r.BodyErr == nil || !r.Truncated || string(r.Body) != "part" {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
		if path == "/slow" && !errors.Is(r.BodyErr, context.DeadlineExceeded) {
			t.Errorf("%s: %v", path, r.BodyErr)
		}
		c.CloseIdle()
	}
}
