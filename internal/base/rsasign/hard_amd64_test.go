package rsasign

import (
	"math/big"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// steps is how often the kernel's model saw what random factors show once in 2^52
// digits or never.
type steps struct {
	greatest uint64 // lane
	chain    int    // digits in a row through which the carry of the end ran
}

// multiplyModel is mulPair or mulPublic for one modulus as gen.go describes it, lane
// by lane. It fails if a lane is lost.
func multiplyModel(t testing.TB, a, b, forms []uint64, digits int, seen *steps) []uint64 {
	n := len(a)
	x := make([]uint64, n+3)
	multiply := func(y []uint64, d uint64, up int) {
		for i, v := range y {
			hi, lo := bits.Mul64(v, d)
			x[i+up] += lo & digitMask
			x[i+up+1] += hi<<12 | lo>>digitBits
		}
		for _, v := range x {
			seen.greatest = max(seen.greatest, v)
		}
	}
	quotient := func(i int) uint64 {
		x[i+1] += x[i] >> digitBits
		return x[i] & digitMask
	}
	drop := func(k int) { clear(x[copy(x, x[k:]):]) }
	form2, form1 := forms[:n], forms[3*n:4*n]
	multiply(a, b[0], 0)
	multiply(a, b[1], 1)
	for i := 2; i < digits; i += 2 {
		m0, m1 := quotient(0), quotient(1)
		drop(2)
		multiply(form2, m0, 0)
		multiply(form2, m1, 1)
		multiply(a, b[i], 0)
		if i+1 < digits {
			multiply(a, b[i+1], 1)
		}
		if x[n]|x[n+1]|x[n+2] != 0 {
			t.Fatal("the accumulator is longer than its registers")
		}
	}
	m := quotient(0)
	drop(1)
	multiply(form1, m, 0)
	return carryModel(x[:n], seen)
}

// carryModel brings lanes down to 52 bits: once in parallel, then one by one.
func carryModel(x []uint64, seen *steps) []uint64 {
	r := make([]uint64, len(x))
	var below, c uint64
	chain := 0
	for i, v := range x {
		d := v&digitMask + below
		below = v >> digitBits
		if d == digitMask && c == 1 {
			chain++
			seen.chain = max(seen.chain, chain)
		} else {
			chain = 0
		}
		d += c
		r[i], c = d&digitMask, d>>digitBits
	}
	return r
}

// shape is what differs between the two kernels.
type shape struct {
	words, lanes, digits int
}

var (
	primeShape  = shape{primeWords, primeLanes, 21}
	publicShape = shape{publicWords, publicLanes, 41}
)

// limit is how many bits factors and results have at most.
func (s shape) limit() int { return 64*s.words + 54 }

// shift is the power of two by which the kernel divides.
func (s shape) shift() uint { return uint(s.digits * digitBits) }

// operands makes factors for one modulus that reach what random ones do not.
type operands struct {
	*rand.Rand
	shape
	n *big.Int
	// b and 2^shift/b modulo n, to choose the result
	factor, inverse *big.Int
}

func newOperands(r *rand.Rand, s shape, n *big.Int) *operands {
	o := &operands{Rand: r, shape: s, n: n}
	for o.inverse == nil {
		o.factor = runs(r, s.limit())
		o.inverse = new(big.Int).ModInverse(o.factor, n)
	}
	o.inverse.Lsh(o.inverse, s.shift())
	o.inverse.Mod(o.inverse, n)
	return o
}

func shifted(x int64, by uint) *big.Int { return new(big.Int).Lsh(big.NewInt(x), by) }

// runs makes a number of long runs of ones and zeros.
func runs(r *rand.Rand, length int) *big.Int {
	x := new(big.Int)
	for bit := r.UintN(2); length > 0; bit ^= 1 {
		n := min(1+r.IntN(1+r.IntN(300)), length)
		x.Lsh(x, uint(n))
		if bit == 1 {
			x.Or(x, new(big.Int).Sub(shifted(1, uint(n)), big.NewInt(1)))
		}
		length -= n
	}
	return x
}

// digitwise makes a number of digits at their limits.
func (o *operands) digitwise() *big.Int {
	d := [...]uint64{0, 1, digitMask, digitMask - 1, 1 << 51, 1<<51 - 1, o.Uint64() & digitMask}
	x := make([]uint64, o.digits)
	for i := range x {
		x[i] = d[o.IntN(len(d))]
	}
	x[o.digits-1] >>= uint(o.digits*digitBits - o.limit())
	return ofDigits(x)
}

// chain makes factors whose product, a power of two and a little, comes of a carry
// through many digits: b is one digit only, the highest, and a the power divided by it.
func (o *operands) chain() (a, b *big.Int) {
	top := o.limit() - digitBits*(o.digits-1) // bits of the highest digit
	t := o.Uint64N(1<<(top-1)) | 1<<(top-1)
	b = new(big.Int).SetUint64(t)
	a = shifted(1, uint(digitBits*(o.digits-o.IntN(3))))
	a.Div(a, b)
	a.Add(a, big.NewInt(1))
	for a.BitLen() > o.limit() {
		a.Rsh(a, digitBits).Add(a, big.NewInt(1))
	}
	return a, b.Lsh(b, uint(digitBits*(o.digits-1)))
}

// next makes a pair of factors.
func (o *operands) next() (a, b *big.Int) {
	switch o.IntN(5) {
	case 0:
		return runs(o.Rand, o.limit()), runs(o.Rand, o.limit())
	case 1:
		return o.digitwise(), o.digitwise()
	case 2:
		return o.chain()
	case 3: // a result of runs, but for a multiple of n
		target := runs(o.Rand, 64*o.words)
		return target.Mod(target.Mul(target, o.inverse), o.n), o.factor
	}
	return o.multiple(), o.multiple()
}

// multiple makes a number near a multiple of n.
func (o *operands) multiple() *big.Int {
	x := new(big.Int).SetUint64(o.Uint64() >> (11 + o.IntN(53)))
	x.Mul(x, o.n)
	return x.Add(x, big.NewInt(int64(o.IntN(5)))) // below 2^53*n + 5
}

// hardModuli are near the limits of their length, of runs, and such that -1/n is 1
// or all ones in its lowest digits.
func hardModuli(r *rand.Rand, s shape) []*big.Int {
	w := uint(64 * s.words)
	one := big.NewInt(1)
	all := []*big.Int{
		new(big.Int).Sub(shifted(1, w), one),
		new(big.Int).Sub(shifted(1, w), big.NewInt(179)),
		new(big.Int).Add(shifted(1, w-1), one),
		new(big.Int).Add(shifted(1, w-1), big.NewInt(1155)),
		new(big.Int).Sub(shifted(1, w), new(big.Int).Add(shifted(1, w/2), one)),
		new(big.Int).Add(shifted(1, w-1), new(big.Int).Add(shifted(1, w/2), one)),
		new(big.Int).Sub(shifted(1, w), new(big.Int).Sub(shifted(3, 2*digitBits), one)),
		new(big.Int).Add(shifted(1, w-1), new(big.Int).Sub(shifted(5, 2*digitBits), one)),
	}
	for range 6 {
		n := runs(r, 64*s.words)
		all = append(all, n.SetBit(n.SetBit(n, 0, 1), 64*s.words-1, 1))
	}
	return all
}

func wordsOf(n *big.Int, words int) []uint64 {
	x := make([]uint64, words)
	setBig(x, n)
	return x
}

// checkHard compares the digits got with the model and the model with math/big.
func checkHard(t *testing.T, o *operands, got, a, b, forms []uint64, seen *steps) {
	t.Helper()
	want := multiplyModel(t, a, b, forms, o.digits, seen)
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("n=%x a=%x b=%x\n got=%x\nwant=%x", o.n, a, b, got, want)
		}
	}
	checkProduct(t, got, ofDigits(a), ofDigits(b), o.n, int(o.shift()))
}

