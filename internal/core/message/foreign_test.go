package message

import (
	"strings"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
	"postroad/internal/core/coretest"
)

// Strangers get half of the memory for messages, and room for one at least; who
// logs in has the rest.
func TestMemoryForStrangers(t *testing.T) {
	w := newWorld(t, coretest.SQLite(t, clock.System{}), clock.NewFake(testNow))
	s := New(w.Config)
	body := strings.Repeat("x", 1<<20)
	var held []func()
	for range 1000 {
		_, release, err := s.Read(t.Context(), strings.NewReader(body))
		if errs.Is(err, errs.Unavailable) {
			break
		}
		check(t, err)
		held = append(held, release)
	}
	if n := int64(len(held)); n != s.MaxMemory/2/copies>>20 {
		t.Errorf("%d messages at once", n)
	}
	if !s.memory.take(s.MaxMemory / 2) {
		t.Error("no room for those who log in")
	}
	s.memory.give(s.MaxMemory / 2)
	for _, release := range held {
		release()
	}
	if s.memory.used.Load() != 0 || s.others.used.Load() != 0 {
		t.Errorf("%d and %d bytes were not given back", s.memory.used.Load(), s.others.used.Load())
	}
	c := w.Config
	c.MaxMemory = 5 << 20
	_, release, err := New(c).Read(t.Context(), strings.NewReader(body))
	check(t, err)
	release()
	c.MaxMemory = 3 << 20
	if _, _, err = New(c).Read(t.Context(), strings.NewReader(body)); !errs.Is(err, errs.TooLarge) {
		t.Errorf("what never fits: %v", err)
	}
}
