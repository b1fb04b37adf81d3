package track

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

var examples = []hit{
	{at: time.UnixMicro(1_700_000_000_123_456), ip: netip.MustParseAddr("192.0.2.1"), agent: "Mozilla/5.0", token: "abc"},
	{at: time.UnixMicro(1), flags: flagHead | flagPrefetch, ip: netip.MustParseAddr("2001:db8::1"), agent: strings.Repeat("x", 512), token: strings.Repeat("t", 6000)},
	{at: time.UnixMicro(-5), token: ""},
}

func TestHit(t *testing.T) {
	for _, want := range examples {
		b := want.appendTo([]byte("before"))[6:]
		got, n := readHit(append(b, "after"...))
		if n != len(b) || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v came back as %+v, %d of %d bytes", want, got, n, len(b))
		}
		for i := range b {
			if _, n := readHit(b[:i]); n != 0 {
				t.Fatalf("the first %d of %d bytes are a record", i, len(b))
			}
			bad := bytes.Clone(b)
			bad[i] ^= 0x10
			if got, n := readHit(bad); n != 0 {
				t.Fatalf("changed at %d: %+v", i, got)
			}
		}
	}
	long := hit{agent: strings.Repeat("x", 100_000)}
	if got, n := readHit(long.appendTo(nil)); n == 0 || len(got.agent) != 512 {
		t.Errorf("a long User-Agent: %d bytes of it", len(got.agent))
	}
}

func FuzzReadHit(f *testing.F) {
	for _, h := range examples {
		f.Add(h.appendTo(nil))
	}
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n := readHit(b)
		if n > len(b) {
			t.Fatalf("%d of %d bytes", n, len(b))
		}
		if n > 0 && len(h.agent) <= 512 {
			if again, _ := readHit(h.appendTo(nil)); !reflect.DeepEqual(again, h) {
				t.Fatalf("%+v, again %+v", h, again)
			}
		}
	})
}

func testSpool(t testing.TB, dir string, at position) *spool {
	t.Helper()
	s, err := openSpool(dir, at, 1<<30, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.closed {
			s.Close()
		}
	})
	return s
}

func numbered(i int) *hit {
	return &hit{at: time.UnixMicro(int64(i)), agent: fmt.Sprint(i), token: strings.Repeat("t", i%700)}
}

