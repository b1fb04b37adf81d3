package blob

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func open(t testing.TB, dir string, opt Options) *Store {
	t.Helper()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func add(t testing.TB, s *Store, pieces ...[]byte) Ref {
	t.Helper()
	ref, err := s.Append(t.Context(), pieces...)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return ref
}

func wantPayload(t testing.TB, s *Store, ref Ref, want []byte) {
	t.Helper()
	got, err := s.Read(ref)
	if err != nil {
		t.Fatalf("Read(%s): %v", ref, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Read(%s): %d bytes differ from the %d appended", ref, len(got), len(want))
	}
}

// body is a payload that depends on its arguments in every part.
func body(seed uint64, size int) []byte {
	out := make([]byte, 0, size+8)
	for x := seed*0x9E3779B97F4A7C15 + 1; len(out) < size; x = x*6364136223846793005 + 1442695040888963407 {
		out = binary.LittleEndian.AppendUint64(out, x^x>>29)
	}
	return out[:size]
}

func TestAppendAndRead(t *testing.T) {
	opt := Options{SegmentBytes: 4096, BatchBytes: 1024}
	cases := []struct {
		name   string
		pieces [][]byte
	}{
		{"no piece", nil},
		{"empty", [][]byte{{}}},
		{"one byte", [][]byte{{7}}},
		{"pieces", [][]byte{[]byte("From: a\r\n"), nil, []byte("\r\n"), []byte("text")}},
		{"fills the batch", [][]byte{body(1, 1024-recordHeader)}},
		{"larger than the batch", [][]byte{body(2, 1500), body(3, 700)}},
		{"larger than a segment", [][]byte{body(4, 9000), body(5, 1)}},
		{"after it", [][]byte{body(6, 10)}},
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir, opt)
	refs := make([]Ref, len(cases))
	for i, c := range cases {
		refs[i] = add(t, s, c.pieces...)
	}
	check := func(t *testing.T) {
		for i, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				want := bytes.Join(c.pieces, nil)
				wantPayload(t, s, refs[i], want)
				back, err := ParseRef(refs[i].String())
				if err != nil || back != refs[i] {
					t.Errorf("ParseRef(%q) = %v, %v", refs[i].String(), back, err)
				}
				r, err := s.OpenReader(refs[i])
				if err != nil {
					t.Fatalf("OpenReader: %v", err)
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
					t.Errorf("stream: %d bytes, %v", len(got), err)
				}
				if at, err := r.Seek(-int64(len(want)/2), io.SeekEnd); err != nil || at != int64(len(want)-len(want)/2) {
					t.Errorf("Seek = %d, %v", at, err)
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want[len(want)-len(want)/2:]) {
					t.Errorf("second half: %d bytes, %v", len(got), err)
				}
			})
		}
	}
	t.Run("same run", check)
	if refs[6].Segment == refs[5].Segment || refs[7].Segment == refs[6].Segment || refs[6].Offset != segmentHeader {
		t.Errorf("the large record shares a segment: %v", refs[5:])
	}
	closeStore(t, s)
	s = open(t, dir, opt)
	t.Run("after reopening", check)
	if got := s.Recovery(); got.Truncated != 0 || got.Damaged || got.Records == 0 {
		t.Errorf("Recovery of a clean store: %+v", got)
	}
	next := add(t, s, []byte("more"))
	if next.Segment != refs[7].Segment || next.Offset != refs[7].Offset+refs[7].Length+RecordOverhead {
		t.Errorf("a clean segment with room is not continued: %v after %v", next, refs[7])
	}
	closeStore(t, s)
}

func TestReadInto(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer closeStore(t, s)
	want := body(1, 5000)
	ref := add(t, s, want)
	buf := make([]byte, 0, 5000+RecordOverhead)
	got, err := s.ReadInto(ref, buf)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("ReadInto: %d bytes, %v", len(got), err)
	}
	if &got[0] != &buf[:cap(buf)][RecordOverhead] {
		t.Error("a buffer of sufficient capacity was not used")
	}
	if got, err = s.ReadInto(ref, make([]byte, 10)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("ReadInto a short buffer: %d bytes, %v", len(got), err)
	}
}

func TestReadWrongRefs(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	good := add(t, s, body(1, 1000))
	add(t, s, body(2, 1000))
	change := func(f func(*Ref)) Ref { r := good; f(&r); return r }
	cases := []struct {
		name string
		ref  Ref
		want error
	}{
		{"zero", Ref{}, ErrBadRef},
		{"negative length", change(func(r *Ref) { r.Length = -1 }), ErrBadRef},
		{"inside the header", change(func(r *Ref) { r.Offset = 5 }), ErrBadRef},
		{"overflow", change(func(r *Ref) { r.Length = 1<<63 - 1 }), ErrBadRef},
		{"no such segment", change(func(r *Ref) { r.Segment = 99 }), ErrNotFound},
		{"beyond the end", change(func(r *Ref) { r.Offset = 1 << 40 }), ErrCorrupt},
		{"between records", change(func(r *Ref) { r.Offset++ }), ErrCorrupt},
		{"short", change(func(r *Ref) { r.Length-- }), ErrCorrupt},
		{"long", change(func(r *Ref) { r.Length++ }), ErrCorrupt},
		{"huge is not allocated", change(func(r *Ref) { r.Length = 1 << 50 }), ErrCorrupt},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := s.Read(c.ref); !errors.Is(err, c.want) {
				t.Errorf("Read: %v, want %v", err, c.want)
			}
			if _, err := s.OpenReader(c.ref); !errors.Is(err, c.want) {
				t.Errorf("OpenReader: %v, want %v", err, c.want)
			}
		})
	}
	closeStore(t, s)
	if _, err := s.Read(good); !errors.Is(err, ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
}

