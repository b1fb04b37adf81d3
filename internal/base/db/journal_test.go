package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var (
	insRow  = &Insert{Table: "row", Columns: []string{"id", "name", "body"}}
	replRow = &Insert{Table: "row", Columns: insRow.Columns, Suffix: Replace(insRow.Columns)}
	touch   = &Insert{Table: "row", Columns: insRow.Columns, Suffix: "ON CONFLICT (id) DO UPDATE SET name = excluded.name"}
	delRow  = &Delete{Table: "row", Column: "id"}
	delName = &Delete{Table: "row", Column: "name"}
	insNote = &Insert{Table: "note", Columns: []string{"word", "n"}}
)

var testSteps = []Migration{{Number: 1, Name: "t", SQL: "CREATE TABLE row (id $KEY, name TEXT NOT NULL, body $BYTES);\nCREATE TABLE note (word TEXT NOT NULL, n BIGINT);\n"}}

// openAt opens the database of dir with its journal.
func openAt(t *testing.T, dir string, log *slog.Logger) *DB {
	t.Helper()
	d, err := Open(context.Background(), Config{URL: filepath.Join(dir, "x.db"), Journal: filepath.Join(dir, "journal"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Migrate(context.Background(), testSteps); err != nil {
		t.Fatal(err)
	}
	return d
}

func (t *Tx) stageRows(ids ...int64) {
	for _, id := range ids {
		t.Stage(insRow, id, fmt.Sprint("n", id), []byte{1, 2})
	}
}

func stageOne(t *testing.T, d *DB, ids ...int64) {
	t.Helper()
	if err := d.Group(context.Background(), func(tx *Tx) error { tx.stageRows(ids...); return nil }); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, d *DB) (out []string) {
	t.Helper()
	err := d.Read(context.Background(), func(tx *Tx) error {
		for _, q := range []string{"SELECT id || ' ' || name FROM row ORDER BY id", "SELECT word || ' ' || n FROM note ORDER BY rowid"} {
			rows, err := tx.Query(q)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var s string
				if err := rows.Scan(&s); err != nil {
					return err
				}
				out = append(out, s)
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hold keeps the tables as they are until the test ends: what is acknowledged
// stays in the journal.
func hold(d *DB) (release func()) {
	d.writing.Lock()
	return d.writing.Unlock
}

// killed copies what a killed program leaves on the disk.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(to, "x.db-shm"))
	return to
}

func TestJournalReplaysWhatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, dir, nil)
	stageOne(t, d, 1, 2)
	contents(t, d) // both applied
	release := hold(d)
	stageOne(t, d, 3)
	stageOne(t, d, 4)
	if err := d.Group(context.Background(), func(tx *Tx) error { tx.StageDelete(delRow, int64(1)); return nil }); err != nil {
		t.Fatal(err)
	}
	left := killed(t, dir)
	release()
	want := []string{"2 n2", "3 n3", "4 n4"}
	for range 2 { // the second start finds nothing to apply
		again := openAt(t, left, nil)
		if got := contents(t, again); !reflect.DeepEqual(got, want) {
			t.Fatalf("after the kill %q, want %q", got, want)
		}
		stageOne(t, again, 50)
		if err := again.Group(context.Background(), func(tx *Tx) error { tx.StageDelete(delRow, int64(50)); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if names, _ := filepath.Glob(filepath.Join(left, "journal", "*.log")); len(names) != 0 {
			t.Errorf("an orderly end left %q", names)
		}
	}
	if got := contents(t, d); !reflect.DeepEqual(got, want) {
		t.Errorf("without a kill %q, want %q", got, want)
	}
}

func journalFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "journal", "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatal("no journal", err)
	}
	return names
}

// A file cut anywhere gives its whole records; one with a flipped bit all but
// the record hit, and says so.
func TestJournalDamage(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, dir, nil)
	contents(t, d)
	release := hold(d)
	for id := range int64(5) {
		stageOne(t, d, id+1)
	}
	left := killed(t, dir)
	release()
	name := journalFiles(t, left)[0]
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	size := len(whole) / 5
	for cut := 0; cut <= len(whole); cut += 7 {
		to := killed(t, left)
		if err := os.Truncate(journalFiles(t, to)[0], int64(cut)); err != nil {
			t.Fatal(err)
		}
		if got := len(contents(t, openAt(t, to, nil))); got != cut/size {
			t.Errorf("cut at %d of %d: %d records", cut, len(whole), got)
		}
	}
	for at := 0; at < len(whole); at += 11 {
		to := killed(t, left)
		bad := bytes.Clone(whole)
		bad[at] ^= 0x20
		if err := os.WriteFile(journalFiles(t, to)[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		if got := len(contents(t, openAt(t, to, slog.New(slog.NewTextHandler(&log, nil))))); got != 4 {
			t.Errorf("bit of byte %d: %d records", at, got)
		}
		if last := at/size == 4; !last && !strings.Contains(log.String(), "journal is damaged") {
			t.Errorf("bit of byte %d: not reported: %s", at, log.String())
		}
	}
}

// brokenDir fails when told to.
type brokenDir struct {
	osDir
	write, synced, cut, begin bool
}

type brokenFile struct {
	*os.File
	d *brokenDir
}

var errIO = errors.New("input/output error")

func (d *brokenDir) create(name string) (journalFile, error) {
	if d.begin {
		return nil, errIO
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	return brokenFile{f, d}, err
}

func (f brokenFile) Write(b []byte) (int, error) {
	if f.d.write {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, errIO
	}
	return f.File.Write(b)
}

func (f brokenFile) Sync() error {
	if f.d.synced {
		return errIO
	}
	return f.File.Sync()
}

func (f brokenFile) Truncate(size int64) error {
	if f.d.cut {
		return errIO
	}
	return f.File.Truncate(size)
}

// What could not be made durable is refused, does not come back, and does not
// stand in the way of what follows, be it the first record of its file or not.
func TestJournalWriteFails(t *testing.T) {
	for _, kind := range []string{"write", "sync", "sync and cut", "write and begin"} {
		for _, before := range []int64{0, 1} {
			t.Run(fmt.Sprint(kind, " after ", before), func(t *testing.T) {
				dir := t.TempDir()
				d := openAt(t, dir, nil)
				broken := &brokenDir{osDir: osDir(filepath.Join(dir, "journal"))}
				d.group.intake.j.fs = broken
				contents(t, d)
				release := hold(d)
				var want []string
				if before == 1 {
					stageOne(t, d, 1)
					want = append(want, "1 n1")
				}
				is := func(part string) bool { return strings.Contains(kind, part) }
				broken.write, broken.synced, broken.cut = is("write"), is("sync"), is("cut")
				undone := 0
				for range 3 {
					err := d.Group(context.Background(), func(tx *Tx) error {
						tx.stageRows(2)
						tx.AfterRollback(func() { undone++ })
						return nil
					})
					if !errors.Is(err, errIO) {
						t.Fatalf("got %v", err)
					}
					broken.begin = is("begin")
				}
				if undone != 3 {
					t.Errorf("%d of 3 undone", undone)
				}
				if !is("begin") { // otherwise it is said that they may come back
					if got := contents(t, openAt(t, killed(t, dir), nil)); !slices.Equal(got, want) {
						t.Errorf("after a kill at once: %q, want %q", got, want)
					}
				}
				broken.write, broken.synced, broken.cut, broken.begin = false, false, false, false
				stageOne(t, d, 3)
				want = append(want, "3 n3")
				left := killed(t, dir)
				release()
				if got := contents(t, d); !slices.Equal(got, want) {
					t.Errorf("running: %q", got)
				}
				var log bytes.Buffer
				if got := contents(t, openAt(t, left, slog.New(slog.NewTextHandler(&log, nil)))); !slices.Equal(got, want) || strings.Contains(log.String(), "ERROR") {
					t.Errorf("after a kill: %q, log %s", got, log.String())
				}
			})
		}
	}
}

// A job that needs SQL sees what was acknowledged before it.
func TestJournalAndSQLInOrder(t *testing.T) {
	d := openAt(t, t.TempDir(), nil)
	stageOne(t, d, 7)
	runs := 0
	err := d.Group(context.Background(), func(tx *Tx) error {
		runs++
		var n int
		if err := tx.QueryRow("SELECT COUNT(*) FROM row WHERE id = 7").Scan(&n); err != nil {
			return err
		}
		if n != 1 {
			return fmt.Errorf("%d rows seen", n)
		}
		tx.stageRows(8)
		return nil
	})
	if err != nil || runs != 2 {
		t.Fatalf("%v after %d runs", err, runs)
	}
	var seen int
	if err := d.Write(context.Background(), func(tx *Tx) error {
		return tx.QueryRow("SELECT COUNT(*) FROM row").Scan(&seen)
	}); err != nil || seen != 2 {
		t.Fatal(seen, err)
	}
}

// A row that its table refuses is left out; what came with it is not.
func TestJournalRowRefused(t *testing.T) {
	var log bytes.Buffer
	d := openAt(t, t.TempDir(), slog.New(slog.NewTextHandler(&log, nil)))
	contents(t, d)
	release := hold(d)
	stageOne(t, d, 1)
	if err := d.Group(context.Background(), func(tx *Tx) error {
		tx.stageRows(2)
		tx.Stage(insRow, int64(3), nil, nil) // name is NOT NULL
		tx.stageRows(4)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stageOne(t, d, 5)
	release()
	if got := contents(t, d); !reflect.DeepEqual(got, []string{"1 n1", "2 n2", "4 n4", "5 n5"}) || !strings.Contains(log.String(), "left out") {
		t.Errorf("%q, log %s", got, log.String())
	}
}

func TestPayloadKeepsValues(t *testing.T) {
	in := []*stage{
		{ins: replRow, cols: 3, args: []any{int64(-5), "a\x00b", []byte{}, int64(1) << 62, "", []byte(nil)}},
		{ins: insNote, cols: 2, args: []any{1.5, true, nil, false}},
		{del: delRow, cols: 1, args: []any{int64(9)}},
	}
	var b []byte
	var err error
	for _, s := range in {
		if b, err = appendStage(b, s); err != nil {
			t.Fatal(err)
		}
	}
	out, err := decodeStages(b)
	if err != nil || len(out) != 3 {
		t.Fatal(len(out), err)
	}
	in[0].args[5] = nil
	for i, s := range out {
		if !s.same(in[i]) || !reflect.DeepEqual(s.args, in[i].args) {
			t.Errorf("%d: %v is not %v", i, s.args, in[i].args)
		}
	}
	if _, err := appendStage(nil, &stage{del: delRow, cols: 1, args: []any{struct{}{}}}); !errors.Is(err, errValue) {
		t.Error(err)
	}
}

func FuzzDecodeStages(f *testing.F) {
	b, _ := appendStage(nil, &stage{ins: replRow, cols: 3, args: []any{int64(1), "x", []byte("y")}})
	b, _ = appendStage(b, &stage{del: delRow, cols: 1, args: []any{int64(9)}})
	f.Add(b)
	f.Add([]byte{kindInsert, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeStages(b)
		if err != nil {
			return
		}
		var again []byte
		for _, s := range list {
			if again, err = appendStage(again, s); err != nil {
				t.Fatal(err)
			}
		}
		twice, err := decodeStages(again)
		if err != nil || len(twice) != len(list) {
			t.Fatalf("%v, %d statements of %d", err, len(twice), len(list))
		}
	})
}

func FuzzRecords(f *testing.F) {
	good := appendRecord(appendRecord(nil, 0, 1, []byte("one")), 0, 2, []byte("two"))
	f.Add(good)
	f.Add(append([]byte("PRJL\xff\xff\xff\x00garbage"), good...))
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), fmt.Sprintf("%020d.log", 1))
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(filepath.Dir(name), 0, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		last := uint64(0)
		if _, err := j.replay(0, func(seq uint64, payload []byte) error {
			if seq <= last || !bytes.Contains(b, payload) {
				t.Fatalf("record %d after %d", seq, last)
			}
			last = seq
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// A write-ahead log that has lost its end, or all of it, takes the database
// back; the journal leads on from there.
func TestJournalOutlivesTheLog(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, dir, nil)
	stageOne(t, d, 1, 2)
	contents(t, d)
	second := killed(t, dir) // rows applied, in the log only
	d = openAt(t, second, nil)
	stageOne(t, d, 3)
	contents(t, d)
	stageOne(t, d, 4)
	third := killed(t, second)
	info, err := os.Stat(filepath.Join(third, "x.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, info.Size() / 2, info.Size() - 100} {
		to := killed(t, third)
		if err := os.Truncate(filepath.Join(to, "x.db-wal"), size); err != nil {
			t.Fatal(err)
		}
		if got, want := contents(t, openAt(t, to, nil)), []string{"1 n1", "2 n2", "3 n3", "4 n4"}; !reflect.DeepEqual(got, want) {
			t.Errorf("log cut to %d of %d bytes: %q", size, info.Size(), got)
		}
	}
}
