package cache

import (
	"errors"
	"testing"
	"time"

	"postroad/internal/base/clock"
)

func TestCache(t *testing.T) {
	now := clock.NewFake(time.Unix(1000, 0))
	c := New[string, int](now, 10*time.Second, 4)
	reads := 0
	load := func() (int, error) { reads++; return reads, nil }
	for range 3 {
		if v, err := c.Load("a", load); v != 1 || err != nil {
			t.Fatalf("Load = %d, %v; want the first value", v, err)
		}
	}
	now.Advance(10 * time.Second)
	if v, _ := c.Load("a", load); v != 2 {
		t.Errorf("after the time to live: %d, want a new read", v)
	}
	c.Drop("a")
	if v, _ := c.Load("a", load); v != 3 {
		t.Errorf("after Drop: %d, want a new read", v)
	}
	c.Clear()
	if v, _ := c.Load("a", load); v != 4 {
		t.Errorf("after Clear: %d, want a new read", v)
	}
}

func TestCacheDropDuringRead(t *testing.T) {
	c := New[string, int](clock.NewFake(time.Unix(1000, 0)), time.Minute, 4)
	v, err := c.Load("a", func() (int, error) { c.Drop("a"); return 1, nil })
	if v != 1 || err != nil {
		t.Fatalf("Load = %d, %v", v, err)
	}
	if v, ok := c.Get("a"); ok {
		t.Errorf("a row read before it changed was kept: %d", v)
	}
}

func TestCacheErrorAndBound(t *testing.T) {
	now := clock.NewFake(time.Unix(1000, 0))
	c := New[int, int](now, time.Minute, 16)
	want := errors.New("no")
	if _, err := c.Load(1, func() (int, error) { return 0, want }); err != want || c.Len() != 0 {
		t.Errorf("error %v kept %d entries", err, c.Len())
	}
	for i := range 1000 {
		c.Put(i, i, c.Generation())
	}
	if c.Len() > 16 {
		t.Errorf("%d entries, want at most 16", c.Len())
	}
	if v, ok := c.Get(999); !ok || v != 999 {
		t.Error("the newest entry is not there")
	}
	if n := testing.AllocsPerRun(100, func() { c.Get(999) }); n != 0 {
		t.Errorf("Get allocates %v times", n)
	}
}
