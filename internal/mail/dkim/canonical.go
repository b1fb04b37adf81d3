package dkim

import (
	"bytes"
	"encoding/binary"
	"hash"
	"math/bits"
)

// Canonicalization is one of the two ways to bring a header or body to a form
// that survives transport (RFC 6376, section 3.4). The zero value is Relaxed.
type Canonicalization uint8

const (
	// Relaxed tolerates changes of white space and header name case.
	Relaxed Canonicalization = iota
	// Simple tolerates next to nothing.
	Simple
)

// String returns the name used in the "c=" tag.
func (c Canonicalization) String() string {
	if c == Simple {
		return "simple"
	}
	return "relaxed"
}

const (
	bodyBufferBytes = 4096
	// From this length on a run is hashed from where it lies: below it, copying
	// it into the buffer is cheaper than a call of the hash.
	directBytes = 512
)

// bodyHasher canonicalises a body given in pieces of any size and hashes it.
// Line ends are counted and not written until something follows them, since
// empty lines at the end do not belong to the canonical form.
type bodyHasher struct {
	h       hash.Hash
	canon   Canonicalization
	lines   int  // line ends seen and not yet written
	space   bool // relaxed: white space seen and not yet written
	cr      bool // the last byte was a CR, already counted in lines
	written bool
	n       int
	size    int64 // bytes hashed
	buf     [bodyBufferBytes]byte
}

func (b *bodyHasher) reset(c Canonicalization) {
	b.h.Reset()
	b.canon, b.lines, b.n, b.size = c, 0, 0, 0
	b.space, b.cr, b.written = false, false, false
}

// write takes the next piece of the body.
func (b *bodyHasher) write(p []byte) {
	for len(p) > 0 {
		if !b.space && !b.cr {
			p = p[b.writeClean(p):]
			if len(p) == 0 {
				return
			}
		}
		p = p[b.writeByte(p):]
	}
}

// writeClean writes the longest start of p that is canonical already, apart from
// line ends at its end, and returns its length.
func (b *bodyHasher) writeClean(p []byte) int {
	n := b.cleanLen(p)
	end, lines := n, 0
	for end >= 2 && p[end-1] == '\n' && p[end-2] == '\r' {
		end, lines = end-2, lines+1
	}
	if end > 0 {
		b.flushLines()
		b.emit(p[:end])
	}
	b.lines += lines
	return n
}

func (b *bodyHasher) cleanLen(p []byte) int {
	if b.canon == Simple {
		return simpleCleanLen(p)
	}
	return relaxedCleanLen(p)
}

// writeByte handles white space, line ends and the byte after them one at a
// time. It returns the number of bytes used, at least one.
func (b *bodyHasher) writeByte(p []byte) int {
	c := p[0]
	if c == '\n' && b.cr {
		b.cr = false
		return 1
	}
	b.cr = false
	switch {
	case c == '\r' || c == '\n':
		b.space = false
		b.lines++
		b.cr = c == '\r'
		return 1
	case b.canon == Relaxed && (c == ' ' || c == '\t'):
		b.space = true
		return 1
	}
	b.flushLines()
	if b.space {
		b.space = false
		b.emitByte(' ')
	}
	b.emitByte(c)
	return 1
}

func (b *bodyHasher) flushLines() {
	for ; b.lines > 0; b.lines-- {
		b.emitByte('\r')
		b.emitByte('\n')
	}
}

func (b *bodyHasher) emitByte(c byte) {
	if b.n == len(b.buf) {
		b.flush()
	}
	b.buf[b.n] = c
	b.n++
	b.written = true
}

func (b *bodyHasher) emit(p []byte) {
	b.written = true
	if len(p) >= directBytes {
		b.flush()
		b.h.Write(p)
		b.size += int64(len(p))
		return
	}
	if len(p) > len(b.buf)-b.n {
		b.flush()
	}
	b.n += copy(b.buf[b.n:], p)
}

func (b *bodyHasher) flush() {
	if b.n > 0 {
		b.h.Write(b.buf[:b.n])
		b.size += int64(b.n)
		b.n = 0
	}
}

