package apptest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Step is what a Sink does at one point of the dialogue: "" for the usual, a
// reply to give instead ("550 5.1.1 no such user"), or one of the constants.
type Step string

// Steps that are not replies.
const (
	Drop     Step = "drop"          // close the connection without a word
	Stall    Step = "stall"         // say nothing and keep the connection
	Hold     Step = "hold"          // wait for Release, then do the usual
	ThenDrop Step = "usual, drop"   // do the usual, then close
	Garbage  Step = "garbage"       // say something that is no SMTP, or no TLS
	Slow421  Step = "421 4.3.2 bye" // the server shuts down
)

// Script is how a Sink behaves. The zero Script takes everything.
type Script struct {
	Banner, Ehlo, StartTLS, Mail, Data, Dot, Rset Step
	Rcpt                                          map[string]Step  // by recipient
	Any                                           Step             // for recipients not in Rcpt
	Offer                                         []string         // extensions; nil: PIPELINING, 8BITMIME, SMTPUTF8, ENHANCEDSTATUSCODES
	Cert                                          *tls.Certificate // offers STARTTLS
	Implicit                                      bool             // TLS from the first byte
	User, Pass                                    string           // AUTH PLAIN is required
	PerConn                                       int              // transactions of a connection before 421; 0: no limit
	Block                                         map[string]Step  // what clients from an address get for MAIL
}

// Message is a message as a Sink took it, or refused it at its end.
type Message struct {
	From   string
	Params string // of MAIL
	To     []string
	Asked  []string // parameters of RCPT, as To
	Data   string   // lines ended by CRLF, dots unstuffed
	Raw    string   // as it came, with the final dot
	TLS    bool
	User   string
	Conn   int    // number of the connection, from 1
	Remote string // address the connection came from
	Helo   string // name in EHLO
	Taken  bool   // answered with 250, as far as the sink knows
}

// Sink is a mail server of the World.
type Sink struct {
	Host, IP string

	l    net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	cond *sync.Cond

	script  Script
	got     []Message
	conns   map[net.Conn]bool
	count   int // connections so far
	most    int // at once
	holding int
	free    chan struct{}
	closed  bool
}

// Sink starts a mail server at a new address, with an A record for host.
func (w *World) Sink(t testing.TB, host string, s Script) *Sink {
	t.Helper()
	k := w.SinkAt(t, host, w.Address(), s)
	w.DNS.Set(t, host, "A", k.IP)
	return k
}

// SinkAt starts a mail server at an address, without a record.
func (w *World) SinkAt(t testing.TB, host, ip string, s Script) *Sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &Sink{Host: host, IP: ip, l: l, script: s, conns: map[net.Conn]bool{}, free: make(chan struct{})}
	k.cond = sync.NewCond(&k.mu)
	w.mu.Lock()
	w.hosts[netip.MustParseAddr(ip)] = k
	w.mu.Unlock()
	k.wg.Go(k.accept)
	t.Cleanup(k.close)
	return k
}

// Addr is where the sink really listens.
func (k *Sink) Addr() string { return k.l.Addr().String() }

// Set changes the behaviour, for what comes from now on.
func (k *Sink) Set(s Script) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.script = s
}

// Release ends all Holds, also those to come.
func (k *Sink) Release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.free:
	default:
		close(k.free)
	}
}

// Messages returns what was answered with 250, in order.
func (k *Sink) Messages() (out []Message) {
	for _, m := range k.All() {
		if m.Taken {
			out = append(out, m)
		}
	}
	return out
}

// All returns every message that came to its end.
func (k *Sink) All() []Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.got)
}

// Conns returns how many connections there were, and how many at once.
func (k *Sink) Conns() (count, most int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count, k.most
}

// Await waits until the sink has taken n messages.
func (k *Sink) Await(t testing.TB, n int) []Message {
	t.Helper()
	k.until(t, func() bool {
		taken := 0
		for _, m := range k.got {
			if m.Taken {
				taken++
			}
		}
		return taken >= n
	})
	return k.Messages()
}

// AwaitHeld waits until n dialogues are held.
func (k *Sink) AwaitHeld(t testing.TB, n int) {
	t.Helper()
	k.until(t, func() bool { return k.holding >= n })
}

