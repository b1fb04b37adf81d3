//go:build linux

package powerfs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// valid is for how many seconds the kernel may trust names and attributes: it
// alone changes them.
const valid = 3600

func (n *node) attr(a *fuse.Attr) {
	a.Ino, a.Size, a.Nlink, a.Blksize = n.id, uint64(len(n.data)), n.link, page
	a.Blocks = (a.Size + sector - 1) / sector
	a.Mode = syscall.S_IFREG | n.mode&0o7777
	if n.dir {
		a.Mode = syscall.S_IFDIR | n.mode&0o7777
	}
}

func (n *node) entry(out *fuse.EntryOut) {
	out.NodeId, out.Generation, out.EntryValid, out.AttrValid = n.id, 1, valid, valid
	n.attr(&out.Attr)
}

// begin locks and returns the node; the caller unlocks.
func (f *FS) begin(id uint64) (*node, fuse.Status) {
	f.mu.Lock()
	n := f.nodes[id]
	switch {
	case f.off:
		return nil, fuse.EIO
	case n == nil:
		return nil, fuse.ENOENT
	}
	return n, fuse.OK
}

// Lookup implements fuse.RawFileSystem, as do the methods below.
func (f *FS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	n, s := f.begin(h.NodeId)
	defer f.mu.Unlock()
	if !s.Ok() {
		return s
	}
	c := n.entries[name]
	if c == nil {
		return fuse.ENOENT
	}
	c.entry(out)
	return fuse.OK
}

func (f *FS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, s := f.begin(in.NodeId)
	defer f.mu.Unlock()
	if s.Ok() {
		out.AttrValid = valid
		n.attr(&out.Attr)
	}
	return s
}

func (f *FS) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, s := f.begin(in.NodeId)
	defer f.mu.Unlock()
	if !s.Ok() {
		return s
	}
	if mode, ok := in.GetMode(); ok {
		n.mode = mode
	}
	if size, ok := in.GetSize(); ok {
		if s := f.failed(Write, n, ""); !s.Ok() {
			return s
		}
		n.truncate(int64(size))
	}
	out.AttrValid = valid
	n.attr(&out.Attr)
	return fuse.OK
}

// add makes a node under a name that is free.
func (f *FS) add(parent uint64, name string, dir bool, mode uint32) (*node, fuse.Status) {
	n, s := f.begin(parent)
	if !s.Ok() {
		return nil, s
	}
	if s := f.failed(Create, n, name); !s.Ok() {
		return nil, s
	}
	if n.entries[name] != nil {
		return nil, fuse.Status(syscall.EEXIST)
	}
	c := f.make(dir, mode)
	n.set(name, c)
	return c, fuse.OK
}

func (f *FS) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	defer f.mu.Unlock()
	c, s := f.add(in.NodeId, name, true, in.Mode)
	if s.Ok() {
		c.entry(out)
	}
	return s
}

func (f *FS) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	defer f.mu.Unlock()
	c, s := f.add(in.NodeId, name, false, in.Mode)
	if s.Ok() {
		c.entry(out)
	}
	return s
}

func (f *FS) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	defer f.mu.Unlock()
	c, s := f.add(in.NodeId, name, false, in.Mode)
	if s.Ok() {
		c.entry(&out.EntryOut)
		out.Fh, out.OpenFlags = c.id, fuse.FOPEN_KEEP_CACHE
	}
	return s
}

func (f *FS) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	n, s := f.begin(h.NodeId)
	defer f.mu.Unlock()
	if !s.Ok() {
		return s
	}
	c := n.entries[name]
	if c == nil {
		return fuse.ENOENT
	}
	c.link--
	n.set(name, nil)
	return fuse.OK
}

func (f *FS) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	n, s := f.begin(h.NodeId)
	defer f.mu.Unlock()
	if !s.Ok() {
		return s
	}
	c := n.entries[name]
	switch {
	case c == nil:
		return fuse.ENOENT
	case len(c.entries) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	n.set(name, nil)
	return fuse.OK
}

func (f *FS) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	n, s := f.begin(in.NodeId)
	defer f.mu.Unlock()
	if !s.Ok() {
		return s
	}
	target, c := f.nodes[in.Newdir], n.entries[from]
	switch {
	case c == nil || target == nil:
		return fuse.ENOENT
	case in.Flags != 0:
		return fuse.EINVAL
	}
	if s := f.failed(Create, target, to); !s.Ok() {
		return s
	}
	if old := target.entries[to]; old != nil {
		old.link--
	}
	target.set(to, c)
	n.set(from, nil)
	c.name = to
	return fuse.OK
}

func (f *FS) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	n, s := f.begin(in.NodeId)
	defer f.mu.Unlock()
	if !s.Ok() {
		return s
	}
	c := f.nodes[in.Oldnodeid]
	switch {
	case c == nil:
		return fuse.ENOENT
	case n.entries[name] != nil:
		return fuse.Status(syscall.EEXIST)
	}
	c.link++
	n.set(name, c)
	c.entry(out)
	return fuse.OK
}

func (f *FS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, s := f.begin(in.NodeId)
	defer f.mu.Unlock()
	if s.Ok() {
		out.Fh, out.OpenFlags = n.id, fuse.FOPEN_KEEP_CACHE
	}
	return s
}

func (f *FS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, s := f.begin(in.NodeId)
	defer f.mu.Unlock()
	if !s.Ok() {
		return nil, s
	}
	at := min(in.Offset, uint64(len(n.data)))
	return fuse.ReadResultData(buf[:copy(buf[:min(int(in.Size), len(buf))], n.data[at:])]), fuse.OK
}

func (f *FS) Write(c <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	return f.Writev(c, in, [][]byte{data})
}

func (f *FS) Writev(_ <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	n, s := f.begin(in.NodeId)
	defer f.mu.Unlock()
	if !s.Ok() {
		return 0, s
	}
	if s := f.failed(Write, n, ""); !s.Ok() {
		return 0, s
	}
	var done uint32
	for _, b := range data {
		n.write(int64(in.Offset)+int64(done), b)
		done += uint32(len(b))
	}
	return done, fuse.OK
}

func (f *FS) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (f *FS) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status { return f.sync(in.NodeId, Sync) }

func (f *FS) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return f.sync(in.NodeId, SyncDir)
}

func (f *FS) sync(id uint64, op Op) fuse.Status {
	n, s := f.begin(id)
	defer f.mu.Unlock()
	if !s.Ok() {
		return s
	}
	if s := f.failed(op, n, ""); !s.Ok() {
		n.giveUp()
		return s
	}
	n.sync()
	f.syncs++
	return fuse.OK
}

func (f *FS) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, s := f.begin(in.NodeId)
	defer f.mu.Unlock()
	if s.Ok() {
		out.Fh = n.id
	}
	return s
}

func (f *FS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	n, s := f.begin(in.NodeId)
	defer f.mu.Unlock()
	if !s.Ok() {
		return s
	}
	names := sortedNames(n.entries)
	for i := int(in.Offset); i < len(names); i++ {
		c := n.entries[names[i]]
		var a fuse.Attr
		c.attr(&a)
		if !out.AddDirEntry(fuse.DirEntry{Name: names[i], Ino: c.id, Mode: a.Mode, Off: uint64(i + 1)}) {
			break
		}
	}
	return fuse.OK
}

func (f *FS) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (f *FS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	out.Bsize, out.Frsize, out.NameLen = page, page, 255
	out.Bfree, out.Bavail, out.Blocks = f.free/page, f.free/page, 2*f.free/page
	out.Files, out.Ffree = 1<<20, 1<<20
	return fuse.OK
}
