package blob

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// image gives the single file of a fault file system and a copy to alter.
func image(f *faultFS, name string, data []byte) *faultFS {
	out := newFaultFS()
	for n, node := range f.files {
		out.files[n] = &faultNode{data: bytes.Clone(node.data), durable: bytes.Clone(node.data)}
	}
	out.files[name] = &faultNode{data: bytes.Clone(data), durable: bytes.Clone(data)}
	maps.Copy(out.durable, out.files)
	return out
}

func TestTornTailAtEveryOffset(t *testing.T) {
	f := newFaultFS()
	s := open(t, "d", Options{FS: f})
	var refs []Ref
	sizes := []int{0, 37, 1, 120, 64}
	for i, n := range sizes {
		refs = append(refs, add(t, s, body(uint64(i), n)))
	}
	closeStore(t, s)
	name := segmentName(1)
	whole := f.files[name].data
	tails := map[string]func(cut int) []byte{
		"short":   func(cut int) []byte { return whole[:cut] },
		"zeros":   func(cut int) []byte { return append(bytes.Clone(whole[:cut]), make([]byte, len(whole)-cut)...) },
		"garbage": func(cut int) []byte { return append(bytes.Clone(whole[:cut]), body(99, 3+len(whole)-cut)...) },
	}
	for kind, tail := range tails {
		for cut := range len(whole) {
			f := image(f, name, tail(cut))
			s := open(t, "d", Options{FS: f})
			good := 0
			for good < len(refs) && int(refs[good].Offset+refs[good].Length)+recordHeader <= cut {
				wantPayload(t, s, refs[good], body(uint64(good), sizes[good]))
				good++
			}
			if got := s.Recovery(); got.Damaged || got.Records < good || got.Records > good+1 {
				// One record more is right when the cut bytes happen to be the same zeros.
				t.Fatalf("%s at %d: %+v, %d records were whole", kind, cut, got, good)
			}
			for i := good + 1; i < len(refs); i++ {
				if _, err := s.Read(refs[i]); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("%s at %d: Read of torn record %d: %v", kind, cut, i, err)
				}
			}
			next := add(t, s, []byte("after the crash"))
			if slices.ContainsFunc(refs[good:], func(r Ref) bool { return r == next }) {
				t.Fatalf("%s at %d: place %v used again", kind, cut, next)
			}
			closeStore(t, s)
			s = open(t, "d", Options{FS: f})
			wantPayload(t, s, next, []byte("after the crash"))
			if got := s.Recovery(); got.Truncated != 0 || got.Damaged {
				t.Fatalf("%s at %d: second Open: %+v", kind, cut, got)
			}
			closeStore(t, s)
		}
	}
}

func TestFlippedBits(t *testing.T) {
	f := newFaultFS()
	s := open(t, "d", Options{FS: f})
	var refs []Ref
	for i := range 4 {
		refs = append(refs, add(t, s, body(uint64(i), 50)))
	}
	closeStore(t, s)
	name := segmentName(1)
	whole := f.files[name].data
	for at := range int(refs[3].Offset) {
		bad := bytes.Clone(whole)
		bad[at] ^= 1 << (at % 8)
		f := image(f, name, bad)
		s := open(t, "d", Options{FS: f})
		if got := s.Recovery(); !got.Damaged || got.Truncated != 0 {
			t.Fatalf("flip at %d: %+v", at, got)
		}
		for i, ref := range refs {
			hit := int64(at) >= ref.Offset && int64(at) < ref.Offset+recordHeader+ref.Length
			if !hit {
				wantPayload(t, s, ref, body(uint64(i), 50))
			} else if _, err := s.Read(ref); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("flip at %d: Read(%v): %v", at, ref, err)
			}
		}
		next := add(t, s, []byte("next"))
		if next.Segment != 2 || !bytes.Equal(f.files[name].data, bad) {
			t.Fatalf("flip at %d: a damaged segment was written to (%v)", at, next)
		}
		closeStore(t, s)
	}
}

func TestOlderSegmentsAreNotTouched(t *testing.T) {
	f := newFaultFS()
	opt := Options{FS: f, SegmentBytes: 200}
	s := open(t, "d", opt)
	for i := range 10 {
		add(t, s, body(uint64(i), 100))
	}
	closeStore(t, s)
	f = image(f, segmentName(2), f.files[segmentName(2)].data[:70]) // torn, but not the newest
	f.files["notes.txt"] = &faultNode{data: []byte("x")}
	f.files["7.seg"] = &faultNode{data: []byte("x")}
	opt.FS = f
	s = open(t, "d", opt)
	add(t, s, body(11, 100))
	closeStore(t, s)
	for name := range f.touched {
		if name != "" && name < segmentName(10) {
			t.Errorf("operations on %s: %v", name, f.touched[name])
		}
	}
}

