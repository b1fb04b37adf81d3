package gateway

import (
	"context"
	"errors"
	"strconv"

	"postroad/internal/core/provider"
)

// carrier is a driver with whose mail it carries.
type carrier struct {
	provider.Driver
	account provider.Account
}

// carriers returns the driver a letter names and, where there is one, the second that
// takes over from it.
func (s *Service) carriers(driver, key, from string) []carrier {
	out := []carrier{s.carrier(driver, key, from)}
	if second, ok := s.second(driver); ok {
		out = append(out, s.carrier(second, s.keyOf(second), from))
	}
	return out
}

// second is the driver that takes over from another.
func (s *Service) second(driver string) (string, bool) {
	other := resend
	if driver == resend {
		other = mailgun
	}
	return other, s.Failover && s.keyOf(other) != ""
}

func (s *Service) keyOf(driver string) string {
	if driver == resend {
		return s.ResendKey
	}
	return s.MailgunKey
}

func (s *Service) carrier(driver, key, from string) carrier {
	if driver == resend {
		return carrier{s.Resend, provider.Account{Key: key}}
	}
	domain := s.Domain
	if domain == "" {
		domain = domainOf(from)
	}
	return carrier{s.Mailgun, provider.Account{Key: key, Domain: domain}}
}

// passes reports whether another provider may get what one has answered with err.
func passes(err error) bool {
	var e *provider.Error
	return errors.As(err, &e) && e.Temporary() && !e.Doubt
}

// sendOne sends a message by the first carrier that takes it.
func sendOne(ctx context.Context, list []carrier, m *provider.Message) (id, name string, err error) {
	for _, c := range list {
		if id, err = c.Send(ctx, c.account, m); !passes(err) {
			return id, c.Name(), err
		}
	}
	return "", "", err
}

// result is what became of a recipient.
type result struct {
	provider.Sent
	driver string
}

// sendMany sends one batch, no larger than the first carrier takes.
func sendMany(ctx context.Context, list []carrier, b *provider.Batch) []result {
	out := make([]result, len(b.Recipients))
	left := make([]int, len(out))
	for i := range left {
		left[i] = i
	}
	for _, c := range list {
		var passed []int
		for part, size := 0, c.BatchSize(); len(left) > 0; part++ {
			now := left[:min(size, len(left))]
			left = left[len(now):]
			for i, sent := range c.SendBatch(ctx, c.account, partOf(b, now, part)) {
				out[now[i]] = result{sent, c.Name()}
				if passes(sent.Err) {
					passed = append(passed, now[i])
				}
			}
		}
		left = passed
	}
	return out
}

// partOf is a batch of some of the recipients of b. The first has the key of b: a
// batch that fits is sent as it is.
func partOf(b *provider.Batch, which []int, part int) *provider.Batch {
	out := &provider.Batch{Message: b.Message, Recipients: make([]provider.Recipient, len(which))}
	for i, at := range which {
		out.Recipients[i] = b.Recipients[at]
	}
	if part > 0 {
		out.IdempotencyKey += "-" + strconv.Itoa(part)
	}
	return out
}
