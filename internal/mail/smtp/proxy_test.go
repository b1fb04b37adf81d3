package smtp

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

// loopback is the network the tests' clients are in.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

const (
	v4Header = "PROXY TCP4 192.0.2.1 198.51.100.2 4321 25\r\n"
	v2Head   = "\r\n\r\n\x00\r\nQUIT\n"
	v2Header = v2Head + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x10\xe1\x00\x19"
)

func TestProxyHeader(t *testing.T) {
	ip6 := "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11)
	tests := []struct{ in, remote, local string }{
		{v4Header, "192.0.2.1:4321", "198.51.100.2:25"},
		{"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "[2001:db8::1]:1", "[2001:db8::2]:65535"},
		{"PROXY UNKNOWN\r\n", "invalid AddrPort", "invalid AddrPort"},
		{"PROXY UNKNOWN 2001:db8::1 2001:db8::2 1 2\r\n", "invalid AddrPort", "invalid AddrPort"},
		{v2Header, "192.0.2.1:4321", "198.51.100.2:25"},
		{v2Head + "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc6\x33\x64\x02\x10\xe1\x00\x19\x04\x00\x00", "192.0.2.1:4321", "198.51.100.2:25"}, // with a TLV
		{v2Head + "\x21\x21\x00\x24" + ip6 + "\x01" + ip6 + "\x02\x10\xe1\x00\x19", "[2001:db8::1]:4321", "[2001:db8::2]:25"},
		{v2Head + "\x20\x00\x00\x00", "invalid AddrPort", "invalid AddrPort"},
		{v2Head + "\x20\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x10\xe1\x00\x19", "invalid AddrPort", "invalid AddrPort"},
		{v2Head + "\x21\x00\x00\x02ab", "invalid AddrPort", "invalid AddrPort"},
	}
	for _, tt := range tests {
		in := strings.NewReader(tt.in + "EHLO c\r\n")
		p, err := readProxyHeader(iotest.OneByteReader(in))
		rest, _ := io.ReadAll(in)
		if err != nil || p.remote.String() != tt.remote || p.local.String() != tt.local || string(rest) != "EHLO c\r\n" {
			t.Errorf("%q: %v, %v, left %q", tt.in, p, err, rest)
		}
	}
	for _, bad := range []string{
		"EHLO client.example.com\r\n", "PROXY TCP4\r\n      ", "PROXY TCP4 192.0.2.1 198.51.100.2 4321\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 4321 25\n",
		"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "PROXY TCP6 192.0.2.1 198.51.100.2 4321 25\r\n", "PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 -1 25\r\n", "PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n", "PROXY  TCP4 192.0.2.1 198.51.100.2 1 25\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1 25 \r\n", "PROXY TCP4 " + strings.Repeat("1", 200), "PROXY UNIX aaaaaaaaa\r\n", "proxy TCP4 192.0.2.1 198.51.100.2 4321 25\r\n",
		v2Head + "\x11\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x10\xe1\x00\x19", v2Head + "\x22\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x10\xe1\x00\x19",
		v2Head + "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x10\xe1\x00\x19", v2Head + "\x21\x11\x00\x0b\xc0\x00\x02\x01\xc6\x33\x64\x02\x10\xe1\x00",
		v2Head + "\x21\x11\xff\xff", v2Head + "\x21\x11\x00\x0c\xc0", v2Head, "P",
	} {
		if p, err := readProxyHeader(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %v", bad, p)
		}
	}
}

// FuzzProxyHeader: a header ends where it says, within bounds, however it
// arrives.
func FuzzProxyHeader(f *testing.F) {
	for _, s := range []string{v4Header, v2Header, "PROXY UNKNOWN\r\n", v2Head + "\x20\x00\x00\x03abc", "PROXY TCP6 ::1 ::ffff:1.2.3.4 1 2\r\n"} {
		f.Add([]byte(s + "EHLO c\r\n"))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		a, b := bytes.NewReader(in), bytes.NewReader(in)
		p, err := readProxyHeader(a)
		q, err2 := readProxyHeader(iotest.OneByteReader(b))
		if p != q || (err == nil) != (err2 == nil) || a.Len() != b.Len() {
			t.Fatalf("%q: %v, %v and %v, %v", in, p, err, q, err2)
		}
		used := len(in) - a.Len()
		if used > proxyHead+proxyMax2 || err != nil && (p.remote.IsValid() || p.local.IsValid()) {
			t.Fatalf("%q: %v after %d octets, %v", in, p, used, err)
		}
		if err == nil && in[0] == 'P' && (used > proxyMax1 || !strings.HasSuffix(string(in[:used]), crlf)) {
			t.Fatalf("%q: ended after %d octets", in, used)
		}
	})
}

