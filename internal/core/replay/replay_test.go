package replay

import (
	"errors"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/core/coretest"
)

func TestTake(t *testing.T) {
	c := clock.NewFake(time.Unix(1_800_000_000, 0))
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		take := func(kind, id string) (first bool) {
			err := d.Write(t.Context(), func(tx *db.Tx) (err error) {
				first, err = Take(tx, kind, id, c.Now().Add(time.Minute))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return first
		}
		if !take("a", "1") || take("a", "1") || !take("b", "1") || !take("a", "2") {
			t.Error("each request is to be taken once")
		}
		undone := errors.New("undone")
		err := d.Write(t.Context(), func(tx *db.Tx) error {
			if _, err := Take(tx, "a", "3", c.Now().Add(time.Minute)); err != nil {
				return err
			}
			return undone
		})
		if !errors.Is(err, undone) || !take("a", "3") {
			t.Error("what was not done may come again", err)
		}
		c.Advance(time.Hour)
		err = d.Write(t.Context(), func(tx *db.Tx) error {
			n, err := Clean(tx)
			if n != 4 {
				t.Errorf("%d forgotten, want 4", n)
			}
			return err
		})
		if err != nil || !take("a", "1") {
			t.Error("a request whose time is over is forgotten", err)
		}
	})
}
