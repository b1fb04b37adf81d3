package domain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/errs"
	"postroad/internal/mail/dkim"
)

// verifyTimeout bounds one check of a domain, all look-ups together.
const verifyTimeout = 30 * time.Second

// Verify looks up the domain's records and stores what it finds. The domain
// becomes active when its SPF record passes for this server and every active key
// is published. Look-ups that fail make a record unknown and no error.
func (s *Service) Verify(ctx context.Context, d *Domain) (*Domain, error) {
	var keys []*Key
	var host string
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		keys, host, err = signing(tx, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.opt.Resolver == nil {
		return s.ByID(ctx, d.ID)
	}
	records, ready := s.check(ctx, d, keys, host)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.change(ctx, d.ID, func(tx *db.Tx, now *Domain) error {
		now.Records, now.CheckedAt = records, s.clock.Now().UTC()
		if ready && now.State == Unverified {
			now.State = Active
			s.log.Info("domain verified", "domain", now.Name)
		}
		return nil
	})
}

// VerifyPending checks up to limit domains that are not verified yet, those
// checked longest ago first, and returns how many became active. A domain that
// cannot be checked does not keep the others from it; the error joins those of
// all. One that is gone meanwhile is none.
func (s *Service) VerifyPending(ctx context.Context, limit int) (active int, err error) {
	return s.verifyAll(ctx, func(tx *db.Tx) ([]*Domain, error) { return selectUnverified(tx, limit) })
}

// recheckAfter is how long what was found for an active domain is good for.
const recheckAfter = 24 * time.Hour

// VerifyActive checks up to limit active domains that were not checked for a day,
// so that the records shown are so, and links get a tracking host that was
// published later and lose one that is gone. No domain becomes inactive by it.
func (s *Service) VerifyActive(ctx context.Context, limit int) error {
	_, err := s.verifyAll(ctx, func(tx *db.Tx) ([]*Domain, error) {
		return selectActive(tx, s.clock.Now().Add(-recheckAfter), limit)
	})
	return err
}

func (s *Service) verifyAll(ctx context.Context, choose func(*db.Tx) ([]*Domain, error)) (active int, err error) {
	var list []*Domain
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		list, err = choose(tx)
		return err
	})
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, d := range list {
		if err := ctx.Err(); err != nil {
			return active, errors.Join(append(failed, err)...)
		}
		now, err := s.Verify(ctx, d)
		switch {
		case err == nil && now.State == Active:
			active++
		case err != nil && !errs.Is(err, errs.NotFound):
			failed = append(failed, fmt.Errorf("%s: %w", d.Name, err))
		}
	}
	return active, errors.Join(failed...)
}

// checker is what the checks of one domain share.
type checker struct {
	*Service
	d     *Domain
	addrs []netip.Addr // ours
	blind bool         // our own addresses could not be looked up
}

// check returns all records with their state, and whether the domain may send.
func (s *Service) check(ctx context.Context, d *Domain, keys []*Key, host string) (records []Record, ready bool) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	c := s.newChecker(ctx, d)
	receiving, sending := s.receiving(), s.sending(d, keys, host)
	var wg sync.WaitGroup
	for i := range receiving {
		wg.Go(func() { c.mx(ctx, &receiving[i]) })
	}
	for i, k := range keys {
		wg.Go(func() { c.key(ctx, &sending[i], k, k.Selector+"._domainkey."+host) })
	}
	spf, link := &sending[len(keys)], &sending[len(keys)+1]
	wg.Go(func() { c.spf(ctx, spf) })
	wg.Go(func() { c.link(ctx, link) })
	wg.Wait()
	ready = spf.Valid == Valid && published(keys, sending)
	return append(receiving, sending...), ready
}

// published reports whether every key that signs can be found.
func published(keys []*Key, records []Record) bool {
	some := false
	for i, k := range keys {
		if k.Active {
			if records[i].Valid != Valid {
				return false
			}
			some = true
		}
	}
	return some
}

// judge sets the state of a record from a look-up.
func (r *Record) judge(found []string, err error, ok bool) {
	if found == nil {
		found = []string{}
	}
	r.Cached = found
	switch {
	case err != nil && !dnsx.IsNotFound(err):
		r.Valid = Unknown
	case ok:
		r.Valid = Valid
	default:
		r.Valid = Invalid
	}
}

func (c *checker) mx(ctx context.Context, r *Record) {
	hosts, err := c.opt.Resolver.MX(ctx, c.d.Name)
	var found []string
	ok := false
	for _, h := range hosts {
		found = append(found, strconv.Itoa(int(h.Preference))+" "+h.Name)
		ok = ok || strings.EqualFold(h.Name, c.opt.Hostname)
	}
	r.judge(found, err, ok)
}

// key looks the key up as a verifier does; an alias is followed.
func (c *checker) key(ctx context.Context, r *Record, k *Key, name string) {
	texts, err := c.opt.Resolver.TXT(ctx, name)
	own, parseErr := dkim.ParseRecord(k.Public)
	ok := false
	for _, t := range texts {
		if rec, err := dkim.ParseRecord(t); err == nil && parseErr == nil {
			ok = ok || rec.Publishes(own.PublicKey)
		}
	}
	r.judge(texts, err, ok)
}

func (c *checker) spf(ctx context.Context, r *Record) {
	res, found := spfFor(ctx, c.opt.Resolver, c.opt.Hostname, c.addrs, c.d.Name)
	var err error
	if res == spfTempError || c.blind && res != spfPass {
		err = errSPFTemp
	}
	r.judge(found, err, res == spfPass)
	if ours, err := spfRecords(ctx, c.opt.Resolver, c.opt.Hostname); err == nil {
		r.Value = c.spfWith(len(ours) == 1)
	}
}

// link checks the name of tracking links. Some DNS providers resolve aliases
// themselves and publish addresses; those must be ours.
func (c *checker) link(ctx context.Context, r *Record) {
	target, err := c.opt.Resolver.CNAME(ctx, r.Name)
	if err == nil {
		r.judge([]string{target}, nil, strings.EqualFold(target, c.opt.Hostname))
		return
	}
	if !dnsx.IsNotFound(err) {
		r.judge(nil, err, false)
		return
	}
	v4, v6, err := c.opt.Resolver.Addrs(ctx, r.Name)
	var found []string
	ok := len(v4)+len(v6) > 0
	for _, a := range append(v4, v6...) {
		found = append(found, a.String())
		ok = ok && containsAddr(c.addrs, a)
	}
	r.judge(found, err, ok)
}

func containsAddr(list []netip.Addr, a netip.Addr) bool {
	for _, b := range list {
		if a == b {
			return true
		}
	}
	return false
}
