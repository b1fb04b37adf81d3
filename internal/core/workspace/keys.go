package workspace

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
)

const (
	// keysFor is how long a key set is used before it is fetched again.
	keysFor = 15 * time.Minute
	// keysPause is the least time between two fetches: a stranger who makes up key
	// ids causes no more.
	keysPause = time.Minute
	// keysRetry is the same while there is no key at all.
	keysRetry = 5 * time.Second
	// maxKeys and maxKeysBytes bound a key set, and maxKeyBits what checking a
	// signature costs.
	maxKeys      = 100
	maxKeysBytes = 256 << 10
	maxKeyBits   = 8192
	minKeyBits   = 2048 // RFC 7518 section 3.3
	// maxTried is how many keys are tried for a token that names none.
	maxTried = 8
)

// verifyingKey is one key of a set, with the one algorithm it is for.
type verifyingKey struct {
	id     string
	alg    jose.SignatureAlgorithm
	public any
}

// keySet is a key set that is fetched when it is needed.
type keySet struct {
	fetch func(context.Context) ([]byte, error)
	clock clock.Clock

	mu       sync.Mutex
	keys     []verifyingKey
	fetched  time.Time     // last fetch that brought keys
	tried    time.Time     // last fetch
	fetching chan struct{} // closed when the fetch under way has ended; nil: none is
}

func newKeySet(fetch func(context.Context) ([]byte, error), c clock.Clock) *keySet {
	return &keySet{fetch: fetch, clock: c}
}

// find returns the keys for alg by id, or all of them for a token that names none.
// A key id that is not known may be of a new key: only who has one waits for a
// fetch, others go on with the keys there are.
func (s *keySet) find(ctx context.Context, id string, alg jose.SignatureAlgorithm) ([]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.matching(id, alg)
	if len(found) == 0 || s.clock.Now().Sub(s.fetched) >= keysFor {
		s.refresh(ctx)
	}
	if under := s.fetching; len(found) == 0 && under != nil {
		s.mu.Unlock()
		select {
		case <-under:
		case <-ctx.Done():
		}
		s.mu.Lock()
		found = s.matching(id, alg)
	}
	if len(s.keys) == 0 {
		return nil, fail(errs.Unavailable, codeKeysUnavailable, "the keys that verify tokens cannot be had at the moment", nil)
	}
	return found, nil
}

func (s *keySet) matching(id string, alg jose.SignatureAlgorithm) (out []any) {
	for _, k := range s.keys {
		if k.alg == alg && (id == "" || k.id == id) && len(out) < maxTried {
			out = append(out, k.public)
		}
	}
	return out
}

// refresh starts a fetch, if none is under way and the last one was not just now.
// What was there before stays if it fails. A client that leaves does not cost the
// others the fetch.
func (s *keySet) refresh(ctx context.Context) {
	now, pause := s.clock.Now(), keysPause
	if len(s.keys) == 0 {
		pause = keysRetry
	}
	if s.fetching != nil || !s.tried.IsZero() && now.Sub(s.tried) < pause {
		return
	}
	done := make(chan struct{})
	s.tried, s.fetching = now, done
	go func() {
		var keys []verifyingKey
		text, err := s.fetch(context.WithoutCancel(ctx))
		if err == nil {
			keys, err = parseKeys(text)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil && len(keys) > 0 {
			s.keys, s.fetched = keys, now
		}
		s.fetching = nil
		close(done)
	}()
}

// parseKeys reads a JWK set. Keys of kinds that are not taken are left out.
func parseKeys(text []byte) ([]verifyingKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(text) > maxKeysBytes {
		return nil, errors.New("the key set is too large")
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, err
	}
	var out []verifyingKey
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) != nil || k.Use != "" && k.Use != "sig" {
			continue
		}
		if v, ok := verifying(&k); ok {
			out = append(out, v)
		}
	}
	return out, nil
}

// verifying gives a key its algorithm; one that says it is for another is not taken.
func verifying(k *jose.JSONWebKey) (verifyingKey, bool) {
	v := verifyingKey{id: k.KeyID}
	switch public := k.Public().Key.(type) {
	case *rsa.PublicKey:
		v.alg, v.public = jose.RS256, public
		if n := public.N.BitLen(); n < minKeyBits || n > maxKeyBits {
			return v, false
		}
	case *ecdsa.PublicKey:
		v.alg, v.public = jose.ES256, public
		if public.Curve != elliptic.P256() {
			return v, false
		}
	default:
		return v, false
	}
	return v, k.Algorithm == "" || k.Algorithm == string(v.alg)
}
