package db

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Bounds of what is acknowledged and not yet in its tables.
const (
	applyRows  = 20_000                 // apply when there are so many rows,
	applyAfter = 250 * time.Millisecond // or after so long, or when someone reads
	maxPending = 200_000                // rows; beyond it callers wait
)

// intake is the group's state with a journal.
type intake struct {
	j      *journal  // of the goroutine run
	direct chan *job // jobs that need SQL

	kick  chan struct{} // apply now
	begun chan struct{} // something is pending that was not before
	ended chan struct{} // the tables' goroutine is done

	mu      sync.Mutex
	room    sync.Cond
	pending []record // acknowledged, not applied
	rows    int      // in pending and in the transaction under way
	head    uint64   // last acknowledged
	applied uint64   // last applied
	failing error    // why the tables cannot be written
	waiters []waiter
}

// record is what one journal record stages.
type record struct {
	seq    uint64
	stages []*stage
	rows   int
}

// waiter waits until seq is applied.
type waiter struct {
	seq  uint64
	done chan error
}

// openIntake opens the journal and applies what an earlier run left in it.
func (g *group) openIntake(ctx context.Context, dir string) error {
	j, err := openJournal(dir, g.d.log)
	if err != nil {
		return err
	}
	applied, err := g.appliedSeq(ctx)
	if err != nil {
		return err
	}
	in := &intake{j: j, direct: make(chan *job, 4*maxBatch), kick: make(chan struct{}, 1), begun: make(chan struct{}, 1), ended: make(chan struct{}), applied: applied}
	in.room.L = &in.mu
	g.intake = in
	began := g.d.clock.Now()
	var found []record
	apply := func() error {
		err := g.apply(ctx, found)
		found = nil
		return err
	}
	rows := 0
	n, err := j.replay(applied, func(seq uint64, payload []byte) error {
		stages, err := decodeStages(payload)
		if err != nil {
			return fmt.Errorf("record %d: %w", seq, err)
		}
		r := record{seq: seq, stages: stages}
		for _, s := range stages {
			r.rows += len(s.args) / s.cols
		}
		found = append(found, r)
		if rows += r.rows; rows < applyRows {
			return nil
		}
		rows = 0
		return apply()
	})
	if err == nil {
		err = apply()
	}
	if err != nil {
		return err
	}
	if n > 0 {
		g.d.log.Info("journal applied", "records", n, "after", g.d.clock.Now().Sub(began).String())
	}
	in.head, in.applied = j.seq, j.seq
	j.release(j.seq)
	return nil
}

// record runs a batch of jobs and makes the rows they stage durable. A job that
// turns out to need SQL is passed on.
func (g *group) record(batch []*job) {
	now := g.d.now()
	kept := batch[:0:len(batch)]
	r := record{}
	var payload []byte
	for _, j := range batch {
		j.tx = &Tx{Now: now, ctx: context.Background(), db: g.d, journaled: true}
		err := j.run()
		if j.tx.impure {
			j.tx.undone()
			g.intake.direct <- j
			continue
		}
		at := len(payload)
		for _, s := range j.tx.staged {
			if err == nil {
				payload, err = appendStage(payload, s)
			}
		}
		if err != nil {
			payload = payload[:at]
			j.tx.undone()
			j.answer(err)
			continue
		}
		for _, s := range j.tx.staged {
			r.rows += len(s.args) / s.cols
		}
		r.stages = append(r.stages, j.tx.staged...)
		kept = append(kept, j)
	}
	if err := g.intake.write(&r, payload); err != nil {
		for _, j := range kept {
			j.tx.undone()
			j.answer(err)
		}
		return
	}
	for _, j := range kept {
		j.finish()
	}
}

// write makes a record durable and hands it to be applied.
func (in *intake) write(r *record, payload []byte) (err error) {
	if len(r.stages) == 0 {
		return nil
	}
	if err := in.await(); err != nil {
		return err
	}
	if r.seq, err = in.j.append(payload); err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	in.mu.Lock()
	in.head = r.seq
	in.pending = append(in.pending, *r)
	in.rows += r.rows
	first, many, applied := len(in.pending) == 1, in.rows >= applyRows, in.applied
	in.mu.Unlock()
	if first {
		signal(in.begun)
	}
	if many {
		signal(in.kick)
	}
	in.j.release(applied)
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
	for in.rows >= maxPending {
		if in.failing != nil {
			return in.failing
		}
		in.room.Wait()
	}
	return nil
}

// settle waits until everything acknowledged so far is in its tables.
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
	}
}

// retryApply is the pause after the tables could not be written.
const retryApply = time.Second

// tables applies what is acknowledged and runs the jobs that need SQL, each
// after everything that was acknowledged before it came.
func (g *group) tables() {
	in := g.intake
	defer close(in.ended)
	// Real time: it only decides how many rows share a transaction.
	lag := time.NewTimer(applyAfter)
	defer lag.Stop()
	for {
		var batch []*job
		select {
		case j, ok := <-in.direct:
			if !ok {
				if err := g.applyPending(); err != nil {
					g.d.log.Error("acknowledged rows stay in the journal for the next start", "error", err)
				}
				g.drop()
				return
			}
			batch = gather(in.direct, j)
		case <-in.begun:
			lag.Reset(applyAfter)
			continue
		case <-in.kick:
		case <-lag.C:
		}
		err := g.applyPending()
		if err != nil {
			g.d.log.Error("rows could not be moved from the journal to their tables; they are safe, and it is tried again", "error", err)
			lag.Reset(retryApply)
			for _, j := range batch {
				j.answer(err)
			}
			continue
		}
		if len(batch) > 0 {
			g.commit(batch)
		}
	}
}

// applyPending applies what is pending and tells those who wait for it.
func (g *group) applyPending() error {
	in := g.intake
	in.mu.Lock()
	list := in.pending
	in.pending = nil
	in.mu.Unlock()
	var err error
	if len(list) > 0 {
		err = g.apply(context.Background(), list)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.failing = err
	if err != nil {
		in.pending = append(list, in.pending...)
		for _, w := range in.waiters {
			w.done <- err
		}
		in.waiters = nil
		in.room.Broadcast()
		return err
	}
	for _, r := range list {
		in.rows -= r.rows
		in.applied = r.seq
	}
	rest := in.waiters[:0]
	for _, w := range in.waiters {
		if w.seq <= in.applied {
			w.done <- nil
		} else {
			rest = append(rest, w)
		}
	}
	in.waiters = rest
	if len(rest) > 0 { // acknowledged while the transaction ran
		signal(in.kick)
	}
	in.room.Broadcast()
	return nil
}

// closeIntake ends the other goroutine after its last work, then the journal.
func (g *group) closeIntake() {
	in := g.intake
	close(in.direct)
	<-in.ended
	if err := in.j.close(in.applied); err != nil {
		g.d.log.Error("journal", "error", err)
	}
}
