package workspace

import (
	"context"
	"errors"
	"strings"

	"postroad/internal/base/db"
)

// filter is which messages of a workspace are asked for.
type filter struct {
	limit, offset        int
	direction            *direction
	status               *status
	from, to             string // parts, in any case
	start, end           int64  // microseconds, both included; 0: no bound
	sessionID, contactID string
}

// pick tells by the state of a message and its addresses whether it is asked for.
type pick struct {
	mask, want byte           // of the state
	parts      [fields][]byte // of the addresses, folded
}

const (
	directionBit = 0x80
	statusBits   = 0x7f
)

func (f *filter) pick() pick {
	p := pick{parts: [fields][]byte{senders: []byte(fold(f.from)), recipients: []byte(fold(f.to))}}
	if f.direction != nil {
		p.mask |= directionBit
		p.want |= state(*f.direction, 0)
	}
	if f.status != nil {
		p.mask |= statusBits
		p.want |= state(0, *f.status)
	}
	return p
}

// page gathers one page of numbers while all are counted. They come newest first.
type page struct {
	skip, limit, total int
	seqs               []int64
}

func (p *page) add(seq int64) {
	if p.total >= p.skip && len(p.seqs) < p.limit {
		p.seqs = append(p.seqs, seq)
	}
	p.total++
}

// addRange adds the numbers from high down to low.
func (p *page) addRange(low, high int64) {
	n := int(max(0, high-low+1))
	for i := p.skip; i < n && len(p.seqs) < p.limit; i++ {
		p.seqs = append(p.seqs, high-int64(i))
	}
	p.total = n
}

