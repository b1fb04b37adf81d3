package suppress

import (
	"net/url"
	"strconv"
)

// Direction is which page of a list is wanted.
type Direction string

// The directions. Mailgun: values of the parameter page.
const (
	First    Direction = "first"
	Next     Direction = "next"
	Previous Direction = "previous"
	Last     Direction = "last"
)

// Query asks for a page of a list.
type Query struct {
	DomainID  int64
	Kind      Kind
	Term      string // beginning of the addresses wanted, in any case
	Direction Direction
	Address   string // of Next and Previous: the address the page follows or precedes; "" for an end of the list
	Limit     int    // addresses
}

// backward reports whether the page is counted from the end.
func (q *Query) backward() bool { return q.Direction == Previous || q.Direction == Last }

// pivot is the lookup form of the address the page starts from, "" for none.
func (q *Query) pivot() string {
	if q.Address == "" || q.Direction != Next && q.Direction != Previous {
		return ""
	}
	return key(q.Address)
}

// paging is where the pages around one are. Mailgun: members in this order.
type paging struct {
	First    string `json:"first" doc:"URL of the first page"`
	Last     string `json:"last" doc:"URL of the last page"`
	Next     string `json:"next" doc:"URL of the page after this one; it may be empty"`
	Previous string `json:"previous" doc:"URL of the page before this one; it may be empty"`
}

// pagingOf returns the URLs around the page items that answered q; base is the
// address of the list as the client wrote it. Mailgun: parameters in this order,
// and those of the first page alone where the list is empty.
func pagingOf(base string, q *Query, items []Item) paging {
	rest := "limit=" + strconv.Itoa(q.Limit) + "&term=" + url.QueryEscape(q.Term)
	first, last := base+"?"+rest, base+"?page=last&"+rest
	at := func(d Direction, address string) string {
		return base + "?page=" + string(d) + "&address=" + url.QueryEscape(address) + "&" + rest
	}
	switch {
	case len(items) > 0:
		return paging{first, last, at(Next, items[len(items)-1].Address), at(Previous, items[0].Address)}
	case q.pivot() == "":
		return paging{first, first, first, first}
	case q.Direction == Next: // past the end: what comes later, and the end again
		return paging{first, last, at(Next, q.Address), last}
	default: // before the beginning
		return paging{first, last, first, at(Previous, q.Address)}
	}
}
