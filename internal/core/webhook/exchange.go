package webhook

import (
	"context"
	"errors"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/netx"
)

// Timeout is how long a receiver has to answer a request.
const Timeout = 15 * time.Second

// exchange sends one request and describes what came of it; a failure is part
// of the description. The client does not follow redirects.
func (s *Service) exchange(ctx context.Context, to string, header [][2]string, body []byte) *result {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	fields := make(map[string][]string, len(header))
	for _, f := range header {
		if f[0] != "Host" {
			fields[f[0]] = append(fields[f[0]], f[1])
		}
	}
	began := time.Now() // how long it took is a matter of the real clock
	resp, err := s.client.Do(ctx, netx.Request{Method: "POST", URL: to, Header: fields, Body: body})
	r := &result{duration: time.Since(began)}
	if err != nil {
		r.err = storable([]byte(explain(err)))
		return r
	}
	r.status = resp.Status
	r.response = storable(resp.Body[:min(len(resp.Body), MaxResponse)])
	return r
}

// explain words an error for the owner of the URL.
func explain(err error) string {
	var refused *netx.ForbiddenAddressError
	switch {
	case errors.As(err, &refused):
		return "not sent: " + refused.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer within " + Timeout.String()
	}
	return clip(err.Error(), 1000)
}

// test sends a sample event and tells how it was answered. Nothing of it is
// kept. Mailgun: the answer has the receiver's status as code.
func (s *Service) test(ctx context.Context, accountID, domain, name, to string) (*testOut, error) {
	payload, err := marshal(sample(name, domain, s.clock().Now()))
	if err != nil {
		return nil, err
	}
	r, err := s.post(ctx, accountID, to, payload)
	if err != nil {
		return nil, err
	}
	if r.status == 0 {
		return nil, errs.New(errs.Invalid, "%s", to+" could not be called: "+r.err)
	}
	return &testOut{Code: r.status, Message: r.response}, nil
}
