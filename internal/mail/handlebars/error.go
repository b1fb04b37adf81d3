package handlebars

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// What an *Error from Render wraps.
var (
	// ErrSteps: rendering took more steps than allowed.
	ErrSteps = errors.New("the template takes too many steps")
	// ErrOutput: the result is larger than allowed.
	ErrOutput = errors.New("the result is too large")
)

// Error says what is wrong with a template and where.
type Error struct {
	Line, Column int    // from 1; columns in characters
	Text         string // without the place
	Err          error  // ErrSteps or ErrOutput; nil when the template does not parse
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s, line %d column %d", e.Text, e.Line, e.Column)
}

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Err }

// place is the line and column of an offset in a template.
func place(src string, at int) (line, column int) {
	before := src[:min(at, len(src))]
	line = 1 + strings.Count(before, "\n")
	return line, 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

func errorAt(src string, at int, format string, args ...any) *Error {
	e := &Error{Text: fmt.Sprintf(format, args...)}
	e.Line, e.Column = place(src, at)
	return e
}

// clip shortens what is quoted in an error.
func clip(s string) string {
	const most = 60
	s = strings.ToValidUTF8(s, "?")
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s[:min(len(s), 4*most)])[:most]) + "..."
}
