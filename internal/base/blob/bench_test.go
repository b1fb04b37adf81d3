package blob

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

func BenchmarkAppend10KB(b *testing.B) {
	for _, callers := range []int64{1, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := open(b, b.TempDir(), Options{})
			payload := body(1, 10<<10)
			b.SetBytes(10 << 10)
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			for range callers {
				group.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := s.Append(b.Context(), payload); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.StopTimer()
			st := s.Stats()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(st.Records)/float64(max(st.Batches, 1)), "records/sync")
			closeStore(b, s)
		})
	}
}

func BenchmarkRead10KB(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer closeStore(b, s)
	ref := add(b, s, body(1, 10<<10))
	buf := make([]byte, 10<<10+RecordOverhead)
	b.SetBytes(10 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.ReadInto(ref, buf); err != nil {
			b.Fatal(err)
		}
	}
}
