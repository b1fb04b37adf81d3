package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"postroad/internal/base/pace"
)

// Config is the configuration of a Server. It must not change while the server
// runs.
type Config struct {
	Backend  Backend     // required
	Hostname string      // our name in the banner and in EHLO; required
	TLS      *tls.Config // enables STARTTLS, or is used from the start with ImplicitTLS

	ImplicitTLS       bool // TLS before the banner (RFC 8314)
	RequireTLSForAuth bool // offer and take AUTH only under TLS
	OfferRequireTLS   bool // offer REQUIRETLS under TLS; the backend must honour it

	// AllowBareLF accepts a bare LF as a line end in commands and, turned into
	// CRLF, in messages. The message still ends only at CRLF.CRLF. For catching
	// mail in development, never for a server that relays.
	AllowBareLF bool

	MaxMessageBytes     int64 // octets of one message; 0 means 25 MiB
	MaxRecipients       int   // of one transaction; 0 means 1000
	MaxLine             int   // octets of a command line with CRLF; 0 means 2048
	MaxErrors           int   // protocol errors and failed logins until 421; 0 means 10
	MaxFutile           int   // commands without a message taken until 421; 0 means 100. Recipients count if most are refused
	MaxMessages         int   // transactions of one connection; 0 means no limit
	MaxConnections      int   // at once; 0 means no limit
	MaxConnectionsPerIP int   // at once, an IPv6 /64 counting as one; 0 means no limit
	MaxConnectRate      int   // new connections a minute, counted likewise; 0 means no limit

	// OfferDSN offers DSN (RFC 3461); the backend must honour what it is told, or
	// hand it on.
	OfferDSN bool

	// ProxyNetworks are those of the proxies before us. A connection from there
	// must begin with a PROXY header, of version 1 or 2, and counts as one of the
	// client it names. From anywhere else a header is a protocol error.
	ProxyNetworks []netip.Prefix
	// XClientNetworks are those whose clients may say by XCLIENT on whose behalf
	// they speak. Behind a proxy the address it names counts. Connections from
	// there are not limited by address until they have said so.
	XClientNetworks []netip.Prefix

	Timeouts ServerTimeouts
	Now      func() time.Time // clock of limits that span commands; nil means time.Now
	Logger   *slog.Logger     // nil discards
}

// ServerTimeouts bounds the waits of a server. Zero fields take defaults.
type ServerTimeouts struct {
	Command   time.Duration // a command line; 5 minutes (RFC 5321 4.5.3.2.7)
	Data      time.Duration // progress in a message; 5 minutes
	Message   time.Duration // a whole message; 1 hour
	Write     time.Duration // progress of a reply; 1 minute
	Handshake time.Duration // TLS, or a PROXY header; 1 minute
	Progress  time.Duration // from the beginning, or one message, to the next; 15 minutes
	Session   time.Duration // a session, which ends with the transaction under way; 4 hours
	Release   time.Duration // silence after which a waiting connection keeps no buffers; 1 second
}

const (
	maxAuthLine = 12288 + len(crlf) // RFC 4954 4
	readBuffer  = 16 * 1024         // holds any line, and the usual message in one read
	writeBuffer = 4 * 1024
	maxMaxBytes = 1 << 40
)

var (
	// ErrServerClosed is returned by Serve after Shutdown.
	ErrServerClosed = errors.New("smtp: server closed")
	// ErrConfig is returned by Serve for a Config that cannot work.
	ErrConfig = errors.New("smtp: server needs a Backend and a Hostname, and TLS if implicit")
)

// Server accepts connections and runs SMTP sessions on them.
type Server struct {
	Config
	Stats ServerStats

	once sync.Once
	cfg  Config // with defaults
	bufs serverBuffers

	mu        sync.Mutex
	draining  bool
	listeners map[net.Listener]struct{}
	conns     map[*session]struct{}
	perIP     map[netip.Prefix]int
	rate      *pace.Pacer[netip.Prefix]
	idle      chan struct{} // closed when the last connection ends while draining
}

