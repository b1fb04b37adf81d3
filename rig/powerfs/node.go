//go:build linux

package powerfs

import (
	"maps"
	"slices"
)

const (
	page   = 4096
	sector = 512
)

// node is a file or a directory.
type node struct {
	id   uint64
	mode uint32
	dir  bool
	name string // the latest, for Fault
	link uint32

	data    []byte
	durable int64            // length at the last sync
	undo    map[int64][]byte // dirty pages: what they held at the last sync
	given   map[int64]bool   // of these: those a failed sync has given up

	entries map[string]*node
	saved   map[string]*node // entries at the last sync
	log     []change         // what was done to entries since
}

// change is one step of a directory: name is now to, nil when it is gone.
type change struct {
	name string
	to   *node
}

func newFile(id uint64, mode uint32) *node {
	return &node{id: id, mode: mode, link: 1, undo: map[int64][]byte{}, given: map[int64]bool{}}
}

func newDir(id uint64, mode uint32) *node {
	return &node{id: id, mode: mode, dir: true, link: 2, entries: map[string]*node{}, saved: map[string]*node{}}
}

// set makes name stand for to, or for nothing.
func (n *node) set(name string, to *node) {
	if to == nil {
		delete(n.entries, name)
	} else {
		n.entries[name], to.name = to, name
	}
	n.log = append(n.log, change{name, to})
}

// touch keeps what the pages of [from, to) held at the last sync.
func (n *node) touch(from, to int64) {
	for p := from / page; p*page < to; p++ {
		delete(n.given, p)
		if _, dirty := n.undo[p]; !dirty {
			start, end := min(p*page, int64(len(n.data))), min((p+1)*page, int64(len(n.data)))
			n.undo[p] = slices.Clone(n.data[start:end])
		}
	}
}

func (n *node) write(at int64, b []byte) {
	end := at + int64(len(b))
	old := int64(len(n.data))
	n.touch(min(at, max(old, at)), end)
	if end > old {
		n.data = slices.Grow(n.data, int(end-old))[:end]
		if at > old {
			clear(n.data[old:at])
		}
	}
	copy(n.data[at:], b)
}

func (n *node) truncate(size int64) {
	old := int64(len(n.data))
	if size < old {
		n.touch(size, old)
		n.data = n.data[:size]
		return
	}
	n.data = slices.Grow(n.data, int(size-old))[:size]
	clear(n.data[old:])
}

// sync makes the node durable.
func (n *node) sync() {
	if n.dir {
		n.saved, n.log = maps.Clone(n.entries), nil
		return
	}
	for p := range n.undo {
		if !n.given[p] {
			delete(n.undo, p)
		}
	}
	n.durable = int64(len(n.data))
}

// giveUp is a sync that failed.
func (n *node) giveUp() {
	for p := range n.undo {
		n.given[p] = true
	}
}

// Some decides about something that was not made durable whether it arrived.
// nil: nothing did.
type Some func() bool

func (s Some) yes() bool { return s != nil && s() }

// crash takes back what is not durable.
func (n *node) crash(some Some) {
	if n.dir {
		n.crashDir(some)
		return
	}
	size := n.durable
	if some.yes() {
		size = int64(len(n.data))
	}
	whole := max(int64(len(n.data)), n.durable)
	data := make([]byte, (whole+page-1)/page*page)
	copy(data, n.data)
	for p, before := range n.undo {
		if (p+1)*page > int64(len(data)) { // lay beyond both ends
			continue
		}
		old := make([]byte, page)
		copy(old, before)
		for s := int64(0); s < page; s += sector {
			if n.given[p] || !some.yes() {
				copy(data[p*page+s:p*page+s+sector], old[s:s+sector])
			}
		}
	}
	n.data, n.durable = data[:size], size
	clear(n.undo)
	clear(n.given)
}

// crashDir keeps a prefix of what was done to the directory.
func (n *node) crashDir(some Some) {
	now := maps.Clone(n.saved)
	for _, c := range n.log {
		if !some.yes() {
			break
		}
		if c.to == nil {
			delete(now, c.name)
		} else {
			now[c.name] = c.to
		}
	}
	n.entries, n.saved, n.log = now, maps.Clone(now), nil
}

// dirty reports how much a crash would take: bytes of files, steps of
// directories.
func (n *node) dirty() (bytes, steps int) { return len(n.undo) * page, len(n.log) }
