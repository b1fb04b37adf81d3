package message

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"postroad/internal/base/blob"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/netx"
	"postroad/internal/base/recent"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/ippool"
	"postroad/internal/core/queue"
	"postroad/internal/core/template"
	"postroad/internal/core/timing"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/report"
)

// Limits of a message. Mailgun: documented limits.
const (
	MaxRecipients = 1000
	MaxOptions    = 16 << 10
	MaxFiles      = 1000      // attachments and inline files
	MaxDeliveries = 10_000    // copies one request makes: a batch multiplies to with cc and bcc
	maxVarsBytes  = 100 << 20 // of recipient variables in all copies
	idemFor       = 24 * time.Hour
)

// Config is what the service is made of.
type Config struct {
	DB      *db.DB
	IDs     *ids.Source
	Blobs   *blob.Store
	Events  *event.Service
	Queue   *queue.Queue
	Domains *domain.Service
	Logger  *slog.Logger

	MaxBytes  int64         // of a message after decompression
	Retention time.Duration // of stored messages whose domain says nothing
	GiveUp    time.Duration // how long delivery is tried at most
	Returns   report.Secret // signs return paths
	Hostname  string        // of this server, which reports are from
	APIBase   string        // scheme://host for storage URLs of messages that did not come by HTTP
	Dev       bool          // domains are made on first use
	Capture   bool          // mail is looked at instead of delivered
	MaxMemory int64         // bytes of messages being received at the same time; 0 means 512 MB
	Refuse    func() error  // says why no mail is taken now, nil when it is; may be nil
	URLs      bool          // whoever works the queue delivers to http and https URLs as well

	// TrackBase is scheme://host of the links in mail of a domain; nil: APIBase.
	TrackBase func(*domain.Domain) string
	// LinkKey makes the links of messages with Meta.Track; nil: these go out as they
	// are.
	LinkKey *linktoken.Key
	// UnsubscribeAddress returns the address by which the recipient of a copy leaves,
	// the same each time, "" for none; nil: there are no such addresses.
	UnsubscribeAddress func(m *Message, recipient string) string

	// Template finds a version of a stored template; the active one where version
	// is empty. Invalid says that there is none. May be nil.
	Template func(ctx context.Context, dom *domain.Domain, name, version string) (*template.Version, error)
	// Divert takes recipients out of a submission that are no mailboxes but
	// mailing lists, and returns a submission with an Audience for each; nil where
	// there is none. It may change sub. May be nil.
	Divert func(ctx context.Context, sub *Submission) ([]*Submission, error)
	// Members returns recipients of an audience, see Page; nil when nothing has
	// one.
	Members func(ctx context.Context, q Page) (Members, error)
	// Timing chooses when mail leaves that is to be there at the best time; nil: it
	// leaves at once.
	Timing *timing.Service
}

// Service takes in and keeps messages.
type Service struct {
	Config
	memory *memory
	others *memory // the part of it for messages from outside
	clock  clock.Clock
	wake   chan struct{} // of RunExpansion
	cache  *recent.Map[int64, *Message]
	bodies *recent.Map[int64, []byte] // small ones of the latest messages: most are delivered at once
}

// Bodies up to cachedBody bytes of the last cachedBodies messages stay in
// memory.
const (
	cachedBody   = 16 << 10
	cachedBodies = 1024
)

// New returns the service.
func New(c Config) *Service {
	if c.MaxMemory == 0 {
		c.MaxMemory = 512 << 20
	}
	all := &memory{max: c.MaxMemory}
	return &Service{Config: c, memory: all, others: &memory{max: max(c.MaxMemory/2, copies*(c.MaxBytes+1)), of: all}, clock: c.DB.Clock(), wake: make(chan struct{}, 1), cache: recent.New[int64, *Message](1024),
		bodies: recent.New[int64, []byte](cachedBodies)}
}

// Submission is a message ready to be taken: complete MIME without a DKIM
// signature, and the envelope.
type Submission struct {
	Domain     *domain.Domain
	MIME       []byte
	MessageID  string // without brackets
	Recipients []Recipient
	Meta       Meta
	Request    Request
	// Store keeps a message from outside for whoever fetches it, with a stored
	// event; it needs no recipients then.
	Store bool
	// Audience, if not 0, names recipients that are added after the submission is
	// taken, see RunExpansion; there are no others then.
	Audience int64

	IdempotencyKey string
	BodyHash       [sha256.Size]byte // of the request, for IdempotencyKey
}

