package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/netx"
	"postroad/internal/base/secret"
	"postroad/internal/core/account"
	"postroad/internal/core/event"
)

// Options adjusts a Service; zero values give the defaults.
type Options struct {
	Plan        []time.Duration // waits between attempts; nil means Plan()
	Parallel    int             // requests in flight at most, 256
	PerReceiver int             // of them to one receiver, 8
	SlowAfter   time.Duration   // an answer later than this marks a slow receiver, 2 s
	Drain       time.Duration   // how long Run waits for requests in flight when it ends, 5 s
	UserAgent   string          // "Postroad"
	Secret      []byte          // of the installation, seals the secrets of Outgoing; nil: Stage refuses

	// CheckHosts has the host of a URL looked up when it is registered, and
	// refuses those that do not exist or have an address that is not public.
	CheckHosts bool
}

func (o *Options) setDefaults() {
	if o.Plan == nil {
		o.Plan = Plan()
	}
	if o.Parallel == 0 {
		o.Parallel = 256
	}
	if o.PerReceiver == 0 {
		o.PerReceiver = 8
	}
	if o.SlowAfter == 0 {
		o.SlowAfter = 2 * time.Second
	}
	if o.Drain == 0 {
		o.Drain = 5 * time.Second
	}
	if o.UserAgent == "" {
		o.UserAgent = "Postroad"
	}
}

// DomainFunc returns the row id of a domain the caller may use; its error is
// the API's answer when there is none.
type DomainFunc func(ctx context.Context, c *account.Caller, name string) (int64, error)

// Service keeps the registrations and makes the calls. Its methods are safe
// for concurrent use; Run may run once.
type Service struct {
	db       *db.DB
	ids      *ids.Source
	log      *slog.Logger
	client   *netx.Client
	accounts *account.Service
	domains  DomainFunc
	o        Options
	node     int64       // names this run in the claims
	box      *secret.Box // nil without Options.Secret

	registry  atomic.Pointer[registry]
	reloading sync.Mutex
	wakes     wakes
	count     counters
}

// New returns a service with the registrations read. The store must be
// migrated. The client must not follow redirects.
func New(ctx context.Context, d *db.DB, source *ids.Source, log *slog.Logger, client *netx.Client, accounts *account.Service, domains DomainFunc, o Options) (*Service, error) {
	o.setDefaults()
	s := &Service{db: d, ids: source, log: log, client: client, accounts: accounts, domains: domains, o: o, node: source.Next()}
	s.wakes.c = make(chan struct{}, 1)
	if o.Secret != nil {
		var err error
		if s.box, err = secret.New(o.Secret); err != nil {
			return nil, err
		}
	}
	if err := s.Reload(ctx); err != nil {
		return nil, fmt.Errorf("webhook registrations: %w", err)
	}
	return s, nil
}

// Event stages the calls that follow from e; it is what makes Service an
// event.Sink. Mailgun: no webhook for what HTTP routes delivered; the receiver
// knows. That a delivery failed is said.
func (s *Service) Event(tx *db.Tx, e *event.Event) error {
	reg := s.registry.Load()
	if len(reg.slots) == 0 {
		return nil
	}
	name := e.Doc.WebhookName()
	list := reg.targets(e.AccountID, e.DomainID, name)
	if len(list) == 0 || e.Doc.Event == event.Delivered && e.Doc.Envelope != nil && e.Doc.Envelope.Transport == "http" {
		return nil
	}
	payload := storable(e.JSON())
	for _, t := range list {
		tx.Stage(insertCall, s.ids.Next(), e.AccountID, e.DomainID, name, e.ID, e.MessageID,
			t.url, t.lane, payload, string(Waiting), int64(0), int64(0), tx.Now, int64(0), tx.Now)
	}
	tx.AfterCommit(func() {
		s.count.staged.Add(int64(len(list)))
		for _, t := range list {
			s.wakes.add(t.lane)
		}
	})
	return nil
}

// marshal writes an event document as it is stored and sent.
func marshal(d *event.Doc) (string, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("webhook payload: %w", err)
	}
	return storable(text), nil
}

// storable makes a text that both engines take: UTF-8 without NUL.
func storable(b []byte) string {
	return strings.ToValidUTF8(strings.ReplaceAll(string(b), "\x00", "\ufffd"), "\ufffd")
}

// Calls returns calls with their attempts, newest first.
func (s *Service) Calls(ctx context.Context, q Query) (out []Call, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, 300)
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		if out, err = findCalls(tx, q); err != nil {
			return err
		}
		return s.fillAttempts(tx, out)
	})
	return out, err
}

// Call returns one call of an account with its attempts.
func (s *Service) Call(ctx context.Context, accountID string, id int64) (out *Call, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		c, err := callByID(tx, accountID, id)
		if err != nil {
			return err
		}
		list := []Call{*c}
		if err := s.fillAttempts(tx, list); err != nil {
			return err
		}
		out = &list[0]
		return nil
	})
	return out, err
}

func errCallNotFound() error { return errs.New(errs.NotFound, "webhook call not found") }

func notFound(err error) error {
	if errors.Is(err, db.ErrNoRows) {
		return errCallNotFound()
	}
	return err
}

// Replay makes one more attempt of a call as soon as there is room, whatever
// became of it. For a waiting call it is the next attempt of its plan, made
// now; for a finished one it is a single attempt without retries.
func (s *Service) Replay(ctx context.Context, accountID string, id int64) error {
	return s.db.Write(ctx, func(tx *db.Tx) error {
		c, err := callByID(tx, accountID, id)
		if err != nil {
			return err
		}
		n, err := replayCall(tx, id, len(s.o.Plan))
		if err != nil {
			return err
		}
		if n == 0 {
			return errs.New(errs.Conflict, "this webhook call is being made right now")
		}
		tx.AfterCommit(func() { s.wakes.add(laneOf(c.URL)) })
		return nil
	})
}

// DeleteBefore deletes the calls made before t with their attempts, in
// batches, and returns how many calls there were. It takes waiting calls as
// well: the disk a dead receiver may fill is bounded by it, so t must lie
// further back than the plan lasts.
func (s *Service) DeleteBefore(ctx context.Context, t time.Time) (int, error) {
	const batch = 500
	total := 0
	for {
		var n int64
		err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
			n, err = deleteCalls(tx, ids.Floor(t), batch)
			return err
		})
		total += int(n)
		if err != nil || n < batch {
			return total, err
		}
	}
}

// clock is the store's clock, so that what is due and what is written agree.
func (s *Service) clock() clock.Clock { return s.db.Clock() }

type counters struct {
	staged, attempts, delivered, rejected, retried, failed, inFlight, lanes atomic.Int64
}

// Stats returns the counters.
func (s *Service) Stats() Stats {
	c := &s.count
	return Stats{Staged: c.staged.Load(), Attempts: c.attempts.Load(), Delivered: c.delivered.Load(), Rejected: c.rejected.Load(),
		Retried: c.retried.Load(), Failed: c.failed.Load(), InFlight: c.inFlight.Load(), Lanes: c.lanes.Load()}
}
