package rsasign

import (
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"math/bits"
	"sync"

	"golang.org/x/sys/cpu"
)

const (
	windowBits  = 5
	windowCount = 1025 / windowBits // of an exponent of 1024 bits
	signature   = 2048 / 8          // octets
)

// haveIFMA tells whether the processor and the operating system offer what the
// kernel uses. x/sys reports AVX-512 only where the system saves its registers.
func haveIFMA() bool { return cpu.X86.HasAVX512F && cpu.X86.HasAVX512IFMA }

// ifma is a key prepared for the kernel. Nothing in it changes after newIFMA.
type ifma struct {
	*private
	*public
	scratch sync.Pool // of *scratch
}

// private holds what the signature needs. It has no pointers, which makes the
// allocator place it on a cache line, as the kernel likes it.
type private struct {
	forms [2 * formTables * primeLanes]uint64

	one      pair // 1 in Montgomery form, 2^1092
	toLow    pair // brings the lower 1040 bits of a message to Montgomery form
	toHigh   pair // the same for the bits above, with their weight
	out      pair // from Montgomery form to what redc takes
	garner   pair // 1/q modulo p for redc; zero modulo q
	p, q     [primeWords]uint64
	twoP     [primeWords + 1]uint64
	pNeg     uint64                // -1/p modulo 2^64
	qNeg     uint64                // -1/q modulo 2^64
	exponent [windowCount][2]uint8 // d mod p-1 and d mod q-1, highest window first
}

// public holds what the check needs, made of the public key alone.
type public struct {
	forms [formTables * publicLanes]uint64
	in    [publicLanes]uint64 // to Montgomery form
	out   [publicLanes]uint64 // from Montgomery form to what redc takes
	n     [publicWords]uint64
	nNeg  uint64 // -1/n modulo 2^64
	e     uint
}

// scratch is the memory of one signature under way. Like private it has no
// pointers.
type scratch struct {
	table [1 << windowBits]pair
	acc   [4]pair // the accumulator, then what pick and window overwrite
	low   pair
	high  pair
	s, y  [publicLanes]uint64
}

// newIFMA prepares priv, which is valid, has two primes and is precomputed. It
// returns ErrUnavailable for a key of another size.
func newIFMA(priv *rsa.PrivateKey) (signer, error) {
	p, q, pre := priv.Primes[0], priv.Primes[1], &priv.Precomputed
	if p.BitLen() != 1024 || q.BitLen() != 1024 || priv.N.BitLen() != 2048 ||
		p.Bit(0) == 0 || q.Bit(0) == 0 || priv.N.Bit(0) == 0 || priv.E < 3 {
		return nil, ErrUnavailable
	}
	for _, x := range []*big.Int{pre.Dp, pre.Dq, pre.Qinv} {
		if x == nil || x.Sign() < 0 || x.BitLen() > 1024 {
			return nil, ErrUnavailable
		}
	}
	k := &ifma{private: newPrivate(p, q, pre), public: newPublic(&priv.PublicKey)}
	k.scratch.New = func() any { return new(scratch) }
	return k, nil
}

func setBig(x []uint64, n *big.Int) { setBytes(x, n.FillBytes(make([]byte, 8*len(x)))) }

func newPrivate(p, q *big.Int, pre *rsa.PrecomputedValues) *private {
	k := new(private)
	setBig(k.p[:], p)
	setBig(k.q[:], q)
	copy(k.twoP[:], k.p[:])
	add(k.twoP[:], k.twoP[:])
	k.pNeg, _ = negInverse(k.p[:])
	k.qNeg, _ = negInverse(k.q[:])
	setForms(k.forms[:len(k.forms)/2], k.p[:])
	setForms(k.forms[len(k.forms)/2:], k.q[:])
	for _, c := range []struct {
		to *pair
		e  int
	}{{&k.one, primeShift}, {&k.toLow, 2 * primeShift}, {&k.toHigh, 2*primeShift + lowBits}, {&k.out, primeRedc}} {
		power(c.to.p(), k.p[:], c.e)
		power(c.to.q(), k.q[:], c.e)
	}
	var x [primeWords]uint64
	setBig(x[:], pre.Qinv)
	double(x[:], k.p[:], primeShift+primeRedc)
	toDigits(k.garner.p(), x[:], 0)
	for half, d := range []*big.Int{pre.Dp, pre.Dq} {
		setBig(x[:], d)
		for i := range k.exponent {
			k.exponent[i][half] = uint8(bitsAt(x[:], windowBits*(windowCount-1-i), windowBits))
		}
	}
	return k
}

func newPublic(pub *rsa.PublicKey) *public {
	k := &public{e: uint(pub.E)}
	setBig(k.n[:], pub.N)
	k.nNeg, _ = negInverse(k.n[:])
	setForms(k.forms[:], k.n[:])
	power(k.in[:], k.n[:], 2*publicShift)
	power(k.out[:], k.n[:], publicRedc)
	return k
}

// digestInfo is the DER of a DigestInfo of SHA-256 up to the digest (RFC 8017
// section 9.2, note 1).
const digestInfo = "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"

