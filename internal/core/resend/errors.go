package resend

import (
	"errors"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// refusal is an error in Resend's terms. Its text is that of the errs.Error around
// it.
type refusal struct {
	status int
	name   string
}

func (r *refusal) Error() string { return r.name }

// The names of errors. Resend: the page "Errors" of the API reference.
const (
	validation    = "validation_error"
	missingField  = "missing_required_field"
	badFrom       = "invalid_from_address"
	badAttachment = "invalid_attachment"
	badParameter  = "invalid_parameter"
	badKeyLength  = "invalid_idempotency_key"
	reusedKey     = "invalid_idempotent_request"
	missingKey    = "missing_api_key"
	restricted    = "restricted_api_key"
	badKey        = "invalid_api_key"
	notFound      = "not_found"
	badMethod     = "method_not_allowed"
	rateLimit     = "rate_limit_exceeded"
	internal      = "application_error"
)

// refuse returns an error of a status and name.
func refuse(status int, name, format string, args ...any) error {
	e := errs.New(kindOf(status), format, args...)
	e.Err = &refusal{status, name}
	return e
}

func kindOf(status int) errs.Kind {
	switch status {
	case 401:
		return errs.Unauthorized
	case 403:
		return errs.Forbidden
	case 404:
		return errs.NotFound
	case 409:
		return errs.Conflict
	}
	return errs.Invalid
}

// invalid is the refusal of what a field says.
func invalid(format string, args ...any) error { return refuse(422, validation, format, args...) }

// problem is the body of an error.
type problem struct {
	StatusCode int    `json:"statusCode"`
	Name       string `json:"name"`
	Message    string `json:"message"`
}

// Respond implements op.Responder.
func (p problem) Respond() op.Response { return op.Response{Status: p.StatusCode, JSON: p} }

// Failure words an error as Resend does.
func Failure(f op.Failure) any {
	var r *refusal
	if errors.As(f.Err, &r) {
		return problem{r.status, r.name, f.Text}
	}
	p := problem{f.Status, validation, f.Text}
	switch {
	case f.Status == 401 && strings.HasPrefix(f.Text, "Missing"): // the edge's word for a request without a key
		p.Name = missingKey
	case f.Status == 401:
		p = problem{403, badKey, "API key is invalid."}
	case f.Status == 404:
		p.Name = notFound
	case f.Status == 405:
		p.Name = badMethod
	case f.Status == 429:
		p.Name = rateLimit
	case f.Status >= 500:
		p.Name = internal
	}
	return p
}
