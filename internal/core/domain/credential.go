package domain

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"postroad/internal/base/cache"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/mail/scram"
)

// The cost of a password hash: the OWASP recommendation for argon2id, 19 MiB and
// two passes, about 20 ms.
const (
	argonMemory = 19 * 1024 // KiB
	argonTime   = 2
	argonLanes  = 1
	argonSalt   = 16
	argonKey    = 32

	// verifiedTTL is how long a login that was checked needs no new hash.
	verifiedTTL = 5 * time.Minute
	// verifiedSize bounds the logins remembered, about 100 bytes each.
	verifiedSize = 10_000

	minPassword = 5
	maxPassword = 32
	maxLogin    = 64 + 1 + maxName
)

var (
	errBadLogin     = errs.New(errs.Unauthorized, "Authentication failed")
	errNoCredential = errs.New(errs.NotFound, "Credentials not found")
)

// credential is an SMTP login.
type credential struct {
	id        int64
	domainID  int64
	login     string // local@domain, lower case
	hash      string // argon2id in PHC form; "" for a login that does not exist
	sealed    []byte // the SCRAM verifier, sealed; nil without one
	system    bool   // cannot be deleted by itself
	createdAt int64

	verifier scram.Verifier // of a row that is cached: the one sealed, or one nobody can satisfy
}

// Login is an SMTP login whose owner proved to know the password.
type Login struct {
	Name   string // local@domain, in the form it is stored
	Domain *Domain
	hash   string // that was stored then; "" in development mode, for a login that does not exist
}

// credentials is what checking passwords needs to remember.
type credentials struct {
	// rows holds logins that do not exist, too: otherwise the time of a look-up
	// would tell which do.
	rows *cache.Cache[string, *credential]
	// verified holds a digest over login, password and stored hash, keyed with
	// seed: a changed password has another stored hash and so is not found.
	verified *cache.Cache[[sha256.Size]byte, struct{}]
	seed     []byte
	slots    chan struct{} // bounds the memory and cores of hashes running at one time
	dummy    string        // costs the same as a real hash
}

func newCredentials(c clock.Clock) *credentials {
	return &credentials{
		rows:     cache.New[string, *credential](c, cacheTTL, cacheSize),
		verified: cache.New[[sha256.Size]byte, struct{}](c, verifiedTTL, verifiedSize),
		seed:     ids.Bytes(32),
		slots:    make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		dummy:    encodeHash(ids.Bytes(argonSalt), ids.Bytes(argonKey)),
	}
}

func (c *credentials) forget(login string) { c.rows.Drop(login) }

func encodeHash(salt, key []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		b.EncodeToString(salt), b.EncodeToString(key))
}

// matches reports whether password has the stored hash. Other parameters than
// today's may have been stored by another version; wild ones are refused.
func matches(stored, password string) (bool, error) {
	parts := strings.Split(stored, "$")
	var version, memory, passes, lanes int
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("stored password hash is not argon2id")
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &lanes); err != nil {
		return false, fmt.Errorf("stored password hash: %w", err)
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(err1, err2); err != nil {
		return false, fmt.Errorf("stored password hash: %w", err)
	}
	if version != argon2.Version || memory < 8 || memory > 256*1024 || passes < 1 || passes > 16 || lanes < 1 || lanes > 16 || len(want) < 16 || len(want) > 64 {
		return false, errors.New("stored password hash has parameters out of range")
	}
	got := argon2.IDKey([]byte(password), salt, uint32(passes), uint32(memory), uint8(lanes), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// inSlot runs fn when there is memory for another hash.
func (c *credentials) inSlot(ctx context.Context, fn func()) error {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.slots }()
	fn()
	return nil
}

func (c *credentials) hash(ctx context.Context, password string) (out string, err error) {
	salt := ids.Bytes(argonSalt)
	err = c.inSlot(ctx, func() {
		out = encodeHash(salt, argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonLanes, argonKey))
	})
	return out, err
}