func put(t testing.TB, s *spool, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := s.append(numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// take reads everything behind at, some at a time.
func take(t testing.TB, s *spool, at position, limit int) (got []int64, end position) {
	t.Helper()
	for {
		hits, end, err := s.read(at, limit)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.done(end); err != nil {
			t.Fatal(err)
		}
		if len(hits) == 0 {
			return got, end
		}
		at = end
		for _, h := range hits {
			got = append(got, h.at.UnixMicro())
		}
	}
}

// follows fails unless list counts from from up to to.
func follows(t testing.TB, list []int64, from, to int) {
	t.Helper()
	if len(list) != to-from {
		t.Fatalf("%d hits, want %d", len(list), to-from)
	}
	for i, v := range list {
		if v != int64(from+i) {
			t.Fatalf("hit %d is %d, want %d", i, v, from+i)
		}
	}
}

func TestSpoolFiles(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, position{})
	const many = 60_000 // of some 380 bytes: several files
	put(t, s, 0, many)
	if files, _ := filepath.Glob(dir + "/*" + suffix); len(files) < 3 {
		t.Fatalf("%d files", len(files))
	}
	got, at := take(t, s, position{}, 777)
	follows(t, got, 0, many)
	files, _ := filepath.Glob(dir + "/*" + suffix)
	if len(files) != 1 || s.bytes.Load() > fullFile {
		t.Errorf("files left: %q, %d bytes", files, s.bytes.Load())
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	put(t, s, many, many+3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.append(numbered(1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	s = testSpool(t, dir, at)
	put(t, s, many+3, many+5)
	got, _ = take(t, s, at, 2)
	follows(t, got, many, many+5)
}

// TestSpoolNumbers: with all files gone a new one is not taken for one that was
// read.
func TestSpoolNumbers(t *testing.T) {
	s := testSpool(t, t.TempDir(), position{file: 7, pos: 1 << 20})
	put(t, s, 0, 3)
	got, end := take(t, s, position{file: 7, pos: 1 << 20}, 10)
	follows(t, got, 0, 3)
	if end.file != 8 {
		t.Errorf("read up to %+v", end)
	}
}

// TestSpoolTorn: what a power failure leaves is read up to the last whole record,
// and never appended to.
func TestSpoolTorn(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut":   func(b []byte) []byte { return b[:len(b)-3] },
		"zeros": func(b []byte) []byte { return append(b[:len(b)-20], make([]byte, 4096)...) },
		"noise": func(b []byte) []byte { return append(b[:len(b)-20], bytes.Repeat([]byte{0xa5}, 100)...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := testSpool(t, dir, position{})
			put(t, s, 1, 100)
			s.Close()
			file := s.path(1)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			s = testSpool(t, dir, position{})
			put(t, s, 99, 120)
			got, _ := take(t, s, position{}, 10)
			follows(t, got, 1, 120)
		})
	}
}

// TestSpoolShorter: a power failure may take back what was read already. What
// comes later is found all the same.
func TestSpoolShorter(t *testing.T) {
	dir := t.TempDir()
	s := testSpool(t, dir, position{})
	put(t, s, 0, 50)
	_, at := take(t, s, position{}, 100)
	s.Close()
	if err := os.Truncate(s.path(at.file), 100); err != nil {
		t.Fatal(err)
	}
	s = testSpool(t, dir, at)
	put(t, s, 50, 60)
	got, _ := take(t, s, at, 100)
	follows(t, got, 50, 60)
}

func TestSpoolFull(t *testing.T) {
	s := testSpool(t, t.TempDir(), position{})
	s.max = 1000
	put(t, s, 10, 13)
	for s.append(numbered(600)) == nil {
	}
	if err := s.append(numbered(1)); !errors.Is(err, errFull) {
		t.Fatalf("%v", err)
	}
	if n := s.bytes.Load(); n > 1700 {
		t.Errorf("%d bytes", n)
	}
}

// TestSpoolBrokenWrite: a write that fails leaves nothing that later ones hide
// behind.
func TestSpoolBrokenWrite(t *testing.T) {
	s := testSpool(t, t.TempDir(), position{})
	put(t, s, 0, 5)
	s.mu.Lock()
	real := s.f
	broken, err := os.Open(s.path(1)) // cannot be written to
	if err != nil {
		t.Fatal(err)
	}
	s.f = broken
	s.mu.Unlock()
	if err := s.append(numbered(5)); err == nil {
		t.Fatal("written")
	}
	s.mu.Lock()
	s.f = real
	s.mu.Unlock()
	broken.Close()
	put(t, s, 5, 9)
	got, _ := take(t, s, position{}, 100)
	follows(t, got, 0, 9)
}

// TestSpoolConcurrent: hits of many writers are read once each while they come.
func TestSpoolConcurrent(t *testing.T) {
	s := testSpool(t, t.TempDir(), position{})
	const writers, each = 8, 2000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := s.append(numbered(w*each + i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { wg.Wait(); close(written) }()
	seen, at, all := map[int64]bool{}, position{}, false
	for {
		got, end := take(t, s, at, 100)
		at = end
		for _, v := range got {
			if seen[v] {
				t.Fatalf("%d twice", v)
			}
			seen[v] = true
		}
		if all && len(got) == 0 {
			break
		}
		select {
		case <-written:
			all = true
		case <-s.more:
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d of %d", len(seen), writers*each)
	}
}

func BenchmarkAppend(b *testing.B) {
	s := testSpool(b, b.TempDir(), position{})
	h := &hit{at: time.Now(), ip: netip.MustParseAddr("192.0.2.1"), agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36", token: strings.Repeat("t", 120)}
	for b.Loop() {
		if err := s.append(h); err != nil {
			b.Fatal(err)
		}
	}
}
