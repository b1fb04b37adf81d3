package template

import (
	"net/url"
	"slices"
	"strconv"
)

// maxPage is the most and the default of a page. Mailgun.
const maxPage = 100

// page is a part of a list in the order of names or tags.
type page struct {
	limit     int
	direction string // first, next, previous or last
	pivot     string // of next and previous: what the page follows or precedes
}

func (p *page) backward() bool { return p.direction == "previous" || p.direction == "last" }

// turns reports whether the page is counted from the pivot.
func (p *page) turns() bool {
	return p.pivot != "" && (p.direction == "next" || p.direction == "previous")
}

// where is the end of a query for the page, args its arguments behind others.
func (p *page) where(column string) (sql string) {
	if p.turns() && p.backward() {
		sql = " AND " + column + " < ?"
	} else if p.turns() {
		sql = " AND " + column + " > ?"
	}
	sql += " ORDER BY " + column
	if p.backward() {
		sql += " DESC"
	}
	return sql + " LIMIT ?"
}

func (p *page) args(before ...any) []any {
	if p.turns() {
		before = append(before, p.pivot)
	}
	return append(before, p.limit)
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
// names, "" where it is empty. Mailgun: parameters in this order.
func (p *page) around(base, first, last string) paging {
	limit := "limit=" + strconv.Itoa(p.limit)
	at := func(direction, pivot string) string {
		return base + "?page=" + direction + "&p=" + url.QueryEscape(pivot) + "&" + limit
	}
	out := paging{First: base + "?" + limit, Last: base + "?page=last&" + limit}
	switch {
	case last != "":
		out.Next, out.Previous = at("next", last), at("previous", first)
	case p.turns() && p.backward(): // before the beginning
		out.Next, out.Previous = out.First, at("previous", p.pivot)
	case p.turns(): // past the end: what comes later, and the end again
		out.Next, out.Previous = at("next", p.pivot), out.Last
	default:
		out.Next, out.Previous = out.First, out.First
	}
	return out
}
