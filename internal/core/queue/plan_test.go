package queue

import (
	"database/sql"
	"strings"
	"testing"

	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

// TestPlan: what the loader asks stays an index search, for a table of a
// million waiting rows as well.
func TestPlan(t *testing.T) {
	d := coretest.SQLite(t, fake())
	for _, c := range []struct{ query, index string }{
		{selDelivery + "WHERE node = 0 AND due <= 5 ORDER BY due, id LIMIT 10", "delivery_due"},
		{selDelivery + "WHERE node = 0 AND lane = 'x' AND due <= 5 ORDER BY due, id LIMIT 10", "delivery_lane"},
		{"SELECT MIN(lane) FROM delivery WHERE node = 0 AND lane > 'a'", "delivery_lane"},
		{"SELECT MIN(due) FROM delivery WHERE node = 0 AND lane = 'a'", "delivery_lane"},
		{"SELECT MIN(due) FROM delivery WHERE node = 0", "delivery_due"},
	} {
		var plan []string
		if err := d.Read(t.Context(), func(tx *db.Tx) error {
			return tx.Each(func(r *sql.Rows) error {
				var id, parent, n int
				var step string
				err := r.Scan(&id, &parent, &n, &step)
				plan = append(plan, step)
				return err
			}, "EXPLAIN QUERY PLAN "+c.query)
		}); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(plan, "; ")
		if !strings.Contains(got, c.index) || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s\nis planned as: %s", c.query, got)
		}
	}
}
