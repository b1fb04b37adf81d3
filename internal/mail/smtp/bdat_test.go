package smtp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

const toB = "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<b@d>\r\n"

func TestChunks(t *testing.T) {
	tests := map[string]struct {
		send string
		want []string // replies after those to toB
		body []string // of the messages stored
	}{
		"one":             {"BDAT 3 LAST\r\nx\r\nNOOP\r\n", []string{"250 2.0.0 OK queued as q1", "250"}, []string{"x\r\n"}},
		"empty last":      {"BDAT 3\r\nx\r\nBDAT 0 LAST\r\nDATA\r\n", []string{"250 2.0.0 3 octets received", "250 2.0.0 OK queued", "503"}, []string{"x\r\n"}},
		"empty":           {"bdat 0 last\r\n", []string{"250 2.0.0 OK queued"}, []string{""}},
		"no line end":     {"BDAT 1\r\nxBDAT 1 LAST\r\ny", []string{"250", "250"}, []string{"xy\r\n"}},
		"cut in CRLF":     {"BDAT 2\r\nx\rBDAT 2 LAST\r\n\ny", []string{"250", "250"}, []string{"x\r\ny\r\n"}},
		"dots":            {"BDAT 10 LAST\r\n.\r\n..\r\n.x\r", []string{"550 5.6.11 message contains a bare CR"}, nil},
		"dots stay":       {"BDAT 11 LAST\r\n.\r\n..\r\n.x\r\n", []string{"250"}, []string{".\r\n..\r\n.x\r\n"}},
		"commands inside": {"BDAT 13 LAST\r\nRSET\r\nQUIT\r\n\n", []string{"550 5.6.11 message contains a bare LF"}, nil},
		"bare LF":         {"BDAT 4\r\na\nb\nBDAT 3 LAST\r\nx\r\nNOOP\r\n", []string{"550 5.6.11", "503 5.5.1 the message was refused", "250"}, nil},
		"NUL":             {"BDAT 3 LAST\r\nx\x00yNOOP\r\n", []string{"550 5.6.0", "250"}, nil},
		"refused by the backend": {"BDAT 15\r\nSubject: spam\r\nBDAT 0 LAST\r\nRCPT TO:<a@b>\r\n",
			[]string{"250", "554 5.7.1 spam", "503"}, nil},
		"two messages": {"BDAT 3 LAST\r\nx\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nRSET\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2 LAST\r\nhi",
			[]string{"250", "250", "250", "354", "250", "250", "250", "250"}, []string{"x\r\n", "RSET\r\n", "hi\r\n"}},
		"NOOP between":     {"BDAT 3\r\nx\r\nNOOP\r\nBDAT 0 LAST\r\n", []string{"250", "250 2.0.0 OK", "250 2.0.0 OK queued"}, []string{"x\r\n"}},
		"RSET between":     {"BDAT 3\r\nx\r\nRSET\r\nBDAT 0 LAST\r\n", []string{"250", "250", "503 5.5.1 MAIL first"}, nil},
		"EHLO between":     {"BDAT 3\r\nx\r\nEHLO c\r\nMAIL FROM:<a@b>\r\n", []string{"250", "250-", "250"}, nil},
		"QUIT between":     {"BDAT 3\r\nx\r\nQUIT\r\n", []string{"250", "221", ""}, nil},
		"DATA between":     {"BDAT 3\r\nx\r\nDATA\r\nBDAT 0 LAST\r\n", []string{"250", "503 5.5.1", "503"}, nil},
		"MAIL between":     {"BDAT 3\r\nx\r\nMAIL FROM:<a@b>\r\nRCPT TO:<b@d>\r\n", []string{"250", "503", "503"}, nil},
		"long line":        {"BDAT 3\r\nx\r\n" + strings.Repeat("x", 5000) + "\r\nBDAT 0 LAST\r\n", []string{"250", "500 5.5.2", "503"}, nil},
		"too large":        {"BDAT 101 LAST\r\n" + strings.Repeat("x", 101) + "NOOP\r\n", []string{"552 5.3.4", "250"}, nil},
		"too large in all": {"BDAT 60\r\n" + strings.Repeat("x", 60) + "BDAT 60\r\n" + strings.Repeat("x", 60) + "BDAT 0 LAST\r\nNOOP\r\n", []string{"250", "552", "503", "250"}, nil},
		"flood":            {"BDAT 1300\r\nNOOP\r\n", []string{"552 5.3.4", ""}, nil},
		"flood in all":     {strings.Repeat("BDAT 300\r\n"+strings.Repeat("x", 300), 6), []string{"552", "503", "503", "503", "503", "552", ""}, nil},
		"endless size":     {"BDAT 99999999999999999999999999 LAST\r\n", []string{"552", ""}, nil},
		"no size":          {"BDAT\r\nRSET\r\n", []string{"501 5.5.4", ""}, nil},
		"bad size":         {"BDAT -1 LAST\r\nRSET\r\n", []string{"501", ""}, nil},
		"hex size":         {"BDAT 0x3 LAST\r\nRSET\r\n", []string{"501", ""}, nil},
		"bad keyword":      {"BDAT 3 FIRST\r\nx\r\n", []string{"501", ""}, nil},
		"two spaces":       {"BDAT  3\r\nx\r\n", []string{"501", ""}, nil},
		"bad second size":  {"BDAT 3\r\nx\r\nBDAT x\r\nRSET\r\n", []string{"250", "501", ""}, nil},
		"no MAIL":          {"RSET\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", []string{"250", "503 5.5.1 MAIL first", "250"}, nil},
		"no recipient": {"RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<reject@d>\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
			[]string{"250", "250", "550", "554 5.5.1", "503 5.5.1 the message was refused", "250"}, nil},
	}
	for name, tt := range tests {
		for _, whole := range []bool{true, false} {
			t.Run(fmt.Sprint(name, whole), func(t *testing.T) {
				st := &store{}
				_, addr := serve(t, Config{Backend: st, MaxMessageBytes: 100})
				r := rawDial(t, addr)
				r.write(toB)
				r.expect("220", "250", "250", "250")
				if whole {
					r.write(tt.send)
				} else {
					for i := range len(tt.send) { // the server may have closed
						_, _ = r.Write([]byte{tt.send[i]})
					}
				}
				r.expect(tt.want...)
				var got []string
				for _, m := range st.messages() {
					got = append(got, m.body)
				}
				if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.body) {
					t.Errorf("stored %q", got)
				}
			})
		}
	}
}

