//go:build linux

package powerfs

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	_ "modernc.org/sqlite" // a program that maps memory and locks
)

func mounted(t *testing.T) (*FS, string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip(err)
	}
	f, dir := New(), t.TempDir()
	if err := f.Mount(dir); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return f, dir
}

func crash(t *testing.T, f *FS, dir string) {
	t.Helper()
	f.Cut()
	if err := f.Unmount(); err != nil {
		t.Fatal(err)
	}
	f.Crash(nil)
	if err := f.Mount(dir); err != nil {
		t.Fatal(err)
	}
}

// inChild runs this test binary again for statements on an SQLite database and
// returns what it says. SQLite maps memory: a process that waits for a page of
// its own file system stops the goroutine that would bring it.
func inChild(t *testing.T, name string, statements ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childDB+"="+name, childSQL+"="+strings.Join(statements, ";"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

const (
	childDB  = "POWERFS_TEST_DB"
	childSQL = "POWERFS_TEST_SQL"
)

// TestChild is the other side of inChild. The process ends without closing the
// database, as one that is killed.
func TestChild(t *testing.T) {
	name := os.Getenv(childDB)
	if name == "" {
		return // it is the body of TestSQLite's child
	}
	d, err := sql.Open("sqlite", "file:"+name+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		t.Fatal(err)
	}
	d.SetMaxOpenConns(1) // for PRAGMA
	for q := range strings.SplitSeq(os.Getenv(childSQL), ";") {
		if _, err := d.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := d.QueryRow("SELECT SUM(n) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	fmt.Println(n)
	os.Exit(0)
}

func TestSQLite(t *testing.T) {
	f, dir := mounted(t)
	name := filepath.Join(dir, "x.db")
	inChild(t, name, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
	if got := inChild(t, name, "PRAGMA synchronous = OFF", "INSERT INTO t VALUES (3)"); got != "6" {
		t.Fatalf("sum %s before the outage, want 6", got)
	}
	crash(t, f, dir)
	if got := inChild(t, name, "SELECT 1"); got != "3" {
		t.Fatalf("sum %s, want 3: what was committed with FULL and nothing else", got)
	}
}

func TestFaults(t *testing.T) {
	f, dir := mounted(t)
	file, err := os.Create(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f.SetFault(Match(Sync, "a", syscall.EIO))
	if _, err := file.WriteString("text"); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	f.SetFault(Match(Write, "a", syscall.ENOSPC))
	if _, err := file.WriteString("text"); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("write: %v", err)
	}
	f.SetFault(nil)
	if _, err := file.WriteString("text"); err != nil {
		t.Fatal(err)
	}
}
