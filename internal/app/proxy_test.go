package app_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
)

// talk says lines to a mail listener, one after each answer, and returns the
// answers, the banner first; less when the connection ends.
func talk(t *testing.T, to net.Addr, before string, lines ...string) (answers []string) {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	answer := func() bool {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return false
			}
			if len(line) > 3 && line[3] == ' ' {
				answers = append(answers, strings.TrimSpace(line))
				return true
			}
		}
	}
	fmt.Fprint(c, before)
	for more := answer(); more && len(lines) > 0; lines = lines[1:] {
		fmt.Fprint(c, lines[0]+"\r\n")
		more = answer()
	}
	return answers
}

// dialogue is a message from outside.
func dialogue(first ...string) []string {
	return append(first, "EHLO mx.elsewhere.example", "MAIL FROM:<ann@elsewhere.example>", "RCPT TO:<help@in.example>", "DATA", strings.ReplaceAll(note, "\n", "\r\n")+".", "QUIT")
}

// TestSMTPProxies: who stands in front names the client, anybody else does not, and
// the client's address is what is known of it.
func TestSMTPProxies(t *testing.T) {
	const header = "PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n"
	for _, c := range []struct {
		name   string
		args   []string
		before string
		lines  []string
		from   string // in Received; "" if it is not taken
	}{
		{"PROXY", []string{"--smtp-proxy=127.0.0.0/8"}, header, dialogue(), "203.0.113.9"},
		{"no PROXY header", []string{"--smtp-proxy=127.0.0.0/8"}, "EHLO mx.elsewhere.example\r\n", nil, ""},
		{"PROXY from elsewhere", []string{"--smtp-proxy=192.0.2.0/24"}, header, dialogue(), ""},
		{"XCLIENT", []string{"--smtp-xclient=127.0.0.1"}, "", dialogue("EHLO front.example", "XCLIENT ADDR=203.0.113.7"), "203.0.113.7"},
		{"XCLIENT from elsewhere", nil, "", dialogue("EHLO front.example", "XCLIENT ADDR=203.0.113.7"), "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newInbox(t, c.args...)
			b.route(t, "catch_all()", `forward("box@far.example")`)
			answers := talk(t, b.SMTP, c.before, c.lines...)
			if c.from == "" {
				if n := len(answers); n > 0 && strings.HasPrefix(answers[n-1], "221") {
					t.Errorf("answers: %q", answers)
				}
				return
			}
			if got := b.far.Await(t, 1)[0].Data; !strings.Contains(got, "(unknown ["+c.from+"])") {
				t.Errorf("answers %q, message:\n%s", answers, got)
			}
		})
	}
}

// TestSMTPRate: an address that connects more often than it may is told so.
func TestSMTPRate(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Mode: config.Serve, Args: []string{"--smtp-rate=3"}})
	var last []string
	for range 4 {
		last = talk(t, s.SMTP, "", "QUIT")
	}
	if len(last) != 1 || !strings.HasPrefix(last[0], "421 ") {
		t.Errorf("the fourth connection of a minute: %q", last)
	}
}
