package rsasign

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"testing"
)

// hardPrimes are primes of 1024 bits at both limits of that length, with long runs
// of ones and zeros, and with -1/p = 1 and = -1 modulo 2^104, what quotient digits
// are multiplied with. Less 1 they have no common factor with hardExponents.
func hardPrimes() []*big.Int {
	p := func(terms ...*big.Int) *big.Int {
		sum := new(big.Int)
		for _, x := range terms {
			sum.Add(sum, x)
		}
		return sum
	}
	two := func(x int64, by uint) *big.Int { return new(big.Int).Lsh(big.NewInt(x), by) }
	return []*big.Int{
		p(two(1, 1024), two(-179, 0)),
		p(two(1, 1024), two(-1397, 0)),
		p(two(1, 1023), two(1155, 0)),
		p(two(1, 1024), two(-1, 512), two(761, 0)),
		p(two(1, 1023), two(1, 512), two(1925, 0)),
		p(two(1, 1023), two(496, 104), two(-1, 0)),
		p(two(1, 1024), two(-738, 104), two(1, 0)),
	}
}

var hardExponents = []int{3, 17, 65537, 1<<31 - 1}

// keyWith is the key of two primes without values made in advance.
func keyWith(t testing.TB, p, q *big.Int, e int) *rsa.PrivateKey {
	t.Helper()
	phi := phiOf(p, q)
	d := new(big.Int).ModInverse(big.NewInt(int64(e)), phi)
	if d == nil {
		t.Fatalf("exponent %d does not go with %x and %x", e, p, q)
	}
	return &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: e},
		D:         d,
		Primes:    []*big.Int{p, q},
	}
}

func phiOf(p, q *big.Int) *big.Int {
	one := big.NewInt(1)
	return new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
}

// TestHardKeys: primes that random keys do not have, both orders of p and q, small
// and great exponents, with and without values made in advance.
func TestHardKeys(t *testing.T) {
	primes, made := hardPrimes(), 0
	for i, p := range primes {
		for j, q := range primes {
			e := hardExponents[(i+2*j)%len(hardExponents)]
			if i == j || new(big.Int).Mul(p, q).BitLen() != 2048 {
				continue
			}
			bare, ready := keyWith(t, p, q, e), keyWith(t, p, q, e)
			ready.Precompute()
			if ready.Validate() != nil { // p and q too close
				continue
			}
			made++
			kernels := []*Key{with(t, bare, IFMA), with(t, ready, IFMA)}
			for n := range rounds(4) {
				digest := sha256.Sum256(fmt.Append(nil, i, j, n))
				want, k := wantSignature(t, ready, digest[:]), kernels[n%2]
				got, err := k.Sign(nil, digest[:], crypto.SHA256)
				if err != nil || k.Faults() != 0 || !bytes.Equal(got, want) {
					t.Fatalf("p=%x q=%x e=%d: %x, %v, %d faults", p, q, e, got, err, k.Faults())
				}
			}
		}
	}
	if made != 18 {
		t.Errorf("%d keys, expected 18", made)
	}
}

// variant is a key that New must bear.
type variant struct {
	name string
	fast bool // a key for the best backend
	priv *rsa.PrivateKey
}

func negative(x *big.Int) *big.Int { return new(big.Int).Neg(x) }

