package smtp

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"time"
)

// foe is the other end of a connection that does what a test says: no goroutine,
// no socket, and a time of its own that passes only when the client waits.
type foe struct {
	answer map[string]string // by verb, "." being the end of the message; others are agreed to
	banner string
	after  map[string][]byte // by verb: sent without end once it was reached
	drip   map[string]bool   // by verb: from here on a byte arrives each second
	silent map[string]bool   // by verb: from here on nothing is said
	closed map[string]bool   // by verb: from here on its side is closed, having said its answer
	last   string            // the verb after which it answers nothing any more
	greedy bool              // takes what is written at half a KiB a second
	epoch  time.Time         // the client's clock began here and is the foe's, if set

	out      []byte // to be read
	endless  []byte
	line     []byte
	body     bool
	dripping bool
	eof      bool
	mute     bool

	elapsed time.Duration
	read    int           // bytes the client took
	wrote   int           // bytes the client sent
	readBy  time.Duration // deadlines, by the foe's time
	writeBy time.Duration
	said    []string // lines of the client
	ended   bool
}

func (f *foe) start() {
	f.readBy, f.writeBy = math.MaxInt64, math.MaxInt64
	banner := "220 foe\r\n"
	if f.banner != "" {
		banner = f.banner
	}
	f.reach("banner", banner)
}

// reach answers at a point of the dialogue.
func (f *foe) reach(verb, standard string) {
	a, ok := f.answer[verb]
	if !ok {
		a = standard
	}
	if f.mute = f.mute || f.silent[verb]; !f.mute {
		f.out = append(f.out, a...)
	}
	f.mute = f.mute || f.last == verb
	if e, ok := f.after[verb]; ok {
		f.endless = e
	}
	f.dripping = f.dripping || f.drip[verb]
	f.eof = f.eof || f.closed[verb]
	if verb == "DATA" && strings.HasPrefix(a, "354") {
		f.body = true
	}
}

func (f *foe) take(line string) {
	f.said = append(f.said, line)
	if f.body {
		if line == "." {
			f.body = false
			f.reach(".", "250 taken\r\n")
		}
		return
	}
	verb, _, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO":
		f.reach(verb, "250-foe\r\n250-PIPELINING\r\n250-AUTH LOGIN PLAIN\r\n250 STARTTLS\r\n")
	case "DATA":
		f.reach(verb, "354 go\r\n")
	case "AUTH":
		f.reach(verb, "235 ok\r\n")
	case "STARTTLS":
		f.reach(verb, "220 go\r\n")
	case "QUIT":
		f.reach(verb, "221 bye\r\n")
	default:
		f.reach(verb, "250 ok\r\n")
	}
}

func (f *foe) Read(p []byte) (int, error) {
	switch {
	case f.ended:
		return 0, net.ErrClosed
	case f.elapsed >= f.readBy:
		return 0, os.ErrDeadlineExceeded
	case len(f.out) == 0 && f.endless != nil:
		f.out = append(f.out, bytes.Repeat(f.endless, 1+4096/len(f.endless))...)
	case len(f.out) == 0 && f.eof:
		return 0, io.EOF
	case len(f.out) == 0: // nothing will come: the time goes by until the deadline
		if f.readBy == math.MaxInt64 {
			return 0, errors.New("the client waits without a deadline")
		}
		f.elapsed = f.readBy
		return 0, os.ErrDeadlineExceeded
	}
	n := len(p)
	if f.dripping {
		n = 1
		if f.elapsed += time.Second; f.elapsed >= f.readBy {
			return 0, os.ErrDeadlineExceeded
		}
	}
	n = copy(p[:min(n, len(p))], f.out)
	f.out = f.out[n:]
	f.read += n
	return n, nil
}

func (f *foe) Write(p []byte) (int, error) {
	if f.ended {
		return 0, net.ErrClosed
	}
	if f.greedy && len(p) > 512 {
		took := time.Duration(len(p)>>10) * 2 * time.Second
		if f.elapsed+took >= f.writeBy {
			f.elapsed = f.writeBy
			return 0, os.ErrDeadlineExceeded
		}
		f.elapsed += took
	}
	f.wrote += len(p)
	f.line = append(f.line, p...)
	for {
		line, rest, ok := bytes.Cut(f.line, []byte(crlf))
		if !ok {
			return len(p), nil
		}
		f.line = rest
		f.take(string(line))
	}
}

// by converts a deadline, which the client sets by the real clock unless it was
// given the foe's.
func (f *foe) by(t time.Time) time.Duration {
	if t.IsZero() {
		return math.MaxInt64
	}
	if !f.epoch.IsZero() {
		return t.Sub(f.epoch)
	}
	return f.elapsed + time.Until(t)
}

func (f *foe) SetReadDeadline(t time.Time) error  { f.readBy = f.by(t); return nil }
func (f *foe) SetWriteDeadline(t time.Time) error { f.writeBy = f.by(t); return nil }
func (f *foe) SetDeadline(t time.Time) error      { f.readBy, f.writeBy = f.by(t), f.by(t); return nil }
func (f *foe) Close() error                       { f.ended = true; return nil }
func (f *foe) LocalAddr() net.Addr                { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (f *foe) RemoteAddr() net.Addr               { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// share makes the foe's time that of the client.
func (f *foe) share(c *Client) {
	f.epoch = time.Now()
	c.w.now = func() time.Time { return f.epoch.Add(f.elapsed) }
}
