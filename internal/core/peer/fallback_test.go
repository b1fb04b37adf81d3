package peer_test

import (
	"fmt"
	"testing"
	"time"
)

func TestAvoidTLS(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		fail := func(n int) {
			for range n {
				w.NoteTLSFailure("MX.site.example.")
			}
		}
		expect := func(what string, want bool) {
			t.Helper()
			if got := w.AvoidTLS("mx.SITE.example"); got != want {
				t.Errorf("%s: %v", what, got)
			}
		}
		expect("before", false)
		fail(2)
		expect("twice", false)
		w.NoteTLSSuccess("mx.site.example")
		fail(2)
		expect("twice after a success", false)
		w.clock.Advance(61 * time.Minute)
		fail(1)
		expect("once in a second hour", false)
		fail(2)
		expect("three times", true)
		w.clock.Advance(6*time.Hour - time.Second)
		fail(5)
		expect("for six hours", true)
		w.clock.Advance(time.Second)
		expect("after six hours", false)
		fail(1)
		expect("and once more", true)
		w.NoteTLSSuccess("mx.site.example")
		expect("after a success", false)
		if w.AvoidTLS("other.example") {
			t.Error("another host")
		}
	})
}

func TestTroubleIsBounded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.o.Hosts = 100
		w.restart()
		for i := range 1000 {
			for range 3 {
				w.NoteTLSFailure(fmt.Sprintf("mx%d.example", i))
			}
		}
		n := 0
		for i := range 1000 {
			if w.AvoidTLS(fmt.Sprintf("mx%d.example", i)) {
				n++
			}
		}
		if n < 100 || n > 200 {
			t.Errorf("%d hosts remembered", n)
		}
		if !w.AvoidTLS("mx999.example") {
			t.Error("the last is forgotten")
		}
	})
}
