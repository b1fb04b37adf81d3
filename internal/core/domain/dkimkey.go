package domain

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/mail/dkim"
)

// The selectors of automatic sender security: their records are aliases of names
// of ours, so that the keys can change without the customer's DNS.
const (
	delegated1 = "pdk1"
	delegated2 = "pdk2"
)

// maxKeys is the number of keys of a domain. Mailgun: messages are signed with up
// to three keys in turn.
const maxKeys = 3

var (
	errNoKey        = errs.New(errs.NotFound, "domain key not found")
	errDuplicateKey = errs.New(errs.Invalid, "failed to create domain key: duplicate key")
)

// Key is a DKIM key of a domain, without its private part.
type Key struct {
	ID       int64
	DomainID int64
	Selector string
	Public   string // text of the key record: "k=rsa; p=..."
	Bits     int
	Active   bool // signs

	private []byte // PEM, sealed
}

func keyContext(id int64) string { return "dkim_key:" + strconv.FormatInt(id, 10) }

func isDelegated(selector string) bool { return selector == delegated1 || selector == delegated2 }

// firstKeys makes the keys a new domain begins with.
func (s *Service) firstKeys(d *Domain, bits int) ([]*Key, error) {
	if d.Settings.UseAutomaticSenderSecurity {
		return s.delegatedKeys(d.ID)
	}
	if isDelegated(d.Settings.DKIMSelector) {
		return nil, errReserved
	}
	k, err := s.generate(d.ID, d.Settings.DKIMSelector, bits)
	if err != nil {
		return nil, err
	}
	k.Active = true
	return []*Key{k}, nil
}

var errReserved = errs.New(errs.Invalid, "the selectors pdk1 and pdk2 are for automatic sender security")

// delegatedKeys makes the pair of automatic sender security. Mailgun: both have
// 2048 bits.
func (s *Service) delegatedKeys(domainID int64) ([]*Key, error) {
	var out []*Key
	for _, sel := range []string{delegated1, delegated2} {
		k, err := s.generate(domainID, sel, 2048)
		if err != nil {
			return nil, err
		}
		k.Active = true
		out = append(out, k)
	}
	return out, nil
}

func (s *Service) generate(domainID int64, selector string, bits int) (*Key, error) {
	private, err := s.opt.GenerateKey(bits)
	if err != nil {
		return nil, fmt.Errorf("generate DKIM key: %w", err)
	}
	return s.seal(domainID, selector, private, private.N.BitLen())
}

func (s *Service) seal(domainID int64, selector string, private crypto.Signer, bits int) (*Key, error) {
	public, err := dkim.PublicRecord(private.Public(), dkim.Short)
	if err != nil {
		return nil, err
	}
	text, err := dkim.MarshalPrivateKey(private)
	if err != nil {
		return nil, err
	}
	id := s.ids.Next()
	return &Key{ID: id, DomainID: domainID, Selector: selector, Public: public, Bits: bits,
		private: s.box.Seal(text, keyContext(id))}, nil
}

func (s *Service) open(k *Key) (crypto.Signer, error) {
	text, err := s.box.Open(k.private, keyContext(k.ID))
	if err != nil {
		return nil, fmt.Errorf("DKIM key %s: %w", k.Selector, err)
	}
	private, err := dkim.ParsePrivateKey(text)
	if key, ok := private.(*rsa.PrivateKey); ok && s.opt.Signer != nil {
		return s.opt.Signer(key), err
	}
	return private, err
}

// Signers returns the keys that sign the domain's mail, at least one, oldest
// first; the caller takes them in turn. The slice is shared: do not modify it.
func (s *Service) Signers(ctx context.Context, domainID int64) ([]dkim.Key, error) {
	if keys, ok := s.signers.Get(domainID); ok {
		return keys, nil
	}
	return s.signers.Load(domainID, func() ([]dkim.Key, error) { return s.loadSigners(ctx, domainID) })
}

