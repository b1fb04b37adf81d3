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
	mask, want byte // of the state
	from, to   []byte
}

const (
	directionBit = 0x80
	statusBits   = 0x7f
)

func (f *filter) pick() pick {
	p := pick{from: []byte(fold(f.from)), to: []byte(fold(f.to))}
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
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		w, err := selectPlace(tx, workspaceID)
		if errors.Is(err, db.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		p := &page{skip: f.offset, limit: f.limit}
		if err := find(tx, w, f, p); err != nil {
			return err
		}
		total = p.total
		out, err = selectBySeq(tx, w.num, p.seqs)
		return err
	})
	return out, total, err
}

// find fills the page.
func find(tx *db.Tx, w place, f *filter, p *page) error {
	low, high, err := span(tx, w, f)
	if err != nil || low > high {
		return err
	}
	k := f.pick()
	switch {
	case f.sessionID != "" || f.contactID != "":
		return eachLinked(tx, w.num, f, low, high, func(l *linked) {
			if l.state&k.mask == k.want && strings.Contains(fold(l.from), string(k.from)) && strings.Contains(fold(l.to), string(k.to)) {
				p.add(l.seq)
			}
		})
	case k.mask == 0 && len(k.from) == 0 && len(k.to) == 0:
		p.addRange(low, high)
		return nil
	}
	return findInBlocks(tx, w, &k, low, high, p)
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

func findInBlocks(tx *db.Tx, w place, k *pick, low, high int64, p *page) error {
	first, _ := blockOf(low)
	last, _ := blockOf(high)
	open, _ := blockOf(w.seq + 1) // the block that is not full has no columns yet
	var senders, recipients column
	if (len(k.from) > 0 || len(k.to) > 0) && last == open {
		from, to, err := selectAddresses(tx, w.num, open)
		if err != nil {
			return err
		}
		senders, recipients = newColumn(from), newColumn(to)
	}
	return eachBlock(tx, w.num, first, last, len(k.from) > 0, len(k.to) > 0, func(block int64, states, from, to []byte) error {
		if block == open {
			from, to = senders, recipients
		}
		k.inBlock(block, states, from, to, low, high, p)
		return nil
	})
}

// inBlock adds the messages of a block to the page.
func (k *pick) inBlock(block int64, states, senders, recipients []byte, low, high int64, p *page) {
	base := block*blockSize + 1 // the number of the first
	var sel selection
	any := false
	for i, s := range states[:min(len(states), blockSize)] {
		if seq := base + int64(i); s&k.mask == k.want && seq >= low && seq <= high {
			sel[i], any = true, true
		}
	}
	if !any {
		return
	}
	if len(k.from) > 0 {
		column(senders).keep(k.from, &sel)
	}
	if len(k.to) > 0 {
		column(recipients).keep(k.to, &sel)
	}
	for i := len(states) - 1; i >= 0; i-- {
		if i < blockSize && sel[i] {
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
	senders, recipients, err := selectAddresses(tx, m.workspace, block)
	if err != nil {
		return err
	}
	return insertColumns(tx, m.workspace, block, newColumn(senders), newColumn(recipients))
}