func TestSyncFailureIsFailStop(t *testing.T) {
	f := newFaultFS()
	s := open(t, "d", Options{FS: f})
	kept := add(t, s, []byte("kept"))
	f.mu.Lock()
	f.fail = func(op, name string) error {
		if op == "sync" && name == segmentName(1) {
			return syscall.EIO
		}
		return nil
	}
	f.mu.Unlock()
	g := gateOn(f, "sync")
	_, doomed := s.AppendAsync(t.Context(), []byte("doomed"))
	<-g.entered
	_, late := s.AppendAsync(t.Context(), []byte("late")) // placed in the same segment
	close(g.open)
	if err := doomed(t.Context()); !errors.Is(err, syscall.EIO) || errors.Is(err, ErrAbandoned) {
		t.Errorf("the batch that was synced: %v", err)
	}
	if err := late(t.Context()); !errors.Is(err, ErrAbandoned) {
		t.Errorf("the batch that gathered: %v", err)
	}
	moved := add(t, s, []byte("moved"))
	if moved.Segment != 2 {
		t.Errorf("went on in the failed segment: %v", moved)
	}
	wantPayload(t, s, kept, []byte("kept"))
	wantPayload(t, s, moved, []byte("moved"))
	if got := s.Stats(); got.Failures != 1 || got.Records != 2 {
		t.Errorf("Stats: %+v", got)
	}
	closeStore(t, s)
	if got := f.synced[segmentName(1)]; len(got) != 2 || got[0] != nil || got[1] == nil {
		t.Errorf("syncs of the failed file: %v; none may follow the failure", got)
	}
}

func TestAppendRepeatsWhatWasNotTried(t *testing.T) {
	f := newFaultFS()
	s := open(t, "d", Options{FS: f})
	defer closeStore(t, s)
	f.fail = func(op, name string) error {
		if op == "sync" && name == segmentName(1) {
			return syscall.EIO
		}
		return nil
	}
	g := gateOn(f, "sync")
	_, doomed := s.AppendAsync(t.Context(), []byte("doomed"))
	<-g.entered
	ref, late := s.AppendAsync(t.Context(), []byte("late"))
	result := make(chan error)
	go func() {
		ref, err := s.Append(t.Context(), []byte("repeated"))
		if err == nil && ref.Segment != 2 {
			err = fmt.Errorf("stored at %v", ref)
		}
		result <- err
	}()
	close(g.open)
	if err := <-result; err != nil {
		t.Errorf("Append behind a failing batch: %v", err)
	}
	if doomed(t.Context()) == nil || late(t.Context()) == nil {
		t.Errorf("records of a failed segment acknowledged (%v)", ref)
	}
}

func TestNoSpace(t *testing.T) {
	for _, failing := range []string{"write", "create", "sync", "syncdir"} {
		t.Run(failing, func(t *testing.T) {
			f := newFaultFS()
			s := open(t, "d", Options{FS: f, SegmentBytes: 1000})
			kept := add(t, s, body(1, 100))
			size := len(f.files[segmentName(1)].data)
			f.mu.Lock()
			f.fail = func(op, _ string) error {
				if op == failing {
					return syscall.ENOSPC
				}
				return nil
			}
			f.mu.Unlock()
			for i := range 20 {
				if _, err := s.Append(t.Context(), body(2, 900)); !errors.Is(err, ErrNoSpace) {
					t.Fatalf("Append %d on a full disk: %v", i, err)
				}
			}
			f.mu.Lock()
			f.fail = nil
			if len(f.files) != 1 {
				t.Errorf("failed segments pile up: %d files", len(f.files))
			}
			if got := len(f.files[segmentName(1)].data); got != size {
				t.Errorf("the segment grew from %d to %d bytes", size, got)
			}
			f.mu.Unlock()
			moved := add(t, s, body(3, 900))
			wantPayload(t, s, kept, body(1, 100))
			wantPayload(t, s, moved, body(3, 900))
			closeStore(t, s)
		})
	}
}

// A failed write in a segment that holds records gives back the space it took.
func TestFailedWriteIsCutOff(t *testing.T) {
	f := newFaultFS()
	s := open(t, "d", Options{FS: f})
	defer closeStore(t, s)
	add(t, s, body(1, 100))
	size := len(f.files[segmentName(1)].data)
	f.fail = func(op, _ string) error {
		if op == "write" {
			return syscall.ENOSPC
		}
		return nil
	}
	if _, err := s.Append(t.Context(), body(2, 100)); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("Append: %v", err)
	}
	f.fail = nil
	if got := len(f.files[segmentName(1)].data); got != size {
		t.Errorf("%d bytes after a failed write, %d before", got, size)
	}
	if ref := add(t, s, body(2, 100)); ref.Segment != 2 {
		t.Errorf("went on in the failed segment: %v", ref)
	}
}

