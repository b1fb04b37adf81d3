//go:build linux

package powerfs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Op is a kind of operation a Fault may refuse.
type Op string

// The operations.
const (
	Create  Op = "create"
	Write   Op = "write"
	Sync    Op = "sync"    // of a file
	SyncDir Op = "syncdir" // of a directory
)

// Fault says with which error an operation on the file fails, 0 for none. It is
// called with the file system locked.
type Fault func(op Op, file string) syscall.Errno

// FS is the file system. Mount it, use it, Cut the power, end the programs on
// it, Unmount, Crash, and mount it again.
type FS struct {
	fuse.RawFileSystem

	mu     sync.Mutex
	nodes  map[uint64]*node
	last   uint64
	off    bool
	fault  Fault
	free   uint64 // bytes statfs reports as free
	syncs  int
	server *fuse.Server
	dir    string
}

// New returns an empty file system.
func New() *FS {
	f := &FS{RawFileSystem: fuse.NewDefaultRawFileSystem(), nodes: map[uint64]*node{}, last: fuse.FUSE_ROOT_ID, free: 64 << 30}
	f.nodes[fuse.FUSE_ROOT_ID] = newDir(fuse.FUSE_ROOT_ID, 0o755)
	return f
}

// Mount makes the file system visible at dir. It needs root.
func (f *FS) Mount(dir string) error {
	server, err := fuse.NewServer(f, dir, &fuse.MountOptions{FsName: "powerfs", Name: "powerfs", DirectMountStrict: true,
		DirectMountFlags: syscall.MS_NOSUID | syscall.MS_NODEV, MaxWrite: 1 << 20, ExplicitDataCacheControl: true, DisableXAttrs: true,
		DisableReadDirPlus: true})
	if err != nil {
		return fmt.Errorf("mounting at %s: %w", dir, err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return fmt.Errorf("mounting at %s: %w", dir, err)
	}
	f.server, f.dir = server, dir
	return nil
}

// Unmount takes the file system out of sight. Nobody may use it any more.
func (f *FS) Unmount() error {
	if f.server == nil {
		return nil
	}
	err := f.server.Unmount()
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", f.dir, err)
	}
	f.server.Wait()
	f.server = nil
	return nil
}

// Cut ends the power: from now on everything fails and nothing is kept.
func (f *FS) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
}

// Loss is what a crash took.
type Loss struct {
	Bytes int // in pages that were dirty
	Steps int // of directories
}

// Crash drops what was not durable, all or, with some, a part, and turns the
// power on again.
func (f *FS) Crash(some Some) (l Loss) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(f.nodes)) { // in order, for a repeatable some
		n := f.nodes[id]
		b, s := n.dirty()
		l.Bytes, l.Steps = l.Bytes+b, l.Steps+s
		n.crash(some)
	}
	reached := map[uint64]*node{}
	f.reach(f.nodes[fuse.FUSE_ROOT_ID], reached)
	f.nodes, f.off = reached, false
	return l
}

// sortedNames gives directory listings one order, so that offsets hold.
func sortedNames(m map[string]*node) []string { return slices.Sorted(maps.Keys(m)) }

func (f *FS) reach(n *node, into map[uint64]*node) {
	into[n.id] = n
	for _, c := range n.entries {
		if into[c.id] == nil {
			f.reach(c, into)
		}
	}
}

// SetFault has operations fail as fault says; nil for none.
func (f *FS) SetFault(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// Syncs returns how many times something was made durable.
func (f *FS) Syncs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.syncs
}

// Match is a Fault for one kind of operation on files whose name contains part.
func Match(op Op, part string, e syscall.Errno) Fault {
	return func(o Op, file string) syscall.Errno {
		if o == op && strings.Contains(file, part) {
			return e
		}
		return 0
	}
}

// failed is the status an operation has to fail with. The lock is held.
func (f *FS) failed(op Op, n *node, name string) fuse.Status {
	if f.off {
		return fuse.EIO
	}
	if f.fault == nil {
		return fuse.OK
	}
	if name == "" {
		name = n.name
	}
	return fuse.Status(f.fault(op, name))
}

func (f *FS) make(dir bool, mode uint32) *node {
	f.last++
	n := newFile(f.last, mode)
	if dir {
		n = newDir(f.last, mode)
	}
	f.nodes[n.id] = n
	return n
}
