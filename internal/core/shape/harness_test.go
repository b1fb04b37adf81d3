package shape

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
	"postroad/internal/mail/classify"
)

var start = time.Date(2026, 3, 26, 10, 32, 0, 0, time.UTC)

// each runs fn with a fresh service on both engines.
func each(t *testing.T, fn func(t *testing.T, s *Service, c *clock.Fake)) {
	t.Helper()
	c := clock.NewFake(start)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		c.Advance(start.Sub(c.Now())) // the engine before has moved it
		fn(t, open(t, d, c), c)
	})
}

// one returns a service on SQLite, for tests that do not touch the table.
func one(t testing.TB) (*Service, *clock.Fake) {
	t.Helper()
	c := clock.NewFake(start)
	return open(t, coretest.SQLite(t, c), c), c
}

func open(t testing.TB, d *db.DB, c clock.Clock) *Service {
	t.Helper()
	s, err := New(context.Background(), Config{DB: d, IDs: ids.NewSource(c), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reply makes the report of an attempt that got as far as a reply.
func reply(code int, enhanced, text string) Report {
	v := classify.Classify(code, enhanced, text, "")
	return Report{Verdict: v, Code: code, Text: text, Connected: true, Delivered: v.Class == classify.Accepted}
}

var (
	ok        = reply(250, "2.0.0", "Ok")
	tooFast   = reply(421, "4.7.28", "Gmail has detected an unusual rate of mail")
	tooMany   = reply(421, "4.7.0", "too many connections from 192.0.2.1")
	noUser    = reply(550, "5.1.1", "user unknown")
	grey      = reply(450, "4.2.0", "Greylisted")
	mailbox   = reply(450, "4.2.1", "The user is receiving mail too quickly")
	listed    = reply(554, "5.7.1", "blocked using zen.spamhaus.org")
	greeting  = unconnected(reply(421, "", "mx.example.com closing"))
	nobody    = unconnected(reply(421, "4.4.1", "connecting to mx.example.com: connection refused"))
	refusedAt = unconnected(listed)
)

func unconnected(r Report) Report {
	r.Connected, r.Delivered = false, false
	return r
}

func report(s *Service, lane string, n int, r Report) {
	for range n {
		s.Report(lane, "", r)
	}
}

func wantSessions(t *testing.T, s *Service, lane string, want int) {
	t.Helper()
	if got := s.Sessions(lane); got != want {
		t.Errorf("%s: %d sessions, want %d", lane, got, want)
	}
}

// minutes moves the clock minute by minute, with a pass of the loop each.
func minutes(s *Service, c *clock.Fake, n int) {
	for range n {
		c.Advance(time.Minute)
		s.pass(context.Background())
	}
}
