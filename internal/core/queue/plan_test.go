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
	for _, c := range []struct {
		query, index string
		args         int
	}{
		{selDelivery + whereDue, "delivery_due", 2},
		{selDelivery + whereDueIn, "delivery_lane", 5},
		{selDelivery + whereOver, "delivery_deadline", 2},
		{selDelivery + whereParked, "delivery_parked", 3},
		{hops, "delivery_lane", 2},
		{"SELECT MIN(due) FROM delivery WHERE node = 0", "delivery_due", 0},
		{"UPDATE delivery SET node = 0 WHERE node = ? AND node <> 0", "delivery_node", 1},
		{freeOrphansSQL, "delivery_node", 0},
		{"SELECT id FROM delivery WHERE node = ? AND node <> 0", "delivery_node", 1},
	} {
		var plan []string
		if err := d.Read(t.Context(), func(tx *db.Tx) error {
			return tx.Each(func(r *sql.Rows) error {
				var id, parent, n int
				var step string
				err := r.Scan(&id, &parent, &n, &step)
				plan = append(plan, step)
				return err
			}, "EXPLAIN QUERY PLAN "+c.query, make([]any, c.args)...)
		}); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(plan, "; ")
		if !strings.Contains(got, c.index) || strings.Contains(got, "TEMP B-TREE") || strings.Contains(got, "SCAN delivery USING INTEGER") || strings.HasSuffix(got, "SCAN delivery") {
			t.Errorf("%s\nis planned as: %s", c.query, got)
		}
	}
}
