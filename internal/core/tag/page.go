package tag

import (
	"context"
	"net/url"
	"strconv"

	"postroad/internal/base/db"
)

// Direction is which page of a list is wanted.
type Direction string

// The directions. Mailgun: values of the parameter page.
const (
	First    Direction = "first"
	Next     Direction = "next"
	Previous Direction = "prev"
	Last     Direction = "last"
)

// Query asks for a page of a domain's tags.
type Query struct {
	DomainID  int64
	Prefix    string // beginning of the tags wanted, in any case
	Direction Direction
	Tag       string // of Next and Previous: the tag the page follows or precedes; "" for an end of the list
	Limit     int
}

// backward reports whether the page is counted from the end.
func (q *Query) backward() bool { return q.Direction == Previous || q.Direction == Last }

// pivot is the tag the page starts from, "" for none.
func (q *Query) pivot() string {
	if q.Direction != Next && q.Direction != Previous {
		return ""
	}
	return key(q.Tag)
}

// List returns a page of a domain's tags, in their order.
func (s *Service) List(ctx context.Context, q Query) (list []Tag, err error) {
	err = s.read(ctx, func(tx *db.Tx) error {
		list, err = selectPage(tx, &q)
		return err
	})
	return list, err
}

// paging is where the pages around one are. Mailgun: members in this order.
type paging struct {
	Previous string `json:"previous" doc:"URL of the page before this one; it may be empty"`
	First    string `json:"first" doc:"URL of the first page"`
	Next     string `json:"next" doc:"URL of the page after this one; it may be empty"`
	Last     string `json:"last" doc:"URL of the last page"`
}

// pagingOf returns the URLs around a page; base is the address of the list as the
// client wrote it. Mailgun: all four have the parameters limit, page and tag in
// this order, tag often empty.
func pagingOf(base string, q *Query, list []Tag) paging {
	at := func(d Direction, tag string) string {
		u := base + "?limit=" + strconv.Itoa(q.Limit) + "&page=" + string(d) + "&tag=" + url.QueryEscape(tag)
		if q.Prefix != "" {
			u += "&prefix=" + url.QueryEscape(q.Prefix)
		}
		return u
	}
	p := paging{at(Previous, q.Tag), at(First, ""), at(Next, q.Tag), at(Last, "")}
	switch {
	case len(list) > 0:
		p.Previous, p.Next = at(Previous, list[0].Name), at(Next, list[len(list)-1].Name)
	case q.pivot() == "":
		p.Previous, p.Next = p.First, p.First
	case q.Direction == Next: // past the end: what was before it begins at the end
		p.Previous = p.Last
	default:
		p.Next = p.First
	}
	return p
}

// AccountQuery asks for tags of all domains of an account; those of one name are
// one.
type AccountQuery struct {
	AccountID  string
	Prefix     string // beginning of the tags wanted, in any case
	Sort       string // lastseen, firstseen or tag
	Descending bool
	Skip       int
	Limit      int
	Count      bool // also count what there is
	Metrics    bool // also sum up what was counted
}

// AccountPage is a part of an account's tags.
type AccountPage struct {
	Tags   []Tag
	Total  int64              // where Count
	counts map[string]*counts // by lookup, where Metrics
}

// ListAccount returns tags of an account.
func (s *Service) ListAccount(ctx context.Context, q AccountQuery) (p AccountPage, err error) {
	err = s.read(ctx, func(tx *db.Tx) error {
		if p.Tags, err = selectAccount(tx, &q); err != nil {
			return err
		}
		if q.Count {
			if p.Total, err = countAccount(tx, q.AccountID, q.Prefix); err != nil {
				return err
			}
		}
		if !q.Metrics {
			return nil
		}
		lookups := make([]string, len(p.Tags))
		for i := range p.Tags {
			lookups[i] = key(p.Tags[i].Name)
		}
		p.counts, err = sumByTag(tx, q.AccountID, lookups)
		return err
	})
	return p, err
}

// Limit says how many tags there are and may be.
type Limit struct{ Limit, Count int }

// Limits returns the limits of a domain and of its account.
func (s *Service) Limits(ctx context.Context, domainID int64, accountID string) (ofDomain, ofAccount Limit, err error) {
	ofDomain.Limit, ofAccount.Limit = s.o.PerDomain, s.o.PerAccount
	err = s.read(ctx, func(tx *db.Tx) error {
		ofDomain.Count, ofAccount.Count, err = countTags(tx, domainID, accountID)
		return err
	})
	return ofDomain, ofAccount, err
}
