package webhook

import (
	"context"
	"slices"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
)

// change runs fn on the registrations of a scope, alone, and makes the result
// visible to events before it returns.
func (s *Service) change(ctx context.Context, sc scope, fn func(tx *db.Tx, have hookSet) error) error {
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		if err := lockScope(tx, sc); err != nil {
			return err
		}
		have, err := hooksOf(tx, sc)
		if err != nil {
			return err
		}
		return fn(tx, have)
	})
	if err != nil {
		return err
	}
	return s.Reload(ctx)
}

func (s *Service) hooks(ctx context.Context, sc scope) (have hookSet, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		have, err = hooksOf(tx, sc)
		return err
	})
	return have, err
}

// newHook returns a registration without event type, with a new public id.
// Mailgun: 24 hexadecimal digits.
func newHook(sc scope, url, description string) hook {
	return hook{publicID: ids.Hex(12), account: sc.account, domain: sc.domain, url: url, description: description}
}

// add writes one registration per name and returns the set with them.
func (s *Service) add(tx *db.Tx, f flavour, have hookSet, proto hook, names ...string) (hookSet, error) {
	for _, n := range names {
		if err := f.checkAdd(have, n, proto.url); err != nil {
			return nil, err
		}
		h := proto
		h.id, h.name = s.ids.Next(), n
		if h.createdAt == 0 {
			h.createdAt = tx.Now
		}
		if err := insertHook(tx, &h); err != nil {
			return nil, err
		}
		have = append(have, h)
	}
	return have, nil
}

// remove deletes the registrations that match and returns the others.
func remove(tx *db.Tx, have hookSet, match func(*hook) bool) (rest, gone hookSet, err error) {
	gone = have.where(match)
	for i := range gone {
		if err := deleteHook(tx, gone[i].id); err != nil {
			return nil, nil, err
		}
	}
	return have.where(func(h *hook) bool { return !match(h) }), gone, nil
}

// addURLs registers URLs for one event type next to those it has.
func (s *Service) addURLs(ctx context.Context, sc scope, name string, urls []string) (out []string, err error) {
	f := flavourV3()
	if err := s.checkURLs(ctx, f, urls); err != nil {
		return nil, err
	}
	err = s.change(ctx, sc, func(tx *db.Tx, have hookSet) error {
		for _, u := range urls {
			if have, err = s.add(tx, f, have, newHook(sc, u, ""), name); err != nil {
				return err
			}
		}
		out = have.urls(name)
		return nil
	})
	return out, err
}

// replaceURLs makes urls the only ones of an event type.
func (s *Service) replaceURLs(ctx context.Context, sc scope, name string, urls []string) (out []string, err error) {
	f := flavourV3()
	if err := s.checkURLs(ctx, f, urls); err != nil {
		return nil, err
	}
	err = s.change(ctx, sc, func(tx *db.Tx, have hookSet) error {
		have, _, err := remove(tx, have, func(h *hook) bool { return h.name == name })
		if err != nil {
			return err
		}
		for _, u := range urls {
			if have, err = s.add(tx, f, have, newHook(sc, u, ""), name); err != nil {
				return err
			}
		}
		out = have.urls(name)
		return nil
	})
	return out, err
}

// removeName deletes an event type's registrations and returns their URLs.
func (s *Service) removeName(ctx context.Context, sc scope, name string) (out []string, err error) {
	err = s.change(ctx, sc, func(tx *db.Tx, have hookSet) error {
		_, gone, err := remove(tx, have, func(h *hook) bool { return h.name == name })
		if err != nil {
			return err
		}
		if out = gone.urls(name); len(out) == 0 {
			return errs.New(errs.NotFound, "Webhook not found")
		}
		return nil
	})
	return out, err
}

// addTypes registers one URL for several event types.
func (s *Service) addTypes(ctx context.Context, sc scope, url string, names []string) (out hookSet, err error) {
	f := flavourV4()
	if err := s.checkBoth(ctx, f, url, names); err != nil {
		return nil, err
	}
	err = s.change(ctx, sc, func(tx *db.Tx, have hookSet) error {
		out, err = s.add(tx, f, have, newHook(sc, url, ""), names...)
		return err
	})
	return out, err
}

// replaceTypes makes names the only event types of a URL that is registered.
func (s *Service) replaceTypes(ctx context.Context, sc scope, url string, names []string) (out hookSet, err error) {
	f := flavourV4()
	if err := s.checkBoth(ctx, f, url, names); err != nil {
		return nil, err
	}
	err = s.change(ctx, sc, func(tx *db.Tx, have hookSet) error {
		rest, gone, err := remove(tx, have, func(h *hook) bool { return h.url == url })
		if err != nil {
			return err
		}
		if len(gone) == 0 {
			return errs.New(errs.NotFound, "Webhook not found")
		}
		out, err = s.add(tx, f, rest, newHook(sc, url, ""), names...)
		return err
	})
	return out, err
}

// removeURLs deletes URLs from every event type of a scope. A URL that is not
// registered is no error: the answer is the map that is left.
func (s *Service) removeURLs(ctx context.Context, sc scope, urls []string) (out hookSet, err error) {
	err = s.change(ctx, sc, func(tx *db.Tx, have hookSet) error {
		out, _, err = remove(tx, have, func(h *hook) bool { return slices.Contains(urls, h.url) })
		return err
	})
	return out, err
}

// DeleteDomain deletes the registrations of a domain, in the transaction that
// deletes it. Calls already staged are still made.
func (s *Service) DeleteDomain(tx *db.Tx, domainID int64) error {
	if err := deleteDomainHooks(tx, domainID); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		if err := s.Reload(context.WithoutCancel(tx.Context())); err != nil {
			s.log.Error("webhooks: reload after a domain was deleted", "error", err)
		}
	})
	return nil
}
