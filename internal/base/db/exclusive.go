package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ErrInUse is returned by Exclusive.
var ErrInUse = errors.New("another program is using this database")

const (
	// exclusiveLock names the advisory locks of Exclusive, one per schema. As a
	// pair of numbers they cannot be migrateLock, which is a single one.
	exclusiveLock = migrateLock >> 32
	// exclusiveRetry is the time between two tries.
	exclusiveRetry = 250 * time.Millisecond
	// releaseTimeout bounds giving the lock up; the end of the session does it too.
	releaseTimeout = 5 * time.Second
)

// Exclusive makes sure that no other program that calls it uses the database (on
// PostgreSQL: the schema), until Close. It tries for as long as patience says,
// at least once, because the session of a program that was killed may linger;
// then the error is ErrInUse. On SQLite it does nothing: the file lies in a
// directory with a lock of its own. It is called once, before other use.
//
// The lock is that of a session (PostgreSQL: pg_try_advisory_lock), so a server
// that restarts forgets it, and a pooler must not hand sessions around.
func (d *DB) Exclusive(ctx context.Context, patience time.Duration) error {
	if d.Dialect != Postgres {
		return nil
	}
	conn, err := d.w.Conn(ctx)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := d.acquire(ctx, conn, patience); err != nil {
		return errors.Join(err, conn.Close())
	}
	d.lock = conn
	return nil
}

func (d *DB) acquire(ctx context.Context, conn *sql.Conn, patience time.Duration) error {
	end := d.clock.Now().Add(patience)
	for try := 1; ; try++ {
		var got bool
		err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1::int, "+schemaHash+")", exclusiveLock).Scan(&got)
		if err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if got {
			return nil
		}
		left := end.Sub(d.clock.Now())
		if left <= 0 {
			return ErrInUse
		}
		if try == 1 {
			d.log.Warn("waiting for another program to leave the database", "patience", patience)
		}
		c, stop := d.clock.After(min(left, exclusiveRetry))
		select {
		case <-ctx.Done():
			stop()
			return fmt.Errorf("%w (%w)", ErrInUse, ctx.Err())
		case <-c:
		}
	}
}

// schemaHash tells the schemas of one database apart.
const schemaHash = "hashtext(COALESCE(current_schema(), ''))"

// release gives the lock up, so that the next program need not wait until the
// server has noticed that the session is gone.
func (d *DB) release() {
	if d.lock == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	_, err := d.lock.ExecContext(ctx, "SELECT pg_advisory_unlock($1::int, "+schemaHash+")", exclusiveLock)
	if err = errors.Join(err, d.lock.Close()); err != nil {
		d.log.Warn("the lock on the database ends with its session", "error", err)
	}
	d.lock = nil
}
