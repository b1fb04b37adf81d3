package secret

import (
	"bytes"
	"errors"
	"testing"
)

func TestBox(t *testing.T) {
	b, err := New(bytes.Repeat([]byte{7}, Size))
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("key"), 1000)} {
		s := b.Seal(plain, "row 1")
		got, err := b.Open(s, "row 1")
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("open: %q, %v; want %q", got, err, plain)
		}
		if bytes.Equal(s, b.Seal(plain, "row 1")) {
			t.Error("two seals of one value are equal: the nonce repeats")
		}
	}
}

func TestBoxRefuses(t *testing.T) {
	b, _ := New(bytes.Repeat([]byte{7}, Size))
	other, _ := New(bytes.Repeat([]byte{8}, Size))
	s := b.Seal([]byte("secret"), "row 1")
	if _, err := b.Open(s, "row 2"); !errors.Is(err, ErrOpen) {
		t.Errorf("other context: %v", err)
	}
	if _, err := other.Open(s, "row 1"); !errors.Is(err, ErrOpen) {
		t.Errorf("other secret: %v", err)
	}
	for i := range s {
		bad := bytes.Clone(s)
		bad[i] ^= 1
		if _, err := b.Open(bad, "row 1"); !errors.Is(err, ErrOpen) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := b.Open(s[:i], "row 1"); !errors.Is(err, ErrOpen) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := New(make([]byte, n)); err == nil {
			t.Errorf("master secret of %d bytes taken", n)
		}
	}
}
