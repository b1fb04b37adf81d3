package blob

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// walked runs Walk on the bytes of a segment and lists the records.
func walked(t testing.TB, id uint64, data []byte) (Walked, []Record) {
	t.Helper()
	var list []Record
	w, err := Walk(bytes.NewReader(data), id, int64(len(data)), func(r Record) error {
		list = append(list, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, list
}

// segmentOf makes a segment with records of the sizes and returns its bytes.
func segmentOf(t testing.TB, sizes ...int) ([]byte, []Ref) {
	t.Helper()
	f := newFaultFS()
	s := open(t, "d", Options{FS: f})
	var refs []Ref
	for i, n := range sizes {
		refs = append(refs, add(t, s, body(uint64(i), n)))
	}
	closeStore(t, s)
	return f.files[segmentName(1)].data, refs
}

func TestWalk(t *testing.T) {
	whole, refs := segmentOf(t, 50, 0, 300, 20)
	at := func(i int) int { return int(refs[i].Offset) }
	flip := func(at int) []byte {
		out := bytes.Clone(whole)
		out[at] ^= 4
		return out
	}
	size := func(i int) int64 { return recordHeader + refs[i].Length }
	for _, c := range []struct {
		name string
		data []byte
		want Walked
		good string // by record with an intact header
	}{
		{"whole", whole, Walked{true, 4, 370, 0, 0, 0}, "true true true true"},
		{"nothing", nil, Walked{}, ""},
		{"header only", whole[:segmentHeader], Walked{Header: true}, ""},
		{"half a header", whole[:10], Walked{}, ""},
		{"damaged payload", flip(at(2) + recordHeader + 7), Walked{true, 3, 70, 1, 0, 0}, "true true false true"},
		{"damaged record header", flip(at(2) + 9), Walked{true, 3, 70, 0, size(2), 0}, "true true true"},
		{"damaged segment header", flip(3), Walked{false, 4, 370, 0, 0, 0}, "true true true true"},
		{"damaged last payload", flip(len(whole) - 1), Walked{true, 3, 350, 0, 0, size(3)}, "true true true false"},
		{"short", whole[:len(whole)-1], Walked{true, 3, 350, 0, 0, size(3) - 1}, "true true true"},
		{"garbage behind", append(bytes.Clone(whole), "no record at all, and then some"...), Walked{true, 4, 370, 0, 0, 31}, "true true true true"},
		{"of another number", bytes.Clone(whole), Walked{false, 0, 0, 0, 0, int64(len(whole) - segmentHeader)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := uint64(1)
			if c.name == "of another number" {
				id = 2
			}
			got, list := walked(t, id, c.data)
			good := ""
			for i, r := range list {
				if i > 0 {
					good += " "
				}
				good += fmt.Sprint(r.Good)
			}
			if got != c.want || good != c.good {
				t.Errorf("%+v %s\nwant %+v %s", got, good, c.want, c.good)
			}
		})
	}
}

// TestWalkAndCheckAgree: whatever bit is flipped, Walk and Check call good what a
// Store can read, and nothing else.
func TestWalkAndCheckAgree(t *testing.T) {
	whole, refs := segmentOf(t, 50, 3, 70)
	for at := range whole {
		bad := bytes.Clone(whole)
		bad[at] ^= 1 << (at % 8)
		_, list := walked(t, 1, bad)
		s := open(t, "d", Options{FS: image(newFaultFS(), segmentName(1), bad)})
		for _, ref := range refs {
			_, err := s.Read(ref)
			byWalk := false
			for _, r := range list {
				byWalk = byWalk || r == Record{ref.Offset, ref.Length, true}
			}
			byCheck := Check(bytes.NewReader(bad), ref)
			if byWalk != (err == nil) || (byCheck == nil) != (err == nil) || byCheck != nil && !errors.Is(byCheck, ErrCorrupt) {
				t.Fatalf("flip at %d: %v: Read %v, Check %v, Walk %v", at, ref, err, byCheck, byWalk)
			}
		}
		closeStore(t, s)
	}
	for _, ref := range []Ref{{}, {1, segmentHeader, 1 << 40}, {1, 1 << 40, 5}, {2, segmentHeader, 50}} {
		if err := Check(bytes.NewReader(whole), ref); err == nil {
			t.Errorf("%v is good", ref)
		}
	}
}

func FuzzWalk(f *testing.F) {
	whole, _ := segmentOf(f, 40, 40, 40)
	f.Add(whole)
	f.Add(whole[:100])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte(recordMagic), 100))
	f.Add(append(bytes.Clone(whole[:60]), whole[32:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		end := int64(0)
		w, list := walked(t, 1, data)
		good := int64(0)
		for _, r := range list {
			if r.Offset < end || r.Offset+recordHeader+r.Length > int64(len(data)) {
				t.Fatalf("%+v overlaps or leaves %d bytes", list, len(data))
			}
			end = r.Offset + recordHeader + r.Length
			if (Check(bytes.NewReader(data), Ref{1, r.Offset, r.Length}) == nil) != r.Good {
				t.Fatalf("Check does not agree on %+v", r)
			}
			if r.Good {
				good++
			}
		}
		if w.Records != good || w.Torn < 0 || w.Torn > int64(len(data)) || w.Lost < 0 {
			t.Fatalf("%+v, %d good", w, good)
		}
	})
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	if got, err := Files(dir); err != nil || len(got) != 0 {
		t.Errorf("of no directory: %v %v", got, err)
	}
	s := open(t, dir, Options{SegmentBytes: 200})
	for i := range 4 {
		add(t, s, body(uint64(i), 150))
	}
	closeStore(t, s)
	if err := os.WriteFile(filepath.Join(dir, "7.seg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Files(dir)
	if err != nil || len(got) != 4 || got[3].ID != 4 || got[3].Bytes != segmentHeader+recordHeader+150 || got[3].Path != filepath.Join(dir, segmentName(4)) {
		t.Errorf("%+v %v", got, err)
	}
}

// TestHold: what somebody holds is not deleted, neither by the store that was
// open before nor by the next.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	ref := add(t, s, []byte("x"))
	if err := s.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	one, err := Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(1); !errors.Is(err, ErrHeld) {
		t.Errorf("Delete while held twice: %v", err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, dir, Options{})
	defer closeStore(t, s)
	if err := s.Delete(1); !errors.Is(err, ErrHeld) {
		t.Errorf("Delete while held once: %v", err)
	}
	wantPayload(t, s, ref, []byte("x"))
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(1); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if _, err := Hold(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that is not there was held")
	}
}

// TestSealAfter: a segment with room in it is sealed when its first record is
// old, an empty one is not.
func TestSealAfter(t *testing.T) {
	begun := time.Unix(1_700_000_000, 0)
	now := begun
	ticks := make(chan time.Time)
	asked := make(chan time.Duration)
	clock := Options{SealAfter: 8 * time.Hour, Now: func() time.Time { return now },
		After: func(d time.Duration) (<-chan time.Time, func()) {
			asked <- d
			return ticks, func() {}
		}}
	dir := t.TempDir()
	s := open(t, dir, clock)
	// tick lets the sealer look at a time; when it asks for the next timer it has.
	tick := func(at time.Duration) {
		now = begun.Add(at)
		ticks <- now
		if d := <-asked; d != time.Hour {
			t.Errorf("it looks every %v", d)
		}
	}
	count := func(want int, when string) {
		t.Helper()
		if got := s.Segments(); len(got) != want {
			t.Errorf("%s: %v", when, got)
		}
	}
	<-asked
	tick(20 * time.Hour)
	count(0, "nothing was stored")
	now = begun.Add(30 * time.Hour)
	ref := add(t, s, []byte("old"))
	tick(37 * time.Hour)
	count(1, "seven hours after the first record")
	tick(38 * time.Hour)
	count(2, "eight hours after the first record")
	tick(80 * time.Hour)
	count(2, "the newest is empty")
	if err := s.Delete(ref.Segment); err != nil {
		t.Errorf("the sealed segment: %v", err)
	}
	now = begun.Add(100 * time.Hour)
	if ref = add(t, s, []byte("next")); ref.Segment != 2 {
		t.Errorf("%v", ref)
	}
	tick(101 * time.Hour)
	count(1, "the age is that of the record")
	closeStore(t, s)

	go func() { <-asked }()
	now = begun.Add(200 * time.Hour)
	s = open(t, dir, clock)
	defer closeStore(t, s)
	tick(201 * time.Hour)
	count(2, "of an earlier run")
}
