package report

import (
	"crypto/hmac"
	"crypto/sha256"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

var testSecret = NewSecret([]byte("a secret of thirty-two octets...."))

func TestReturnPath(t *testing.T) {
	for _, id := range []ID{
		{1, 0}, {0, 0}, {1, 1}, {1, 2}, {2, 1}, {math.MaxInt64, 1}, {math.MinInt64, math.MaxInt64}, {-1, -2},
		{1811111111111111 << 10, 1811111111111111<<10 + 77}, {1811111111111111 << 10, 1811111111311111 << 10},
	} {
		s := ReturnPath(&testSecret, id, "mail.example.com")
		local, domain, _ := strings.Cut(s, "@")
		limit := 49
		if d := id.Delivery - id.Message; id.Delivery == 0 || d > 0 && d < (72*3600*1e6)<<10 {
			limit = 64 - len("prvs=1234abcdef=")
		}
		if len(local) > limit || domain != "mail.example.com" || s != strings.ToLower(s) || !strings.HasPrefix(s, "bounce+") {
			t.Errorf("%+v: %q, local part of %d", id, s, len(local))
		}
		for _, form := range []string{
			s, "<" + s + ">", strings.ToUpper(s), "prvs=1234abcdef=" + s, "prvs=" + local + "=1234abcdef@" + domain, "btv1==1234567890==" + s,
			"SRS0=HHHH=TT=" + domain + "=" + local + "@forwarder.example", "SRS1=HHHH=first.example==HHHH=TT=" + domain + "=" + local + "@second.example",
			"srs0+HHHH=TT=" + domain + "=" + local + "@forwarder.example", "list-bounces+" + local + "=" + domain + "@lists.example", "msprvs1=18abc=" + s,
		} {
			if got, ok := ReadReturnPath(&testSecret, form); !ok || got != id {
				t.Errorf("%s: %+v %t, want %+v", form, got, ok, id)
			}
		}
	}
}

func TestReturnPathForged(t *testing.T) {
	good := ReturnPath(&testSecret, ID{1811111111111111 << 10, 1811111111111111<<10 + 3}, "example.com")
	at := strings.IndexByte(good, '@')
	for i := len("bounce+"); i < at; i++ {
		b := []byte(good)
		if b[i]++; b[i] == ':' {
			b[i] = 'a'
		}
		if id, ok := ReadReturnPath(&testSecret, string(b)); ok {
			t.Errorf("changed at %d: %s is read as %+v", i, b, id)
		}
	}
	other := NewSecret([]byte("another"))
	for _, s := range []string{
		"", "@", "bounce+@example.com", "bounce+0123456789abc@example.com", "xbounce+" + good[7:], good[:at-1] + "@example.com", good[:at] + "0@example.com",
		good[:at] + good[7:], ReturnPath(&other, ID{5, 6}, "example.com"), strings.Repeat("bounce+", 1000), strings.Repeat("0", 2000) + good, "bounce" + good[7:],
	} {
		if id, ok := ReadReturnPath(&testSecret, s); ok {
			t.Errorf("%s is read as %+v", s, id)
		}
	}
	if !HasReturnPath(ReturnPath(&other, ID{5, 6}, "example.com")) || HasReturnPath("bounce+0123456789abc@example.com") || HasReturnPath("jane@example.com") {
		t.Error("the look of a return path")
	}
}

// TestSum: the HMAC without allocations is the standard one.
func TestSum(t *testing.T) {
	for n := range 65 {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(rand.Int())
		}
		mac := hmac.New(sha256.New, testSecret[:])
		mac.Write(data)
		if testSecret.sum(data) != [sha256.Size]byte(mac.Sum(nil)) {
			t.Errorf("the sum of %d octets", n)
		}
	}
}

func TestReturnPathAllocations(t *testing.T) {
	id := ID{1811111111111111 << 10, 1811111111111111<<10 + 7}
	s := ""
	if n := testing.AllocsPerRun(100, func() { s = ReturnPath(&testSecret, id, "mail.example.com") }); n > 1 {
		t.Errorf("%v allocations to write", n)
	}
	if n := testing.AllocsPerRun(100, func() { ReadReturnPath(&testSecret, s) }); n > 0 {
		t.Errorf("%v allocations to read", n)
	}
}

func FuzzReturnPath(f *testing.F) {
	f.Add(int64(1), int64(2), "bounce+0@x")
	f.Add(int64(1811111111111111<<10), int64(1811111111111111<<10+9), "SRS0=x=y=example.com=bounce+000000000000@z")
	f.Add(int64(-1), int64(0), "<prvs=123=bounce+zz=bounce+vv@example.com>")
	f.Fuzz(func(t *testing.T, message, delivery int64, address string) {
		if id, ok := ReadReturnPath(&testSecret, address); ok {
			t.Fatalf("forged: %q is %+v", address, id)
		}
		HasReturnPath(address)
		id := ID{message, delivery}
		s := ReturnPath(&testSecret, id, "example.com")
		if got, ok := ReadReturnPath(&testSecret, s); !ok || got != id || !HasReturnPath(s) {
			t.Fatalf("%+v: %q is read as %+v, %t", id, s, got, ok)
		}
	})
}

func BenchmarkReturnPath(b *testing.B) {
	b.ReportAllocs()
	id := ID{1811111111111111 << 10, 1811111111111111<<10 + 7}
	for b.Loop() {
		ReturnPath(&testSecret, id, "mail.example.com")
	}
}

func BenchmarkReadReturnPath(b *testing.B) {
	b.ReportAllocs()
	s := ReturnPath(&testSecret, ID{1811111111111111 << 10, 1811111111111111<<10 + 7}, "mail.example.com")
	for b.Loop() {
		if _, ok := ReadReturnPath(&testSecret, s); !ok {
			b.Fatal("not read")
		}
	}
}
