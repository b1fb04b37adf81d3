package suppress

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"postroad/internal/base/db"
)

// Leaving is who unsubscribes from what.
type Leaving struct {
	DomainID  int64
	Address   string
	Tags      []string // none: all mail of the domain
	MessageID string   // of the message whose link or address it was, "" if not known
}

// Standing is how an address stands with what a Leaving is about.
type Standing struct {
	Left bool // it gets none of that mail
	Undo bool // and Rejoin would change that
}

// Standing looks an address up.
func (s *Service) Standing(ctx context.Context, l Leaving) (st Standing, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		st, err = l.standing(tx)
		return err
	})
	return st, err
}

func (l *Leaving) standing(tx *db.Tx) (Standing, error) {
	rows, err := selectOne(tx, l.DomainID, Unsubscribes, key(l.Address))
	if err != nil {
		return Standing{}, fmt.Errorf("unsubscribes: %w", err)
	}
	own := func(r row) bool { return r.MessageID == l.MessageID && concerns(l.wanted(), r.Tag) }
	left := len(l.open(rows)) == 0
	return Standing{Left: left, Undo: left && l.MessageID != "" && len(l.open(slices.DeleteFunc(rows, own))) > 0}, nil
}

func concerns(tags []string, tag string) bool {
	return slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, tag) })
}

// wanted are the tags left, "*" for the domain.
func (l *Leaving) wanted() []string {
	if len(l.Tags) == 0 {
		return []string{everyTag}
	}
	return l.Tags
}

// open returns those of wanted that entries leave open.
func (l *Leaving) open(rows []row) (tags []string) {
	for _, t := range l.wanted() {
		if !slices.ContainsFunc(rows, func(r row) bool { return covers(r.Tag, []string{t}) }) {
			tags = append(tags, t)
		}
	}
	return tags
}

// Claim takes the tags, "*" for the domain, that the address has not left yet; of
// several callers at a time one gets each. The caller makes the event of them in
// the same transaction, which writes the entries in full.
func (s *Service) Claim(tx *db.Tx, l Leaving) (tags []string, err error) {
	rows, err := selectOne(tx, l.DomainID, Unsubscribes, key(l.Address))
	if err != nil {
		return nil, fmt.Errorf("unsubscribes: %w", err)
	}
	n := Entry{Kind: Unsubscribes, DomainID: l.DomainID, Address: l.Address, MessageID: l.MessageID, CreatedAt: tx.Now}
	for _, n.Tag = range slices.Sorted(slices.Values(l.open(rows))) { // in one order, so that two do not lock each other
		won, err := insertNew(tx, row{Entry: n, id: s.ids.Next(), lookup: key(n.Address)})
		if err != nil {
			return nil, fmt.Errorf("unsubscribe: %w", err)
		}
		if won {
			tags = append(tags, n.Tag)
		}
	}
	return tags, nil
}

// Rejoin takes off what the message of a Leaving has put on, and nothing else:
// what the recipient said elsewhere, or the domain's owner entered, stays. It
// returns how many entries went.
func (s *Service) Rejoin(ctx context.Context, l Leaving) (n int64, err error) {
	if l.MessageID == "" {
		return 0, nil
	}
	err = s.db.Write(ctx, func(tx *db.Tx) error {
		n, err = deleteOf(tx, l.DomainID, key(l.Address), l.MessageID, l.wanted())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("subscribe again: %w", err)
	}
	return n, nil
}

// each returns an entry for every tag; e itself if there are none.
func (e Entry) each(tags []string) []Entry {
	if len(tags) == 0 {
		return []Entry{e}
	}
	out := make([]Entry, len(tags))
	for i, t := range tags {
		out[i] = e
		out[i].Tag = t
	}
	return out
}
