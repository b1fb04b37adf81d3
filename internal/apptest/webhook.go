package apptest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"postroad/internal/core/event"
)

// Call is one webhook call as it was received.
type Call struct {
	Signature struct{ Timestamp, Token, Signature string } `json:"signature"`
	Event     event.Doc                                    `json:"event-data"`
}

// Catcher is a server that takes webhook calls.
type Catcher struct {
	URL string

	s    *Server
	mu   sync.Mutex
	got  []Call
	more chan struct{}
}

// Catch registers a new catcher for event types of a domain.
func (s *Server) Catch(dom string, types ...string) *Catcher {
	s.t.Helper()
	c := &Catcher{s: s, more: make(chan struct{})}
	h := httptest.NewServer(http.HandlerFunc(c.serve))
	s.t.Cleanup(h.Close)
	c.URL = h.URL
	for _, t := range types {
		s.Must("POST", "/v3/domains/"+dom+"/webhooks", Fields{"id", t, "url", c.URL})
	}
	return c
}

func (c *Catcher) serve(w http.ResponseWriter, r *http.Request) {
	var call Call
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(b, &call)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, call)
	close(c.more)
	c.more = make(chan struct{})
}

// Await waits for a call about the event type and recipient.
func (c *Catcher) Await(t event.Type, recipient string) Call {
	c.s.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		got, more := c.got, c.more
		c.mu.Unlock()
		for _, call := range got {
			if call.Event.Event == t && call.Event.Recipient == recipient {
				return call
			}
		}
		select {
		case <-more:
		case <-timeout.C:
			c.s.t.Fatalf("no webhook call for %s of %s; got %d calls", t, recipient, len(got))
		}
	}
}
