package event

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
)

// Sink is something that follows from an event and must be in the same
// transaction: webhook calls, suppressions.
type Sink interface {
	Event(tx *db.Tx, e *Event) error
}

// Service appends and finds events.
type Service struct {
	db    *db.DB
	log   *slog.Logger
	ids   *ids.Source
	codec *codec
	sinks []Sink
	days  days
	subs  subscribers
}

// New returns a service whose Stage calls sinks in the order given.
func New(d *db.DB, source *ids.Source, log *slog.Logger, sinks ...Sink) (*Service, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &Service{db: d, log: log, ids: source, codec: c, sinks: sinks}, nil
}

// Seal gives the event its id and time and encodes it. It is the costly part
// and needs no transaction. Timestamps already set are kept.
func (s *Service) Seal(e *Event) error {
	e.ID = s.ids.Next()
	d := &e.Doc
	d.ID = publicID(e.ID)
	if d.Timestamp == 0 {
		d.Timestamp = Timestamp(ids.Time(e.ID).UnixMicro())
	}
	d.LogLevel = d.logLevel()
	if d.Tags == nil {
		d.Tags = []string{}
	}
	if d.Campaigns == nil {
		d.Campaigns = []string{}
	}
	if len(d.UserVariables) == 0 {
		d.UserVariables = json.RawMessage("{}")
	}
	if d.Recipient != "" && d.RecipientDom == "" {
		d.RecipientDom = d.Recipient[strings.LastIndexByte(d.Recipient, '@')+1:]
	}
	text, err := encode(d)
	if err != nil {
		return err
	}
	e.text, e.sealed = text, s.codec.pack(text)
	e.sealedDetail = s.codec.pack([]byte(e.Detail))
	return nil
}

// Stage writes a sealed event and what follows from it in tx.
func (s *Service) Stage(tx *db.Tx, e *Event) error {
	ins, err := s.partition(tx, e.ID)
	if err != nil {
		return err
	}
	var msgid int64
	if e.Doc.Message != nil {
		msgid = Hash(e.Doc.Message.Headers.MessageID)
	}
	tx.Stage(ins, e.ID, e.DomainID, codes[e.Doc.Event], Hash(e.Doc.Recipient), msgid, e.MessageID, e.sealed, e.sealedDetail)
	for _, k := range s.sinks {
		if err := k.Event(tx, e); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() { s.subs.publish(e) })
	return nil
}

// Append seals and stages e in a group transaction of its own.
func (s *Service) Append(ctx context.Context, e *Event) error {
	if err := s.Seal(e); err != nil {
		return err
	}
	return s.db.Group(ctx, func(tx *db.Tx) error { return s.Stage(tx, e) })
}

// subscribers receive events as they become durable, for live views.
type subscribers struct {
	mu sync.Mutex
	m  map[chan *Event]bool
}

// Subscribe returns a channel of events from now on and a function that ends
// it. A subscriber that does not keep up loses events, never delays them.
func (s *Service) Subscribe() (<-chan *Event, func()) {
	c := make(chan *Event, 256)
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	if s.subs.m == nil {
		s.subs.m = map[chan *Event]bool{}
	}
	s.subs.m[c] = true
	return c, func() {
		s.subs.mu.Lock()
		defer s.subs.mu.Unlock()
		if s.subs.m[c] {
			delete(s.subs.m, c)
			close(c)
		}
	}
}

func (s *subscribers) publish(e *Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.m {
		select {
		case c <- e:
		default:
		}
	}
}

// now is used by the query side for default ranges.
func (s *Service) now() int64 { return clock.Micro(s.db.Clock().Now()) }
