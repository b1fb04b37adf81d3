package timing

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

// BenchmarkChoose finds the times of recipients about whom much is known.
func BenchmarkChoose(b *testing.B) {
	for _, n := range []int{1, 1000} {
		for _, w := range []Wish{{Local: "09:00"}, {Period: 72 * time.Hour}} {
			b.Run(fmt.Sprintf("%d/local=%v", n, w.Local != ""), func(b *testing.B) {
				d := coretest.SQLite(b, clock.NewFake(monday))
				s := New(d, slog.New(slog.DiscardHandler), []byte("secret"))
				p := &profile{zone: "Asia/Kolkata", lastHour: hourOf(monday)}
				for h := range int64(maxHours) {
					p.hours = append(p.hours, engaged(hourOf(monday)-3000+h*29, h%3 == 0))
				}
				var list []string
				if err := d.Write(b.Context(), func(tx *db.Tx) error {
					for i := range n {
						list = append(list, fmt.Sprintf("u%d@example.net", i))
						if err := upsertProfile(tx, s.hash("acc", list[i]), "acc", p); err != nil {
							return err
						}
					}
					return nil
				}); err != nil {
					b.Fatal(err)
				}
				w.AccountID, w.Now, w.From, w.Limit = "acc", monday, monday, monday.Add(72*time.Hour)
				for b.Loop() {
					if _, err := s.Choose(b.Context(), &w, list); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
