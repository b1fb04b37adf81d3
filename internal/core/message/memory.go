package message

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// memory bounds the bytes of messages being received at the same time: past it
// submissions are refused with "try again", which costs less than running out.
type memory struct {
	max     int64
	of      *memory // this is a part of; may be nil
	used    atomic.Int64
	buffers sync.Pool // of *bytes.Buffer, for fields while they are read
}

// buffer returns an empty buffer with room for most fields.
func (m *memory) buffer() *bytes.Buffer {
	if b, ok := m.buffers.Get().(*bytes.Buffer); ok {
		return b
	}
	return bytes.NewBuffer(make([]byte, 0, usualBytes))
}

// reuse takes a buffer nobody reads any more. Small and large ones are let go:
// the next reader would have to grow the one, and the other would be held.
func (m *memory) reuse(b *bytes.Buffer) {
	if b.Cap() < usualBytes || b.Cap() > 8*usualBytes {
		return
	}
	b.Reset()
	m.buffers.Put(b)
}

// take reserves n bytes, or nothing.
func (m *memory) take(n int64) bool {
	if m.used.Add(n) <= m.max && (m.of == nil || m.of.take(n)) {
		return true
	}
	m.used.Add(-n)
	return false
}

func (m *memory) give(n int64) {
	m.used.Add(-n)
	if m.of != nil {
		m.of.give(n)
	}
}
