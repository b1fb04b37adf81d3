package track

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"postroad/internal/core/event"
)

// discard is an answer nobody reads.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func benchServe(b *testing.B, path string, w *world) {
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("User-Agent", chrome)
	w.spool.max = 1 << 40
	b.ReportAllocs()
	for b.Loop() {
		w.api.ServeHTTP(discard{http.Header{}}, r)
	}
	b.StopTimer()
	if w.Stats.Lost.Load() != 0 {
		b.Fatal("hits were lost")
	}
	w.get("HEAD", path)
}

// BenchmarkClick is a click from the request's header to its answer.
func BenchmarkClick(b *testing.B) {
	w := newWorld(b, sqlite(b))
	benchServe(b, w.link(w.send(b, ann), ann, shop), w)
}

// BenchmarkOpen is the same for a pixel.
func BenchmarkOpen(b *testing.B) {
	w := newWorld(b, sqlite(b))
	benchServe(b, w.pixel(w.send(b, ann), ann), w)
}

// BenchmarkDrain makes events of hits of many recipients; time is per hit.
func BenchmarkDrain(b *testing.B) {
	w := newWorld(b, sqlite(b))
	w.clock.Advance(time.Hour)
	m := w.send(b, ann)
	w.clock.Advance(time.Hour)
	var n int
	for b.Loop() {
		if n%batchSize == 0 {
			b.StopTimer()
			for i := range batchSize {
				w.get("GET", w.pixel(m, "r"+strconv.Itoa(n+i)+"@rcpt.example"))
			}
			b.StartTimer()
			w.drain(b.Context(), false)
		}
		n++
	}
	b.StopTimer()
	events := w.recorded(b)
	if len(events) < n || events[0].Doc.Event != event.Opened {
		b.Fatalf("%d events of %d hits", len(events), n)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
