package gateway

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"postroad/internal/base/errs"
	"postroad/internal/base/netx"
)

const (
	// MaxTemplate is the largest template that is fetched, in bytes.
	MaxTemplate = 1 << 20
	previewLen  = 200 // characters
)

type templateIn struct {
	URL string `json:"template_url" required:"template_url is required" max:"2048" doc:"where the template is"`
}

type templateOut struct {
	Valid   bool   `json:"valid"`
	Size    int    `json:"size" doc:"bytes"`
	Preview string `json:"preview" doc:"how it begins"`
}

func (s *Service) checkTemplate(ctx context.Context, in *templateIn) (*templateOut, error) {
	html, err := s.fetch(ctx, in.URL)
	if err != nil {
		return nil, err
	}
	return &templateOut{Valid: true, Size: len(html), Preview: preview(html)}, nil
}

func preview(s string) string {
	if r := []rune(s[:min(len(s), 4*previewLen)]); len(r) > previewLen {
		return string(r[:previewLen]) + "..."
	}
	return s
}

// fetch gets a template from a URL that a client has named.
func (s *Service) fetch(ctx context.Context, url string) (string, error) {
	bad := func(details string) error {
		return &refusal{public: errs.New(errs.Invalid, "Invalid template"), details: details}
	}
	if err := netx.ValidateURL(url); err != nil {
		return "", bad("template_url must be an http or https URL")
	}
	select {
	case s.fetching <- struct{}{}:
		defer func() { <-s.fetching }()
	default:
		return "", errs.New(errs.Unavailable, "too many templates are being fetched at this moment, try again later")
	}
	resp, err := s.Templates.Do(ctx, netx.Request{URL: url})
	switch {
	case err != nil:
		return "", bad("the template could not be fetched: " + cause(err))
	case resp.Status != 200:
		return "", bad("the template could not be fetched: its server answered " + strconv.Itoa(resp.Status))
	case len(resp.Body) > MaxTemplate:
		return "", bad("the template is larger than 1 MB")
	case resp.BodyErr != nil || resp.Truncated:
		return "", bad("the template could not be fetched: the answer broke off")
	case len(bytes.TrimSpace(resp.Body)) == 0:
		return "", bad("the template is empty")
	case !utf8.Valid(resp.Body) || bytes.IndexByte(resp.Body, 0) >= 0:
		return "", bad("the template is not text in UTF-8")
	}
	return strings.TrimPrefix(string(resp.Body), "\ufeff"), nil
}

// cause words why a template could not be fetched. It names no address: what hosts
// resolve to in here is not for clients.
func cause(err error) string {
	switch {
	case errors.Is(err, netx.ErrForbiddenAddress):
		return "the host is not to be called"
	case errors.Is(err, netx.ErrTooManyRedirects):
		return "too many redirects"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return "its server could not be reached"
}
