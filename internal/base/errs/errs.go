// Package errs is the one error type that crosses package borders with a
// meaning for the client: a kind, a text that may be shown, and the cause,
// which may not. One table at each edge maps kinds to HTTP status or SMTP
// code; an error of any other type is internal and shows a fixed text.
package errs

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what went wrong in terms a client can act on.
type Kind uint8

// The kinds, with the HTTP status the API edge gives them.
const (
	Internal     Kind = iota // 500
	Invalid                  // 400: the request is wrong and will stay wrong
	Unauthorized             // 401: no or unknown key
	Forbidden                // 403: known key, not allowed
	NotFound                 // 404
	Conflict                 // 409
	Gone                     // 410
	TooLarge                 // 413
	Unsupported              // 415
	Limited                  // 429
	Unavailable              // 503: overloaded or storage failing, try again
)

// Error is an error with a public face.
type Error struct {
	Kind       Kind
	Public     string        // text for the client; safe to show
	Hint       string        // extra help, sent beside the answer and never in place of it
	RetryAfter time.Duration // for Limited and Unavailable; 0 when unknown
	Err        error         // cause, for the log
}

// Error returns the public text followed by the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Public
	}
	return e.Public + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of kind k with a public text in fmt syntax; a %w verb
// is not supported, use Wrap for a cause.
func New(k Kind, format string, args ...any) *Error {
	if len(args) == 0 {
		return &Error{Kind: k, Public: format}
	}
	return &Error{Kind: k, Public: fmt.Sprintf(format, args...)}
}

// Wrap returns an error of kind k that hides err behind a public text.
func Wrap(k Kind, err error, public string) *Error {
	return &Error{Kind: k, Public: public, Err: err}
}

// WithHint returns a copy of e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// KindOf returns the kind of the first *Error in err's chain, Internal when
// there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err has kind k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }
