package authres

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/dnsx"
	"postroad/internal/mail/dkim"
)

var (
	testTime = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	clientIP = netip.MustParseAddr("192.0.2.10")
)

// names is a Resolver with answers in a map: "TXT example.com" has texts, A and MX
// names or addresses. A value "!" is a server that fails.
type names struct {
	mu      sync.Mutex
	records map[string][]string
	asked   int
}

func newNames(records map[string][]string) *names { return &names{records: records} }

func (n *names) get(ctx context.Context, qtype, name string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	name, err := dnsx.ASCIIName(name)
	if err != nil {
		return nil, err
	}
	values := n.records[qtype+" "+name]
	switch {
	case len(values) == 0:
		return nil, &dnsx.Error{Kind: dnsx.NotFound, Name: name, Type: qtype}
	case values[0] == "!":
		return nil, &dnsx.Error{Kind: dnsx.Temporary, Name: name, Type: qtype}
	}
	return values, nil
}

func (n *names) TXT(ctx context.Context, name string) ([]string, error) {
	return n.get(ctx, "TXT", name)
}

func (n *names) PTR(ctx context.Context, addr netip.Addr) ([]string, error) {
	return n.get(ctx, "PTR", strings.ReplaceAll(addr.String(), ":", "-"))
}

func (n *names) MX(ctx context.Context, name string) ([]dnsx.MX, error) {
	hosts, err := n.get(ctx, "MX", name)
	var list []dnsx.MX
	for _, h := range hosts {
		list = append(list, dnsx.MX{Name: h})
	}
	return list, err
}

func (n *names) Addrs(ctx context.Context, host string) (v4, v6 []netip.Addr, err error) {
	values, err := n.get(ctx, "A", host)
	for _, text := range values {
		if a := netip.MustParseAddr(text); a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	return v4, v6, err
}

func (n *names) set(name string, values ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records[name] = values
}

var makeKey = sync.OnceValues(func() (key dkim.Key, err error) {
	key = dkim.Key{Domain: "example.com", Selector: "sel"}
	key.Signer, err = dkim.GenerateRSA(2048)
	return key, err
})

// keyOf is a key of a domain, its record in the resolver.
func keyOf(t testing.TB, n *names, domain string) dkim.Key {
	t.Helper()
	key, err := makeKey()
	if err != nil {
		t.Fatal(err)
	}
	key.Domain = domain
	text, err := dkim.PublicRecord(key.Signer.Public(), dkim.Full)
	if err != nil {
		t.Fatal(err)
	}
	n.set("TXT sel._domainkey."+domain, text)
	return key
}

const plain = "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Hello\r\n" +
	"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nHello Bob,\r\nhow are you?\r\n"

// signed is a message with a signature of a key before it.
func signed(t testing.TB, msg string, key dkim.Key) string {
	t.Helper()
	field, err := new(dkim.Signer).Sign([][]byte{[]byte(msg)}, dkim.Options{Keys: []dkim.Key{key}, Time: testTime})
	if err != nil {
		t.Fatal(err)
	}
	return string(field) + msg
}

func request(msg string) Request {
	return Request{
		IP: clientIP, HELO: "mail.example.com", MailFrom: "ann@example.com",
		Message: []byte(msg), AuthservID: "mx.example.net", Time: testTime,
	}
}

// honest is the DNS of a sender that does all right.
func honest() *names {
	return newNames(map[string][]string{
		"PTR 192.0.2.10":           {"mail.example.com"},
		"A mail.example.com":       {"192.0.2.10", "2001:db8::10"},
		"TXT mail.example.com":     {"v=spf1 a -all"},
		"TXT example.com":          {"some text", "v=spf1 ip4:192.0.2.0/24 -all"},
		"TXT _dmarc.example.com":   {"v=DMARC1; p=reject"},
		"PTR 2001-db8--10":         {"other.example.com", "mail.example.com"},
		"TXT _dmarc.other.example": {"v=DMARC1; p=none"},
	})
}
