package panel

import (
	"fmt"
	"strings"
	"time"
)

// Finding is the answer to "what happened to this message?".
type Finding struct {
	Status Status
	Text   string    // one sentence, plain text
	Words  string    // the receiving server's own words, with its codes
	By     string    // who said them
	Next   time.Time // the next try, zero if none
	Did    string    // an address that was perhaps meant, empty if none
	Listed *Listed   // why the recipient is on a suppression list, nil if that is not the matter
}

// Verdict sums up what is known about the given recipients of a message in one
// sentence. It claims no more than the attempts prove: a status without
// evidence is reported as such.
func Verdict(accepted time.Time, rs []Recipient, events []Event, now time.Time) Finding {
	switch len(rs) {
	case 0:
		return Finding{Status: Accepted, Text: "Accepted; it has no recipients yet."}
	case 1:
		return verdictOne(accepted, rs[0], events, now)
	default:
		return verdictMany(rs)
	}
}

// verdictMany counts the recipients by status; the worst gives the colour.
func verdictMany(rs []Recipient) Finding {
	count := map[Status]int{}
	for _, r := range rs {
		count[r.Status]++
	}
	f := Finding{Status: Accepted}
	var parts []string
	for _, s := range statuses() {
		if n := count[s]; n > 0 {
			f.Status = s
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if len(parts) == 1 {
		f.Text = fmt.Sprintf("All %d recipients: %s.", len(rs), f.Status)
		return f
	}
	f.Text = fmt.Sprintf("%d recipients: %s.", len(rs), strings.Join(parts, ", "))
	return f
}

func verdictOne(accepted time.Time, r Recipient, events []Event, now time.Time) Finding {
	f := Finding{Status: r.Status, Next: r.NextTry}
	last := lastAttempt(r)
	f.Words, f.By = words(last), last.MX
	switch r.Status {
	case Captured:
		f.Words, f.By = "", "" // of a simulated refusal before
		f.Text = fmt.Sprintf("Captured for %s. It was not and will not be delivered.", r.Address) + followed(engagement(r, events))
	case Complained:
		if r.Captured {
			f.Words, f.By = "", ""
			f.Text = fmt.Sprintf("Captured for %s.", r.Address) + followed(engagement(r, events))
			break
		}
		fallthrough
	case Delivered:
		f.Text = delivered(accepted, r, last) + engagement(r, events) + "."
	case Deferred:
		f.Text = "Deferred: " + trouble(last, len(r.Attempts)) + "." + nextTry(r.NextTry, now)
	case Failed:
		f.Text, f.Did = failed(r, last), meant(r.Address, last)
	case Expired:
		f.Text = expired(accepted, r, last)
	case Scheduled:
		f.Text = "Scheduled: not yet due." + strings.Replace(nextTry(r.NextTry, now), "Next try", "First attempt", 1)
	case Suppressed:
		f.Text, f.Listed = "Not sent: "+because(r.Reason, r.Address+" is on a suppression list")+".", r.Listed
	case Stored:
		f.Text = fmt.Sprintf("Received for %s and stored; programs fetch it from the API.", r.Address)
	case Rejected:
		f.Text = "Rejected on submission: " + because(r.Reason, "no reason is recorded") + "."
	default:
		f.Text = "Accepted; waiting for the first attempt." + nextTry(r.NextTry, now)
	}
	return f
}

// followed tells what happened to a captured message: what its recipient was said
// to do, or somebody who followed its links.
func followed(did string) string {
	if did == "" {
		return ""
	}
	return " What followed: " + strings.TrimPrefix(strings.TrimPrefix(did, "; "), "then ") + "."
}

func lastAttempt(r Recipient) Attempt {
	if len(r.Attempts) == 0 {
		return Attempt{}
	}
	return r.Attempts[len(r.Attempts)-1]
}

// words is the reply as the server gave it, or what stopped us hearing one.
func words(a Attempt) string {
	if a.Code == 0 {
		return a.Error
	}
	parts := []string{fmt.Sprint(a.Code)}
	if a.Enhanced != "" {
		parts = append(parts, a.Enhanced)
	}
	return strings.TrimSpace(strings.Join(append(parts, a.Reply), " "))
}

// delivered names the server that took the message over. RFC 5321 section
// 4.2.5: responsibility passes with the 250 answer to the end of the data.
func delivered(accepted time.Time, r Recipient, a Attempt) string {
	if a.Code < 200 || a.Code > 299 {
		return "Marked as delivered, but no reply of a receiving server is recorded"
	}
	to := a.MX
	if to == "" {
		to = r.Address
	}
	s := "Delivered to " + to
	if took := a.Time.Add(a.Duration).Sub(accepted); !accepted.IsZero() && took >= 0 {
		s += " in " + span(took)
	}
	if n := len(r.Attempts); n > 1 {
		s += " on " + ordinal(n)
	}
	return s
}

// engagement adds what the recipient is known to have done since.
func engagement(r Recipient, events []Event) string {
	opened, clicked := 0, 0
	for _, e := range events {
		if !strings.EqualFold(e.Recipient, r.Address) {
			continue
		}
		switch e.Name {
		case "opened":
			opened++
		case "clicked":
			clicked++
		}
	}
	var s string
	if opened > 0 {
		s += "; opened " + times(opened)
	}
	if clicked > 0 {
		s += "; clicked " + times(clicked)
	}
	if r.Status == Complained {
		s += "; then reported as spam"
	}
	return s
}

// trouble says who refused and on which attempt, or that nobody answered.
func trouble(a Attempt, n int) string {
	switch {
	case n == 0:
		return "no attempt is recorded"
	case a.Code != 0:
		return fmt.Sprintf("%s answered %s on %s", host(a), codes(a), ordinal(n))
	case a.Error != "":
		return fmt.Sprintf("%s on %s", noAnswer(a), ordinal(n))
	default:
		return fmt.Sprintf("%s did not say why on %s", host(a), ordinal(n))
	}
}

func failed(r Recipient, a Attempt) string {
	n := len(r.Attempts)
	if n == 0 {
		return "Failed: " + because(r.Reason, "no attempt and no reason is recorded") + "."
	}
	took := ""
	if a.Duration > 0 {
		took = " after " + span(a.Duration)
	}
	if m := meaning(a.Enhanced); m != "" && a.Code != 0 {
		return fmt.Sprintf("Failed: %s. %s%s.", m, upper(trouble(a, n)), took)
	}
	return "Failed: " + trouble(a, n) + took + "."
}

func expired(accepted time.Time, r Recipient, a Attempt) string {
	n := len(r.Attempts)
	if n == 0 {
		return "Expired: the time allowed ran out before the first attempt."
	}
	tries := fmt.Sprintf("%d attempts", n)
	if n == 1 {
		tries = "one attempt"
	}
	return fmt.Sprintf("Expired: given up after %s in %s. Last, %s.", tries, span(a.Time.Sub(accepted)), trouble(a, n))
}

func nextTry(t, now time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.After(now):
		return " Next try " + ago(t, now) + "."
	default:
		return " The next try is due."
	}
}

func because(reason, otherwise string) string {
	if reason == "" {
		return otherwise
	}
	return strings.TrimRight(reason, ". ")
}

func host(a Attempt) string {
	if a.MX == "" {
		return "the receiving server"
	}
	return a.MX
}

func codes(a Attempt) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.Code, a.Enhanced))
}

func noAnswer(a Attempt) string {
	switch {
	case a.MX == "":
		return "no server could be reached"
	case len(a.Transcript) > 0:
		return "the conversation with " + a.MX + " broke off"
	}
	return "no answer from " + a.MX
}

func upper(s string) string {
	if s == "" {
		return s
	}
	// Host names keep their spelling; only our own words start a sentence.
	if strings.HasPrefix(s, "the ") || strings.HasPrefix(s, "no ") {
		return strings.ToUpper(s[:1]) + s[1:]
	}
	return s
}
