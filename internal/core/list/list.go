package list

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/mail/addr"
)

// Access says who may post.
type Access string

// The access levels. Mailgun: the names.
const (
	Readonly    Access = "readonly" // the account only, by API or authenticated SMTP
	MembersOnly Access = "members"  // subscribed members as well
	Everyone    Access = "everyone"
)

// Reply says where replies go.
type Reply string

// The reply preferences. Mailgun: the names; a readonly list has ToSender
// whatever it says.
const (
	ToList   Reply = "list"
	ToSender Reply = "sender"
)

// List is a mailing list.
type List struct {
	ID          int64
	AccountID   string
	DomainID    int64
	Address     string // mailbox
	Name        string
	Description string
	Access      Access
	Reply       Reply
	ListID      string // given by the client for events, "" for none
	Members     int64
	CreatedAt   int64 // microseconds
}

// replies is where replies go in effect.
func (l *List) replies() Reply {
	if l.Access == Readonly {
		return ToSender
	}
	return l.Reply
}

// Config is what the service is made of.
type Config struct {
	DB       *db.DB
	IDs      *ids.Source
	Logger   *slog.Logger
	Events   *event.Service
	Messages *message.Service
	Domains  *domain.Service
	// Owned returns the caller's domain of that name, NotFound otherwise.
	Owned   func(ctx context.Context, c *account.Caller, name string) (*domain.Domain, error)
	BaseURL string // scheme://host of links to leave a list
	Secret  []byte // the installation's master secret
}

// Service keeps lists. Its methods are safe for concurrent use.
type Service struct {
	Config
	key     []byte // of the links to leave a list
	wake    chan struct{}
	reading chan struct{} // CSV files being received

	// domains have lists; what is sent elsewhere is not looked up. One program
	// serves one database, so nobody else adds any.
	domains    atomic.Pointer[map[string]bool]
	refreshing sync.Mutex
}

// maxReading bounds the CSV files that are received at one time, in memory.
const maxReading = 16

// New returns the service. The lists there are are found out from the database.
func New(ctx context.Context, c Config) (*Service, error) {
	mac := hmac.New(sha256.New, c.Secret)
	mac.Write([]byte("postroad leave a mailing list"))
	s := &Service{Config: c, key: mac.Sum(nil), wake: make(chan struct{}, 1), reading: make(chan struct{}, maxReading)}
	return s, s.refresh(ctx)
}

// refresh reads again which domains have lists.
func (s *Service) refresh(ctx context.Context) error {
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	var m map[string]bool
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		m, err = selectDomains(tx)
		return err
	})
	if err == nil {
		s.domains.Store(&m)
	}
	return err
}

// find returns the list with the address, nil when there is none. It costs
// nothing for addresses of domains without lists.
func (s *Service) find(ctx context.Context, mailbox string) (l *List, err error) {
	domains := *s.domains.Load()
	if len(domains) == 0 {
		return nil, nil
	}
	lookup := addr.Canonical(mailbox)
	if !domains[domainOf(lookup)] {
		return nil, nil
	}
	err = s.DB.Peek(ctx, func(tx *db.Tx) error { // lists are written in SQL, never staged
		l, err = selectByAddress(tx, lookup)
		return err
	})
	return l, err
}

func domainOf(lookup string) string { return lookup[strings.LastIndexByte(lookup, '@')+1:] }
