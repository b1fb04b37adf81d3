//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// rigHeader carries the rig's own name of a message, so that a message can be
// told from a second message with the same content.
const rigHeader = "X-Rig-Id"

// received is one message as a sink took it.
type received struct {
	id, rig string // Message-Id without brackets, rigHeader
	to      []string
	bytes   int
}

// stage is a point of the dialogue.
type stage string

const (
	atConnect stage = "greeting"
	atEHLO    stage = "EHLO"
	atMail    stage = "MAIL"
	atRcpt    stage = "RCPT"
	atData    stage = "DATA"
	atBody    stage = "body"
	atDot     stage = "dot"
	afterDot  stage = "after 250"
)

func stages() []stage {
	return []stage{atConnect, atEHLO, atMail, atRcpt, atData, atBody, atDot, afterDot}
}

// script is what a sink does instead of what it should, at one stage. The zero
// value takes everything.
type script struct {
	at    stage
	drop  bool          // end the connection
	stall bool          // say nothing until the connection or the sink ends
	reply string        // say this instead
	pause time.Duration // think before each reply, whatever the stage
}

// sink is a scripted SMTP server. Each message is handed to record before its
// 250 is written: what a client saw acknowledged was recorded.
type sink struct {
	listener net.Listener
	record   func(received)
	open     atomic.Int64 // connections
	most     atomic.Int64 // connections at one time
	total    atomic.Int64 // connections
	count    atomic.Int64 // messages
	cut      atomic.Int64 // messages read to the dot and not answered
	sessions sync.WaitGroup

	mu    sync.Mutex
	do    script
	conns map[net.Conn]struct{}
}

func startSink(addr string, do script, record func(received)) (*sink, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &sink{listener: l, record: record, do: do, conns: map[net.Conn]struct{}{}}
	go s.accept()
	return s, nil
}

func (s *sink) addr() string { return s.listener.Addr().String() }

// set changes the script. Connections that stall are ended.
func (s *sink) set(do script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stalled := s.do.stall
	s.do = do
	if stalled {
		for c := range s.conns {
			c.Close()
		}
	}
}

func (s *sink) script() script {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.do
}

func (s *sink) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.sessions.Add(1)
		s.total.Add(1)
		n := s.open.Add(1)
		for m := s.most.Load(); n > m && !s.most.CompareAndSwap(m, n); m = s.most.Load() {
		}
		go s.serve(c)
	}
}

// close stops listening, ends the sessions and waits for them.
func (s *sink) close() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.sessions.Wait()
}

// dialogue is one connection.
type dialogue struct {
	*sink
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	mail bool // MAIL was accepted
	to   []string
}

func (s *sink) serve(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		s.open.Add(-1)
		s.sessions.Done()
	}()
	d := &dialogue{sink: s, conn: c, in: bufio.NewReaderSize(c, 32<<10), out: bufio.NewWriterSize(c, 4<<10)}
	if !d.say(atConnect, "220 sink ESMTP") {
		return
	}
	for {
		if d.in.Buffered() == 0 && d.out.Flush() != nil {
			return
		}
		line, err := d.in.ReadSlice('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
		if !d.command(strings.ToUpper(verb), rest) {
			d.out.Flush()
			return
		}
	}
}

// say writes a reply, or does what the script has for the stage; false ends the
// connection.
func (d *dialogue) say(at stage, text string) bool {
	do := d.script()
	if do.pause > 0 {
		if d.out.Flush() != nil {
			return false
		}
		time.Sleep(do.pause)
	}
	if do.at != at {
		_, err := d.out.WriteString(text + "\r\n")
		return err == nil
	}
	switch {
	case do.stall:
		d.out.Flush()
		d.conn.Read(make([]byte, 1)) // bytes sent early are of no use; the end is what matters
		for {
			if _, err := d.conn.Read(make([]byte, 4096)); err != nil {
				return false
			}
		}
	case do.drop:
		d.out.Flush()
		return false
	case do.reply != "":
		_, err := d.out.WriteString(do.reply + "\r\n")
		return err == nil
	}
	_, err := d.out.WriteString(text + "\r\n")
	return err == nil
}

func (d *dialogue) command(verb, rest string) bool {
	switch verb {
	case "EHLO":
		return d.say(atEHLO, "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8")
	case "QUIT":
		d.out.WriteString("221 2.0.0 bye\r\n")
		return false
	case "MAIL", "RSET":
		d.to, d.mail = nil, false
		if verb == "MAIL" {
			do := d.script()
			d.mail = do.at != atMail || do.reply == "" || do.reply[0] == '2'
			return d.say(atMail, "250 2.1.0 ok")
		}
		return d.say("", "250 2.0.0 ok")
	case "RCPT":
		if !d.mail {
			return d.say("", "503 5.5.1 MAIL first")
		}
		if d.script().at != atRcpt || d.script().reply == "" {
			d.to = append(d.to, strings.Trim(strings.TrimPrefix(strings.ToUpper(rest), "TO:"), "<> "))
		}
		return d.say(atRcpt, "250 2.1.5 ok")
	case "DATA":
		return d.data()
	case "HELO", "NOOP":
		return d.say("", "250 2.0.0 ok")
	}
	return d.say("", "502 5.5.1 not here")
}

// data takes a message.
func (d *dialogue) data() bool {
	if len(d.to) == 0 {
		return d.say(atData, "554 5.5.1 no valid recipients")
	}
	if do := d.script(); do.at == atData && do.reply != "" {
		return d.say(atData, "")
	}
	if !d.say(atData, "354 go ahead") || d.out.Flush() != nil {
		return false
	}
	do := d.script()
	if do.at == atBody {
		d.in.ReadSlice('\n')
		return d.say(atBody, "")
	}
	m, err := readMessage(d.in)
	if err != nil {
		return false
	}
	m.to = d.to
	if do.at == atDot {
		d.cut.Add(1)
		return d.say(atDot, "250 2.0.0 taken")
	}
	d.count.Add(1)
	d.record(m)
	if _, err := d.out.WriteString("250 2.0.0 taken\r\n"); err != nil {
		return false
	}
	return do.at != afterDot || !do.drop
}

// readMessage reads to the final dot and keeps what the rig asks about.
func readMessage(in *bufio.Reader) (received, error) {
	var m received
	header := true
	for {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return m, err
		}
		if len(line) == 3 && line[0] == '.' && line[1] == '\r' {
			return m, nil
		}
		m.bytes += len(line)
		if !header || len(line) <= 2 {
			header = false
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case strings.EqualFold(string(name), "Message-Id"):
			m.id = strings.Trim(string(bytes.TrimSpace(value)), "<>")
		case strings.EqualFold(string(name), rigHeader):
			m.rig = string(bytes.TrimSpace(value))
		}
	}
}
