package domain

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
)

// CreateRequest describes a domain to create. Zero values mean the default.
type CreateRequest struct {
	Name                       string
	SMTPPassword               string // makes the login postmaster@Name
	SpamAction                 string
	Wildcard                   bool
	RequireTLS                 bool
	SkipVerification           bool
	UseAutomaticSenderSecurity bool
	EncryptIncomingMessage     bool
	ForceDKIMAuthority         bool // sign with keys of its own though the root is registered
	ForceRootDKIMHost          bool // sign as the root domain, with keys of its own
	DKIMHostName               string
	DKIMKeySize                string // "1024" or "2048"
	DKIMSelector               string
	WebScheme                  string
	WebPrefix                  string
	TrackingHost               string
	ArchiveTo                  string
	MailFromHost               string
	MessageTTL                 int64 // seconds
	PoolID                     string
	IPs                        []string
}

// Create makes a domain with its DKIM key. Invalid if the request is wrong or the
// name is taken.
func (s *Service) Create(ctx context.Context, accountID string, r CreateRequest) (*Domain, error) {
	return s.create(ctx, accountID, r, Custom)
}

func (s *Service) create(ctx context.Context, accountID string, r CreateRequest, kind string) (*Domain, error) {
	d, bits, err := s.plan(accountID, r, kind)
	if err != nil {
		return nil, err
	}
	if err := s.checkFree(ctx, d.Name); err != nil {
		return nil, err
	}
	var cred *credential
	if r.SMTPPassword != "" {
		if cred, err = s.newCredential(ctx, d.ID, d.Settings.SMTPLogin, r.SMTPPassword, true); err != nil {
			return nil, err
		}
	}
	keys, err := s.firstKeys(d, bits)
	if err != nil {
		return nil, err
	}
	err = s.db.Write(ctx, func(tx *db.Tx) error { return s.insert(tx, d, keys, cred) })
	if db.IsConflict(err) {
		return nil, errTaken
	}
	if err != nil {
		return nil, fmt.Errorf("create domain: %w", err)
	}
	s.log.Info("domain created", "domain", d.Name, "account", accountID, "type", kind, "state", d.State)
	return s.ByID(ctx, d.ID)
}

// checkFree saves the cost of a key for a name that cannot be had; the unique
// constraint decides in the end.
func (s *Service) checkFree(ctx context.Context, name string) error {
	_, err := s.read(ctx, func(tx *db.Tx) (*Domain, error) { return selectByName(tx, name) })
	if err == nil {
		return errTaken
	}
	if errs.Is(err, errs.NotFound) {
		return nil
	}
	return err
}

func (s *Service) insert(tx *db.Tx, d *Domain, keys []*Key, cred *credential) error {
	authority, err := authorityFor(tx, d)
	if err != nil {
		return err
	}
	d.Authority = authority
	if err := s.setHost(tx, d, d.Settings.TrackingHost); err != nil {
		return err
	}
	if err := insertDomain(tx, d); err != nil {
		return err
	}
	for _, k := range keys {
		if err := insertKey(tx, k); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() { s.forget(d) })
	if cred == nil {
		return nil
	}
	tx.AfterCommit(func() { s.creds.forget(cred.login) })
	return insertCredential(tx, cred)
}

// authorityFor returns the registered root domain of the account, unless the
// domain is to sign for itself.
func authorityFor(tx *db.Tx, d *Domain) (string, error) {
	root := rootOf(d.Name)
	if d.Settings.ForceDKIMAuthority || d.Settings.DKIMHost != "" || root == "" {
		return d.Name, nil
	}
	r, err := selectByName(tx, root)
	if errs.Is(err, errs.NotFound) {
		return d.Name, nil
	}
	if err != nil {
		return "", err
	}
	if r.AccountID != d.AccountID || r.Authority != r.Name {
		return d.Name, nil
	}
	return root, nil
}

