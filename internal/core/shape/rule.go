package shape

import (
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/netx"
)

// Scope says what a rule's Match names.
type Scope string

// The scopes. Lane, site, source and recipient domain are about destinations,
// account, domain and tag about senders.
const (
	// ScopeLane matches one lane by its name.
	ScopeLane Scope = "lane"
	// ScopeSite matches a site by its name, every site with an MX host of that
	// name or below it ("google.com"), or all ("*"). It holds for each of the
	// site's lanes by itself.
	ScopeSite Scope = "site"
	// ScopeSource matches every lane from one source by its name.
	ScopeSource Scope = "source"
	// ScopeRecipientDomain matches a domain, those below one ("*.example.com"),
	// or all ("*"). A domain that is paused or limited so has a lane of its own:
	// see Separate.
	ScopeRecipientDomain Scope = "recipient_domain"
	// ScopeAccount matches a sending account by its id, or "*": each by itself.
	ScopeAccount Scope = "account"
	// ScopeDomain matches a sending domain by its row id, or "*": each by itself.
	ScopeDomain Scope = "domain"
	// ScopeTag matches the first tag of messages, or "*": each by itself.
	ScopeTag Scope = "tag"
)

func (s Scope) sender() bool { return s == ScopeAccount || s == ScopeDomain || s == ScopeTag }

// Kind is what a rule does.
type Kind string

// The kinds.
const (
	Pause   Kind = "pause"   // nothing is sent
	Limit   Kind = "limit"   // no more than so much
	Reroute Kind = "reroute" // another way
)

// Origin says who made a rule or a limit.
type Origin string

// The origins.
const (
	Admin   Origin = "admin"   // an operator
	Auto    Origin = "auto"    // the program, because of what a server said
	Default Origin = "default" // comes with the program
)

// Rule is one rule. Fields that its kind does not use are zero.
type Rule struct {
	ID    int64
	Scope Scope
	Match string
	Kind  Kind

	Sessions      int           // of a limit: sessions at once, 0 for unset
	PerConnection int           // of a limit: messages per connection, 0 for unset
	Count         int64         // of a limit: deliveries per Period, 0 for unset
	Period        time.Duration // whole seconds
	// Target of a reroute: "relay:host:port", "source:name" or "pool:name".
	Target string

	Reason    string // why, for people
	Origin    Origin
	Step      int // of an automatic pause: how often in a row
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// Bounds of what a rule may say.
const (
	maxRules    = 5000
	maxSessions = 10_000
	maxCount    = 1_000_000_000
	maxPeriod   = 31 * 24 * time.Hour
	maxText     = 500
	maxMatch    = 1000
)

// rate is the limit of a rule in deliveries per second, 0 for none.
func (r *Rule) rate() float64 {
	if r.Count == 0 {
		return 0
	}
	return float64(r.Count) / r.Period.Seconds()
}

func (r *Rule) expired(now time.Time) bool { return !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt) }

func invalid(format string, args ...any) error { return errs.New(errs.Invalid, format, args...) }

// check brings a rule into its form or says what is wrong with it.
func (r *Rule) check(now time.Time) error {
	r.Match, r.Target = strings.TrimSpace(r.Match), strings.TrimSpace(r.Target)
	r.Reason = strings.TrimSpace(r.Reason)
	if r.Reason == "" {
		return invalid("a rule needs a reason: whoever finds it in a year must know why it is there")
	}
	for name, text := range map[string]string{"reason": r.Reason, "author": r.CreatedBy, "target": r.Target} {
		if len(text) > maxText || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' }) {
			return invalid("the %s has more than %d characters, or control characters", name, maxText)
		}
	}
	if err := r.checkMatch(); err != nil {
		return err
	}
	if r.expired(now) {
		return invalid("the rule would have expired already")
	}
	if r.Origin != Admin && r.Origin != Auto {
		return invalid("the origin of a rule is %q or %q", Admin, Auto)
	}
	return r.checkKind()
}

