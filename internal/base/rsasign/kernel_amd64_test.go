package rsasign

import (
	"bytes"
	"math/big"
	"math/rand/v2"
	"testing"
)

// modulus is a number with the tables a kernel needs.
type modulus struct {
	n     *big.Int
	words []uint64
}

func number(x []uint64) *big.Int {
	b := make([]byte, 8*len(x))
	putBytes(b, x)
	return new(big.Int).SetBytes(b)
}

func ofDigits(d []uint64) *big.Int {
	n := new(big.Int)
	for i := len(d) - 1; i >= 0; i-- {
		n.Add(n.Lsh(n, digitBits), new(big.Int).SetUint64(d[i]))
	}
	return n
}

func digitsOf(d []uint64, n *big.Int) {
	words := make([]uint64, len(d))
	setBig(words, n)
	toDigits(d, words, 0)
}

// oddModulus makes a number of the given length, odd and with its highest bit set,
// of seed bytes.
func oddModulus(seed []byte, words int) modulus {
	b := make([]byte, 8*words)
	copy(b, seed)
	b[0] |= 0x80
	b[len(b)-1] |= 1
	m := modulus{n: new(big.Int).SetBytes(b), words: make([]uint64, words)}
	setBytes(m.words, b)
	return m
}

// checkProduct compares digits got with a*b/2^shift modulo n and checks their form:
// 52 bits each and, for factors as the kernel itself makes them, no longer than the
// modulus and 54 bits.
func checkProduct(t *testing.T, got []uint64, a, b *big.Int, n *big.Int, shift int) {
	t.Helper()
	for i, d := range got {
		if d > digitMask {
			t.Fatalf("digit %d has more than 52 bits: %#x", i, d)
		}
	}
	g := ofDigits(got)
	r := new(big.Int).Lsh(g, uint(shift))
	diff := r.Sub(r, new(big.Int).Mul(a, b))
	if diff.Mod(diff, n).Sign() != 0 {
		t.Fatalf("n=%x\na=%x\nb=%x\ngot=%x", n, a, b, g)
	}
	limit := n.BitLen() + 54
	if a.BitLen() <= limit && b.BitLen() <= limit && g.BitLen() > limit {
		t.Fatalf("result of %d bits", g.BitLen())
	}
}

// edges are factors at the limits for n: up to all ones in count digits.
func edges(n *big.Int, count int) []*big.Int {
	one := big.NewInt(1)
	ones := func(bits int) *big.Int { return new(big.Int).Sub(new(big.Int).Lsh(one, uint(bits)), one) }
	bits := n.BitLen()
	r := []*big.Int{
		new(big.Int), one, new(big.Int).Sub(n, one), n, new(big.Int).Add(n, one),
		ones(bits), new(big.Int).Sub(ones(bits), one), new(big.Int).Lsh(one, uint(bits)),
		ones(bits + 54), ones(count * digitBits), new(big.Int).Lsh(one, uint(count*digitBits-1)),
		new(big.Int).Lsh(ones(digitBits), digitBits), new(big.Int).Lsh(one, digitBits),
	}
	// Chains of full digits, where a carry runs through all lanes.
	for _, low := range []int64{1, 2, 3} {
		r = append(r, new(big.Int).Sub(ones(bits), big.NewInt(low<<50)))
	}
	return r
}

func needIFMA(t testing.TB) {
	t.Helper()
	if !haveIFMA() {
		t.Skip("hardware: no AVX-512 IFMA")
	}
}

func pairTables(p, q modulus) *private {
	k := new(private)
	setForms(k.forms[:len(k.forms)/2], p.words)
	setForms(k.forms[len(k.forms)/2:], q.words)
	return k
}

func checkPair(t *testing.T, k *private, p, q modulus, ap, aq, bp, bq *big.Int) {
	t.Helper()
	var a, b, d pair
	digitsOf(a.p(), ap)
	digitsOf(a.q(), aq)
	digitsOf(b.p(), bp)
	digitsOf(b.q(), bq)
	mulPair(&d[0], &a[0], &b[0], &k.forms[0])
	checkProduct(t, d.p(), ap, bp, p.n, primeShift)
	checkProduct(t, d.q(), aq, bq, q.n, primeShift)
}

