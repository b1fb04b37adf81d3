package track

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/geo"
	"postroad/internal/base/recent"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/useragent"
)

// DefaultLimit bounds the spool in bytes: some six million requests.
const DefaultLimit = 1 << 30

// Config is what a Service needs.
type Config struct {
	DB       *db.DB
	Events   *event.Service
	Messages *message.Service
	Domains  *domain.Service
	Logger   *slog.Logger
	Key      *linktoken.Key
	Places   *geo.DB   // nil: no place is known
	Arrivals *Arrivals // a sink of Events; nil: arrivals are not known

	Dir   string // of the spool; no other program may use it
	Node  string // name of this installation among those on the database
	Limit int64  // of the spool, in bytes; 0: DefaultLimit
	// Haste is how soon after a message's arrival no human follows a link; 0: any
	// may.
	Haste time.Duration
}

// Service answers links and pixels. Its methods are safe for concurrent use.
type Service struct {
	Config
	clock  clock.Clock
	agents useragent.Parser
	spool  *spool
	habits *habits
	gone   *recent.Map[key, *event.Event] // of messages whose retention is over; nil: nothing is known

	// Of the goroutine of Run.
	at     position // how far the spool was read
	stored position // what the database says of it
	unsure bool     // whether stored is right

	Stats Stats
}

// Stats count since the start.
type Stats struct {
	events  [2][len(bots)]atomic.Int64
	Lost    atomic.Int64 // hits the spool could not take
	Dropped atomic.Int64 // hits of messages or domains that are gone
	told    atomic.Int64 // when a loss was logged last
}

// bots are the values of client-info.bot, in the order of Stats.
var bots = [...]useragent.Bot{useragent.Human, useragent.Apple, useragent.Gmail, useragent.Generic}

// Each calls fn for each kind of event and bot with the number there were.
func (s *Stats) Each(fn func(t event.Type, bot string, read func() int64)) {
	for i, t := range [...]event.Type{event.Opened, event.Clicked} {
		for j, b := range bots {
			fn(t, string(b), s.events[i][j].Load)
		}
	}
}

func (s *Stats) count(e *event.Event) {
	kind := 0
	if e.Doc.Event == event.Clicked {
		kind = 1
	}
	for i, b := range bots {
		if e.Doc.ClientInfo.Bot == string(b) {
			s.events[kind][i].Add(1)
		}
	}
}

// SpoolBytes is how much the files of the spool take.
func (s *Service) SpoolBytes() int64 { return s.spool.bytes.Load() }

// Open opens the spool; Run makes events of it, and Close closes it.
func Open(ctx context.Context, c Config) (*Service, error) {
	if c.Limit == 0 {
		c.Limit = DefaultLimit
	}
	if c.Arrivals == nil {
		c.Arrivals = NewArrivals()
	}
	s := &Service{Config: c, clock: c.DB.Clock(), habits: newHabits(), gone: recent.New[key, *event.Event](1024)}
	err := c.DB.Write(ctx, func(tx *db.Tx) error { return insertPosition(tx, c.Node) })
	if err == nil {
		err = s.locate(ctx)
	}
	if err == nil {
		s.spool, err = openSpool(c.Dir, s.at, c.Limit, c.Logger)
	}
	if err != nil {
		return nil, fmt.Errorf("tracking: %w", err)
	}
	return s, nil
}

// locate asks the database how far the spool was read.
func (s *Service) locate(ctx context.Context) error {
	return s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		if s.stored, err = selectPosition(tx, s.Node); err == nil {
			s.at, s.unsure = s.stored, false
		}
		return err
	})
}

// Close closes the spool. Requests that come later are answered and not counted.
func (s *Service) Close() error { return s.spool.Close() }

// keep puts a hit into the spool. A hit that cannot be kept is counted, and told
// of once a minute: the recipient gets the answer all the same.
func (s *Service) keep(h *hit) {
	err := s.spool.append(h)
	if err == nil {
		return
	}
	s.Stats.Lost.Add(1)
	now := s.clock.Now().UnixMicro()
	if last := s.Stats.told.Load(); now-last >= time.Minute.Microseconds() && s.Stats.told.CompareAndSwap(last, now) {
		s.Logger.Error("an open or click could not be kept and is lost", "error", err, "lost so far", s.Stats.Lost.Load())
	}
}
