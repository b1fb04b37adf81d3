package deliver_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/base/db/dbtest"
	"postroad/internal/config"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
)

// from is the domain the tests send from.
const from = "sender.test"

type (
	script = apptest.Script
	fields = apptest.Fields
)

// bed is a running program with a sending domain and time that stands still.
type bed struct {
	*apptest.Server
	t   *testing.T
	dom *domain.Domain
	ids atomic.Int64 // of messages from outside
}

func start(t *testing.T, o apptest.Options) *bed {
	t.Helper()
	o.Mode = config.Serve
	if o.Clock == nil {
		o.Clock = clock.NewFake(apptest.Begin())
	}
	s := apptest.Start(t, o)
	return &bed{Server: s, t: t, dom: s.AddDomain(from)}
}

// engines runs fn on both databases.
func engines(t *testing.T, fn func(t *testing.T, o apptest.Options)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, apptest.Options{}) })
	t.Run("postgres", func(t *testing.T) { fn(t, apptest.Options{DB: dbtest.PostgresURL(t)}) })
}

// site makes a domain with one mail server.
func (b *bed) site(t *testing.T, name string, s script) *apptest.Sink {
	t.Helper()
	k := b.World.Sink(t, "mx."+name, s)
	b.World.MX(t, name, k.Host)
	return k
}

// want is what an attempt should have come to.
type want struct {
	event    event.Type
	severity string
	reason   string
	code     int
	enhanced string
	message  string // part of it
}

func (w want) check(t *testing.T, d *event.Doc) {
	t.Helper()
	s := d.DeliveryStatus
	if s == nil {
		s = &event.DeliveryStatus{}
	}
	if d.Event != w.event || d.Severity != w.severity || d.Reason != w.reason || s.Code != w.code || s.EnhancedCode != w.enhanced ||
		!strings.Contains(s.Message+s.Description, w.message) {
		t.Errorf("%s: got %s %s %q %d %q %q (%q)\nwant %s %s %q %d %q ...%q...", d.Recipient, d.Event, d.Severity, d.Reason, s.Code, s.EnhancedCode,
			s.Message, s.Description, w.event, w.severity, w.reason, w.code, w.enhanced, w.message)
	}
}

func ok() want { return want{event: event.Delivered, code: 250, enhanced: "2.0.0", message: "OK"} }

func temporary(code int, enhanced, message string) want {
	return want{event.Failed, event.Temporary, "generic", code, enhanced, message}
}

func permanent(reason string, code int, enhanced, message string) want {
	return want{event.Failed, event.Permanent, reason, code, enhanced, message}
}

// header returns the unfolded value of a field of a message, "" without it.
func header(data, name string) string {
	head, _, _ := strings.Cut(data, "\r\n\r\n")
	head = strings.ReplaceAll(strings.ReplaceAll(head, "\r\n ", " "), "\r\n\t", " ")
	for _, line := range strings.Split(head, "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// outcomeOf matches the outcomes for a recipient.
func outcomeOf(to string) func(*event.Event) bool {
	return func(e *event.Event) bool {
		return e.Doc.Recipient == to && (e.Doc.Event == event.Delivered || e.Doc.Event == event.Failed)
	}
}
