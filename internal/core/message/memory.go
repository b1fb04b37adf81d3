package message

import "sync/atomic"

// memory bounds the bytes of messages being received at the same time: past it
// submissions are refused with "try again", which costs less than running out.
type memory struct {
	max  int64
	used atomic.Int64
}

// take reserves n bytes, or nothing.
func (m *memory) take(n int64) bool {
	if m.used.Add(n) > m.max {
		m.used.Add(-n)
		return false
	}
	return true
}

func (m *memory) give(n int64) { m.used.Add(-n) }
