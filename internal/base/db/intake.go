package db

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is acknowledged and not yet in its tables.
const (
	applyRows  = 20_000                 // apply when there are so many rows,
	applyBytes = 32 << 20               // or so many bytes of them,
	applyAfter = 250 * time.Millisecond // or after so long, or when someone reads
	// Beyond these callers wait.
	maxPendingRows  = 60_000
	maxPendingBytes = 64 << 20
	// fullRecord is the size after which a batch goes on in another record.
	fullRecord = 16 << 20
)

// retryApply is the pause after the tables could not be written.
const retryApply = time.Second

// intake is the group's state with a journal.
type intake struct {
	j      *journal  // of the goroutine run
	buf    []byte    // room for a payload; of the goroutine run
	direct chan *job // jobs that need SQL

	kick  chan struct{} // apply now
	begun chan struct{} // something is pending that was not before
	ended chan struct{} // the tables' goroutine is done

	done uint64 // last record known to be in its tables; of the goroutine tables

	retired atomic.Bool   // the journal has files that wait for release
	safe    atomic.Uint64 // last record that is in the database file itself: see checkpoint

	mu      sync.Mutex
	room    sync.Cond
	pending []record // acknowledged, not applied
	load    load     // of pending
	head    uint64   // last acknowledged
	applied uint64   // last applied
	failing error    // why the tables cannot be written
	waiters []waiter
}

// record is what one journal record stages.
type record struct {
	seq    uint64
	stages []*stage
	load
}

// load is how much something is.
type load struct{ rows, bytes int }

func (l *load) add(o load)                  { l.rows, l.bytes = l.rows+o.rows, l.bytes+o.bytes }
func (l *load) sub(o load)                  { l.rows, l.bytes = l.rows-o.rows, l.bytes-o.bytes }
func (l load) reaches(rows, bytes int) bool { return l.rows >= rows || l.bytes >= bytes }

// waiter waits until seq is applied.
type waiter struct {
	seq  uint64
	done chan error
}

// openIntake opens the journal and applies what an earlier run left in it.
func (g *group) openIntake(ctx context.Context, dir string) error {
	if _, err := g.conn.ExecContext(ctx, stateTable); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	applied, err := g.state(ctx, stateSeq)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	mark, err := g.state(ctx, stateMark)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j, err := openJournal(dir, uint32(mark), g.d.log)
	if err != nil {
		return err
	}
	in := &intake{j: j, direct: make(chan *job, 4*maxBatch), kick: make(chan struct{}, 1), begun: make(chan struct{}, 1), ended: make(chan struct{}), done: uint64(applied)}
	in.room.L = &in.mu
	g.intake = in
	if err := g.replay(ctx); err != nil {
		return err
	}
	in.head, in.applied = j.seq, j.seq
	if j.mark == 0 {
		j.mark, err = g.newMark(ctx)
	}
	return err
}

// replay applies the journal and empties it.
func (g *group) replay(ctx context.Context) error {
	in := g.intake
	began := g.d.clock.Now()
	var found []record
	var sum load
	n, err := in.j.replay(in.done, func(seq uint64, payload []byte) error {
		r, err := readRecord(seq, payload)
		if err != nil {
			return err
		}
		found = append(found, r)
		if sum.add(r.load); !sum.reaches(applyRows, applyBytes) {
			return nil
		}
		err = g.apply(ctx, found)
		found, sum = nil, load{}
		return err
	})
	if err == nil {
		err = g.apply(ctx, found)
	}
	if err != nil {
		return err
	}
	if n > 0 {
		g.d.log.Info("journal applied", "records", n, "after", g.d.clock.Now().Sub(began).String())
	}
	if len(in.j.old) > 0 {
		if err := g.checkpoint(ctx); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return in.j.clear()
}

func readRecord(seq uint64, payload []byte) (record, error) {
	stages, err := decodeStages(payload)
	if err != nil {
		return record{}, fmt.Errorf("record %d: %w", seq, err)
	}
	r := record{seq: seq, stages: stages, load: load{bytes: len(payload)}}
	for _, s := range stages {
		r.rows += len(s.args) / s.cols
	}
	return r, nil
}

// batch is what becomes one record.
type batch struct {
	record
	jobs    []*job
	payload []byte
}

// record runs jobs and makes the rows they stage durable. A job that turns out
// to need SQL is passed on.
func (g *group) record(jobs []*job) {
	now := g.d.now()
	b := &batch{jobs: make([]*job, 0, len(jobs)), payload: g.intake.buf[:0]}
	for _, j := range jobs {
		j.tx = &Tx{Now: now, ctx: context.Background(), db: g.d, journaled: true}
		err := j.run()
		if j.tx.impure {
			j.tx.undone()
			g.intake.direct <- j
			continue
		}
		if err == nil {
			err = b.add(j)
		}
		if err != nil {
			j.tx.undone()
			j.answer(err)
		}
		if len(b.payload) >= fullRecord {
			g.intake.commit(b)
			b = &batch{payload: b.payload[:0]}
		}
	}
	g.intake.commit(b)
	if g.intake.buf = b.payload; cap(b.payload) > keptPayload {
		g.intake.buf = nil
	}
}

// keptPayload is how much room for a record is kept for the next one.
const keptPayload = 4 << 20

// add takes over what a job staged, or nothing of it.
func (b *batch) add(j *job) (err error) {
	at, rows := len(b.payload), 0
	for _, s := range j.tx.staged {
		if b.payload, err = appendStage(b.payload, s); err == nil && len(b.payload)-at > maxRecord-fullRecord {
			err = fmt.Errorf("%w: more than %d bytes", errTooLarge, maxRecord-fullRecord)
		}
		if err != nil {
			b.payload = b.payload[:at]
			return err
		}
		rows += len(s.args) / s.cols
	}
	b.rows += rows
	b.stages, b.jobs = append(b.stages, j.tx.staged...), append(b.jobs, j)
	return nil
}

// commit makes a batch durable and answers.
func (in *intake) commit(b *batch) {
	err := in.write(b)
	for _, j := range b.jobs {
		if err != nil {
			j.tx.undone()
			j.answer(err)
		} else {
			j.finish()
		}
	}
}

// write makes a batch durable and hands it to be applied.
func (in *intake) write(b *batch) (err error) {
	if len(b.stages) == 0 {
		return nil
	}
	if err := in.await(); err != nil {
		return err
	}
	if b.seq, err = in.j.append(b.payload); err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	b.bytes = len(b.payload)
	in.mu.Lock()
	in.head = b.seq
	in.pending = append(in.pending, b.record)
	in.load.add(b.load)
	first, many := len(in.pending) == 1, in.load.reaches(applyRows, applyBytes)
	in.mu.Unlock()
	if first {
		signal(in.begun)
	}
	if many {
		signal(in.kick)
	}
	in.j.release(in.safe.Load())
	in.retired.Store(len(in.j.old) > 0)
	return nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// await waits until there is room for more rows. While the tables cannot be
// written there is none.
func (in *intake) await() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.load.reaches(maxPendingRows, maxPendingBytes) {
		if in.failing != nil {
			return in.failing
		}
		in.room.Wait()
	}
	return nil
}

// settle waits until everything acknowledged so far is in its tables. While they
// cannot be written it waits for the next try.
func (d *DB) settle(ctx context.Context) error {
	if d.group == nil || d.group.intake == nil {
		return nil
	}
	in := d.group.intake
	in.mu.Lock()
	if in.applied >= in.head {
		in.mu.Unlock()
		return nil
	}
	w := waiter{in.head, make(chan error, 1)}
	in.waiters = append(in.waiters, w)
	in.mu.Unlock()
	signal(in.kick)
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-in.ended: // nobody applies anything any more
		select {
		case err := <-w.done:
			return err
		default:
			return ErrClosed
		}
	}
}

