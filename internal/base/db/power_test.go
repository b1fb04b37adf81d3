package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// powerDir is a directory in memory that forgets at a power failure what was
// not synced: each change of the directory and each piece of a file by itself.
type powerDir struct {
	mu      sync.Mutex
	r       *rand.Rand
	now     map[string]*powerFile
	durable map[string]*powerFile // entries as of the last sync
	left    int                   // operations until the power fails
	removed int
}

type powerFile struct {
	d       *powerDir
	data    []byte
	durable []byte
	most    []byte // longest content since the last sync
}

var errPower = errors.New("no power")

func newPowerDir(r *rand.Rand, left int) *powerDir {
	return &powerDir{r: r, left: left, now: map[string]*powerFile{}, durable: map[string]*powerFile{}}
}

// step counts an operation; now and then one of a file fails.
func (d *powerDir) step(mayFail bool) error {
	if d.left <= 0 {
		return errPower
	}
	d.left--
	if mayFail && d.r.IntN(40) == 0 {
		return errIO
	}
	return nil
}

func (d *powerDir) dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left <= 0
}

func (d *powerDir) create(name string) (journalFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(false); err != nil {
		return nil, err
	}
	if d.now[name] != nil {
		return nil, fs.ErrExist
	}
	f := &powerFile{d: d}
	d.now[name] = f
	return f, nil
}

func (d *powerDir) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(false); err != nil {
		return err
	}
	if d.now[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.now, name)
	d.removed++
	return nil
}

func (d *powerDir) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(false); err != nil {
		return err
	}
	d.durable = maps.Clone(d.now)
	return nil
}

func (f *powerFile) Write(b []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.d.step(true)
	if errors.Is(err, errPower) {
		return 0, err
	}
	if err != nil {
		b = b[:f.d.r.IntN(len(b)+1)]
	}
	f.data = append(f.data, b...)
	f.most = bytes.Clone(f.data)
	return len(b), err
}

func (f *powerFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(true); err != nil {
		return err
	}
	f.durable = bytes.Clone(f.data)
	f.most = nil
	return nil
}

func (f *powerFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(true); err != nil {
		return err
	}
	f.data = f.data[:size]
	return nil
}

func (f *powerFile) Close() error { return nil }

// after is what the disk may hold: of what was not synced all, nothing, a part,
// or the length with zeros in some places.
func (f *powerFile) after() []byte {
	b := bytes.Clone(f.data)
	if f.most != nil && f.d.r.IntN(2) == 0 {
		b = bytes.Clone(f.most)
	}
	safe := min(len(f.durable), len(b))
	if f.d.r.IntN(3) == 0 {
		b = b[:safe+f.d.r.IntN(len(b)-safe+1)]
	}
	for at := safe; at < len(b) && f.d.r.IntN(3) > 0; at += 1 + f.d.r.IntN(64) {
		clear(b[at:min(len(b), at+f.d.r.IntN(64))])
	}
	return b
}

// image writes what the power failure leaves.
func (d *powerDir) image(t *testing.T, to string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	names := maps.Clone(d.now)
	maps.Copy(names, d.durable)
	for name := range names {
		f := d.now[name]
		if d.r.IntN(2) == 0 {
			f = d.durable[name]
		}
		if f == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), f.after(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// before takes the files that a start finds, removes and may find again.
func (d *powerDir) before(t *testing.T, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		d.durable[filepath.Join(dir, e.Name())] = &powerFile{d: d, data: b, durable: b}
	}
}

// writer stages rows of ids of its own and knows what must be in the table.
type writer struct {
	next    int64
	rows    map[int64]string // acknowledged
	unsure  int64            // row of the last transaction, whose end is not known
	unknown string           // and what it may be, "" for none
}

func (w *writer) run(d *DB, p *powerDir, r *rand.Rand) {
	w.unsure = 0
	for n := 0; ; n++ {
		id, name, stmt := w.next, fmt.Sprint("v", n), insRow
		for old := range w.rows {
			if r.IntN(3) > 0 {
				id, stmt = old, replRow
				if r.IntN(2) == 0 {
					name = ""
				}
			}
			break
		}
		if stmt == insRow {
			w.next += 10
		}
		err := d.Group(context.Background(), func(tx *Tx) error {
			if name == "" {
				tx.StageDelete(delRow, id)
			} else {
				tx.Stage(stmt, id, name, make([]byte, 40))
			}
			return nil
		})
		switch {
		case err != nil && p.dead():
			w.unsure, w.unknown = id, name
			return
		case err != nil:
		case name == "":
			delete(w.rows, id)
		default:
			w.rows[id] = name
		}
	}
}

// check compares with the table and takes over what was not known.
func (w *writer) check(table map[int64]string) error {
	if got := table[w.unsure]; w.unsure != 0 && got == w.unknown {
		if delete(w.rows, w.unsure); got != "" {
			w.rows[w.unsure] = got
		}
	}
	for id, name := range w.rows {
		if table[id] != name {
			return fmt.Errorf("row %d is %q, acknowledged was %q", id, table[id], name)
		}
		delete(table, id)
	}
	return nil
}

func tableRows(t *testing.T, d *DB) map[int64]string {
	out := map[int64]string{}
	for _, s := range contents(t, d) {
		id, name, _ := strings.Cut(s, " ")
		var n int64
		fmt.Sscan(id, &n)
		out[n] = name
	}
	return out
}

// What was acknowledged survives power failures at any moment, also several, and
// what was refused before them does not come back.
func TestPowerFailures(t *testing.T) {
	rotated := 0
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		var list []*writer
		for i := range int64(4) {
			list = append(list, &writer{next: 1 + i, rows: map[int64]string{}})
		}
		dir := t.TempDir()
		for generation := range 4 {
			p := newPowerDir(r, 20+r.IntN(300))
			p.before(t, filepath.Join(dir, "journal"))
			d := openAt(t, dir, nil)
			in := d.group.intake
			in.j.fs, in.j.limit = p, int64(200+r.IntN(3000))
			var release func()
			held := r.IntN(2) == 0
			if held {
				release = hold(d)
			}
			var wg sync.WaitGroup
			for i, w := range list {
				own := rand.New(rand.NewPCG(seed, uint64(10*generation+i)))
				wg.Go(func() { w.run(d, p, own) })
			}
			wg.Wait()
			if !held {
				release = hold(d)
			}
			dir = killed(t, dir)
			release()
			rotated += p.removed
			if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
				t.Fatal(err)
			}
			p.image(t, filepath.Join(dir, "journal"))
			image := killed(t, dir)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			again := openAt(t, image, nil)
			table := tableRows(t, again)
			for _, w := range list {
				if err := w.check(table); err != nil {
					t.Fatalf("seed %d, generation %d: %v", seed, generation, err)
				}
			}
			if len(table) > 0 {
				t.Fatalf("seed %d, generation %d: came back: %v", seed, generation, table)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if rotated == 0 {
		t.Error("no file was ever removed: the test does not test")
	}
}
