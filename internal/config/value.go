package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Listen is HOST:PORT, or empty for none. The host may be empty (all
// addresses), an IP address (IPv6 in brackets) or a name.
type Listen string

// Host is the part before the port, without brackets.
func (l Listen) Host() string {
	host, _, err := net.SplitHostPort(string(l))
	if err != nil {
		return "" // only the empty Listen, parse refuses others
	}
	return host
}

// Port is the port number; 0 asks the system for a free one.
func (l Listen) Port() int {
	_, port, err := net.SplitHostPort(string(l))
	if err != nil {
		return 0 // only the empty Listen, parse refuses others
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

func parseListen(text string) (Listen, error) {
	if text == "" || text == "off" {
		return "", nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", fmt.Errorf("%q is not HOST:PORT", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%q is not HOST:PORT: the port must be a number from 0 to 65535", text)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !validName(host) {
		return "", fmt.Errorf("%q is not HOST:PORT: the host is neither an address nor a name", text)
	}
	return Listen(text), nil
}

// validName reports whether s has the form of a host name (RFC 1123 section
// 2.1; underscores are let through, since they occur on internal networks).
func validName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !(c == '-' || c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z') {
				return false
			}
		}
	}
	return true
}

// Size is a number of bytes.
type Size int64

const sizeUnits = "KMGT"

// String writes the size with the largest unit that divides it: 25MB.
func (s Size) String() string {
	n, unit := int64(s), ""
	for i := 0; i < len(sizeUnits) && n != 0 && n%1024 == 0; i++ {
		n, unit = n/1024, sizeUnits[i:i+1]+"B"
	}
	return strconv.FormatInt(n, 10) + unit
}

// parseSize reads 25MB, 25M, 25MiB (all the same: units are powers of 1024) or
// a plain number of bytes.
func parseSize(text string) (Size, error) {
	bad := fmt.Errorf("%q is not a size like 25MB, 512KB or 1048576", text)
	t := strings.ToUpper(strings.TrimSpace(text))
	if bytes, ok := strings.CutSuffix(t, "B"); ok {
		t = strings.TrimSuffix(bytes, "I")
	}
	scale := int64(1)
	if t != "" {
		if i := strings.IndexByte(sizeUnits, t[len(t)-1]); i >= 0 {
			scale = 1 << (10 * (i + 1))
			t = strings.TrimSpace(t[:len(t)-1])
		}
	}
	n, err := strconv.ParseUint(t, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/scale {
		return 0, bad
	}
	return Size(int64(n) * scale), nil
}

// parseDuration reads Go's form, and whole days as in "3d".
func parseDuration(text string) (time.Duration, error) {
	t := strings.TrimSpace(text)
	if days, ok := strings.CutSuffix(t, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err == nil && n <= 100*365 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(t)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration like 30s, 15m, 4h or 3d", text)
	}
	return d, nil
}

// formatDuration leaves out the zero parts that time.Duration prints.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Schedule is a list of pauses.
type Schedule []time.Duration

// String is the comma-separated form that is also read.
func (s Schedule) String() string {
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = formatDuration(d)
	}
	return strings.Join(parts, ",")
}

func parseSchedule(text string) (Schedule, error) {
	const most = 100
	var out Schedule
	for part := range strings.SplitSeq(text, ",") {
		d, err := parseDuration(part)
		if err != nil {
			return nil, err
		}
		if d <= 0 {
			return nil, fmt.Errorf("%q is not a pause: it must be longer than nothing", strings.TrimSpace(part))
		}
		if out = append(out, d); len(out) > most {
			return nil, fmt.Errorf("more than %d pauses", most)
		}
	}
	return out, nil
}

func (c *Config) checkDatabase() error {
	if c.Database == "" {
		return nil
	}
	scheme, _, ok := strings.Cut(string(c.Database), "://")
	if !ok || scheme != "postgres" && scheme != "postgresql" {
		return errors.New("--database: not of the form postgres://USER:PASSWORD@HOST:PORT/NAME")
	}
	return nil
}

func checkPanelURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--panel-url: %q is not a URL like https://mail.example.com", text)
	}
	return nil
}

func checkHostname(name string) error {
	if !validName(name) {
		return fmt.Errorf("--hostname: %q is not a host name", name)
	}
	return nil
}
