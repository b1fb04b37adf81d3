package route

import (
	"context"
	"strings"

	"postroad/internal/mail/mime"
)

// Matched is a route that matches a message and what it does with it.
type Matched struct {
	Route   *Route // shared: do not modify
	Actions []Action
}

// Match returns the routes of an account that match a message for one recipient
// and what each does, in their order: by priority, then by creation. A route
// with stop() is the last. The header is that of the message with the fields
// the server has put before it. The error is the store's, or that of ctx: a
// result would be incomplete.
func (s *Service) Match(ctx context.Context, accountID, recipient string, header mime.Fields) ([]Matched, error) {
	set, err := s.rulesOf(ctx, accountID)
	if err != nil {
		return nil, err
	}
	sub := newSubject(ctx, recipient).withHeader(header)
	out := set.match(sub)
	if sub.err != nil {
		return nil, sub.err
	}
	return s.inSandbox(ctx, recipient, out)
}

// match is Match on routes that are at hand.
func (r *ruleset) match(sub *subject) (out []Matched) {
	for _, one := range r.rules {
		if one.when.holds(sub) != yes {
			continue
		}
		sub.matched = true
		out = append(out, Matched{one.Route, one.resolve(sub)})
		if one.stop {
			break
		}
	}
	return out
}

// inSandbox cuts what a sandbox domain gets to what it may have.
func (s *Service) inSandbox(ctx context.Context, recipient string, list []Matched) ([]Matched, error) {
	most := s.o.SandboxRoutes
	if most <= 0 || len(list) <= most || s.o.Sandbox == nil {
		return list, nil
	}
	is, err := s.o.Sandbox(ctx, recipient[strings.LastIndexByte(recipient, '@')+1:])
	if is && err == nil {
		list = list[:most]
	}
	return list, err
}

// CouldMatch reports whether a message for the recipient could match a route of
// the account, whatever its header: what RCPT asks. It is true for every
// recipient that Match has a route for.
func (s *Service) CouldMatch(ctx context.Context, accountID, recipient string) (bool, error) {
	r, err := s.candidate(ctx, accountID, recipient)
	return r != nil, err
}

// candidate returns the first route that matches a recipient whatever the
// header, else the first that may match, else nil.
func (s *Service) candidate(ctx context.Context, accountID, recipient string) (*rule, error) {
	set, err := s.rulesOf(ctx, accountID)
	if err != nil {
		return nil, err
	}
	sub := newSubject(ctx, recipient)
	r := set.candidate(sub)
	return r, sub.err
}

func (r *ruleset) candidate(sub *subject) (perhaps *rule) {
	for _, one := range r.rules {
		switch one.when.holds(sub) {
		case yes:
			return one
		case maybe:
			if perhaps == nil {
				perhaps = one
			}
		}
	}
	return perhaps
}
