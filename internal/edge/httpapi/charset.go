package httpapi

import (
	"bytes"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/transform"

	"postroad/internal/base/errs"
)

// checkText refuses what no operation should see in a text.
func checkText(name, s string) error {
	if !utf8.ValidString(s) {
		return notUTF8(name)
	}
	if strings.IndexByte(s, 0) >= 0 {
		return hasNUL(name)
	}
	return nil
}

func notUTF8(name string) error {
	return errs.New(errs.Invalid, "parameter %s is not valid UTF-8", clip(name, 100)).
		WithHint("send text as UTF-8, or declare its charset in the part's Content-Type")
}

func hasNUL(name string) error {
	return errs.New(errs.Invalid, "parameter %s contains a NUL byte", clip(name, 100))
}

// readCharset reads the value of a _charset_ field. HTML: it names the charset
// of the fields after it.
func readCharset(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, 64))
	return strings.TrimSpace(string(b)), err
}

// partCharset returns the charset of a part: its own, else the form's.
func partCharset(contentType, decl string) string {
	if contentType == "" {
		return decl
	}
	if _, params, err := mime.ParseMediaType(contentType); err == nil && params["charset"] != "" {
		return params["charset"]
	}
	return decl
}

// textReader gives out a field's text as UTF-8 and fails where it is none.
type textReader struct {
	r    io.Reader
	name string
	held [utf8.UTFMax]byte // the bytes of a character cut by the last read
	n    int
	err  error
}

// reset begins a field in the given charset; "" means UTF-8.
func (t *textReader) reset(r io.Reader, name, charset string) error {
	*t = textReader{r: r, name: name}
	if charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8") {
		return nil
	}
	enc, err := htmlindex.Get(charset)
	if err != nil {
		return errs.New(errs.Invalid, "parameter %s has an unknown charset '%s'", clip(name, 100), clip(charset, 40))
	}
	t.r = transform.NewReader(r, enc.NewDecoder())
	return nil
}

// Read reads text and checks it on the way.
func (t *textReader) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.r.Read(p)
	if bad := t.check(p[:n]); bad != nil {
		t.err = bad
		return 0, bad
	}
	if err == io.EOF && t.n > 0 {
		err = notUTF8(t.name)
	}
	t.err = err
	return n, err
}

func (t *textReader) check(b []byte) error {
	if bytes.IndexByte(b, 0) >= 0 {
		return hasNUL(t.name)
	}
	for t.n > 0 && len(b) > 0 {
		t.held[t.n] = b[0]
		t.n, b = t.n+1, b[1:]
		if utf8.FullRune(t.held[:t.n]) {
			if _, size := utf8.DecodeRune(t.held[:t.n]); size != t.n {
				return notUTF8(t.name)
			}
			t.n = 0
		}
	}
	cut := len(b) - cutRune(b)
	if !utf8.Valid(b[:cut]) {
		return notUTF8(t.name)
	}
	t.n += copy(t.held[t.n:], b[cut:])
	return nil
}

// cutRune returns how many bytes at the end of b begin a character that goes
// on after it.
func cutRune(b []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if utf8.RuneStart(b[len(b)-i]) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return i
			}
			return 0
		}
	}
	return 0
}
