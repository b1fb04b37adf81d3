package rsasign

import (
	"encoding/binary"
	"math/bits"
)

// Numbers here are little-endian slices of 64-bit words. Lengths are public, values
// are not: no function branches on a value or uses one as an index.

// digitBits and digitMask belong to the kernel's digits.
const (
	digitBits = 52
	digitMask = 1<<digitBits - 1
)

// setBytes sets x to a big-endian number of 8*len(x) octets.
func setBytes(x []uint64, b []byte) {
	for i := range x {
		x[i] = binary.BigEndian.Uint64(b[8*(len(x)-1-i):])
	}
}

// putBytes writes x as a big-endian number of 8*len(x) octets.
func putBytes(b []byte, x []uint64) {
	for i := range x {
		binary.BigEndian.PutUint64(b[8*(len(x)-1-i):], x[i])
	}
}

// bitsAt returns n < 64 bits of x from bit i; x goes on with zeros.
func bitsAt(x []uint64, i, n int) uint64 {
	w, s := i/64, uint(i%64)
	var v uint64
	if w < len(x) {
		v = x[w] >> s
	}
	if w+1 < len(x) {
		v |= x[w+1] << (64 - s)
	}
	return v & (1<<n - 1)
}

// toDigits fills d with the digits of x from bit from on.
func toDigits(d, x []uint64, from int) {
	for i := range d {
		d[i] = bitsAt(x, from+digitBits*i, digitBits)
	}
}

// fromDigits sets x to the number with digits d, each below 2^52. What does not fit
// is dropped.
func fromDigits(x, d []uint64) {
	clear(x)
	for i, v := range d {
		w, s := digitBits*i/64, uint(digitBits*i%64)
		if w < len(x) {
			x[w] |= v << s
		}
		if w+1 < len(x) {
			x[w+1] |= v >> (64 - s)
		}
	}
}

// addDigits adds the digits of y to those of x.
func addDigits(x, y []uint64) {
	var carry uint64
	for i := range x {
		t := x[i] + y[i] + carry
		x[i], carry = t&digitMask, t>>digitBits
	}
}

// add adds y to x and returns the carry.
func add(x, y []uint64) uint64 {
	var c uint64
	for i := range x {
		x[i], c = bits.Add64(x[i], y[i], c)
	}
	return c
}

// sub subtracts y from x and returns the borrow.
func sub(x, y []uint64) uint64 {
	var b uint64
	for i := range x {
		x[i], b = bits.Sub64(x[i], y[i], b)
	}
	return b
}

// reduceOnce sets x, with top above it and less than 2n, to itself modulo n.
func reduceOnce(x []uint64, top uint64, n []uint64) {
	_, borrow := bits.Sub64(top, 0, sub(x, n))
	mask := -borrow // all ones if x was less than n: give n back
	var c uint64
	for i := range x {
		x[i], c = bits.Add64(x[i], n[i]&mask, c)
	}
}

// double sets x to x*2^times modulo n, where x is less than n.
func double(x, n []uint64, times int) {
	for range times {
		reduceOnce(x, add(x, x), n)
	}
}

// mulAddWord adds y*m to x and returns what is carried out of len(y) words.
func mulAddWord(x, y []uint64, m uint64) uint64 {
	var carry uint64
	x = x[:len(y)]
	for i, v := range y {
		hi, lo := bits.Mul64(v, m)
		lo, c := bits.Add64(lo, carry, 0)
		hi += c
		x[i], c = bits.Add64(x[i], lo, 0)
		carry = hi + c
	}
	return carry
}

// mulAdd adds y*z to x, which is as long as both together and has room for the sum.
func mulAdd(x, y, z []uint64) {
	for i, m := range z {
		c := mulAddWord(x[i:], y, m)
		for j := i + len(y); j < len(x); j++ {
			x[j], c = bits.Add64(x[j], c, 0)
		}
	}
}

// redc sets dst to x/2^(64*len(x)) modulo n (Montgomery reduction). x is one word
// longer than n; inverse is -1/n modulo 2^64.
func redc(dst, x, n []uint64, inverse uint64) {
	var buf [2*publicWords + 1]uint64
	acc := buf[:len(x)+len(n)]
	copy(acc, x)
	k := len(n)
	for i := range x {
		c := mulAddWord(acc[i:], n, acc[i]*inverse)
		acc[i+k], c = bits.Add64(acc[i+k], c, 0)
		if i+1 < len(x) {
			acc[i+k+1] += c // a carry at most so far: it ends here
		}
	}
	copy(dst, acc[len(x):])
	reduceOnce(dst, 0, n) // the sum is at most n*2^(64*len(x)) + x
}
