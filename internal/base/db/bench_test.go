package db

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// BenchmarkGroup stages five rows a transaction, one of which the next deletes,
// from many callers at once.
func BenchmarkGroup(b *testing.B) {
	const rows = 5
	dir := b.TempDir()
	d, err := Open(context.Background(), Config{URL: filepath.Join(dir, "x.db"), Journal: filepath.Join(dir, "journal")})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	if err := d.Migrate(context.Background(), testSteps); err != nil {
		b.Fatal(err)
	}
	body := make([]byte, 300)
	var ids atomic.Int64
	b.SetParallelism(100)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		last := int64(0)
		for pb.Next() {
			first := ids.Add(rows) - rows + 1
			if err := d.Group(context.Background(), func(tx *Tx) error {
				for i := range int64(rows) {
					tx.Stage(insRow, first+i, "name", body)
				}
				if last > 0 {
					tx.StageDelete(delRow, last)
				}
				return nil
			}); err != nil {
				b.Error(err)
			}
			last = first
		}
	})
	if err := d.Read(context.Background(), func(*Tx) error { return nil }); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}
