// Package dnstest is a DNS server for tests: an authoritative server on loopback,
// over UDP and TCP, that also answers as a recursive resolver would, so that a
// dnsx.Client can be given its address. Names it does not know do not exist.
//
// A Zone may be changed while it is served. All methods are safe for concurrent
// use.
package dnstest

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Zone holds the records served and how to misbehave.
type Zone struct {
	mu       sync.Mutex
	ttl      uint32
	negative uint32
	records  map[key][]dns.RR
	rcodes   map[string]int
	silent   map[string]bool
	signed   map[string]bool
	truncate bool
	bare     bool
	noEDNS   bool
	queries  map[key]int
	tcp      int
}

type key struct {
	name  string // lower case with final dot
	qtype uint16
}

// New returns an empty zone whose records have a TTL of 60 s, as has absence.
func New() *Zone {
	return &Zone{
		ttl: 60, negative: 60,
		records: map[key][]dns.RR{},
		rcodes:  map[string]int{},
		silent:  map[string]bool{},
		signed:  map[string]bool{},
		queries: map[key]int{},
	}
}

// Set replaces the records of one type of a name. Each value is in the form of a
// zone file, such as "10 mx.example.com." for MX; that of TXT is the text itself,
// of any length. A malformed record fails the test.
func (z *Zone) Set(t testing.TB, name, qtype string, values ...string) {
	t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	k := makeKey(t, name, qtype)
	z.records[k] = nil
	for _, v := range values {
		rr, err := record(k, z.ttl, v)
		if err != nil {
			t.Fatalf("dnstest: %s %s %q: %v", name, qtype, v, err)
		}
		z.records[k] = append(z.records[k], rr)
	}
}

func record(k key, ttl uint32, value string) (dns.RR, error) {
	header := dns.RR_Header{Name: k.name, Rrtype: k.qtype, Class: dns.ClassINET, Ttl: ttl}
	if k.qtype == dns.TypeTXT {
		return &dns.TXT{Hdr: header, Txt: txtStrings(value)}, nil
	}
	return dns.NewRR(fmt.Sprintf("%s %d IN %s %s", k.name, ttl, dns.TypeToString[k.qtype], value))
}

