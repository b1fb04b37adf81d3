package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// noting stages a word in a table where a row applied twice is there twice.
func noting(word string) *stage {
	return &stage{ins: insNote, cols: 2, args: []any{word, int64(1)}}
}

// Records that are applied again, because nobody knew that they had been, are in
// their tables once.
func TestAppliedOnce(t *testing.T) {
	d := openAt(t, t.TempDir(), nil)
	g := d.group
	list := []record{{seq: 1, stages: []*stage{noting("a")}}, {seq: 2, stages: []*stage{noting("b")}}, {seq: 3, stages: []*stage{noting("c")}}}
	for _, n := range []int{1, 2, 2, 3, 1} {
		if err := g.apply(t.Context(), list[:n]); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := contents(t, d), []string{"a 1", "b 1", "c 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if g.intake.done != 3 {
		t.Errorf("applied up to %d", g.intake.done)
	}
}

// When the tables fail halfway, because records are applied apart after a
// refused row, the ones that succeeded are not applied again.
func TestHalfApplied(t *testing.T) {
	d := openAt(t, t.TempDir(), nil)
	contents(t, d)
	if _, err := d.group.conn.ExecContext(t.Context(), "CREATE TRIGGER broken BEFORE INSERT ON note WHEN new.word = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stop := &stopping{Handler: slog.DiscardHandler, cancel: cancel}
	d.log = slog.New(stop)
	list := []record{{seq: 1, stages: []*stage{noting("a")}}, {seq: 2, stages: []*stage{noting("bad")}}, {seq: 3, stages: []*stage{noting("c")}}}
	if err := d.group.apply(ctx, list); !errors.Is(err, errStore) {
		t.Fatalf("got %v", err)
	}
	if d.group.intake.done != 1 {
		t.Errorf("applied up to %d, want 1", d.group.intake.done)
	}
	if err := d.group.apply(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	if got, want := contents(t, d), []string{"a 1", "c 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// stopping cancels when a row was left out.
type stopping struct {
	slog.Handler
	cancel func()
}

func (s *stopping) Enabled(context.Context, slog.Level) bool { return true }

func (s *stopping) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "left out") {
		s.cancel()
	}
	return nil
}

// Only what the tables refuse is left out; what they cannot take now is not.
func TestRefused(t *testing.T) {
	d := openAt(t, t.TempDir(), nil)
	run := func(q string) error {
		return d.Write(t.Context(), func(tx *Tx) error { _, err := tx.Exec(q); return err })
	}
	for q, want := range map[string]bool{
		"INSERT INTO row (id) VALUES (1)":               true, // NOT NULL
		"INSERT INTO row (id, name) VALUES ('x', 'y')":  true, // a text as key
		"INSERT INTO nowhere (id) VALUES (1)":           true,
		"INSERT INTO row (id, nothing) VALUES (1, 'x')": true,
	} {
		if err := run(q); err == nil || isRefused(err) != want {
			t.Errorf("%s: %v", q, err)
		}
	}
	readOnly := d.Read(t.Context(), func(tx *Tx) error { _, err := tx.Exec("INSERT INTO row (id, name) VALUES (1, 'x')"); return err })
	if readOnly == nil || isRefused(readOnly) {
		t.Error(readOnly)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{over.Err(), errStore, os.ErrClosed} {
		if isRefused(err) {
			t.Error(err)
		}
	}
}

// Rows that find the disk full wait, and so does who reads; then they are there.
func TestTablesFull(t *testing.T) {
	d := openAt(t, t.TempDir(), nil)
	contents(t, d)
	// No more pages than there are, until the connection is given up.
	if _, err := d.group.conn.ExecContext(t.Context(), "PRAGMA max_page_count = 1"); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 100_000)
	if err := d.Group(t.Context(), func(tx *Tx) error { tx.Stage(insRow, int64(1), "big", body); return nil }); err != nil {
		t.Fatal(err)
	}
	err := d.Read(t.Context(), func(*Tx) error { return nil })
	if !IsFull(err) {
		t.Errorf("got %v", err)
	}
	if err := d.Group(t.Context(), func(tx *Tx) error { _, err := tx.Exec("SELECT 1"); return err }); !IsFull(err) {
		t.Errorf("with SQL: %v", err)
	}
	for err != nil { // tried again at intervals
		err = d.Read(t.Context(), func(*Tx) error { return nil })
	}
	if got := contents(t, d); !slices.Equal(got, []string{"1 big"}) {
		t.Errorf("%q", got)
	}
}

// A callback of Write reads while rows wait for the lock it had.
func TestWriteCallbackReads(t *testing.T) {
	d := openAt(t, t.TempDir(), nil)
	for _, fail := range []error{nil, errIO} {
		seen := 0
		err := d.Write(t.Context(), func(tx *Tx) error {
			stageOne(t, d, int64(100+seen)) // against the rule, but so it is certain that rows wait
			read := func() { seen = len(contents(t, d)) }
			tx.AfterCommit(read)
			tx.AfterRollback(read)
			return fail
		})
		if !errors.Is(err, fail) || seen == 0 {
			t.Errorf("%v, %d rows seen", err, seen)
		}
	}
}

// The journal of another history is not applied, and is not lost.
func TestJournalOfAnother(t *testing.T) {
	open := func(dir string) error {
		d, err := Open(t.Context(), Config{URL: filepath.Join(dir, "x.db"), Journal: filepath.Join(dir, "journal")})
		if err == nil {
			d.Close()
		}
		return err
	}
	copyDB := func(from, to string) {
		t.Helper()
		for _, n := range []string{"x.db", "x.db-wal"} {
			os.Remove(filepath.Join(to, n))
			b, err := os.ReadFile(filepath.Join(from, n))
			if err == nil {
				err = os.WriteFile(filepath.Join(to, n), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	d := openAt(t, dir, nil)
	d.group.intake.j.limit = 1 // a file a record
	contents(t, d)
	release := hold(d)
	older := killed(t, dir)
	release()
	for id := range int64(5) {
		stageOne(t, d, id+1)
		contents(t, d)
	}
	release = hold(d)
	stageOne(t, d, 6)
	left := killed(t, dir)
	release()

	other := killed(t, left)
	copyDB(killed(t, openAtRaw(t)), other)
	if err := open(other); !errors.Is(err, errForeign) {
		t.Errorf("another database: %v", err)
	}
	gap := killed(t, left)
	copyDB(older, gap)
	if err := open(gap); !errors.Is(err, errGap) {
		t.Errorf("an older copy of the database: %v", err)
	}
	if names := journalFiles(t, gap); len(names) == 0 {
		t.Error("the journal is gone")
	}
	copyDB(left, gap)
	if got := contents(t, openAt(t, gap, nil)); len(got) != 6 {
		t.Errorf("with its own again: %q", got)
	}
	newer := killed(t, older) // no journal: an older backup of everything
	if got := contents(t, openAt(t, newer, nil)); len(got) != 0 {
		t.Errorf("an older copy: %q", got)
	}
}

// openAtRaw makes the directory of a database that is in use.
func openAtRaw(t *testing.T) string {
	dir := t.TempDir()
	openAt(t, dir, nil)
	return dir
}

// A file of which records are missing is kept, and what a value holds is no
// record although it looks like one.
func TestDamagedFileIsKept(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, dir, nil)
	contents(t, d)
	release := hold(d)
	stageOne(t, d, 1)
	evil, err := appendStage(nil, &stage{ins: insNote, cols: 2, args: []any{"evil", int64(1)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Group(t.Context(), func(tx *Tx) error {
		tx.Stage(insRow, int64(2), "evil", appendRecord(nil, 0, 2, evil))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stageOne(t, d, 3)
	left := killed(t, dir)
	release()
	name := journalFiles(t, left)[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/3] ^= 1 // in the second
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	got := contents(t, openAt(t, left, slog.New(slog.NewTextHandler(&log, nil))))
	if want := []string{"1 n1", "3 n3"}; !slices.Equal(got, want) || !strings.Contains(log.String(), "records=1") {
		t.Errorf("%q, want %q; log %s", got, want, log.String())
	}
	if kept, err := os.ReadFile(name + damagedSuffix); err != nil || !bytes.Equal(kept, b) {
		t.Errorf("the damaged file: %v", err)
	}
}

// A batch that is too much for one record becomes several, and a transaction
// with values that do not fit its columns is refused alone.
func TestRecordSizes(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, dir, nil)
	contents(t, d)
	release := hold(d)
	var jobs []*job
	bad := errors.New("a bad row")
	for i := range int64(5) {
		jobs = append(jobs, &job{done: make(chan struct{}), fn: func(tx *Tx) error {
			switch i {
			case 1:
				tx.Stage(insRow, i, "too few")
			case 2:
				return bad
			default:
				tx.Stage(insRow, i, "big", make([]byte, fullRecord/2+1))
			}
			return nil
		}})
	}
	d.group.record(slices.Clone(jobs))
	for i, j := range jobs {
		if <-j.done; (j.err != nil) != (i == 1 || i == 2) {
			t.Errorf("job %d: %v", i, j.err)
		}
	}
	if got := d.group.intake.head; got != 2 {
		t.Errorf("%d records, want 2", got)
	}
	left := killed(t, dir)
	release()
	want := []string{"0 big", "3 big", "4 big"}
	if got := contents(t, openAt(t, left, nil)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Who waits when the journal ends is told.
func TestSettleAfterClose(t *testing.T) {
	d := openAt(t, t.TempDir(), nil)
	contents(t, d)
	d.group.close()
	d.group.intake.head++ // as if the tables had failed at the end
	if err := d.Read(context.Background(), func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.settle(over); err == nil {
		t.Error("no error")
	}
}

// Transactions of all kinds at once, and a Close among them: what has an answer
// is there, once, what has an error is not.
func TestCloseUnderLoad(t *testing.T) {
	for _, journal := range []string{"journal", ""} {
		t.Run(journal, func(t *testing.T) {
			dir := t.TempDir()
			c := Config{URL: filepath.Join(dir, "x.db")}
			if journal != "" {
				c.Journal = filepath.Join(dir, journal)
			}
			d, err := Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Migrate(t.Context(), testSteps); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			want := map[string]int{}
			var wg sync.WaitGroup
			enough := make(chan struct{}, 1000)
			for i := range 16 {
				wg.Go(func() {
					for n := 0; ; n++ {
						word := fmt.Sprintf("w%d.%d", i, n)
						err := d.act(i+n, word)
						switch {
						case errors.Is(err, errIO):
							continue
						case err != nil:
							return
						}
						mu.Lock()
						want[word+" 1"]++
						mu.Unlock()
						signal(enough)
					}
				})
			}
			for range 800 {
				<-enough
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			wg.Wait()
			again, err := Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			got := map[string]int{}
			for _, w := range contents(t, again) {
				got[w]++
			}
			if !maps.Equal(got, want) {
				for w, n := range want {
					if got[w] != n {
						t.Errorf("%s: %d times, acknowledged %d times", w, got[w], n)
					}
				}
				t.Errorf("%d words, acknowledged %d", len(got), len(want))
			}
		})
	}
}

// act runs a transaction of one kind and, where that is possible, sees that it
// is there when it has its answer.
func (d *DB) act(kind int, word string) error {
	ctx := context.Background()
	see := func() error {
		var n int
		err := d.Read(ctx, func(tx *Tx) error { return tx.QueryRow("SELECT COUNT(*) FROM note WHERE word = ?", word).Scan(&n) })
		if err == nil && n != 1 {
			panic(fmt.Sprintf("%s is there %d times", word, n))
		}
		return nil
	}
	stage := func(tx *Tx) error { tx.Stage(insNote, word, int64(1)); return nil }
	sql := func(tx *Tx) error {
		_, err := tx.Exec("INSERT INTO note (word, n) VALUES (?, 1)", word)
		return err
	}
	switch kind % 8 {
	case 0:
		if err := d.Write(ctx, func(tx *Tx) error { tx.AfterCommit(func() { see() }); return sql(tx) }); err != nil {
			return err
		}
		return see()
	case 1:
		if err := d.Group(ctx, sql); err != nil {
			return err
		}
		return see()
	case 2:
		return d.Group(ctx, func(tx *Tx) error { stage(tx); return errIO })
	case 3:
		if err := d.Group(ctx, stage); err != nil {
			return err
		}
		return see()
	}
	return d.Group(ctx, stage)
}
