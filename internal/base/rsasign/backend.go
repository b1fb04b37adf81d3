package rsasign

import "crypto/fips140"

// Backend names an implementation of the private operation.
type Backend string

// The backends, best first.
const (
	// IFMA is the kernel of this package, for x86-64 with AVX-512 IFMA.
	IFMA Backend = "avx512-ifma"
	// Libcrypto is OpenSSL, linked by the build tags cgo and libcrypto.
	Libcrypto Backend = "libcrypto"
	// Go is crypto/rsa.
	Go Backend = "go"
)

// Best returns the best backend that this machine and this build offer to a key
// of 2048 bits. Where FIPS 140-3 mode is on it is Go.
func Best() Backend {
	for _, b := range []Backend{IFMA, Libcrypto} {
		if available(b) {
			return b
		}
	}
	return Go
}

// available tells whether the machine and the build have b.
func available(b Backend) bool {
	switch b {
	case Go:
		return true
	case IFMA:
		return !fips140.Enabled() && haveIFMA()
	case Libcrypto:
		return !fips140.Enabled() && haveLibcrypto()
	}
	return false
}