// list returns a page of a workspace's mail, newest first, and how many messages
// there are on all pages.
func (s *Service) list(ctx context.Context, workspaceID string, f *filter) (out []*email, total int, err error) {
	// Peek: what is read here is written in SQL, never staged.
	err = s.db.Peek(ctx, func(tx *db.Tx) error {
		w, err := selectPlace(tx, workspaceID)
		if errors.Is(err, db.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		p := &page{skip: f.offset, limit: f.limit}
		if err := s.find(tx, w, f, p); err != nil {
			return err
		}
		total = p.total
		out, err = selectBySeq(tx, w.num, p.seqs)
		return err
	})
	return out, total, err
}

// find fills the page.
func (s *Service) find(tx *db.Tx, w place, f *filter, p *page) error {
	low, high, err := span(tx, w, f)
	if err != nil || low > high {
		return err
	}
	k := f.pick()
	switch {
	case f.sessionID != "" || f.contactID != "":
		return eachLinked(tx, w.num, f, low, high, func(l *linked) {
			if l.state&k.mask == k.want && strings.Contains(fold(l.from), string(k.parts[senders])) && strings.Contains(fold(l.to), string(k.parts[recipients])) {
				p.add(l.seq)
			}
		})
	case k.mask == 0 && f.from == "" && f.to == "":
		p.addRange(low, high)
		return nil
	}
	return s.findInBlocks(tx, w, &k, low, high, p)
}

// span makes numbers of the times asked for.
func span(tx *db.Tx, w place, f *filter) (low, high int64, err error) {
	low, high = 1, w.seq
	if f.start > 0 {
		if low, err = firstSince(tx, w.num, f.start); err != nil {
			return 0, 0, err
		}
		if low == 0 {
			return 1, 0, nil
		}
	}
	if f.end > 0 {
		high, err = lastUntil(tx, w.num, f.end)
	}
	return low, high, err
}

// block is what a list is answered from for blockSize messages.
type block struct {
	number  int64
	states  []byte
	columns [fields]column // those that are asked for
}

// findInBlocks goes through the blocks one by one. What columns are not in memory
// is read on the way, so that a workspace of any size takes no more of it.
func (s *Service) findInBlocks(tx *db.Tx, w place, k *pick, low, high int64, p *page) error {
	first, _ := blockOf(low)
	last, _ := blockOf(high)
	list, err := selectBlocks(tx, w.num, first, last)
	if err != nil {
		return err
	}
	if err := k.fillOpen(tx, w, list); err != nil {
		return err
	}
	next := 0
	upTo := func(number int64) {
		for ; next < len(list) && list[next].number >= number; next++ {
			k.inBlock(list[next], low, high, p)
			list[next].columns = [fields]column{}
		}
	}
	for f := range fields {
		// With parts of both, the first column is read whole and the second on the way.
		final := f == recipients || len(k.parts[recipients]) == 0
		if len(k.parts[f]) == 0 {
			continue
		}
		err := s.fillColumns(tx, w.num, f, list, func(number int64) {
			if final {
				upTo(number)
			}
		})
		if err != nil {
			return err
		}
	}
	upTo(0)
	return nil
}

// fillOpen makes the columns of the block that is not full yet, if it is in list.
func (k *pick) fillOpen(tx *db.Tx, w place, list []*block) error {
	open, _ := blockOf(w.seq + 1)
	if len(list) == 0 || list[0].number != open || len(k.parts[senders])+len(k.parts[recipients]) == 0 {
		return nil
	}
	from, to, err := selectAddresses(tx, w.num, open)
	list[0].columns = [fields]column{senders: newColumn(from), recipients: newColumn(to)}
	return err
}

// fillColumns gives the blocks of list their column f, and calls did when one was
// read.
func (s *Service) fillColumns(tx *db.Tx, workspace int64, f field, list []*block, did func(number int64)) error {
	byNumber := map[int64]*block{}
	low, high := int64(0), int64(-1)
	for _, b := range list {
		if b.columns[f] != nil {
			continue
		}
		if b.columns[f] = s.columns.get(columnKey{workspace, b.number, f}); b.columns[f] != nil {
			continue
		}
		byNumber[b.number] = b
		if high < low {
			high = b.number
		}
		low = b.number
	}
	if len(byNumber) == 0 {
		return nil
	}
	return eachColumn(tx, workspace, f, low, high, func(number int64, c column) {
		if b := byNumber[number]; b != nil {
			b.columns[f] = c
			s.columns.put(columnKey{workspace, number, f}, c)
			did(number)
		}
	})
}

// warmPlaces is of how many workspaces columns are read at a start, warmBlocks of how
// many blocks of each: about what maxColumns holds.
const (
	warmPlaces = 100
	warmBlocks = 1500
)

// warm reads columns of the workspaces with the newest mail into memory, until it is
// full: the first search after a start takes no longer than others.
func (s *Service) warm(ctx context.Context) error {
	var list []place
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		list, err = selectRecent(tx, warmPlaces)
		return err
	})
	for _, w := range list {
		for f := range fields {
			if err != nil || s.columns.full() {
				return err
			}
			last, _ := blockOf(w.seq)
			err = s.db.Read(ctx, func(tx *db.Tx) error {
				return eachColumn(tx, w.num, f, max(0, last-warmBlocks), last, func(number int64, c column) {
					s.columns.put(columnKey{w.num, number, f}, c)
				})
			})
		}
	}
	return err
}

// inBlock adds the messages of a block to the page.
func (k *pick) inBlock(b *block, low, high int64, p *page) {
	base := b.number*blockSize + 1 // the number of the first
	var sel selection
	any := false
	for i, s := range b.states[:min(len(b.states), blockSize)] {
		if seq := base + int64(i); s&k.mask == k.want && seq >= low && seq <= high {
			sel[i], any = true, true
		}
	}
	if !any {
		return
	}
	for f, part := range k.parts {
		if len(part) > 0 {
			b.columns[f].keep(part, &sel)
		}
	}
	for i := min(len(b.states), blockSize) - 1; i >= 0; i-- {
		if sel[i] {
			p.add(base + int64(i))
		}
	}
}

// seal makes the columns of the block whose last message m is.
func seal(tx *db.Tx, m *email) error {
	block, at := blockOf(m.seq)
	if at != blockSize-1 {
		return nil
	}
	from, to, err := selectAddresses(tx, m.workspace, block)
	if err != nil {
		return err
	}
	return insertColumns(tx, m.workspace, block, newColumn(from), newColumn(to))
}
