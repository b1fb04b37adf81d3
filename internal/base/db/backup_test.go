package db_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/db/dbtest"
)

// countIn counts the rows of a database that is looked at from outside.
func countIn(t *testing.T, path string) (n int) {
	t.Helper()
	r, err := db.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if problems, err := r.Check(t.Context()); err != nil || len(problems) > 0 {
		t.Fatalf("%s: %v %v", path, problems, err)
	}
	if err := r.Read(t.Context(), func(tx *db.Tx) error { return tx.QueryRow("SELECT COUNT(*) FROM t").Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	if err := r.Read(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("DELETE FROM t")
		return err
	}); err == nil {
		t.Error("a reader can write")
	}
	return n
}

// TestSnapshot: a copy made while rows are written holds all that was committed
// before, and nothing by halves.
func TestSnapshot(t *testing.T) {
	path := dbtest.SQLiteURL(t)
	d := dbtest.Open(t, path, clock.System{}, steps)
	insert := func(from, n int) error {
		return d.Write(context.Background(), func(tx *db.Tx) error {
			for i := range n {
				tx.Stage(insT, int64(from+i), fmt.Sprint("n", from+i), []byte("body"))
			}
			return nil
		})
	}
	if err := insert(0, 1000); err != nil {
		t.Fatal(err)
	}
	stop, begun := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for at := 1000; ; at += 10 {
			if err := insert(at, 10); err != nil {
				t.Error(err)
				return
			}
			if at == 1000 {
				close(begun)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	<-begun
	to := filepath.Join(t.TempDir(), "copy of it?.db")
	err := db.Snapshot(t.Context(), path, to)
	close(stop)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if n := countIn(t, to); n < 1010 || n%10 != 0 {
		t.Errorf("%d rows in the copy", n)
	}
	if n, now := countIn(t, path), count(t, d); n != now {
		t.Errorf("a reader beside the program sees %d rows of %d", n, now)
	}
	if err := db.Snapshot(t.Context(), path, to); err == nil {
		t.Error("a snapshot replaced a file")
	}
	if entries, err := os.ReadDir(filepath.Dir(to)); err != nil || len(entries) != 1 {
		t.Errorf("beside the copy: %v %v", entries, err)
	}
}

// TestSnapshotOfKilled: what a killed program has left, with rows that are in
// the write-ahead log only, is copied whole.
func TestSnapshotOfKilled(t *testing.T) {
	path := dbtest.SQLiteURL(t)
	d := dbtest.Open(t, path, clock.System{}, steps)
	if err := d.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("INSERT INTO t (id, name, body) VALUES (1, 'x', 'y')")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	dead := t.TempDir()
	for _, suffix := range []string{"", "-wal"} { // the index in -shm does not survive a reboot
		text, err := os.ReadFile(path + suffix)
		if err == nil {
			err = os.WriteFile(filepath.Join(dead, "postroad.db"+suffix), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := db.Snapshot(t.Context(), filepath.Join(dead, "postroad.db"), to); err != nil {
		t.Fatal(err)
	}
	if n := countIn(t, to); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestSnapshotOfNothing(t *testing.T) {
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := db.Snapshot(t.Context(), filepath.Join(t.TempDir(), "none.db"), to); err == nil || !strings.Contains(err.Error(), "none.db") {
		t.Error(err)
	}
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Errorf("a file was made: %v", err)
	}
	if _, err := db.OpenReader(t.Context(), filepath.Join(t.TempDir(), "none.db")); err == nil {
		t.Error("a reader opened a database that is not there")
	}
}

// TestCheckFindsDamage: bytes changed in the middle of a table are reported.
func TestCheckFindsDamage(t *testing.T) {
	path := dbtest.SQLiteURL(t)
	d := dbtest.Open(t, path, clock.System{}, steps)
	if err := d.Write(t.Context(), func(tx *db.Tx) error {
		for i := range 500 {
			if _, err := tx.Exec("INSERT INTO t (id, name, body) VALUES (?, ?, ?)", i, fmt.Sprint("n", i), make([]byte, 200)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := db.Snapshot(t.Context(), path, to); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(text) / 2; i < len(text)/2+8192; i++ {
		text[i] ^= 0x55
	}
	if err := os.WriteFile(to, text, fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	r, err := db.OpenReader(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if problems, err := r.Check(t.Context()); len(problems) == 0 && err == nil {
		t.Error("damage was not found")
	}
}
