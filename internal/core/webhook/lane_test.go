package webhook

import (
	"fmt"
	"testing"
)

func TestLaneOf(t *testing.T) {
	for url, want := range map[string]string{
		"https://Example.com/a?b":       "https://example.com:443",
		"https://example.com:443/other": "https://example.com:443",
		"http://example.com./":          "http://example.com:80",
		"http://example.com:8080":       "http://example.com:8080",
		"http://[::1]:81/":              "http://::1:81",
	} {
		if got := laneOf(url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

// take claims for every lane that may, as if each had plenty of calls.
func take(s *schedule, now int64) (got map[string]int) {
	got = map[string]int{}
	for turns := s.pick(now); len(turns) > 0; turns = s.pick(now) {
		for _, w := range turns {
			got[w.lane.name] += w.n
			s.settle(w, w.n, now, now)
		}
	}
	return got
}

func TestLaneGrows(t *testing.T) {
	s := newSchedule(100, 8)
	s.due("a", 0)
	for i, want := range []int{1, 2, 4, 8, 8} {
		take(s, 1)
		if got := s.lanes["a"].inflight; got != want || s.inflight != want {
			t.Fatalf("step %d: %d in flight, %d in all, want %d", i, got, s.inflight, want)
		}
		s.done(outcome{lane: "a"})
	}
}

// Many receivers that do not answer get half of the requests; a healthy one
// finds room at once, and theirs are shared out in turn.
func TestTroubledShare(t *testing.T) {
	s := newSchedule(16, 4)
	for i := range 40 {
		s.due(fmt.Sprint("dead", i), 0)
	}
	served := map[string]bool{}
	now := int64(1)
	for range 10 { // every lane has been found out by now
		for name := range take(s, now) {
			served[name] = true
		}
		for _, l := range lanesOf(s) {
			for l.inflight > 0 {
				s.done(outcome{lane: l.name, troubled: true, next: never})
			}
		}
		now++
	}
	if len(served) != 40 {
		t.Fatalf("%d lanes had a turn", len(served))
	}
	take(s, now)
	if s.troubled != 8 || s.inflight != 8 {
		t.Fatalf("%d troubled of %d in flight", s.troubled, s.inflight)
	}
	s.due("well", now)
	if got := take(s, now); got["well"] != 1 {
		t.Errorf("healthy lane got %v", got)
	}
	if s.wait() != never {
		t.Errorf("waits for %d while nothing may start", s.wait())
	}
}

func lanesOf(s *schedule) (out []*lane) {
	for _, l := range s.lanes {
		out = append(out, l)
	}
	return out
}

func TestLaneForgotten(t *testing.T) {
	s := newSchedule(4, 4)
	s.due("a", 5)
	if s.wait() != 5 || len(s.pick(4)) != 0 {
		t.Error("early")
	}
	for _, w := range s.pick(5) {
		s.settle(w, 1, never, 5)
	}
	if len(s.lanes) != 1 {
		t.Error("forgotten while in flight")
	}
	s.done(outcome{lane: "a"})
	if len(s.lanes) != 0 || s.inflight != 0 {
		t.Error("not forgotten")
	}
}
