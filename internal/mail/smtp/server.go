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
	MaxConnections      int   // at once; 0 means no limit
	MaxConnectionsPerIP int   // at once, an IPv6 /64 counting as one; 0 means no limit

	Timeouts ServerTimeouts
	Logger   *slog.Logger // nil discards
}

// ServerTimeouts bounds the waits of a server. Zero fields take defaults.
type ServerTimeouts struct {
	Command   time.Duration // a command line; 5 minutes (RFC 5321 4.5.3.2.7)
	Data      time.Duration // progress in a message; 5 minutes
	Message   time.Duration // a whole message; 1 hour
	Write     time.Duration // progress of a reply; 1 minute
	Handshake time.Duration // TLS; 1 minute
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

	once sync.Once
	cfg  Config // with defaults
	bufs serverBuffers

	mu        sync.Mutex
	draining  bool
	listeners map[net.Listener]struct{}
	conns     map[*session]struct{}
	perIP     map[netip.Prefix]int
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
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s.cfg = c
	s.listeners = make(map[net.Listener]struct{})
	s.conns = make(map[*session]struct{})
	s.perIP = make(map[netip.Prefix]int)
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

// start runs a session for conn, or turns it away.
func (s *Server) start(ctx context.Context, conn net.Conn, wg *sync.WaitGroup) {
	ss := newSession(s, conn)
	ctx, ss.cancel = context.WithCancel(ctx)
	if refusal := s.admit(ss); refusal != "" {
		ss.cancel()
		s.turnAway(conn, refusal)
		return
	}
	stop := context.AfterFunc(ctx, ss.w.interrupt)
	wg.Go(func() {
		defer s.release(ss)
		defer ss.cancel()
		defer stop()
		ss.run(ctx)
	})
}

// turnAway refuses a connection. The reply fits in the empty send buffer, so the
// accept loop is not held up. A client that expects TLS could not read it.
func (s *Server) turnAway(conn net.Conn, text string) {
	if !s.cfg.ImplicitTLS {
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // the close below follows anyway
		_, _ = conn.Write([]byte("421 4.3.2 " + s.cfg.Hostname + " " + text + crlf))
	}
	_ = conn.Close() // nothing to be lost
}

// admit counts a connection, or returns why it is refused.
func (s *Server) admit(ss *session) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return "shutting down"
	case s.cfg.MaxConnections > 0 && len(s.conns) >= s.cfg.MaxConnections:
		return "too many connections"
	case s.cfg.MaxConnectionsPerIP > 0 && ss.ip.IsValid() && s.perIP[ss.ip] >= s.cfg.MaxConnectionsPerIP:
		return "too many connections from your address"
	}
	s.conns[ss] = struct{}{}
	if ss.ip.IsValid() {
		s.perIP[ss.ip]++
	}
	return ""
}

func (s *Server) release(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, ss)
	if s.perIP[ss.ip]--; s.perIP[ss.ip] <= 0 {
		delete(s.perIP, ss.ip)
	}
	if s.draining && len(s.conns) == 0 {
		close(s.idle)
	}
}

// clientPrefix is the unit that MaxConnectionsPerIP counts by.
func clientPrefix(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil { // an address without IP counts for nobody
		return netip.Prefix{}
	}
	return p
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
