package app

import (
	"crypto"
	"crypto/rsa"
	"sync"

	"postroad/internal/base/rsasign"
)

// signing is what makes the RSA signatures of DKIM.
type signing struct {
	backend rsasign.Backend

	mu   sync.Mutex
	keys []*rsasign.Key
}

// chooseSigning decides once, at the start.
func (a *App) chooseSigning() {
	a.signing.backend = rsasign.Go
	if a.cfg.RSA != "go" {
		a.signing.backend = rsasign.Best()
	}
}

// signer is domain.Options.Signer.
func (s *signing) signer(priv *rsa.PrivateKey) crypto.Signer {
	k, err := rsasign.NewWith(priv, s.backend)
	if err != nil { // a key of another form
		k, err = rsasign.NewWith(priv, rsasign.Go)
	}
	if err != nil {
		return priv
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.keys) < maxWatchedKeys {
		s.keys = append(s.keys, k)
	}
	return k
}

// maxWatchedKeys bounds the keys whose faults are counted; a fault is the
// machine's, so a sample of the keys will do.
const maxWatchedKeys = 1000

// faults is how many signatures did not verify and were made again by Go. It
// stays 0 unless the machine is broken.
func (s *signing) faults() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		n += int64(k.Faults())
	}
	return n
}
