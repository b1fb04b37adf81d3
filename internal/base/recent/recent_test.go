package recent

import "testing"

func TestBoundAndRefresh(t *testing.T) {
	m := New[int, int](10)
	m.Put(-1, 7)
	for i := range 1000 {
		m.Put(i, i)
		if v, ok := m.Get(-1); !ok || v != 7 {
			t.Fatalf("a value in use was lost at %d", i)
		}
	}
	if n := len(m.new) + len(m.old); n > 20 {
		t.Fatalf("%d values held", n)
	}
	if _, ok := m.Get(3); ok {
		t.Fatal("an old value stayed")
	}
	m.Drop(-1)
	if _, ok := m.Get(-1); ok {
		t.Fatal("dropped value stayed")
	}
}
