package domain

import (
	"context"
	"iter"
	"slices"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/errs"
)

// Host is what a host name is to the links of domains.
type Host struct {
	Name   string  // lower case, A-labels
	Domain *Domain // nil: nothing
	// Current says that new links of Domain have this host. Otherwise links of mail
	// sent earlier may have it: it is a name right below the domain, or was its
	// tracking host.
	Current bool
}

// ByHost returns what a host name without port, in any spelling, is to the links
// of domains. For a name asked for recently, in lower case, it costs no
// allocation, whether or not it is one.
func (s *Service) ByHost(ctx context.Context, host string) (Host, error) {
	if h, ok := s.hosts.Get(host); ok {
		return h, nil
	}
	key, reason := normalize(host)
	if reason != "" {
		return Host{}, nil
	}
	return s.hosts.Load(key, func() (h Host, err error) {
		err = s.db.Read(ctx, func(tx *db.Tx) error {
			h, err = readHost(tx, key)
			return err
		})
		return h, err
	})
}

func readHost(tx *db.Tx, host string) (Host, error) {
	h := Host{Name: host}
	if _, parent, ok := strings.Cut(host, "."); ok {
		d, err := selectByName(tx, parent)
		if err != nil && !errs.Is(err, errs.NotFound) {
			return h, err
		}
		if h.Domain = d; d != nil && d.TrackingHost() == host {
			h.Current = true
			return h, nil
		}
	}
	list, err := selectByHost(tx, host)
	if err != nil || len(list) == 0 {
		return h, err
	}
	i := slices.IndexFunc(list, func(d *Domain) bool { return d.TrackingHost() == host })
	h.Domain, h.Current = list[max(i, 0)], i >= 0
	return h, nil
}

// parents yields a name and those above it.
func parents(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for ok := true; ok; _, name, ok = strings.Cut(name, ".") {
			if !yield(name) {
				return
			}
		}
	}
}

// setHost takes a tracking host into the settings of a domain: a name of its
// account's, or of nobody's.
func (s *Service) setHost(tx *db.Tx, d *Domain, host string) error {
	if host == "" {
		d.Settings.TrackingHost = ""
		return nil
	}
	name, err := NormalizeName(host, s.opt.Dev)
	if err != nil {
		return errs.New(errs.Invalid, "tracking_host must be a host name")
	}
	if name == s.opt.Hostname {
		return errs.New(errs.Invalid, "tracking_host is the name of the server itself")
	}
	free, err := claimHost(tx, d, name)
	if err == nil && !free {
		err = errs.New(errs.Invalid, "tracking_host belongs to another account")
	}
	d.Settings.TrackingHost = name
	return err
}

// LinksReady reports whether the tracking host leads to this server, as of the
// last look.
func (s *Service) LinksReady(d *Domain) bool {
	if s.assumed() {
		return true
	}
	i := linkRecord(d)
	return i >= 0 && d.Records[i].Valid == Valid
}

func linkRecord(d *Domain) int {
	host := d.TrackingHost()
	return slices.IndexFunc(d.Records, func(r Record) bool { return r.Type == "CNAME" && r.Name == host })
}

// CheckLinks looks up the record of the tracking host alone, stores what it finds
// and returns it. Where domains are verified without proof it is valid.
func (s *Service) CheckLinks(ctx context.Context, d *Domain) (Record, error) {
	r := s.linkRecord(d)
	if s.assumed() || s.opt.Resolver == nil {
		r.Valid = Valid
		return r, nil
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	c := s.newChecker(ctx, d)
	c.link(ctx, &r)
	if err := ctx.Err(); err != nil {
		return r, errs.Wrap(errs.Unavailable, err, "The DNS did not answer in time, try again")
	}
	_, err := s.change(ctx, d.ID, func(_ *db.Tx, now *Domain) error {
		if i := linkRecord(now); i >= 0 {
			now.Records[i] = r
		} else if now.TrackingHost() == r.Name {
			now.Records = append(now.Records, r)
		}
		return nil
	})
	return r, err
}

func (s *Service) newChecker(ctx context.Context, d *Domain) *checker {
	v4, v6, err := s.opt.Resolver.Addrs(ctx, s.opt.Hostname)
	return &checker{Service: s, d: d, addrs: append(v4, v6...), blind: err != nil && !dnsx.IsNotFound(err)}
}

func (s *Service) linkRecord(d *Domain) Record {
	return Record{Active: true, Cached: []string{}, Name: d.TrackingHost(), Type: "CNAME", Valid: Unknown, Value: s.opt.Hostname}
}
