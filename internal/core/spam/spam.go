package spam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"postroad/internal/base/clock"
)

// The protocols of Config.
const (
	Rspamd = "rspamd"
	Spamd  = "spamd"
)

// Config names a filter and the bounds within which it is asked.
type Config struct {
	Protocol string // Rspamd or Spamd
	Network  string // "tcp" or, for spamd, "unix"
	Address  string // HOST:PORT or the path of a socket
	Password string // of rspamd, "" for none
	Hostname string // own name, by which the filter knows who received the message

	Timeout     time.Duration // of a check, with the wait for its turn
	MaxBytes    int           // of a message; of a larger one the head is checked
	Concurrency int           // checks at once
	Clock       clock.Clock
	Logger      *slog.Logger
}

// Mail is a message as it came, without header fields of our own, and what is
// known of the session it came by.
type Mail struct {
	Raw        []byte
	ClientIP   netip.Addr // invalid: unknown
	ClientName string     // name of the address that leads back to it, "" for none
	HELO       string
	Sender     string // MAIL FROM, "" for the null sender
	Recipients []string
	User       string // authenticated, "" for nobody
}

// Symbol is a rule that matched. SpamAssassin does not say its score.
type Symbol struct {
	Name  string
	Score float64
}

// Verdict is what the filter said, or why it said nothing.
type Verdict struct {
	Score    float64
	Required float64 // the score from which on the filter calls a message spam
	Spam     bool
	Symbols  []Symbol // highest score first
	Partial  bool     // only the head of the message was checked
	Err      error    // the message was not checked; the rest is empty
}

// engine is a filter's protocol.
type engine interface {
	check(ctx context.Context, m *Mail, raw []byte) (*Verdict, error)
}

// Stats count since the start.
type Stats struct {
	Checked   atomic.Int64 // messages the filter judged
	Spam      atomic.Int64 // of these, called spam
	Partial   atomic.Int64 // of these, judged by their head
	Unchecked atomic.Int64 // messages that passed because the filter was not available
	Failures  atomic.Int64 // of these, those the filter was asked about
}

// Filter asks one spam filter. It is safe for concurrent use.
type Filter struct {
	Stats   Stats
	engine  engine
	config  Config
	turns   chan struct{}
	breaker *breaker
}

// Reasons why the filter was not asked.
var (
	ErrBusy = errors.New("all checks the spam filter may do at once are taken")
	ErrOpen = errors.New("the spam filter has failed and is left alone for now")
)

// New returns a Filter; nothing is connected yet. It refuses an unknown protocol
// and bounds that are not positive.
func New(c Config) (*Filter, error) {
	if c.Timeout <= 0 || c.MaxBytes <= 0 || c.Concurrency <= 0 {
		return nil, errors.New("spam filter: time-out, size and concurrency must be positive")
	}
	f := &Filter{config: c, turns: make(chan struct{}, c.Concurrency), breaker: &breaker{clock: c.Clock, log: c.Logger.With("filter", c.Protocol, "address", c.Address)}}
	switch {
	case c.Protocol == Rspamd && c.Network == "tcp":
		f.engine = newRspamd(c)
	case c.Protocol == Spamd:
		f.engine = &spamd{network: c.Network, address: c.Address, hostname: c.Hostname, clock: c.Clock}
	default:
		return nil, fmt.Errorf("spam filter: %s over %s is not supported", c.Protocol, c.Network)
	}
	return f, nil
}

// Check returns the filter's verdict on a message. It takes Config.Timeout at
// most and never fails: Verdict.Err says that the message was not checked.
func (f *Filter) Check(ctx context.Context, m *Mail) *Verdict {
	v, err := f.ask(ctx, m)
	if err != nil {
		f.Stats.Unchecked.Add(1)
		return &Verdict{Err: err}
	}
	f.Stats.Checked.Add(1)
	if v.Spam {
		f.Stats.Spam.Add(1)
	}
	if v.Partial {
		f.Stats.Partial.Add(1)
	}
	return v
}

func (f *Filter) ask(ctx context.Context, m *Mail) (*Verdict, error) {
	if !f.breaker.allow() {
		return nil, ErrOpen
	}
	within, cancel := context.WithTimeout(ctx, f.config.Timeout)
	defer cancel()
	select {
	case f.turns <- struct{}{}:
		defer func() { <-f.turns }()
	case <-within.Done():
		return nil, ErrBusy
	}
	raw := head(m.Raw, f.config.MaxBytes)
	v, err := f.engine.check(within, m, raw)
	switch {
	case err == nil:
		v.Partial = len(raw) < len(m.Raw)
		f.breaker.succeeded()
	case ctx.Err() == nil: // else it was the caller who went
		f.Stats.Failures.Add(1)
		f.breaker.failed(err)
	}
	return v, err
}

// head returns the first lines of a message, limit bytes at most.
func head(raw []byte, limit int) []byte {
	if len(raw) <= limit {
		return raw
	}
	raw = raw[:limit]
	if end := bytes.LastIndexByte(raw, '\n'); end > 0 {
		raw = raw[:end+1]
	}
	return raw
}

// gtube is what every filter calls spam: the Generic Test for Unsolicited Bulk
// Email of SpamAssassin.
const gtube = "From: <postmaster@localhost>\r\nSubject: test of the spam filter\r\n\r\n" +
	"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"

// Probe has the filter judge a test message that is spam to every filter.
func (f *Filter) Probe(ctx context.Context) (*Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, f.config.Timeout)
	defer cancel()
	return f.engine.check(ctx, &Mail{Recipients: []string{"postmaster@localhost"}}, []byte(gtube))
}
