package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestReadReply(t *testing.T) {
	tests := []struct {
		in   string
		want Reply
		err  error
	}{
		{"250 OK\r\n", Reply{250, "", "OK"}, nil},
		{"250\r\n", Reply{250, "", ""}, nil},
		{"250 \n", Reply{250, "", ""}, nil},
		{"550 5.1.1 no such user\r\n", Reply{550, "5.1.1", "no such user"}, nil},
		{"550-5.1.1 no such\r\n550 5.1.1 user\r\n", Reply{550, "5.1.1", "no such\nuser"}, nil},
		{"550-5.1.1 no such\r\n550 user\r\n", Reply{550, "5.1.1", "no such\nuser"}, nil},
		{"554 4.4.7 expired\r\n", Reply{554, "4.4.7", "expired"}, nil},
		{"250 2.1.5\r\n", Reply{250, "2.1.5", ""}, nil},
		{"250 2.1.5x\r\n", Reply{250, "", "2.1.5x"}, nil},
		{"250 3.1.5 x\r\n", Reply{250, "", "3.1.5 x"}, nil},
		{"250 2.1000.5 x\r\n", Reply{250, "", "2.1000.5 x"}, nil},
		{"250 a\tb\x00\xff\r\n", Reply{250, "", "a b??"}, nil},
		{"250 gr\u00fc\u00dfe\r\n", Reply{250, "", "gr\u00fc\u00dfe"}, nil},
		{"250-a\r\n251 b\r\n", Reply{}, errReplyMixed},
		{"150 a\r\n", Reply{}, errReplySyntax},
		{"600 a\r\n", Reply{}, errReplySyntax},
		{"25 a\r\n", Reply{}, errReplySyntax},
		{"250_a\r\n", Reply{}, errReplySyntax},
		{"\r\n", Reply{}, errReplySyntax},
		{"SSH-2.0\r\n", Reply{}, errReplySyntax},
		{"250 OK", Reply{}, io.EOF},
		{"250-OK\r\n", Reply{}, io.EOF},
		{"250 " + strings.Repeat("x", 5000) + "\r\n", Reply{}, errReplyLong},
		{strings.Repeat("250-x\r\n", 300), Reply{}, errReplyLong},
		{strings.Repeat("250-"+strings.Repeat("x", 3000)+"\r\n", 50), Reply{}, errReplyLong},
	}
	for _, tt := range tests {
		got, err := readReply(bufio.NewReaderSize(strings.NewReader(tt.in), maxReplyLine), nil)
		if !errors.Is(err, tt.err) || err == nil && got != tt.want {
			t.Errorf("%.40q: %+v, %v", tt.in, got, err)
		}
	}
}

func TestReplyClass(t *testing.T) {
	for code, want := range map[int][3]bool{0: {}, 250: {true}, 354: {true}, 421: {false, true}, 550: {false, false, true}} {
		r := Reply{Code: code}
		if got := [3]bool{r.Positive(), r.Temporary(), r.Permanent()}; got != want {
			t.Errorf("%d: %v", code, got)
		}
	}
	if s := (Reply{550, "5.1.1", "a\nb"}).String(); s != "550 5.1.1 a b" {
		t.Error(s)
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte("250-5.1.1 a\r\n250 b\r\n"))
	f.Add([]byte("421 4.3.2 closing\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		lines := 0
		r, err := readReply(bufio.NewReaderSize(bytes.NewReader(in), maxReplyLine), func([]byte) { lines++ })
		if err != nil {
			return
		}
		if r.Code < 200 || r.Code > 599 || !utf8.ValidString(r.Text) || strings.ContainsAny(r.Text, "\r\x00") ||
			strings.Count(r.Text, "\n") != lines-1 || len(r.Text) > 4*maxReplyBytes {
			t.Fatalf("%q: %+v in %d lines", in, r, lines)
		}
		if enh, rest := splitEnhanced([]byte(r.Enhanced)); r.Enhanced != "" && (enh != r.Enhanced || len(rest) > 0) {
			t.Fatalf("%q: enhanced code %q", in, r.Enhanced)
		}
	})
}