// plan checks a request and lays out the domain it asks for.
func (s *Service) plan(accountID string, r CreateRequest, kind string) (*Domain, int, error) {
	name, err := NormalizeName(r.Name, s.opt.Dev || kind == Sandbox)
	if err != nil {
		return nil, 0, err
	}
	id := s.ids.Next()
	d := &Domain{ID: id, PublicID: newPublicID(id), Name: name, AccountID: accountID, State: Unverified, Type: kind}
	if s.assumed() || kind == Sandbox {
		d.State = Active
	}
	d.Settings = defaultSettings(name)
	c := &d.Settings
	c.Wildcard, c.RequireTLS, c.SkipVerification = r.Wildcard, r.RequireTLS, r.SkipVerification
	c.UseAutomaticSenderSecurity, c.EncryptIncomingMessage = r.UseAutomaticSenderSecurity, r.EncryptIncomingMessage
	c.ForceDKIMAuthority, c.PoolID, c.IPs = r.ForceDKIMAuthority, r.PoolID, r.IPs
	set(&c.SpamAction, r.SpamAction)
	set(&c.WebScheme, r.WebScheme)
	set(&c.WebPrefix, r.WebPrefix)
	set(&c.ArchiveTo, r.ArchiveTo)
	set(&c.MailFromHost, r.MailFromHost)
	set(&c.TrackingHost, r.TrackingHost)
	set(&c.DKIMSelector, r.DKIMSelector)
	set(&c.MessageTTL, r.MessageTTL)
	if c.DKIMHost, err = dkimHost(name, r); err != nil {
		return nil, 0, err
	}
	bits, err := s.keyBits(r.DKIMKeySize)
	if err != nil {
		return nil, 0, err
	}
	return d, bits, c.check()
}

func set[T comparable](field *T, v T) {
	var zero T
	if v != zero {
		*field = v
	}
}

func (s *Service) keyBits(size string) (int, error) {
	switch size {
	case "":
		return s.opt.KeyBits, nil
	case "1024":
		return 1024, nil
	case "2048":
		return 2048, nil
	}
	return 0, errs.New(errs.Invalid, "DKIM key size must be either 1024 or 2048")
}

// dkimHost returns the signing domain that was asked for, "" for the usual one.
// A receiver relates it to the From address only within one root domain.
func dkimHost(name string, r CreateRequest) (string, error) {
	if r.DKIMHostName != "" && (r.ForceDKIMAuthority || r.ForceRootDKIMHost) {
		return "", errs.New(errs.Invalid, "dkim_host_name cannot be used together with force_dkim_authority or force_root_dkim_host")
	}
	if r.ForceRootDKIMHost {
		return rootOf(name), nil
	}
	if r.DKIMHostName == "" {
		return "", nil
	}
	host, err := NormalizeName(r.DKIMHostName, false)
	if err != nil {
		return "", err
	}
	if !within(host, name) && host != rootOf(name) {
		return "", errs.New(errs.Invalid, "dkim_host_name must be the domain, a subdomain of it, or its root domain")
	}
	return host, nil
}

// maxTTL bounds message_ttl to ten years.
const maxTTL = 10 * 365 * 24 * 60 * 60

// check refuses settings that cannot work.
func (c *Settings) check() error {
	if c.SpamAction == "delete" { // an old name that mailgun-go still sends
		c.SpamAction = "block"
	}
	c.WebPrefix = strings.ToLower(c.WebPrefix)
	switch {
	case !slices.Contains([]string{"disabled", "block", "tag"}, c.SpamAction):
		return errs.New(errs.Invalid, "spam_action must be one of disabled, block, tag")
	case c.WebScheme != "http" && c.WebScheme != "https":
		return errs.New(errs.Invalid, "web_scheme must be http or https")
	case !isLabel(c.WebPrefix):
		return errs.New(errs.Invalid, "web_prefix must be a valid atom")
	case !isSelector(c.DKIMSelector):
		return errs.New(errs.Invalid, "dkim_selector must be a valid atom")
	case c.MessageTTL < 1 || c.MessageTTL > maxTTL:
		return errs.New(errs.Invalid, "message_ttl must be between 1 and %d seconds", int64(maxTTL))
	}
	return c.checkNames()
}

func (c *Settings) checkNames() error {
	if c.ArchiveTo != "" {
		u, err := url.Parse(c.ArchiveTo)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(c.ArchiveTo) > 2048 {
			return errs.New(errs.Invalid, "archive_to must be an http or https URL")
		}
	}
	if c.MailFromHost != "" {
		host, err := NormalizeName(c.MailFromHost, false)
		if err != nil || host != c.MailFromHost {
			return errs.New(errs.Invalid, "mailfrom_host must be a host name in lower case")
		}
	}
	for _, ip := range c.IPs {
		if _, err := netip.ParseAddr(ip); err != nil {
			return errs.New(errs.Invalid, "ips: %q is not an address", clip(ip))
		}
	}
	if len(c.IPs) > 100 || len(c.PoolID) > 100 {
		return errs.New(errs.Invalid, "too many addresses, or the pool's id is too long")
	}
	return nil
}
