package e2e

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// sink is a mail server that takes, defers or refuses by the recipient's local
// part: "full" is deferred, "gone" is refused. It returns its address.
func sink(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() })
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				stop := make(chan struct{})
				defer close(stop)
				go func() {
					select {
					case <-t.Context().Done(): // ended just before the cleanups
					case <-stop:
					}
					c.Close()
				}()
				converse(c)
			})
		}
	})
	return l.Addr().String()
}

func converse(c net.Conn) {
	in := bufio.NewScanner(c)
	say := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	say("220 mx.example.com ESMTP")
	for in.Scan() {
		line := strings.ToUpper(in.Text())
		switch {
		case strings.HasPrefix(line, "EHLO"):
			say("250-mx.example.com\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
		case strings.HasPrefix(line, "RCPT TO:<FULL"):
			say("452 4.2.2 The mailbox is over its quota, try again later")
		case strings.HasPrefix(line, "RCPT TO:<GONE"):
			say("550 5.1.1 No such user here")
		case line == "DATA":
			say("354 Go on")
			for in.Scan() && in.Text() != "." {
			}
			say("250 2.0.0 Taken as 4711")
		case line == "QUIT":
			say("221 2.0.0 Bye")
			return
		default:
			say("250 2.0.0 Fine")
		}
	}
}
