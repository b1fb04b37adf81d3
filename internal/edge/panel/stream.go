package panel

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// stream sends a line for every change (server-sent events). It carries no
// content: the page asks for itself again, through the usual checks. Beyond
// maxStreams the answer is 503 and the page polls instead.
func (p *panel) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case p.streams <- struct{}{}:
		defer func() { <-p.streams }()
	default:
		w.Header().Set("Retry-After", "30")
		http.Error(w, "too many live connections", http.StatusServiceUnavailable)
		return
	}
	rc := http.NewResponseController(w)
	// A server-wide write timeout is meant for pages, not for this.
	_ = rc.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	changes := p.Source.Subscribe(r.Context())
	if _, err := fmt.Fprint(w, "retry: 2000\n: connected\n\n"); err != nil || rc.Flush() != nil {
		return
	}
	p.follow(w, r, rc, changes)
}

// follow ends with the reader, the source or the session.
func (p *panel) follow(w http.ResponseWriter, r *http.Request, rc *http.ResponseController, changes <-chan Notice) {
	beat := time.NewTicker(p.beat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case n, open := <-changes:
			if !open {
				return
			}
			err = writeNotice(w, n)
		case <-beat.C:
			if _, ok := p.current(r); !ok && !p.Dev {
				return
			}
			_, err = fmt.Fprint(w, ": still here\n\n")
		}
		if err != nil || rc.Flush() != nil {
			return
		}
	}
}

func writeNotice(w http.ResponseWriter, n Notice) error {
	id, err := json.Marshal(n.ID) // one line, whatever the id contains
	if err != nil {
		return fmt.Errorf("notice: %w", err)
	}
	kind := NoticeMessage
	if n.Kind == NoticeWebhook || n.Kind == NoticeDomain {
		kind = n.Kind
	}
	_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, id)
	return err
}
