package smtp

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
)

func TestServerDSN(t *testing.T) {
	st := &store{}
	_, addr := serve(t, Config{Backend: st, OfferDSN: true})
	r := rawDial(t, addr)
	r.write("EHLO c\r\n")
	r.expect("220")
	if got := r.reply(); !strings.Contains(got, "|250-DSN|") {
		t.Error(got)
	}
	for _, bad := range []string{"RET=", "RET=ALL", "RET", "RET=FULL RET=HDRS", "ENVID=", "ENVID=a=b", "ENVID=a+", "ENVID=a+0", "ENVID=a+0A", "ENVID=+7F", "ENVID=+00",
		"ENVID=" + strings.Repeat("a", 101), "ENVID=a ENVID=b"} {
		r.write("MAIL FROM:<a@b> " + bad + "\r\n")
		r.expect("501 5.5.4")
		r.write("NOOP\r\n")
		r.expect("250")
		if strings.HasSuffix(bad, "b") { // stay below the limit of errors
			r.write("QUIT\r\n")
			r.expect("221")
			r = rawDial(t, addr)
			r.write("EHLO c\r\n")
			r.expect("220", "250")
		}
	}
	r = rawDial(t, addr)
	r.write("EHLO c\r\nMAIL FROM:<a@b> ret=hdrs ENVID=Q+2B+3D+20q SIZE=5\r\n")
	r.expect("220", "250", "250")
	for _, bad := range []string{"NOTIFY=", "NOTIFY=NEVER,DELAY", "NOTIFY=DELAY,DELAY", "NOTIFY=ALWAYS", "ORCPT=a@b", "ORCPT=;a@b", "ORCPT=rfc822;", "ORCPT=rfc822;a+0D+0Ab", "X=y"} {
		r.write("RCPT TO:<c@d> " + bad + "\r\n")
		r.expect("5")
	}
	r.write("RCPT TO:<c@d> NOTIFY=success,Failure,DELAY ORCPT=RFC822;c+2Bx@d\r\nRCPT TO:<e@d> NOTIFY=NEVER\r\nRCPT TO:<f@d>\r\n" +
		"RCPT TO:<g@d> ORCPT=utf-8;\\x{FC}+2B@d\r\nRCPT TO:<g@d> ORCPT=utf-8;\\x{FC}\\x{2B}@d\r\nDATA\r\nx\r\n.\r\n")
	r.expect("250", "250", "250", "501", "421") // ten errors
	r = rawDial(t, addr)
	r.write("EHLO c\r\nMAIL FROM:<a@b> ret=hdrs ENVID=Q+2B+3D+20q SIZE=5\r\n" +
		"RCPT TO:<c@d> NOTIFY=success,Failure,DELAY ORCPT=RFC822;c+2Bx@d\r\nRCPT TO:<e@d> NOTIFY=NEVER\r\nRCPT TO:<f@d>\r\n" +
		"RCPT TO:<g@d> ORCPT=utf-8;\\x{FC}\\x{2B}@d\r\nDATA\r\nx\r\n.\r\n")
	r.expect("220", "250", "250", "250", "250", "250", "250", "354", "250")
	m := st.messages()[0]
	if m.opt.Return != ReturnHeaders || m.opt.EnvelopeID != "Q+= q" || m.opt.Size != 5 {
		t.Errorf("%+v", m.opt)
	}
	want := []RcptOptions{{NotifySuccess | NotifyFailure | NotifyDelay, "rfc822", "c+x@d"}, {Notify: NotifyNever}, {}, {0, "utf-8", "\u00fc+@d"}}
	if fmt.Sprint(m.ropt) != fmt.Sprint(want) {
		t.Errorf("%+v", m.ropt)
	}
}

// A null sender cannot be told anything, whatever is asked for.
func TestServerDSNNullSender(t *testing.T) {
	st := &store{}
	_, addr := serve(t, Config{Backend: st, OfferDSN: true})
	r := rawDial(t, addr)
	r.write("EHLO c\r\nMAIL FROM:<> RET=FULL ENVID=x\r\nRCPT TO:<c@d> NOTIFY=SUCCESS\r\nRCPT TO:<e@d>\r\nDATA\r\nx\r\n.\r\n")
	r.expect("220", "250", "250", "250", "250", "354", "250")
	m := st.messages()[0]
	if m.opt.Return != 0 || m.opt.EnvelopeID != "x" || m.ropt[0].Notify != NotifyNever || m.ropt[1].Notify != NotifyNever {
		t.Errorf("%+v", m)
	}
}

