package mime

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScanHeader(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string // "name|value"
		body string
	}{
		{"A: 1\r\nB: 2\r\n\r\nbody", []string{"A| 1", "B| 2"}, "body"},
		{"A: 1\nB: x\n  y\n\nbody\n\nmore", []string{"A| 1", "B| x\n  y"}, "body\n\nmore"},
		{"A: 1\r\n\tfold\r\n :x\r\n\r\n", []string{"A| 1\r\n\tfold\r\n :x"}, ""},
		{"A: 1", []string{"A| 1"}, ""},
		{"A: 1\r\n", []string{"A| 1"}, ""},
		{"\r\nbody", nil, "body"},
		{"", nil, ""},
		{"From me now\r\nA : 1\r\nno colon\r\n\r\nx", []string{"|From me now", "A| 1", "|no colon"}, "x"},
		{" lead\r\nA:1\r\n\r\n", []string{"| lead", "A|1"}, ""},
		{"A:\r\n\r\n", []string{"A|"}, ""},
	} {
		fields, body, err := ScanHeader([]byte(c.in))
		var got []string
		for _, f := range fields {
			got = append(got, string(f.Name)+"|"+string(f.Value))
		}
		if err != nil || !cmp.Equal(got, c.want) || c.in[body:] != c.body {
			t.Errorf("%q: %q, body %q, %v", c.in, got, c.in[body:], err)
		}
	}
	big := []byte(strings.Repeat("A: b\n", maxHeaderFields+1))
	if _, _, err := ScanHeader(big); !errors.Is(err, ErrHeaderTooLarge) {
		t.Errorf("too many fields: %v", err)
	}
	if _, _, err := ScanHeader([]byte("A: " + strings.Repeat("x", maxHeaderBytes) + "\n\n")); !errors.Is(err, ErrHeaderTooLarge) {
		t.Errorf("too many octets: %v", err)
	}
}

func TestFields(t *testing.T) {
	fields, _, err := ScanHeader([]byte("Subject: =?utf-8?q?=C3=A4?=\r\n b\r\nRECEIVED: 1\r\nReceived: 2\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if fields.Get("subject") != "\u00e4 b" || fields.Raw("SUBJECT") != "=?utf-8?q?=C3=A4?= b" || fields.Get("none") != "" {
		t.Errorf("%q %q", fields.Get("subject"), fields.Raw("subject"))
	}
	if got := fields.Values("Received"); !cmp.Equal(got, []string{"1", "2"}) {
		t.Errorf("%q", got)
	}
}

const stored = "A: 1\r\nBcc: x\r\n y\r\nB: 2\r\nbcc: z\r\n\r\nbody\r\n"

func TestEditHeader(t *testing.T) {
	for _, c := range []struct {
		name    string
		in      string
		prepend []Field
		added   []Field
		want    string
	}{
		{"delete", stored, nil, nil, "A: 1\r\nB: 2\r\n\r\nbody\r\n"},
		{"add", stored, []Field{{"P", "1"}, {"Q", "2"}}, []Field{{"Z", "\u00e4"}}, "P: 1\r\nQ: 2\r\nA: 1\r\nB: 2\r\nZ: =?utf-8?b?w6Q=?=\r\n\r\nbody\r\n"},
		{"no body", "A: 1", nil, []Field{{"Z", "2"}}, "A: 1\r\nZ: 2\r\n\r\n"},
		{"no header", "\r\nbody", []Field{{"P", "1"}}, []Field{{"Z", "2"}}, "P: 1\r\nZ: 2\r\n\r\nbody"},
		{"all gone", "Bcc: x\r\n\r\nb", nil, nil, "\r\nb"},
		{"empty", "", nil, []Field{{"Z", "2"}}, "Z: 2\r\n\r\n"},
	} {
		pieces, err := EditHeader([]byte(c.in), func(f RawField) bool { return f.Is("Bcc") }, c.prepend, c.added)
		if got := string(Join(pieces)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
	if _, err := EditHeader([]byte(stored), nil, nil, []Field{{"X", "a\nb"}}); !errors.Is(err, ErrHeaderInjection) {
		t.Errorf("injection: %v", err)
	}
	same, err := EditHeader([]byte(stored), nil, nil, nil)
	if err != nil || string(Join(same)) != stored {
		t.Errorf("nothing to do: %q, %v", Join(same), err)
	}
}

func TestSetDelHeader(t *testing.T) {
	pieces, err := SetHeader([]byte(stored), Field{"bCC", "new"})
	if got := string(Join(pieces)); err != nil || got != "A: 1\r\nbCC: new\r\nB: 2\r\n\r\nbody\r\n" {
		t.Errorf("%q, %v", got, err)
	}
	pieces, err = SetHeader([]byte(stored), Field{"New", "v"})
	if got := string(Join(pieces)); err != nil || got != strings.Replace(stored, "\r\n\r\n", "\r\nNew: v\r\n\r\n", 1) {
		t.Errorf("%q, %v", got, err)
	}
	pieces, err = DelHeader([]byte(stored), "a", "BCC")
	if got := string(Join(pieces)); err != nil || got != "B: 2\r\n\r\nbody\r\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestNormalizeCRLF(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a": "a", "a\nb": "a\r\nb", "a\rb": "a\r\nb", "a\r\nb": "a\r\nb", "\n\r": "\r\n\r\n", "\r\r\n": "\r\n\r\n",
		"\r\n.\n": "\r\n.\r\n", "a\r\n\rb\n\nc": "a\r\n\r\nb\r\n\r\nc", "\r": "\r\n",
	} {
		if got := string(NormalizeCRLF([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	clean := []byte("a\r\nb\r\n")
	if got := NormalizeCRLF(clean); &got[0] != &clean[0] {
		t.Error("clean text was copied")
	}
}

func FuzzScanHeader(f *testing.F) {
	for _, s := range []string{stored, "A: 1\n b\n\nbody", "no colon\r\n\r\n", "\n", "A\x00: b\r\r\n\r\n", " x\nBcc: 1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		fields, body, err := ScanHeader(raw)
		if err != nil {
			return
		}
		at := 0
		for _, f := range fields {
			if f.Start != at || f.End <= f.Start {
				t.Fatalf("fields do not follow one another in %q", raw)
			}
			at = f.End
		}
		if body < at || body-at > 2 {
			t.Fatalf("body at %d, header to %d in %q", body, at, raw)
		}
		pieces, err := EditHeader(raw, func(f RawField) bool { return f.Is("Bcc") }, []Field{{"P", "1"}}, []Field{{"Z", "\u00e4"}})
		if err != nil {
			t.Fatal(err)
		}
		out := Join(pieces)
		again, body2, err := ScanHeader(out)
		if err != nil || !bytes.Equal(out[body2:], raw[body:]) {
			t.Fatalf("editing changed the body of %q: %q", raw, out)
		}
		if _, ok := again.Find("Bcc"); ok || !again[0].Is("P") {
			t.Fatalf("edit of %q: %q", raw, out)
		}
		if n := NormalizeCRLF(raw); !cleanCRLF(string(n)) {
			t.Fatalf("%q", n)
		}
	})
}
