package deliver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/core/event"
	"postroad/internal/mail/smtp"
)

// brief are timeouts for servers that say nothing.
func brief() app.Wire {
	const d = 150 * time.Millisecond
	return app.Wire{Timeouts: smtp.ClientTimeouts{Banner: d, Command: d, DataInit: d, Block: d, Final: d, Quit: d}, Connect: d}
}

// TestDisposition has the server fail in each phase of the dialogue.
func TestDisposition(t *testing.T) {
	b := start(t, apptest.Options{Wire: brief()})
	// Ends of the connection before the message was handed over.
	lost := temporary(421, "4.4.2", "connection lost before the message was handed over")
	for i, c := range []struct {
		name   string
		script script
		want   want
		reach  int // messages that came to their end at the server
	}{
		{"banner drop", script{Banner: apptest.Drop}, temporary(421, "4.4.2", "banner"), 0},
		{"banner stall", script{Banner: apptest.Stall}, temporary(421, "4.4.2", "banner"), 0},
		{"banner 421", script{Banner: "421 4.3.2 closing"}, temporary(421, "4.3.2", "closing"), 0},
		{"banner 554", script{Banner: "554 5.7.1 your address is listed"}, permanent("generic", 554, "5.7.1", "listed"), 0},
		{"banner garbage", script{Banner: apptest.Garbage}, temporary(421, "4.4.2", "banner"), 0},
		{"ehlo drop", script{Ehlo: apptest.Drop}, temporary(421, "4.4.2", "ehlo"), 0},
		{"ehlo stall", script{Ehlo: apptest.Stall}, temporary(421, "4.4.2", "ehlo"), 0},
		{"ehlo refused", script{Ehlo: "500 5.5.1 no ESMTP"}, ok(), 1},
		{"mail drop", script{Mail: apptest.Drop}, lost, 0},
		{"mail stall", script{Mail: apptest.Stall}, lost, 0},
		{"mail 421", script{Mail: apptest.Slow421}, temporary(421, "4.3.2", "bye"), 0},
		{"mail 450", script{Mail: "450 4.7.1 greylisted"}, temporary(450, "4.7.1", "greylisted"), 0},
		{"mail 550", script{Mail: "550 5.7.1 sender refused"}, permanent("generic", 550, "5.7.1", "sender refused"), 0},
		{"mail 550 bare", script{Mail: "550 sender refused"}, permanent("generic", 550, "", "sender refused"), 0},
		{"mail garbage", script{Mail: apptest.Garbage}, temporary(451, "4.4.2", "protocol error"), 0},
		{"rcpt drop", script{Any: apptest.Drop}, lost, 0},
		{"rcpt stall", script{Any: apptest.Stall}, lost, 0},
		{"rcpt 421", script{Any: apptest.Slow421}, temporary(421, "4.3.2", "bye"), 0},
		{"rcpt 452", script{Any: "452 4.2.2 full"}, temporary(452, "4.2.2", "full"), 0},
		{"rcpt 550", script{Any: "550 5.1.1 no such user"}, permanent("bounce", 550, "5.1.1", "no such user"), 0},
		{"rcpt 550 bare", script{Any: "550 no such user"}, permanent("bounce", 550, "", "no such user"), 0},
		{"rcpt 551 bare", script{Any: "551 moved"}, permanent("bounce", 551, "", "moved"), 0},
		{"rcpt 550 policy", script{Any: "550 5.7.1 policy"}, permanent("generic", 550, "5.7.1", "policy"), 0},
		{"rcpt 552 full", script{Any: "552 5.2.2 mailbox full"}, permanent("generic", 552, "5.2.2", "full"), 0},
		{"rcpt 550 disabled", script{Any: "550 5.2.1 mailbox disabled"}, permanent("bounce", 550, "5.2.1", "disabled"), 0},
		{"data drop", script{Data: apptest.Drop}, lost, 0},
		{"data stall", script{Data: apptest.Stall}, lost, 0},
		{"data 421", script{Data: apptest.Slow421}, temporary(421, "4.3.2", "bye"), 0},
		{"data 451", script{Data: "451 4.3.0 later"}, temporary(451, "4.3.0", "later"), 0},
		{"data 550 bare", script{Data: "550 no"}, permanent("generic", 550, "", "no"), 0},
		{"dot drop", script{Dot: apptest.Drop}, temporary(451, "4.4.2", "body"), 1},
		{"dot stall", script{Dot: apptest.Stall}, temporary(451, "4.4.2", "body"), 1},
		{"dot 421", script{Dot: apptest.Slow421}, temporary(421, "4.3.2", "bye"), 1},
		{"dot 452", script{Dot: "452 4.3.1 disk full"}, temporary(452, "4.3.1", "disk full"), 1},
		{"dot 554", script{Dot: "554 5.7.1 spam"}, permanent("generic", 554, "5.7.1", "spam"), 1},
		{"dot 550 user", script{Dot: "550 5.1.1 no such user"}, permanent("bounce", 550, "5.1.1", "no such user"), 1},
		{"dot 550 bare", script{Dot: "550 no"}, permanent("generic", 550, "", "no"), 1},
		{"taken then drop", script{Dot: apptest.ThenDrop}, ok(), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := fmt.Sprintf("site%d.test", i)
			k := b.site(t, name, c.script)
			id := b.Send(from, fields{"to", "x@" + name})
			d := b.Outcome(id, "x@"+name, 1)
			c.want.check(t, d)
			if got := len(k.All()); got != c.reach {
				t.Errorf("%d messages came to their end, want %d", got, c.reach)
			}
			waiting := b.Waiting(id)
			if d.Severity == event.Temporary {
				retry := 630
				switch { // in place of the schedule
				case strings.Contains(c.want.message, "greylisted"):
					retry = 315
				case c.want.message == "full":
					retry = 3780
				}
				if len(waiting) != 1 || waiting[0].Tries != 1 || waiting[0].Attempt != 0 || d.DeliveryStatus.RetrySeconds != retry {
					t.Errorf("not rescheduled: %+v, retry-seconds %d", waiting, d.DeliveryStatus.RetrySeconds)
				}
			} else if len(waiting) != 0 {
				t.Errorf("still queued: %+v", waiting[0])
			}
			listed := strings.Contains(strings.Join(b.Listed(b.dom, "bounces"), " ")+" ", "x@"+name+" ")
			if listed != (c.want.reason == "bounce") {
				t.Errorf("on the bounces list: %v", listed)
			}
		})
	}
}

