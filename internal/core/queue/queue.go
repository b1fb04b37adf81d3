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
	ID          int64
	MessageID   int64
	DomainID    int64
	AccountID   string
	Recipient   string // mailbox
	Destination string // the recipient's domain in A-labels
	Tag         string // the message's first tag, "" without
	Pool        string // of source addresses, "" for the default
	Lane        string // the lane it is in; memory only, set by the queue
	Due         int64  // microseconds; when to try next
	Deadline    int64  // microseconds; when to give up
	Tries       int    // attempts whose outcome was recorded
	Attempt     int    // claims since then, this one included once it is held
	FirstAt     int64  // microseconds; when the first attempt began, 0 before
	Vars        string // recipient variables of a batch, JSON; "" otherwise
	Signature   string // header fields signed at an earlier attempt
	Last        string // outcome of the last attempt, JSON; "" before

	// Payload is whatever the stager wants to hand to the worker without a
	// read; nil when the delivery was loaded from the store.
	Payload any

	wasDue int64 // due before a limit put it off, 0 when none did
	place  *flow // where it takes room in the window
	retry  bool  // counted against the retries' share of the window
	guest  bool  // let in beyond the lane's share, see newcomer
	group  int32 // deliveries of its message that came with it
	missed bool  // found no room when it was loaded
	out    bool  // in the hands of a session, of Settle, or of a transaction
}