func TestProxy(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	for name, header := range map[string]string{"v1": v4Header, "v2": v2Header} {
		for _, implicit := range []bool{false, true} {
			st := &store{}
			_, addr := serve(t, Config{Backend: st, TLS: serverTLS, ImplicitTLS: implicit, ProxyNetworks: loopback})
			conn := dial(t, addr)
			if _, err := io.WriteString(conn, header); err != nil {
				t.Fatal(err)
			}
			if implicit {
				conn = tls.Client(conn, clientTLS)
			}
			c, err := NewClient(testContext(t), conn, ClientOptions{HELO: "c.example.com"})
			if err != nil {
				t.Fatal(name, implicit, err)
			}
			if _, err := c.Send(testContext(t), testEnvelope, testBody); err != nil {
				t.Fatal(err)
			}
			if got := st.messages(); got[0].ip != "192.0.2.1:4321" {
				t.Errorf("%s: client is %s", name, got[0].ip)
			}
		}
	}
	// The proxy itself asks how we are.
	st := &store{}
	_, addr := serve(t, Config{Backend: st, ProxyNetworks: loopback})
	r := rawDial(t, addr)
	r.write("PROXY UNKNOWN\r\n")
	r.expect("220")
	r.write(toB + "DATA\r\nx\r\n.\r\n")
	r.expect("250", "250", "250", "354", "250")
	if got := st.messages(); !strings.HasPrefix(got[0].ip, "127.0.0.1:") {
		t.Error(got[0].ip)
	}
}

// A header counts only from a proxy, which must send one; what it tells decides
// what else the client may do.
func TestProxySpoofing(t *testing.T) {
	elsewhere := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, header := range []string{v4Header, v2Header} {
		st := &store{}
		_, addr := serve(t, Config{Backend: st, ProxyNetworks: elsewhere, XClientNetworks: elsewhere})
		r := rawDial(t, addr)
		r.expect("220")
		r.write(header + toB + "DATA\r\nx\r\n.\r\n")
		for {
			got := r.reply()
			if got == "" || strings.HasPrefix(got, "421") {
				break
			}
			if !strings.HasPrefix(got, "500") { // version 2 is a few bad lines
				break
			}
		}
		for _, m := range st.messages() {
			if strings.HasPrefix(m.ip, "192.") {
				t.Errorf("%q: believed", header)
			}
		}
	}
	_, addr := serve(t, Config{Backend: &store{}, ProxyNetworks: loopback})
	r := rawDial(t, addr)
	r.write("EHLO client.example.com\r\n") // a proxy that is none
	r.expect("")
	r = rawDial(t, addr)
	r.write(v4Header + v4Header)
	r.expect("220", "421 4.7.0 no PROXY header") // only one
	// The client behind a trusted proxy is not the proxy.
	_, addr = serve(t, Config{Backend: &store{}, ProxyNetworks: loopback, XClientNetworks: loopback})
	r = rawDial(t, addr)
	r.write(v4Header + "EHLO c\r\nXCLIENT ADDR=203.0.113.1\r\n")
	r.expect("220")
	if got := r.reply(); strings.Contains(got, "XCLIENT") {
		t.Error(got)
	}
	r.expect("550 5.7.0")
}

func TestProxyTimeout(t *testing.T) {
	_, addr := serve(t, Config{Backend: &store{}, ProxyNetworks: loopback, Timeouts: ServerTimeouts{Handshake: 1}})
	rawDial(t, addr).expect("")
}