// digest is the key of a login that was checked.
func (c *credentials) digest(login, password, stored string) [sha256.Size]byte {
	h := sha256.New()
	h.Write(c.seed)
	for _, s := range []string{login, password, stored} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		h.Write([]byte(s))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// CheckCredential returns a login if the password is its own. Wrong ones are
// Unauthorized, and take the same time whether the login exists or not. In
// development mode any password opens a login that does not exist, creating its
// domain.
func (s *Service) CheckCredential(ctx context.Context, login, password string) (*Login, error) {
	login = foldLogin(login)
	if len(login) > maxLogin || len(password) > 1024 {
		return nil, errBadLogin
	}
	row, err := s.credential(ctx, login)
	if err != nil {
		return nil, err
	}
	if row.hash == "" {
		return s.unknownLogin(ctx, login, password)
	}
	if err := s.creds.verify(ctx, row, password); err != nil {
		return nil, err
	}
	return s.opened(ctx, row)
}

func foldLogin(login string) string { return strings.ToLower(strings.TrimSpace(login)) }

// opened returns the login of a row whose password was proved.
func (s *Service) opened(ctx context.Context, row *credential) (*Login, error) {
	d, err := s.ByID(ctx, row.domainID)
	if errs.Is(err, errs.NotFound) {
		return nil, errBadLogin
	}
	if err != nil {
		return nil, err
	}
	return &Login{Name: row.login, Domain: d, hash: row.hash}, nil
}

// Recheck returns a login that was opened before, with its domain as it is now.
// Unauthorized if it was deleted or got another password meanwhile.
func (s *Service) Recheck(ctx context.Context, l *Login) (*Login, error) {
	row, err := s.credential(ctx, l.Name)
	if err != nil {
		return nil, err
	}
	if row.hash != l.hash {
		return nil, errBadLogin
	}
	if row.hash == "" { // only development mode opened it
		d, err := s.Ensure(ctx, l.Domain.AccountID, l.Domain.Name)
		return &Login{Name: l.Name, Domain: d}, err
	}
	return s.opened(ctx, row)
}

func (c *credentials) verify(ctx context.Context, row *credential, password string) (err error) {
	digest := c.digest(row.login, password, row.hash)
	if _, ok := c.verified.Get(digest); ok {
		return nil
	}
	ok := false
	if e := c.inSlot(ctx, func() { ok, err = matches(row.hash, password) }); e != nil {
		return e
	}
	if err != nil {
		return err
	}
	if !ok {
		return errBadLogin
	}
	c.verified.Put(digest, struct{}{}, c.verified.Generation())
	return nil
}

func (s *Service) unknownLogin(ctx context.Context, login, password string) (*Login, error) {
	_, name, ok := strings.Cut(login, "@")
	if s.opt.Dev && ok && s.opt.DefaultAccount != nil {
		accountID, err := s.opt.DefaultAccount(ctx)
		if err != nil {
			return nil, err
		}
		d, err := s.Ensure(ctx, accountID, name)
		if err != nil {
			return nil, err
		}
		return &Login{Name: login, Domain: d}, nil
	}
	if err := s.creds.inSlot(ctx, func() { _, _ = matches(s.creds.dummy, password) }); err != nil {
		return nil, err
	}
	return nil, errBadLogin
}

// credential returns the row of a login, or one without hash if it does not
// exist.
func (s *Service) credential(ctx context.Context, login string) (*credential, error) {
	return s.creds.rows.Load(login, func() (*credential, error) {
		var c *credential
		err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
			c, err = selectCredential(tx, login)
			return err
		})
		if errs.Is(err, errs.NotFound) {
			c, err = &credential{login: login}, nil
		}
		if err != nil {
			return nil, err
		}
		c.verifier, err = s.openVerifier(c)
		return c, err
	})
}

// newCredential checks and hashes a password.
func (s *Service) newCredential(ctx context.Context, domainID int64, login, password string, system bool) (*credential, error) {
	if len(password) < minPassword {
		return nil, errs.New(errs.Invalid, "Password is too short. It must be between 5 and 32 characters.")
	}
	if len(password) > maxPassword {
		return nil, errs.New(errs.Invalid, "Password is too long. It must be between 5 and 32 characters.")
	}
	return s.hashed(ctx, domainID, login, password, system)
}

func (s *Service) hashed(ctx context.Context, domainID int64, login, password string, system bool) (*credential, error) {
	hash, err := s.creds.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	sealed, err := s.sealVerifier(login, password)
	if err != nil {
		return nil, err
	}
	return &credential{id: s.ids.Next(), domainID: domainID, login: login, hash: hash, sealed: sealed, system: system}, nil
}

