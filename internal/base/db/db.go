package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	// The pgx and sqlite drivers register themselves with database/sql.
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"postroad/internal/base/clock"
)

// ErrNoRows is sql.ErrNoRows, so that stores need not import database/sql for it.
var ErrNoRows = sql.ErrNoRows

// Config says which database to open.
type Config struct {
	// URL is postgres://... or the path of an SQLite file.
	URL string
	// Journal is the directory that makes shared transactions of SQLite durable
	// before their rows reach the tables; "" for none. It belongs to one DB.
	Journal string
	Clock   clock.Clock  // nil: the system clock
	Logger  *slog.Logger // nil: discard
	// Readers is the size of the reader pool; 0 means 4.
	Readers int
}

// DB is an open store. Its methods are safe for concurrent use.
type DB struct {
	Dialect Dialect
	clock   clock.Clock
	log     *slog.Logger
	w, r    *sql.DB
	group   *group
	lock    *sql.Conn // holds the lock of Exclusive
	lookups sync.Map  // prepared statements of Lookup by their text

	// writing orders SQLite's writers fairly; its own busy handler would poll.
	writing sync.Mutex
}

// Open opens the store; Migrate brings its schema up to date.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Readers == 0 {
		c.Readers = 4
	}
	d := &DB{clock: c.Clock, log: c.Logger}
	if err := d.connect(c); err != nil {
		return nil, err
	}
	if err := d.w.PingContext(ctx); err != nil {
		d.closePools()
		return nil, fmt.Errorf("database %s: %w", Redact(c.URL), err)
	}
	if d.Dialect != SQLite {
		c.Journal = ""
	}
	g, err := newGroup(ctx, d, c.Journal)
	if err != nil {
		d.closePools()
		return nil, err
	}
	d.group = g
	return d, nil
}

func (d *DB) connect(c Config) (err error) {
	if IsPostgres(c.URL) {
		d.Dialect = Postgres
		if d.w, err = sql.Open("pgx", c.URL); err != nil {
			return fmt.Errorf("database url: %w", err)
		}
		d.w.SetMaxOpenConns(16)
		d.w.SetMaxIdleConns(8)
		d.r = d.w
		return nil
	}
	d.Dialect = SQLite
	if d.w, err = sql.Open("sqlite", sqliteDSN(c.URL, false)); err != nil {
		return err
	}
	// Two connections: the group writer keeps one for its prepared statements,
	// control-plane writes use the other; SQLite's own lock orders them.
	d.w.SetMaxOpenConns(2)
	if d.r, err = sql.Open("sqlite", sqliteDSN(c.URL, true)); err != nil {
		return err
	}
	d.r.SetMaxOpenConns(c.Readers)
	d.r.SetMaxIdleConns(c.Readers)
	return nil
}