func (k *Sink) until(t testing.TB, ok func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		late = true
		k.cond.Broadcast()
	})
	defer timer.Stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	for !ok() {
		if late {
			t.Fatalf("sink %s: waited in vain; connections %d, messages %+v", k.Host, k.count, k.got)
		}
		k.cond.Wait()
	}
}

func (k *Sink) close() {
	k.l.Close()
	k.mu.Lock()
	k.closed = true
	for c := range k.conns {
		c.Close()
	}
	k.mu.Unlock()
	k.Release()
	k.wg.Wait()
}

func (k *Sink) accept() {
	for {
		c, err := k.l.Accept()
		if err != nil {
			return
		}
		k.mu.Lock()
		if k.closed {
			c.Close()
		}
		k.conns[c] = true
		k.count++
		k.most = max(k.most, len(k.conns))
		d := &dialogue{k: k, s: k.script, c: c, raw: c, n: k.count, remote: c.RemoteAddr().(*net.TCPAddr).IP.String()}
		k.mu.Unlock()
		k.wg.Go(d.run)
	}
}

// dialogue is one connection.
type dialogue struct {
	k            *Sink
	s            Script
	c            net.Conn
	raw          net.Conn
	in           *bufio.Reader
	n            int
	tls          bool
	user         string
	remote, helo string
	sent         int  // transactions
	open         bool // MAIL was taken
	m            Message
}

func (d *dialogue) run() {
	defer func() {
		d.raw.Close()
		d.k.mu.Lock()
		delete(d.k.conns, d.raw)
		d.k.mu.Unlock()
	}()
	if d.s.Implicit && !d.encrypt() {
		return
	}
	d.in = bufio.NewReader(d.c)
	if !d.step(d.s.Banner, "220 "+d.k.Host+" ESMTP") {
		return
	}
	for {
		line, err := d.in.ReadString('\n')
		if err != nil || !d.command(strings.TrimRight(line, "\r\n")) {
			return
		}
	}
}

func (d *dialogue) encrypt() bool {
	if d.s.Cert == nil {
		return false
	}
	tc := tls.Server(d.c, &tls.Config{Certificates: []tls.Certificate{*d.s.Cert}})
	if tc.Handshake() != nil {
		return false
	}
	d.c, d.tls = tc, true
	d.in = bufio.NewReader(tc)
	return true
}

func (d *dialogue) say(text string) bool {
	_, err := io.WriteString(d.c, strings.ReplaceAll(text, "\n", "\r\n")+"\r\n")
	return err == nil
}

// step does what the script says; false ends the connection.
func (d *dialogue) step(s Step, usual string) bool {
	switch s {
	case "":
		return d.say(usual)
	case Drop:
		return false
	case Stall:
		d.waitForEnd()
		return false
	case Hold:
		d.k.hold()
		return d.say(usual)
	case ThenDrop:
		d.say(usual)
		return false
	case Garbage:
		return d.say("hello there")
	}
	return d.say(string(s)) && !strings.HasPrefix(string(s), "421")
}

func (d *dialogue) waitForEnd() {
	// What the client still says does not matter; it leaves in the end.
	_, _ = io.Copy(io.Discard, d.raw)
}

func (k *Sink) hold() {
	k.mu.Lock()
	k.holding++
	k.cond.Broadcast()
	free := k.free
	k.mu.Unlock()
	<-free
	k.mu.Lock()
	k.holding--
	k.mu.Unlock()
}

func (d *dialogue) offer() string {
	list := d.s.Offer
	if list == nil {
		list = []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"}
	}
	if (d.s.Cert != nil || d.s.StartTLS != "") && !d.tls {
		list = append(slices.Clone(list), "STARTTLS")
	}
	if d.s.User != "" {
		list = append(slices.Clone(list), "AUTH PLAIN LOGIN")
	}
	lines := append([]string{d.k.Host}, list...)
	for i := range lines {
		sep := "250-"
		if i == len(lines)-1 {
			sep = "250 "
		}
		lines[i] = sep + lines[i]
	}
	return strings.Join(lines, "\n")
}

