package blob

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

var errCrashed = errors.New("the machine is off")

// faultFS is a file system in memory that knows what a power loss would leave,
// and that fails on request.
type faultFS struct {
	mu      sync.Mutex
	files   map[string]*faultNode // what the process sees
	durable map[string]*faultNode // directory entries on disk
	locked  bool
	ops     int                            // changes so far
	fail    func(op, name string) error    // asked before each change; nil: never
	synced  map[string][]error             // results of SyncData by file
	inside  func(op, name string)          // called without the mutex, before fail
	touched map[string]map[string]struct{} // operations by file
}

type faultNode struct {
	data    []byte // what the process sees
	durable []byte // what is on disk
}

func newFaultFS() *faultFS {
	return &faultFS{
		files: map[string]*faultNode{}, durable: map[string]*faultNode{},
		synced: map[string][]error{}, touched: map[string]map[string]struct{}{},
	}
}

// change runs an operation that alters the file system, unless it is to fail.
func (f *faultFS) change(op, name string, do func() error) error {
	f.mu.Lock()
	inside := f.inside
	f.mu.Unlock()
	if inside != nil {
		inside(op, name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops++
	if f.touched[name] == nil {
		f.touched[name] = map[string]struct{}{}
	}
	f.touched[name][op] = struct{}{}
	if f.fail != nil {
		if err := f.fail(op, name); err != nil {
			return err
		}
	}
	return do()
}

// crashed gives a file system as a power loss at this moment may leave it: of
// what was not synced, any part may be there.
func (f *faultFS) crashed(rnd *rand.Rand) *faultFS {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := newFaultFS()
	names := map[string]*faultNode{}
	for name, n := range f.durable {
		if _, still := f.files[name]; still || rnd.IntN(2) == 0 {
			names[name] = n
		}
	}
	for name, n := range f.files {
		if _, entered := f.durable[name]; entered || rnd.IntN(2) == 0 {
			names[name] = n
		}
	}
	for name, n := range names {
		data := n.afterCrash(rnd)
		node := &faultNode{data: data, durable: slices.Clone(data)}
		out.files[name], out.durable[name] = node, node
	}
	return out
}

func (n *faultNode) afterCrash(rnd *rand.Rand) []byte {
	const sector = 512
	size := len(n.durable)
	if d := len(n.data) - size; d > 0 {
		size += rnd.IntN(d + 1)
	} else if d < 0 && rnd.IntN(2) == 0 {
		size += d
	}
	out := make([]byte, size)
	copy(out, n.durable)
	for at := 0; at < size; at += sector {
		if at < len(n.data) && rnd.IntN(2) == 0 {
			copy(out[at:min(at+sector, size)], n.data[at:])
		}
	}
	return out
}

func (f *faultFS) MkdirAll(string) error { return nil }

func (f *faultFS) List(string) ([]fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []fs.FileInfo
	for name, n := range f.files {
		out = append(out, faultInfo{name, int64(len(n.data))})
	}
	return out, nil
}

func (f *faultFS) Create(name string) (File, error) {
	name = filepath.Base(name)
	n := &faultNode{}
	err := f.change("create", name, func() error {
		if f.files[name] != nil {
			return fs.ErrExist
		}
		f.files[name] = n
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &faultFile{f, name, n}, nil
}

func (f *faultFS) Open(name string, _ bool) (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = filepath.Base(name)
	n := f.files[name]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return &faultFile{f, name, n}, nil
}

func (f *faultFS) Remove(name string) error {
	name = filepath.Base(name)
	return f.change("remove", name, func() error {
		if f.files[name] == nil {
			return fs.ErrNotExist
		}
		delete(f.files, name)
		return nil
	})
}

func (f *faultFS) SyncDir(string) error {
	return f.change("syncdir", "", func() error {
		clear(f.durable)
		for name, n := range f.files {
			f.durable[name] = n
		}
		return nil
	})
}

func (f *faultFS) Lock(string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked {
		return nil, ErrLocked
	}
	f.locked = true
	return faultLock{f}, nil
}

func (f *faultFS) Guard(string) (io.Closer, error) { return io.NopCloser(nil), nil }

type faultLock struct{ f *faultFS }

func (l faultLock) Close() error {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	l.f.locked = false
	return nil
}

type faultFile struct {
	f    *faultFS
	name string
	n    *faultNode
}

func (h *faultFile) ReadAt(p []byte, at int64) (int, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if at >= int64(len(h.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.n.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *faultFile) WriteAt(p []byte, at int64) (int, error) {
	err := h.f.change("write", h.name, func() error {
		h.n.put(p, at)
		return nil
	})
	if err != nil {
		h.f.mu.Lock()
		defer h.f.mu.Unlock()
		half := len(p) / 2 // a failed write leaves part of itself
		h.n.put(p[:half], at)
		return half, err
	}
	return len(p), nil
}

func (n *faultNode) put(p []byte, at int64) {
	if grow := at + int64(len(p)) - int64(len(n.data)); grow > 0 {
		n.data = append(n.data, make([]byte, grow)...)
	}
	copy(n.data[at:], p)
}

func (h *faultFile) SyncData() error {
	err := h.f.change("sync", h.name, func() error {
		h.n.durable = slices.Clone(h.n.data)
		return nil
	})
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	h.f.synced[h.name] = append(h.f.synced[h.name], err)
	return err
}

func (h *faultFile) Truncate(size int64) error {
	return h.f.change("truncate", h.name, func() error {
		h.n.data = h.n.data[:size:size]
		return nil
	})
}

func (h *faultFile) Size() (int64, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	return int64(len(h.n.data)), nil
}

func (h *faultFile) Close() error { return nil }

type faultInfo struct {
	name string
	size int64
}

func (i faultInfo) Name() string       { return i.name }
func (i faultInfo) Size() int64        { return i.size }
func (i faultInfo) Mode() fs.FileMode  { return 0o600 }
func (i faultInfo) ModTime() time.Time { return time.Unix(1, 0) }
func (i faultInfo) IsDir() bool        { return false }
func (i faultInfo) Sys() any           { return nil }