func TestConcurrentAppend(t *testing.T) {
	const callers, each = 32, 60
	opt := Options{SegmentBytes: 64 << 10, BatchBytes: 16 << 10, MaxBatch: 20, OpenFiles: 2}
	dir := t.TempDir()
	s := open(t, dir, opt)
	refs := make([][each]Ref, callers)
	size := func(c, i int) int { return (c*7919 + i*104729) % 3000 * ((c*i)%17/16*9 + 1) }
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for i := range each {
				want := body(uint64(c*each+i), size(c, i))
				buf := bytes.Clone(want)
				ref, err := s.Append(t.Context(), buf[:len(buf)/3], buf[len(buf)/3:])
				clear(buf) // the caller's again
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				refs[c][i] = ref
				if got, err := s.Read(ref); err != nil || !bytes.Equal(got, want) {
					t.Errorf("Read(%s) at once: %v", ref, err)
				}
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	st := s.Stats()
	if st.Records != callers*each || st.Batches == 0 || st.Batches > st.Records || st.Failures != 0 {
		t.Errorf("Stats: %+v", st)
	}
	var syncs uint64
	for _, n := range st.SyncBuckets {
		syncs += n
	}
	if syncs != st.Batches {
		t.Errorf("%d syncs in the histogram, %d batches", syncs, st.Batches)
	}
	closeStore(t, s)
	s = open(t, dir, opt)
	defer closeStore(t, s)
	seen := map[Ref]bool{}
	for c := range callers {
		for i, ref := range refs[c] {
			wantPayload(t, s, ref, body(uint64(c*each+i), size(c, i)))
			place := Ref{Segment: ref.Segment, Offset: ref.Offset}
			if seen[place] {
				t.Fatalf("two records at %v", place)
			}
			seen[place] = true
		}
	}
	var bytesOnDisk int64
	for _, seg := range s.Segments() {
		bytesOnDisk += seg.Bytes - segmentHeader
	}
	if uint64(bytesOnDisk) != st.Bytes {
		t.Errorf("segments hold %d bytes, %d were counted", bytesOnDisk, st.Bytes)
	}
}

// gate holds up operations of one kind until it is opened.
type gate struct {
	entered chan struct{}
	open    chan struct{}
}

func gateOn(f *faultFS, op string) *gate {
	g := &gate{entered: make(chan struct{}, 1), open: make(chan struct{})}
	f.inside = func(got, _ string) {
		if got != op {
			return
		}
		select {
		case g.entered <- struct{}{}:
		default:
		}
		<-g.open
	}
	return g
}

func TestGroupCommit(t *testing.T) {
	f := newFaultFS()
	g := gateOn(f, "sync")
	s := open(t, "d", Options{FS: f})
	defer closeStore(t, s)
	_, first := s.AppendAsync(t.Context(), []byte("first"))
	<-g.entered // the committer is inside its sync: from here on records gather
	var waits []func(context.Context) error
	var refs []Ref
	for i := range 100 {
		ref, wait := s.AppendAsync(t.Context(), body(uint64(i), 100))
		refs, waits = append(refs, ref), append(waits, wait)
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := waits[0](short); !errors.Is(err, context.Canceled) {
		t.Errorf("wait with an ended context: %v", err)
	}
	close(g.open)
	for i, wait := range append(waits, first) {
		if err := wait(t.Context()); err != nil {
			t.Fatalf("wait %d: %v", i, err)
		}
	}
	if got := s.Stats(); got.Batches != 2 || got.Records != 101 {
		t.Errorf("100 waiting records took %d batches for %d records", got.Batches, got.Records)
	}
	for i, ref := range refs {
		wantPayload(t, s, ref, body(uint64(i), 100))
	}
	if err := waits[0](short); err != nil {
		t.Errorf("wait for what is durable, with an ended context: %v", err)
	}
}

func TestRoomIsBounded(t *testing.T) {
	f := newFaultFS()
	g := gateOn(f, "sync")
	s := open(t, "d", Options{FS: f, BatchBytes: 1000})
	_, first := s.AppendAsync(t.Context(), []byte("first"))
	<-g.entered
	_, second := s.AppendAsync(t.Context(), body(2, 900))
	ctx, cancel := context.WithCancel(t.Context())
	refused := make(chan error)
	go func() {
		_, err := s.Append(ctx, body(3, 900))
		refused <- err
	}()
	cancel()
	if err := <-refused; !errors.Is(err, context.Canceled) {
		t.Errorf("Append without room: %v", err)
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	waiting := make(chan error)
	go func() {
		_, err := s.Append(context.Background(), body(4, 900))
		waiting <- err
	}()
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("Append while closing: %v", err)
	}
	close(g.open)
	if err := errors.Join(first(t.Context()), second(t.Context()), <-closed); err != nil {
		t.Errorf("Close did not drain: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v, want ErrLocked", err)
	}
	closeStore(t, s)
	closeStore(t, open(t, dir, Options{}))
}

func TestSegmentsRotateDelete(t *testing.T) {
	now := time.Unix(1_700_000_000, 123000).UTC()
	opt := Options{Now: func() time.Time { return now }}
	dir := t.TempDir()
	s := open(t, dir, opt)
	if err := s.Rotate(t.Context()); err != nil || len(s.Segments()) != 0 {
		t.Errorf("Rotate of an empty store: %v, %v", err, s.Segments())
	}
	old := add(t, s, []byte("old"))
	if err := s.Delete(old.Segment); !errors.Is(err, ErrActive) {
		t.Errorf("Delete of the newest segment: %v", err)
	}
	for range 3 { // the second and third find nothing to seal
		if err := s.Rotate(t.Context()); err != nil {
			t.Fatalf("Rotate: %v", err)
		}
	}
	segs := s.Segments()
	want := fmt.Sprint([]Segment{
		{ID: 1, Bytes: segmentHeader + recordHeader + 3, Sealed: true, Created: now, Modified: now},
		{ID: 2, Bytes: segmentHeader, Created: now, Modified: now},
	})
	if fmt.Sprint(segs) != want {
		t.Errorf("Segments:\n%v\nwant\n%v", segs, want)
	}
	wantPayload(t, s, old, []byte("old"))
	if err := s.Delete(old.Segment); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, segmentName(1))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("file of a deleted segment: %v", err)
	}
	if _, err := s.Read(old); !errors.Is(err, ErrNotFound) {
		t.Errorf("Read of a deleted record: %v", err)
	}
	if err := s.Delete(old.Segment); !errors.Is(err, ErrNotFound) {
		t.Errorf("second Delete: %v", err)
	}
	closeStore(t, s)
	if err := s.Delete(2); !errors.Is(err, ErrClosed) {
		t.Errorf("Delete after Close: %v", err)
	}
	created := now
	now = now.Add(time.Hour)
	s = open(t, dir, opt)
	defer closeStore(t, s)
	if got := s.Segments(); len(got) != 1 || !got[0].Created.Equal(created) {
		t.Errorf("Created after reopening: %v, want %v", got, created)
	}
	if ref := add(t, s, []byte("new")); ref.Segment != 2 {
		t.Errorf("number of a deleted segment used again, or an empty one left behind: %v", ref)
	}
}