func TestParsePath(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := []struct{ in, addr, rest string }{
		{"<>", "", ""},
		{"<> SIZE=1", "", " SIZE=1"},
		{"<a@b>", "a@b", ""},
		{"<a.b+c=d@example.com> X", "a.b+c=d@example.com", " X"},
		{"<Postmaster>", "Postmaster", ""},
		{"<!#$%&'*+-/=?^_`{|}~@b>", "!#$%&'*+-/=?^_`{|}~@b", ""},
		{`<"a"@b>`, "a@b", ""},
		{`<"a b"@b>`, `"a b"@b`, ""},
		{`<"a..b"@b>`, `"a..b"@b`, ""},
		{`<"a\"\\\b"@b>`, `"a\"\\b"@b`, ""},
		{`<"a>@b"@c>`, `"a>@b"@c`, ""},
		{"<@x.org,@y.org:a@b.c>", "a@b.c", ""},
		{"<a@[192.0.2.1]>", "a@[192.0.2.1]", ""},
		{"<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", ""},
		{"<j\u00f6@b\u00fccher.example>", "j\u00f6@b\u00fccher.example", ""},
		{"<a@" + long + "." + long + ".com>", "a@" + long + "." + long + ".com", ""},
		{"<" + strings.Repeat("a", 200) + "@b>", strings.Repeat("a", 200) + "@b", ""},
		{"<a@1.2.3>", "a@1.2.3", ""},
		{"<a%b@c>", "a%b@c", ""},
	}
	for _, tt := range tests {
		p, rest, err := ParsePath(tt.in)
		if err != nil || p.String() != tt.addr || rest != tt.rest {
			t.Errorf("%q: %q, %q, %v", tt.in, p, rest, err)
		}
	}
	bad := []string{
		"", "a@b", "<a@b", "<a>", "<@b>", "<a@>", "<a@b@c>", "<.a@b>", "<a.@b>", "<a..b@c>", "<a b@c>", "< a@b>", "<a@b >",
		"<a@-b>", "<a@b->", "<a@b-.c>", "<a@b..c>", "<a@.b>", "<a@b.>", "<a@b_c>", "<a@" + long + "a.com>", `<"a@b>`, `<"a"b@c>`,
		`<""@b>`, "<\"a\x01\"@b>", "<\"\\\x80\"@b>", "<a\x00@b>", "<a\r\n@b>", "<a@b\r\n>", "<a\x80@b>", "<a\u0085@b>", "<a@b\xff>",
		"<@x:>", "<@x>", "<@x,a@b>", "<@:a@b>", "<a@[]>", "<a@[1.2.3]>", "<a@[1.2.3.4>", "<a@[2001:db8::1]>", "<a@[IPv6:1.2.3.4]>",
		"<a@[IPv6:fe80::1%eth0]>", "<a@[tag:x]>", "<a@[1.2.3.4]x>", "<<a@b>>", "<a@b,c@d>", "<" + strings.Repeat("a", 256) + "@b>",
		"<a@" + strings.Repeat("a.", 130) + "b>", strings.Repeat("<@a", 1) + strings.Repeat(",@a", 40) + ":a@b>",
	}
	for _, in := range bad {
		if p, rest, err := ParsePath(in); err == nil || !errors.Is(err, ErrPath) {
			t.Errorf("%q: accepted as %q, %q, %v", in, p, rest, err)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<>", "<a@b> X", `<"a\"b c"@b>`, "<@x,@y:a@[IPv6:::1]>", "<j\u00f6@b\u00fc.example>", "<postmaster>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, rest, err := ParsePath(in)
		if err != nil {
			return
		}
		addr := p.String()
		if strings.ContainsAny(addr, "\r\n\x00") || !utf8.ValidString(addr) || !strings.HasSuffix(in, rest) {
			t.Fatalf("%q: %q, %q", in, addr, rest)
		}
		again, rest, err := ParsePath("<" + addr + ">")
		if err != nil || again != p || rest != "" || again.String() != addr {
			t.Fatalf("%q: %q does not parse to itself: %q, %q, %v", in, addr, again, rest, err)
		}
		if !sendable(addr) && len(addr) < maxLocal {
			t.Fatalf("%q cannot be sent", addr)
		}
	})
}

func TestParseExtensions(t *testing.T) {
	got := parseExtensions("mx.example.com hello\nsize 1000\nPIPELINING\n8BITMIME\nSMTPUTF8\nSTARTTLS\nENHANCEDSTATUSCODES\nCHUNKING\nDSN\n" +
		"REQUIRETLS\nAUTH login PLAIN\nAUTH=LOGIN XOAUTH2\nLIMITS MAILMAX=5 RCPTMAX=100 RCPTDOMAINMAX=1 OTHER=x\n\nX-UNKNOWN y=z")
	want := Extensions{Size: 1000, SizeOffered: true, Pipelining: true, EightBitMIME: true, SMTPUTF8: true, StartTLS: true,
		EnhancedCodes: true, Chunking: true, DSN: true, RequireTLS: true, Auth: []string{"LOGIN", "PLAIN", "XOAUTH2"},
		Limits: Limits{MailMax: 5, RcptMax: 100, RcptDomainMax: 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	got = parseExtensions("PIPELINING\nSIZE\nSIZE -1\nSIZE x\nLIMITS\nLIMITS RCPTMAX=-1 RCPTMAX")
	if !reflect.DeepEqual(got, Extensions{SizeOffered: true}) {
		t.Errorf("%+v", got)
	}
	var hostile strings.Builder
	hostile.WriteString("mx.example.com")
	for i := range 10000 {
		fmt.Fprintf(&hostile, "\nAUTH x%d y%d", i, i)
	}
	if got = parseExtensions(hostile.String()); len(got.Auth) != maxAuth || got.Auth[maxAuth-1] != "Y7" {
		t.Errorf("%d mechanisms kept: %.200q", len(got.Auth), got.Auth)
	}
}

func TestTranscriptText(t *testing.T) {
	in := []TranscriptLine{
		{0, FromServer, "220 hello"},
		{1500 * time.Microsecond, FromClient, `a\b` + "\r\n" + `\n`},
		{time.Hour, Note, ""},
	}
	s := EncodeTranscript(in)
	if strings.Count(s, "\n") != len(in) {
		t.Errorf("%q", s)
	}
	out, err := DecodeTranscript(s)
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%v, %v", out, err)
	}
	for _, bad := range []string{"x", "1 C x", "1 X x\n", "x C x\n", "1\n", "1 C\n", "9223372036854775807 C x\n", "\n"} {
		if out, err := DecodeTranscript(bad); err == nil {
			t.Errorf("%q: %v", bad, out)
		}
	}
}

func FuzzDecodeTranscript(f *testing.F) {
	f.Add("0 S 220 x\n15 C a\\nb\n")
	f.Fuzz(func(t *testing.T, s string) {
		lines, err := DecodeTranscript(s)
		if err != nil {
			return
		}
		again, err := DecodeTranscript(EncodeTranscript(lines))
		if err != nil || !reflect.DeepEqual(lines, again) {
			t.Fatalf("%v, %v, %v", lines, again, err)
		}
	})
}
