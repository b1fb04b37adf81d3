package apptest

import (
	"context"
	"database/sql"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/core/queue"
)

// query returns the first column of a query's rows.
func (s *Server) query(q string, args ...any) (out []string, err error) {
	err = s.DB.Read(context.Background(), func(tx *db.Tx) error {
		return tx.Each(func(r *sql.Rows) error {
			var v string
			err := r.Scan(&v)
			out = append(out, v)
			return err
		}, q, args...)
	})
	return out, err
}

// Waiting returns the unfinished deliveries of a message, by its id.
func (s *Server) Waiting(id string) (out []*queue.Delivery) {
	s.t.Helper()
	ctx := context.Background()
	m, err := s.Messages.Lookup(ctx, "", id)
	if err == nil {
		err = s.DB.Read(ctx, func(tx *db.Tx) error {
			out, err = queue.OfMessage(tx, m.ID)
			return err
		})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// Idle waits until the table has no delivery left.
func (s *Server) Idle() {
	s.t.Helper()
	s.Until("the queue to be empty", func() bool {
		got, err := s.query("SELECT COUNT(*) FROM delivery") // Queue.Counts may be an earlier count
		if err != nil {
			s.t.Fatal(err)
		}
		return got[0] == "0"
	})
}

// Until waits for a condition that no event announces. It looks whenever an
// event is recorded, and often.
func (s *Server) Until(what string, ok func() bool) {
	s.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		_, more := s.events.all()
		select {
		case <-more:
		case <-look.C:
		case <-timeout.C:
			s.t.Fatalf("waited in vain for %s\n%s", what, s.dump())
		}
	}
}