// txtStrings cuts a text into character strings, in the escaped form the wire
// library wants.
func txtStrings(text string) []string {
	var parts []string
	for {
		n := min(len(text), 255)
		parts = append(parts, strings.ReplaceAll(text[:n], `\`, `\\`))
		if text = text[n:]; text == "" {
			return parts
		}
	}
}

// Delete removes the records of one type of a name; the name goes on to exist if
// it has others or names below it have.
func (z *Zone) Delete(t testing.TB, name, qtype string) {
	t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.records, makeKey(t, name, qtype))
}

// SetTTL gives records that are set from now on, and absence, this TTL in seconds.
func (z *Zone) SetTTL(ttl uint32) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.ttl, z.negative = ttl, ttl
}

// Fail has every question about a name answered with a response code such as
// dns.RcodeServerFailure; dns.RcodeSuccess ends it.
func (z *Zone) Fail(name string, rcode int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.rcodes[dns.CanonicalName(name)] = rcode
}

// Silence has questions about a name never answered. The function returned ends it.
func (z *Zone) Silence(name string) (end func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	name = dns.CanonicalName(name)
	z.silent[name] = true
	return func() {
		z.mu.Lock()
		defer z.mu.Unlock()
		delete(z.silent, name)
	}
}

// Sign has answers about a name and those below it, their absence too, counted as
// validated by DNSSEC: the AD bit is set if the query asks for it and all names
// on the way of an alias are signed. A zone whose signatures are wrong is played
// with Fail and dns.RcodeServerFailure.
func (z *Zone) Sign(names ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, name := range names {
		z.signed[dns.CanonicalName(name)] = true
	}
}

// Unsign ends what Sign began for the same name.
func (z *Zone) Unsign(name string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.signed, dns.CanonicalName(name))
}

// Truncate has every answer over UDP cut, so that TCP is needed.
func (z *Zone) Truncate(on bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.truncate = on
}

// Bare has aliases returned without what they point to, as an authoritative
// server does for targets outside its zones.
func (z *Zone) Bare(on bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.bare = on
}

// RefuseEDNS has queries with EDNS answered with FORMERR, as old servers do.
func (z *Zone) RefuseEDNS(on bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.noEDNS = on
}

// Queries returns how often a question has been asked.
func (z *Zone) Queries(t testing.TB, name, qtype string) int {
	t.Helper()
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.queries[makeKey(t, name, qtype)]
}

// TCPQueries returns how many questions came over TCP.
func (z *Zone) TCPQueries() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.tcp
}

func makeKey(t testing.TB, name, qtype string) key {
	t.Helper()
	number, ok := dns.StringToType[strings.ToUpper(qtype)]
	if !ok {
		t.Fatalf("dnstest: record type %q is not known", qtype)
	}
	return key{dns.CanonicalName(name), number}
}

// Start serves the zone until the test ends and returns its HOST:PORT.
func (z *Zone) Start(t testing.TB) string {
	t.Helper()
	packet, listener := listen(t)
	for _, server := range []*dns.Server{
		{PacketConn: packet, Handler: dns.HandlerFunc(z.serve)},
		{Listener: listener, Handler: dns.HandlerFunc(z.serve)},
	} {
		z.run(t, server)
	}
	return packet.LocalAddr().String()
}

func (z *Zone) run(t testing.TB, server *dns.Server) {
	started, done := make(chan struct{}), make(chan error, 1)
	server.NotifyStartedFunc = func() { close(started) }
	go func() { done <- server.ActivateAndServe() }()
	select {
	case <-started:
	case err := <-done:
		t.Fatalf("dnstest: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Errorf("dnstest: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("dnstest: %v", err)
		}
	})
}

// listen takes a port that is free for both UDP and TCP.
func listen(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	var err error
	for range 20 {
		var packet net.PacketConn
		if packet, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			break
		}
		var listener net.Listener
		if listener, err = net.Listen("tcp", packet.LocalAddr().String()); err == nil {
			return packet, listener
		}
		packet.Close()
	}
	t.Fatalf("dnstest: no port: %v", err)
	return nil, nil
}

func (z *Zone) serve(w dns.ResponseWriter, query *dns.Msg) {
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	reply := z.answer(query, udp)
	if reply == nil {
		return
	}
	// A client that has gone is of no interest to a test server.
	_ = w.WriteMsg(reply)
}

// answer returns nil for silence.
func (z *Zone) answer(query *dns.Msg, udp bool) *dns.Msg {
	z.mu.Lock()
	defer z.mu.Unlock()
	reply := new(dns.Msg)
	if len(query.Question) != 1 {
		return reply.SetRcode(query, dns.RcodeFormatError)
	}
	reply.SetReply(query)
	reply.RecursionAvailable = true
	q := key{dns.CanonicalName(query.Question[0].Name), query.Question[0].Qtype}
	z.queries[q]++
	if !udp {
		z.tcp++
	}
	switch {
	case z.silent[q.name]:
		return nil
	case z.noEDNS && query.IsEdns0() != nil:
		return reply.SetRcode(query, dns.RcodeFormatError)
	case z.rcodes[q.name] != dns.RcodeSuccess:
		return reply.SetRcode(query, z.rcodes[q.name])
	case udp && z.truncate:
		reply.Truncated = true
		return reply
	}
	opt := query.IsEdns0()
	asked := query.AuthenticatedData || opt != nil && opt.Do() // RFC 6840, section 5.8
	reply.AuthenticatedData = z.fill(reply, q) && asked
	if udp {
		z.fit(reply, query)
	}
	return reply
}

// fit cuts a reply to what the client can take.
func (z *Zone) fit(reply, query *dns.Msg) {
	size := dns.MinMsgSize
	if opt := query.IsEdns0(); opt != nil {
		size = int(opt.UDPSize())
		reply.SetEdns0(opt.UDPSize(), false)
	}
	reply.Truncate(size)
}

// fill follows aliases to the records asked for, or says that there are none. It
// reports whether every name on the way is signed.
func (z *Zone) fill(reply *dns.Msg, q key) (secure bool) {
	secure = true
	for range 16 {
		secure = secure && z.isSigned(q.name)
		if records := z.records[q]; len(records) > 0 {
			reply.Answer = append(reply.Answer, records...)
			return secure
		}
		alias := z.records[key{q.name, dns.TypeCNAME}]
		if len(alias) == 0 || q.qtype == dns.TypeCNAME {
			break
		}
		reply.Answer = append(reply.Answer, alias...)
		if z.bare {
			return secure
		}
		q.name = dns.CanonicalName(alias[0].(*dns.CNAME).Target)
	}
	if !z.exists(q.name) {
		reply.Rcode = dns.RcodeNameError
	}
	reply.Ns = []dns.RR{&dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: z.negative},
		Ns:  "ns.test.", Mbox: "hostmaster.test.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: z.negative,
	}}
	return secure
}

// isSigned reports whether a name or one above it is signed.
func (z *Zone) isSigned(name string) bool {
	for name != "" {
		if z.signed[name] {
			return true
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return false
}

// exists reports whether a name or one below it has records.
func (z *Zone) exists(name string) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(z.records)), func(k key) bool {
		return len(z.records[k]) > 0 && (k.name == name || strings.HasSuffix(k.name, "."+name))
	})
}