// checkSeen demands that the operands have reached what they are made for.
func checkSeen(t *testing.T, s shape, seen steps) {
	t.Helper()
	if seen.chain < s.digits-4 {
		t.Errorf("longest carry of %d digits of %d", seen.chain, s.digits)
	}
	if seen.greatest >= 1<<60 || seen.greatest < 1<<55 {
		t.Errorf("greatest lane %#x", seen.greatest)
	}
}

func TestHardMulPair(t *testing.T) {
	needIFMA(t)
	r := rand.New(rand.NewPCG(1, 1))
	moduli := hardModuli(r, primeShape)
	var seen [2]steps
	for i, p := range moduli {
		q := moduli[(i+3)%len(moduli)]
		k := pairTables(modulus{p, wordsOf(p, primeWords)}, modulus{q, wordsOf(q, primeWords)})
		op, oq := newOperands(r, primeShape, p), newOperands(r, primeShape, q)
		half := len(k.forms) / 2
		for range rounds(300) {
			var a, b, d pair
			for _, x := range []struct {
				o    *operands
				a, b []uint64
			}{{op, a.p(), b.p()}, {oq, a.q(), b.q()}} {
				fa, fb := x.o.next()
				digitsOf(x.a, fa)
				digitsOf(x.b, fb)
			}
			mulPair(&d[0], &a[0], &b[0], &k.forms[0])
			checkHard(t, op, d.p(), a.p(), b.p(), k.forms[:half], &seen[0])
			checkHard(t, oq, d.q(), a.q(), b.q(), k.forms[half:], &seen[1])
		}
	}
	checkSeen(t, primeShape, seen[0])
	checkSeen(t, primeShape, seen[1])
}

