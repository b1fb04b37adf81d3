package suppress

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/mail/addr"
)

// Item is an address on a list with all its tags.
type Item struct {
	Entry          // the newest of the address; Tag is unset
	Tags  []string // of an unsubscribe, in the order they were added
}

// IsDomain reports whether an allowlist item is a domain, not an address.
func (i *Item) IsDomain() bool { return !strings.Contains(i.Address, "@") }

// Mailgun: the texts of an address that is not on a list.
var missing = map[Kind]*errs.Error{
	Bounces:      errs.New(errs.NotFound, "Address not found in bounces table"),
	Complaints:   errs.New(errs.NotFound, "No spam complaints found for this address"),
	Unsubscribes: errs.New(errs.NotFound, "Address not found in unsubscribers table"),
	Allowlist:    errs.New(errs.NotFound, "Address/Domain not found in allowlist table"),
}

// notListed is the error for an address that is not on the list.
func notListed(kind Kind) error {
	if e, ok := missing[kind]; ok {
		return e
	}
	return errs.New(errs.NotFound, "no list %q", string(kind))
}

// errNoTag answers the removal of a tag that is not there. Mailgun.
var errNoTag = errs.New(errs.NotFound, "Unsubscribe event for this tag does not exist")

// Get returns an address on a list, in whatever case it is asked for; NotFound
// with the list's text when it is not there.
func (s *Service) Get(ctx context.Context, domainID int64, kind Kind, value string) (Item, error) {
	var rows []row
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		rows, err = selectOne(tx, domainID, kind, key(value))
		return err
	})
	if err != nil {
		return Item{}, fmt.Errorf("get suppression: %w", err)
	}
	if len(rows) == 0 {
		return Item{}, notListed(kind)
	}
	return group(rows)[0], nil
}

// List returns a page of a list, ordered by the canonical form of addresses.
func (s *Service) List(ctx context.Context, q Query) ([]Item, error) {
	var rows []row
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		rows, err = selectPage(tx, &q)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list suppressions: %w", err)
	}
	return group(rows), nil
}

// group makes one item of the rows of each address, which stand together.
func group(rows []row) []Item {
	items := make([]Item, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		if i == 0 || rows[i-1].lookup != r.lookup {
			items = append(items, Item{Entry: r.Entry})
		}
		it := &items[len(items)-1]
		if r.CreatedAt > it.CreatedAt {
			it.Entry = r.Entry
		}
		it.Tag = ""
		same := func(tag string) bool { return strings.EqualFold(tag, r.Tag) }
		if r.Kind == Unsubscribes && !slices.ContainsFunc(it.Tags, same) {
			it.Tags = append(it.Tags, r.Tag)
		}
	}
	return items
}

// Put adds entries to their lists, all or none, replacing older ones of the
// same addresses. Invalid names the first entry that is wrong.
func (s *Service) Put(ctx context.Context, entries []Entry) error {
	for i := range entries {
		if err := entries[i].clean(); err != nil {
			return numbered(err, i, len(entries))
		}
	}
	return s.db.Write(ctx, func(tx *db.Tx) error { return s.add(tx, entries) })
}

// numbered says which of several entries an error is about.
func numbered(err *errs.Error, i, n int) error {
	if n == 1 {
		return err
	}
	return err.WithHint("in entry %d of %d; none was added", i+1, n)
}

// Remove takes an address off a list; for an unsubscribe a tag removes that
// tag alone. NotFound with the list's text when there is nothing to remove.
func (s *Service) Remove(ctx context.Context, domainID int64, kind Kind, value, tag string) error {
	var n int64
	err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
		n, err = deleteOne(tx, domainID, kind, key(value), tag)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("remove suppression: %w", err)
	case n > 0:
		return nil
	case tag != "":
		return errNoTag
	}
	return notListed(kind)
}

// clearRows is how many rows one transaction of Clear removes: it must not
// keep the writer from the queue for long.
const clearRows = 5000

// Clear empties a list of what was on it when the call began. When it fails
// part of the entries are gone; calling again goes on.
func (s *Service) Clear(ctx context.Context, domainID int64, kind Kind) error {
	before := s.ids.Next()
	for {
		var n int64
		err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
			n, err = deleteSome(tx, domainID, kind, before, clearRows)
			return err
		})
		if err != nil {
			return fmt.Errorf("clear suppressions: %w", err)
		}
		if n < clearRows {
			return nil
		}
	}
}

// DeleteDomain removes everything a domain has, in the transaction that
// deletes the domain.
func (s *Service) DeleteDomain(tx *db.Tx, domainID int64) error {
	if err := deleteDomain(tx, domainID); err != nil {
		return fmt.Errorf("delete suppressions: %w", err)
	}
	return nil
}

// key returns the form an address or, on the allowlist, a domain is found by.
func key(value string) string {
	if strings.Contains(value, "@") {
		return addr.Canonical(value)
	}
	return domainOf(addr.Canonical("x@" + strings.TrimSpace(value)))
}

// termKey is the form of the beginning of an address. A part of an
// internationalised domain has no A-label form and finds nothing; the whole
// address does.
func termKey(term string) string {
	term = strings.TrimSpace(term)
	if _, err := addr.ParseMailbox(term); err == nil {
		return addr.Canonical(term)
	}
	return norm.NFC.String(strings.ToLower(norm.NFC.String(term)))
}

func domainOf(a string) string { return a[strings.LastIndexByte(a, '@')+1:] }
