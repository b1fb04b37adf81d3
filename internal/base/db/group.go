package db

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// maxBatch bounds how many callers share a transaction; storage measurements
// show no gain above it.
const maxBatch = 512

// errStore marks failures of the store as a whole, not of a statement.
var errStore = errors.New("database does not answer")

// ErrClosed is returned by Group after Close.
var ErrClosed = errors.New("database is closed")

type job struct {
	fn   func(*Tx) error
	err  error
	tx   *Tx
	done chan struct{}
}

func (j *job) answer(err error) {
	j.err = err
	close(j.done)
}

// finish ends a job whose transaction is durable.
func (j *job) finish() {
	j.tx.committed()
	close(j.done)
}

// group is the writer whose transactions are shared: while one batch is being
// made durable the next one gathers, so the batch size follows the load and an
// idle system pays no waiting time.
//
// With a journal, one goroutine runs the jobs that only stage rows and appends
// those to it (intake), another one applies them to the tables and runs the
// jobs that need SQL (tables). Without, the first does it all in SQL.
type group struct {
	d     *DB
	queue chan *job
	quit  chan struct{}
	ended chan struct{}
	once  sync.Once

	// Of the goroutine that runs SQL.
	conn  *sql.Conn
	stmts *stmtCache

	intake *intake // nil without a journal
}

func newGroup(ctx context.Context, d *DB, dir string) (*group, error) {
	g := &group{d: d, queue: make(chan *job, 4*maxBatch), quit: make(chan struct{}), ended: make(chan struct{})}
	if err := g.reconnect(ctx); err != nil {
		return nil, err
	}
	if dir == "" {
		go g.run(g.commit, g.drop)
		return g, nil
	}
	if err := g.openIntake(ctx, dir); err != nil {
		g.drop()
		return nil, err
	}
	go g.tables()
	go g.run(g.record, g.closeIntake)
	return g, nil
}

// Group runs fn in a transaction shared with other callers and returns when it
// is durable. Rows should be staged; fn may also query and execute, at the
// price of a transaction in SQL. What a table might refuse must not be staged:
// with a journal the answer has been given by then. An error from fn undoes fn's work only: the
// rest of the batch is run without it. fn can run more than once and must not
// have effects outside tx (AfterCommit is for those).
func (d *DB) Group(ctx context.Context, fn func(*Tx) error) error {
	j := &job{fn: fn, done: make(chan struct{})}
	select {
	case d.group.queue <- j:
	case <-d.group.quit:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	// From here the work happens whatever ctx says; an answer is always given,
	// because a caller that left early would not know what is on disk.
	select {
	case <-j.done:
	case <-d.group.ended: // handed over while the writer was ending
		select {
		case <-j.done:
		default:
			return ErrClosed
		}
	}
	return j.err
}

func (g *group) close() {
	g.once.Do(func() { close(g.quit) })
	<-g.ended
}

// run hands batches to commit until close, and what callers had handed over
// before it as well.
func (g *group) run(commit func([]*job), end func()) {
	defer close(g.ended)
	defer end()
	for {
		select {
		case j := <-g.queue:
			commit(gather(g.queue, j))
		case <-g.quit:
			for {
				select {
				case j := <-g.queue:
					commit(gather(g.queue, j))
				default:
					return
				}
			}
		}
	}
}

// gather returns first and what else waits.
func gather(queue chan *job, first *job) []*job {
	batch := []*job{first}
	for len(batch) < maxBatch {
		select {
		case j, open := <-queue:
			if !open {
				return batch
			}
			batch = append(batch, j)
		default:
			return batch
		}
	}
	return batch
}
