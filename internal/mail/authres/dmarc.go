package authres

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"

	"postroad/internal/base/dnsx"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/dkim"
)

const (
	// maxAuthors is how many domains of authors are looked at. A message has one.
	maxAuthors = 4
	// maxFrom bounds the From fields that are read, in octets.
	maxFrom = 64 << 10
)

// authors returns the domains in all From fields, in A-labels. Two fields are as
// much a forgery as two addresses in one, so that they are treated alike. If
// there is none or too many, reason says so.
func authors(m *dkim.Message) (domains []string, reason string) {
	fields := m.Fields("From", maxAuthors+1)
	if len(fields) > maxAuthors {
		return nil, "too many From fields"
	}
	for _, f := range fields {
		value := f.Value()
		if len(value) > maxFrom {
			return nil, "From is too long"
		}
		list, err := addr.ParseList(strings.NewReplacer("\r", "", "\n", "").Replace(string(value)))
		if err != nil {
			return nil, "malformed From"
		}
		for _, a := range list {
			if domains = addDomain(domains, a); len(domains) > maxAuthors {
				return nil, "too many authors"
			}
		}
	}
	if len(domains) == 0 {
		return nil, "no author"
	}
	return domains, ""
}

func addDomain(domains []string, a addr.Address) []string {
	ascii, err := dnsx.ASCIIName(a.Domain)
	if err != nil {
		return domains
	}
	for _, d := range domains {
		if d == ascii {
			return domains
		}
	}
	return append(domains, ascii)
}

// discoverAll finds the records of all authors.
func discoverAll(ctx context.Context, r Resolver, domains []string) []published {
	found := make([]published, len(domains))
	var wait sync.WaitGroup
	for i, d := range domains {
		wait.Go(func() { found[i] = discover(ctx, r, d) })
	}
	wait.Wait()
	return found
}

// evaluateAll applies the records and returns the strictest outcome.
func evaluateAll(found []published, from SPF, signatures []DKIM) DMARC {
	var worst DMARC
	for i, p := range found {
		if d := evaluate(p, from, signatures, rand.IntN(100)); i == 0 || strictness(d) > strictness(worst) {
			worst = d
		}
	}
	return worst
}

func strictness(d DMARC) int {
	n := map[Disposition]int{Deliver: 0, Quarantine: 8, Reject: 16}[d.Disposition]
	return n + map[Result]int{Pass: 0, None: 1, TempError: 2, PermError: 3, Fail: 4}[d.Result]
}

// evaluate is RFC 7489, section 6.6.2, from step 5 on. roll, from 0 to 99, decides
// whether the message is one of those that the policy is meant for.
func evaluate(p published, from SPF, signatures []DKIM, roll int) DMARC {
	d := DMARC{Result: p.result, Domain: p.author, Record: p.at, Disposition: Deliver, Reason: p.reason}
	if p.at == "" {
		return d
	}
	d.Policy, d.Percent = p.policy(), p.record.percent
	later := from.Result == TempError && aligned(from.Domain, p.author, p.record.strictSPF)
	d.SPF = from.Result == Pass && aligned(from.Domain, p.author, p.record.strictSPF)
	for _, s := range signatures {
		if !aligned(s.Domain, p.author, p.record.strictDKIM) {
			continue
		}
		d.DKIM = d.DKIM || s.Result == Pass
		later = later || s.Result == TempError
	}
	switch {
	case d.SPF || d.DKIM:
		d.Result = Pass
	case later: // it might have passed
		d.Result, d.Reason = TempError, errNoAnswer.Error()
	default:
		d.Result = Fail
		d.Disposition = sampled(d.Policy, d.Percent, roll)
	}
	return d
}

// sampled is what is asked for a message that failed: those that the dice spare
// get the next milder policy (RFC 7489, section 6.6.4).
func sampled(policy Disposition, percent, roll int) Disposition {
	switch {
	case roll < percent:
		return policy
	case policy == Reject:
		return Quarantine
	default:
		return Deliver
	}
}
