package pace

import (
	"testing"
	"time"
)

func TestTake(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New[string](Limit{Burst: 3, Every: time.Minute}, 10)
	for i, want := range []bool{true, true, true, false, false} {
		if got := p.Take("a", now); got != want {
			t.Errorf("event %d: %v", i, got)
		}
	}
	if !p.Take("b", now) {
		t.Error("another key was refused")
	}
	if p.Take("a", now.Add(59*time.Second)) || !p.Take("a", now.Add(time.Minute)) || p.Take("a", now.Add(time.Minute)) {
		t.Error("one a minute is earned")
	}
	later := now.Add(time.Hour)
	for i, want := range []bool{true, true, true, false} {
		if got := p.Take("a", later); got != want {
			t.Errorf("event %d after an hour: %v", i, got)
		}
	}
	p.Forget("a")
	if !p.Take("a", later) {
		t.Error("not forgotten")
	}
}

// Events that were not asked about weigh on those to come, up to a bound.
func TestCharge(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New[string](Limit{Burst: 2, Every: time.Minute}, 10)
	p.Charge("a", now)
	if p.Blocked("a", now) {
		t.Error("blocked after one")
	}
	for range 1000 {
		p.Charge("a", now)
	}
	for after, want := range map[time.Duration]bool{0: true, 6 * time.Minute: true, 7 * time.Minute: false} {
		if got := p.Blocked("a", now.Add(after)); got != want {
			t.Errorf("after %v: %v", after, got)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	p := New[int](Limit{Burst: 1, Every: time.Minute}, 100)
	p.Take(-1, now.Add(-time.Hour)) // has nothing to remember any more
	for k := range 10_000 {
		if !p.Take(k, now) {
			t.Fatalf("key %d was refused", k)
		}
		if len(p.at) > 100 {
			t.Fatalf("%d keys are remembered", len(p.at))
		}
	}
	if p.Take(9_999, now) {
		t.Error("the last key is not remembered")
	}
}

func TestNoLimit(t *testing.T) {
	p := New[string](Limit{}, 1)
	for range 100 {
		p.Charge("a", time.Unix(0, 0))
		if !p.Take("a", time.Unix(0, 0)) || p.Blocked("a", time.Unix(0, 0)) {
			t.Fatal("refused")
		}
	}
	if len(p.at) != 0 {
		t.Error("keys are remembered")
	}
}
