package db_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/db/dbtest"
)

var steps = []db.Migration{{Number: 1, Name: "t", SQL: "-- test table\nCREATE TABLE t (id $KEY, name TEXT NOT NULL UNIQUE, body $BYTES);\n"}}

var insT = &db.Insert{Table: "t", Columns: []string{"id", "name", "body"}}
var delT = &db.Delete{Table: "t", Column: "id"}

func count(t *testing.T, d *db.DB) (n int) {
	t.Helper()
	if err := d.Read(context.Background(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT COUNT(*) FROM t").Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestGroupSharesAndIsolates(t *testing.T) {
	dbtest.Each(t, clock.System{}, steps, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		boom := errors.New("boom")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var failed, conflicts, ok, after int
		for i := range 400 {
			wg.Go(func() {
				err := d.Group(ctx, func(tx *db.Tx) error {
					if i%10 == 3 {
						tx.Stage(insT, int64(10000+i), fmt.Sprint("lost", i), []byte("x"))
						return boom
					}
					tx.AfterCommit(func() { mu.Lock(); after++; mu.Unlock() })
					if i%10 == 4 { // what may be refused is not staged
						_, err := tx.Exec("INSERT INTO t (id, name, body) VALUES (?, ?, ?)", int64(i), "same", []byte("body"))
						return err
					}
					tx.Stage(insT, int64(i), fmt.Sprint("n", i), []byte("body"))
					return nil
				})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, boom):
					failed++
				case db.IsConflict(err):
					conflicts++
				case err == nil:
					ok++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if failed != 40 || conflicts != 39 || ok != 321 || after != 321 {
			t.Fatalf("failed %d conflicts %d ok %d callbacks %d", failed, conflicts, ok, after)
		}
		if n := count(t, d); n != 321 {
			t.Fatalf("rows %d, want 321", n)
		}
	})
}

func TestStageDeleteAndPanic(t *testing.T) {
	dbtest.Each(t, clock.System{}, steps, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		if err := d.Write(ctx, func(tx *db.Tx) error {
			for i := range 300 {
				tx.Stage(insT, int64(i), fmt.Sprint(i), nil)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := d.Group(ctx, func(tx *db.Tx) error { panic("bad job") }); err == nil {
			t.Fatal("a panic must fail its job")
		}
		if err := d.Group(ctx, func(tx *db.Tx) error {
			for i := range 299 {
				tx.StageDelete(delT, int64(i))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, d); n != 1 {
			t.Fatalf("rows %d, want 1", n)
		}
	})
}

func TestReadIsReadOnlyAndNowIsFixed(t *testing.T) {
	fake := clock.NewFake(time.UnixMicro(1_700_000_000_000_000))
	dbtest.Each(t, fake, steps, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		if err := d.Read(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec("INSERT INTO t (id, name) VALUES (?, ?)", 1, "a")
			return err
		}); err == nil {
			t.Fatal("a reader wrote")
		}
		if err := d.Write(ctx, func(tx *db.Tx) error {
			if tx.Now != fake.Now().UnixMicro() {
				t.Errorf("Now %d", tx.Now)
			}
			_, err := tx.Exec("INSERT INTO t (id, name) VALUES (?, 'what?')", 1)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		var name string
		err := d.Read(ctx, func(tx *db.Tx) error {
			return tx.Each(func(r *sql.Rows) error { return r.Scan(&name) }, "SELECT name FROM t WHERE id = ? AND name = 'what?'", 1)
		})
		if err != nil || name != "what?" {
			t.Fatalf("%q %v", name, err)
		}
	})
}

func TestMigrateTwiceAndNewer(t *testing.T) {
	dbtest.Each(t, clock.System{}, steps, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		if err := d.Migrate(ctx, steps); err != nil {
			t.Fatal(err)
		}
		if err := d.Migrate(ctx, nil); err == nil {
			t.Fatal("a database of a newer version was accepted")
		}
	})
}

func TestGroupAfterClose(t *testing.T) {
	d, err := db.Open(context.Background(), db.Config{URL: dbtest.SQLiteURL(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Group(context.Background(), func(*db.Tx) error { return nil }); !errors.Is(err, db.ErrClosed) {
		t.Fatal(err)
	}
}

func TestExclusive(t *testing.T) {
	open := func(t *testing.T, u string, c clock.Clock) *db.DB {
		t.Helper()
		return dbtest.Open(t, u, c, nil)
	}
	t.Run("sqlite", func(t *testing.T) {
		u := dbtest.SQLiteURL(t)
		for range 2 { // the directory's lock is another's matter
			if err := open(t, u, nil).Exclusive(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("postgres", func(t *testing.T) {
		u, elsewhere := dbtest.PostgresURL(t), dbtest.PostgresURL(t)
		first := open(t, u, nil)
		if err := first.Exclusive(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if err := open(t, elsewhere, nil).Exclusive(t.Context(), 0); err != nil {
			t.Fatalf("another schema: %v", err)
		}
		second := open(t, u, nil)
		if err := second.Exclusive(t.Context(), 0); !errors.Is(err, db.ErrInUse) || err.Error() != "another program is using this database" {
			t.Fatal(err)
		}
		if err := second.Exclusive(t.Context(), time.Millisecond); !errors.Is(err, db.ErrInUse) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := second.Exclusive(ctx, time.Minute); err == nil {
			t.Fatal("taken twice")
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if err := second.Exclusive(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	})
}

// A program that waits gets the database when the one before ends.
func TestExclusiveWaits(t *testing.T) {
	u, c := dbtest.PostgresURL(t), &waited{Fake: clock.NewFake(time.UnixMicro(1)), c: make(chan struct{}, 100)}
	first, second := dbtest.Open(t, u, nil, nil), dbtest.Open(t, u, c, nil)
	if err := first.Exclusive(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- second.Exclusive(t.Context(), time.Hour) }()
	<-c.c
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Second)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// waited is a clock that tells when somebody waits.
type waited struct {
	*clock.Fake
	c chan struct{}
}

func (w *waited) After(d time.Duration) (<-chan time.Time, func()) {
	c, stop := w.Fake.After(d)
	w.c <- struct{}{}
	return c, stop
}

func TestLookup(t *testing.T) {
	dbtest.Each(t, clock.System{}, steps, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		get := func(id int64) (names []string, err error) {
			err = d.Lookup(ctx, func(r *sql.Rows) error {
				var name string
				err := r.Scan(&name)
				names = append(names, name)
				return err
			}, "SELECT name FROM t WHERE id >= ? AND name <> '?' ORDER BY id", id)
			return names, err
		}
		var wg sync.WaitGroup
		for i := range int64(40) { // its text is prepared by several at once
			if err := d.Write(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec("INSERT INTO t (id, name, body) VALUES (?, ?, ?)", i, fmt.Sprint("n", i), []byte{})
				return err
			}); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				if got, err := get(i); err != nil || len(got) == 0 || got[0] != fmt.Sprint("n", i) {
					t.Errorf("%d: %q %v", i, got, err)
				}
			})
		}
		wg.Wait()
		if got, err := get(40); err != nil || len(got) != 0 {
			t.Errorf("%q %v", got, err)
		}
		boom := errors.New("boom")
		if err := d.Lookup(ctx, func(*sql.Rows) error { return boom }, "SELECT name FROM t WHERE id = ?", 1); err != boom {
			t.Errorf("%v", err)
		}
		over, cancel := context.WithCancel(ctx)
		cancel()
		if err := d.Lookup(over, func(*sql.Rows) error { return nil }, "SELECT name FROM t WHERE id = ?", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if err := d.Lookup(ctx, func(*sql.Rows) error { return nil }, "SELECT x FROM nowhere"); err == nil {
			t.Error("no error for a table that is not there")
		}
	})
}