// generatePassword returns a password in the form Mailgun: 32hex-8hex-8hex.
func generatePassword() string { return ids.Hex(16) + "-" + ids.Hex(4) + "-" + ids.Hex(4) }

// loginFor returns the full login of a mailbox given by itself or in full.
func loginFor(d *Domain, mailbox string) (string, error) {
	mailbox = strings.ToLower(strings.TrimSpace(mailbox))
	local, host, full := strings.Cut(mailbox, "@")
	if full {
		if n, _ := normalize(host); n != d.Name {
			return "", errs.New(errs.Invalid, "The login %q is not in the domain %s", clip(mailbox), d.Name)
		}
	}
	if !isLocal(local) {
		return "", errs.New(errs.Invalid, "The login %q is not valid", clip(mailbox))
	}
	return local + "@" + d.Name, nil
}

// isLocal reports whether s is a dot-atom of ASCII (RFC 5322, section 3.2.3).
func isLocal(s string) bool {
	if s == "" || len(s) > 64 || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") || strings.Contains(s, "..") {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>[]:;@\,"`, c) >= 0 {
			return false
		}
	}
	return true
}

// SetCredentials creates logins, or changes the password of those that exist if
// replace. A mailbox without password gets a generated one; those are returned
// by login. NotFound if a login to change does not exist.
func (s *Service) SetCredentials(ctx context.Context, d *Domain, mailboxes, passwords []string, system, replace bool) (map[string]string, error) {
	generated := map[string]string{}
	var rows []*credential
	for i, m := range mailboxes {
		login, err := loginFor(d, m)
		if err != nil {
			return nil, err
		}
		c, err := s.makeCredential(ctx, d, login, passwords, i, generated)
		if err != nil {
			return nil, err
		}
		c.system = system || login == d.Settings.SMTPLogin
		rows = append(rows, c)
	}
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		if _, err := lockDomain(tx, d.ID); err != nil {
			return err
		}
		for _, c := range rows {
			if err := storeCredential(tx, c, replace); err != nil {
				return err
			}
			tx.AfterCommit(func() { s.creds.forget(c.login) })
		}
		return nil
	})
	return generated, err
}

func (s *Service) makeCredential(ctx context.Context, d *Domain, login string, passwords []string, i int, generated map[string]string) (*credential, error) {
	if i < len(passwords) && passwords[i] != "" {
		return s.newCredential(ctx, d.ID, login, passwords[i], false)
	}
	p := generatePassword()
	generated[login] = p
	return s.hashed(ctx, d.ID, login, p, false)
}

func storeCredential(tx *db.Tx, c *credential, replace bool) error {
	if replace {
		n, err := updateCredential(tx, c)
		if err == nil && n == 0 {
			err = errNoCredential
		}
		return err
	}
	_, err := selectCredential(tx, c.login)
	if err == nil {
		return errs.New(errs.Invalid, "Credentials for %s already exist", c.login)
	}
	if !errs.Is(err, errs.NotFound) {
		return err
	}
	return insertCredential(tx, c)
}

// DeleteCredential deletes a login and returns its full form. Invalid for a
// system mailbox, NotFound without such a login.
func (s *Service) DeleteCredential(ctx context.Context, d *Domain, mailbox string) (string, error) {
	login, err := loginFor(d, mailbox)
	if err != nil {
		return "", errNoCredential
	}
	err = s.db.Write(ctx, func(tx *db.Tx) error {
		c, err := selectCredential(tx, login)
		if err != nil {
			return err
		}
		if c.system {
			return errs.New(errs.Invalid, "Cannot delete system mailbox: %s", login)
		}
		tx.AfterCommit(func() { s.creds.forget(login) })
		return deleteCredential(tx, c.id)
	})
	return login, err
}

// DeleteCredentials deletes all logins of the domain, system mailboxes included,
// and returns how many there were: who asks for this wants nobody to get in.
func (s *Service) DeleteCredentials(ctx context.Context, d *Domain) (n int64, err error) {
	err = s.db.Write(ctx, func(tx *db.Tx) error {
		tx.AfterCommit(s.creds.rows.Clear)
		n, err = deleteCredentials(tx, d.ID)
		return err
	})
	return n, err
}
