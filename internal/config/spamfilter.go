package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// SpamFilter is the server that scores inbound mail; zero for none.
type SpamFilter struct {
	Protocol string // rspamd or spamd
	Network  string // tcp or unix
	Address  string // HOST:PORT or the path of a socket
}

// String is the form it is written in.
func (f SpamFilter) String() string {
	switch f.Network {
	case "":
		return "off"
	case "unix":
		return f.Protocol + "://" + (&url.URL{Path: f.Address}).EscapedPath()
	}
	return f.Protocol + "://" + f.Address
}

// spamPorts are the protocols and their usual ports.
var spamPorts = map[string]string{"rspamd": "11333", "spamd": "783"}

// ParseSpamFilter reads rspamd://HOST[:PORT], spamd://HOST[:PORT] or
// spamd:///PATH of a socket; "off" is none.
func ParseSpamFilter(text string) (SpamFilter, error) {
	if text == "" || text == "off" {
		return SpamFilter{}, nil
	}
	form := errors.New("a spam filter has the form rspamd://HOST:PORT, spamd://HOST:PORT or spamd:///PATH")
	u, err := url.Parse(text)
	if err != nil || spamPorts[u.Scheme] == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return SpamFilter{}, form
	}
	if u.Host == "" && u.Scheme == "spamd" && path.IsAbs(u.Path) && u.Path != "/" {
		return SpamFilter{Protocol: u.Scheme, Network: "unix", Address: u.Path}, nil
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = spamPorts[u.Scheme]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	ip, bad := netip.ParseAddr(host)
	if err != nil || n == 0 || strings.Trim(u.Path, "/") != "" || bad != nil && !validName(host) || ip.Zone() != "" {
		return SpamFilter{}, form
	}
	return SpamFilter{Protocol: u.Scheme, Network: "tcp", Address: net.JoinHostPort(host, port)}, nil
}
