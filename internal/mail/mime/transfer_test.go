package mime

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// slowTexture says the same as look, one octet after the other.
func slowTexture(s string) texture {
	t := texture{ascii: true, fit: true, clean: true}
	start := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80:
			t.ascii = false
		case c == '\r':
			t.clean = t.clean && i+1 < len(s) && s[i+1] == '\n'
		case c == '\n':
			t.clean = t.clean && i > 0 && s[i-1] == '\r'
			t.fit = t.fit && i-start <= maxLine
			start = i + 1
		}
	}
	t.fit = t.fit && len(s)-start <= maxLine
	return t
}

func checkTexture(t *testing.T, s string) {
	t.Helper()
	if got, want := look(s), slowTexture(s); got != want {
		t.Fatalf("%q: %+v, want %+v", s, got, want)
	}
	if EightBit([]byte(s)) == slowTexture(s).ascii {
		t.Fatalf("%q: EightBit", s)
	}
	if clean := string(NormalizeCRLF([]byte(s))); !slowTexture(clean).clean {
		t.Fatalf("%q became %q", s, clean)
	}
}

func TestTextureOfRandomTexts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"\r\n", "\r\n", "\r\n", "\r", "\n", "a", strings.Repeat("b", 31), strings.Repeat("c", maxLine), strings.Repeat("d", maxLine-1), "\x80", "\x7f", "\x00"}
	for range 20000 {
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		checkTexture(t, b.String())
	}
}

// A text that is copied whole has to be what the way line by line makes of it.
func TestCleanTextIsCopied(t *testing.T) {
	for _, s := range []string{"", "a", "a\r\nb\r\n", "\r\n\r\n", "a\nb\r\n", "a\rb"} {
		p := textPart("text/plain", s)
		if p.enc != enc7bit {
			t.Fatalf("%q is %s", s, p.enc)
		}
		got := p.append(nil, "")
		_, body, _ := bytes.Cut(got, []byte("\r\n\r\n"))
		if want := appendCRLF(nil, s); !bytes.Equal(body, want) {
			t.Errorf("%q: %q, want %q", s, body, want)
		}
	}
}

func FuzzTexture(f *testing.F) {
	f.Add("")
	f.Add("a\r\nb\rc\n")
	f.Add(strings.Repeat("x", 40) + "\xff" + strings.Repeat("y", maxLine) + "\n")
	f.Fuzz(func(t *testing.T, s string) { checkTexture(t, s) })
}