// Submit stores the message and queues its deliveries. When it returns without
// error the message is on disk. The result's MessageID is that of the first
// submission when the idempotency key was seen before, and replayed is true.
func (s *Service) Submit(ctx context.Context, sub *Submission) (m *Message, replayed bool, err error) {
	if len(sub.Recipients) == 0 && sub.Audience == 0 && !sub.Store {
		return nil, false, errs.New(errs.Invalid, "to parameter is missing")
	}
	if s.Refuse != nil {
		if err := s.Refuse(); err != nil {
			return nil, false, err
		}
	}
	if err := s.check(ctx, sub); err != nil {
		return nil, false, err
	}
	if sub.IdempotencyKey != "" { // most repetitions end here, before anything is written
		id, err := s.replayed(ctx, sub)
		if err != nil || id != "" {
			return &Message{MessageID: id}, true, err
		}
	}
	parts, err := s.parts(ctx, sub)
	if err != nil {
		return nil, false, err
	}
	ready := make([]*pending, len(parts))
	for i, p := range parts {
		if ready[i], err = s.ready(ctx, p); err != nil {
			return nil, false, err
		}
	}
	m = ready[0].m
	var earlier string
	err = s.DB.Group(ctx, func(tx *db.Tx) error {
		earlier = ""
		if sub.IdempotencyKey != "" {
			var err error
			if earlier, err = s.seenBefore(tx, sub, m); err != nil || earlier != "" {
				return err
			}
		}
		return s.stageAll(tx, ready)
	})
	if err != nil {
		return nil, false, storageError(err)
	}
	if earlier != "" {
		m.MessageID = earlier
		return m, true, nil
	}
	return m, false, nil
}

// parts returns what becomes a message of its own: the submission, unless all
// its recipients are mailing lists, and one for each of these.
func (s *Service) parts(ctx context.Context, sub *Submission) ([]*Submission, error) {
	if s.Divert == nil || sub.Audience != 0 || sub.Meta.Foreign || sub.Meta.Report {
		return []*Submission{sub}, nil
	}
	posts, err := s.Divert(ctx, sub)
	if err != nil || len(sub.Recipients) == 0 {
		return posts, err
	}
	return append([]*Submission{sub}, posts...), nil
}

// pending is a message whose body is stored and whose rows are not.
type pending struct {
	m        *Message
	row      []any
	list     []*queue.Delivery
	accepted []*event.Event
	audience int64
	notice   *Notice // to the sender; mostly nil
}

// ready does what needs no transaction.
func (s *Service) ready(ctx context.Context, sub *Submission) (*pending, error) {
	p := &pending{m: s.prepare(sub), audience: sub.Audience}
	var err error
	if p.m.Blob, err = s.Blobs.Append(ctx, sub.MIME); err != nil {
		return nil, storageError(err)
	}
	if len(sub.MIME) <= cachedBody {
		s.bodies.Put(p.m.ID, sub.MIME)
	}
	if sub.Audience != 0 {
		if p.notice, err = s.posted(ctx, p.m); err != nil {
			return nil, err
		}
		p.accepted, err = s.acceptedPost(p.m)
	} else {
		when := s.times(ctx, p.m, sub, p.m.CreatedAt)
		p.list = s.deliveries(p.m, sub, p.m.CreatedAt, when)
		p.accepted, err = s.acceptedEvents(p.m, p.list, when)
		p.list = append(p.list, s.archived(p.m, p.list)...)
	}
	if err == nil && sub.Store {
		err = s.storedEvent(p)
	}
	if err != nil {
		return nil, err
	}
	p.row, err = encode(p.m)
	return p, err
}

func (s *Service) stage(tx *db.Tx, p *pending) error {
	stageMessage(tx, p.row)
	s.Queue.Stage(tx, p.list)
	if p.audience != 0 {
		stageExpansion(tx, p.m, p.audience)
		tx.AfterCommit(s.wakeExpansion)
	}
	if p.notice != nil {
		if err := p.notice.Stage(tx); err != nil {
			return err
		}
	}
	return s.stageEvents(tx, p.accepted)
}

func (s *Service) stageEvents(tx *db.Tx, list []*event.Event) error {
	for _, e := range list {
		if err := s.Events.Stage(tx, e); err != nil {
			return err
		}
	}
	return nil
}

// storedEvent adds that the message can be fetched. Mailgun: it has no recipient.
func (s *Service) storedEvent(p *pending) error {
	e := p.m.Event(event.Stored, "")
	e.Doc.Envelope.Targets = strings.Join(p.m.Meta.Recipients, ", ")
	e.Doc.Flags.IsRouted = true
	e.Doc.Message.Recipients = p.m.Meta.Recipients
	p.accepted = append(p.accepted, e)
	return s.Events.Seal(e)
}

