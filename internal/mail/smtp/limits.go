package smtp

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxPaced bounds the addresses whose rate of connections is remembered, about
// 100 bytes each.
const maxPaced = 50_000

// Reasons for which a connection is turned away.
const (
	refusedShutdown = "shutting down"
	refusedAll      = "too many connections"
	refusedAddress  = "too many connections from your address"
	refusedRate     = "too many new connections from your address"
)

// ServerStats counts what a Server did since it began.
type ServerStats struct {
	Accepted atomic.Int64 // connections that got a session
	Refused  atomic.Int64 // connections turned away by a limit
	Messages atomic.Int64 // messages taken
	Cut      atomic.Int64 // sessions ended for errors, for bringing nothing, or for their time
}

// start runs a session for conn, or turns it away.
func (s *Server) start(ctx context.Context, conn net.Conn, wg *sync.WaitGroup) {
	ss := newSession(s, conn)
	ctx, ss.cancel = context.WithCancel(ctx)
	if refusal := s.admit(ss); refusal != "" {
		ss.cancel()
		s.Stats.Refused.Add(1)
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
		return refusedShutdown
	case s.cfg.MaxConnections > 0 && len(s.conns) >= s.cfg.MaxConnections:
		return refusedAll
	}
	// What a proxy brings counts for the client, of which nothing is known yet.
	if !within(s.cfg.ProxyNetworks, ss.peer) && !within(s.cfg.XClientNetworks, ss.peer) {
		if refusal := s.count(ss); refusal != "" {
			return refusal
		}
	}
	s.conns[ss] = struct{}{}
	return ""
}

// count applies the limits of the client's address.
func (s *Server) count(ss *session) string {
	switch {
	case !ss.ip.IsValid():
		return ""
	case s.cfg.MaxConnectionsPerIP > 0 && s.perIP[ss.ip] >= s.cfg.MaxConnectionsPerIP:
		return refusedAddress
	case !s.rate.Take(ss.ip, ss.began):
		return refusedRate
	}
	s.perIP[ss.ip]++
	ss.counted = true
	return ""
}

func (s *Server) uncount(ss *session) {
	if !ss.counted {
		return
	}
	ss.counted = false
	if s.perIP[ss.ip]--; s.perIP[ss.ip] <= 0 {
		delete(s.perIP, ss.ip)
	}
}

// recount counts a connection for the client a proxy told of.
func (s *Server) recount(ss *session, remote, local net.Addr) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uncount(ss)
	ss.setPeer(remote, local)
	return s.count(ss)
}

func (s *Server) release(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, ss)
	s.uncount(ss)
	if s.draining && len(s.conns) == 0 {
		close(s.idle)
	}
}

// ClientPrefix is the unit that limits count clients by: an IPv4 address, an IPv6 /64.
// It is invalid for an address without IP.
func ClientPrefix(a net.Addr) netip.Prefix {
	ip := addrOf(a)
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

// addrOf returns the IP address of a connection's end, IPv4 in its own form.
func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

func within(networks []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// cut ends a session for a reason that is the client's.
func (ss *session) cut(enhanced, text string) {
	ss.srv.Stats.Cut.Add(1)
	ss.reply(421, enhanced, text)
	ss.quit = true
}

// checkLimits ends a session that brings errors, or nothing.
func (ss *session) checkLimits() {
	switch {
	case ss.quit:
	case ss.errs >= ss.cfg.MaxErrors:
		ss.cut("4.7.0", "too many errors")
	case ss.futile > ss.cfg.MaxFutile:
		ss.cut("4.7.0", "too many commands without a message")
	}
}

// patience is how long the next command may take.
func (ss *session) patience() time.Duration {
	t, now := &ss.cfg.Timeouts, ss.now()
	d := min(t.Command, ss.progress.Add(t.Progress).Sub(now))
	if !ss.tx.open {
		d = min(d, ss.began.Add(t.Session).Sub(now))
	}
	if !ss.tx.until.IsZero() {
		d = min(d, ss.tx.until.Sub(now))
	}
	return max(d, 0)
}