func randomBytes(r *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = r.Read(b) // never fails
	return b
}

// moduli are random ones and those at the limits.
func moduli(r *rand.ChaCha8, words int) []modulus {
	ones := make([]byte, 8*words)
	for i := range ones {
		ones[i] = 0xff
	}
	return []modulus{
		oddModulus(randomBytes(r, 8*words), words), oddModulus(randomBytes(r, 8*words), words),
		oddModulus(ones, words), oddModulus(nil, words),
	}
}

func TestMulPair(t *testing.T) {
	needIFMA(t)
	r := rand.NewChaCha8([32]byte{1})
	all := moduli(r, primeWords)
	for i, p := range all {
		q := all[(i+1)%len(all)]
		k := pairTables(p, q)
		ep, eq := edges(p.n, 21), edges(q.n, 21)
		for x := range ep {
			for y := range ep {
				checkPair(t, k, p, q, ep[x], eq[y], ep[y], eq[len(eq)-1-x])
			}
		}
		for range 500 {
			var f [4]*big.Int
			for i := range f {
				f[i] = new(big.Int).SetBytes(randomBytes(r, (1024+48)/8))
			}
			checkPair(t, k, p, q, f[0], f[1], f[2], f[3])
		}
	}
}

func checkPublic(t *testing.T, k *public, n modulus, x, y *big.Int) {
	t.Helper()
	var a, b, d [publicLanes]uint64
	digitsOf(a[:], x)
	digitsOf(b[:], y)
	mulPublic(&d[0], &a[0], &b[0], &k.forms[0])
	checkProduct(t, d[:], x, y, n.n, publicShift)
}

func TestMulPublic(t *testing.T) {
	needIFMA(t)
	r := rand.NewChaCha8([32]byte{2})
	for _, n := range moduli(r, publicWords) {
		k := new(public)
		setForms(k.forms[:], n.words)
		all := edges(n.n, 41)
		for _, x := range all {
			for _, y := range all {
				checkPublic(t, k, n, x, y)
			}
		}
		for range 500 {
			checkPublic(t, k, n, new(big.Int).SetBytes(randomBytes(r, 2048/8)), new(big.Int).SetBytes(randomBytes(r, 2048/8+6)))
		}
	}
}

func TestPick(t *testing.T) {
	needIFMA(t)
	w := new(scratch)
	for i := range w.table {
		for j := range w.table[i] {
			w.table[i][j] = uint64(1000*i + j)
		}
	}
	for i := range w.table {
		j := (7*i + 3) % len(w.table)
		pick(&w.acc[0][0], &w.table[0][0], uint64(i), uint64(j))
		var want pair
		copy(want.p(), w.table[i].p())
		copy(want.q(), w.table[j].q())
		if w.acc[0] != want {
			t.Fatalf("entries %d and %d: %v", i, j, w.acc[0])
		}
	}
	// The 64 words behind the first pair end in the third.
	for i, v := range w.acc[2][64-2*primeLanes:] {
		if v != 0 {
			t.Errorf("wrote %d words behind the scratch memory", i+1)
		}
	}
	if w.acc[3] != (pair{}) || w.low != (pair{}) {
		t.Error("wrote far behind the scratch memory")
	}
}

func TestWindow(t *testing.T) {
	needIFMA(t)
	r := rand.NewChaCha8([32]byte{3})
	all := moduli(r, primeWords)
	p, q := all[0], all[1]
	k, w := pairTables(p, q), new(scratch)
	for i := range w.table {
		digitsOf(w.table[i].p(), new(big.Int).SetBytes(randomBytes(r, 1024/8)))
		digitsOf(w.table[i].q(), new(big.Int).SetBytes(randomBytes(r, 1024/8)))
	}
	w.acc[0] = w.table[31]
	for i := range w.table {
		j := 31 - i
		a := w.acc[0]
		window(&w.acc[0][0], &w.table[0][0], &k.forms[0], uint64(i), uint64(j))
		checkWindow(t, w.acc[0].p(), a.p(), w.table[i].p(), p.n)
		checkWindow(t, w.acc[0].q(), a.q(), w.table[j].q(), q.n)
	}
	for i, v := range w.acc[3][64-2*primeLanes:] {
		if v != 0 {
			t.Errorf("wrote %d words behind the scratch memory", i+1)
		}
	}
	if w.low != (pair{}) {
		t.Error("wrote far behind the scratch memory")
	}
}

