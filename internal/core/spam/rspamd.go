package spam

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"postroad/internal/base/netx"
)

const (
	maxRcpts   = 100     // recipients rspamd is told; its header is limited
	maxValue   = 512     // bytes of a value of its header
	maxReply   = 1 << 20 // bytes of an answer
	maxSymbols = 200
)

// rspamd speaks rspamd's HTTP protocol with its normal worker.
type rspamd struct {
	client   *netx.Client
	url      string
	password string
	hostname string
}

func newRspamd(c Config) *rspamd {
	n := netx.Config{Timeout: c.Timeout, MaxResponseBytes: maxReply}
	// The one URL that is called is the operator's and redirects are not
	// followed. Of an address the guard against internal ones lets pass that
	// alone; of a name only the operator knows which it has.
	host, _, err := net.SplitHostPort(c.Address)
	if ip, bad := netip.ParseAddr(host); err == nil && bad == nil {
		n.Allow = []netip.Prefix{netip.PrefixFrom(ip, ip.BitLen())}
	} else {
		n.AllowPrivate = true
	}
	return &rspamd{client: netx.NewClient(n), url: "http://" + c.Address + "/checkv2", password: c.Password, hostname: c.Hostname}
}

func (r *rspamd) check(ctx context.Context, m *Mail, raw []byte) (*Verdict, error) {
	answer, err := r.client.Do(ctx, netx.Request{Method: "POST", URL: r.url, Header: r.header(m), Body: raw})
	switch {
	case err != nil:
		return nil, fmt.Errorf("rspamd: %w", err)
	case answer.BodyErr != nil:
		return nil, fmt.Errorf("rspamd: %w", answer.BodyErr)
	case answer.Truncated:
		return nil, errors.New("rspamd: answer is too long")
	}
	return parseRspamd(answer.Status, answer.Body)
}

func (r *rspamd) header(m *Mail) map[string][]string {
	h := map[string][]string{"From": {"<" + clean(m.Sender) + ">"}}
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{clean(value)}
		}
	}
	if m.ClientIP.IsValid() {
		set("Ip", m.ClientIP.Unmap().String())
	}
	set("Helo", m.HELO)
	set("Hostname", m.ClientName)
	set("User", m.User)
	set("Password", r.password)
	set("Mta-Name", r.hostname)
	for _, to := range m.Recipients[:min(len(m.Recipients), maxRcpts)] {
		h["Rcpt"] = append(h["Rcpt"], clean(to))
	}
	return h
}

// clean makes a text from outside fit for a line of a protocol.
func clean(s string) string {
	out := make([]byte, 0, min(len(s), maxValue))
	for i := 0; i < len(s) && len(out) < maxValue; i++ {
		if s[i] >= ' ' && s[i] != 0x7f {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// rspamdReply is what the answer of /checkv2 says that we use.
type rspamdReply struct {
	Score      float64            `json:"score"`
	Required   float64            `json:"required_score"` // of the strictest action
	Thresholds map[string]float64 `json:"thresholds"`     // by action; newer versions
	Action     string             `json:"action"`
	Symbols    map[string]struct {
		Score float64 `json:"score"`
	} `json:"symbols"`
	Error string `json:"error"`
}

func parseRspamd(status int, body []byte) (*Verdict, error) {
	var r rspamdReply
	err := json.Unmarshal(body, &r)
	switch {
	case status != 200 || r.Error != "":
		return nil, fmt.Errorf("rspamd: status %d %s", status, clean(r.Error))
	case err != nil:
		return nil, fmt.Errorf("rspamd: answer: %w", err)
	}
	v := &Verdict{Score: r.Score, Required: r.Required}
	if t := r.Thresholds["add header"]; t > 0 {
		v.Required = t
	}
	switch r.Action {
	case "reject", "add header", "rewrite subject", "quarantine", "discard":
		v.Spam = true
	case "no action", "accept", "greylist", "soft reject": // the last two say later, not spam
	default:
		return nil, fmt.Errorf("rspamd: unknown action %q", clean(r.Action))
	}
	for name, s := range r.Symbols {
		v.Symbols = append(v.Symbols, Symbol{Name: name, Score: s.Score})
	}
	slices.SortFunc(v.Symbols, func(a, b Symbol) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Name, b.Name))
	})
	v.Symbols = v.Symbols[:min(len(v.Symbols), maxSymbols)]
	return v, nil
}
