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
	Tries     int    // attempts whose outcome was recorded
	Attempt   int    // claims since then, this one included once it is held
	FirstAt   int64  // microseconds; when the first attempt began, 0 before
	Vars      string // recipient variables of a batch, JSON; "" otherwise
	Signature string // header fields signed at an earlier attempt
	Last      string // outcome of the last attempt, JSON; "" before

	// Payload is whatever the stager wants to hand to the worker without a
	// read; nil when the delivery was loaded from the store.
	Payload any

	retry bool // counted against the retries' share of the window
}

// Options bound the queue.
type Options struct {
	// Name tells this installation from other nodes on the same database, so
	// that a restart knows its own dead predecessor. "" when it has none; then
	// a predecessor's deliveries come back after a minute (at once on SQLite,
	// whose database no other program uses).
	Name         string
	Window       int                   // deliveries held in memory; 0 means 20,000
	LaneWindow   int                   // of these for one lane at most; 0 means a sixth
	Sessions     int                   // sessions in all; 0 means 256
	LaneSessions func(lane string) int // sessions of one lane; nil means 20
	Linger       time.Duration         // how long an idle session keeps its connection; 0 means 2 s
}

func (o Options) withDefaults() Options {
	if o.Window == 0 {
		o.Window = 20000
	}
	if o.LaneWindow == 0 {
		o.LaneWindow = max(1, o.Window/6)
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

	// Of the loop only.
	peers  map[int64]*peer // other nodes, as last seen
	search time.Time       // when to look through all lanes again

	mu       sync.Mutex
	session  Session
	ctx      context.Context // of running sessions; nil before Run and once stopping
	lanes    map[string]*Lane
	hungry   []*Lane              // lanes with work and no session, in turn
	wanting  []*Lane              // lanes that would use another session, in turn
	idle     map[*waiter]struct{} // sessions that wait for work
	mine     map[int64]struct{}   // ids of the deliveries in the window
	roomy    map[string]struct{}  // lanes that were full and have room again
	sessions int
	paused   bool
	starved  bool  // something found the whole window full
	doubtful bool  // a transaction failed: the table may name us for rows we do not hold
	planned  int64 // microseconds; when the loader looks next
	wg       sync.WaitGroup

	wake chan struct{}
	quit chan struct{} // closed when sessions shall end
}

// New returns a queue that hands nothing out before Run.
func New(ctx context.Context, d *db.DB, source *ids.Source, log *slog.Logger, o Options) (*Queue, error) {
	q := &Queue{db: d, ids: source, log: log, clock: d.Clock(), opt: o.withDefaults(), peers: map[int64]*peer{},
		lanes: map[string]*Lane{}, idle: map[*waiter]struct{}{}, mine: map[int64]struct{}{}, roomy: map[string]struct{}{},
		wake: make(chan struct{}, 1), quit: make(chan struct{})}
	if err := q.register(ctx); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return q, nil
}

// Stage writes new deliveries in tx. Those that are due and fit in the window
// are held by this node at once, the others wait in the table.
func (q *Queue) Stage(tx *db.Tx, list []*Delivery) {
	var mine []*Delivery
	var later int64 // when the first of the others is due
	for _, d := range list {
		node := int64(0)
		if d.Due <= tx.Now && q.reserve(d) {
			node = q.node
			d.Attempt++
			mine = append(mine, d)
		} else if later == 0 || d.Due < later {
			later = d.Due
		}
		stage(tx, d, node)
	}
	tx.AfterCommit(func() {
		q.push(mine)
		if later != 0 {
			q.plan(later)
		}
	})
	if len(mine) > 0 {
		tx.AfterRollback(func() {
			for _, d := range mine {
				d.Attempt--
			}
			q.unclaim(mine)
		})
	}
}

// Finish stages the removal of a delivery whose outcome is final. The room in
// the window is given back when tx is durable.
func (q *Queue) Finish(tx *db.Tx, d *Delivery) {
	tx.StageDelete(delDelivery, d.ID)
	tx.AfterCommit(func() { q.release(d) })
}

// Defer records an attempt without a final outcome: d is to be tried again at
// due, with one more of Tries and no claim counted.
func (q *Queue) Defer(tx *db.Tx, d *Delivery, due int64) error {
	if err := reschedule(tx, d, due); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		q.release(d)
		q.plan(due)
	})
	return nil
}

// CancelDomain removes the deliveries of a domain that no session has begun,
// also those in this node's window. It returns how many there were.
func (q *Queue) CancelDomain(tx *db.Tx, domainID int64) (int64, error) {
	taken := q.withdraw(domainID)
	tx.AfterRollback(func() { q.push(taken) })
	n, err := cancelDomain(tx, domainID)
	if err != nil {
		return 0, err
	}
	for _, d := range taken {
		tx.StageDelete(delDelivery, d.ID)
	}
	tx.AfterCommit(func() {
		for _, d := range taken {
			q.release(d)
		}
	})
	return n + int64(len(taken)), nil
}

// Wake makes the loader look for due deliveries now.
func (q *Queue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// plan makes sure that the loader looks at the time due.
func (q *Queue) plan(due int64) {
	q.mu.Lock()
	early := due < q.planned
	q.mu.Unlock()
	if early {
		q.Wake()
	}
}

// Depth is what the window holds now.
type Depth struct {
	Held, Sessions, Idle, Lanes int
	Stopping                    bool // nothing more is handed out
}

// Depth returns the state of the window.
func (q *Queue) Depth() Depth {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Depth{len(q.mine), q.sessions, len(q.idle), len(q.lanes), q.paused}
}
