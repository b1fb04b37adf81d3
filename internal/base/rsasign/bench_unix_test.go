//go:build unix

package rsasign

import (
	"crypto"
	"crypto/sha256"
	"syscall"
	"testing"
	"time"
)

// BenchmarkSign measures signatures on one core. signs/cpu-s counts processor time
// used, which other programs on the machine disturb less than time passed.
func BenchmarkSign(b *testing.B) {
	for _, backend := range []Backend{Go, Libcrypto, IFMA} {
		b.Run(string(backend), func(b *testing.B) {
			k := with(b, testKeys(b)[0], backend)
			digest := sha256.Sum256([]byte("benchmark"))
			b.ReportAllocs()
			start := used(b)
			for b.Loop() {
				if _, err := k.Sign(nil, digest[:], crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/(used(b)-start).Seconds(), "signs/cpu-s")
		})
	}
}

// BenchmarkNew measures what a key costs before its first signature.
func BenchmarkNew(b *testing.B) {
	priv := testKeys(b)[0]
	for b.Loop() {
		if New(priv).Backend() != Best() {
			b.Fatal("not the best backend")
		}
	}
}

// used is the processor time of this process in user mode.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano())
}
