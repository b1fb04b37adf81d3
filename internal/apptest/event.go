package apptest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"postroad/internal/core/event"
)

// recorder keeps the events of a program in the order they were recorded.
type recorder struct {
	mu   sync.Mutex
	list []*event.Event
	more chan struct{} // closed and replaced with each event
}

func newRecorder() *recorder { return &recorder{more: make(chan struct{})} }

func (r *recorder) run(c <-chan *event.Event) {
	for e := range c {
		r.mu.Lock()
		r.list = append(r.list, e)
		close(r.more)
		r.more = make(chan struct{})
		r.mu.Unlock()
	}
}

func (r *recorder) all() ([]*event.Event, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list), r.more
}

// Recorded returns the events so far for which ok, in order.
func (s *Server) Recorded(ok func(*event.Event) bool) []*event.Event {
	list, _ := s.events.all()
	return slices.DeleteFunc(list, func(e *event.Event) bool { return !ok(e) })
}

// WaitFor waits until n events for which ok are recorded, and returns them.
func (s *Server) WaitFor(n int, what string, ok func(*event.Event) bool) []*event.Event {
	s.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		_, more := s.events.all()
		if got := s.Recorded(ok); len(got) >= n {
			return got
		}
		select {
		case <-more:
		case <-timeout.C:
			s.t.Fatalf("waited in vain for %d of: %s\n%s", n, what, s.dump())
		}
	}
}

func (s *Server) dump() string {
	var b strings.Builder
	list, _ := s.events.all()
	for _, e := range list[max(0, len(list)-30):] {
		fmt.Fprintf(&b, "  %s %s %s %s", e.Doc.Event, e.Doc.Severity, e.Doc.Reason, e.Doc.Recipient)
		if d := e.Doc.DeliveryStatus; d != nil {
			fmt.Fprintf(&b, " %d %s %q attempt %d", d.Code, d.EnhancedCode, d.Message, d.AttemptNo)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Outcome waits for what the n-th attempt to deliver message id (as Send
// returns it) to a recipient came to: delivered, failed or rejected.
func (s *Server) Outcome(id, recipient string, n int) *event.Doc {
	s.t.Helper()
	got := s.WaitFor(n, fmt.Sprintf("outcome %d of %s to %s", n, id, recipient), func(e *event.Event) bool {
		return outcome(e) && IsFor(e, id, recipient)
	})
	return &got[n-1].Doc
}

// Outcomes returns the outcomes of a message so far.
func (s *Server) Outcomes(id string) []*event.Event {
	return s.Recorded(func(e *event.Event) bool { return outcome(e) && IsFor(e, id, "") })
}

func outcome(e *event.Event) bool {
	t := e.Doc.Event
	return t == event.Delivered || t == event.Failed || t == event.Rejected
}

// IsFor reports whether e is about the message and, unless "", the recipient.
func IsFor(e *event.Event, id, recipient string) bool {
	return e.Doc.Message != nil && e.Doc.Message.Headers.MessageID == strings.Trim(id, "<>") && (recipient == "" || e.Doc.Recipient == recipient)
}
