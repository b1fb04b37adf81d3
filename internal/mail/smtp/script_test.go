package smtp

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
)

// script is a server whose answers are given by the test, by verb. In an answer
// "" says nothing, "DROP" closes the connection and "STALL" goes silent.
type script struct {
	banner string
	ehlo   string
	under  string            // the answer to EHLO under TLS, if it is another
	on     map[string]string // by verb; the others are agreed to
	final  string            // after the message; "" means 250
	early  string            // sent in the middle of the message, then close
	tls    *tls.Config

	seen  chan string   // every line, if not nil
	ended chan struct{} // told of the end of a connection, if not nil
}

func (s *script) start(t testing.TB) string {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return l.Addr().String()
}

func (s *script) serve(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		if s.ended != nil {
			s.ended <- struct{}{}
		}
	}()
	br := bufio.NewReader(conn)
	say := func(text string) bool {
		switch text {
		case "DROP":
			return false
		case "STALL":
			_, _ = io.Copy(io.Discard, br) // until the client gives up
			return false
		}
		_, err := io.WriteString(conn, text)
		return err == nil
	}
	banner := s.banner
	if banner == "" {
		banner = "220 script\r\n"
	}
	if !say(banner) {
		return
	}
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		if s.seen != nil {
			s.seen <- line
		}
		verb, _, _ := strings.Cut(line, " ")
		answer, ok := s.on[verb]
		switch {
		case ok:
		case verb == "EHLO":
			answer = "250-script\r\n250-PIPELINING\r\n250-SIZE 100000\r\n250 8BITMIME\r\n"
			if s.ehlo != "" {
				answer = s.ehlo
			}
			if _, secured := conn.(*tls.Conn); secured && s.under != "" {
				answer = s.under
			}
		case verb == "DATA":
			answer = "354 go\r\n"
		case verb == "STARTTLS":
			answer = "220 go\r\n"
		default:
			answer = "250 OK\r\n"
		}
		if !say(answer) {
			return
		}
		if verb == "STARTTLS" && strings.HasPrefix(answer, "220") && s.tls != nil {
			tc := tls.Server(conn, s.tls)
			conn, br = tc, bufio.NewReader(tc)
		}
		if verb == "DATA" && strings.HasPrefix(answer, "354") {
			for line != "." {
				if line, err = br.ReadString('\n'); err != nil {
					return
				}
				if s.early != "" && line != ".\r\n" {
					say(s.early)
					return
				}
				line = strings.TrimRight(line, "\r\n")
				if s.seen != nil && line == "." {
					s.seen <- line
				}
			}
			final := s.final
			if final == "" {
				final = "250 taken\r\n"
			}
			if !say(final) {
				return
			}
		}
	}
}