// check refuses what would be too much, and a domain that was deleted while the
// message was on its way in.
func (s *Service) check(ctx context.Context, sub *Submission) error {
	copies, to, size := 0, 0, 0
	for _, r := range sub.Recipients {
		size += len(r.Vars)
		if r.Copy {
			copies++
		} else {
			to++
		}
	}
	if sub.Meta.Batch && to*(1+copies) > MaxDeliveries {
		return errs.New(errs.Invalid, "Too many recipients: with cc and bcc this batch makes %d messages, max is %d", to*(1+copies), MaxDeliveries)
	}
	if size*(1+copies) > maxVarsBytes {
		return errs.New(errs.Invalid, "Too many recipients: recipient variables and cc and bcc make more than %d MB", maxVarsBytes>>20)
	}
	_, err := s.Domains.ByID(ctx, sub.Domain.ID)
	if errs.Is(err, errs.NotFound) {
		return errs.New(errs.Unauthorized, "Forbidden").WithHint("domain %s was deleted", sub.Domain.Name)
	}
	return err
}

// replayed returns the message id of an earlier use of the idempotency key.
func (s *Service) replayed(ctx context.Context, sub *Submission) (id string, err error) {
	err = s.DB.Read(ctx, func(tx *db.Tx) error {
		id, err = earlierUse(tx, sub)
		return err
	})
	return id, err
}

// storageError tells a client to come back when the store is full or failing;
// errors with a public face pass.
func storageError(err error) error {
	var e *errs.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, blob.ErrNoSpace), db.IsFull(err):
		return errs.Wrap(errs.Unavailable, err, "no space left to store messages, try again later")
	}
	return errs.Wrap(errs.Unavailable, err, "the message could not be stored, try again later")
}

func (s *Service) prepare(sub *Submission) *Message {
	now, id := s.clock.Now().UTC().Truncate(time.Microsecond), s.IDs.Next()
	m := &Message{
		ID: id, AccountID: sub.Domain.AccountID, DomainID: sub.Domain.ID, Domain: sub.Domain.Name,
		StorageKey: storageKey(id), MessageID: sub.MessageID, Size: int64(len(sub.MIME)),
		Meta: sub.Meta, Request: sub.Request, CreatedAt: now,
	}
	m.Meta.Track = s.track(sub)
	m.Sender = s.ReturnPath(m, "")
	ttl := s.Retention
	if t := sub.Domain.Settings.MessageTTL; t > 0 && t != domain.DefaultTTL {
		ttl = time.Duration(sub.Domain.Settings.MessageTTL) * time.Second
	}
	m.ExpiresAt = now.Add(ttl)
	base := s.APIBase
	if sub.Meta.StorageURL != "" {
		base = sub.Meta.StorageURL // the base under which the client reached us
	}
	m.Meta.StorageURL = base + "/v3/domains/" + m.Domain + "/messages/" + m.StorageKey
	return m
}

// storageKey names a stored message in URLs. It holds the row id, by which the
// message is found; the rest cannot be guessed. Mailgun: letters and digits,
// beginning BAAB.
func storageKey(id int64) string { return keyHead + ordered(id) + ids.Token(22) }

const keyHead = "BAAB"

// keyID returns the row id in a storage key, 0 when it is none. Whether the
// rest of the key is right only the row tells.
func keyID(key string) int64 {
	rest, ok := strings.CutPrefix(key, keyHead)
	if !ok || len(rest) < orderedLen {
		return 0
	}
	var b [8]byte
	n, err := orderedText.Decode(b[:], []byte(rest[:orderedLen]))
	if err != nil || n != len(b) {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b[:]))
}

// orderedLen is the length of what ordered writes.
const orderedLen = 13

var orderedText = base32.HexEncoding.WithPadding(base32.NoPadding)

// ordered writes an id in 13 characters that sort as the ids do.
func ordered(id int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	return orderedText.EncodeToString(b[:])
}

// ReturnPath is the envelope sender of a copy: an address of the sending domain
// that names the message and the recipient, "" for a copy that several share, so
// that a bounce can be traced to them and SPF aligns. Nobody else can make one, and
// who has one cannot make a bounce of another's copy. A report about mail has none.
func (s *Service) ReturnPath(m *Message, recipient string) string {
	if m.Meta.Report {
		return ""
	}
	id := report.ID{Message: m.ID}
	if recipient != "" {
		id.Delivery = report.Copy(&s.Returns, m.ID, recipient)
	}
	return report.ReturnPath(&s.Returns, id, m.Domain)
}

