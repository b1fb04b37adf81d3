package dnsx

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

var errMismatch = errors.New("reply does not match the question")

// ask goes through the servers until one gives a usable reply: records, or that
// there are none. The server returned is the one that answered or was last asked.
// The AD bit of the reply is cleared unless it comes from a server we trust.
func (c *Client) ask(ctx context.Context, q question) (reply *dns.Msg, server string, err error) {
	for range c.attempts {
		for i := range c.servers {
			server = c.servers[i]
			reply, err = c.askServer(ctx, server, q, c.trusted[i])
			if err == nil {
				reply.AuthenticatedData = reply.AuthenticatedData && c.trusted[i]
				return reply, server, nil
			}
		}
	}
	return nil, server, err
}

// askServer makes one try over UDP with EDNS, without EDNS if the server does not
// know it (RFC 6891, section 7), and over TCP if the reply is cut.
func (c *Client) askServer(ctx context.Context, server string, q question, trusted bool) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	reply, err := c.exchange(ctx, "udp", server, q, edns|authentic(trusted))
	if err == nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented) {
		reply, err = c.exchange(ctx, "udp", server, q, 0)
	}
	if err == nil && reply.Truncated {
		reply, err = c.exchange(ctx, "tcp", server, q, edns|authentic(trusted))
	}
	if err != nil {
		return nil, err
	}
	if reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("server answered %s", dns.RcodeToString[reply.Rcode])
	}
	return reply, nil
}

// options of a query.
type options uint8

const (
	edns options = 1 << iota
	// adBit asks whether the answer was validated without the signatures that
	// DO would bring (RFC 6840, section 5.7).
	adBit
)

func authentic(trusted bool) options {
	if trusted {
		return adBit
	}
	return 0
}

// exchange sends one query from a fresh port with a fresh id and checks that the
// reply repeats the question.
func (c *Client) exchange(ctx context.Context, network, server string, q question, o options) (*dns.Msg, error) {
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(q.name), q.qtype)
	query.RecursionDesired = true
	client := dns.Client{Net: network, Timeout: c.remaining(ctx)}
	query.AuthenticatedData = o&adBit != 0
	if o&edns != 0 {
		query.SetEdns0(udpBytes, false)
		client.UDPSize = udpBytes
	}
	reply, _, err := client.ExchangeContext(ctx, query, server)
	if err != nil {
		return nil, err
	}
	if !reply.Response || !sameQuestion(reply, q) {
		return nil, errMismatch
	}
	return reply, nil
}

func (c *Client) remaining(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(c.timeout, max(time.Until(deadline), time.Millisecond))
	}
	return c.timeout
}

// sameQuestion lets a reply without question pass only if it is an error; some
// servers leave it out then.
func sameQuestion(reply *dns.Msg, q question) bool {
	if len(reply.Question) == 0 {
		return reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError
	}
	got := reply.Question[0]
	return len(reply.Question) == 1 && got.Qtype == q.qtype && got.Qclass == dns.ClassINET &&
		strings.EqualFold(strings.TrimSuffix(got.Name, "."), q.name)
}
