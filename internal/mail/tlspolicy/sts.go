package tlspolicy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/dnsx"
)

const (
	// MaxPolicyBytes is the longest policy text that is read (RFC 8461, section
	// 3.3, suggests this bound).
	MaxPolicyBytes = 64 << 10
	// MaxPolicyAge is the longest time a policy may be kept; longer ones are cut
	// to it (RFC 8461, section 3.2).
	MaxPolicyAge = 31_557_600 * time.Second

	maxRecordBytes = 4096 // of a TXT record; valid ones have some fifty
	maxIDBytes     = 32
	stsVersion     = "STSv1"
)

// Mode is what a sender shall do with a host that does not fit the policy.
type Mode string

// The modes of RFC 8461, section 5.
const (
	// Enforce: do not deliver to it.
	Enforce Mode = "enforce"
	// Testing: deliver, and report.
	Testing Mode = "testing"
	// None: there is no policy any more.
	None Mode = "none"
)

// Errors of reading what a domain publishes. Those of a malformed text wrap
// ErrSyntax and say what is wrong.
var (
	// ErrNoRecord: no TXT record is one of this kind.
	ErrNoRecord = errors.New("no such record")
	// ErrManyRecords: there are several, so none counts.
	ErrManyRecords = errors.New("more than one record")
	// ErrSyntax: the text is malformed.
	ErrSyntax = errors.New("malformed")
)

// STS is an MTA-STS policy (RFC 8461, section 3.2).
type STS struct {
	Mode   Mode
	MX     []string // patterns as A-labels: a host, or "*." and a domain
	MaxAge time.Duration
}

// ParseSTSRecord takes the TXT records of _mta-sts.<domain> and returns the id
// of the policy, which changes when the policy does (RFC 8461, section 3.1).
// Errors: ErrNoRecord, ErrManyRecords, ErrSyntax.
func ParseSTSRecord(texts []string) (id string, err error) {
	fields, err := recordFields(texts, stsVersion)
	if err != nil {
		return "", err
	}
	for _, f := range fields {
		if f.name != "id" {
			continue
		}
		if !isID(f.value) {
			return "", fmt.Errorf("%w id", ErrSyntax)
		}
		return f.value, nil
	}
	return "", fmt.Errorf("%w record: no id", ErrSyntax)
}

func isID(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= maxIDBytes
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// ParseSTS reads the text of a policy. Fields not known are passed over, of
// repeated ones the first counts, as RFC 8461, section 3.2, has it. Patterns
// may be given in U-labels. The error wraps ErrSyntax.
func ParseSTS(text []byte) (STS, error) {
	if len(text) > MaxPolicyBytes {
		return STS{}, fmt.Errorf("%w policy: longer than %d bytes", ErrSyntax, MaxPolicyBytes)
	}
	var p STS
	seen := map[string]bool{}
	n := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		n++
		line = strings.Trim(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isFieldName(name) {
			return STS{}, fmt.Errorf("%w policy: line %d is not a field", ErrSyntax, n)
		}
		if name != "mx" && seen[name] {
			continue
		}
		switch name {
		case "version", "mode", "max_age", "mx":
			seen[name] = true
		}
		if err := p.set(name, strings.Trim(value, " \t")); err != nil {
			return STS{}, fmt.Errorf("%w policy: line %d: %w", ErrSyntax, n, err)
		}
	}
	return p, p.complete(seen)
}

// complete checks that what is required is there. In mode "none" no host is.
func (p *STS) complete(seen map[string]bool) error {
	for _, name := range []string{"version", "mode", "max_age"} {
		if !seen[name] {
			return fmt.Errorf("%w policy: no %s", ErrSyntax, name)
		}
	}
	if p.Mode != None && len(p.MX) == 0 {
		return fmt.Errorf("%w policy: no mx", ErrSyntax)
	}
	return nil
}

// Reasons why a line of a policy cannot be used.
var (
	errVersion = errors.New("version is not " + stsVersion)
	errMode    = errors.New("mode is not enforce, testing or none")
	errMaxAge  = errors.New("max_age is not a number of seconds")
	errMX      = errors.New("mx is not a host name, or one behind \"*.\"")
)

func (p *STS) set(name, value string) error {
	switch name {
	case "version":
		if value != stsVersion {
			return errVersion
		}
	case "mode":
		p.Mode = Mode(value)
		if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
			return errMode
		}
	case "max_age":
		seconds, err := strconv.ParseUint(value, 10, 64)
		if err != nil || len(value) > 10 {
			return errMaxAge
		}
		p.MaxAge = time.Duration(min(seconds, uint64(MaxPolicyAge/time.Second))) * time.Second
	case "mx":
		pattern, err := mxPattern(value)
		if err != nil {
			return err
		}
		p.MX = append(p.MX, pattern)
	}
	return nil
}

// isFieldName is the grammar of extension names, which covers the known ones.
func isFieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isAlnum(c) && (i == 0 || c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

func mxPattern(s string) (string, error) {
	host, wild := strings.CutPrefix(s, "*.")
	name, ok := hostName(host)
	if !ok {
		return "", errMX
	}
	if wild {
		return "*." + name, nil
	}
	return name, nil
}

// hostName returns the comparable form of a host's name. Addresses are not names.
func hostName(s string) (string, bool) {
	name, err := dnsx.ASCIIName(s)
	if err != nil || strings.Contains(name, "/") {
		return "", false
	}
	_, err = netip.ParseAddr(name)
	return name, err != nil
}

// Match reports whether the policy names a host, in any mode. "*." stands for
// exactly one label (RFC 8461, section 4.1).
func (p *STS) Match(host string) bool {
	name, ok := hostName(host)
	if !ok {
		return false
	}
	_, parent, _ := strings.Cut(name, ".")
	for _, pattern := range p.MX {
		if domain, wild := strings.CutPrefix(pattern, "*."); pattern == name || wild && domain == parent {
			return true
		}
	}
	return false
}

// Lines returns the policy as its lines, which ParseSTS reads back, and which
// reports quote (RFC 8460, section 4.4, policy-string).
func (p *STS) Lines() []string {
	lines := []string{"version: " + stsVersion, "mode: " + string(p.Mode)}
	for _, pattern := range p.MX {
		lines = append(lines, "mx: "+pattern)
	}
	return append(lines, "max_age: "+strconv.FormatInt(int64(p.MaxAge/time.Second), 10))
}