// Options bound the queue.
type Options struct {
	// Name tells this installation from other nodes on the same database, so
	// that a restart knows its own dead predecessor. "" when it has none; then
	// a predecessor's deliveries come back after a minute (at once on SQLite,
	// whose database no other program uses).
	Name       string
	Window     int           // deliveries held in memory; 0 means 20,000
	LaneWindow int           // of these for one lane at most; 0 means a sixth
	Sessions   int           // sessions in all; 0 means 256
	Linger     time.Duration // how long an idle session keeps its connection; 0 means 2 s
	Policy     Policy        // nil: 20 sessions a lane and no other limits

	// Route names the lane of a delivery if it is known now: a quick look-up in
	// memory that does not call back. nil: the destination.
	Route func(d *Delivery) (lane string, ok bool)
	// Resolve finds the lane out, so that Route knows it afterwards; if it still
	// does not, the destination is the lane. It may take long and ends with its
	// context. One call is made at a time per destination and pool.
	Resolve    func(ctx context.Context, d *Delivery)
	ResolveMax int // calls of Resolve at a time; 0 means 64
	// Settle records a final outcome decided without an attempt and calls Finish
	// for each delivery of the list, which is bounded. It may be called by
	// several goroutines. nil: nothing expires here.
	Settle func(ctx context.Context, list []*Delivery, o Order) error
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
	if o.Policy == nil {
		o.Policy = unlimited{}
	}
	if o.ResolveMax == 0 {
		o.ResolveMax = 64
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
	steps *steps
	sizes *sizes

	// Of the loader's loop only.
	peers  map[int64]*peer // other nodes, as last seen
	search time.Time       // when to look through all destinations again
	hop    string          // the destination the last such search ended with
	look   time.Time       // when to look at full ones again
	turn   int             // which full ones were looked at last
	places map[string]spot // where to go on in destinations whose first rows found no room

	mu      sync.Mutex
	session Session
	ctx     context.Context // of running sessions; nil before Run and once stopping
	finding context.Context // of calls of Resolve
	lanes   map[string]*Lane
	flows   map[flowKey]*flow
	spare   []*flow              // for use again
	mine    map[int64]*Delivery  // what the window holds
	hungry  []*Lane              // lanes with work and no session, in turn
	wanting []*Lane              // lanes that would use another session, in turn
	idle    map[*waiter]struct{} // sessions that wait for work
	full    map[*Lane]struct{}   // lanes where something found no room
	roomy   map[string]struct{}  // destinations that found none and may now
	muted   map[sender]time.Time // senders that may not send for long
	shut    map[string]time.Time // lanes that have had no sessions for long
	off     []setOff             // to be put off or given back
	stale   []*Delivery          // to be expired
	failed  []*Delivery          // of these, such as could not be recorded
	alarms  alarms               // when lanes and flows may go on
	asking  []*Lane              // lanes to be resolved, in turn

	resolving int // calls of Resolve under way
	sessions  int
	paused    bool
	starved   bool // something found the whole window full
	doubtful  bool // a transaction failed: the table may name us for rows we do not hold
	risen     risen
	planned   int64 // microseconds; when the loader looks next
	wg        sync.WaitGroup

	wake  chan struct{} // the loader
	tend  chan struct{} // the keeper
	rearm chan struct{} // the alarm
	quit  chan struct{} // closed when sessions shall end
}

// New returns a queue that hands nothing out before Run.
func New(ctx context.Context, d *db.DB, source *ids.Source, log *slog.Logger, o Options) (*Queue, error) {
	q := &Queue{db: d, ids: source, log: log, clock: d.Clock(), opt: o.withDefaults(), peers: map[int64]*peer{},
		places: map[string]spot{}, lanes: map[string]*Lane{}, flows: map[flowKey]*flow{}, mine: map[int64]*Delivery{},
		idle: map[*waiter]struct{}{}, full: map[*Lane]struct{}{}, roomy: map[string]struct{}{},
		muted: map[sender]time.Time{}, shut: map[string]time.Time{}, sizes: &sizes{},
		wake: make(chan struct{}, 1), tend: make(chan struct{}, 1), rearm: make(chan struct{}, 1), quit: make(chan struct{})}
	q.steps, q.risen = &steps{}, newRisen(true)
	if err := q.register(ctx); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return q, nil
}

// Stage writes new deliveries in tx. Those that are due and fit in the window
// are held by this node at once, the others wait in the table.
func (q *Queue) Stage(tx *db.Tx, list []*Delivery) {
	q.route(list)
	grouped(list)
	rows := make([]row, len(list))
	mine, later := q.accept(list, rows, tx.Now)
	for i, d := range list {
		stage(tx, insDelivery, d, rows[i])
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

// accept admits what is due and fits, fills in the rows to write, and returns
// what was admitted and when the first of the others is due, 0 without any.
func (q *Queue) accept(list []*Delivery, rows []row, now int64) (mine []*Delivery, later int64) {
	mine = make([]*Delivery, 0, len(list))
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, d := range list {
		r := row{due: d.Due, tries: d.Tries, attempt: d.Attempt}
		if d.Due <= now {
			switch verdict, until := q.admit(d, false); verdict {
			case admitted:
				d.Attempt++
				mine = append(mine, d)
				r.node, r.attempt = q.node, d.Attempt
			case barred:
				r.due, r.wasDue = until, d.Due
			}
		}
		if r.node == 0 && (later == 0 || r.due < later) {
			later = r.due
		}
		rows[i] = r
	}
	return mine, later
}

// Finish stages the removal of a delivery whose outcome is final. The room in
// the window is given back when tx is durable.
func (q *Queue) Finish(tx *db.Tx, d *Delivery) {
	remove(tx, d)
	tx.AfterCommit(func() { q.release(d) })
}

// Defer records an attempt without a final outcome: d is to be tried again at
// due, at the deadline at the latest, with one more of Tries and no claim
// counted. It stages and never fails.
func (q *Queue) Defer(tx *db.Tx, d *Delivery, due int64) error {
	due = notAfter(due, d.Deadline, tx.Now)
	stage(tx, upsDelivery, d, row{due: due, tries: d.Tries + 1})
	q.gone(tx, d, due)
	return nil
}

// Postpone gives a held delivery back to the table until due, at the deadline
// at the latest, as if it had not been claimed: no attempt was made. It may come
// back earlier when a limit rises, see Changed.
func (q *Queue) Postpone(tx *db.Tx, d *Delivery, due int64) {
	due = notAfter(due, d.Deadline, tx.Now)
	q.giveBack(tx, d, due, d.firstDue())
}

// giveBack writes d as waiting until due.
func (q *Queue) giveBack(tx *db.Tx, d *Delivery, due, wasDue int64) {
	stage(tx, upsDelivery, d, row{due: due, wasDue: wasDue, tries: d.Tries, attempt: max(d.Attempt-1, 0)})
	q.gone(tx, d, due)
}

// gone lets go of a delivery that waits in the table once tx is durable.
func (q *Queue) gone(tx *db.Tx, d *Delivery, due int64) {
	tx.AfterCommit(func() {
		q.release(d)
		q.plan(due)
	})
}

// firstDue is when d was due before any limit put it off.
func (d *Delivery) firstDue() int64 {
	if d.wasDue != 0 {
		return d.wasDue
	}
	return d.Due
}

// CancelDomain removes the deliveries of a domain that no session has begun,
// also those in this node's window. It returns how many there were.
func (q *Queue) CancelDomain(tx *db.Tx, domainID int64) (int64, error) {
	taken := q.withdraw(func(d *Delivery) bool { return d.DomainID == domainID })
	tx.AfterRollback(func() { q.push(taken) })
	n, err := cancelDomain(tx, domainID)
	if err != nil {
		return 0, err
	}
	for _, d := range taken {
		q.Finish(tx, d)
	}
	return n + int64(len(taken)), nil
}

// CancelMessage removes the deliveries of a message that wait in the table, and
// returns how many there were. Those that were put off for later do.
func (q *Queue) CancelMessage(tx *db.Tx, messageID int64) (int64, error) {
	return cancelMessage(tx, messageID)
}

// Reschedule has the deliveries of a message that wait in the table for a later
// time be due at another, with as much time to their deadline as before. It returns
// how many there were.
func (q *Queue) Reschedule(tx *db.Tx, messageID, due int64) (int64, error) {
	n, err := reschedule(tx, messageID, due)
	tx.AfterCommit(func() { q.plan(due) })
	return n, err
}

// Wake makes the loader look for due deliveries now.
func (q *Queue) Wake() { poke(q.wake) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
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
