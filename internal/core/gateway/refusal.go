package gateway

import (
	"errors"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/provider"
)

// refusal is an error with what the dialect says besides its text.
type refusal struct {
	public  *errs.Error
	details string
	invalid []string
	failed  []Failed
}

// Error implements error.
func (r *refusal) Error() string { return r.public.Error() }

// Unwrap makes the kind known.
func (r *refusal) Unwrap() error { return r.public }

// Failed is a recipient who gets nothing, and why.
type Failed struct {
	Email         string `json:"email" doc:"Address, empty where only an id was given"`
	ParticipantID *int64 `json:"participant_id,omitempty" doc:"Id, where the recipient was named by it"`
	Error         string `json:"error" doc:"Why"`
}

type failure struct {
	Error         string   `json:"error"`
	Details       string   `json:"details,omitempty"`
	InvalidEmails []string `json:"invalidEmails,omitempty"`
	Failed        []Failed `json:"failed,omitempty"`
}

// words puts an error into the dialect.
func words(f op.Failure) any {
	out := failure{Error: f.Text, Details: f.Hint}
	var r *refusal
	if errors.As(f.Err, &r) {
		out.Details, out.InvalidEmails, out.Failed = r.details, r.invalid, r.failed
	}
	return out
}

func invalid(text string, args ...any) error { return errs.New(errs.Invalid, text, args...) }

// unsent is the answer when nothing could be sent because of err. The status is that
// of who has to do something: the key is wrong, the request is, or neither.
func unsent(err error, text string, failed []Failed) error {
	kind := errs.Internal
	var e *provider.Error
	if errors.As(err, &e) {
		switch {
		case e.Status == 401 || e.Status == 403:
			kind = errs.Unauthorized
		case e.Status >= 400 && !e.Temporary():
			kind = errs.Invalid
		}
	}
	return &refusal{public: errs.Wrap(kind, err, text), details: reason(err), failed: failed}
}

// reason words what went wrong at a provider, for clients.
func reason(err error) string {
	var e *provider.Error
	var public *errs.Error
	switch {
	case errors.As(err, &e):
		return e.Error()
	case errors.As(err, &public):
		return public.Public
	}
	return "the request was interrupted"
}
