package track

import (
	"context"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/event"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/useragent"
)

const (
	// gatherFor is how long hits gather before they become events: what a scanner
	// does at once is seen at once. Real time: it only decides what shares a
	// transaction.
	gatherFor = 300 * time.Millisecond
	batchSize = 500
	// retryAfter is the pause after a batch failed; it doubles up to retryMost.
	retryAfter = time.Second
	retryMost  = 30 * time.Second
	// giveUpAfter is how often a single hit fails, with a database that answers,
	// before it is left out.
	giveUpAfter = 10
	// drainFor bounds the last round.
	drainFor = 10 * time.Second
	cleanup  = time.Hour
)

// Run makes events of hits until ctx ends, and then of those that are left.
func (s *Service) Run(ctx context.Context) error {
	gather := time.NewTimer(0)
	defer gather.Stop()
	clean, stopClean := s.clock.After(cleanup)
	defer func() { stopClean() }()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainFor)
			defer cancel()
			s.drain(last, false)
			return nil
		case <-clean:
			clean, stopClean = s.clock.After(cleanup)
			if err := s.DB.Write(ctx, forgetFirst); err != nil && ctx.Err() == nil {
				s.Logger.Error("tracking: forgetting old opens and clicks", "error", err)
			}
		case <-s.spool.more:
			gather.Reset(gatherFor)
			select {
			case <-ctx.Done():
				wake(s.spool.more)
				continue
			case <-gather.C:
			}
			s.drain(ctx, true)
		case <-gather.C: // what an earlier run left
			s.drain(ctx, true)
		}
	}
}

// drain makes events of everything in the spool; with patience it tries again
// what fails, until ctx ends.
func (s *Service) drain(ctx context.Context, patient bool) {
	limit, failed, pause := batchSize, 0, retryAfter
	for ctx.Err() == nil {
		n, err := s.batch(ctx, limit)
		switch {
		case err == nil && n == 0:
			return
		case err == nil:
			limit, failed, pause = min(limit*4, batchSize), 0, retryAfter
			continue
		case ctx.Err() != nil:
			return
		}
		s.Logger.Error("opens and clicks could not be recorded; they are safe in the spool, and it is tried again", "error", err)
		if failed++; limit == 1 && failed > giveUpAfter && s.DB.Ping(ctx) == nil {
			s.skip(ctx)
			continue
		}
		limit = max(limit/10, 1) // one hit must not hold the others up for ever
		if !patient || !s.wait(ctx, pause) {
			return
		}
		pause = min(pause*2, retryMost)
	}
}

func (s *Service) wait(ctx context.Context, d time.Duration) bool {
	c, stop := s.clock.After(d)
	defer stop()
	select {
	case <-ctx.Done():
		return false
	case <-c:
		return true
	}
}

// skip leaves out the next hit.
func (s *Service) skip(ctx context.Context) {
	if s.unsure && s.locate(ctx) != nil {
		return
	}
	hits, end, err := s.spool.read(s.at, 1)
	if err == nil {
		err = s.store(ctx, nil, end)
	}
	if err != nil || len(hits) == 0 {
		return // tried again
	}
	s.Stats.Lost.Add(1)
	s.Logger.Error("an open or click that cannot be recorded is left out", "time", hits[0].at)
}

// batch makes events of up to limit hits and returns how many hits there were.
func (s *Service) batch(ctx context.Context, limit int) (int, error) {
	if s.unsure {
		if err := s.locate(ctx); err != nil {
			return 0, err
		}
	}
	hits, end, err := s.spool.read(s.at, limit)
	if err != nil {
		return 0, err
	}
	if len(hits) == 0 {
		s.at = end
		return 0, s.spool.done(end)
	}
	tokens := make([]linktoken.Token, len(hits))
	for i := range hits {
		// Only what could be opened was kept; with another secret it is nothing.
		tokens[i], _ = s.Key.Open(hits[i].token)
		s.habits.see(&hits[i], tokens[i])
	}
	var events []*event.Event
	for i := range hits {
		if hits[i].flags&flagHead != 0 {
			continue
		}
		e, err := s.event(ctx, &hits[i], tokens[i])
		if err != nil {
			return 0, err
		}
		if e == nil {
			s.Stats.Dropped.Add(1)
			continue
		}
		if err := s.Events.Seal(e); err != nil {
			return 0, err
		}
		events = append(events, e)
	}
	if err := s.store(ctx, events, end); err != nil {
		return 0, err
	}
	return len(hits), s.spool.done(end)
}