func TestParseRef(t *testing.T) {
	for text, want := range map[string]Ref{
		"7.1048576.10240": {7, 1048576, 10240},
		"1.32.0":          {1, 32, 0},
		"18446744073709551615.32.9223372036854775755": {1<<64 - 1, 32, 1<<63 - 1 - 32 - recordHeader},
	} {
		if got, err := ParseRef(text); err != nil || got != want {
			t.Errorf("ParseRef(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "7", "7.40", "7.40.1.", "7.40.1.2", "07.40.1", "7.+40.1", "7.40.-1", "7.4.1",
		"0.40.1", " 7.40.1", "7.40.1 ", "7.40.9223372036854775807", "7.40.9223372036854775808", "7,40,1", "x.40.1"} {
		if got, err := ParseRef(text); !errors.Is(err, ErrBadRef) {
			t.Errorf("ParseRef(%q) = %v, %v", text, got, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("7.1048576.10240")
	f.Add("0.0.0")
	f.Add("1.32.-5")
	f.Fuzz(func(t *testing.T, text string) {
		if ref, err := ParseRef(text); err == nil && ref.String() != text {
			t.Errorf("%q read as %s", text, ref)
		}
	})
}

func TestMaxBatch(t *testing.T) {
	f := newFaultFS()
	g := gateOn(f, "sync")
	s := open(t, "d", Options{FS: f, MaxBatch: 3})
	defer closeStore(t, s)
	s.AppendAsync(t.Context(), []byte("first"))
	<-g.entered // the next three gather
	for i := range 3 {
		s.mu.Lock()
		fits := s.fits(recordHeader + 1)
		s.mu.Unlock()
		if !fits {
			t.Fatalf("no room for record %d of 3", i+1)
		}
		s.AppendAsync(t.Context(), []byte("x"))
	}
	s.mu.Lock()
	if s.fits(recordHeader + 1) {
		t.Error("room for a fourth record in a group of three")
	}
	s.mu.Unlock()
	close(g.open)
	add(t, s, []byte("fifth"))
	if got := s.Stats(); got.Records != 5 || got.Batches != 3 {
		t.Errorf("Stats: %+v", got)
	}
}
