package e2e

import (
	"testing"
	"time"

	"postroad/internal/config"
)

// openOnly opens the one message a search finds.
func (b *tab) openOnly(p *program, search string) {
	b.t.Helper()
	b.visit(p.base + "/messages?q=" + search)
	b.until(`document.querySelectorAll("tbody tr").length === 1`)
	b.click("a.open")
	b.until(`location.pathname.match("^/messages/.") && document.readyState === "complete"`)
}

// Addresses of dev mode that decide outcomes: the message page says what
// happened in one sentence.
func TestOutcomes(t *testing.T) {
	p := start(t, config.Dev)
	b := open(t)
	verdict := func(subject, words string) {
		t.Helper()
		b.openOnly(p, "subject:"+subject)
		b.says(".verdict .say", words)
	}
	p.send("x+bounce@example.com", "bounced")
	verdict("bounced", "Failed: the address does not exist. captured.localhost answered 550 5.1.1")
	b.says(".verdict .words", "550 5.1.1")
	choose(b, "Timeline")
	b.says(".timeline", "failed")

	p.send("x+bounce@example.com", "again")
	verdict("again", "Not sent:")
	b.says(".verdict .say", "bounced")
	b.until(`document.querySelector(".verdict .status, .verdict svg")`)

	p.send("x+complain@example.com", "complaint")
	verdict("complaint", "Captured for x+complain@example.com. What followed: reported as spam.")
	p.send("x+click@example.com", "clicked")
	verdict("clicked", "It was not and will not be delivered. What followed: opened once; clicked once.")
	p.send("x+reject@example.com", "refused")
	verdict("refused", "Rejected")
	p.send("x+552@example.com", "full")
	verdict("full", "552")

	// The deferred one is delivered on the next attempt, under the reader's eyes.
	p.send("x+defer@example.com", "later")
	b.openOnly(p, "subject:later")
	b.says(".verdict .say", "Captured for x+defer@example.com.")
	choose(b, "Timeline")
	b.says(".timeline", "451 4.7.1")
	choose(b, "SMTP")
	b.says("#view", "Attempt 1: deferred")

	when := time.Now().Add(26 * time.Hour).Format(time.RFC1123Z)
	p.send("x@example.com", "scheduled", [2]string{"text", "hi"}, [2]string{"o:deliverytime", when})
	verdict("scheduled", "Scheduled: not yet due. First attempt in 25 h.")
	b.says(".facts", "Scheduled for")
	p.send("x@example.com", "timed", [2]string{"text", "hi"}, [2]string{"o:time-zone-localize", "09:00"})
	verdict("timed", "Captured for x@example.com.")
	b.says(".facts", "no click with a known place: delivered at once")
	b.clean()
}