// A message in a great many small chunks is refused before it costs much.
func TestTinyChunks(t *testing.T) {
	st := &store{}
	_, addr := serve(t, Config{Backend: st})
	r := rawDial(t, addr)
	r.expect("220")
	r.write(toB)
	r.expect("250", "250", "250")
	for n := range maxTinyChunks + 1 {
		r.write("BDAT 1\r\nx")
		if n < maxTinyChunks {
			r.expect("250")
		}
	}
	r.expect("554 5.5.0")
	r.write("BDAT 0 LAST\r\n")
	r.expect("503")
	if len(st.messages()) != 0 {
		t.Error("stored")
	}
}

// Other commands than the next chunk are bounded between chunks as elsewhere.
func TestNoopsBetweenChunks(t *testing.T) {
	_, addr := serve(t, Config{Backend: &store{}})
	r := rawDial(t, addr)
	r.expect("220")
	r.write(toB + "BDAT 1\r\nx" + strings.Repeat("NOOP\r\n", 200))
	r.expect("250", "250", "250", "250")
	for n := 0; ; n++ {
		got := r.reply()
		if strings.HasPrefix(got, "421 4.7.0 too many commands") {
			break
		}
		if n > 110 || !strings.HasPrefix(got, "250") {
			t.Fatalf("%d: %q", n, got)
		}
	}
}

// A backend that does not read, or not to the end, gets no more than it should
// and changes no verdict.
func TestChunksUnread(t *testing.T) {
	_, addr := serve(t, Config{Backend: &deaf{}, MaxMessageBytes: 100})
	for body, want := range map[string]string{"x\r\n": "250 2.0.0 OK queued as q1", "a\nb": "550 5.6.11", "a\r": "550 5.6.11", "\x00": "550 5.6.0", strings.Repeat("x", 150): "552 5.3.4"} {
		r := rawDial(t, addr)
		r.write("EHLO ignore\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@d>\r\n")
		r.expect("220", "250", "250", "250")
		r.write(fmt.Sprintf("BDAT 2\r\n\r\nBDAT %d LAST\r\n%sNOOP\r\n", len(body), body))
		r.expect("250", want, "250")
	}
}

// A large message passes whole, whatever the chunks.
func TestLargeChunks(t *testing.T) {
	st := &store{}
	_, addr := serve(t, Config{Backend: st})
	body := strings.Repeat(strings.Repeat("0123456789", 7)+"\r\n", 20000)
	for _, size := range []int{len(body), 100_000, readBuffer, 4097} {
		r := rawDial(t, addr)
		r.expect("220")
		r.write(toB)
		r.expect("250", "250", "250")
		var b strings.Builder
		n := 0
		for rest := body; rest != ""; n++ {
			chunk := rest[:min(size, len(rest))]
			rest = rest[len(chunk):]
			fmt.Fprintf(&b, "BDAT %d\r\n%s", len(chunk), chunk)
		}
		b.WriteString("BDAT 0 LAST\r\nQUIT\r\n")
		go func() { _, _ = io.WriteString(r.Conn, b.String()) }()
		for range n + 1 {
			r.expect("250")
		}
		r.expect("221")
		if got := st.messages(); got[len(got)-1].body != body {
			t.Errorf("chunks of %d: changed", size)
		}
	}
}

