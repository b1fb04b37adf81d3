package shape

import (
	"fmt"
	"strings"
)

// Lane is a destination site and the source its mail leaves from.
type Lane struct {
	// Site names a destination: "mx:a.example,b.example" for a set of MX hosts,
	// "relay:host:port" for a relay, "https://host" for the URLs there, or a domain.
	Site string
	// Source names one of our sending addresses; "" is the system's choice.
	Source string
}

// String is the lane's name everywhere: the site, and "@source" if there is one.
func (l Lane) String() string {
	if l.Source == "" {
		return l.Site
	}
	return l.Site + "@" + l.Source
}

// ParseLane is the inverse of String. Neither a site nor a source contains "@".
func ParseLane(name string) (Lane, error) {
	site, source, has := strings.Cut(name, "@")
	if site == "" || has && (source == "" || strings.Contains(source, "@")) {
		return Lane{}, fmt.Errorf("%q is not the name of a lane: site or site@source", name)
	}
	return Lane{site, source}, nil
}

const (
	relaySite = "relay:"
	mxSite    = "mx:"
)

func isRelay(site string) bool { return strings.HasPrefix(site, relaySite) }

// hosts returns the names a site consists of: its MX hosts, the relay's host,
// or the domain.
func hosts(site string) []string {
	if set, ok := strings.CutPrefix(site, mxSite); ok {
		return strings.Split(set, ",")
	}
	if hp, ok := strings.CutPrefix(site, relaySite); ok {
		if i := strings.LastIndexByte(hp, ':'); i > 0 {
			hp = hp[:i]
		}
		return []string{strings.Trim(hp, "[]")}
	}
	return []string{site}
}

// under reports whether a host is the domain or stands below it.
func under(host, domain string) bool {
	return host == domain || len(host) > len(domain) && host[len(host)-len(domain)-1] == '.' && strings.HasSuffix(host, domain)
}