func (d *dialogue) command(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		d.helo = rest
		return d.step(d.s.Ehlo, d.offer())
	case "HELO":
		return d.say("250 " + d.k.Host)
	case "STARTTLS":
		return d.startTLS()
	case "AUTH":
		return d.auth(rest)
	case "MAIL":
		return d.mail(rest)
	case "RCPT":
		return d.rcpt(rest)
	case "DATA":
		return d.data()
	case "RSET":
		d.m, d.open = Message{}, false
		return d.step(d.s.Rset, "250 2.0.0 forgotten")
	case "QUIT":
		d.say("221 2.0.0 bye")
		return false
	}
	return d.say("500 5.5.1 what?")
}

func (d *dialogue) startTLS() bool {
	switch d.s.StartTLS {
	case "":
		return d.say("220 2.0.0 go") && d.encrypt()
	case Garbage:
		return d.say("220 2.0.0 go") && d.say("not a handshake") && false
	}
	return d.step(d.s.StartTLS, "")
}

func (d *dialogue) auth(rest string) bool {
	kind, text, _ := strings.Cut(rest, " ")
	b, err := base64.StdEncoding.DecodeString(text)
	part := strings.Split(string(b), "\x00")
	if kind != "PLAIN" || err != nil || len(part) != 3 || part[1] != d.s.User || part[2] != d.s.Pass {
		return d.say("535 5.7.8 no")
	}
	d.user = part[1]
	return d.say("235 2.7.0 welcome")
}

func (d *dialogue) mail(rest string) bool {
	if d.s.User != "" && d.user == "" {
		return d.say("530 5.7.0 authenticate first")
	}
	if d.sent++; d.s.PerConn > 0 && d.sent > d.s.PerConn {
		d.say("421 4.7.0 enough for this connection")
		return false
	}
	if s := d.s.Block[d.remote]; s != "" {
		return d.step(s, "")
	}
	from, params, _ := strings.Cut(strings.TrimPrefix(rest, "FROM:"), " ")
	d.m = Message{From: strings.Trim(from, "<>"), Params: params, TLS: d.tls, User: d.user, Conn: d.n, Remote: d.remote, Helo: d.helo}
	d.open = d.s.Mail == "" || d.s.Mail == Hold || d.s.Mail == ThenDrop
	return d.step(d.s.Mail, "250 2.1.0 ok")
}

func (d *dialogue) rcpt(rest string) bool {
	to, params, _ := strings.Cut(strings.TrimPrefix(rest, "TO:"), " ")
	to = strings.Trim(to, "<>")
	if !d.open {
		return d.say("503 5.5.1 MAIL first")
	}
	s, ok := d.s.Rcpt[to]
	if !ok {
		s = d.s.Any
	}
	if s == "" || s == Hold || s == ThenDrop {
		d.m.To, d.m.Asked = append(d.m.To, to), append(d.m.Asked, params)
	}
	return d.step(s, "250 2.1.5 ok")
}

func (d *dialogue) data() bool {
	if len(d.m.To) == 0 {
		return d.say("554 5.5.1 no recipients")
	}
	if d.s.Data != "" && d.s.Data != Hold {
		return d.step(d.s.Data, "354 go ahead")
	}
	if !d.step(d.s.Data, "354 go ahead") {
		return false
	}
	var raw bytes.Buffer
	for {
		line, err := d.in.ReadBytes('\n')
		raw.Write(line)
		if err != nil {
			return false
		}
		if bytes.HasSuffix(raw.Bytes(), []byte("\r\n.\r\n")) || raw.String() == ".\r\n" {
			break
		}
	}
	d.open = false
	d.m.Raw = raw.String()
	d.m.Data = unstuff(d.m.Raw)
	d.m.Taken = d.s.Dot == "" || d.s.Dot == Hold || d.s.Dot == ThenDrop || strings.HasPrefix(string(d.s.Dot), "2")
	m := d.m
	if d.s.Dot != Hold {
		d.k.keep(m) // before the reply: what the client knows to be taken is here
	}
	ok := d.step(d.s.Dot, "250 2.0.0 taken")
	if d.s.Dot == Hold {
		d.k.keep(m)
	}
	return ok
}

func (k *Sink) keep(m Message) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.got = append(k.got, m)
	k.cond.Broadcast()
}

func unstuff(raw string) string {
	lines := strings.SplitAfter(strings.TrimSuffix(raw, ".\r\n"), "\r\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, ".")
	}
	return strings.Join(lines, "")
}