func (s *Service) loadSigners(ctx context.Context, domainID int64) (out []dkim.Key, err error) {
	var keys []*Key
	var host string
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		d, err := selectByID(tx, domainID)
		if err == nil {
			keys, host, err = signing(tx, d)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if !k.Active {
			continue
		}
		signer, err := s.open(k)
		if err != nil {
			return nil, err
		}
		out = append(out, dkim.Key{Domain: host, Selector: k.Selector, Signer: signer})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("domain %d has no active DKIM key", domainID)
	}
	return out, nil
}

// signing returns the keys, active or not, of the domain that signs for d, and
// the name it signs as.
func signing(tx *db.Tx, d *Domain) ([]*Key, string, error) {
	owner := d
	if d.Settings.DKIMHost == "" && d.Authority != d.Name {
		a, err := selectByName(tx, d.Authority)
		if err != nil && !errs.Is(err, errs.NotFound) {
			return nil, "", err
		}
		if err == nil && a.AccountID == d.AccountID {
			owner = a
		}
	}
	host := owner.Name
	if d.Settings.DKIMHost != "" {
		host = d.Settings.DKIMHost
	}
	keys, err := selectKeys(tx, owner.ID)
	return keys, host, err
}

// Keys returns the domain's own keys, oldest first.
func (s *Service) Keys(ctx context.Context, d *Domain) (keys []*Key, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		keys, err = selectKeys(tx, d.ID)
		return err
	})
	return keys, err
}

// AddKey makes a key, or imports one given as PEM in PKCS #1 form. It does not
// sign until it is activated, so that its record can be published first.
// Invalid if the selector is in use, malformed, or the domain has three keys.
func (s *Service) AddKey(ctx context.Context, d *Domain, selector string, bits int, pem string) (*Key, error) {
	selector = strings.ToLower(selector)
	if !isSelector(selector) {
		return nil, errs.New(errs.Invalid, "failed to create domain key: selector must be a valid atom")
	}
	if isDelegated(selector) {
		return nil, errReserved
	}
	k, err := s.makeKey(d.ID, selector, bits, pem)
	if err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(tx *db.Tx) error {
		keys, err := lockKeys(tx, d.ID)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(keys, func(o *Key) bool { return o.Selector == selector }) {
			return errDuplicateKey
		}
		if countOwn(keys) >= maxKeys {
			return errs.New(errs.Invalid, "failed to create domain key: a domain can have at most %d domain keys", maxKeys)
		}
		tx.AfterCommit(func() { s.forget(d) })
		return insertKey(tx, k)
	})
	return k, err
}

// countOwn counts the keys that are not those of automatic sender security.
func countOwn(keys []*Key) (n int) {
	for _, k := range keys {
		if !isDelegated(k.Selector) {
			n++
		}
	}
	return n
}

func (s *Service) makeKey(domainID int64, selector string, bits int, pem string) (*Key, error) {
	if pem != "" {
		return s.importKey(domainID, selector, pem)
	}
	if bits == 0 {
		bits = s.opt.KeyBits
	}
	if bits != 1024 && bits != 2048 {
		return nil, errs.New(errs.Invalid, "failed to create domain key: bits must be either 1024 or 2048")
	}
	return s.generate(domainID, selector, bits)
}

func (s *Service) importKey(domainID int64, selector, pem string) (*Key, error) {
	private, err := dkim.ParsePKCS1([]byte(pem))
	for _, e := range []error{dkim.ErrPEM, dkim.ErrNotPKCS1, dkim.ErrKeySize} {
		if errors.Is(err, e) {
			return nil, errs.Wrap(errs.Invalid, err, "failed to import domain key: "+e.Error())
		}
	}
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "failed to import domain key: failed to parse private key")
	}
	return s.seal(domainID, selector, private, private.N.BitLen())
}

// SetKeyActive has a key sign or not. NotFound without such a key; Invalid if it
// is the last one that signs.
func (s *Service) SetKeyActive(ctx context.Context, d *Domain, selector string, active bool) error {
	selector = strings.ToLower(selector)
	return s.db.Write(ctx, func(tx *db.Tx) error {
		keys, err := lockKeys(tx, d.ID)
		if err != nil {
			return err
		}
		k, others := pick(keys, selector)
		if k == nil {
			return errNoKey
		}
		if !active && !others {
			return errs.New(errs.Invalid, "cannot deactivate domain key: must have at least one active domain key")
		}
		tx.AfterCommit(func() { s.forget(d) })
		return updateKeyActive(tx, k.ID, active)
	})
}

