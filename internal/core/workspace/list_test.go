package workspace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/db"
)

// TestListAgainstAll: pages and totals are those that going through all mail gives,
// for filters and pages at random, over several blocks.
func TestListAgainstAll(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const n = 2*blockSize + 300
		r := rand.New(rand.NewPCG(3, 4))
		all := fillMixed(t, w, r, n)
		for range 400 {
			f := randomFilter(r, n)
			var want []string
			for _, m := range slices.Backward(all) {
				if f.matches(m) {
					want = append(want, m.uuid)
				}
			}
			total := len(want)
			want = want[min(f.offset, total):min(f.offset+f.limit, total)]
			list, got, err := w.list(t.Context(), "ws", &f)
			if err != nil {
				t.Fatal(err)
			}
			var uuids []string
			for _, m := range list {
				uuids = append(uuids, m.uuid)
			}
			if got != total || !slices.Equal(uuids, want) {
				t.Fatalf("%+v: total %d, want %d; %d messages, want %d", f, got, total, len(uuids), len(want))
			}
		}
		if list, total, err := w.list(t.Context(), "other", &filter{limit: 50}); err != nil || total != 0 || len(list) != 0 {
			t.Error("another workspace has mail", total, err)
		}
	})
}

// TestWarm: what a start has read is there for the first search, and is right.
func TestWarm(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const n = 2*blockSize + 300
		fillMixed(t, w, rand.New(rand.NewPCG(5, 6)), n)
		f := filter{limit: 50, to: "p1"}
		_, want, err := w.list(t.Context(), "ws", &f)
		if err != nil || want == 0 {
			t.Fatal(want, err)
		}
		w.columns = columns{}
		if err := w.warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(w.columns.kept); got != 2*int(fields) {
			t.Errorf("%d columns in memory, want those of both full blocks", got)
		}
		if _, got, err := w.list(t.Context(), "ws", &f); err != nil || got != want {
			t.Errorf("%d found, want %d: %v", got, want, err)
		}
	})
}

// fillMixed stores mail of every kind, one a minute, and lets some of it change.
func fillMixed(t *testing.T, w *world, r *rand.Rand, n int) []*email {
	var all []*email
	err := w.db.Write(t.Context(), func(tx *db.Tx) error {
		for i := range n {
			p, err := lock(tx, "ws", w.IDs.Next())
			if err != nil {
				return err
			}
			m := w.newEmail(direction(r.IntN(2)))
			m.from, m.to = fmt.Sprintf("\u00c4nne %d <a%d@x.example>", r.IntN(5), r.IntN(5)), fmt.Sprintf("P%d@Mail%d.example", r.IntN(3000), r.IntN(4))
			m.sessionID, m.contactID = pickOne(r, "", "s1", "s2"), pickOne(r, "", "c1", "c2")
			m.status = status(r.IntN(3))
			tx.Now = begin.Add(time.Duration(i/2) * time.Minute).UnixMicro()
			if err := w.store(tx, p, m); err != nil {
				return err
			}
			all = append(all, m)
		}
		for range n {
			m := all[r.IntN(n)]
			c := change{to: status(r.IntN(int(statuses))), at: 1}
			if err := w.change(tx, &c, func(tx *db.Tx) (*email, error) { return selectByID(tx, m.id) }); err != nil {
				return err
			}
			c.apply(m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func pickOne(r *rand.Rand, list ...string) string { return list[r.IntN(len(list))] }

func randomFilter(r *rand.Rand, n int) filter {
	f := filter{limit: 1 + r.IntN(100), offset: r.IntN(4) * r.IntN(n)}
	if r.IntN(2) == 0 {
		d := direction(r.IntN(2))
		f.direction = &d
	}
	if r.IntN(2) == 0 {
		s := status(r.IntN(int(statuses)))
		f.status = &s
	}
	f.from = pickOne(r, "", "", "\u00e4NNE 2", "a3@", "x.example", "nobody")
	f.to = pickOne(r, "", "", "p12", "MAIL3.", "@mail", "1@m")
	if r.IntN(3) == 0 {
		f.start = begin.Add(time.Duration(r.IntN(n)) * time.Minute / 2).UnixMicro()
	}
	if r.IntN(3) == 0 {
		f.end = begin.Add(time.Duration(r.IntN(n)-9) * time.Minute / 2).UnixMicro()
	}
	if r.IntN(4) == 0 {
		f.sessionID = pickOne(r, "s1", "s2", "s3")
	}
	if r.IntN(4) == 0 {
		f.contactID = pickOne(r, "c1", "c2")
	}
	return f
}

func (f *filter) matches(m *email) bool {
	in := func(s, part string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(part)) }
	return (f.direction == nil || m.direction == *f.direction) && (f.status == nil || m.status == *f.status) && in(m.from, f.from) && in(m.to, f.to) &&
		(f.start == 0 || m.created >= f.start) && (f.end == 0 || m.created <= f.end) &&
		(f.sessionID == "" || m.sessionID == f.sessionID) && (f.contactID == "" || m.contactID == f.contactID)
}

// FuzzColumn: searching a column finds what searching each text finds; a column
// that is anything but one selects nothing that is not there, and ends.
func FuzzColumn(f *testing.F) {
	f.Add("a@b.c\x00A@B.C\x00x", "b", []byte{1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 'a', '\n'})
	f.Add("", "", []byte{})
	f.Add("\u00c4\x00\u00e4\x00\n", "\u00c4", []byte{255, 255, 0})
	f.Fuzz(func(t *testing.T, joined, part string, raw []byte) {
		list := strings.Split(joined, "\x00")
		list = list[:min(len(list), blockSize)]
		part = fold(part)
		if part == "" {
			part = "a"
		}
		all := func() (s selection) {
			for i := range list {
				s[i] = true
			}
			return s
		}
		sel := all()
		newColumn(list).keep([]byte(part), &sel)
		for i, s := range list {
			if sel[i] != strings.Contains(fold(s), part) {
				t.Fatalf("%q in %q: %v", part, s, sel[i])
			}
		}
		sel = all()
		column(raw).keep([]byte(part), &sel)
	})
}

func TestDates(t *testing.T) {
	for _, tt := range []struct{ text, start, end string }{
		{"2025-12-01T00:00:00Z", "2025-12-01T00:00:00Z", "2025-12-01T00:00:00Z"},
		{"2025-12-31", "2025-12-31T00:00:00Z", "2025-12-31T23:59:59.999Z"},
		{"2025-12-01T10:00:00.123Z", "2025-12-01T10:00:00.123Z", "2025-12-01T10:00:00.123Z"},
		{"2025-12-01T10:00:00", "2025-12-01T10:00:00Z", "2025-12-01T10:00:00Z"},
		{"2025-12-01T10:00", "2025-12-01T10:00:00Z", "2025-12-01T10:00:00Z"},
		{"2025-12-01T10:00:00 02:00", "2025-12-01T08:00:00Z", "2025-12-01T08:00:00Z"},
		{"2025-12-01T10:00+0200", "", ""}, {"yesterday", "", ""}, {"1733000000", "", ""}, {"2025-13-01", "", ""}, {"0001-01-01", "", ""}, {"2025-12-01T00:00:00+02:00", "2025-11-30T22:00:00Z", "2025-11-30T22:00:00Z"},
	} {
		bad := faults{}
		start, end := formatTime(date(bad, "d", tt.text, false)), formatTime(date(bad, "d", tt.text, true))
		if start != tt.start || end != tt.end || (tt.start == "") != (bad.err() != nil) {
			t.Errorf("%s: %s to %s, %v", tt.text, start, end, bad)
		}
	}
}
