package workspace

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// The codes of errors. Clients compare them; they do not change.
const (
	codeInvalidRequest   = "INVALID_REQUEST"
	codeValidation       = "VALIDATION_ERROR"
	codeTokenMissing     = "TOKEN_MISSING"
	codeTokenInvalid     = "TOKEN_INVALID"
	codeTokenExpired     = "TOKEN_EXPIRED"
	codeSignature        = "SIGNATURE_INVALID"
	codeReplayed         = "WEBHOOK_REPLAYED"
	codeNoWorkspace      = "WORKSPACE_NOT_FOUND"
	codeNoEmail          = "EMAIL_NOT_FOUND"
	codeNoEndpoint       = "NOT_FOUND"
	codeMethod           = "METHOD_NOT_ALLOWED"
	codeTooLarge         = "REQUEST_TOO_LARGE"
	codeUnsupportedMedia = "UNSUPPORTED_MEDIA_TYPE"
	codeProvider         = "PROVIDER_ERROR"
	codeInternal         = "INTERNAL_ERROR"
	codeNotConfigured    = "NOT_CONFIGURED"
	codeKeysUnavailable  = "KEYS_UNAVAILABLE"
	codeUnavailable      = "SERVICE_UNAVAILABLE"
)

// problem is the part of an error that only this API words.
type problem struct {
	code    string
	details any
	err     error // cause, for the log
}

// Error implements error.
func (p *problem) Error() string {
	if p.err != nil {
		return p.code + ": " + p.err.Error()
	}
	return p.code
}

// Unwrap returns the cause.
func (p *problem) Unwrap() error { return p.err }

func fail(kind errs.Kind, code, text string, details any) error {
	return errs.Wrap(kind, &problem{code: code, details: details}, text)
}

// failure is the body of an error.
type failure struct {
	Error   string `json:"error" doc:"What went wrong"`
	Code    string `json:"code" doc:"The same for programs"`
	Details any    `json:"details" doc:"By field or name, what more there is to say"`
}

// plainCodes are the codes of errors found before an operation runs.
var plainCodes = map[int]string{400: codeInvalidRequest, 401: codeTokenInvalid, 404: codeNoEndpoint, 405: codeMethod, 413: codeTooLarge, 415: codeUnsupportedMedia, 503: codeUnavailable}

// word makes the body of an error.
func word(f op.Failure) any {
	out := failure{Error: f.Text, Code: codeInternal, Details: struct{}{}}
	if code, ok := plainCodes[f.Status]; ok {
		out.Code = code
	}
	var p *problem
	if errors.As(f.Err, &p) {
		out.Code = p.code
		if p.details != nil {
			out.Details = p.details
		}
	}
	return out
}

// faults are what is wrong with a request, by field.
type faults map[string]string

// add notes a fault; the first of a field counts.
func (f faults) add(field, text string) {
	if f[field] == "" {
		f[field] = text
	}
}

// err is nil if there are no faults.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return fail(errs.Invalid, codeValidation, "invalid: "+strings.Join(slices.Sorted(maps.Keys(f)), ", "), f)
}
