package workspace

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"
)

// field is an address that lists filter by a part of.
type field int

const (
	senders field = iota
	recipients
	fields
)

// blockSize is how many messages of a workspace in a row share a block.
const blockSize = 1024

// blockOf is the block of a message and its place there.
func blockOf(seq int64) (block int64, at int) {
	return (seq - 1) / blockSize, int((seq - 1) % blockSize)
}

// state is the byte that stands for direction and status.
func state(d direction, s status) byte { return byte(d)<<7 | byte(s) }

// column is the texts of up to blockSize messages, in lower case, to be searched at
// once: how many there are that differ, where each of them ends, which of them each
// message has, and the texts on lines of their own.
//
//	uint16 d, d × uint32 end, uint16 n, n × uint16 index, text
type column []byte

// fold is the form texts are compared in.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return ' '
		}
		return r
	}, strings.ToLower(s))
}

func newColumn(texts []string) column {
	seen := map[string]uint16{}
	var lines []byte
	var ends []uint32
	index := make([]uint16, len(texts))
	for i, t := range texts {
		t = fold(t)
		at, ok := seen[t]
		if !ok {
			at = uint16(len(ends))
			seen[t] = at
			lines = append(append(lines, t...), '\n')
			ends = append(ends, uint32(len(lines)))
		}
		index[i] = at
	}
	le := binary.LittleEndian
	out := make(column, 0, 4+4*len(ends)+2*len(index)+len(lines))
	out = le.AppendUint16(out, uint16(len(ends)))
	for _, e := range ends {
		out = le.AppendUint32(out, e)
	}
	out = le.AppendUint16(out, uint16(len(index)))
	for _, i := range index {
		out = le.AppendUint16(out, i)
	}
	return append(out, lines...)
}

// selection says of each message of a block whether it is one of those asked for.
type selection [blockSize]bool

// keep takes messages out of sel whose text does not contain part, which is folded.
// A column that is not whole selects nothing.
func (c column) keep(part []byte, sel *selection) {
	ends, index, lines, ok := c.parts()
	if !ok {
		*sel = selection{}
		return
	}
	var has selection
	found := false
	for line, at := 0, 0; line < len(ends)/4; {
		i := bytes.Index(lines[at:], part)
		if i < 0 {
			break
		}
		at += i
		for line < len(ends)/4 && end(ends, line) <= at {
			line++
		}
		if line < len(ends)/4 {
			has[line], found = true, true
			at = min(end(ends, line), len(lines))
			line++
		}
	}
	if !found {
		*sel = selection{}
		return
	}
	for i := range sel {
		sel[i] = sel[i] && 2*i+1 < len(index) && has[binary.LittleEndian.Uint16(index[2*i:])%blockSize]
	}
}

func end(ends []byte, line int) int { return int(binary.LittleEndian.Uint32(ends[4*line:])) }

func (c column) parts() (ends, index, lines []byte, ok bool) {
	ends, rest, ok := counted(c, 4)
	if !ok {
		return nil, nil, nil, false
	}
	index, lines, ok = counted(rest, 2)
	return ends, index, lines, ok
}

// counted cuts a list of at most blockSize items off that begins with its length.
func counted(b []byte, size int) (list, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.LittleEndian.Uint16(b)) * size
	if b = b[2:]; n > len(b) || n > blockSize*size {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// columnKey names the column of a full block, which never changes.
type columnKey struct {
	workspace, block int64
	field            field
}

// maxColumns bounds the columns kept in memory, in bytes: those of 1,500,000 messages
// or so.
const maxColumns = 64 << 20

// columns keeps columns that were read, those of the workspaces in use.
type columns struct {
	mu    sync.Mutex
	kept  map[columnKey]column
	bytes int
}

func (c *columns) get(k columnKey) column {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept[k]
}

// full reports whether most of the room is taken.
func (c *columns) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes > maxColumns*3/4
}

// put keeps a column, and throws others out where it has to.
func (c *columns) put(k columnKey, col column) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[columnKey]column{}
	}
	c.bytes += len(col) - len(c.kept[k])
	c.kept[k] = col
	for other, old := range c.kept { // in no order: any of them
		if c.bytes <= maxColumns {
			return
		}
		if other != k {
			c.bytes -= len(old)
			delete(c.kept, other)
		}
	}
}
