package authres

import (
	"context"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// record is a DMARC record (RFC 7489, section 6.3), without what is about reports.
type record struct {
	policy, sub  Disposition
	strictSPF    bool
	strictDKIM   bool
	percent      int
	wantsReports bool // "rua=" is there
}

// isDMARC reports whether a text is a DMARC record: its version stands first, in
// this case (RFC 7489, section 6.6.3).
func isDMARC(text string) bool {
	rest, ok := strings.CutPrefix(text, "v")
	if ok {
		rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), "=")
	}
	if ok {
		rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), "DMARC1")
	}
	rest = strings.TrimLeft(rest, " \t")
	return ok && (rest == "" || rest[0] == ';')
}

// parseDMARC reads a record. What is malformed counts as absent (RFC 7489,
// section 6.3); false is returned if the record cannot be used for that, as
// section 6.6.3, item 6, has it.
func parseDMARC(text string) (record, bool) {
	r := record{percent: 100}
	if len(text) > maxRecord || !isDMARC(text) {
		return r, false
	}
	seen := map[string]bool{}
	valid := true
	for part := range strings.SplitSeq(text, ";") {
		name, value, _ := strings.Cut(part, "=")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.ToLower(strings.Trim(value, " \t"))
		if seen[name] || len(seen) > 32 {
			continue
		}
		seen[name] = true
		switch name {
		case "p":
			r.policy = disposition(value)
		case "sp":
			r.sub = disposition(value)
			valid = r.sub != ""
		case "adkim":
			r.strictDKIM = value == "s"
		case "aspf":
			r.strictSPF = value == "s"
		case "pct":
			if n, err := strconv.ParseUint(value, 10, 8); err == nil && n <= 100 {
				r.percent = int(n)
			}
		case "rua":
			r.wantsReports = strings.Contains(value, ":")
		}
	}
	if r.policy == "" || !valid {
		r.policy, r.sub = Deliver, ""
		return r, r.wantsReports
	}
	return r, true
}

// disposition returns "" for what is no policy.
func disposition(value string) Disposition {
	switch d := Disposition(value); d {
	case Deliver, Quarantine, Reject:
		return d
	}
	return ""
}

// orgDomain is the domain a name was registered under (RFC 7489, section 3.2), and
// the name itself if nothing can be registered above it.
func orgDomain(name string) string {
	org, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return name
	}
	return org
}

// aligned reports whether a domain stands for an author's (RFC 7489, section 3.1).
func aligned(domain, author string, strict bool) bool {
	if strict || domain == author {
		return domain == author
	}
	return domain != "" && orgDomain(domain) == orgDomain(author)
}

// published is the record that counts for an author's domain.
type published struct {
	author string
	at     string // the domain whose record it is
	record record
	result Result // None, TempError or PermError if there is no record to apply
	reason string
}

// discover finds the record (RFC 7489, section 6.6.3).
func discover(ctx context.Context, r Resolver, author string) published {
	p := published{author: author, result: None}
	org := orgDomain(author)
	for _, at := range []string{author, org} {
		found, err := texts(ctx, r, "_dmarc."+at, isDMARC)
		switch {
		case err != nil:
			p.result, p.reason = TempError, errNoAnswer.Error()
			return p
		case len(found) > 1:
			p.reason = "more than one DMARC record"
			return p
		case len(found) == 1:
			rec, ok := parseDMARC(found[0])
			if !ok {
				p.result, p.reason = PermError, "malformed DMARC record"
				return p
			}
			p.at, p.record, p.result = at, rec, Pass
			return p
		}
		if at == org {
			break
		}
	}
	return p
}

// policy is what the record wants for the author's domain: "sp=" is for those
// below the one it stands at.
func (p published) policy() Disposition {
	if p.at != p.author && p.record.sub != "" {
		return p.record.sub
	}
	return p.record.policy
}
