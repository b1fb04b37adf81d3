package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
)

// isTerminal reports whether w is a terminal: people get tables, programs JSON.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok || f == nil {
		return false
	}
	_, ok = columns(f)
	return ok
}

// usualWidth is assumed of a terminal that does not tell its own.
const usualWidth = 80

// terminal says which outputs are terminals.
func (e *Env) terminal() Terminal {
	if e.Terminal != nil {
		return *e.Terminal
	}
	t := Terminal{Stdin: isTerminal(e.Stdin), Stdout: isTerminal(e.Stdout), Stderr: isTerminal(e.Stderr), Width: usualWidth}
	if f, ok := e.Stdout.(*os.File); ok {
		if n, ok := columns(f); ok && n > 0 {
			t.Width = n
		}
	}
	return t
}

// width is where lines are cut, 0 for nowhere.
func (e *Env) width() int {
	if t := e.terminal(); t.Stdout {
		return t.Width
	}
	return 0
}

// printJSON writes v as indented JSON and a newline.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// table prints rows in aligned columns.
type table struct {
	head  []string
	rows  [][]string
	whole map[int]bool // columns that are never cut
	front map[int]bool // columns that are cut at the front: their ends differ
	right map[int]bool // columns of numbers
}

func newTable(head ...string) *table { return &table{head: head, whole: map[int]bool{}} }

// keep says that a column is never cut, because people copy from it.
func (t *table) keep(columns ...int) *table {
	for _, c := range columns {
		t.whole[c] = true
	}
	return t
}

// fromFront says that a column is cut at the front.
func (t *table) fromFront(columns ...int) *table {
	t.front = map[int]bool{}
	for _, c := range columns {
		t.front[c] = true
	}
	return t
}

// numbers says that columns are aligned at the right, and never cut.
func (t *table) numbers(columns ...int) *table {
	t.right = map[int]bool{}
	for _, c := range columns {
		t.right[c] = true
	}
	return t.keep(columns...)
}

// row adds a row of as many cells as the table has columns.
func (t *table) row(cells ...string) {
	row := make([]string, len(t.head))
	for i := range min(len(cells), len(row)) {
		row[i] = clean(cells[i])
	}
	t.rows = append(t.rows, row)
}

const (
	columnGap = 2
	leastCell = 6 // columns are not cut to less
)

// print writes the table. Lines are at most width columns wide, unless width is
// 0 or the columns that are kept whole need more.
func (t *table) print(w io.Writer, width int) error {
	widths := t.fit(width)
	var b strings.Builder
	for _, row := range append([][]string{t.head}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			if t.front[i] {
				cell = cutFront(cell, widths[i])
			} else {
				cell = cut(cell, widths[i])
			}
			space := strings.Repeat(" ", widths[i]-textWidth(cell))
			if t.right[i] {
				cell = space + cell
			} else {
				cell += space
			}
			line.WriteString(cell + strings.Repeat(" ", columnGap))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fit finds the widths of the columns: what they need, less what the widest
// must give until the line fits.
func (t *table) fit(width int) []int {
	widths := make([]int, len(t.head))
	total := columnGap * (len(widths) - 1)
	for i := range widths {
		widths[i] = textWidth(t.head[i])
		for _, row := range t.rows {
			widths[i] = max(widths[i], textWidth(row[i]))
		}
		total += widths[i]
	}
	for width > 0 && total > width {
		widest := -1
		for i, n := range widths {
			if !t.whole[i] && n > leastCell && (widest < 0 || n > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
		total--
	}
	return widths
}