func TestHardMulPublic(t *testing.T) {
	needIFMA(t)
	r := rand.New(rand.NewPCG(2, 2))
	var seen steps
	for _, n := range hardModuli(r, publicShape) {
		k := new(public)
		setForms(k.forms[:], wordsOf(n, publicWords))
		o := newOperands(r, publicShape, n)
		for range rounds(150) {
			var a, b, d [publicLanes]uint64
			fa, fb := o.next()
			digitsOf(a[:], fa)
			digitsOf(b[:], fb)
			mulPublic(&d[0], &a[0], &b[0], &k.forms[0])
			checkHard(t, o, d[:], a[:], b[:], k.forms[:], &seen)
		}
	}
	checkSeen(t, publicShape, seen)
}

// TestHardWindow: the multiplications of a whole step, each by the model.
func TestHardWindow(t *testing.T) {
	needIFMA(t)
	r := rand.New(rand.NewPCG(3, 3))
	moduli := hardModuli(r, primeShape)
	w, seen := new(scratch), new(steps)
	for i, p := range moduli {
		q := moduli[(i+5)%len(moduli)]
		k := pairTables(modulus{p, wordsOf(p, primeWords)}, modulus{q, wordsOf(q, primeWords)})
		op, oq := newOperands(r, primeShape, p), newOperands(r, primeShape, q)
		for range rounds(20) {
			ip, iq := r.IntN(len(w.table)), r.IntN(len(w.table))
			a, entry := &w.acc[0], [2][]uint64{w.table[ip].p(), w.table[iq].q()}
			var want pair
			for half, o := range []*operands{op, oq} {
				from, to := half*primeLanes, (half+1)*primeLanes
				fa, fb := o.next()
				digitsOf(a[from:to], fa)
				digitsOf(entry[half], fb)
				forms := k.forms[half*len(k.forms)/2:][:len(k.forms)/2]
				x := a[from:to]
				for range windowBits {
					x = multiplyModel(t, x, x, forms, o.digits, seen)
				}
				copy(want[from:to], multiplyModel(t, x, entry[half], forms, o.digits, seen))
			}
			window(&a[0], &w.table[0][0], &k.forms[0], uint64(ip), uint64(iq))
			if *a != want {
				t.Fatalf("p=%x q=%x\n got=%x\nwant=%x", p, q, *a, want)
			}
		}
	}
}

