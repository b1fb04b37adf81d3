package webhook

import (
	"fmt"
	"slices"
	"strings"

	"postroad/internal/base/errs"
)

// hookSet is the registrations of one scope.
type hookSet []hook

func (s hookSet) urls(name string) []string {
	out := []string{}
	for i := range s {
		if s[i].name == name {
			out = append(out, s[i].url)
		}
	}
	return out
}

func (s hookSet) where(keep func(*hook) bool) hookSet {
	var out hookSet
	for i := range s {
		if keep(&s[i]) {
			out = append(out, s[i])
		}
	}
	return out
}

// flavour is the way a family of endpoints words its refusals.
// Mailgun: domain webhooks answer 400, account webhooks 409 or 404.
type flavour struct {
	prefix    string // before the text of an invalid parameter
	unknown   errs.Kind
	tooMany   errs.Kind
	duplicate func(name, url string) error
}

func flavourV3() flavour {
	return flavour{unknown: errs.Invalid, tooMany: errs.Invalid, duplicate: duplicateDomain}
}

func flavourV4() flavour {
	return flavour{prefix: "invalid parameters: ", unknown: errs.Invalid, tooMany: errs.Invalid, duplicate: duplicateDomain}
}

func flavourAccount() flavour {
	return flavour{unknown: errs.NotFound, tooMany: errs.Conflict, duplicate: func(name, url string) error {
		return errs.New(errs.Conflict, "url %s already exists for event type %s", url, name)
	}}
}

func duplicateDomain(name, url string) error {
	return errs.New(errs.Invalid, "Webhook for event type '%s' with URL '%s' already exists", name, url)
}

// checkNames refuses event types that do not exist and those given twice.
func (f flavour) checkNames(names []string) error {
	if len(names) == 0 {
		return errs.New(errs.Invalid, "Missing mandatory parameter: event_types")
	}
	for i, n := range names {
		if !knownType(n) {
			return errs.New(f.unknown, "%s", f.prefix+fmt.Sprintf("event_type '%s' is invalid", clip(n, 100)))
		}
		if slices.Contains(names[:i], n) {
			return errs.New(errs.Invalid, "%s", f.prefix+fmt.Sprintf("event_type '%s' is given twice", n))
		}
	}
	return nil
}

// checkAdd refuses a registration the set has already or has no room for.
func (f flavour) checkAdd(s hookSet, name, url string) error {
	have := s.urls(name)
	if slices.Contains(have, url) {
		return f.duplicate(name, url)
	}
	if len(have) >= MaxURLs {
		return errs.New(f.tooMany, "unable to add more than %d urls for event type %s", MaxURLs, name)
	}
	return nil
}

// clip shortens s to n bytes for an error text.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