func variants(t *testing.T) []variant {
	good, other := testKeys(t)[0], testKeys(t)[1]
	p, q := good.Primes[0], good.Primes[1]
	phi := phiOf(p, q)
	one, even := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 1023)
	key := func(n *big.Int, e int, d *big.Int, primes ...*big.Int) *rsa.PrivateKey {
		return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: e}, D: d, Primes: primes}
	}
	ready := func(dp, dq, qInv *big.Int) *rsa.PrivateKey {
		k := key(good.N, good.E, good.D, p, q)
		k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv = dp, dq, qInv
		return k
	}
	v := good.Precomputed
	square, composite := new(big.Int).Mul(p, p), new(big.Int).Add(q, new(big.Int).Lsh(one, 64))
	long := ready(v.Dp, v.Dq, v.Qinv)
	long.D = new(big.Int).Add(good.D, phi)
	return []variant{
		{"as made", true, good},
		{"nothing in advance", true, key(good.N, good.E, good.D, p, q)},
		{"swapped", true, key(good.N, good.E, good.D, q, p)},
		{"only values made in advance", true, ready(v.Dp, v.Dq, v.Qinv)},
		{"one of them", true, ready(v.Dp, nil, nil)},
		{"nil", false, nil},
		{"empty", false, new(rsa.PrivateKey)},
		{"no modulus", false, key(nil, good.E, good.D, p, q)},
		{"no exponent", false, key(good.N, good.E, nil, p, q)},
		{"no primes", false, key(good.N, good.E, good.D)},
		{"missing prime", false, key(good.N, good.E, good.D, p, nil)},
		{"exponent of another key", false, key(good.N, good.E, other.D, p, q)},
		{"prime of another key", false, key(good.N, good.E, good.D, p, other.Primes[1])},
		{"modulus of another key", false, key(other.N, good.E, good.D, p, q)},
		{"even prime", false, key(good.N, good.E, good.D, p, even)},
		{"even modulus", false, key(new(big.Int).Mul(p, even), good.E, good.D, p, even)},
		{"same prime twice", false, key(square, good.E, good.D, p, p)},
		{"prime zero", false, key(good.N, good.E, good.D, p, new(big.Int))},
		{"primes 1 and N", false, key(good.N, good.E, good.D, one, good.N)},
		{"composite prime", false, key(new(big.Int).Mul(p, composite), good.E, good.D, p, composite)},
		{"negative modulus", false, key(negative(good.N), good.E, good.D, p, q)},
		{"negative primes", false, key(good.N, good.E, good.D, negative(p), negative(q))},
		{"negative exponent", false, key(good.N, good.E, negative(good.D), p, q)},
		{"public exponent 0", false, key(good.N, 0, good.D, p, q)},
		{"public exponent 1", false, key(good.N, 1, one, p, q)},
		{"public exponent 2", false, key(good.N, 2, good.D, p, q)},
		{"negative public exponent", false, key(good.N, -good.E, good.D, p, q)},
		{"great public exponent", false, key(good.N, int(^uint(0)>>1), good.D, p, q)},
		{"negative Dp", false, ready(negative(v.Dp), v.Dq, v.Qinv)},
		{"wrong Dq", false, ready(v.Dp, v.Dp, v.Qinv)},
		{"zero Qinv", false, ready(v.Dp, v.Dq, new(big.Int))},
		{"long Qinv", false, ready(v.Dp, v.Dq, new(big.Int).Add(v.Qinv, new(big.Int).Lsh(p, 1)))},
		{"unreduced d", false, key(good.N, good.E, new(big.Int).Add(good.D, phi), p, q)},
		{"very long d", false, key(good.N, good.E, new(big.Int).Add(good.D, new(big.Int).Lsh(phi, 3000)), p, q)},
		{"unreduced d, good Dp and Dq", false, long},
		{"three primes", false, key(good.N, good.E, good.D, p, q, one)},
	}
}

// TestVariants: whatever the key, New returns, nothing panics, no bad signature
// leaves, the key of the caller stays as it was, and the kernel takes no key that
// crypto/rsa does not sign with.
func TestVariants(t *testing.T) {
	digest := sha256.Sum256([]byte("variant"))
	for _, v := range variants(t) {
		t.Run(v.name, func(t *testing.T) {
			var before rsa.PrivateKey
			if v.priv != nil {
				before = *v.priv
			}
			k := New(v.priv)
			if v.fast != (k.Backend() == Best()) && Best() != Go {
				t.Errorf("backend %s", k.Backend())
			}
			if _, err := NewWith(v.priv, IFMA); err != nil && !errors.Is(err, ErrUnavailable) {
				t.Error(err)
			}
			sig, err := k.Sign(nil, digest[:], crypto.SHA256)
			if v.priv != nil && !reflect.DeepEqual(*v.priv, before) {
				t.Error("the key was changed")
			}
			if v.fast && (err != nil || !bytes.Equal(sig, wantSignature(t, testKeys(t)[0], digest[:]))) {
				t.Errorf("%x, %v", sig, err)
			}
			if err != nil {
				return
			}
			if err := rsa.VerifyPKCS1v15(k.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], sig); err != nil {
				t.Errorf("a bad signature left: %v", err)
			}
		})
	}
}