// encode sets em to EMSA-PKCS1-v1_5 of digest (RFC 8017 section 9.2).
func encode(em *[publicWords]uint64, digest *[sha256.Size]byte) {
	b := [signature]byte{1: 1}
	t := b[signature-sha256.Size-len(digestInfo):]
	for i := 2; i < len(b)-len(t)-1; i++ {
		b[i] = 0xff
	}
	copy(t[copy(t, digestInfo):], digest[:])
	setBytes(em[:], b[:])
}

// Sign computes and checks a signature.
func (k *ifma) Sign(digest *[sha256.Size]byte) ([]byte, error) {
	w := k.scratch.Get().(*scratch)
	var em, s [publicWords]uint64
	encode(&em, digest)
	k.private.sign(&s, &em, w)
	good := k.public.check(&s, &em, w)
	*w = scratch{}
	k.scratch.Put(w)
	if !good {
		return nil, errFault
	}
	sig := make([]byte, signature)
	putBytes(sig, s[:])
	return sig, nil
}

// A message is cut into these and as many more digits to be reduced modulo the
// primes.
const (
	lowDigits = 20
	lowBits   = lowDigits * digitBits
)

// sign sets s to em^d modulo p*q.
func (k *private) sign(s, em *[publicWords]uint64, w *scratch) {
	k.reduce(em, w)
	k.power(w)
	m := &w.low
	mulPair(&m[0], &w.acc[0][0], &k.out[0], &k.forms[0])
	var mp, mq [primeWords]uint64
	finish(mp[:], m.p(), k.p[:], k.pNeg)
	finish(mq[:], m.q(), k.q[:], k.qNeg)
	k.join(s, &mp, &mq, w)
}

// reduce sets table entry 1 to em in Montgomery form.
func (k *private) reduce(em *[publicWords]uint64, w *scratch) {
	w.low, w.high = pair{}, pair{}
	toDigits(w.low.p()[:lowDigits], em[:], 0)
	toDigits(w.high.p()[:lowDigits], em[:], lowBits)
	copy(w.low.q(), w.low.p())
	copy(w.high.q(), w.high.p())
	mulPair(&w.low[0], &w.low[0], &k.toLow[0], &k.forms[0])
	mulPair(&w.high[0], &w.high[0], &k.toHigh[0], &k.forms[0])
	addDigits(w.low.p(), w.high.p())
	addDigits(w.low.q(), w.high.q())
	w.table[1] = w.low
}

// power sets acc to table entry 1 to the power of the exponents.
func (k *private) power(w *scratch) {
	w.table[0] = k.one
	for i := 2; i < len(w.table); i++ {
		mulPair(&w.table[i][0], &w.table[i-1][0], &w.table[1][0], &k.forms[0])
	}
	x := &k.exponent[0]
	pick(&w.acc[0][0], &w.table[0][0], uint64(x[0]), uint64(x[1]))
	for i := 1; i < len(k.exponent); i++ {
		x = &k.exponent[i]
		window(&w.acc[0][0], &w.table[0][0], &k.forms[0], uint64(x[0]), uint64(x[1]))
	}
}

// finish sets x to the number with digits d, divided as redc does, modulo n.
func finish(x, d, n []uint64, inverse uint64) {
	var buf [publicWords + 1]uint64
	t := buf[:len(n)+1]
	fromDigits(t, d)
	redc(x, t, n, inverse)
}

// join sets s to the number that is mp modulo p and mq modulo q:
// mq + q*((mp-mq)/q mod p). As mq is below 2p, adding 2p keeps the difference positive.
func (k *private) join(s *[publicWords]uint64, mp, mq *[primeWords]uint64, w *scratch) {
	var d [primeWords + 1]uint64
	copy(d[:], mp[:])
	add(d[:], k.twoP[:])
	d[primeWords] -= sub(d[:primeWords], mq[:])
	h := &w.high
	*h = pair{}
	toDigits(h.p(), d[:], 0)
	mulPair(&h[0], &h[0], &k.garner[0], &k.forms[0])
	var hp [primeWords]uint64
	finish(hp[:], h.p(), k.p[:], k.pNeg)
	*s = [publicWords]uint64{}
	copy(s[:], mq[:])
	mulAdd(s[:], k.q[:], hp[:])
}

// check tells whether s^e modulo n is em. All values are public.
func (k *public) check(s, em *[publicWords]uint64, w *scratch) bool {
	forms := &k.forms[0]
	toDigits(w.s[:], s[:], 0)
	mulPublic(&w.s[0], &w.s[0], &k.in[0], forms)
	w.y = w.s
	for i := bits.Len(k.e) - 2; i >= 0; i-- {
		mulPublic(&w.y[0], &w.y[0], &w.y[0], forms)
		if k.e>>i&1 == 1 {
			mulPublic(&w.y[0], &w.y[0], &w.s[0], forms)
		}
	}
	mulPublic(&w.y[0], &w.y[0], &k.out[0], forms)
	var m [publicWords]uint64
	finish(m[:], w.y[:], k.n[:], k.nNeg)
	return m == *em
}
