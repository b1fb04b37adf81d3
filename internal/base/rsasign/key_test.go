package rsasign

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"sync"
	"testing"
)

// scale makes the random tests longer: go test ./internal/base/rsasign -scale 100.
var scale = flag.Int("scale", 1, "how many times longer the random tests run")

// rounds is n, longer with -scale and shorter with -short.
func rounds(n int) int {
	if testing.Short() {
		return max(1, n/10)
	}
	return n * *scale
}

// keys are made once: making them takes longer than testing them.
var keys = sync.OnceValues(func() ([]*rsa.PrivateKey, error) {
	made := make([]*rsa.PrivateKey, 20)
	for i := range made {
		var err error
		if made[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return nil, err
		}
	}
	return made, nil
})

func testKeys(t testing.TB) []*rsa.PrivateKey {
	t.Helper()
	made, err := keys()
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// with skips the test if the machine or the build lacks b.
func with(t testing.TB, priv *rsa.PrivateKey, b Backend) *Key {
	t.Helper()
	k, err := NewWith(priv, b)
	if !available(b) && errors.Is(err, ErrUnavailable) {
		t.Skip("hardware: not on this machine or in this build")
	}
	if err != nil {
		t.Fatal(err)
	}
	if k.Backend() != b {
		t.Fatalf("backend %s, asked for %s", k.Backend(), b)
	}
	return k
}

func wantSignature(t testing.TB, priv *rsa.PrivateKey, digest []byte) []byte {
	t.Helper()
	want, err := rsa.SignPKCS1v15(nil, priv, crypto.SHA256, digest)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func TestBackendsAgree(t *testing.T) {
	for b, digests := range map[Backend]int{IFMA: rounds(40), Libcrypto: rounds(20), Go: 2} {
		t.Run(string(b), func(t *testing.T) {
			for i, priv := range testKeys(t) {
				k := with(t, priv, b)
				for j := range digests {
					digest := sha256.Sum256(fmt.Append(nil, priv.N, j))
					got, err := k.Sign(nil, digest[:], crypto.SHA256)
					if err != nil || !bytes.Equal(got, wantSignature(t, priv, digest[:])) {
						t.Fatalf("key %d, digest %x: %x, %v", i, digest, got, err)
					}
				}
				if k.Faults() != 0 {
					t.Fatalf("key %d: %d signatures did not verify", i, k.Faults())
				}
			}
		})
	}
}

// TestDigests: digests that a client can choose, not hashes.
func TestDigests(t *testing.T) {
	priv := testKeys(t)[0]
	k := New(priv)
	for _, digest := range [][]byte{bytes.Repeat([]byte{0}, 32), bytes.Repeat([]byte{0xff}, 32), append(make([]byte, 31), 1)} {
		got, err := k.Sign(nil, digest, crypto.SHA256)
		if err != nil || !bytes.Equal(got, wantSignature(t, priv, digest)) {
			t.Errorf("%x: %x, %v", digest, got, err)
		}
	}
}

func TestNewTakesTheBest(t *testing.T) {
	k := New(testKeys(t)[0])
	if k.Backend() != Best() {
		t.Errorf("New took %s, best is %s", k.Backend(), Best())
	}
	if _, err := NewWith(testKeys(t)[0], "abacus"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("unknown backend: %v", err)
	}
}

// keyOf makes a key of primes of the given lengths.
func keyOf(t *testing.T, lengths ...int) *rsa.PrivateKey {
	t.Helper()
	for {
		priv := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: big.NewInt(1), E: 65537}}
		phi := big.NewInt(1)
		for _, n := range lengths {
			p, err := rand.Prime(rand.Reader, n)
			if err != nil {
				t.Fatal(err)
			}
			priv.Primes = append(priv.Primes, p)
			priv.N.Mul(priv.N, p)
			phi.Mul(phi, new(big.Int).Sub(p, big.NewInt(1)))
		}
		priv.D = new(big.Int).ModInverse(big.NewInt(65537), phi)
		if priv.D != nil && priv.N.BitLen()%8 == 0 && priv.Validate() == nil {
			return priv
		}
	}
}

