package queue

import (
	"context"
	"database/sql"
	"os"
	"time"

	"postroad/internal/base/db"
)

const (
	heartbeat   = 10 * time.Second // how often a node says that it lives
	silentBeats = 6                // how many of ours without one of its own make it dead
)

// peer is another node as this one has seen it. Its silence is measured in our
// own heartbeats, so that neither a clock that is set, nor clocks that differ,
// nor a pause of this program makes a living node look dead.
type peer struct {
	seenAt int64 // its heartbeat, by its own clock
	missed int   // how often it has not changed since
}

// register makes this program a node and sets free what dead ones held. The
// data directory of SQLite belongs to one program, so there every other node
// is dead; on PostgreSQL one of our own name is, as is one that has left rows
// but no heartbeat behind.
func (q *Queue) register(ctx context.Context) error {
	name := q.opt.Name
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		name = host
	}
	q.node = q.ids.Next()
	return q.db.Write(ctx, func(tx *db.Tx) error {
		if err := announce(tx, q.node, name); err != nil {
			return err
		}
		nodes, err := others(tx, q.node)
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if tx.Dialect() != db.Postgres || q.opt.Name != "" && n.name == q.opt.Name {
				if err := bury(tx, n.id); err != nil {
					return err
				}
			}
		}
		return freeOrphans(tx)
	})
}

// announce writes the node's row, again if others have buried it.
func announce(tx *db.Tx, node int64, name string) error {
	_, err := tx.Exec(`INSERT INTO node (id, name, started_at, seen_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`, node, name, tx.Now, tx.Now)
	return err
}

// beat says that this node lives and sets free what silent ones held.
func (q *Queue) beat(ctx context.Context) error {
	var nodes []node
	err := q.db.Write(ctx, func(tx *db.Tx) (err error) {
		if err := announce(tx, q.node, q.opt.Name); err != nil {
			return err
		}
		nodes, err = others(tx, q.node)
		return err
	})
	if err != nil {
		return err
	}
	if err := q.buryDead(ctx, q.silent(nodes)); err != nil {
		return err
	}
	return q.reconcile(ctx)
}

// silent returns the nodes that have missed too many heartbeats.
func (q *Queue) silent(nodes []node) (dead []int64) {
	seen := map[int64]*peer{}
	for _, n := range nodes {
		p := q.peers[n.id]
		if p == nil || p.seenAt != n.seenAt {
			p = &peer{seenAt: n.seenAt}
		} else {
			p.missed++
		}
		seen[n.id] = p
		if p.missed >= silentBeats {
			dead = append(dead, n.id)
		}
	}
	q.peers = seen
	return dead
}

func (q *Queue) buryDead(ctx context.Context, dead []int64) error {
	if len(dead) == 0 {
		return nil
	}
	q.log.Warn("other nodes are silent, their deliveries are taken over", "nodes", len(dead))
	err := q.db.Write(ctx, func(tx *db.Tx) error {
		for _, id := range dead {
			if err := bury(tx, id); err != nil {
				return err
			}
		}
		return freeOrphans(tx)
	})
	if err == nil {
		q.Wake()
	}
	return err
}

// reconcile sets free the rows that name this node although it does not hold
// them: the commit of a transaction that was taken for failed had succeeded.
func (q *Queue) reconcile(ctx context.Context) error {
	q.mu.Lock()
	doubtful := q.doubtful
	q.doubtful = false
	q.mu.Unlock()
	if !doubtful {
		return nil
	}
	var lost []any
	err := q.db.Write(ctx, func(tx *db.Tx) error {
		lost = nil
		if err := tx.Each(func(r *sql.Rows) error {
			var id int64
			err := r.Scan(&id)
			if !q.holds(id) {
				lost = append(lost, id)
			}
			return err
		}, "SELECT id FROM delivery WHERE node = ? AND node <> 0", q.node); err != nil {
			return err
		}
		return free(tx, q.node, lost, false)
	})
	if err != nil {
		q.mu.Lock()
		q.doubtful = true
		q.mu.Unlock()
		return err
	}
	if len(lost) > 0 {
		q.log.Warn("deliveries of a lost transaction are queued again", "count", len(lost))
		q.Wake()
	}
	return nil
}

// leave returns to the table what this node holds, and ends the node. The
// claims of what was not begun do not count; those of deliveries whose outcome
// could not be recorded do.
func (q *Queue) leave(ctx context.Context, rest []*Delivery) error {
	idle := make([]any, len(rest))
	for i, d := range rest {
		idle[i] = d.ID
	}
	err := q.db.Write(ctx, func(tx *db.Tx) error {
		if err := free(tx, q.node, idle, true); err != nil {
			return err
		}
		return bury(tx, q.node)
	})
	if err != nil {
		return err
	}
	for _, d := range rest {
		q.release(d)
	}
	return nil
}

// free sets rows of node free, taking back the claim if nothing was begun.
func free(tx *db.Tx, node int64, list []any, back bool) error {
	set := "node = 0"
	if back {
		set += ", attempt = attempt - 1"
	}
	for len(list) > 0 {
		n := min(len(list), 200)
		if _, err := tx.Exec("UPDATE delivery SET "+set+" WHERE node = ? AND id IN "+db.Marks(n), append([]any{node}, list[:n]...)...); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// node is a row of the table.
type node struct {
	id, seenAt int64
	name       string
}

func others(tx *db.Tx, self int64) (out []node, err error) {
	err = tx.Each(func(r *sql.Rows) error {
		var n node
		err := r.Scan(&n.id, &n.name, &n.seenAt)
		out = append(out, n)
		return err
	}, "SELECT id, name, seen_at FROM node WHERE id <> ?", self)
	return out, err
}

// bury frees the deliveries of a node and removes it. Claims stay counted: one
// of the deliveries may be what ended the node. Tries are not: no outcome is
// known.
func bury(tx *db.Tx, id int64) error {
	if _, err := tx.Exec("UPDATE delivery SET node = 0 WHERE node = ? AND node <> 0", id); err != nil {
		return err
	}
	_, err := tx.Exec("DELETE FROM node WHERE id = ?", id)
	return err
}

// freeOrphans frees rows that name a node that is gone: a program that was
// ending wrote them after it had left.
func freeOrphans(tx *db.Tx) error {
	_, err := tx.Exec(freeOrphansSQL)
	return err
}

const freeOrphansSQL = "UPDATE delivery SET node = 0 WHERE node <> 0 AND node NOT IN (SELECT id FROM node)"