// TestHardPrivate: messages that are multiples of a modulus or near one, and those
// at the limits, for moduli at theirs.
func TestHardPrivate(t *testing.T) {
	needIFMA(t)
	r := rand.New(rand.NewPCG(4, 4))
	all := append(hardModuli(r, primeShape), hardPrimes()...)
	for i, p := range all {
		for range rounds(2) {
			q := all[r.IntN(len(all))]
			n := new(big.Int).Mul(p, q)
			m := [...]*big.Int{
				new(big.Int), big.NewInt(1), p, q, n, new(big.Int).Sub(n, big.NewInt(1)),
				new(big.Int).Mul(p, runs(r, 1024)), new(big.Int).Mul(q, runs(r, 1024)),
				new(big.Int).Sub(shifted(1, 2048), big.NewInt(1)), runs(r, 2048),
			}
			data := make([]byte, 256+4*128)
			m[r.IntN(len(m))].FillBytes(data[:256])
			for part, x := range []*big.Int{p, q, runs(r, 1024), all[(i+1)%len(all)]} {
				x.FillBytes(data[256+128*part:][:128])
			}
			checkPrivate(t, data)
		}
	}
}

// TestBounds follows the greatest numbers through the kernel's steps, for the
// greatest and the smallest modulus: the proof in modulus_amd64.go with figures.
func TestBounds(t *testing.T) {
	one := big.NewInt(1)
	ones := func(bits int) *big.Int { return new(big.Int).Sub(shifted(1, uint(bits)), one) }
	for _, s := range []shape{primeShape, publicShape} {
		w := 64 * s.words
		for _, n := range []*big.Int{ones(w), new(big.Int).Add(shifted(1, uint(w-1)), one)} {
			limit := new(big.Int).Sub(new(big.Int).Lsh(n, 54), one)
			if got := s.bound(t, n, limit, limit); got.Cmp(limit) > 0 {
				t.Errorf("%d bits: a result of %x for factors of %x", w, got, limit)
			}
			message := s.bound(t, n, ones(lowBits), n)
			if s == primeShape && message.Lsh(message, 1).Cmp(limit) > 0 {
				t.Errorf("sum of two parts of a message: %x", message)
			}
		}
		if products := 4 * s.digits; products >= 1<<8-1 {
			t.Errorf("%d products in a lane of 60 bits", products)
		}
		if s.limit() > s.digits*digitBits || s.limit() > 64*(s.words+1) {
			t.Errorf("%d bits are more than the kernel or redc reads", s.limit())
		}
	}
}

// bound is a*b/2^shift modulo n at its greatest: all digits of b but the highest and
// all quotient digits full. No step may exceed the registers.
func (s shape) bound(t *testing.T, n, a, b *big.Int) *big.Int {
	full := func(x *big.Int, digits int) *big.Int {
		return new(big.Int).Mul(x, new(big.Int).Sub(shifted(1, uint(digits*digitBits)), big.NewInt(1)))
	}
	x := full(a, 2)
	for i := 2; i < s.digits; i += 2 {
		x.Rsh(x, 2*digitBits)
		x.Add(x, full(n, 2))
		if i+1 < s.digits {
			x.Add(x, full(a, 2))
		} else {
			x.Add(x, new(big.Int).Mul(a, new(big.Int).Rsh(b, uint((s.digits-1)*digitBits))))
		}
		if x.BitLen() > s.lanes*digitBits {
			t.Errorf("%d bits in the registers", x.BitLen())
		}
	}
	return x.Add(x.Rsh(x, digitBits), full(n, 1))
}
