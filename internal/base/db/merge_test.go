package db

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestMergeLeavesNothingOfWhatCameAndWent(t *testing.T) {
	m := newMerge()
	for id := range int64(100) {
		m.add(&stage{ins: insRow, cols: 3, args: []any{id, "n", nil}})
		if id%2 == 0 {
			m.add(&stage{ins: replRow, cols: 3, args: []any{id, "again", nil}})
		}
		m.add(&stage{del: delRow, cols: 1, args: []any{id}})
	}
	if out := m.finish(); len(out) != 0 || m.count != 0 {
		t.Errorf("%d statements, %d rows", len(out), m.count)
	}
}

// Merged, transactions have the effect they have one after the other.
func TestMergeEquals(t *testing.T) {
	one, all := openAt(t, t.TempDir(), nil), openAt(t, t.TempDir(), nil)
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		var list []*stage
		live := map[int64]bool{}
		for _, s := range contents(t, one) {
			var id int64
			if _, err := fmt.Sscan(s, &id); err == nil {
				live[id] = true
			}
		}
		for n := range 1 + r.IntN(40) {
			id, name := int64(r.IntN(12)), fmt.Sprint("v", round, ".", n%3)
			switch k := r.IntN(8); {
			case k < 3 && !live[id]:
				list = append(list, &stage{ins: insRow, cols: 3, args: []any{id, name, []byte{0}}})
				live[id] = true
			case k < 4:
				list = append(list, &stage{ins: replRow, cols: 3, args: []any{id, name, nil}})
				live[id] = true
			case k < 5:
				list = append(list, &stage{ins: touch, cols: 3, args: []any{id, name, nil}})
				live[id] = true
			case k < 6:
				list = append(list, &stage{del: delRow, cols: 1, args: []any{id}})
				delete(live, id)
			case k < 7:
				list = append(list, &stage{ins: insNote, cols: 2, args: []any{name, int64(n)}})
			default:
				list = append(list, &stage{del: delName, cols: 1, args: []any{name}})
				live = map[int64]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true, 10: true, 11: true} // not known: no plain inserts
			}
		}
		for _, s := range list {
			if err := one.Write(context.Background(), func(tx *Tx) error { return tx.write([]*stage{s}) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := all.Write(context.Background(), func(tx *Tx) error {
			m := newMerge()
			for _, s := range list {
				m.add(s)
			}
			return tx.write(m.finish())
		}); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if a, b := contents(t, one), contents(t, all); !reflect.DeepEqual(a, b) {
			t.Fatalf("round %d:\none by one %q\nmerged     %q", round, a, b)
		}
	}
}

var pairSteps = []Migration{{Number: 1, Name: "t", SQL: "CREATE TABLE left_pair (id $KEY, a TEXT, b TEXT DEFAULT 'd');\nCREATE TABLE right_pair (id $KEY, a TEXT, b TEXT DEFAULT 'd');\n"}}

// pairs makes statements about two tables: with several lists of columns, keys of
// several types and none, upserts of a part of the row, deletes by the key and
// by another column.
type pairs struct {
	r    *rand.Rand
	live map[string]map[int64]bool
	ins  []*Insert
	last *Insert
}

func newPairs(r *rand.Rand) *pairs {
	p := &pairs{r: r, live: map[string]map[int64]bool{"left_pair": {}, "right_pair": {}}}
	for _, table := range []string{"left_pair", "right_pair"} {
		for _, columns := range [][]string{{"id", "a", "b"}, {"id", "b", "a"}, {"id", "a"}, {"id", "b"}, {"a", "id"}} {
			for _, suffix := range []string{"", "ON CONFLICT (id) DO NOTHING", "ON CONFLICT DO NOTHING", "ON CONFLICT (id) DO UPDATE SET a = 'touched'"} {
				p.ins = append(p.ins, &Insert{Table: table, Columns: columns, Suffix: suffix})
			}
			if columns[0] == "id" {
				p.ins = append(p.ins, &Insert{Table: table, Columns: columns, Suffix: Replace(columns)}, &Insert{Table: table, Columns: columns, Suffix: Replace(columns)})
			}
		}
	}
	return p
}

// next returns a statement that no table refuses when they run in order.
func (p *pairs) next(text string) *stage {
	id := int64(p.r.IntN(4))
	if k := p.r.IntN(12); k < 4 {
		table := []string{"left_pair", "right_pair"}[p.r.IntN(2)]
		switch k {
		case 0:
			p.forget(table)
			return &stage{del: &Delete{Table: table, Column: "a"}, cols: 1, args: []any{fmt.Sprint("t", p.r.IntN(5))}}
		default:
			delete(p.live[table], id)
			return &stage{del: &Delete{Table: table, Column: "id"}, cols: 1, args: []any{p.key(id)}}
		}
	}
	ins := p.ins[p.r.IntN(len(p.ins))]
	if p.last != nil && p.r.IntN(2) == 0 {
		ins = p.last
	}
	p.last = ins
	if ins.Suffix == "" && p.live[ins.Table][id] {
		return p.next(text)
	}
	p.live[ins.Table][id] = true
	key := p.key(id)
	if p.r.IntN(15) == 0 {
		p.forget(ins.Table) // the table chooses
		key = nil
	}
	s := &stage{ins: ins, cols: len(ins.Columns)}
	for _, c := range ins.Columns {
		switch {
		case c == "id":
			s.args = append(s.args, key)
		default:
			s.args = append(s.args, text)
		}
	}
	return s
}

// forget: any key may be in use.
func (p *pairs) forget(table string) {
	for id := range int64(4) {
		p.live[table][id] = true
	}
}

func (p *pairs) key(id int64) any {
	switch p.r.IntN(8) {
	case 0:
		return int(id)
	case 1:
		return fmt.Sprint(id)
	case 2:
		return float64(id)
	}
	return id
}

func (p *pairs) dump(t *testing.T, d *DB) (out []string) {
	t.Helper()
	if err := d.Read(context.Background(), func(tx *Tx) error {
		rows, err := tx.Query("SELECT 'l', id, a, b FROM left_pair UNION ALL SELECT 'r', id, a, b FROM right_pair ORDER BY 1, 2")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var table string
			var id int64
			var a, b *string
			if err := rows.Scan(&table, &id, &a, &b); err != nil {
				return err
			}
			p.live[map[string]string{"l": "left_pair", "r": "right_pair"}[table]][id] = true
			text := func(s *string) string {
				if s == nil {
					return "nil"
				}
				return *s
			}
			out = append(out, fmt.Sprint(table, id, " ", text(a), " ", text(b)))
		}
		return rows.Err()
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMergeEquals with everything a statement can be, also read from a record.
func TestMergeEqualsInAnyOrder(t *testing.T) {
	open := func() *DB {
		d, err := Open(t.Context(), Config{URL: t.TempDir() + "/x.db"})
		if err == nil {
			err = d.Migrate(t.Context(), pairSteps)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return d
	}
	one, all := open(), open()
	p := newPairs(rand.New(rand.NewPCG(7, 7)))
	var steps, written, staged int
	for round := range 400 {
		var list, merged []*stage
		for n := range 1 + p.r.IntN(30) {
			list = append(list, p.next(fmt.Sprint("t", (round+n)%5)))
		}
		merged = list
		if round%2 == 0 {
			merged = recorded(t, list)
		}
		if err := one.Write(t.Context(), func(tx *Tx) error { return tx.write(list) }); err != nil {
			t.Fatal(err)
		}
		if err := all.Write(t.Context(), func(tx *Tx) error {
			m := newMerge()
			for _, s := range merged {
				m.add(s)
			}
			steps, written, staged = steps+len(m.steps)+1, written+m.count, staged+len(list)
			return tx.write(m.finish())
		}); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for table := range p.live {
			clear(p.live[table])
		}
		if a, b := p.dump(t, all), p.dump(t, one); !reflect.DeepEqual(a, b) {
			for _, s := range list {
				t.Logf("%+v %+v %#v", s.ins, s.del, s.args)
			}
			t.Fatalf("round %d:\none by one %q\nmerged     %q", round, b, a)
		}
	}
	if steps >= staged || written >= staged {
		t.Errorf("%d rows staged, %d written in %d steps: nothing was merged", staged, written, steps)
	}
}

// An insert that another column than the key may stop keeps its place.
func TestMergeKeepsOrderOfOtherConflicts(t *testing.T) {
	d := openAt(t, t.TempDir(), nil)
	ins := &Insert{Table: "row", Columns: []string{"id", "name"}, Suffix: "ON CONFLICT (name) DO NOTHING"}
	if err := d.Write(t.Context(), func(tx *Tx) error {
		if _, err := tx.Exec("CREATE UNIQUE INDEX row_name ON row (name)"); err != nil {
			return err
		}
		tx.stageRows(1, 5)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), func(tx *Tx) error {
		m := newMerge()
		m.add(&stage{del: delRow, cols: 1, args: []any{int64(5)}})
		m.add(&stage{ins: ins, cols: 2, args: []any{int64(2), "n1"}})
		m.add(&stage{del: delRow, cols: 1, args: []any{int64(1)}})
		return tx.write(m.finish())
	}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, d); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// recorded is what a start reads of statements.
func recorded(t *testing.T, list []*stage) []*stage {
	t.Helper()
	var b []byte
	var err error
	for _, s := range list {
		if b, err = appendStage(b, s); err != nil {
			t.Fatal(err)
		}
	}
	out, err := decodeStages(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
