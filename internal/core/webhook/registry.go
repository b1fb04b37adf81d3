package webhook

import (
	"context"

	"postroad/internal/base/db"
)

// slot is what an event is looked up by; domain 0 is the account's own level.
type slot struct {
	account string
	domain  int64
	name    string
}

// target is a URL with its lane, worked out once.
type target struct{ url, lane string }

// registry is every registration, in memory and immutable: an event costs two
// map look-ups and no query.
type registry struct {
	version version
	slots   map[slot][]target
}

// targets returns the URLs to call, the account's first, each once.
// Mailgun: account and domain URLs are de-duplicated per event.
func (r *registry) targets(account string, domain int64, name string) []target {
	if r == nil || len(r.slots) == 0 || name == "" {
		return nil
	}
	own := r.slots[slot{account, domain, name}]
	if domain == 0 {
		return own
	}
	shared := r.slots[slot{account, 0, name}]
	if len(shared) == 0 {
		return own
	}
	out := append(make([]target, 0, len(shared)+len(own)), shared...)
	for _, t := range own {
		if !hasURL(shared, t.url) {
			out = append(out, t)
		}
	}
	return out
}

func hasURL(list []target, url string) bool {
	for _, t := range list {
		if t.url == url {
			return true
		}
	}
	return false
}

// Reload brings the copy of the registrations up to date. Changes made through
// this service are visible at once; this is for those of other programs.
func (s *Service) Reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	var next *registry
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		v, err := hookVersion(tx)
		if err != nil {
			return err
		}
		if old := s.registry.Load(); old != nil && old.version == v {
			return nil
		}
		next, err = loadRegistry(tx, v)
		return err
	})
	if err == nil && next != nil {
		s.registry.Store(next)
	}
	return err
}

func loadRegistry(tx *db.Tx, v version) (*registry, error) {
	r := &registry{version: v, slots: map[slot][]target{}}
	err := eachHook(tx, func(h *hook) {
		k := slot{h.account, h.domain, h.name}
		r.slots[k] = append(r.slots[k], target{h.url, laneOf(h.url)})
	})
	return r, err
}
