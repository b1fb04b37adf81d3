// Package suppress keeps the addresses a domain does not send to, and those it
// always may: bounces, complaints, unsubscribes and the allowlist are one
// mechanism with four kinds.
//
// It is a sink of events: a hard bounce, a complaint or an unsubscribe adds its
// address in the transaction of the event. deliver asks Check before the first
// attempt; a suppressed recipient fails without one.
//
// Tables: suppression. lookup is the canonical form of the address; address is
// the form it was given in. An unsubscribe has one row per tag, so that adding
// a tag never removes another; the other kinds have one row per address. cause is
// what put it there (Cause). suppression_import and those that begin with its
// name: files that are imported in the background (RunImports).
package suppress

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/event"
)

// Kind is one of the four lists.
type Kind string

// The kinds, named as in the API's paths.
const (
	Bounces      Kind = "bounces"
	Complaints   Kind = "complaints"
	Unsubscribes Kind = "unsubscribes"
	Allowlist    Kind = "whitelists"
)

// everyTag stands for all of a domain's mail. Mailgun: tags ["*"].
const everyTag = "*"

// Entry is one address on one list.
type Entry struct {
	Kind      Kind
	DomainID  int64
	Address   string // of an allowlist entry: an address or a domain name
	Tag       string // of an unsubscribe: one tag, or "*" for the whole domain
	Code      string // of a bounce: the reply code
	Reason    string // of a bounce: the reply; of an allowlist entry: why
	MessageID string // Message-Id of the message that caused it, "" when added by hand
	CreatedAt int64  // microseconds; 0 when adding means now
	Cause     Cause
}

// Service checks and changes the lists.
type Service struct {
	db  *db.DB
	ids *ids.Source
	log *slog.Logger

	wake      chan struct{} // an import waits
	receiving chan struct{} // files of imports that are coming in

	mu    sync.RWMutex
	seen  map[int64]presence
	added uint64 // grows with every addition, so that an older read is not remembered
}

// presence says whether a domain had any entry, and when that was so.
type presence struct {
	any bool
	at  time.Time
}

// presentFor is how long a domain is taken to have no entry without asking
// again; entries added by this process end it at once, those of another node
// count after it at the latest.
const presentFor = 5 * time.Second

// New returns the service.
func New(d *db.DB, source *ids.Source, log *slog.Logger) *Service {
	return &Service{db: d, ids: source, log: log, seen: map[int64]presence{},
		wake: make(chan struct{}, 1), receiving: make(chan struct{}, maxReceived)}
}

// Verdict says why an address is suppressed, in the words of the event.
type Verdict struct {
	Code    int    // delivery-status code: 605, 606 or 607
	Reason  string // event reason
	Message string
}

// Mailgun: codes and texts of suppressed recipients.
var verdicts = map[Kind]Verdict{
	Bounces:      {605, "suppress-bounce", "Not delivering to previously bounced address"},
	Unsubscribes: {606, "suppress-unsubscribe", "Not delivering to unsubscribed address"},
	Complaints:   {607, "suppress-complaint", "Not delivering to a user who marked your messages as spam"},
}

// Check returns the verdict on sending a message with tags from the domain to
// address, nil when it may be sent.
func (s *Service) Check(ctx context.Context, domainID int64, address string, tags []string) (*Verdict, error) {
	now := s.db.Clock().Now()
	s.mu.RLock()
	last, added := s.seen[domainID], s.added
	s.mu.RUnlock()
	fresh := !last.at.IsZero() && now.Sub(last.at) < presentFor
	if fresh && !last.any {
		return nil, nil
	}
	present := true
	found, err := lookUp(ctx, s.db, domainID, key(address))
	if err == nil && len(found) == 0 && !fresh {
		present, err = hasAny(ctx, s.db, domainID)
	}
	if err != nil {
		return nil, fmt.Errorf("suppressions: %w", err)
	}
	if !fresh {
		s.remember(domainID, presence{present, now}, added)
	}
	return judge(found, tags), nil
}

// remember keeps what was read, unless an entry was added since: the read may
// have been too early to see it.
func (s *Service) remember(domainID int64, p presence, added uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.added == added {
		s.seen[domainID] = p
	}
}

// forget makes the next Check ask again.
func (s *Service) forget(domainID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.added++
	delete(s.seen, domainID)
}

// judge applies the kinds in the order complaint, unsubscribe, bounce: the
// recipient's own word counts most.
func judge(found []Entry, tags []string) *Verdict {
	var best *Verdict
	for _, e := range found {
		v, ok := verdicts[e.Kind]
		if !ok || e.Kind == Unsubscribes && !covers(e.Tag, tags) {
			continue
		}
		if best == nil || v.Code > best.Code {
			best = &v
		}
	}
	return best
}

// covers reports whether an unsubscribe of tag concerns a message with tags.
// Mailgun: tags are the same in any case.
func covers(tag string, tags []string) bool {
	if tag == everyTag || tag == "" {
		return true
	}
	for _, t := range tags {
		if strings.EqualFold(t, tag) {
			return true
		}
	}
	return false
}

// Add puts an entry on its list, replacing an older one of the same address
// (of an unsubscribe: of the same address and tag).
func (s *Service) Add(tx *db.Tx, e Entry) error { return s.add(tx, []Entry{e}) }

func (s *Service) add(tx *db.Tx, entries []Entry) error {
	rows := distinct(entries, s.ids.Next)
	for i := range rows {
		if rows[i].CreatedAt == 0 {
			rows[i].CreatedAt = tx.Now
		}
	}
	if err := upsert(tx, rows); err != nil {
		return fmt.Errorf("add suppressions: %w", err)
	}
	domains := map[int64]bool{}
	for i := range rows {
		domains[rows[i].DomainID] = true
	}
	tx.AfterCommit(func() {
		for id := range domains {
			s.forget(id)
		}
	})
	return nil
}

// Event implements event.Sink.
func (s *Service) Event(tx *db.Tx, e *event.Event) error {
	n, ok := entryOf(e)
	if !ok {
		return nil
	}
	n.Cause = causeOf(e)
	if n.Kind == Bounces {
		allowed, err := isAllowed(tx, e.DomainID, key(n.Address))
		if err != nil {
			return fmt.Errorf("allowlist: %w", err)
		}
		if allowed {
			return nil
		}
	}
	return s.add(tx, n.each(e.Leave))
}

// entryOf returns what an event adds. Mailgun: only a hard bounce of the
// recipient itself is listed, not policy refusals or giving up after retries.
func entryOf(e *event.Event) (Entry, bool) {
	d := &e.Doc
	n := Entry{DomainID: e.DomainID, Address: d.Recipient}
	if d.Message != nil {
		n.MessageID = d.Message.Headers.MessageID
	}
	switch {
	case d.Flags != nil && d.Flags.IsTestMode:
		return n, false
	case d.Event == event.Failed && d.Severity == event.Permanent && d.Reason == "bounce":
		n.Kind, n.Code = Bounces, defaultCode
		if st := d.DeliveryStatus; st != nil {
			n.Code, n.Reason = strconv.Itoa(st.Code), st.Message
		}
	case d.Event == event.Complained:
		n.Kind = Complaints
	case d.Event == event.Unsubscribed && d.MailingList == nil: // else from that list only
		n.Kind, n.Tag = Unsubscribes, everyTag
	default:
		return n, false
	}
	return n, n.Address != ""
}
