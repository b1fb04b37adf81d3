package db

import (
	"slices"
	"strings"
)

// merge puts the rows of many transactions together so that each statement runs
// for as many rows at once as possible, with the result that running the
// transactions one after the other would have.
//
// Rows of different statements may change places as long as they are not about
// the same row. Which row it is says the column id, where an insert begins with
// it or a delete goes by it. A row that is inserted and deleted again is
// neither; an insert that replaces the row (see Replace) takes the place of one
// that waits. Everything else that concerns a row already touched begins a new
// step.
type merge struct {
	steps   [][]*rows
	now     []*rows           // the step that gathers
	touched map[rowKey]rowRef // rows of it
	unkeyed map[string]*rows  // statements of it by which no row can be told, by table
	count   int               // rows to be written
}

// rows are the rows of one statement in a step.
type rows struct {
	stage
	byID     bool // its rows can be told by the first value
	replaces bool
	dead     int // rows taken out again
}

type rowKey struct {
	table string
	id    int64
}

// rowRef is where a touched row stands: the index of its first value in g.
type rowRef struct {
	g  *rows
	at int
}

func newMerge() *merge {
	return &merge{touched: map[rowKey]rowRef{}, unkeyed: map[string]*rows{}}
}

// Replace is the Suffix of an insert that replaces the row with the same first
// column by the one given, all of it.
func Replace(columns []string) string {
	var b strings.Builder
	b.WriteString("ON CONFLICT (" + columns[0] + ") DO UPDATE SET ")
	for i, c := range columns[1:] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c + " = excluded." + c)
	}
	return b.String()
}

// add takes over the rows of s.
func (m *merge) add(s *stage) {
	g := m.rows(s)
	for i := 0; i < len(s.args); i += s.cols {
		row := s.args[i : i+s.cols]
		if key, ok := g.key(row); ok {
			g = m.keyed(g, key, row)
			continue
		}
		if m.others(g) {
			g = m.step(s)
		}
		m.unkeyed[g.table()] = g
		g.args = append(g.args, row...)
		m.count++
	}
}

// keyed adds a row that can be told from others and returns where the next
// goes.
func (m *merge) keyed(g *rows, key rowKey, row []any) *rows {
	ref, again := m.touched[key]
	u := m.unkeyed[key.table]
	switch {
	case u != nil && (u != g || again):
		g = m.step(&g.stage)
	case !again:
	case g.del != nil && ref.g.ins != nil:
		m.drop(ref, key)
		if ref.g.ins.Suffix == "" {
			return g // it was new: nothing is left to delete
		}
	case g.replaces && ref.g.ins != nil && slices.Equal(g.ins.Columns, ref.g.ins.Columns) && (ref.g.ins.Suffix == "" || ref.g.replaces):
		copy(ref.g.args[ref.at:ref.at+ref.g.cols], row) // as if the later values had come at first
		return g
	default:
		g = m.step(&g.stage)
	}
	m.touched[key] = rowRef{g, len(g.args)}
	g.args = append(g.args, row...)
	m.count++
	return g
}

// key returns which row the values are about.
func (g *rows) key(row []any) (k rowKey, ok bool) {
	if !g.byID {
		return k, false
	}
	switch id := row[0].(type) {
	case int64:
		return rowKey{g.table(), id}, true
	case int:
		return rowKey{g.table(), int64(id)}, true
	}
	return k, false
}

// goesByID reports whether the statement is about the row whose id comes first. An
// insert that may change the row it meets by another column is not.
func (s *stage) goesByID() bool {
	if s.del != nil {
		return s.del.Column == "id"
	}
	return s.ins.Columns[0] == "id" && (s.ins.Suffix == "" || strings.HasPrefix(s.ins.Suffix, "ON CONFLICT (id)"))
}

// others reports whether the step has other statements of g's table.
func (m *merge) others(g *rows) bool {
	for _, o := range m.now {
		if o != g && o.table() == g.table() {
			return true
		}
	}
	return false
}

// drop takes a row out.
func (m *merge) drop(ref rowRef, key rowKey) {
	ref.g.args[ref.at] = gone{}
	ref.g.dead++
	m.count--
	delete(m.touched, key)
}

// gone stands in the place of the first value of a row taken out.
type gone struct{}

// rows returns the place of s's rows in the step that gathers.
func (m *merge) rows(s *stage) *rows {
	for _, g := range m.now {
		if g.same(s) {
			return g
		}
	}
	g := &rows{stage: stage{ins: s.ins, del: s.del, cols: s.cols}, byID: s.goesByID()}
	g.replaces = s.ins != nil && s.ins.Suffix != "" && s.ins.Suffix == Replace(s.ins.Columns)
	m.now = append(m.now, g)
	return g
}

// step begins a new step and returns the place of s's rows in it.
func (m *merge) step(s *stage) *rows {
	m.steps = append(m.steps, m.now)
	m.now = nil
	clear(m.touched)
	clear(m.unkeyed)
	return m.rows(s)
}

// finish returns the statements in the order to run them, without the rows
// that were taken out.
func (m *merge) finish() []*stage {
	var out []*stage
	for _, step := range append(m.steps, m.now) {
		for _, g := range step {
			if g.dead > 0 {
				g.compact()
			}
			if len(g.args) > 0 {
				out = append(out, &g.stage)
			}
		}
	}
	return out
}

func (g *rows) compact() {
	to := 0
	for i := 0; i < len(g.args); i += g.cols {
		if _, out := g.args[i].(gone); !out {
			to += copy(g.args[to:], g.args[i:i+g.cols])
		}
	}
	clear(g.args[to:])
	g.args = g.args[:to]
}
