package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// failure is an error with what people and scripts need: one sentence, one
// cause, one thing to try, an exit status and a code.
type failure struct {
	status  int
	code    string
	message string
	cause   string
	hint    string // a command line or a sentence
	err     error
}

// Error returns the sentence and the cause.
func (f *failure) Error() string {
	if f.cause == "" {
		return f.message
	}
	return f.message + ": " + f.cause
}

// Unwrap returns the error behind it.
func (f *failure) Unwrap() error { return f.err }

// try sets the hint.
func (f *failure) try(hint string) *failure {
	f.hint = hint
	return f
}

func usage(format string, args ...any) *failure {
	return &failure{status: exitUsage, code: "usage", message: fmt.Sprintf(format, args...)}
}

func failed(format string, args ...any) *failure {
	return &failure{status: exitFailed, code: "failed", message: fmt.Sprintf(format, args...)}
}

// asFailure gives every error the form of a failure.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{status: exitFailed, code: "failed", message: err.Error(), err: err}
}

// printError writes err to standard error: sentences on a terminal, JSON
// elsewhere. That standard error cannot be written to is nobody's to tell.
func printError(e *Env, err error) {
	f := asFailure(err)
	if e.json || !e.terminal().Stderr {
		_ = printJSON(e.Stderr, errorJSON(f))
		return
	}
	var b strings.Builder
	for i, line := range strings.Split(f.message, "\n") {
		if i == 0 {
			line = "error: " + line
		} else {
			line = "       " + line
		}
		b.WriteString(clean(line) + "\n")
	}
	if f.cause != "" {
		b.WriteString("cause: " + clean(f.cause) + "\n")
	}
	if f.hint != "" {
		b.WriteString("try:   " + clean(f.hint) + "\n")
	}
	_, _ = io.WriteString(e.Stderr, b.String())
}

func errorJSON(f *failure) any {
	type body struct {
		Message string `json:"message"`
		Code    string `json:"code"`
		Cause   string `json:"cause,omitempty"`
		Hint    string `json:"hint,omitempty"`
	}
	return struct {
		Error body `json:"error"`
	}{body{f.message, f.code, f.cause, f.hint}}
}