func TestUnsuitableKeys(t *testing.T) {
	tests := map[string][]int{
		"short":            {512, 512},
		"long":             {1032, 1032},
		"unequal primes":   {1000, 1048},
		"unequal, reverse": {1048, 1000},
		"nearly equal":     {1023, 1025},
		"nearly, reverse":  {1025, 1023},
		"three primes":     {683, 683, 682},
	}
	for name, lengths := range tests {
		t.Run(name, func(t *testing.T) {
			priv := keyOf(t, lengths...)
			if _, err := NewWith(priv, IFMA); !errors.Is(err, ErrUnavailable) {
				t.Errorf("kernel: %v", err)
			}
			k := New(priv)
			if k.Backend() == IFMA {
				t.Fatal("the kernel took the key")
			}
			digest := sha256.Sum256([]byte(name))
			sig, err := k.Sign(nil, digest[:], crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			if err := rsa.VerifyPKCS1v15(&priv.PublicKey, crypto.SHA256, digest[:], sig); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSwappedPrimes: which prime is called p must not matter, nor whether the key
// was precomputed.
func TestSwappedPrimes(t *testing.T) {
	priv := testKeys(t)[0]
	swapped := &rsa.PrivateKey{PublicKey: priv.PublicKey, D: priv.D, Primes: []*big.Int{priv.Primes[1], priv.Primes[0]}}
	k := with(t, swapped, IFMA)
	digest := sha256.Sum256([]byte("swapped"))
	got, err := k.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || k.Faults() != 0 || !bytes.Equal(got, wantSignature(t, priv, digest[:])) {
		t.Errorf("%x, %v, %d faults", got, err, k.Faults())
	}
}

func TestOtherOptions(t *testing.T) {
	priv := testKeys(t)[0]
	k := New(priv)
	digest, long := sha256.Sum256([]byte("x")), sha512.Sum512([]byte("x"))
	sig, err := k.Sign(rand.Reader, digest[:], &rsa.PSSOptions{Hash: crypto.SHA256})
	if err != nil || rsa.VerifyPSS(&priv.PublicKey, crypto.SHA256, digest[:], sig, nil) != nil {
		t.Errorf("PSS: %v", err)
	}
	sig, err = k.Sign(nil, long[:], crypto.SHA512)
	if err != nil || rsa.VerifyPKCS1v15(&priv.PublicKey, crypto.SHA512, long[:], sig) != nil {
		t.Errorf("SHA-512: %v", err)
	}
	if _, err := k.Sign(nil, digest[:31], crypto.SHA256); err == nil {
		t.Error("short digest accepted")
	}
	if _, err := k.Sign(nil, digest[:], nil); err == nil {
		t.Error("no options accepted")
	}
	if !priv.PublicKey.Equal(k.Public()) {
		t.Error("another public key")
	}
}

// TestSecretsStayInside: no form of printing shows numbers of the key.
func TestSecretsStayInside(t *testing.T) {
	k := New(testKeys(t)[0])
	want := "rsasign.Key(" + string(Best()) + ")"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k); got != want {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	priv := testKeys(t)[0]
	k := New(priv)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 25 {
				digest := sha256.Sum256([]byte{byte(g), byte(i)})
				got, err := k.Sign(nil, digest[:], crypto.SHA256)
				if err != nil || rsa.VerifyPKCS1v15(&priv.PublicKey, crypto.SHA256, digest[:], got) != nil {
					t.Errorf("%d/%d: %x, %v", g, i, got, err)
				}
			}
		})
	}
	wg.Wait()
	if k.Faults() != 0 {
		t.Errorf("%d faults", k.Faults())
	}
}
