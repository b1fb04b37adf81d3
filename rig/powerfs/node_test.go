//go:build linux

package powerfs

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestFileCrash(t *testing.T) {
	n := newFile(2, 0o600)
	n.write(0, bytes.Repeat([]byte("a"), 6000))
	n.sync()
	n.write(100, []byte("unsynced"))
	n.write(7000, []byte("tail"))
	n.crash(nil)
	if want := bytes.Repeat([]byte("a"), 6000); !bytes.Equal(n.data, want) {
		t.Fatalf("%d bytes, %q...", len(n.data), n.data[90:120])
	}
	n.truncate(10)
	n.truncate(9000)
	n.crash(nil)
	if want := bytes.Repeat([]byte("a"), 6000); !bytes.Equal(n.data, want) {
		t.Fatalf("after a truncation: %d bytes, %q...", len(n.data), n.data[:20])
	}
	n.truncate(10)
	n.sync()
	n.crash(nil)
	if string(n.data) != "aaaaaaaaaa" {
		t.Fatalf("a synced truncation was lost: %q", n.data)
	}
}

func TestFailedSync(t *testing.T) {
	n := newFile(2, 0o600)
	n.write(0, []byte("old"))
	n.sync()
	n.write(0, []byte("new"))
	n.giveUp()
	n.sync() // says it worked, and has nothing to write
	n.crash(nil)
	if string(n.data) != "old" {
		t.Fatalf("a page given up by a failed sync is durable: %q", n.data)
	}
	n.write(0, []byte("new"))
	n.giveUp()
	n.write(0, []byte("new"))
	n.sync()
	n.crash(nil)
	if string(n.data) != "new" {
		t.Fatalf("a page written again is not durable: %q", n.data)
	}
}

func TestDirectoryCrash(t *testing.T) {
	d, a, b := newDir(1, 0o700), newFile(2, 0o600), newFile(3, 0o600)
	d.set("a", a)
	d.sync()
	d.set("b", b)
	d.set("a", nil)
	d.crash(nil)
	if d.entries["a"] != a || d.entries["b"] != nil {
		t.Fatalf("%v", d.entries)
	}
	d.set("b", b)
	d.set("a", nil)
	d.sync()
	d.crash(nil)
	if d.entries["a"] != nil || d.entries["b"] != b {
		t.Fatalf("%v", d.entries)
	}
}

// A crash that keeps some never changes what was durable before the last
// write to its sector.
func TestPartialCrash(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := Some(func() bool { return random.IntN(2) == 0 })
	kept, dropped := 0, 0
	for range 200 {
		n := newFile(2, 0o600)
		n.write(0, bytes.Repeat([]byte("a"), 3*page))
		n.sync()
		n.write(page, bytes.Repeat([]byte("b"), page))
		n.crash(some)
		if len(n.data) != 3*page || bytes.Count(n.data[:page], []byte("a")) != page || bytes.Count(n.data[2*page:], []byte("a")) != page {
			t.Fatal("a page that was durable has changed")
		}
		k := bytes.Count(n.data, []byte("b"))
		if k%sector != 0 {
			t.Fatalf("%d bytes of a torn page", k)
		}
		kept, dropped = kept+k, dropped+page-k
	}
	if kept == 0 || dropped == 0 {
		t.Fatalf("kept %d, dropped %d", kept, dropped)
	}
}
