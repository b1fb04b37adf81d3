package track

import (
	"net/netip"
	"slices"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/recent"
	"postroad/internal/core/event"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/useragent"
)

// key is a recipient of a message.
type key struct{ message, recipient int64 }

func keyOf(message int64, recipient string) key { return key{message, event.Hash(recipient)} }

// arrivalsKept is how many of the latest arrivals are known: those of some
// seconds at full speed.
const arrivalsKept = 32 << 10

// Arrivals remember when messages were delivered lately: who follows a link a
// second later has not read it. They are a sink of events.
type Arrivals struct{ m *recent.Map[key, time.Time] }

// NewArrivals returns Arrivals that know of none.
func NewArrivals() *Arrivals { return &Arrivals{recent.New[key, time.Time](arrivalsKept)} }

// Event implements event.Sink.
func (a *Arrivals) Event(tx *db.Tx, e *event.Event) error {
	if e.Doc.Event == event.Delivered && e.MessageID != 0 {
		k, at := keyOf(e.MessageID, e.Doc.Recipient), e.Doc.Timestamp.Time()
		tx.AfterCommit(func() { a.m.Put(k, at) })
	}
	return nil
}

// Bounds of what scanners do and people do not.
const (
	burst     = 3               // different links of a message
	burstIn   = time.Second     // within which they are followed
	headFor   = 2 * time.Second // how long after a HEAD a GET of the same client belongs to it
	keptSteps = 8               // of a recipient and message
)

// habits remember what was followed lately, to tell a machine by what it does:
// most link scanners call themselves a browser.
type habits struct{ m *recent.Map[key, habit] }

// habit is what a recipient did with a message.
type habit struct {
	steps    []step    // the latest
	from, to time.Time // of the latest burst
}

type step struct {
	at   time.Time
	head bool
	link int64 // hash of the destination
	ip   netip.Addr
}

func newHabits() *habits { return &habits{recent.New[key, habit](4 << 10)} }

// see takes note of a hit. Seeing one again changes nothing.
func (b *habits) see(h *hit, t linktoken.Token) {
	head := h.flags&flagHead != 0
	if t.Kind != linktoken.Click && !head {
		return
	}
	k := keyOf(t.Message, t.Recipient)
	hb, _ := b.m.Get(k)
	s := step{h.at, head, event.Hash(t.URL), h.ip}
	if n := len(hb.steps); slices.Contains(hb.steps, s) || n > 0 && h.at.Before(hb.steps[n-1].at.Add(-burstIn)) {
		return
	}
	hb.steps = append(slices.Clone(hb.steps[max(0, len(hb.steps)-keptSteps+1):]), s)
	if from, ok := burstBefore(hb.steps, h.at); ok && !head {
		if hb.to.Before(from) { // another one
			hb.from = from
		}
		hb.to = h.at
	}
	b.m.Put(k, hb)
}

// burstBefore returns when a burst began that is under way at a time.
func burstBefore(list []step, at time.Time) (from time.Time, ok bool) {
	links := map[int64]bool{}
	for _, s := range list {
		if since := at.Sub(s.at); s.head || since < 0 || since >= burstIn {
			continue
		}
		if len(links) == 0 {
			from = s.at
		}
		links[s.link] = true
	}
	return from, len(links) >= burst
}

// scans reports whether a hit looks like a scanner's: it was asked for with HEAD
// just before, or belongs to a burst.
func (b *habits) scans(h *hit, t linktoken.Token) bool {
	hb, _ := b.m.Get(keyOf(t.Message, t.Recipient))
	if t.Kind == linktoken.Click && !h.at.Before(hb.from) && !h.at.After(hb.to) {
		return true
	}
	link := event.Hash(t.URL)
	return slices.ContainsFunc(hb.steps, func(s step) bool {
		since := h.at.Sub(s.at)
		return s.head && s.link == link && s.ip == h.ip && since >= 0 && since <= headFor
	})
}

// bot says what kind of machine a hit is of, if any, given what its User-Agent
// says and when the message was accepted (zero if not known).
func (s *Service) bot(h *hit, t linktoken.Token, says useragent.Bot, accepted time.Time) useragent.Bot {
	click := t.Kind == linktoken.Click
	switch {
	case says == useragent.Apple && click:
		return useragent.Generic // Apple's relays fetch images only
	case says != useragent.Human:
		return says
	case h.flags&flagPrefetch != 0, s.habits.scans(h, t):
		return useragent.Generic
	case !s.hasty(h, t, accepted):
		return useragent.Human
	case click:
		return useragent.Generic
	case useragent.Proxy(h.agent):
		// The proxy fetches a picture when somebody looks at the message, but at its
		// arrival nobody has.
		return useragent.Gmail
	}
	return useragent.Human
}

// hasty reports whether a hit came with the message's arrival.
func (s *Service) hasty(h *hit, t linktoken.Token, accepted time.Time) bool {
	if s.Haste == 0 {
		return false
	}
	if at, ok := s.Arrivals.m.Get(keyOf(t.Message, t.Recipient)); ok && h.at.Before(at.Add(s.Haste)) {
		return true
	}
	return h.at.Before(accepted.Add(s.Haste))
}
