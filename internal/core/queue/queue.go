package queue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
)

// Delivery is one recipient of one message on its way.
type Delivery struct {
	ID        int64
	MessageID int64
	DomainID  int64
	Recipient string // mailbox
	Lane      string // destination key
	Due       int64  // microseconds; when to try next
	Deadline  int64  // microseconds; when to give up
	Attempt   int    // attempts begun, this one included once it is held
	FirstAt   int64  // microseconds; when the first attempt began, 0 before
	Vars      string // recipient variables of a batch, JSON; "" otherwise
	Signature string // header fields signed at an earlier attempt
	Last      string // outcome of the last attempt, JSON; "" before

	// Payload is whatever the stager wants to hand to the worker without a
	// read; nil when the delivery was loaded from the store.
	Payload any
}

// Options bound the queue.
type Options struct {
	Window       int                   // deliveries held in memory; 0 means 20,000
	LaneWindow   int                   // of these for one lane; 0 means 4,000
	Sessions     int                   // sessions in all; 0 means 256
	LaneSessions func(lane string) int // sessions of one lane; nil means 20
	Linger       time.Duration         // how long an idle session keeps its connection; 0 means 2 s
}

func (o Options) withDefaults() Options {
	if o.Window == 0 {
		o.Window = 20000
	}
	if o.LaneWindow == 0 {
		o.LaneWindow = o.Window / 5
	}
	if o.Sessions == 0 {
		o.Sessions = 256
	}
	if o.LaneSessions == nil {
		o.LaneSessions = func(string) int { return 20 }
	}
	if o.Linger == 0 {
		o.Linger = 2 * time.Second
	}
	return o
}

// Session works on a lane until Take returns nothing, then returns.
type Session func(ctx context.Context, lane *Lane)

// Queue is the window on the delivery table.
type Queue struct {
	db    *db.DB
	ids   *ids.Source
	log   *slog.Logger
	clock clock.Clock
	opt   Options
	node  int64

	mu       sync.Mutex
	session  Session
	ctx      context.Context // of running sessions; nil before Run and once stopping
	lanes    map[string]*Lane
	wanting  []*Lane // lanes that would use another session, in turn
	held     int     // deliveries in the window
	sessions int
	idle     int // of the sessions, those that wait for work
	paused   bool
	wg       sync.WaitGroup

	wake chan struct{}
	quit chan struct{} // closed when sessions shall end
}

// New returns a queue that hands nothing out before Run.
func New(ctx context.Context, d *db.DB, source *ids.Source, log *slog.Logger, o Options) (*Queue, error) {
	q := &Queue{db: d, ids: source, log: log, clock: d.Clock(), opt: o.withDefaults(),
		lanes: map[string]*Lane{}, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	if err := q.register(ctx); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return q, nil
}

// Stage writes new deliveries in tx. Those that are due and fit in the window
// are held by this node at once, the others wait in the table.
func (q *Queue) Stage(tx *db.Tx, list []*Delivery) {
	var mine []*Delivery
	for _, d := range list {
		node := int64(0)
		if d.Due <= tx.Now && q.reserve(d.Lane) {
			node = q.node
			d.Attempt++
			mine = append(mine, d)
		}
		stage(tx, d, node)
	}
	wake := len(mine) < len(list)
	tx.AfterCommit(func() {
		for _, d := range mine {
			q.push(d)
		}
		if wake {
			q.Wake()
		}
	})
	if len(mine) > 0 {
		tx.AfterRollback(func() {
			for _, d := range mine {
				d.Attempt--
				q.release(d.Lane)
			}
		})
	}
}

// reserve takes room in the window for one delivery of the lane.
func (q *Queue) reserve(lane string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lane(lane)
	if q.paused || q.held >= q.opt.Window || l.held >= q.opt.LaneWindow {
		q.drop(l, 0)
		return false
	}
	q.held++
	l.held++
	return true
}

// release gives room back.
func (q *Queue) release(lane string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(q.lanes[lane], 1)
}

func (q *Queue) drop(l *Lane, n int) {
	q.held -= n
	l.held -= n
	if l.held == 0 && l.sessions == 0 {
		delete(q.lanes, l.Name)
	}
}

// Wake makes the loader look for due deliveries now.
func (q *Queue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Finish stages the removal of a delivery whose outcome is final. The room in
// the window is given back when tx is durable.
func (q *Queue) Finish(tx *db.Tx, d *Delivery) {
	tx.StageDelete(delDelivery, d.ID)
	tx.AfterCommit(func() { q.release(d.Lane) })
}

// Defer records that d is to be tried again at due.
func (q *Queue) Defer(tx *db.Tx, d *Delivery, due int64) error {
	if err := reschedule(tx, d, due); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		q.release(d.Lane)
		q.Wake()
	})
	return nil
}

// Depth is what the window holds now.
type Depth struct {
	Held, Sessions, Idle, Lanes int
}

// Depth returns the state of the window.
func (q *Queue) Depth() Depth {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Depth{q.held, q.sessions, q.idle, len(q.lanes)}
}