// FuzzChunks: however a message is cut into chunks, what is taken of it is the
// message with its line ends checked as DATA checks them, and the next command
// is found.
func FuzzChunks(f *testing.F) {
	for _, end := range falseEndings {
		f.Add([]byte("a"+end+"b"), []byte{1, 2, 3}, false)
		f.Add([]byte("a"+end+"b"), []byte{0, 3}, true)
	}
	f.Add([]byte("x\r"), []byte{2}, false)
	f.Add([]byte(""), []byte{}, false)
	f.Fuzz(func(t *testing.T, msg, cuts []byte, lax bool) {
		if len(msg) > 10_000 || len(cuts) > 100 {
			return
		}
		var in bytes.Buffer
		in.WriteString(toB)
		rest := msg
		for _, n := range cuts {
			n := min(int(n), len(rest))
			fmt.Fprintf(&in, "BDAT %d\r\n%s", n, rest[:n])
			rest = rest[n:]
		}
		fmt.Fprintf(&in, "BDAT %d LAST\r\n%sNOOP\r\nQUIT\r\n", len(rest), rest)
		st := &store{}
		out := converse(Config{Backend: st, AllowBareLF: lax, MaxErrors: 1000}, in.Bytes())
		whole := string(msg)
		if lax {
			whole = strings.ReplaceAll(strings.ReplaceAll(whole, "\r\n", "\n"), "\n", "\r\n")
		}
		bad := loneEnd(whole) || strings.Contains(whole, "\x00")
		switch got := st.messages(); {
		case bad && len(got) > 0:
			t.Fatalf("%q: stored %+v", in.Bytes(), got)
		case !bad && !strings.HasPrefix(whole, "Subject: spam") && (len(got) != 1 || got[0].body != normalise(whole)):
			t.Fatalf("%q: stored %+v", in.Bytes(), got)
		}
		if !strings.HasSuffix(out, "250 2.0.0 OK\r\n221 2.0.0 mx.example.com closing connection\r\n") {
			t.Fatalf("%q: %q", in.Bytes(), out)
		}
	})
}

// FuzzSession: a client can say what it likes; a message is taken only for a
// sender and recipients that were, with strict line ends, and every reply is one.
func FuzzSession(f *testing.F) {
	f.Add([]byte(toB+"DATA\r\nx\r\n.\r\nQUIT\r\n"), false)
	f.Add([]byte(toB+"BDAT 3\r\nx\r\nBDAT 0 LAST\r\n"), false)
	f.Add([]byte("EHLO c\r\nAUTH PLAIN\r\nAHVzZXIAcGFzcyB3b3Jk\r\nMAIL FROM:<> RET=HDRS ENVID=a+2Bb SIZE=5 BODY=8BITMIME\r\n"), false)
	f.Add([]byte("EHLO c\r\nMAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<b@d> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;a\\x{20}b@d\r\n"), false)
	f.Add([]byte("XCLIENT ADDR=IPV6:2001:db8::1 NAME=a.example HELO=b PORT=25 PROTO=ESMTP\r\n"+toB), true)
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x19\x00\x19EHLO c\r\n"), true)
	f.Fuzz(func(t *testing.T, in []byte, trusted bool) {
		st := &store{}
		cfg := Config{Backend: st, OfferDSN: true, MaxRecipients: 10}
		if trusted {
			cfg.XClientNetworks = everywhere
		}
		out := converse(cfg, in)
		for _, m := range st.messages() {
			if len(m.to) == 0 || loneEnd(m.body) || strings.Contains(m.body, "\x00") || strings.ContainsAny(m.from+strings.Join(m.to, "")+m.opt.EnvelopeID+m.helo+m.name, "\r\n\x00") {
				t.Fatalf("%q: stored %+v", in, m)
			}
			for _, o := range m.ropt {
				if m.from == "" && o.Notify != NotifyNever || strings.ContainsAny(o.Original+o.OriginalType, "\r\n\x00") {
					t.Fatalf("%q: %+v", in, o)
				}
			}
		}
		for br := bufio.NewReader(strings.NewReader(out)); ; {
			if _, err := readReply(br, nil); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%q: %q: %v", in, out, err)
			}
		}
	})
}
