package rsasign

import "math/bits"

const (
	primeWords  = 1024 / 64
	publicWords = 2048 / 64

	primeLanes  = 24 // 3 registers
	publicLanes = 48 // 6 registers
	formTables  = 5  // tables of a modulus, each one number long

	// The kernel divides a product by two to the power of these: 21 and 41 digits.
	primeShift  = 21 * digitBits
	publicShift = 41 * digitBits

	// Reductions of words divide by these: one word more than the modulus has,
	// because what the kernel returns is longer than the modulus.
	primeRedc  = 64 * (primeWords + 1)
	publicRedc = 64 * (publicWords + 1)
)

// A pair is a number modulo p and one modulo q.
type pair [2 * primeLanes]uint64

func (x *pair) p() []uint64 { return x[:primeLanes] }
func (x *pair) q() []uint64 { return x[primeLanes:] }

// negInverse returns -1/n modulo 2^128 for odd n, lowest words first. Each Newton
// step doubles the number of right bits; n is its own inverse modulo 8.
func negInverse(n []uint64) (lo, hi uint64) {
	lo = n[0]
	for range 5 {
		lo *= 2 - n[0]*lo
	}
	// One more step for both words: x*(2 - n*x) modulo 2^128.
	th, tl := bits.Mul64(n[0], lo)
	th += n[1] * lo
	tl, b := bits.Sub64(2, tl, 0)
	th, _ = bits.Sub64(0, th, b)
	ph, pl := bits.Mul64(lo, tl)
	ph += lo * th
	pl, b = bits.Sub64(0, pl, 0)
	ph, _ = bits.Sub64(0, ph, b)
	return pl, ph
}

// form returns (n*f + 1) / 2^(52k) for f = -1/n modulo 2^(52k), k 1 or 2: less than
// or equal to n.
func form(n []uint64, k int) []uint64 {
	lo, hi := negInverse(n)
	f := []uint64{lo & digitMask, 0}
	if k == 2 {
		f = []uint64{lo, hi & (1<<(2*digitBits-64) - 1)}
	}
	x := make([]uint64, len(n)+2)
	x[0] = 1
	mulAdd(x, n, f)
	r := make([]uint64, len(n))
	for i := range r {
		r[i] = bitsAt(x, digitBits*k+64*i, 32) | bitsAt(x, digitBits*k+64*i+32, 32)<<32
	}
	return r
}

// setForms fills the kernel's tables for n: the form for two digits moved up by 0,
// 1 and 2 digits, then that for one digit moved up by 0 and 1.
func setForms(tables, n []uint64) {
	lanes := len(tables) / formTables
	for t, at := range []struct{ k, up int }{{2, 0}, {2, 1}, {2, 2}, {1, 0}, {1, 1}} {
		toDigits(tables[t*lanes+at.up:(t+1)*lanes], form(n, at.k), 0)
	}
}

// power sets d to the digits of 2^e modulo n, where n has its highest bit set and e
// is at least the length of n.
func power(d, n []uint64, e int) {
	x := make([]uint64, len(n))
	sub(x, n) // 2^(64*len(n)) - n
	double(x, n, e-64*len(n))
	toDigits(d, x, 0)
}