// pick returns the key with the selector, nil if there is none, and whether
// another key signs.
func pick(keys []*Key, selector string) (k *Key, others bool) {
	for _, o := range keys {
		if o.Selector == selector {
			k = o
		} else if o.Active {
			others = true
		}
	}
	return k, others
}

// DeleteKey deletes a key. NotFound without such a key; Invalid if it is the last
// one that signs.
func (s *Service) DeleteKey(ctx context.Context, d *Domain, selector string) error {
	selector = strings.ToLower(selector)
	_, err := s.change(ctx, d.ID, func(tx *db.Tx, d *Domain) error {
		keys, err := selectKeys(tx, d.ID)
		if err != nil {
			return err
		}
		k, others := pick(keys, selector)
		if k == nil {
			return errNoKey
		}
		if !others {
			return errs.New(errs.Invalid, "cannot delete domain key: must have at least one active domain key")
		}
		if next := successor(keys, selector); d.Settings.DKIMSelector == selector && next != nil {
			d.Settings.DKIMSelector = next.Selector
		}
		return deleteKey(tx, k.ID)
	})
	return err
}

// successor returns the key that takes the place of the one with the selector as
// the domain's first.
func successor(keys []*Key, selector string) *Key {
	for _, k := range keys {
		if k.Active && k.Selector != selector && !isDelegated(k.Selector) {
			return k
		}
	}
	return nil
}

// SetSelector gives the domain's key another selector; if a key has that selector
// already, that one is made to sign and becomes the domain's key.
func (s *Service) SetSelector(ctx context.Context, d *Domain, selector string) (*Domain, error) {
	selector = strings.ToLower(selector)
	if isDelegated(selector) {
		return nil, errReserved
	}
	return s.change(ctx, d.ID, func(tx *db.Tx, d *Domain) error {
		old := d.Settings.DKIMSelector
		d.Settings.DKIMSelector = selector
		if err := d.Settings.check(); err != nil || old == selector {
			return err
		}
		keys, err := selectKeys(tx, d.ID)
		if err != nil {
			return err
		}
		if k, _ := pick(keys, selector); k != nil {
			return updateKeyActive(tx, k.ID, true)
		}
		if k, _ := pick(keys, old); k != nil {
			return renameKey(tx, k.ID, selector)
		}
		return nil // automatic sender security: the name is for when it is turned off
	})
}

// SetAuthority makes the domain sign with its own keys (self) or with those of
// the account's registered root domain, and reports whether that changed anything.
func (s *Service) SetAuthority(ctx context.Context, d *Domain, self bool) (*Domain, bool, error) {
	before := d.Authority
	d, err := s.change(ctx, d.ID, func(tx *db.Tx, d *Domain) (err error) {
		before = d.Authority
		d.Settings.ForceDKIMAuthority = self
		d.Authority, err = authorityFor(tx, d)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return d, d.Authority != before, nil
}

// delegatedTarget is the name of ours that the record of a key of automatic
// sender security is an alias of.
func (s *Service) delegatedTarget(k *Key) string {
	return k.Selector + "._domainkey." + strconv.FormatInt(k.DomainID, 36) + ".dkim." + s.opt.Hostname
}

// DelegatedKey returns the TXT text to publish at a name that records of
// automatic sender security point to; NotFound if it is none.
func (s *Service) DelegatedKey(ctx context.Context, name string) (string, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	front, ok := strings.CutSuffix(name, ".dkim."+s.opt.Hostname)
	selector, id, ok2 := strings.Cut(front, "._domainkey.")
	domainID, err := strconv.ParseInt(id, 36, 64)
	if !ok || !ok2 || err != nil || !isDelegated(selector) {
		return "", errNoKey
	}
	keys, err := s.Keys(ctx, &Domain{ID: domainID})
	if err != nil {
		return "", err
	}
	if k, _ := pick(keys, selector); k != nil {
		return k.Public, nil
	}
	return "", errNoKey
}
