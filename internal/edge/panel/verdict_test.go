package panel

import (
	"strings"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	now := fixedNow()
	accepted := now.Add(-10 * time.Minute)
	at := func(d time.Duration) time.Time { return accepted.Add(d) }
	rcpt := func(s Status, as ...Attempt) Recipient {
		return Recipient{Address: "jane@example.org", Status: s, Attempts: as}
	}
	answer := func(s Status, code int, enhanced, reply string) Attempt {
		return Attempt{Time: at(time.Second), Duration: 800 * time.Millisecond, Outcome: s, MX: "mx.example.org", Code: code, Enhanced: enhanced, Reply: reply}
	}
	ok := answer(Delivered, 250, "2.0.0", "OK queued as 1")
	busy := answer(Deferred, 451, "4.7.500", "Server busy")
	gone := answer(Failed, 550, "5.1.1", "No such user")
	odd := answer(Failed, 554, "", "Go away")
	dial := Attempt{Time: at(time.Minute), Duration: 30 * time.Second, Outcome: Deferred, MX: "mx.example.org", Error: "dial tcp: i/o timeout"}
	opened := []Event{{Name: "opened", Recipient: "Jane@example.org"}, {Name: "opened", Recipient: "jane@example.org"},
		{Name: "opened", Recipient: "someone@example.org"}, {Name: "clicked", Recipient: "jane@example.org"}}
	later := rcpt(Deferred, dial, busy)
	later.NextTry = now.Add(5 * time.Minute)
	due := rcpt(Deferred, busy)
	due.NextTry = now.Add(-time.Minute)
	listed := rcpt(Suppressed)
	listed.Reason = "it bounced on 2 Feb 2026."
	kept := rcpt(Complained)
	kept.Captured = true
	cut := Attempt{Time: at(time.Minute), MX: "mx.example.org", Error: "server offers no AUTH", Transcript: []Line{{Text: "220 hello"}}}
	typo := Recipient{Address: "jan@gmial.com", Status: Failed, Attempts: []Attempt{gone}}

	cases := []struct {
		name   string
		rs     []Recipient
		events []Event
		want   string
		status Status
		words  string
		did    string
	}{
		{"nobody", nil, nil, "Accepted; it has no recipients yet.", Accepted, "", ""},
		{"delivered", []Recipient{rcpt(Delivered, ok)}, nil, "Delivered to mx.example.org in 1.8 s.", Delivered, "250 2.0.0 OK queued as 1", ""},
		{"delivered later", []Recipient{rcpt(Delivered, busy, ok)}, nil, "Delivered to mx.example.org in 1.8 s on the second attempt.", Delivered, "250 2.0.0 OK queued as 1", ""},
		{"opened and clicked", []Recipient{rcpt(Delivered, ok)}, opened, "Delivered to mx.example.org in 1.8 s; opened twice; clicked once.", Delivered, "250 2.0.0 OK queued as 1", ""},
		{"delivered without evidence", []Recipient{rcpt(Delivered)}, nil, "Marked as delivered, but no reply of a receiving server is recorded.", Delivered, "", ""},
		{"complained", []Recipient{rcpt(Complained, ok)}, nil, "Delivered to mx.example.org in 1.8 s; then reported as spam.", Complained, "250 2.0.0 OK queued as 1", ""},
		{"captured", []Recipient{rcpt(Captured)}, nil, "Captured for jane@example.org. It was not and will not be delivered.", Captured, "", ""},
		{"captured after a simulated refusal", []Recipient{rcpt(Captured, busy)}, nil, "Captured for jane@example.org. It was not and will not be delivered.", Captured, "", ""},
		{"captured and opened", []Recipient{rcpt(Captured)}, opened, "Captured for jane@example.org. It was not and will not be delivered. What followed: opened twice; clicked once.", Captured, "", ""},
		{"captured, then complained", []Recipient{kept}, nil, "Captured for jane@example.org. What followed: reported as spam.", Complained, "", ""},
		{"deferred, broken off", []Recipient{rcpt(Deferred, cut)}, nil, "Deferred: the conversation with mx.example.org broke off on the first attempt.", Deferred, "server offers no AUTH", ""},
		{"deferred", []Recipient{later}, nil, "Deferred: mx.example.org answered 451 4.7.500 on the second attempt. Next try in 5 min.", Deferred, "451 4.7.500 Server busy", ""},
		{"deferred, due", []Recipient{due}, nil, "Deferred: mx.example.org answered 451 4.7.500 on the first attempt. The next try is due.", Deferred, "451 4.7.500 Server busy", ""},
		{"deferred, no answer", []Recipient{rcpt(Deferred, dial)}, nil, "Deferred: no answer from mx.example.org on the first attempt.", Deferred, "dial tcp: i/o timeout", ""},
		{"failed with a known code", []Recipient{rcpt(Failed, gone)}, nil, "Failed: the address does not exist. mx.example.org answered 550 5.1.1 on the first attempt after 0.8 s.", Failed, "550 5.1.1 No such user", ""},
		{"failed with an unknown code", []Recipient{rcpt(Failed, odd)}, nil, "Failed: mx.example.org answered 554 on the first attempt after 0.8 s.", Failed, "554 Go away", ""},
		{"failed without an attempt", []Recipient{rcpt(Failed)}, nil, "Failed: no attempt and no reason is recorded.", Failed, "", ""},
		{"mistyped", []Recipient{typo}, nil, "Failed: the address does not exist. mx.example.org answered 550 5.1.1 on the first attempt after 0.8 s.", Failed, "550 5.1.1 No such user", "jan@gmail.com"},
		{"suppressed", []Recipient{listed}, nil, "Not sent: it bounced on 2 Feb 2026.", Suppressed, "", ""},
		{"suppressed, no reason", []Recipient{rcpt(Suppressed)}, nil, "Not sent: jane@example.org is on a suppression list.", Suppressed, "", ""},
		{"rejected", []Recipient{rcpt(Rejected)}, nil, "Rejected on submission: no reason is recorded.", Rejected, "", ""},
		{"scheduled", []Recipient{{Status: Scheduled, NextTry: now.Add(3 * time.Hour)}}, nil, "Scheduled: not yet due. First attempt in 3 h.", Scheduled, "", ""},
		{"expired", []Recipient{rcpt(Expired, busy, dial)}, nil, "Expired: given up after 2 attempts in 60 s. Last, no answer from mx.example.org on the second attempt.", Expired, "dial tcp: i/o timeout", ""},
		{"accepted", []Recipient{rcpt(Accepted)}, nil, "Accepted; waiting for the first attempt.", Accepted, "", ""},
		{"all the same", []Recipient{rcpt(Delivered, ok), rcpt(Delivered, ok)}, nil, "All 2 recipients: delivered.", Delivered, "", ""},
		{"mixed", []Recipient{rcpt(Failed, gone), rcpt(Delivered, ok), rcpt(Deferred, busy)}, nil, "3 recipients: 1 delivered, 1 deferred, 1 failed.", Failed, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := Verdict(accepted, c.rs, c.events, now)
			if got.Text != c.want {
				t.Errorf("text\n got %q\nwant %q", got.Text, c.want)
			}
			if got.Status != c.status || got.Words != c.words || got.Did != c.did {
				t.Errorf("got status %q, words %q, did %q", got.Status, got.Words, got.Did)
			}
		})
	}
}