// acked are the records that were acknowledged, with their payloads.
type acked struct {
	mu   sync.Mutex
	refs map[Ref][]byte
}

// load appends from several goroutines until the file system fails for good or
// each has appended its share.
func (a *acked) load(t *testing.T, s *Store, seed uint64) {
	var group sync.WaitGroup
	for c := range uint64(4) {
		group.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, c))
			for i := range uint64(12) {
				want := body(seed<<16+c<<8+i, rnd.IntN(1500))
				ref, err := s.Append(t.Context(), want)
				if err != nil {
					continue
				}
				a.mu.Lock()
				a.refs[ref] = want
				a.mu.Unlock()
			}
		})
	}
	group.Wait()
}

// TestPowerLoss stops the machine at every kind of moment, several times in a
// row on the same data. Whatever was acknowledged must be there.
func TestPowerLoss(t *testing.T) {
	rounds := uint64(150)
	if testing.Short() {
		rounds = 20
	}
	var lost, total int
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(seed, 77))
		f := newFaultFS()
		all := &acked{refs: map[Ref][]byte{}}
		for life := range uint64(4) {
			opt := Options{FS: f, SegmentBytes: 4000, BatchBytes: 1200}
			stop := f.ops + rnd.IntN(120)
			eio := rnd.IntN(30) // now and then a failure that is not the end
			f.fail = func(op, _ string) error {
				switch {
				case f.ops >= stop:
					return errCrashed
				case rnd.IntN(30) < eio/10:
					return syscall.EIO
				}
				return nil
			}
			s, err := Open("d", opt)
			if err == nil {
				all.load(t, s, seed<<3+life)
				// What the process does on its way down does not reach the disk.
				if err := s.Close(); err != nil && !strings.Contains(err.Error(), errCrashed.Error()) {
					t.Fatalf("Close: %v", err)
				}
			} else if !errors.Is(err, errCrashed) && !errors.Is(err, syscall.EIO) {
				t.Fatalf("seed %d life %d: Open: %v", seed, life, err)
			}
			f = f.crashed(rnd)
			s = open(t, "d", Options{FS: f})
			for ref, want := range all.refs {
				total++
				if got, err := s.Read(ref); err != nil || !bytes.Equal(got, want) {
					lost++
					t.Errorf("seed %d life %d: acknowledged %v: %v", seed, life, ref, err)
				}
			}
			closeStore(t, s)
			if lost > 5 {
				t.FailNow()
			}
		}
	}
	if total < 1000 {
		t.Errorf("only %d records checked: the test does not test", total)
	}
}

// The model must be able to lose data, or the test above proves nothing.
func TestFaultModelLosesUnsyncedData(t *testing.T) {
	f := newFaultFS()
	h, err := f.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.WriteAt(body(1, 5000), 0); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for seed := range uint64(50) {
		n := f.crashed(rand.New(rand.NewPCG(seed, 1))).files["a"]
		switch {
		case n == nil:
			kinds["entry lost"] = true
		case len(n.data) < 5000:
			kinds["short"] = true
		}
		if n != nil && !bytes.Equal(n.data, body(1, 5000)[:len(n.data)]) {
			kinds["holes"] = true
		}
	}
	if len(kinds) != 3 {
		t.Errorf("only these losses happen: %v", kinds)
	}
}

func FuzzOpen(f *testing.F) {
	fsys := newFaultFS()
	s := open(f, "d", Options{FS: fsys})
	for i := range 3 {
		if _, err := s.Append(f.Context(), body(uint64(i), 40)); err != nil {
			f.Fatal(err)
		}
	}
	closeStore(f, s)
	whole := fsys.files[segmentName(1)].data
	f.Add(whole)
	f.Add(whole[:100])
	f.Add([]byte{})
	f.Add([]byte(segmentMagic))
	f.Add(bytes.Repeat([]byte(recordMagic), 100))
	ref := Ref{Segment: 1, Offset: segmentHeader, Length: 40}
	f.Fuzz(func(t *testing.T, data []byte) {
		fsys := image(newFaultFS(), segmentName(1), data)
		s := open(t, "d", Options{FS: fsys})
		r := s.Recovery()
		if r.Damaged && !bytes.Equal(fsys.files[segmentName(1)].data, data) {
			t.Error("a damaged segment was altered")
		}
		before, errBefore := s.Read(ref)
		next := add(t, s, []byte("next"))
		wantPayload(t, s, next, []byte("next"))
		if got, err := s.Read(ref); (err == nil) != (errBefore == nil) || !bytes.Equal(got, before) {
			t.Errorf("an append changed what a Ref gives: %v, then %v", errBefore, err)
		}
		closeStore(t, s)
		s = open(t, "d", Options{FS: fsys})
		wantPayload(t, s, next, []byte("next"))
		closeStore(t, s)
	})
}
