package deliver

import (
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"postroad/internal/base/dnsx"
)

// Site is where the mail of a destination goes. It is shared and not changed.
type Site struct {
	// Name is the site of the lane: "mx:" and the names of the MX hosts, so that
	// the many domains of one provider share a lane; with the identity of the
	// TLS policy, since domains with different ones share no connection. Or
	// "relay:HOST:PORT", SCHEME://HOST of URLs, or the destination itself while its
	// hosts are not known.
	Name  string
	Hosts []dnsx.Host // by preference
	Relay *Relay      // instead of Hosts
	// Secure: the DNS proved that these are the hosts, so DANE may apply.
	Secure bool

	fail *failure // why there are no hosts
}

// longName is from where on the hosts in a site's name are abbreviated.
const longName = 100

// siteName makes the name from the set of hosts; their preferences do not
// matter. tls is "" without a policy. All parts are separated by commas, so that
// the hosts can be told from the rest.
func siteName(hosts []dnsx.Host, tls string) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = strings.ToLower(strings.TrimSuffix(h.Name, "."))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	name := strings.Join(names, ",")
	if len(name) > longName {
		h := fnv.New64a()
		h.Write([]byte(name))
		name = names[0] + ",+" + strconv.Itoa(len(names)-1) + "~" + strconv.FormatUint(h.Sum64(), 36)
	}
	if tls != "" {
		name += ",tls~" + tls
	}
	return "mx:" + strings.ReplaceAll(name, "@", "%")
}

// Relay is the next hop of a transport map entry.
type Relay struct {
	Host, Port string
	TLS        bool // implicit TLS from the first byte
	User, Pass string
}

// RelaySite is the site of a relay. Relays that differ in anything need
// different names, because connections to a site are shared.
func RelaySite(name string, r *Relay) *Site { return &Site{Name: name, Relay: r} }