// store records events and how far the spool has been read.
func (s *Service) store(ctx context.Context, events []*event.Event, end position) error {
	err := s.DB.Write(ctx, func(tx *db.Tx) error {
		for _, e := range events {
			if e.Doc.ClientInfo.Bot == "" {
				first, err := claimFirst(tx, e)
				if err != nil {
					return err
				}
				e.First = first
			}
			if err := s.Events.Stage(tx, e); err != nil {
				return err
			}
		}
		return movePosition(tx, s.Node, s.stored, end)
	})
	if err != nil {
		s.unsure = true // it may have taken effect all the same
		return err
	}
	s.at, s.stored = end, end
	for _, e := range events {
		s.Stats.count(e)
	}
	return nil
}

// event returns the event a hit is, nil if nothing is known of its message.
func (s *Service) event(ctx context.Context, h *hit, t linktoken.Token) (*event.Event, error) {
	kind := event.Opened
	if t.Kind == linktoken.Click {
		kind = event.Clicked
	}
	about, accepted, err := s.about(ctx, t)
	if err != nil || about == nil {
		return nil, err
	}
	e := about.Reaction(kind)
	doc := &e.Doc
	doc.Timestamp, doc.URL = event.Timestamp(h.at.UnixMicro()), t.URL
	if h.ip.IsValid() {
		doc.IP = h.ip.String()
	}
	client := s.agents.Parse(h.agent)
	doc.ClientInfo = clientInfo(h.agent, client)
	doc.ClientInfo.Bot = string(s.bot(h, t, client.Bot, accepted))
	place := s.Places.Lookup(h.ip)
	doc.Geolocation = &event.Geolocation{Country: place.Country, Region: place.Region, City: place.City}
	if kind == event.Clicked && doc.ClientInfo.Bot == "" {
		e.TimeZone = place.TimeZone
	}
	return e, nil
}

// about returns an event about the message and recipient of a token, and when the
// message was accepted. A message whose retention is over is known from its
// events. It is nil when neither is there any more, or the domain is not.
func (s *Service) about(ctx context.Context, t linktoken.Token) (e *event.Event, accepted time.Time, err error) {
	if t.Kind != linktoken.Click && t.Kind != linktoken.Open {
		return nil, accepted, nil
	}
	m, err := s.Messages.ByID(ctx, t.Message)
	switch {
	case err == nil:
		accepted = m.CreatedAt
		if m.Meta.Batch && m.Meta.List == nil && m.Meta.Vars == nil { // too large to keep: events have them in place
			e, err = s.fromEvents(ctx, t)
		}
		if err == nil && e == nil {
			e = m.EventFor(event.Opened, t.Recipient, "")
		}
		if err != nil {
			return nil, accepted, err
		}
	case !errs.Is(err, errs.NotFound):
		return nil, accepted, err
	default:
		if e, err = s.fromEvents(ctx, t); err != nil || e == nil {
			return nil, accepted, err
		}
	}
	d, err := s.Domains.ByID(ctx, e.DomainID)
	if errs.Is(err, errs.NotFound) {
		return nil, accepted, nil
	}
	if err != nil {
		return nil, accepted, err
	}
	e.AccountID = d.AccountID
	return e, accepted, nil
}

func (s *Service) fromEvents(ctx context.Context, t linktoken.Token) (*event.Event, error) {
	k := keyOf(t.Message, t.Recipient)
	if e, ok := s.gone.Get(k); ok {
		return e, nil
	}
	e, err := s.Events.About(ctx, t.Message, t.Recipient)
	if err == nil {
		s.gone.Put(k, e)
	}
	return e, err
}

// ClientInfo describes the client of a User-Agent as events do.
func (s *Service) ClientInfo(agent string) *event.ClientInfo {
	c := s.agents.Parse(agent)
	info := clientInfo(agent, c)
	info.Bot = string(c.Bot)
	return info
}

func clientInfo(agent string, c useragent.Client) *event.ClientInfo {
	return &event.ClientInfo{ClientType: c.Type, ClientOS: c.OS, DeviceType: c.Device, ClientName: c.Name, UserAgent: agent}
}
