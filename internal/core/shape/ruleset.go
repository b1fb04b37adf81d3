package shape

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/netx"
)

// ruleset is the operator's rules in the form questions need. It never changes:
// a changed rule makes a new one.
type ruleset struct {
	gen     uint64
	lane    map[string][]*Rule // by lane name
	wide    []*Rule            // pauses and limits of many lanes, the more specific later
	ways    []*Rule            // reroutes, the more specific first
	own     []*Rule            // recipient domains that are paused or limited
	senders map[Scope]map[string][]*Rule
	expires time.Time // the earliest end of a rule, zero for none
}

// newRuleset sorts the rules that have not expired.
func newRuleset(gen uint64, rules []Rule, now time.Time) *ruleset {
	s := &ruleset{gen: gen, lane: map[string][]*Rule{}, senders: map[Scope]map[string][]*Rule{}}
	for i := range rules {
		r := &rules[i]
		if r.Origin == Auto || r.expired(now) {
			continue // an automatic rule is the state of its lane
		}
		if !r.ExpiresAt.IsZero() && (s.expires.IsZero() || r.ExpiresAt.Before(s.expires)) {
			s.expires = r.ExpiresAt
		}
		s.add(r)
	}
	slices.SortStableFunc(s.wide, func(a, b *Rule) int { return cmp.Compare(a.weight(), b.weight()) })
	slices.SortStableFunc(s.ways, func(a, b *Rule) int { return cmp.Compare(b.weight(), a.weight()) })
	return s
}

func (s *ruleset) add(r *Rule) {
	switch {
	case r.Kind == Reroute:
		s.ways = append(s.ways, r)
	case r.Scope.sender():
		if s.senders[r.Scope] == nil {
			s.senders[r.Scope] = map[string][]*Rule{}
		}
		s.senders[r.Scope][r.Match] = append(s.senders[r.Scope][r.Match], r)
	case r.Scope == ScopeLane:
		s.lane[r.Match] = append(s.lane[r.Match], r)
	default:
		s.wide = append(s.wide, r)
		if r.Scope == ScopeRecipientDomain {
			s.own = append(s.own, r)
		}
	}
}

// weight orders rules by how much they name: all, a source, a part of a site,
// a name. Of two parts the longer one counts more.
func (r *Rule) weight() int {
	base := map[Scope]int{ScopeSite: 10_000, ScopeSource: 2_000, ScopeRecipientDomain: 40_000}[r.Scope]
	switch {
	case r.Match == "*":
		return base - 10_000
	case r.Scope == ScopeSite && (strings.HasPrefix(r.Match, mxSite) || isRelay(r.Match) || netx.IsURL(r.Match)):
		return 30_000
	}
	return base + len(strings.TrimPrefix(r.Match, "*."))
}

// covers reports whether a rule about destinations is about the lane. One about a
// host or a domain is about mail, not about URLs there.
func (r *Rule) covers(l Lane) bool {
	switch r.Scope {
	case ScopeSource:
		return r.Match == l.Source
	case ScopeSite:
		if r.Match == "*" || r.Match == l.Site {
			return true
		}
		return !isRelay(l.Site) && !netx.IsURL(l.Site) && slices.ContainsFunc(hosts(l.Site), func(h string) bool { return under(h, r.Match) })
	case ScopeRecipientDomain:
		return !isRelay(l.Site) && !netx.IsURL(l.Site) && !strings.HasPrefix(l.Site, mxSite) && r.coversDomain(l.Site)
	}
	return false
}

// SiteMatches reports whether a rule of ScopeSite with this match is about a site.
func SiteMatches(match, site string) bool {
	r := Rule{Scope: ScopeSite, Match: match}
	return r.covers(Lane{Site: site})
}

func (r *Rule) coversDomain(domain string) bool {
	if rest, ok := strings.CutPrefix(r.Match, "*."); ok {
		return domain != rest && under(domain, rest)
	}
	return r.Match == "*" || r.Match == domain
}

// effective is what holds for a lane before the other side says anything.
type effective struct {
	limits
	by    [3]*Rule // what set sessions, perConn and rate; nil: the default
	pause *Rule
	until time.Time // when a rule in it expires, zero for never
}

// resolve returns what holds for the lane at now, beginning with base.
func (s *ruleset) resolve(l Lane, base limits, now time.Time) effective {
	e := effective{limits: base}
	for _, r := range s.wide {
		if r.covers(l) {
			e.apply(r, now)
		}
	}
	for _, r := range s.lane[l.String()] {
		e.apply(r, now)
	}
	return e
}

func (e *effective) apply(r *Rule, now time.Time) {
	if r.expired(now) {
		return
	}
	if !r.ExpiresAt.IsZero() && (e.until.IsZero() || r.ExpiresAt.Before(e.until)) {
		e.until = r.ExpiresAt
	}
	if r.Kind == Pause {
		e.pause = r
		return
	}
	if r.Sessions > 0 {
		e.sessions, e.by[0] = r.Sessions, r
	}
	if r.PerConnection > 0 {
		e.perConn, e.by[1] = r.PerConnection, r
	}
	if r.Count > 0 {
		e.rate, e.by[2] = r.rate(), r
	}
}

// reroute returns the target for mail to a domain at a site.
func (s *ruleset) reroute(domain, site string, now time.Time) (string, bool) {
	for _, r := range s.ways {
		if r.expired(now) {
			continue
		}
		if r.Scope == ScopeRecipientDomain && r.coversDomain(domain) || r.Scope == ScopeSite && site != "" && r.covers(Lane{Site: site}) {
			return r.Target, true
		}
	}
	return "", false
}

// of returns the rules about a sender: first those about all of its scope.
func (s *ruleset) of(scope Scope, match string) (all, one []*Rule) {
	m := s.senders[scope]
	if len(m) == 0 || match == "" {
		return nil, nil
	}
	return m["*"], m[match]
}

// flows calls fn with every rule about a sender and what it matched.
func (s *ruleset) flows(accountID string, domainID int64, tag string, fn func(r *Rule, match string)) {
	domain := ""
	if len(s.senders[ScopeDomain]) > 0 {
		domain = strconv.FormatInt(domainID, 10)
	}
	for _, x := range [...]struct {
		scope Scope
		match string
	}{{ScopeAccount, accountID}, {ScopeDomain, domain}, {ScopeTag, tag}} {
		all, one := s.of(x.scope, x.match)
		for _, r := range all {
			fn(r, x.match)
		}
		for _, r := range one {
			fn(r, x.match)
		}
	}
}
