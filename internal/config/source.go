package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Source is a name and addresses mail leaves from.
type Source struct {
	Name   string
	V4, V6 netip.Addr // one of them may be missing
	HELO   string     // name to greet with, "" for hostname
	Pool   string     // "" for the default pool
	Weight int        // share of the pool's mail, 1 unless given
}

// ParseSource reads NAME=ADDRESS[,ADDRESS][,helo=NAME][,pool=NAME][,weight=N]:
// one IPv4 address, one IPv6 address or one of each.
func ParseSource(text string) (Source, error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || !validLabel(name) {
		return Source{}, errors.New("a source has the form NAME=ADDRESS,helo=NAME,pool=NAME,weight=N; NAME is of letters, digits, \"-\", \"_\" and \".\"")
	}
	s := Source{Name: name, Weight: 1}
	for part := range strings.SplitSeq(rest, ",") {
		if err := s.part(strings.TrimSpace(part)); err != nil {
			return Source{}, fmt.Errorf("source %q: %w", name, err)
		}
	}
	if !s.V4.IsValid() && !s.V6.IsValid() {
		return Source{}, fmt.Errorf("source %q: an address is missing", name)
	}
	return s, nil
}

func (s *Source) part(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok {
		return s.address(text)
	}
	switch key {
	case "helo":
		if !validName(value) {
			return fmt.Errorf("helo: %q is not a host name", value)
		}
		s.HELO = value
	case "pool":
		if !validLabel(value) {
			return fmt.Errorf("pool: %q is not a name", value)
		}
		s.Pool = value
	case "weight":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > 1000 {
			return fmt.Errorf("weight: %q is not a number from 1 to 1000", value)
		}
		s.Weight = n
	default:
		return fmt.Errorf("%q is not known: helo, pool and weight are", key)
	}
	return nil
}

func (s *Source) address(text string) error {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return fmt.Errorf("%q is not an address of this machine", text)
	}
	a = a.Unmap()
	at := &s.V4
	if a.Is6() {
		at = &s.V6
	}
	if at.IsValid() {
		return errors.New("two addresses of one kind: make two sources of them")
	}
	*at = a
	return nil
}

// validLabel admits what is safe in lane names, logs and paths.
func validLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c == '-' || c == '_' || c == '.' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// String is the form that ParseSource reads.
func (s Source) String() string {
	var parts []string
	for _, a := range []netip.Addr{s.V4, s.V6} {
		if a.IsValid() {
			parts = append(parts, a.String())
		}
	}
	if s.HELO != "" {
		parts = append(parts, "helo="+s.HELO)
	}
	if s.Pool != "" {
		parts = append(parts, "pool="+s.Pool)
	}
	if s.Weight != 1 {
		parts = append(parts, "weight="+strconv.Itoa(s.Weight))
	}
	return s.Name + "=" + strings.Join(parts, ",")
}

// MarshalText is the form that ParseSource reads.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Sources are the sources configured.
type Sources []Source

// String separates the sources by spaces.
func (ss Sources) String() string {
	parts := make([]string, len(ss))
	for i, s := range ss {
		parts[i] = s.String()
	}
	return strings.Join(parts, " ")
}

func (ss Sources) check() error {
	seen := map[string]bool{}
	for _, s := range ss {
		if seen[s.Name] {
			return fmt.Errorf("--source: two sources named %q", s.Name)
		}
		seen[s.Name] = true
	}
	return nil
}
