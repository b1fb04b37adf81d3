package deliver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"time"
)

const (
	// stagger is how long one address has before the next is tried beside it
	// (RFC 8305 section 5).
	stagger = 250 * time.Millisecond
	// doubtAfter is when other sessions begin to prefer other hosts.
	doubtAfter = time.Second
)

// dialed is the end of one attempt to connect.
type dialed struct {
	conn net.Conn
	addr netip.Addr
	err  error
}

// race connects to one of the addresses, in their order: the next is begun when
// one fails, or beside it when it takes long. The first connection wins and the
// others are given up. limit bounds each address. The waits are those of the
// network, so they are taken from the runtime's timers and not from the clock.
func (t *wire) race(ctx context.Context, host string, addrs []netip.Addr, limit time.Duration) (net.Conn, netip.Addr, error) {
	doubt := time.AfterFunc(doubtAfter, func() { t.e.hosts.doubt(host, t.source.Name) })
	defer doubt.Stop()
	if len(addrs) == 1 {
		c, err := t.dial(ctx, addrs[0], limit)
		return c, addrs[0], t.raced(host, addrs[0], err, false)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialed, len(addrs))
	begun, pending := 0, 0
	next := func() {
		a := addrs[begun]
		begun++
		pending++
		go func() { results <- t.dialed(ctx, a, limit) }()
	}
	next()
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	var worst error
	for pending > 0 {
		select {
		case <-timer.C:
			if begun < len(addrs) {
				next()
				timer.Reset(stagger)
			}
		case r := <-results:
			pending--
			if r.err == nil {
				if pending > 0 {
					go discard(results, pending)
				}
				return r.conn, r.addr, t.raced(host, r.addr, nil, mixed(addrs[:begun]))
			}
			if ctx.Err() == nil {
				t.e.hosts.failed(r.addr.String(), t.source.Name)
				_ = t.raced(host, r.addr, r.err, false)
			}
			if worst == nil || !errors.Is(worst, context.DeadlineExceeded) {
				worst = r.err // silence says more than a refusal
			}
			if begun < len(addrs) {
				next()
				timer.Reset(stagger)
			}
		}
	}
	return nil, netip.Addr{}, worst
}

// raced notes how a connection to an address came about, or did not.
func (t *wire) raced(host string, a netip.Addr, err error, both bool) error {
	switch {
	case err == nil:
		t.e.hosts.raced(host, a, both)
	case a.Is6():
		t.e.hosts.six.failed(t.e.clock.Now())
	}
	return err
}

// discard closes what connects although the race is over.
func discard(results <-chan dialed, pending int) {
	for range pending {
		if r := <-results; r.conn != nil {
			r.conn.Close()
		}
	}
}

func mixed(addrs []netip.Addr) bool {
	for _, a := range addrs[1:] {
		if a.Is4() != addrs[0].Is4() {
			return true
		}
	}
	return false
}

// dialed is dial on a goroutine of its own, where a panic would end the program.
func (t *wire) dialed(ctx context.Context, a netip.Addr, limit time.Duration) (r dialed) {
	r.addr = a
	defer func() {
		if p := recover(); p != nil {
			t.e.Logger.Error("panic while connecting", "address", a.String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			r.conn, r.err = nil, errors.New("internal error while connecting")
		}
	}()
	r.conn, r.err = t.dial(ctx, a, limit)
	return r
}

func (t *wire) dial(ctx context.Context, a netip.Addr, limit time.Duration) (net.Conn, error) {
	local, _ := t.source.Local(a)
	dctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return t.e.Dial(dctx, "tcp", net.JoinHostPort(a.String(), t.e.Port), local)
}

// SystemDial is the operating system's TCP, from a local address if it is valid.
func SystemDial(ctx context.Context, network, addr string, local netip.Addr) (net.Conn, error) {
	var d net.Dialer
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	return d.DialContext(ctx, network, addr)
}
