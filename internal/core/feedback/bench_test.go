package feedback

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/db/dbtest"
	"postroad/internal/core/coretest"
	"postroad/internal/core/schema"
)

// BenchmarkWebhook takes webhooks of 64 clients at a time on one core: verified,
// normalised, stored durably and, with subscriptions, forwarded.
func BenchmarkWebhook(b *testing.B) {
	for _, c := range []struct {
		name string
		subs int
		open func(*testing.B) *db.DB
	}{{"mailgun", 0, journaled}, {"resend", 0, journaled}, {"forwarded", 1, journaled}, {"postgres", 0, postgres}} {
		b.Run(c.name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			f := newFixture(b, c.open(b), clock.System{}, nil)
			for range c.subs {
				f.subscribeTo("http://127.0.0.1:9/", "")
			}
			var n atomic.Int64
			b.SetParallelism(64)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if status, body := f.one(c.name, n.Add(1)); status != 200 || !strings.Contains(body, `"stored":1`) {
						b.Errorf("%d %s", status, body)
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// one takes a webhook of its own.
func (f *fixture) one(provider string, n int64) (int, string) {
	id, now := fmt.Sprintf("e%d", n), f.clock.Now()
	if provider == "resend" {
		body := resendBody("email.delivered", "")
		return f.call("POST", "/api/webhooks/resend", "", body, signResend(id, body, now)...)
	}
	return f.call("POST", "/api/webhooks/mailgun", "", signMailgun(mailgunKey, mailgunData(id, "delivered"), now))
}

// journaled opens a store as the program does.
func journaled(b *testing.B) *db.DB {
	b.Helper()
	dir := b.TempDir()
	d, err := db.Open(b.Context(), db.Config{URL: filepath.Join(dir, "x.db"), Journal: filepath.Join(dir, "journal")})
	must(b, err)
	b.Cleanup(func() { must(b, d.Close()) })
	steps, err := schema.Steps()
	must(b, err)
	must(b, d.Migrate(b.Context(), steps))
	return d
}

func postgres(b *testing.B) *db.DB {
	b.Helper()
	steps, err := schema.Steps()
	must(b, err)
	return dbtest.Open(b, dbtest.PostgresURL(b), clock.System{}, steps)
}

// BenchmarkNormalize is the part without the store.
func BenchmarkNormalize(b *testing.B) {
	data := mailgunData("e", "delivered")
	for b.Loop() {
		var m mailgunEvent
		must(b, payload([]byte(data), &m))
		for _, e := range m.normalize([]byte(data), epoch) {
			must(b, e.seal(1))
		}
	}
}

// BenchmarkList reads a page of a campaign's events among 100,000.
func BenchmarkList(b *testing.B) {
	f := newFixture(b, coretest.SQLite(b, clock.System{}), clock.System{}, nil)
	must(b, f.DB.Write(b.Context(), func(tx *db.Tx) error {
		for n := range int64(100_000) {
			e := normalizeMailgun(b, strings.Replace(mailgunData(fmt.Sprint(n), "delivered"), `\"campaign_id\":123`, fmt.Sprintf(`\"campaign_id\":%d`, n%100), 1))[0]
			must(b, e.seal(f.IDs.Next()))
			if _, err := insertEvent(tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	for b.Loop() {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/api/email/events?campaign_id=7&type=delivered", nil)
		r.SetBasicAuth("api", f.admin)
		f.api.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
