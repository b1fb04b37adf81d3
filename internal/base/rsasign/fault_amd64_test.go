package rsasign

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"testing"
)

// TestFaults damages what was computed in advance, word by word. The signature must
// be right all the same, and the damage must be noticed where it matters.
func TestFaults(t *testing.T) {
	priv := testKeys(t)[0]
	k := with(t, priv, IFMA)
	f := k.fast.(*ifma)
	s, c := f.private, f.public
	parts := map[string][]uint64{
		"forms": s.forms[:], "one": s.one[:], "toLow": s.toLow[:], "toHigh": s.toHigh[:], "out": s.out[:],
		"garner": s.garner.p(), "p": s.p[:], "q": s.q[:], "twoP": s.twoP[:],
		"public forms": c.forms[:], "public in": c.in[:], "public out": c.out[:], "n": c.n[:],
	}
	digest := sha256.Sum256([]byte("fault"))
	want := wantSignature(t, priv, digest[:])
	sign := func() uint64 {
		before := k.Faults()
		got, err := k.Sign(nil, digest[:], crypto.SHA256)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("a bad signature left: %x, %v", got, err)
		}
		return k.Faults() - before
	}
	for name, words := range parts {
		for i := 0; i < len(words); i += 1 + i/8 {
			words[i] ^= 1 << 17
			noticed := sign()
			words[i] ^= 1 << 17
			if i == 0 && noticed != 1 && name != "one" {
				t.Errorf("%s: damage not noticed", name)
			}
		}
	}
	for i := 0; i < windowCount; i += 17 {
		for half := range 2 {
			s.exponent[i][half] ^= 1
			if sign() != 1 {
				t.Errorf("exponent %d, %d: damage not noticed", i, half)
			}
			s.exponent[i][half] ^= 1
		}
	}
	for name, word := range map[string]*uint64{"pNeg": &s.pNeg, "qNeg": &s.qNeg, "nNeg": &c.nNeg} {
		*word ^= 1
		if sign() != 1 {
			t.Errorf("%s: damage not noticed", name)
		}
		*word ^= 1
	}
	if sign() != 0 {
		t.Error("fault without damage")
	}
}

// TestWrongHalf: the fault that reveals a prime is a signature right modulo one
// prime only, by arithmetic that is consistent in itself.
func TestWrongHalf(t *testing.T) {
	a, b := testKeys(t)[0], testKeys(t)[1]
	k := with(t, a, IFMA)
	f, other := k.fast.(*ifma), with(t, b, IFMA).fast.(*ifma)
	s, o := f.private, other.private
	// All of q is that of the other key.
	copy(s.forms[len(s.forms)/2:], o.forms[len(o.forms)/2:])
	for _, x := range [][2]*pair{{&s.one, &o.one}, {&s.toLow, &o.toLow}, {&s.toHigh, &o.toHigh}, {&s.out, &o.out}} {
		copy(x[0].q(), x[1].q())
	}
	s.q, s.qNeg = o.q, o.qNeg
	digest := sha256.Sum256([]byte("half"))
	if sig, err := f.Sign(&digest); err == nil {
		t.Fatalf("left the kernel: %x", sig)
	}
	got, err := k.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || k.Faults() != 1 || !bytes.Equal(got, wantSignature(t, a, digest[:])) {
		t.Errorf("%x, %v, %d faults", got, err, k.Faults())
	}
}
