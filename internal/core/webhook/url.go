package webhook

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"

	"postroad/internal/base/dnsx"
	"postroad/internal/base/errs"
	"postroad/internal/base/netx"
)

// maxURL bounds a registered URL in bytes.
const maxURL = 2048

// checkURLs refuses an empty list and URLs that can never be called.
func (s *Service) checkURLs(ctx context.Context, f flavour, urls []string) error {
	if len(urls) == 0 {
		return errs.New(errs.Invalid, "Missing mandatory parameter: url")
	}
	for _, u := range urls {
		if u == "" {
			return errs.New(errs.Invalid, "Missing mandatory parameter: url")
		}
		if err := s.checkURL(ctx, f, u); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) checkBoth(ctx context.Context, f flavour, url string, names []string) error {
	if err := s.checkURLs(ctx, f, []string{url}); err != nil {
		return err
	}
	return f.checkNames(names)
}

// CheckURL refuses a URL that must not or cannot be called, as it is refused
// for a webhook; the error is Invalid.
func (s *Service) CheckURL(ctx context.Context, raw string) error {
	return s.checkURL(ctx, flavourV3(), raw)
}

// checkURL refuses what cannot be called. That the address is not one of ours
// is checked here for the user's sake; what protects us is the check the
// client makes when it dials.
func (s *Service) checkURL(ctx context.Context, f flavour, raw string) error {
	if len(raw) > maxURL {
		return errs.New(errs.Invalid, "%s%s is not a valid url: longer than %d bytes", f.prefix, clip(raw, 60), maxURL)
	}
	if !utf8.ValidString(raw) {
		return errs.New(errs.Invalid, "%s%s is not a valid url: not UTF-8", f.prefix, strings.ToValidUTF8(raw, "?"))
	}
	err := netx.ValidateURL(raw)
	if err == nil && (s.o.CheckHosts || hasLiteral(raw)) {
		err = s.client.CheckURL(ctx, raw)
	}
	if err == nil || temporary(err) {
		return nil
	}
	return errs.Wrap(errs.Invalid, errors.Unwrap(err), f.prefix+err.Error())
}

// hasLiteral reports whether the host of a URL is an address.
func hasLiteral(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return err == nil
}

// temporary reports whether a host may yet be found.
func temporary(err error) bool {
	var d *dnsx.Error
	return errors.As(err, &d) && d.Kind == dnsx.Temporary || errors.Is(err, context.DeadlineExceeded)
}

// laneOf names the receiver of a URL: scheme, host and port. A text that is
// not a URL, which no registration lets in, is a lane of its own.
func laneOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return raw
	}
	port := u.Port()
	if port == "" {
		port = "443"
		if strings.EqualFold(u.Scheme, "http") {
			port = "80"
		}
	}
	return strings.ToLower(u.Scheme + "://" + strings.TrimSuffix(u.Hostname(), ".") + ":" + port)
}