func (s *Server) prepare() {
	c := s.Config
	orDefault(&c.MaxMessageBytes, 25<<20)
	c.MaxMessageBytes = min(c.MaxMessageBytes, maxMaxBytes)
	orDefault(&c.MaxRecipients, 1000)
	orDefault(&c.MaxLine, 2048)
	c.MaxLine = min(c.MaxLine, readBuffer)
	orDefault(&c.MaxErrors, 10)
	orDefault(&c.Timeouts.Command, 5*time.Minute)
	orDefault(&c.Timeouts.Data, 5*time.Minute)
	orDefault(&c.Timeouts.Message, time.Hour)
	orDefault(&c.Timeouts.Write, time.Minute)
	orDefault(&c.Timeouts.Handshake, time.Minute)
	orDefault(&c.Timeouts.Progress, 15*time.Minute)
	orDefault(&c.Timeouts.Session, 4*time.Hour)
	orDefault(&c.Timeouts.Release, time.Second)
	orDefault(&c.MaxFutile, 100)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s.cfg = c
	s.listeners = make(map[net.Listener]struct{})
	s.conns = make(map[*session]struct{})
	s.perIP = make(map[netip.Prefix]int)
	s.rate = pace.New[netip.Prefix](pace.Limit{Burst: c.MaxConnectRate, Every: time.Minute / time.Duration(max(1, c.MaxConnectRate))}, maxPaced)
	s.idle = make(chan struct{})
}

// Serve accepts connections on l until Shutdown (ErrServerClosed), until ctx
// ends, which cuts all its connections (the cause of ctx), or until l fails. It
// closes l. Except after Shutdown it returns when its connections are gone.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.once.Do(s.prepare)
	defer func() { _ = l.Close() }() // may be closed already
	if s.cfg.Backend == nil || s.cfg.Hostname == "" || s.cfg.ImplicitTLS && s.cfg.TLS == nil {
		return ErrConfig
	}
	if !s.addListener(l) {
		return ErrServerClosed
	}
	defer s.removeListener(l)
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // makes Accept return
	err := s.acceptAll(ctx, l, &wg)
	stop()
	if errors.Is(err, ErrServerClosed) {
		// The sessions finish what they do; Shutdown waits for them.
		go func() { wg.Wait(); cancel(nil) }()
		return err
	}
	cancel(err)
	wg.Wait()
	return err
}

func (s *Server) acceptAll(ctx context.Context, l net.Listener, wg *sync.WaitGroup) error {
	backoff := 5 * time.Millisecond
	for {
		conn, err := l.Accept()
		if err == nil {
			backoff = 5 * time.Millisecond
			s.start(ctx, conn, wg)
			continue
		}
		switch {
		case s.isDraining():
			return ErrServerClosed
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, net.ErrClosed):
			return err
		}
		// Out of descriptors, or a client that gave up in the backlog: both pass.
		s.cfg.Logger.Warn("smtp accept failed", "error", err)
		t := time.NewTimer(backoff)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		backoff = min(2*backoff, time.Second)
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// Shutdown stops accepting, sends 421 to sessions without a transaction, and
// waits for the transactions of the others, which get 421 after it. When ctx
// ends first the remaining connections are cut and the cause of ctx is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.once.Do(s.prepare)
	for _, ss := range s.drain() {
		ss.nudge()
	}
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for ss := range s.conns {
		ss.cancel()
	}
	s.mu.Unlock()
	return context.Cause(ctx)
}

// drain marks the server as closing and returns its sessions.
func (s *Server) drain() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil
	}
	s.draining = true
	for l := range s.listeners {
		_ = l.Close() // Accept reports it
	}
	if len(s.conns) == 0 {
		close(s.idle)
	}
	var all []*session
	for ss := range s.conns {
		all = append(all, ss)
	}
	return all
}