// deliveries makes one delivery per recipient, at the time at or the one chosen
// for the recipient. In a batch each recipient gets an own copy, and cc and bcc get
// the copy of every recipient (Mailgun). A delivery with variables shares no SMTP
// transaction with another.
func (s *Service) deliveries(m *Message, sub *Submission, at time.Time, when map[string]timing.Choice) []*queue.Delivery {
	o := &m.Meta.Options
	earliest := max(at.UnixMicro(), o.DeliveryTime)
	within := s.GiveUp.Microseconds()
	if o.DeliverWithin > 0 {
		within = o.DeliverWithin * 1e6 // Mailgun: from the time scheduled
	}
	tag := ""
	if len(o.Tags) > 0 {
		tag = o.Tags[0]
	}
	pool := poolOf(o, sub.Domain)
	var out []*queue.Delivery
	add := func(r *Recipient, vars string) {
		due := earliest
		if c, ok := when[r.Address]; ok {
			due = c.At.UnixMicro()
		}
		out = append(out, &queue.Delivery{ID: s.IDs.Next(), MessageID: m.ID, DomainID: m.DomainID, AccountID: m.AccountID,
			Recipient: r.Address, Destination: destination(r.Address), Tag: tag, Pool: pool, Due: due, Deadline: due + within, Vars: vars, Payload: m})
	}
	for i := range sub.Recipients {
		r := &sub.Recipients[i]
		switch {
		case r.Routed != nil, !m.Meta.Batch && m.Meta.Track != nil:
			add(r, varsOf(r))
			continue
		case !m.Meta.Batch:
			add(r, "")
			continue
		}
		if r.Copy {
			continue
		}
		v := varsOf(r)
		add(r, v)
		for j := range sub.Recipients {
			if sub.Recipients[j].Copy {
				add(&sub.Recipients[j], v)
			}
		}
	}
	return out
}

// poolOf is the pool of addresses to send from: what the message says, else
// what its domain says. Mailgun: an address goes before a pool.
func poolOf(o *Options, d *domain.Domain) string {
	if ip, err := netip.ParseAddr(o.SendingIP); err == nil {
		return ippool.Address(ip.Unmap().String())
	}
	if o.SendingIPPool != "" {
		return shorten(o.SendingIPPool, 100)
	}
	return d.Settings.PoolID
}

func varsOf(r *Recipient) string {
	b, err := json.Marshal(Vars{To: r.Header, Target: r.Address, Vars: r.Vars, Links: r.Links, Routed: r.Routed})
	if err != nil {
		return "{}" // cannot be: a string and JSON that was parsed
	}
	return string(b)
}

// destination is where a recipient's mail goes: the domain of an address in
// A-labels, or scheme and host of a URL.
func destination(recipient string) string {
	if netx.IsURL(recipient) {
		if u, err := url.Parse(recipient); err == nil {
			return strings.ToLower(u.Scheme + "://" + u.Host)
		}
	}
	return domainPart(recipient)
}

// hostOf is the host of a URL, "" for what is none.
func hostOf(place string) string {
	u, err := url.Parse(place)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func domainPart(mailbox string) string {
	d := mailbox[strings.LastIndexByte(mailbox, '@')+1:]
	if a, err := addr.ParseMailbox("x@" + d); err == nil {
		return strings.TrimPrefix(a.ASCII(), "x@")
	}
	return strings.ToLower(d)
}

func (s *Service) acceptedEvents(m *Message, list []*queue.Delivery, when map[string]timing.Choice) ([]*event.Event, error) {
	out := make([]*event.Event, 0, len(list))
	for _, d := range list {
		e := m.EventFor(event.Accepted, d.Recipient, d.Vars)
		e.Doc.Method = m.Meta.Method
		e.Doc.APIKeyID = m.Meta.KeyID
		e.Doc.OriginatingIP = m.Meta.RemoteIP
		if m.Meta.List == nil && len(list) == 1 || !m.Meta.Batch && len(m.Meta.Recipients) <= 10 {
			e.Doc.Message.Recipients = m.Meta.Recipients
		} else {
			e.Doc.Message.Recipients = []string{d.Recipient} // a list per event would grow with its square
		}
		if err := explain(e, when); err != nil {
			return nil, err
		}
		if err := s.Events.Seal(e); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// seenBefore looks the idempotency key up and, when it is new, records it. It
// returns the message id of the first use.
func (s *Service) seenBefore(tx *db.Tx, sub *Submission, m *Message) (string, error) {
	id, err := earlierUse(tx, sub)
	if err != nil || id != "" {
		return id, err
	}
	return "", insertIdempotent(tx, m.AccountID, sub.IdempotencyKey, sub.BodyHash[:], m.MessageID, tx.Now+idemFor.Microseconds())
}

// earlierUse returns the message id of an earlier use of the key, "" when there
// is none; a different request with the same key is a conflict.
func earlierUse(tx *db.Tx, sub *Submission) (string, error) {
	id, hash, err := findIdempotent(tx, sub.Domain.AccountID, sub.IdempotencyKey)
	switch {
	case errors.Is(err, db.ErrNoRows):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("idempotency: %w", err)
	case string(hash) != string(sub.BodyHash[:]):
		return "", errs.New(errs.Conflict, "Idempotency-Key was used before with a different request")
	}
	return id, nil
}
