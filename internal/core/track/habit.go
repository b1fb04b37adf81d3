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
	burst    = 3               // different links of a message
	burstIn  = time.Second     // within which they are followed
	headFor  = 2 * time.Second // how long after a HEAD a GET of the same client belongs to it
	keptHits = 16              // of a recipient and message
)

// habits remember what was followed lately, to tell a machine by what it does:
// most link scanners call themselves a browser.
type habits struct{ m *recent.Map[key, []step] }

type step struct {
	at   time.Time
	head bool
	link int64 // hash of the destination
	ip   netip.Addr
}

func newHabits() *habits { return &habits{recent.New[key, []step](4 << 10)} }

// see takes note of a hit. Seeing one again changes nothing.
func (b *habits) see(h *hit, t linktoken.Token) {
	if t.Kind != linktoken.Click && h.flags&flagHead == 0 {
		return
	}
	k := keyOf(t.Message, t.Recipient)
	list, _ := b.m.Get(k)
	s := step{h.at, h.flags&flagHead != 0, event.Hash(t.URL), h.ip}
	if slices.Contains(list, s) {
		return
	}
	if len(list) >= keptHits {
		list = list[1:]
	}
	b.m.Put(k, append(slices.Clip(list), s))
}

// scans reports whether a hit looks like a scanner's: it was asked for with HEAD
// just before, or belongs to a burst.
func (b *habits) scans(h *hit, t linktoken.Token) bool {
	list, _ := b.m.Get(keyOf(t.Message, t.Recipient))
	link := event.Hash(t.URL)
	links := map[int64]bool{}
	for _, s := range list {
		if s.head && s.link == link && s.ip == h.ip && !s.at.After(h.at) && h.at.Sub(s.at) <= headFor {
			return true
		}
		if !s.head && t.Kind == linktoken.Click && s.at.Sub(h.at).Abs() <= burstIn {
			links[s.link] = true
		}
	}
	return len(links) >= burst
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
