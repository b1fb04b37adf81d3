package certs

import (
	"crypto/tls"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

// checkEvery is how often files are looked at, at most.
const checkEvery = 5 * time.Second

// Pair is a certificate and key in two PEM files that are read again when they
// change. While they cannot be used, or do not belong together as in the middle of
// a renewal, the last good pair goes on being used. It is safe for concurrent use.
type Pair struct {
	certFile, keyFile string
	now               func() time.Time

	mu      sync.Mutex
	cert    *tls.Certificate
	seen    [2]stamp
	checked time.Time
	err     error
}

// stamp tells versions of a file apart.
type stamp struct {
	modified time.Time
	size     int64
}

// Load reads a pair of PEM files: the certificate with its chain, and the key. It
// fails if they cannot be used.
func Load(certFile, keyFile string) (*Pair, error) {
	return load(certFile, keyFile, time.Now)
}

func load(certFile, keyFile string, now func() time.Time) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile, now: now}
	p.refresh()
	if p.err != nil {
		return nil, p.err
	}
	return p, nil
}

// GetCertificate is for tls.Config. It never fails: it returns the last good pair.
func (p *Pair) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refresh()
	return p.cert, nil
}

// Certificate returns the pair in use. Its Leaf is set.
func (p *Pair) Certificate() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refresh()
	return p.cert
}

// Err returns why the files as they are now cannot be used, nil if they are in use.
func (p *Pair) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refresh()
	return p.err
}

// Reload reads the files now. On error the last good pair stays in use.
func (p *Pair) Reload() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checked, p.seen = time.Time{}, [2]stamp{}
	p.refresh()
	return p.err
}

// refresh reads the files if they have changed. While they are unusable it tries
// again at every check, since a pair is completed by a second write.
func (p *Pair) refresh() {
	now := p.now()
	if p.cert != nil && now.Before(p.checked.Add(checkEvery)) {
		return
	}
	p.checked = now
	seen, err := p.stamps()
	if err != nil {
		p.err = err
		return
	}
	if p.err == nil && p.cert != nil && seen == p.seen {
		return
	}
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		p.err = fmt.Errorf("load certificate %s with key %s: %w", p.certFile, p.keyFile, err)
		return
	}
	p.cert, p.seen, p.err = &cert, seen, nil
}

func (p *Pair) stamps() (s [2]stamp, err error) {
	for i, file := range []string{p.certFile, p.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return s, fmt.Errorf("load certificate: %w", err)
		}
		s[i] = stamp{modified: info.ModTime(), size: info.Size()}
	}
	return s, nil
}

// CheckKeyFile returns an error if every user of the machine may read a private
// key. The group may: there it is common that several servers share one.
func CheckKeyFile(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o007 != 0 {
		return fmt.Errorf("%s has permissions %04o: every user of this machine can get at the private key", name, mode)
	}
	return nil
}