// A sentence must never claim a delivery that nothing proves.
func TestVerdictNeedsEvidence(t *testing.T) {
	for _, code := range []int{0, 199, 354, 421, 550} {
		r := Recipient{Status: Delivered, Attempts: []Attempt{{Code: code, MX: "mx.example.org"}}}
		if got := Verdict(fixedNow(), []Recipient{r}, nil, fixedNow()); strings.HasPrefix(got.Text, "Delivered") {
			t.Errorf("code %d: %q", code, got.Text)
		}
	}
}

func TestMeant(t *testing.T) {
	unknown := Attempt{Code: 550, Enhanced: "5.1.1"}
	cases := []struct {
		address string
		a       Attempt
		want    string
	}{
		{"jan@gmial.com", unknown, "jan@gmail.com"},
		{"jan@gmail.co", unknown, "jan@gmail.com"},
		{"jan@gmaill.com", unknown, "jan@gmail.com"},
		{"jan@hotmsil.com", unknown, "jan@hotmail.com"},
		{"jan@outlok.com", Attempt{Error: "no such host"}, "jan@outlook.com"},
		{"jan@gmail.com", unknown, ""},
		{"jan@gmx.de", unknown, ""},
		{"jan@example.com", unknown, ""},
		{"jan@gmial.com", Attempt{Code: 550, Enhanced: "5.7.1"}, ""},
		{"gmial.com", unknown, ""},
		{"@gmial.com", unknown, ""},
	}
	for _, c := range cases {
		if got := meant(c.address, c.a); got != c.want {
			t.Errorf("meant(%q) = %q, want %q", c.address, got, c.want)
		}
	}
}

func TestSpanAndAgo(t *testing.T) {
	now := fixedNow()
	for d, want := range map[time.Duration]string{0: "0 ms", 42 * time.Millisecond: "42 ms", 1800 * time.Millisecond: "1.8 s", 45 * time.Second: "45 s",
		5 * time.Minute: "5 min", 8 * time.Hour: "8 h", 72 * time.Hour: "3 days", -5 * time.Minute: "5 min"} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "now", 3 * time.Second: "3 s ago", 5 * time.Minute: "5 min ago", -5 * time.Minute: "in 5 min",
		9 * 24 * time.Hour: "23 Feb 2026"} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("ago(%v) = %q, want %q", d, got, want)
		}
	}
	if got := ago(time.Time{}, now); got != "never" {
		t.Errorf("ago(zero) = %q", got)
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1204: "1,204", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q", n, got)
		}
	}
}