func checkWindow(t *testing.T, got, a, factor []uint64, n *big.Int) {
	t.Helper()
	inverse := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), primeShift), n)
	mul := func(x, y *big.Int) *big.Int {
		z := new(big.Int).Mul(x, y)
		return z.Mod(z.Mul(z, inverse), n)
	}
	want := ofDigits(a)
	for range windowBits {
		want = mul(want, want)
	}
	want = mul(want, ofDigits(factor))
	if g := ofDigits(got); g.Mod(g, n).Cmp(want) != 0 {
		t.Fatalf("got %x, want %x", g, want)
	}
}

// FuzzMulPair compares the kernel with math/big for any moduli and factors.
func FuzzMulPair(f *testing.F) {
	needIFMA(f)
	const size = 136 // octets of a factor: 1088 bits
	f.Add(make([]byte, 2*128+4*size))
	r := rand.NewChaCha8([32]byte{4})
	f.Add(randomBytes(r, 2*128+4*size))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append(data, make([]byte, 2*128+4*size)...)
		p, q := oddModulus(data[:128], primeWords), oddModulus(data[128:256], primeWords)
		var x [4]*big.Int
		for i := range x {
			x[i] = new(big.Int).SetBytes(data[256+i*size:][:size])
		}
		checkPair(t, pairTables(p, q), p, q, x[0], x[1], x[2], x[3])
	})
}

// checkPrivate compares the whole private operation with math/big. data holds a
// message, two moduli that need not be prime and two exponents.
func checkPrivate(t *testing.T, data []byte) {
	t.Helper()
	data = append(data, make([]byte, 256+4*128)...)
	part := func(i int) []byte { return data[256+128*i:][:128] }
	p, q := oddModulus(part(0), primeWords), oddModulus(part(1), primeWords)
	inverse := new(big.Int).ModInverse(q.n, p.n)
	if inverse == nil {
		return
	}
	pre := valuesOf(new(big.Int).SetBytes(part(2)), new(big.Int).SetBytes(part(3)), inverse)
	var em, s [publicWords]uint64
	setBytes(em[:], data[:256])
	newPrivate(p.n, q.n, pre).sign(&s, &em, new(scratch))
	got, m := number(s[:]), number(em[:])
	if got.Cmp(new(big.Int).Mul(p.n, q.n)) >= 0 {
		t.Fatalf("p=%x q=%x m=%x: %x is not reduced", p.n, q.n, m, got)
	}
	for _, half := range []struct{ n, d *big.Int }{{p.n, pre.Dp}, {q.n, pre.Dq}} {
		want := new(big.Int).Exp(m, half.d, half.n)
		if new(big.Int).Mod(got, half.n).Cmp(want) != 0 {
			t.Fatalf("n=%x d=%x m=%x", half.n, half.d, m)
		}
	}
}

func TestPrivate(t *testing.T) {
	needIFMA(t)
	r := rand.NewChaCha8([32]byte{10})
	for i := range 300 {
		data := randomBytes(r, 256+4*128)
		// Some parts at their limits: all ones, all zeros.
		for part := range 6 {
			if fill := i >> part & 3; i < 64 && fill > 1 {
				copy(data[128*part:], bytes.Repeat([]byte{byte(fill-2) * 0xff}, 128))
			}
		}
		checkPrivate(t, data)
	}
}

// FuzzPrivate is TestPrivate for any input.
func FuzzPrivate(f *testing.F) {
	needIFMA(f)
	r := rand.NewChaCha8([32]byte{5})
	f.Add(randomBytes(r, 256+4*128))
	f.Add(make([]byte, 256+4*128))
	f.Fuzz(checkPrivate)
}