// The limits of an address are those of the client, not of the proxy.
func TestProxyLimits(t *testing.T) {
	s, addr := serve(t, Config{Backend: &store{}, ProxyNetworks: loopback, MaxConnectionsPerIP: 1})
	first := rawDial(t, addr)
	first.write(v4Header)
	first.expect("220")
	second := rawDial(t, addr)
	second.write(v4Header)
	second.expect("421 4.3.2", "")
	third := rawDial(t, addr)
	third.write(strings.Replace(v4Header, "192.0.2.1", "192.0.2.9", 1))
	third.expect("220")
	if s.Stats.Refused.Load() != 1 || s.Stats.Accepted.Load() != 2 {
		t.Errorf("refused %d, accepted %d", s.Stats.Refused.Load(), s.Stats.Accepted.Load())
	}
}

func TestXclient(t *testing.T) {
	st := &store{}
	_, addr := serve(t, Config{Backend: st, XClientNetworks: loopback, MaxErrors: 100})
	r := rawDial(t, addr)
	r.write("EHLO proxy.example\r\n")
	r.expect("220")
	if got := r.reply(); !strings.Contains(got, "|250-XCLIENT NAME ADDR PORT PROTO HELO|") {
		t.Error(got)
	}
	for _, bad := range []string{"", "ADDR=[UNAVAILABLE]", "ADDR=1.2.3", "ADDR=fe80::1%25eth0", "LOGIN=root", "PORT=1", "ADDR=192.0.2.1 PORT=x", "NAME=a_b", "NAME=a+0Ab",
		"HELO=", "FOO=x", "ADDR", "PROTO=LMTP", "NAME=" + strings.Repeat("a.", 200) + "b", "ADDR=192.0.2.1 LOGIN=x"} {
		r.write("XCLIENT " + bad + "\r\n")
		r.expect("501 5.5.4")
	}
	r.write("AUTH PLAIN AHVzZXIAcGFzcyB3b3Jk\r\nMAIL FROM:<a@b>\r\nXCLIENT ADDR=192.0.2.1\r\nRSET\r\n")
	r.expect("235", "250", "503", "250")
	r.write("XCLIENT ADDR=IPv6:2001:db8::1 port=99 NAME=mail.example HELO=he+2Dlo PROTO=ESMTP\r\n")
	r.expect("220 mx.example.com ESMTP")
	r.write("MAIL FROM:<a@b>\r\n" + toB + "DATA\r\nx\r\n.\r\n")
	r.expect("503 5.5.1 say EHLO", "250", "250", "250", "354", "250")
	m := st.messages()[0]
	if m.ip != "[2001:db8::1]:99" || m.name != "mail.example" || m.helo != "he-lo" || m.user != "" {
		t.Errorf("%+v", m)
	}
	// Again for another client; nothing of the one before is left.
	r.write("XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE] HELO=[TEMPUNAVAIL]\r\n" + toB + "DATA\r\nx\r\n.\r\n")
	r.expect("220", "250", "250", "250", "354", "250")
	if m = st.messages()[1]; m.ip != "192.0.2.7:0" || m.name != "" || m.helo != "c" {
		t.Errorf("%+v", m)
	}
}

func TestXclientLimits(t *testing.T) {
	_, addr := serve(t, Config{Backend: &store{}, XClientNetworks: loopback, MaxConnectionsPerIP: 1})
	for i, want := range []string{"220", "421 4.3.2"} {
		r := rawDial(t, addr)
		r.write("XCLIENT ADDR=192.0.2.1\r\n")
		r.expect("220", want)
		if i == 1 {
			r.expect("")
		}
	}
	_, addr = serve(t, Config{Backend: &store{}, XClientNetworks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	r := rawDial(t, addr)
	r.write("EHLO c\r\nXCLIENT ADDR=192.0.2.1\r\nXCLIENT ADDR=192.0.2.1\r\n")
	r.expect("220", "250", "550 5.7.0", "550 5.7.0")
}

func TestAddrOf(t *testing.T) {
	if got := addrOf(&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1")}); got != netip.MustParseAddr("192.0.2.1") {
		t.Error(got)
	}
	if _, err := readProxyHeader(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}
