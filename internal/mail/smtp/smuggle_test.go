package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// falseEndings look like the end of a message to some server, and are none.
var falseEndings = []string{
	"\n.\n", "\r.\r", "\r.\n", "\n.\r", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n.\r",
	"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n",
}

const smuggled = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nSubject: smuggled\r\n"

// Inbound: nothing but CRLF.CRLF ends the message, so what follows a false
// ending is part of a message that is refused.
func TestFalseEndingsInbound(t *testing.T) {
	for _, lax := range []bool{false, true} {
		st := &store{}
		_, addr := serve(t, Config{Backend: st, AllowBareLF: lax})
		for _, end := range falseEndings {
			accepted := len(st.messages())
			r := rawDial(t, addr)
			r.expect("220")
			r.write("EHLO c.example.com\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
			r.expect("250", "250", "250", "354")
			r.write("Subject: cover\r\n\r\ntext" + end + smuggled + ".\r\nQUIT\r\n")
			onlyLF := !strings.ContainsAny(strings.ReplaceAll(end, "\r\n", "\n"), "\r\x00")
			if lax && onlyLF {
				r.expect("250", "221")
				got := st.messages()
				if len(got) != accepted+1 || got[accepted].from != "a@example.com" || !strings.HasSuffix(got[accepted].body, smuggled) {
					t.Errorf("%q: stored %+v", end, got[accepted:])
				}
				continue
			}
			r.expect("550 5.6.", "221")
			if got := st.messages(); len(got) != accepted {
				t.Errorf("%q: stored %+v", end, got[accepted:])
			}
		}
	}
}

// By BDAT every octet is counted, so that no ending is one: those of CRLF alone
// are text, the others refused, and what follows is never a command. A chunk may
// end anywhere in them.
func TestFalseEndingsInChunks(t *testing.T) {
	for _, lax := range []bool{false, true} {
		st := &store{}
		_, addr := serve(t, Config{Backend: st, AllowBareLF: lax})
		for _, end := range append(falseEndings, "\r\n.\r\n", "\r\n..\r\n") {
			for cut := 0; cut <= len(end); cut++ {
				accepted := len(st.messages())
				first, second := "Subject: cover\r\n\r\ntext"+end[:cut], end[cut:]+smuggled
				r := rawDial(t, addr)
				r.expect("220")
				r.write("EHLO c.example.com\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n")
				r.write(fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%sQUIT\r\n", len(first), first, len(second), second))
				r.expect("250", "250", "250")
				rest := strings.ReplaceAll(end, "\r\n", "")
				if rest == "." || rest == ".." || lax && !strings.ContainsAny(rest, "\r\x00") {
					r.expect("250 2.0.0", "250 2.0.0", "221")
					got := st.messages()
					if len(got) != accepted+1 || got[accepted].from != "a@example.com" || got[accepted].body != normalise(first+second) {
						t.Errorf("%q cut at %d: stored %+v", end, cut, got[accepted:])
					}
					continue
				}
				// The refusal comes with the chunk in which it is certain.
				if got := r.reply(); strings.HasPrefix(got, "250") {
					r.expect("550 5.6.", "221")
				} else if !strings.HasPrefix(got, "550 5.6.") {
					t.Errorf("%q cut at %d: %q", end, cut, got)
				} else {
					r.expect("503", "221")
				}
				if got := st.messages(); len(got) != accepted {
					t.Errorf("%q cut at %d: stored %+v", end, cut, got[accepted:])
				}
			}
		}
	}
}

// Outbound: a false ending in a message reaches the wire as plain lines, or the
// message is refused before anything is sent.
func TestFalseEndingsOutbound(t *testing.T) {
	st := &store{}
	_, addr := serve(t, Config{Backend: st})
	c := connect(t, addr, ClientOptions{})
	for _, end := range falseEndings {
		for cut := 0; cut <= len(end); cut++ {
			accepted := len(st.messages())
			msg := Message{[]byte("Subject: x\r\n\r\ntext" + end[:cut]), []byte(end[cut:] + smuggled)}
			_, err := c.Send(testContext(t), Envelope{From: "a@example.com", To: []string{"b@example.com"}}, msg)
			got := st.messages()[accepted:]
			if strings.Contains(end, "\x00") {
				var re *ReplyError
				if !errors.As(err, &re) || !re.Local || len(got) != 0 || !c.Usable() {
					t.Errorf("%q: %v, stored %v", end, err, got)
				}
				continue
			}
			if err != nil || len(got) != 1 || got[0].body != normalise(string(msg[0])+string(msg[1])) {
				t.Errorf("%q cut at %d: %v, stored %+v", end, cut, err, got)
			}
		}
	}
}

// normalise is the plain statement of what a stuffer does to line ends.
func normalise(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return strings.ReplaceAll(s, "\n", "\r\n")
}

// stuff runs the stuffer over s in pieces of n octets.
func stuff(t testing.TB, s string, n int) (wire string, size int) {
	t.Helper()
	var b bytes.Buffer
	w := stuffer{w: bufio.NewWriterSize(&b, 16)}
	for ; len(s) > n; s = s[n:] {
		w.write([]byte(s[:n]))
	}
	w.write([]byte(s))
	w.end()
	if err := w.w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.n
}

func TestStuffer(t *testing.T) {
	tests := []struct{ in, out string }{
		{"", ".\r\n"},
		{".", "..\r\n.\r\n"},
		{"a", "a\r\n.\r\n"},
		{"a\r\n", "a\r\n.\r\n"},
		{"\r\n", "\r\n.\r\n"},
		{"a\r", "a\r\n.\r\n"},
		{"a\n.b", "a\r\n..b\r\n.\r\n"},
		{"a\r.b", "a\r\n..b\r\n.\r\n"},
		{".\r\n.\r\n", "..\r\n..\r\n.\r\n"},
		{"a\r\r\n.", "a\r\n\r\n..\r\n.\r\n"},
		{"a.b\r\n.c", "a.b\r\n..c\r\n.\r\n"},
		{"\r\r", "\r\n\r\n.\r\n"},
		{"\n\r", "\r\n\r\n.\r\n"},
	}
	for _, tt := range tests {
		for n := 1; n <= len(tt.in)+1; n++ {
			if got, size := stuff(t, tt.in, n); got != tt.out || size != len(normalise(tt.in)) {
				t.Errorf("%q in pieces of %d: %q, size %d", tt.in, n, got, size)
			}
		}
	}
}

func TestDotReader(t *testing.T) {
	tests := []struct {
		in, out string // out is what is accepted
		err     error
		lax     string // accepted with AllowBareLF, if different
	}{
		{in: ".\r\n"},
		{in: "a\r\n.\r\n", out: "a\r\n"},
		{in: "..\r\n.\r\n", out: ".\r\n"},
		{in: ".a\r\n.\r\n", out: "a\r\n"},
		{in: "...\r\n.\r\n", out: "..\r\n"},
		{in: "\r\n\r\n.\r\n", out: "\r\n\r\n"},
		{in: "a\nb\r\n.\r\n", err: errBareLF, lax: "a\r\nb\r\n"},
		{in: "\n\n\r\n.\r\n", err: errBareLF, lax: "\r\n\r\n\r\n"},
		{in: "\n.\r\nx\r\n.\r\n", err: errBareLF, lax: "\r\n.\r\nx\r\n"},
		{in: "a\rb\r\n.\r\n", err: errBareCR},
		{in: "a\r\r\n.\r\n", err: errBareCR},
		{in: "\r\r\n.\r\n", err: errBareCR},
		{in: ".\r\r\n.\r\n", err: errBareCR},
		{in: ".\rx\r\n.\r\n", err: errBareCR},
		{in: "aaaa\rbbbbbbbbbbbb\r\n.\r\n", err: errBareCR}, // no LF in the buffer with the CR
		{in: "a\x00\r\n.\r\n", err: errNUL},
		{in: "123456789012345678901234567890\r\n.\r\n", err: errTooLarge},
		{in: "a\r\n.", err: io.ErrUnexpectedEOF},
		{in: "a\r\n.\r", err: io.ErrUnexpectedEOF},
		{in: "", err: io.ErrUnexpectedEOF},
		{in: strings.Repeat("123456789\r\n", 120) + ".\r\n", err: errFlood},
	}
	for _, tt := range tests {
		for _, lax := range []bool{false, true} {
			want, wantErr := tt.out, tt.err
			if lax && tt.lax != "" {
				want, wantErr = tt.lax, nil
			}
			for name, open := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader} {
				rest := "NOOP\r\n"
				if wantErr == io.ErrUnexpectedEOF {
					rest = ""
				}
				br := bufio.NewReaderSize(open(strings.NewReader(tt.in+rest)), 16)
				d := &dotReader{br: br, limit: 20, bareLF: lax}
				body, err := io.ReadAll(d)
				verdict := d.drain(true)
				if wantErr == errFlood {
					if err != errTooLarge || verdict != errFlood {
						t.Errorf("%.20q: %v, %v", tt.in, err, verdict)
					}
					continue
				}
				if err != wantErr || verdict != wantErr || err == nil && string(body) != want {
					t.Errorf("%q %s lax=%v: %q, %v, %v", tt.in, name, lax, body, err, verdict)
				}
				left, _ := io.ReadAll(br)
				if string(left) != rest {
					t.Errorf("%q %s: left %q", tt.in, name, left)
				}
				if n, err := d.Read(make([]byte, 8)); n != 0 || err == nil {
					t.Errorf("%q: read %d, %v after the end", tt.in, n, err)
				}
			}
		}
	}
}

// loneEnd reports whether s holds a CR or LF outside of a CRLF.
func loneEnd(s string) bool {
	return strings.ContainsAny(strings.ReplaceAll(s, "\r\n", ""), "\r\n")
}

// FuzzDotReader: what is accepted holds no lone CR or LF and no NUL, is the same
// however the input arrives, and took the input up to the first CRLF.CRLF.
func FuzzDotReader(f *testing.F) {
	for _, end := range falseEndings {
		f.Add([]byte("a"+end+"b\r\n.\r\n"), false)
		f.Add([]byte("a"+end+"b\r\n.\r\n"), true)
	}
	f.Add([]byte(".\r\nQUIT\r\n"), false)
	f.Fuzz(func(t *testing.T, in []byte, lax bool) {
		var bodies [2]string
		var errs [2]error
		for i, src := range []io.Reader{bytes.NewReader(in), iotest.OneByteReader(bytes.NewReader(in))} {
			br := bufio.NewReaderSize(src, 16)
			d := &dotReader{br: br, limit: 1 << 20, bareLF: lax}
			var b strings.Builder
			var err error
			if i == 0 {
				_, err = io.Copy(&b, d)
			} else {
				_, err = io.Copy(&b, struct{ io.Reader }{d})
			}
			verdict := d.drain(true)
			if (verdict == nil) != (err == nil) {
				t.Fatalf("read said %v, drain %v", err, verdict)
			}
			bodies[i], errs[i] = b.String(), verdict
			if verdict != nil {
				continue
			}
			if loneEnd(bodies[i]) || strings.Contains(bodies[i], "\x00") {
				t.Fatalf("accepted %q", bodies[i])
			}
			whole := "\r\n" + string(in)
			end := strings.Index(whole, "\r\n.\r\n")
			left, _ := io.ReadAll(br)
			if end < 0 || whole[end+5:] != string(left) {
				t.Fatalf("%q: ended before %q", in, left)
			}
		}
		if errs[0] == nil != (errs[1] == nil) || errs[0] == nil && bodies[0] != bodies[1] {
			t.Fatalf("%q, %v and %q, %v", bodies[0], errs[0], bodies[1], errs[1])
		}
	})
}

// FuzzRoundTrip: any message without NUL passes from client to server with its
// line ends normalised and nothing else changed.
func FuzzRoundTrip(f *testing.F) {
	for _, end := range falseEndings {
		f.Add("a"+end+"b", 3)
	}
	f.Fuzz(func(t *testing.T, msg string, piece int) {
		msg = strings.ReplaceAll(msg, "\x00", "")
		wire, size := stuff(t, msg, max(1, piece))
		if loneEnd(wire) || strings.Index("\r\n"+wire, "\r\n.\r\n") != len(wire)-3 {
			t.Fatalf("emitted %q", wire)
		}
		br := bufio.NewReader(strings.NewReader(wire))
		d := &dotReader{br: br, limit: 1 << 20}
		body, err := io.ReadAll(d)
		if err != nil || string(body) != normalise(msg) || size != len(body) || br.Buffered() != 0 {
			t.Fatalf("%q became %q, size %d, %v", msg, body, size, err)
		}
	})
}
