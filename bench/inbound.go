package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// inbound measures mail from outside: messages for a domain of the server, from
// clients that do not log in, each checked (SPF, DKIM, DMARC, the client's name)
// and stored by a route before its 250; beside it the same messages taken by
// Postfix, which checks nothing. Then many connections at once.
type inbound struct {
	target
	choice
	messages, connections, size, runs int
	idle, busy                        int
	out                               string
}

const kindInbound = "inbound"

func defineInbound(f *flag.FlagSet) func(context.Context) error {
	var b inbound
	b.target.define(f)
	b.choice.define(f)
	f.IntVar(&b.messages, "messages", 10000, "messages per run")
	f.IntVar(&b.connections, "connections", 64, "connections of the load tool")
	f.IntVar(&b.size, "size", 10240, "bytes of text in each message")
	f.IntVar(&b.runs, "runs", 1, "runs of each system; medians are reported")
	f.IntVar(&b.idle, "idle", 1000, "connections that say nothing")
	f.IntVar(&b.busy, "busy", 500, "connections that send meanwhile, at most 500")
	f.StringVar(&b.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error { return single(ctx, b.out, b.run) }
}

func (b *inbound) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	binary, err := b.resolve(ctx, dir)
	if err != nil {
		return err
	}
	all, err := b.pick(binary)
	if err != nil {
		return err
	}
	all.list = slices.DeleteFunc(all.list, func(p product) bool { return p.id != idPostroad && p.id != "postfix" })
	for i := range all.list {
		if p := &all.list[i]; p.own() {
			p.make = func() peer { return &postroad{binary: binary, outside: true} }
		}
	}
	here, failed := all.present(ctx, r, kindInbound)
	for range b.runs {
		for _, p := range here.list {
			if ctx.Err() != nil {
				return errors.Join(failed, ctx.Err())
			}
			if err := b.one(ctx, r, p, dir, b.measure); err != nil {
				failed = errors.Join(failed, here.missed(r, kindInbound, p, p.name, err))
			}
		}
	}
	for _, p := range here.list {
		if p.own() {
			failed = errors.Join(failed, b.one(ctx, r, p, dir, b.crowd))
		}
	}
	return failed
}

func (b *inbound) one(ctx context.Context, r *report, p product, dir string, measure func(context.Context, *report, string, *running) error) error {
	relay, err := freeAddr() // nothing listens there
	if err != nil {
		return err
	}
	w, err := launch(ctx, p, dir, relay, false, true)
	if err != nil {
		return err
	}
	return errors.Join(w.explain(measure(ctx, r, p.name, w)), w.end(ctx))
}

// strangers delivers the message in a file to ever other addresses of the domain.
func strangers(addr, file string, connections int) submit {
	return func(ctx context.Context, n int) (*loadResult, error) {
		return nil, smtpSource(ctx, addr, n, connections, "-d", "-N", "-F", file, "-f", "rig@elsewhere.example", "-t", "box@"+sender)
	}
}

func (b *inbound) measure(ctx context.Context, r *report, name string, w *running) error {
	file, err := writeMessage(w.dir, b.size, true)
	if err != nil {
		return err
	}
	one, err := taking(ctx, w, strangers(w.addr(), file, b.connections), b.messages)
	if err != nil {
		return err
	}
	one.Kind, one.System, one.Connections, one.Size = kindInbound, name, b.connections, b.size
	return r.add(one)
}

// crowd has busy connections send while idle ones wait; all have to be served.
func (b *inbound) crowd(ctx context.Context, r *report, name string, w *running) error {
	file, err := writeMessage(w.dir, b.size, true)
	if err != nil {
		return err
	}
	pid := w.peer.(*postroad).server.pid()
	before, err := readStat(pid)
	if err != nil {
		return err
	}
	waiting, err := connect(ctx, w.addr(), b.idle)
	defer func() {
		for _, c := range waiting {
			c.Close()
		}
	}()
	if err != nil {
		return err
	}
	idle, err := readStat(pid)
	if err != nil {
		return err
	}
	n := 6 * b.busy
	one, err := taking(ctx, w, strangers(w.addr(), file, b.busy), n) // it fails if one is refused
	if err != nil {
		return err
	}
	for _, c := range waiting {
		if err := dialog(c, "NOOP", "250 "); err != nil {
			return err
		}
	}
	const mb = 1 << 20
	return r.add(result{Kind: kindInbound, System: fmt.Sprintf("%s, %d idle and %d busy connections", name, b.idle, b.busy), Messages: n, Connections: b.idle + b.busy,
		Size: b.size, Figures: []figure{{"resident memory before", float64(before.resident) / mb, "MB"}, {"with the idle ones", float64(idle.resident) / mb, "MB"},
			{"most with all", float64(one.PeakRSS) / mb, "MB"}, {"messages taken", one.PerSecond, "/s"}}})
}

// perAddress is how many connections the server takes from one address.
const perAddress = 500

// connect opens connections, from as many loopback addresses as that takes, and
// says EHLO on each. It returns those opened also with an error.
func connect(ctx context.Context, addr string, n int) (list []net.Conn, err error) {
	for i := range n {
		d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/perAddress))}}
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return list, err
		}
		list = append(list, c)
		if err := errors.Join(dialog(c, "", "220 "), dialog(c, "EHLO idle.example", "250-")); err != nil {
			return list, fmt.Errorf("connection %d: %w", i+1, err)
		}
	}
	return list, nil
}

// dialog sends a command, "" for none, and reads the whole answer.
func dialog(c net.Conn, command, want string) error {
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if command != "" {
		if _, err := c.Write([]byte(command + "\r\n")); err != nil {
			return err
		}
	}
	in := bufio.NewReader(c)
	for first := true; ; first = false {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if first && !strings.HasPrefix(line, want) {
			return fmt.Errorf("%q was answered with %q", command, line)
		}
		if len(line) < 4 || line[3] != '-' {
			return nil
		}
	}
}

// nameless is a name server that knows no name at all.
type nameless struct {
	addr   string
	server *dns.Server
}

func startNameless() (*nameless, error) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &nameless{addr: c.LocalAddr().String(), server: &dns.Server{PacketConn: c, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError)) // a lost answer is the client's to notice
	})}}
	ready := make(chan struct{})
	n.server.NotifyStartedFunc = func() { close(ready) }
	go n.server.ActivateAndServe()
	<-ready
	return n, nil
}

func (n *nameless) stop() error {
	if n == nil {
		return nil
	}
	return n.server.Shutdown()
}
