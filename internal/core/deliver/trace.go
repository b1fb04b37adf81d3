package deliver

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Line is one line of a conversation as it happens. Secrets and contents of
// messages do not stand in it.
type Line struct {
	At      time.Time
	Lane    string
	Session int64 // number of the delivery session since the start
	// Of the message that is being delivered.
	Message     int64  // id of its row
	MessageID   string // without brackets
	Sender      string // sending domain
	Recipient   string // the first of the transaction
	Destination string // that recipient's domain
	Dir         byte   // smtp.FromClient, smtp.FromServer or smtp.Note
	Text        string
}

// Filter chooses lines. Empty fields match all.
type Filter struct {
	Lane        string // or its site, for all sources
	Destination string
	Message     string // Message-Id without brackets
	Sender      string // sending domain
}

func (f *Filter) match(l *Line) bool {
	return (f.Lane == "" || f.Lane == l.Lane || strings.HasPrefix(l.Lane, f.Lane) && l.Lane[len(f.Lane)] == '@') &&
		(f.Destination == "" || f.Destination == l.Destination) &&
		(f.Message == "" || f.Message == l.MessageID) &&
		(f.Sender == "" || f.Sender == l.Sender)
}

// traceBuffer is how many lines a reader may lag behind before it loses some.
const traceBuffer = 1024

// maxReaders bounds the readers of a trace.
const maxReaders = 64

// Trace publishes conversations to those that want to watch. It costs nothing
// while nobody does. A reader that does not keep up loses lines and delays
// nobody.
type Trace struct {
	readers atomic.Int32
	mu      sync.Mutex
	m       map[chan Line]Filter
}

// Subscribe returns a channel of the lines from now on that match, and a
// function that ends it. It returns a closed channel when there are too many
// readers.
func (h *Trace) Subscribe(f Filter) (<-chan Line, func()) {
	c := make(chan Line, traceBuffer)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.m) >= maxReaders {
		close(c)
		return c, func() {}
	}
	if h.m == nil {
		h.m = map[chan Line]Filter{}
	}
	h.m[c] = f
	h.readers.Store(int32(len(h.m)))
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, ok := h.m[c]; ok {
			delete(h.m, c)
			h.readers.Store(int32(len(h.m)))
			close(c)
		}
	}
}

func (h *Trace) watched() bool { return h.readers.Load() > 0 }

func (h *Trace) publish(l *Line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c, f := range h.m {
		if !f.match(l) {
			continue
		}
		select {
		case c <- *l:
		default:
		}
	}
}

// line publishes a line of the session's conversation.
func (t *wire) line(dir byte, text string) {
	t.e.publish(t.lane, t.session, t.job, dir, text)
}

// publish shows a line about a job, nil for none, to those that watch.
func (e *Engine) publish(lane string, session int64, j *job, dir byte, text string) {
	if !e.Trace.watched() {
		return
	}
	l := Line{At: e.clock.Now(), Lane: lane, Session: session, Dir: dir, Text: strings.ToValidUTF8(text, "\ufffd")}
	if j != nil {
		d := j.list[0].d
		l.Message, l.MessageID, l.Sender, l.Recipient, l.Destination = j.msg.ID, j.msg.MessageID, j.msg.Domain, d.Recipient, d.Destination
	}
	e.Trace.publish(&l)
}
