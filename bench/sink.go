package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// rigHeader carries the rig's own name of a message, so that a message can be
// told from a second message with the same content.
const rigHeader = "X-Rig-Id"

// received is one message as the sink took it.
type received struct {
	MessageID string // of the Message-Id field, without brackets
	RigID     string
	Signed    bool // it bore a DKIM-Signature
	Bytes     int
	Began     time.Time // when MAIL came
}

// sink is an SMTP server that takes everything. Each message is handed to
// record before its 250 is written: what a client saw acknowledged was
// recorded.
type sink struct {
	listener net.Listener
	record   func(received)
	refuse   bool         // answer every RCPT with 451
	refused  atomic.Int64 // how often it did
	open     atomic.Int64 // connections
	count    atomic.Int64 // messages
	sessions sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
}

func startSink(addr string, record func(received)) (*sink, error) {
	s := &sink{record: record}
	return s, s.listen(addr)
}

// startRefusing is a destination that is full: it puts off every message.
func startRefusing(addr string) (*sink, error) {
	s := &sink{record: func(received) {}, refuse: true}
	return s, s.listen(addr)
}

func (s *sink) listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.listener, s.conns = l, map[net.Conn]struct{}{}
	go s.accept()
	return nil
}

func (s *sink) addr() string { return s.listener.Addr().String() }

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
		s.open.Add(1)
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

// leave stops listening and waits until the clients have ended their sessions:
// a client whose idle connection is cut takes it for a failure of the
// destination, and some then hold mail back for minutes.
func (s *sink) leave(ctx context.Context) error {
	s.listener.Close()
	gone := make(chan struct{})
	go func() {
		s.sessions.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d sessions with the sink were not ended: %w", s.open.Load(), ctx.Err())
	}
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
	in, out := bufio.NewReaderSize(c, 32<<10), bufio.NewWriterSize(c, 4<<10)
	out.WriteString("220 sink ESMTP\r\n")
	var began time.Time
	for {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimRight(string(line), "\r\n")), " ")
		if verb == "MAIL" {
			began = time.Now()
		}
		if !s.command(verb, began, in, out) {
			out.Flush()
			return
		}
	}
}

// command answers one command; false ends the session.
func (s *sink) command(verb string, began time.Time, in *bufio.Reader, out *bufio.Writer) bool {
	switch verb {
	case "EHLO":
		out.WriteString("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
	case "QUIT":
		out.WriteString("221 2.0.0 bye\r\n")
		return false
	case "DATA":
		if s.refuse {
			out.WriteString("503 5.5.1 no recipients\r\n")
			return true
		}
		out.WriteString("354 go ahead\r\n")
		if out.Flush() != nil {
			return false
		}
		m, err := readMessage(in)
		if err != nil {
			return false
		}
		s.count.Add(1)
		m.Began = began
		s.record(m)
		out.WriteString("250 2.0.0 taken\r\n")
	case "RCPT":
		if s.refuse {
			s.refused.Add(1)
			out.WriteString("451 4.2.2 mailbox full, come back later\r\n")
			return true
		}
		out.WriteString("250 2.0.0 ok\r\n")
	case "HELO", "MAIL", "RSET", "NOOP":
		out.WriteString("250 2.0.0 ok\r\n")
	default:
		out.WriteString("502 5.5.1 not here\r\n")
	}
	return true
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
		m.Bytes += len(line)
		if !header {
			continue
		}
		if len(line) <= 2 {
			header = false
			continue
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		switch {
		case strings.EqualFold(string(name), "Message-Id"):
			m.MessageID = strings.Trim(string(bytes.TrimSpace(value)), "<>")
		case strings.EqualFold(string(name), rigHeader):
			m.RigID = string(bytes.TrimSpace(value))
		case strings.EqualFold(string(name), "DKIM-Signature"):
			m.Signed = true
		}
	}
}

func defineSink(f *flag.FlagSet) func(context.Context) error {
	listen := f.String("listen", "127.0.0.1:2525", "address")
	return func(ctx context.Context) error {
		s, err := startSink(*listen, func(received) {})
		if err != nil {
			return err
		}
		defer s.close()
		fmt.Println("listening on", s.addr())
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var before int64
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			if n := s.count.Load(); n != before {
				fmt.Printf("%d messages, %d in the last second, %d connections\n", n, n-before, s.open.Load())
				before = n
			}
		}
	}
}
