package list

import (
	"net/url"
	"slices"
	"strconv"

	"postroad/internal/mail/addr"
)

// Mailgun: 100 is the default and the most.
const maxPage = 100

// page is a part of a list in the order of addresses.
type page struct {
	limit, skip int
	direction   string // first, next, prev or last; "" by limit and skip
	address     string // of next and prev: what the page follows or precedes
	exact       string // only this address
	subscribed  *bool  // only such members
}

func (p *page) backward() bool { return p.direction == "prev" || p.direction == "last" }

// pivot is the canonical address the page starts from, "" for none.
func (p *page) pivot() string {
	if p.address == "" || p.direction != "next" && p.direction != "prev" {
		return ""
	}
	return addr.Canonical(p.address)
}

// where, order and args are the part of a query that p makes; first are the
// arguments before it.
func (p *page) where() (cond string) {
	if p.exact != "" {
		cond += " AND lookup = ?"
	}
	if p.subscribed != nil {
		cond += " AND subscribed = ?"
	}
	if p.pivot() != "" && p.backward() {
		cond += " AND lookup < ?"
	} else if p.pivot() != "" {
		cond += " AND lookup > ?"
	}
	return cond
}

func (p *page) order() string {
	if p.backward() {
		return " ORDER BY lookup DESC LIMIT ? OFFSET ?"
	}
	return " ORDER BY lookup LIMIT ? OFFSET ?"
}

func (p *page) args(first any) []any {
	out := []any{first}
	if p.exact != "" {
		out = append(out, addr.Canonical(p.exact))
	}
	if p.subscribed != nil {
		out = append(out, number(*p.subscribed))
	}
	if v := p.pivot(); v != "" {
		out = append(out, v)
	}
	return append(out, p.limit, p.skip)
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// turned puts rows that were read backward in their order.
func turned[T any](p *page, rows []T) []T {
	if p.backward() {
		slices.Reverse(rows)
	}
	return rows
}

// paging is where the pages around one are. Mailgun: members in this order.
type paging struct {
	First    string `json:"first" doc:"URL of the first page"`
	Last     string `json:"last" doc:"URL of the last page"`
	Next     string `json:"next" doc:"URL of the page after this one; it may be empty"`
	Previous string `json:"previous" doc:"URL of the page before this one; it may be empty"`
}

// around returns the URLs around the page that begins and ends with the given
// addresses, "" where it is empty. Mailgun: parameters in this order.
func (p *page) around(base, first, last string) paging {
	rest := "limit=" + strconv.Itoa(p.limit)
	if p.subscribed != nil {
		rest += "&subscribed=" + map[bool]string{true: "yes", false: "no"}[*p.subscribed]
	}
	at := func(direction, address string) string {
		if address != "" {
			address = "&address=" + url.QueryEscape(address)
		}
		return base + "?page=" + direction + address + "&" + rest
	}
	out := paging{First: at("first", ""), Last: at("last", "")}
	switch {
	case last != "":
		out.Next, out.Previous = at("next", last), at("prev", first)
	case p.direction == "next" && p.pivot() != "": // past the end: what comes later, and the end again
		out.Next, out.Previous = at("next", p.address), out.Last
	case p.direction == "prev" && p.pivot() != "": // before the beginning
		out.Next, out.Previous = out.First, at("prev", p.address)
	default:
		out.Next, out.Previous = out.First, out.First
	}
	return out
}
