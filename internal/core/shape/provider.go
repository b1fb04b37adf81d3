package shape

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"postroad/internal/base/netx"
)

//go:embed providers.txt
var providersText string

// provider is what is known of a large destination.
type provider struct {
	name   string
	limits limits
	note   string
}

// limits are the bounds of a lane. 0 means none is set.
type limits struct {
	sessions int
	perConn  int
	rate     float64 // deliveries per second
}

// providers are known destinations by MX suffix.
type providers map[string]*provider

// parseProviders reads the format of providers.txt. Errors name the line.
func parseProviders(text string) (providers, error) {
	out := providers{}
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		p, suffixes, err := parseProvider(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		for _, s := range suffixes {
			if out[s] != nil {
				return nil, fmt.Errorf("line %d: the suffix %q belongs to %s already", i+1, s, out[s].name)
			}
			out[s] = p
		}
	}
	return out, nil
}

func parseProvider(line string) (*provider, []string, error) {
	f := strings.Split(line, "|")
	if len(f) != 6 {
		return nil, nil, fmt.Errorf("%d fields, a provider has 6", len(f))
	}
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	var n [3]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(f[2+i]); err != nil || n[i] < 0 || n[i] > 1_000_000 {
			return nil, nil, fmt.Errorf("%q is no limit", f[2+i])
		}
	}
	suffixes := strings.Fields(strings.ToLower(f[1]))
	if f[0] == "" || len(suffixes) == 0 {
		return nil, nil, fmt.Errorf("a provider has a name and MX suffixes")
	}
	return &provider{name: f[0], limits: limits{n[0], n[1], float64(n[2]) / 60}, note: f[5]}, suffixes, nil
}

// find returns the provider of a host name, nil if it is none known.
func (p providers) find(host string) *provider {
	if len(host) > 255 {
		return nil
	}
	for name := strings.ToLower(strings.TrimSuffix(host, ".")); name != ""; {
		if x := p[name]; x != nil {
			return x
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return nil
}

// of returns the provider of a site. A relay is nobody's, and what is known of
// providers is about mail.
func (p providers) of(site string) *provider {
	if isRelay(site) || netx.IsURL(site) {
		return nil
	}
	for _, h := range hosts(site) {
		if x := p.find(h); x != nil {
			return x
		}
	}
	return nil
}