// TestRecipients has one transaction with a different answer for each.
func TestRecipients(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "many.test", script{Rcpt: map[string]apptest.Step{
		"bad@many.test": "550 5.1.1 no such user", "later@many.test": "450 4.2.0 busy", "policy@many.test": "550 5.7.1 not you"}})
	id := b.Send(from, fields{"to", "a@many.test, bad@many.test", "cc", "later@many.test, policy@many.test", "bcc", "b@many.test"})
	ok().check(t, b.Outcome(id, "a@many.test", 1))
	ok().check(t, b.Outcome(id, "b@many.test", 1))
	permanent("bounce", 550, "5.1.1", "no such user").check(t, b.Outcome(id, "bad@many.test", 1))
	permanent("generic", 550, "5.7.1", "not you").check(t, b.Outcome(id, "policy@many.test", 1))
	temporary(450, "4.2.0", "busy").check(t, b.Outcome(id, "later@many.test", 1))
	got := k.Messages()
	if len(got) != 1 || strings.Join(got[0].To, " ") != "a@many.test b@many.test" {
		t.Fatalf("transactions: %+v", got)
	}
	if strings.Contains(got[0].Data, "b@many.test\r\n") || header(got[0].Data, "Cc") == "" {
		t.Errorf("header shows the wrong recipients:\n%s", got[0].Data)
	}
	k.Set(script{})
	b.Advance(11 * time.Minute)
	ok().check(t, b.Outcome(id, "later@many.test", 2))
	second := k.Await(t, 2)[1]
	if strings.Join(second.To, " ") != "later@many.test" || second.Data != got[0].Data {
		t.Errorf("the retry went to %v, the same bytes: %v", second.To, second.Data == got[0].Data)
	}
	b.verify(t, second.Data)
	if n := len(b.Outcomes(id)); n != 6 {
		t.Errorf("%d outcomes, want 6", n)
	}
}

// TestOwnReplyBeforeData: a recipient's own refusal counts as such although the
// transaction ended in another one.
func TestOwnReplyBeforeData(t *testing.T) {
	b := start(t, apptest.Options{})
	b.site(t, "own.test", script{Rcpt: map[string]apptest.Step{"bad@own.test": "550 unknown"}, Data: "554 5.7.1 no"})
	id := b.Send(from, fields{"to", "good@own.test, bad@own.test"})
	permanent("generic", 554, "5.7.1", "no").check(t, b.Outcome(id, "good@own.test", 1))
	permanent("bounce", 550, "", "unknown").check(t, b.Outcome(id, "bad@own.test", 1))
}

func TestReuse(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "reuse.test", script{})
	for i := range 5 {
		to := fmt.Sprintf("r%d@reuse.test", i)
		ok().check(t, b.Outcome(b.Send(from, fields{"to", to}), to, 1))
		b.Until("the session to wait for more", func() bool { return b.Queue.Depth().Idle == 1 })
	}
	if n, _ := k.Conns(); n != 1 || b.Engine.Stats.Connections.Load() != 1 || b.Engine.Stats.Reused.Load() != 4 {
		t.Errorf("%d connections, counted %d, reused %d", n, b.Engine.Stats.Connections.Load(), b.Engine.Stats.Reused.Load())
	}
	for _, c := range []struct {
		name string
		s    script
		n    int // connections for four messages
	}{
		{"one message a connection", script{PerConn: 1}, 4},
		{"closes after each", script{Dot: apptest.ThenDrop}, 4},
		{"two messages a connection", script{PerConn: 2}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := strings.ReplaceAll(c.name, " ", "-") + ".test"
			k := b.site(t, name, c.s)
			for i := range 4 {
				to := fmt.Sprintf("r%d@%s", i, name)
				ok().check(t, b.Outcome(b.Send(from, fields{"to", to}), to, 1))
			}
			if n, _ := k.Conns(); n != c.n || len(k.Messages()) != 4 {
				t.Errorf("%d connections and %d messages, want %d and 4", n, len(k.Messages()), c.n)
			}
		})
	}
}

// TestRefusedReset: what a server says to RSET is about the transaction before;
// the next message goes out on a new connection and its recipient is not blamed.
func TestRefusedReset(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "reset.test", script{Rcpt: map[string]apptest.Step{"gone@reset.test": "550 5.1.1 no such user"}, Rset: "550 session blocked"})
	permanent("bounce", 550, "5.1.1", "no such user").check(t, b.Outcome(b.Send(from, fields{"to", "gone@reset.test"}), "gone@reset.test", 1))
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "well@reset.test"}), "well@reset.test", 1))
	if got := k.Messages(); len(got) != 1 || got[0].Conn != 2 {
		t.Fatalf("%+v", got)
	}
}