// sqliteDSN builds the connection string: write-ahead log, a full fsync per
// commit, and transactions that take the write lock when they begin.
func sqliteDSN(path string, readOnly bool) string {
	q := url.Values{}
	cache := "cache_size(-16384)" // kB per connection
	if readOnly {
		cache = "cache_size(-4096)" // the file is in the system's cache as well
	}
	// Pages of 8 kB, which a new database gets: rows of messages and events are of
	// half a kilobyte to two, and a page costs two writes in the log and one in the
	// file whatever its size.
	for _, p := range []string{"page_size(8192)", "busy_timeout(20000)", "journal_mode(WAL)", "synchronous(FULL)",
		cache, "temp_store(MEMORY)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)"} {
		q.Add("_pragma", p)
	}
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Set("_txlock", "immediate")
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// IsPostgres reports whether u names a PostgreSQL database.
func IsPostgres(u string) bool {
	return strings.HasPrefix(u, "postgres://") || strings.HasPrefix(u, "postgresql://")
}

// Redact returns u without its password, for logs and errors.
func Redact(u string) string {
	p, err := url.Parse(u)
	if err != nil {
		return "(unreadable url)"
	}
	return p.Redacted()
}

// Close ends the group writer after its last batch, gives up what Exclusive took
// and closes the pools.
func (d *DB) Close() error {
	d.group.close()
	d.release()
	return d.closePools()
}

func (d *DB) closePools() error {
	err := d.w.Close()
	if d.r != d.w && d.r != nil {
		err = errors.Join(err, d.r.Close())
	}
	return err
}

// Ping reports whether the store answers.
func (d *DB) Ping(ctx context.Context) error { return d.r.PingContext(ctx) }

// Clock returns the clock transactions take their Now from.
func (d *DB) Clock() clock.Clock { return d.clock }

// Read runs fn on a reader. What fn sees is one snapshot on SQLite and
// read-committed on PostgreSQL, with everything acknowledged before; writes
// fail.
func (d *DB) Read(ctx context.Context, fn func(*Tx) error) error {
	if err := d.settle(ctx); err != nil {
		return err
	}
	return d.Peek(ctx, fn)
}

// Peek is Read without the rows that Group has staged lately and that are on
// their way to the tables. It does not wait for them: for look-ups on the hot
// path, in tables that only Write changes or where a little later will do.
func (d *DB) Peek(ctx context.Context, fn func(*Tx) error) error {
	tx, err := d.in(ctx, d.r, &sql.TxOptions{ReadOnly: true}, fn)
	return tx.end(err)
}

// Lookup is Peek for one query of which there are very many: its text is kept
// prepared, and no transaction is begun and ended around it. scan is called for
// every row. The set of texts must be small and fixed.
func (d *DB) Lookup(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	st, err := d.prepared(ctx, query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	return each(rows, scan)
}

// prepared returns the statement of a text, which lives as long as the pool. Two
// who prepare the same one at once keep the first.
func (d *DB) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if st, ok := d.lookups.Load(query); ok {
		return st.(*sql.Stmt), nil
	}
	st, err := d.r.PrepareContext(ctx, d.Dialect.Rebind(query))
	if err != nil {
		return nil, err
	}
	if first, taken := d.lookups.LoadOrStore(query, st); taken {
		return first.(*sql.Stmt), st.Close()
	}
	return st, nil
}

// Write runs fn in a transaction of its own and commits it unless fn returns
// an error. fn must not call Read, Write or Group.
func (d *DB) Write(ctx context.Context, fn func(*Tx) error) error {
	if err := d.settle(ctx); err != nil {
		return err
	}
	tx, err := d.locked(ctx, fn)
	return tx.end(err) // without the lock: a callback may read
}

func (d *DB) locked(ctx context.Context, fn func(*Tx) error) (*Tx, error) {
	defer d.lockWriter()()
	return d.in(ctx, d.w, nil, fn)
}

func (d *DB) lockWriter() (unlock func()) {
	if d.Dialect != SQLite {
		return func() {}
	}
	d.writing.Lock()
	return d.writing.Unlock
}

// in runs fn in a transaction; the caller ends it.
func (d *DB) in(ctx context.Context, pool *sql.DB, o *sql.TxOptions, fn func(*Tx) error) (*Tx, error) {
	if o != nil && d.Dialect == SQLite {
		o = nil // the pool is query_only already
	}
	stx, err := pool.BeginTx(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer stx.Rollback() // no effect after Commit
	tx := &Tx{Now: d.now(), ctx: ctx, db: d, q: stx}
	return tx, tx.run(fn, stx)
}

// end runs the callbacks; t is nil if there was no transaction.
func (t *Tx) end(err error) error {
	switch {
	case t == nil:
	case err != nil:
		t.undone()
	default:
		t.committed()
	}
	return err
}

func (t *Tx) run(fn func(*Tx) error, stx *sql.Tx) error {
	if err := fn(t); err != nil {
		return err
	}
	if t.misuse != nil {
		return t.misuse
	}
	if err := t.flush(); err != nil {
		return err
	}
	if err := stx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (d *DB) now() int64 { return d.clock.Now().UnixMicro() }

// Size returns the bytes the database occupies.
func (d *DB) Size(ctx context.Context) (n int64, err error) {
	q := "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
	if d.Dialect == Postgres {
		q = "SELECT pg_database_size(current_database())"
	}
	err = d.r.QueryRowContext(ctx, q).Scan(&n)
	return n, err
}

// Wait blocks until the store answers or ctx ends, for a database server that
// starts at the same time as we do.
func (d *DB) Wait(ctx context.Context, every time.Duration) error {
	for {
		err := d.Ping(ctx)
		if err == nil {
			return nil
		}
		c, stop := d.clock.After(every)
		select {
		case <-ctx.Done():
			stop()
			return err
		case <-c:
		}
	}
}
