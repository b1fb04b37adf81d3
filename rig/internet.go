//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// internet is a name server and mail hosts at port 25 of loopback addresses, for
// tests of delivery to the recipients' own servers instead of a relay.
type internet struct {
	mu      sync.Mutex
	records map[string][]dns.RR // name and type
	servers []*dns.Server
	addr    string
	sinks   []*sink
	close   []func()
	last    byte
}

func newInternet() (*internet, error) {
	n := &internet{records: map[string][]dns.RR{}}
	listener, packet, err := listenBoth()
	if err != nil {
		return nil, err
	}
	n.addr = listener.Addr().String()
	for _, s := range []*dns.Server{{PacketConn: packet, Handler: n}, {Listener: listener, Handler: n}} {
		n.servers = append(n.servers, s)
		go s.ActivateAndServe()
	}
	return n, nil
}

// listenBoth listens on one port over TCP and UDP.
func listenBoth() (net.Listener, net.PacketConn, error) {
	var failed error
	for range 20 { // the port of one may be taken for the other
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return l, p, nil
		}
		failed = errors.Join(err, l.Close())
	}
	return nil, nil, failed
}

func (n *internet) end() {
	for _, s := range n.sinks {
		s.close()
	}
	for _, fn := range n.close {
		fn()
	}
	for _, s := range n.servers {
		s.Shutdown()
	}
}

// ServeDNS implements dns.Handler. A name without records does not exist.
func (n *internet) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	if len(q.Question) == 1 {
		n.mu.Lock()
		name := strings.ToLower(q.Question[0].Name)
		m.Answer = n.records[key(name, q.Question[0].Qtype)]
		if len(m.Answer) == 0 && len(n.records[name]) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		n.mu.Unlock()
	}
	w.WriteMsg(m) // a lost answer is the client's to notice
}

func key(name string, qtype uint16) string { return fmt.Sprint(name, " ", qtype) }

func (n *internet) record(text string) error {
	rr, err := dns.NewRR(text)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	name := strings.ToLower(rr.Header().Name)
	k := key(name, rr.Header().Rrtype)
	n.records[k] = append(n.records[k], rr)
	n.records[name] = append(n.records[name], rr)
	return nil
}

// address makes a host name with an address nobody has.
func (n *internet) address() (host, ip string, err error) {
	n.last++
	host, ip = fmt.Sprintf("mx%d.rig.test", n.last), fmt.Sprintf("127.25.0.%d", n.last)
	return host, ip, n.record(fmt.Sprintf("%s. 60 IN A %s", host, ip))
}

// mx makes hosts the mail hosts of a domain, the first preferred.
func (n *internet) mx(domain string, hosts ...string) error {
	for i, h := range hosts {
		if err := n.record(fmt.Sprintf("%s. 60 IN MX %d %s.", domain, 10*(i+1), h)); err != nil {
			return err
		}
	}
	return nil
}

// host makes a mail host.
func (n *internet) host(do script, record func(received)) (string, *sink, error) {
	name, ip, err := n.address()
	if err != nil {
		return "", nil, err
	}
	s, err := startSink(ip+":25", do, record)
	if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return "", nil, skip("%s", err)
	}
	if err != nil {
		return "", nil, err
	}
	n.sinks = append(n.sinks, s)
	return name, s, nil
}

// domain makes a domain with one mail host.
func (n *internet) domain(name string, do script, record func(received)) (*sink, error) {
	host, s, err := n.host(do, record)
	if err != nil {
		return nil, err
	}
	return s, n.mx(name, host)
}

// hole makes a host that answers connections with nothing at all: its queue of
// connections is full for ever, so that the kernel drops what comes.
func (n *internet) hole() (string, error) {
	name, ip, err := n.address()
	if err != nil {
		return "", err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	n.close = append(n.close, func() { syscall.Close(fd) })
	to := &syscall.SockaddrInet4{Port: 25}
	copy(to.Addr[:], net.ParseIP(ip).To4())
	if err := errors.Join(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1), syscall.Bind(fd, to), syscall.Listen(fd, 0)); err != nil {
		return "", skip("%s", err)
	}
	for range 4 {
		c, err := net.DialTimeout("tcp", ip+":25", 200*time.Millisecond)
		if err != nil {
			return name, nil // full
		}
		n.close = append(n.close, func() { c.Close() })
	}
	return "", skip("the kernel does not drop connections to a full queue")
}

// newWorld prepares a server that delivers to the hosts of an internet.
func (r *rig) newWorld(name string, args ...string) (*site, *internet, error) {
	if os.Getuid() != 0 {
		return nil, nil, skip("port 25 needs root")
	}
	n, err := newInternet()
	if err != nil {
		return nil, nil, err
	}
	t, err := r.newSite(name, r.binary, "", script{})
	if err != nil {
		n.end()
		return nil, nil, err
	}
	t.args = append([]string{"--dns", n.addr}, args...) // no relay
	return t, n, nil
}

// post sends one message to each of count users of a domain; they are known as
// DOMAIN-N. Further fields come as names and values.
func (t *site) post(ctx context.Context, domain string, from, count int, fields ...string) error {
	for i := from; i < from+count; i++ {
		id := fmt.Sprintf("%s-%d", domain, i)
		form := url.Values{"from": {"rig@" + sender}, "to": {fmt.Sprintf("u%d@%s", i, domain)}, "subject": {"x"}, "text": {"x"}, "h:" + rigHeader: {id}}
		for f := range slices.Chunk(fields, 2) {
			form.Set(f[0], f[1])
		}
		if err := t.call(ctx, http.MethodPost, "/v3/"+sender+"/messages", form, nil); err != nil {
			return err
		}
		t.book.ack(id)
	}
	return nil
}

// have is how many messages to a domain arrived.
func (l *ledger) have(domain string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.arrived {
		if strings.HasPrefix(id, domain+"-") {
			n++
		}
	}
	return n
}
