package encword

import (
	"mime"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain text", "plain text"},
		{"  padded\r\n ", "padded"},
		{"folded\r\n\tvalue", "folded\tvalue"},
		{"folded\n value", "folded value"},
		{"=?utf-8?q?J=C3=B6rg?= Smith", "J\u00f6rg Smith"},
		{"=?iso-8859-1?Q?a?= =?iso-8859-1?Q?_b?=", "a b"},
		{"=?utf-8?B?w7Y=?=\r\n =?UTF-8?B?w7w=?=", "\u00f6\u00fc"},
		{"=?utf-8?b?4oI=?= =?utf-8?b?rA==?=", "\u20ac"}, // a character split between words
		{"=?utf-8*de?q?=C3=A4?=", "\u00e4"},
		{"=?iso-2022-jp?B?GyRCJDMkcxsoQg==?=", "\u3053\u3093"},
		{"=?koi8-r?B?8NLJ18XU?=", "\u041f\u0440\u0438\u0432\u0435\u0442"},
		{"=?utf-8?x?abc?=", "=?utf-8?x?abc?="},
		{"=?utf-8?q?open", "=?utf-8?q?open"},
		{"=?utf-8?q?a=0D=0AEvil:_x?=", "a  Evil: x"},
		{"caf\xe9", "caf\u00e9"},
		{"caf\xe9 =?utf-8?q?=C3=A4?=", "caf\u00e9 \u00e4"},
		{"=?no-such?q?=E4?=", "\u00e4"},
		{"=?utf-8?q?What??=", "What?"},
		{"=?utf-8?q?=FF?=", "\ufffd"},
	} {
		if got := Decode(c.in); got != c.want {
			t.Errorf("Decode(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func checkLines(t *testing.T, s string, limit int) {
	t.Helper()
	for i, line := range strings.Split(s, "\r\n") {
		if strings.ContainsAny(line, "\r\n") || len(line) > limit {
			t.Errorf("bad line of %d octets %q", len(line), line)
		}
		if i > 0 && (line == "" || line[0] != ' ' && line[0] != '\t' || strings.Trim(line, " \t") == "") {
			t.Errorf("bad continuation %q", line)
		}
	}
}

func roundTrip(t *testing.T, s string) {
	t.Helper()
	enc := string(AppendText([]byte("Subject: "), 9, s))[9:]
	checkLines(t, "Subject: "+enc, MaxLine)
	if IsPlain(s) && strings.Contains(s, "=?") {
		return // written as it is: it may be encoded words of the caller
	}
	if !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00") || strings.Contains(s, "=?") {
		return
	}
	if got, want := Decode(enc), strings.Trim(s, " \t"); got != want {
		t.Errorf("round trip of %q:\n got %q\n via %q", want, got, enc)
	}
}

func TestAppendText(t *testing.T) {
	for _, s := range []string{
		"", "a", "Hello there", strings.Repeat("word ", 60), strings.Repeat("x", 3000),
		"J\u00f6rg", "Hello J\u00f6rg, how are you", "a  b \u00f6  c", "tab\t\u00f6 x", strings.Repeat("\u00fc", 200),
		strings.Repeat("\u65e5\u672c\u8a9e ", 50), "end \u00f6", strings.Repeat("a", 70) + " \u00f6", strings.Repeat(" ", 10) + "x" + strings.Repeat(" ", 2000) + "y",
		"bell\x07", strings.Repeat("plain words ", 12) + "\u00e9 " + strings.Repeat("more words ", 12),
	} {
		roundTrip(t, s)
		if d, err := new(mime.WordDecoder).DecodeHeader(strings.ReplaceAll(string(AppendText(nil, 9, s)), "\r\n", "")); err != nil || d != strings.Trim(s, " \t") {
			t.Errorf("the standard library reads %q as %q (%v)", s, d, err)
		}
	}
	if got := string(AppendText(nil, 9, "Hello J\u00f6rg and all")); got != "Hello =?utf-8?q?J=C3=B6rg?= and all" {
		t.Errorf("only the word that needs it is encoded, got %q", got)
	}
	checkLines(t, "Subject: "+string(AppendText(nil, 9, strings.Repeat("\u00fc\u00f6 abc ", 50))), FoldAt)
}

func TestAppendPhrase(t *testing.T) {
	got := string(AppendPhrase(nil, "J\u00f6rg \"X\" M\u00fcller, Chef"))
	if strings.ContainsAny(got, "\",()<>@") || Decode(got) != "J\u00f6rg \"X\" M\u00fcller, Chef" {
		t.Errorf("phrase %q", got)
	}
}

func TestToUTF8(t *testing.T) {
	for _, c := range []struct {
		charset, in, want string
		known             bool
	}{
		{"utf-8", "\u00e4", "\u00e4", true}, {"ISO-8859-1", "\xe4", "\u00e4", true}, {"us-ascii", "\xe4", "\u00e4", true},
		{"", "\u00e4", "\u00e4", true}, {"utf-8", "\xe4", "\ufffd", true}, {"x-unknown", "a\xe4", "a\u00e4", false},
		{"gb18030", "\xc4\xe3", "\u4f60", true}, {"windows-1251", "\xcf", "\u041f", true},
	} {
		got, known := ToUTF8(c.charset, []byte(c.in))
		if got != c.want || known != c.known {
			t.Errorf("ToUTF8(%q, %q) = %q, %v", c.charset, c.in, got, known)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"a b", "J\u00f6rg \u00f6", "\t x\r\ny: z", "=?utf-8?q?a?= =?", strings.Repeat("\u00fc ", 90)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		roundTrip(t, s)
		d := Decode(s)
		if !utf8.ValidString(d) || strings.ContainsAny(d, "\r\n\x00") {
			t.Errorf("Decode(%q) = %q", s, d)
		}
	})
}
