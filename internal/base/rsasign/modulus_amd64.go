package rsasign

import "math/bits"

const (
	primeWords  = 1024 / 64
	publicWords = 2048 / 64

	primeLanes  = 24 // 3 registers
	publicLanes = 48 // 6 registers
	formTables  = 5  // tables of a modulus, each one number long

	// The kernel divides a product by two to the power of these: 21 and 41 digits.
	// Factors and results stay 54 bits longer than the modulus; see below.
	primeShift  = 21 * digitBits
	publicShift = 41 * digitBits

	// Reductions of words divide by these: one word more than the modulus has,
	// because what the kernel returns is longer than the modulus.
	primeRedc  = 64 * (primeWords + 1)
	publicRedc = 64 * (publicWords + 1)
)

// Bounds. Let n be the modulus, of w bits (1024 or 2048), D the kernel's digits (21
// or 41), B = 2^52, and let the factors a and b be below 2^(w+54). Then so is the
// result, and nothing is lost on the way:
//
//   - A step on two digits takes x to floor(x/B^2) + q*F + a*c, where q < B^2 is the
//     part dropped, F <= n the form for two digits (see form) and c < B^2 the next
//     two digits of b. So x < B^2*(n+a)*(1+1/B) < 2^(w+159): 1183 or 2207 bits of
//     the 1248 or 2496 that the registers hold.
//   - The last such step takes only the top digit t of b, t < 2^(w+54)/B^(D-1), which
//     is 2^38 or 2^22: x < (n+a)*(1+1/B) + (B^2-1)*n + a*t.
//   - The last step drops one digit: x/B + (B-1)*n < (2B-1)*n + a*(t+2)/B + 2n/B. The
//     first term is below 2^(w+53); a*(t+2)/B is below 2^(w+41) or 2^(w+25).
//   - In reduce, t is 0 and a below 2^1040, so both results are below (2B-1)*n +
//     2^990 and their sum is below 2B*2n = n*2^54. All other factors are results of
//     the kernel or below 4n.
//   - A lane takes 4 products below B per digit of b and moves down as digits are
//     dropped, so it collects less than 4*D*B, and a carry below 2^9: 164*B < 2^60.
//     No lane overflows, and the first carry of the end leaves each below B + 2^8,
//     which is what one more bit of carry needs.
//   - The result has 1078 or 2102 bits, 21 or 41 digits, which is what the kernel
//     reads of b; redc reads 1088 or 2112 bits.
//
// TestBounds computes these bounds step by step.

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