func (r *Rule) checkMatch() error {
	m := r.Match
	if m == "" || len(m) > maxMatch || strings.ContainsFunc(m, func(c rune) bool { return c < ' ' }) {
		return invalid("a rule needs what it matches, in at most %d characters", maxMatch)
	}
	switch r.Scope {
	case ScopeLane:
		if _, err := ParseLane(m); err != nil {
			return invalid("%s", err.Error())
		}
	case ScopeSite, ScopeSource:
		if strings.ContainsAny(m, "@ ") {
			return invalid("%q is not the name of a %s", m, r.Scope)
		}
		if r.Scope == ScopeSite {
			r.Match = strings.ToLower(m)
		}
	case ScopeRecipientDomain:
		r.Match = strings.ToLower(strings.TrimSuffix(m, "."))
		if d := strings.TrimPrefix(r.Match, "*."); r.Match != "*" && (d == "" || strings.ContainsAny(d, "*@: /")) {
			return invalid("%q is not a domain, \"*.domain\" or \"*\"", m)
		}
	case ScopeDomain:
		if n, err := strconv.ParseInt(m, 10, 64); m != "*" && (err != nil || n <= 0 || strconv.FormatInt(n, 10) != m) {
			return invalid("a sending domain is named by its number here, not %q", m)
		}
	case ScopeAccount, ScopeTag:
	default:
		return invalid("unknown scope %q", r.Scope)
	}
	return nil
}

func (r *Rule) checkKind() error {
	hasLimit := r.Sessions != 0 || r.PerConnection != 0 || r.Count != 0 || r.Period != 0
	if r.Kind != Limit && hasLimit {
		return invalid("a %s has no limits", r.Kind)
	}
	if r.Kind != Reroute && r.Target != "" {
		return invalid("a %s has no target", r.Kind)
	}
	switch r.Kind {
	case Pause:
		return nil
	case Limit:
		return r.checkLimits(hasLimit)
	case Reroute:
		if r.Scope != ScopeSite && r.Scope != ScopeRecipientDomain {
			return invalid("only a site or a recipient domain can be rerouted, not a %s", r.Scope)
		}
		if netx.IsURL(r.Match) {
			return invalid("requests to URLs cannot be rerouted")
		}
		return checkTarget(r.Target)
	}
	return invalid("unknown kind %q of rule", r.Kind)
}

func (r *Rule) checkLimits(any bool) error {
	switch {
	case !any:
		return invalid("a limit needs sessions, messages per connection, or a count and a period")
	case r.Scope.sender() && (r.Sessions != 0 || r.PerConnection != 0):
		return invalid("the limit of a sender is a count and a period; sessions and connections belong to destinations")
	case r.Sessions < 0 || r.Sessions > maxSessions || r.PerConnection < 0 || r.PerConnection > 1_000_000:
		return invalid("sessions are 1 to %d, messages per connection 1 to 1000000; to stop mail, make a pause", maxSessions)
	case (r.Count == 0) != (r.Period == 0) || r.Count < 0 || r.Count > maxCount:
		return invalid("a rate is a count of 1 to %d and a period; to stop mail, make a pause", maxCount)
	case r.Period < 0 || r.Period > maxPeriod || r.Period%time.Second != 0:
		return invalid("the period of a rate is 1 s to %d days, in whole seconds", int(maxPeriod.Hours()/24))
	}
	return nil
}

func checkTarget(target string) error {
	kind, name, _ := strings.Cut(target, ":")
	switch kind {
	case "relay":
		i := strings.LastIndexByte(name, ':')
		if i <= 0 || strings.ContainsAny(name, "@ ,") {
			break
		}
		if port, err := strconv.ParseUint(name[i+1:], 10, 16); err == nil && port > 0 {
			return nil
		}
	case "source", "pool":
		if name != "" && !strings.ContainsAny(name, "@ ,") {
			return nil
		}
	}
	return invalid("%q is not a way for mail: relay:host:port, source:name or pool:name", target)
}
