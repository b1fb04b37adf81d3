// Package recent keeps the values used lately, for things that never change
// once made: the messages, signatures and templates of deliveries under way.
// Two generations bound it without a list to maintain.
package recent

import "sync"

// Map holds at most about twice size values. The zero Map is not usable; see
// New.
type Map[K comparable, V any] struct {
	mu       sync.Mutex
	size     int
	new, old map[K]V
}

// New returns a map whose generations hold size values each.
func New[K comparable, V any](size int) *Map[K, V] {
	return &Map[K, V]{size: size, new: map[K]V{}}
}

// Get returns the value of k if it was put lately.
func (m *Map[K, V]) Get(k K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.new[k]; ok {
		return v, true
	}
	v, ok := m.old[k]
	if ok {
		m.add(k, v)
	}
	return v, ok
}

// Put keeps v for a while.
func (m *Map[K, V]) Put(k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(k, v)
}

func (m *Map[K, V]) add(k K, v V) {
	if len(m.new) >= m.size {
		m.old, m.new = m.new, make(map[K]V, m.size)
	}
	m.new[k] = v
}

// Drop forgets k.
func (m *Map[K, V]) Drop(k K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.new, k)
	delete(m.old, k)
}

// Clear forgets everything.
func (m *Map[K, V]) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.new, m.old = map[K]V{}, nil
}
