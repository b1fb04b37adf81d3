package linktoken

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func testKey(t testing.TB, secret string) *Key {
	t.Helper()
	k, err := NewKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var examples = []Token{
	{Kind: Click, Message: 1 << 60, Domain: 1<<60 - 5, Recipient: "ann@example.com", URL: "https://www.example.com/?a=1&b=2#c"},
	{Kind: Click, Message: 7, Recipient: "ann@example.com", URL: "http://example.com"},
	{Kind: Click, Message: 7, Recipient: "jürgen@bücher.example", URL: "custom+scheme:x"},
	{Kind: Open, Message: -1, Recipient: "a@b.c"},
	{Kind: Unsubscribe, Message: 42, Domain: -1, Recipient: "ann@example.com"},
	TagToken(42, 7, "ann@example.com", []string{"news", "a,b; c"}),
	{Kind: UnsubscribeTag, Message: 42, Recipient: ""},
}

func TestSealOpen(t *testing.T) {
	k, other := testKey(t, "one secret"), testKey(t, "another")
	for _, want := range examples {
		s := k.Seal(want)
		if got, ok := k.Open(s); !ok || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, ok)
		}
		if s != k.Seal(want) {
			t.Errorf("%+v: a second token differs from the first", want)
		}
		if _, ok := other.Open(s); ok {
			t.Errorf("%+v: opens with another key", want)
		}
		if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			t.Errorf("%q is no path segment", s)
		}
		if want.Recipient != "" && strings.Contains(s, want.Recipient) {
			t.Errorf("%q shows the recipient", s)
		}
	}
}

func TestAlteredTokens(t *testing.T) {
	k := testKey(t, "secret")
	s := k.Seal(examples[0])
	for i := range s {
		for _, c := range []byte{'A', 'B', '_'} {
			b := []byte(s)
			if b[i] == c {
				continue
			}
			b[i] = c
			if got, ok := k.Open(string(b)); ok {
				t.Fatalf("altered at %d: opens as %+v", i, got)
			}
		}
		if _, ok := k.Open(s[:i]); ok {
			t.Fatalf("the first %d characters open", i)
		}
	}
	if _, ok := k.Open(s + "AAAA"); ok {
		t.Error("opens with more behind it")
	}
	if _, ok := k.Open(strings.Repeat("A", 1<<20)); ok {
		t.Error("a megabyte opens")
	}
}

func FuzzOpen(f *testing.F) {
	k := testKey(f, "secret")
	for _, t := range examples {
		f.Add(k.Seal(t))
	}
	f.Add("")
	f.Add("====")
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := k.Open(s); ok && k.Seal(got) != s {
			t.Fatalf("%q opens as %+v, which is %q", s, got, k.Seal(got))
		}
	})
}

func FuzzSeal(f *testing.F) {
	k := testKey(f, "secret")
	f.Add(byte(1), int64(5), int64(6), "a@b.c", "https://x")
	f.Fuzz(func(t *testing.T, kind byte, m, domain int64, to, url string) {
		if len(to) > 320 || len(url) > MaxURL {
			return
		}
		want := Token{Kind: Kind(kind), Message: m, Domain: domain, Recipient: to, URL: url}
		if got, ok := k.Open(k.Seal(want)); !ok || got != want {
			t.Fatalf("%+v came back as %+v", want, got)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	k := testKey(b, "secret")
	for b.Loop() {
		k.Seal(examples[0])
	}
}

func BenchmarkOpen(b *testing.B) {
	k := testKey(b, "secret")
	s := k.Seal(examples[0])
	for b.Loop() {
		if _, ok := k.Open(s); !ok {
			b.Fatal("does not open")
		}
	}
}

func TestOpenKeepsItsInput(t *testing.T) {
	k := testKey(t, "secret")
	s := k.Seal(examples[0])
	before := bytes.Clone([]byte(s))
	k.Open(s)
	if s != string(before) {
		t.Error("the token was changed")
	}
}

func TestTags(t *testing.T) {
	for _, tags := range [][]string{nil, {"news"}, {"news", "a,b; c", "d"}} {
		if got := TagToken(1, 2, "a@b.c", tags).Tags(); !slices.Equal(got, tags) {
			t.Errorf("%q came back as %q", tags, got)
		}
	}
	if got := TagToken(1, 2, "a@b.c", []string{strings.Repeat("a", MaxURL+1)}); got.URL != "" {
		t.Error("a token for more than one carries")
	}
	if got := (Token{Kind: Click, URL: "https://x"}).Tags(); got != nil {
		t.Errorf("a click has tags %q", got)
	}
}