// sum ends the body. White space at the very end is dropped by relaxed; the
// canonical body ends in exactly one CRLF, save that an empty one stays empty
// under relaxed (RFC 6376, sections 3.4.3 and 3.4.4).
func (b *bodyHasher) sum(dst *BodyHash) {
	if b.written || b.canon == Simple {
		b.emitByte('\r')
		b.emitByte('\n')
	}
	b.flush()
	b.h.Sum(dst[:0])
}

// simpleCleanLen is the length of the longest start of p in which every CR is
// followed by LF and every LF comes after CR.
func simpleCleanLen(p []byte) int {
	n := 0
	for n < len(p) {
		i := bytes.IndexByte(p[n:], '\r')
		line := p[n:]
		if i >= 0 {
			line = line[:i]
		}
		if j := bytes.IndexByte(line, '\n'); j >= 0 {
			return n + j
		}
		n += len(line)
		if i < 0 {
			return n
		}
		if n+1 >= len(p) || p[n+1] != '\n' {
			return n
		}
		n += 2
	}
	return n
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	lows  = 0x7f7f7f7f7f7f7f7f
)

// equalBytes sets the high bit of each byte of w that equals c, and no other.
func equalBytes(w uint64, c byte) uint64 {
	x := w ^ (ones * uint64(c))
	return ^((x&lows + lows) | x | lows)
}

// relaxedCleanLen is the length of the longest start of p that relaxed leaves as
// it is: no white space before a line end or after other white space, no TAB, no
// bare CR or LF. Eight bytes are looked at together; the masks hold 0x80 in
// the bytes meant, and a shift by one byte aligns each with its predecessor. A
// space or CR at the end of what was seen is left to the caller.
func relaxedCleanLen(p []byte) int {
	var spaceBefore, crBefore uint64 // 0x80 if the last byte of the word before was one
	n := 0
	for ; n+8 <= len(p); n += 8 {
		w := binary.LittleEndian.Uint64(p[n:])
		space := equalBytes(w, ' ')
		cr := equalBytes(w, '\r')
		lf := equalBytes(w, '\n')
		control := ^((w&lows + ones*0x60) | w) & highs
		afterSpace := space<<8 | spaceBefore
		afterCR := cr<<8 | crBefore
		odd := control&^(cr|lf) | afterSpace&(space|cr|lf) | (afterCR ^ lf)
		if odd != 0 {
			n += bits.TrailingZeros64(odd) / 8
			return trimOpen(p, n)
		}
		spaceBefore, crBefore = space>>56, cr>>56
	}
	return trimOpen(p, relaxedCleanTail(p, n))
}

// relaxedCleanTail goes on from n byte by byte.
func relaxedCleanTail(p []byte, n int) int {
	for ; n < len(p); n++ {
		var before byte
		if n > 0 {
			before = p[n-1]
		}
		c := p[n]
		lineEnd := c == '\r' || c == '\n'
		switch {
		case c < ' ' && !lineEnd,
			before == ' ' && (c == ' ' || lineEnd),
			(before == '\r') != (c == '\n'):
			return n
		}
	}
	return n
}

// trimOpen takes a space or CR off the end of p[:n]: what follows decides what
// becomes of it.
func trimOpen(p []byte, n int) int {
	if n > 0 && (p[n-1] == ' ' || p[n-1] == '\r') {
		return n - 1
	}
	return n
}

// appendHeader appends the canonical form of one field, raw being the field with
// all its lines, without the last CRLF. The CRLF that belongs to the
// canonical form is not appended either.
func (c Canonicalization) appendHeader(dst, raw []byte) []byte {
	if c == Simple {
		return append(dst, raw...)
	}
	colon := bytes.IndexByte(raw, ':')
	for _, b := range bytes.TrimRight(raw[:colon], " \t") {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	dst = append(dst, ':')
	start := len(dst)
	space := false
	for _, b := range raw[colon+1:] {
		switch b {
		case ' ', '\t', '\r', '\n':
			space = true
			continue
		}
		if space && len(dst) > start {
			dst = append(dst, ' ')
		}
		space = false
		dst = append(dst, b)
	}
	return dst
}
