package rsasign

import (
	"crypto/rsa"
	"math/big"
	"math/rand/v2"
	"testing"
)

func valuesOf(dp, dq, qInv *big.Int) *rsa.PrecomputedValues {
	return &rsa.PrecomputedValues{Dp: dp, Dq: dq, Qinv: qInv}
}

func TestDigitsRoundTrip(t *testing.T) {
	r := rand.NewChaCha8([32]byte{6})
	for range 100 {
		x, back := make([]uint64, 17), make([]uint64, 17)
		setBytes(x, randomBytes(r, 8*17))
		d := make([]uint64, primeLanes)
		toDigits(d, x, 0)
		if ofDigits(d).Cmp(number(x)) != 0 {
			t.Fatalf("digits of %x: %x", x, d)
		}
		fromDigits(back, d)
		if number(back).Cmp(number(x)) != 0 {
			t.Fatalf("%x came back as %x", x, back)
		}
	}
}

func TestRedc(t *testing.T) {
	r := rand.NewChaCha8([32]byte{7})
	for _, words := range []int{primeWords, publicWords} {
		for _, n := range moduli(r, words) {
			inverse, _ := negInverse(n.words)
			radix := new(big.Int).Lsh(big.NewInt(1), uint(64*(words+1)))
			xs := []*big.Int{new(big.Int), n.n, new(big.Int).Sub(n.n, big.NewInt(1)), new(big.Int).Sub(radix, big.NewInt(1))}
			for range 50 {
				xs = append(xs, new(big.Int).SetBytes(randomBytes(r, 8*(words+1))))
			}
			for _, x := range xs {
				in, got := make([]uint64, words+1), make([]uint64, words)
				setBig(in, x)
				redc(got, in, n.words, inverse)
				want := new(big.Int).ModInverse(radix, n.n)
				want.Mod(want.Mul(want, x), n.n)
				if number(got).Cmp(want) != 0 {
					t.Fatalf("n=%x x=%x: %x, want %x", n.n, x, number(got), want)
				}
			}
		}
	}
}

func TestForm(t *testing.T) {
	r := rand.NewChaCha8([32]byte{8})
	for _, n := range moduli(r, primeWords) {
		for _, k := range []int{1, 2} {
			radix := new(big.Int).Lsh(big.NewInt(1), uint(k*digitBits))
			f := new(big.Int).ModInverse(n.n, radix)
			f.Sub(radix, f)
			want := f.Add(f.Mul(f, n.n), big.NewInt(1))
			want.Rsh(want, uint(k*digitBits))
			if got := number(form(n.words, k)); got.Cmp(want) != 0 || got.Cmp(n.n) > 0 {
				t.Errorf("n=%x k=%d: %x, want %x", n.n, k, got, want)
			}
		}
	}
}

func TestPower(t *testing.T) {
	r := rand.NewChaCha8([32]byte{9})
	for _, n := range moduli(r, primeWords) {
		for _, e := range []int{1024, 1025, primeShift, 2*primeShift + lowBits} {
			d := make([]uint64, primeLanes)
			power(d, n.words, e)
			want := new(big.Int).Lsh(big.NewInt(1), uint(e))
			if got := ofDigits(d); got.Cmp(want.Mod(want, n.n)) != 0 {
				t.Errorf("2^%d modulo %x: %x", e, n.n, got)
			}
		}
	}
}