// The client passes on what it is given where the server offers DSN, and says
// nothing of it elsewhere.
func TestClientDSN(t *testing.T) {
	all := NotifySuccess | NotifyFailure | NotifyDelay
	for _, offered := range []bool{true, false} {
		st := &store{}
		_, addr := serve(t, Config{Backend: st, OfferDSN: offered})
		c := connect(t, addr, ClientOptions{Transcript: true})
		if c.Extensions().DSN != offered {
			t.Fatal(c.Extensions())
		}
		send := func(env Envelope) received {
			t.Helper()
			if _, err := c.Send(testContext(t), env, testBody); err != nil {
				t.Fatal(err, EncodeTranscript(c.Transcript()))
			}
			got := st.messages()
			return got[len(got)-1]
		}
		d := &DSN{ReturnFull, "id +=\t", []RcptOptions{{all, "rfc822", "C d+@x"}, {NotifyNever, "utf-8", "\u00fc \\=@x"}}}
		m := send(Envelope{From: "a@b", To: []string{"b@c", "c@c", "d@c"}, DSN: d})
		want := received{opt: MailOptions{Return: ReturnFull, EnvelopeID: d.EnvelopeID}, ropt: append(append([]RcptOptions{}, d.Recipients...), RcptOptions{})}
		if !offered {
			want = received{ropt: make([]RcptOptions, 3)}
		}
		if m.opt.Return != want.opt.Return || m.opt.EnvelopeID != want.opt.EnvelopeID || fmt.Sprint(m.ropt) != fmt.Sprint(want.ropt) {
			t.Errorf("%+v", m)
		}
		m = send(Envelope{To: []string{"b@c"}, DSN: d})
		if m.opt.Return != 0 || m.ropt[0].Notify == all {
			t.Errorf("a notification asks to be notified: %+v", m)
		}
		// What the wire cannot carry is left out.
		m = send(Envelope{From: "a@b", To: []string{"b@c"}, DSN: &DSN{0, strings.Repeat("x", 101), []RcptOptions{{0, "a b", "x\r\nRSET"}}}})
		if m.opt.EnvelopeID != "" || m.ropt[0] != (RcptOptions{}) {
			t.Errorf("%+v", m)
		}
		if !offered && strings.Contains(EncodeTranscript(c.Transcript()), "NOTIFY") {
			t.Error(EncodeTranscript(c.Transcript()))
		}
	}
}

// FuzzDSN: what is decoded can stand in a header, and what is encoded decodes to
// itself.
func FuzzDSN(f *testing.F) {
	for _, s := range []string{"a+2Bb", "+", "+0", "rfc822;a@b", "utf-8;\\x{1F600}@b", "utf-8;\\x{110000}", "utf-8;\\x{A", "NEVER", "SUCCESS,DELAY", "x;\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		check := func(text string) {
			if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }) {
				t.Fatalf("%q decodes to %q", s, text)
			}
		}
		if text, ok := decodeXtext(s); ok {
			check(text)
			if again, ok := decodeXtext(string(appendXtext(nil, text))); !ok || again != text {
				t.Fatalf("%q: %q becomes %q", s, text, again)
			}
		}
		if text, ok := decodeUnitext(s); ok {
			check(text)
			enc := string(appendUnitext(nil, text))
			if again, ok := decodeUnitext(enc); !ok || again != text || !isASCII(enc) {
				t.Fatalf("%q: %q becomes %q by %q", s, text, again, enc)
			}
		}
		if kind, text, ok := parseORCPT(s); ok && (kind == "" || text == "" || len(text) > maxORCPT) {
			t.Fatalf("%q: %q, %q", s, kind, text)
		}
		if n, ok := parseNotify(s); ok {
			if again, ok := parseNotify(n.String()); !ok || again != n || n == 0 {
				t.Fatalf("%q: %v", s, n)
			}
		}
		d := DSN{ReturnFull, s, []RcptOptions{{Notify(len(s) % 16), s, s}}}
		line := string(d.rcptParams(d.mailParams(nil, "a"), "a", 0))
		if strings.ContainsAny(line, "\r\n\x00") || !isASCII(line) {
			t.Fatalf("%q puts %q on the wire", s, line)
		}
	})
}