// tables applies what is acknowledged and runs the jobs that need SQL, each
// after everything that was acknowledged before it came. After a failure it
// tries again at intervals, not whenever somebody asks.
func (g *group) tables() {
	in := g.intake
	defer close(in.ended)
	// Real time: it only decides how many rows share a transaction.
	lag := time.NewTimer(applyAfter)
	defer lag.Stop()
	var failing error
	for {
		var jobs []*job
		select {
		case j, ok := <-in.direct:
			if !ok {
				if err := g.applyPending(); err != nil {
					g.d.log.Error("acknowledged rows stay in the journal for the next start", "error", err)
				} else if err := g.checkpoint(context.Background()); err != nil {
					g.d.log.Warn("the journal's files stay for the next start", "error", err)
				}
				g.drop()
				return
			}
			jobs = gather(in.direct, j)
		case <-in.begun:
			if failing == nil {
				lag.Reset(applyAfter)
			}
			continue
		case <-in.kick:
			if failing != nil {
				continue
			}
		case <-lag.C:
			failing = nil
		}
		if failing == nil {
			if failing = g.applyPending(); failing != nil {
				g.d.log.Error("rows could not be moved from the journal to their tables; they are safe, and it is tried again", "error", failing)
				lag.Reset(retryApply)
			} else if in.retired.Load() {
				if err := g.checkpoint(context.Background()); err != nil {
					g.d.log.Warn("the journal's files stay for the time being", "error", err)
				}
			}
		}
		switch {
		case failing != nil:
			for _, j := range jobs {
				j.answer(failing)
			}
		case len(jobs) > 0:
			g.commit(jobs)
		}
	}
}

// applyPending applies what is pending, in as many transactions as it takes, and
// tells those who wait for it.
func (g *group) applyPending() error {
	in := g.intake
	in.mu.Lock()
	head := in.head
	in.mu.Unlock()
	for {
		list := in.next(head)
		if len(list) == 0 {
			return nil
		}
		err := g.apply(context.Background(), list)
		in.settled(err)
		if err != nil {
			return err
		}
	}
}

// next returns what the next transaction applies of what was acknowledged up
// to head.
func (in *intake) next(head uint64) []record {
	in.mu.Lock()
	defer in.mu.Unlock()
	var sum load
	for n, r := range in.pending {
		if r.seq > head || sum.reaches(applyRows, applyBytes) {
			return in.pending[:n:n]
		}
		sum.add(r.load)
	}
	return in.pending[:len(in.pending):len(in.pending)]
}

// settled notes what has been applied and tells those who wait.
func (in *intake) settled(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.failing, in.applied = err, in.done
	n := 0
	for n < len(in.pending) && in.pending[n].seq <= in.done {
		in.load.sub(in.pending[n].load)
		n++
	}
	clear(in.pending[:n])
	if in.pending = in.pending[n:]; len(in.pending) == 0 {
		in.pending = nil
	}
	rest := in.waiters[:0]
	for _, w := range in.waiters {
		switch {
		case w.seq <= in.applied:
			w.done <- nil
		case err != nil:
			w.done <- err
		default:
			rest = append(rest, w)
		}
	}
	clear(in.waiters[len(rest):])
	in.waiters = rest
	if len(rest) > 0 { // acknowledged while the transaction ran
		signal(in.kick)
	}
	if len(in.pending) > 0 {
		signal(in.begun)
	}
	in.room.Broadcast()
}

// closeIntake ends the other goroutine after its last work, then the journal.
func (g *group) closeIntake() {
	in := g.intake
	close(in.direct)
	<-in.ended
	if err := in.j.close(in.safe.Load()); err != nil {
		g.d.log.Error("journal", "error", err)
	}
}
