package smtp

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// Idle sessions get 421 at once, open transactions first come to their end.
func TestShutdown(t *testing.T) {
	st := &store{gate: make(chan struct{}), inData: make(chan struct{}, 1)}
	s, addr := serve(t, Config{Backend: st})
	fresh, idle, open, busy := rawDial(t, addr), rawDial(t, addr), rawDial(t, addr), rawDial(t, addr)
	fresh.expect("220")
	idle.write("EHLO c\r\n")
	idle.expect("220", "250")
	for _, r := range []*raw{open, busy} {
		r.write("EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@d>\r\n")
		r.expect("220", "250", "250", "250")
	}
	busy.write("DATA\r\n")
	busy.expect("354")
	busy.write("x\r\n.\r\n")
	<-st.inData
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(testContext(t)) }()
	fresh.expect("421 4.3.2")
	idle.expect("421 4.3.2")
	if got := idle.line(); got != "" {
		t.Error(got)
	}
	open.write("RCPT TO:<b@d>\r\nRSET\r\n")
	open.expect("250", "250", "421 4.3.2")
	close(st.gate)
	busy.expect("250 2.0.0", "421 4.3.2")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(st.messages()) != 1 {
		t.Error(st.messages())
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("still listening")
	}
	if err := s.Serve(testContext(t), listen(t)); !errors.Is(err, ErrServerClosed) {
		t.Error(err)
	}
	if err := s.Shutdown(testContext(t)); err != nil {
		t.Error(err)
	}
}

// A transaction that does not end is cut when the patience of Shutdown does.
func TestShutdownForced(t *testing.T) {
	s, addr := serve(t, Config{Backend: &store{}})
	r := rawDial(t, addr)
	r.write("EHLO c\r\nMAIL FROM:<a@b>\r\n")
	r.expect("220", "250", "250")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if got := r.line(); got != "" {
		t.Error(got)
	}
}
