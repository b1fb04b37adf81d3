package httpapi

import (
	"bytes"
	"io"
	"math"
	"mime/multipart"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"postroad/internal/base/op"
)

// pair is a field of a form.
type pair struct{ name, value string }

// drainForm reads a form to its end.
func drainForm(f op.Form) ([]pair, error) {
	var out []pair
	for {
		fd, err := f.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		b, err := io.ReadAll(fd.Body)
		if err != nil {
			return out, err
		}
		out = append(out, pair{fd.Name, string(b)})
	}
}

// drip returns its text a few bytes at a time, so that escapes and characters
// are cut everywhere.
type drip struct {
	s    string
	step int
}

func (d *drip) Read(p []byte) (int, error) {
	if d.s == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), d.step)], d.s)
	d.s = d.s[n:]
	return n, nil
}

func testBody(s string, step int) *body {
	return &body{src: &drip{s, step}, max: math.MaxInt32}
}

// FuzzURLEncodedForm compares with net/url on what net/url accepts.
func FuzzURLEncodedForm(f *testing.F) {
	for _, s := range []string{"", "a=1&b=2", "to[]=x&to[0]=y", "a=%E2%82%AC+%00", "%", "a=%4", "a=%zz", "&&=&=x&a", "a=b=c", "_charset_=latin1&a=%E9", "a=;", "ä=ö"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, s string, step int) {
		step = 1 + (step&math.MaxInt)%7
		got, err := drainForm(newURLForm(media{kind: typeURLEncoded}, testBody(s, step)))
		if err != nil && !clientError(err) {
			t.Fatalf("error not fit for the client: %v", err)
		}
		want, urlErr := url.ParseQuery(s)
		if urlErr != nil || strings.Contains(s, "charset") || tooLong(want) {
			return
		}
		valid := true
		flat := map[string][]string{}
		for name, list := range want {
			valid = valid && goodText(name)
			for _, v := range list {
				valid = valid && goodText(v)
			}
			flat[bareName(name)] = append(flat[bareName(name)], list...)
		}
		if valid != (err == nil) {
			t.Fatalf("%q: valid %v, error %v", s, valid, err)
		}
		if !valid {
			return
		}
		have := map[string][]string{}
		for _, p := range got {
			have[p.name] = append(have[p.name], p.value)
		}
		for name, list := range flat {
			slices.Sort(list)
			slices.Sort(have[name])
			if !slices.Equal(list, have[name]) {
				t.Fatalf("%q: %q is %q, want %q", s, name, have[name], list)
			}
		}
		if len(have) != len(flat) {
			t.Fatalf("%q: %v, want %v", s, have, flat)
		}
	})
}

func goodText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// tooLong reports names and counts that the form refuses and net/url takes.
func tooLong(v url.Values) bool {
	n := 0
	for name, list := range v {
		if n += len(list); len(name) > maxName || n > maxParts {
			return true
		}
	}
	return false
}

// FuzzMultipartForm feeds arbitrary bodies, and checks that well-formed ones
// made of arbitrary values come back as they were.
func FuzzMultipartForm(f *testing.F) {
	f.Add("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--B--\r\n", "to", "value", 1)
	f.Add("--B\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\nContent-Type: text/plain; charset=latin1\r\n\r\n\xe9", "to[]", "\xff", 3)
	f.Add("--B\r\nContent-Disposition: form-data; name=_charset_\r\n\r\nshift_jis\r\n--B\r\n\r\n--B--", "x", "a\r\n--B\r\nb", 2)
	f.Fuzz(func(t *testing.T, raw, name, value string, step int) {
		step = 1 + (step&math.MaxInt)%7
		m := media{kind: typeMultipart, boundary: "B"}
		form, err := newMultiForm(m, testBody(raw, step))
		if err != nil {
			t.Fatal(err)
		}
		got, err := drainForm(form)
		if err != nil && !clientError(err) {
			t.Fatalf("error not fit for the client: %v", err)
		}
		for _, p := range got {
			if !goodText(p.name) {
				t.Fatalf("name %q", p.name)
			}
		}
		var b bytes.Buffer
		mw := multipart.NewWriter(&b)
		if !plainName(name) || mw.WriteField(name, value) != nil || mw.Close() != nil {
			return
		}
		form, err = newMultiForm(media{kind: typeMultipart, boundary: mw.Boundary()}, testBody(b.String(), step))
		if err != nil {
			t.Fatal(err)
		}
		got, err = drainForm(form)
		if good := goodText(value); good != (err == nil) || good && (len(got) != 1 || got[0] != pair{bareName(name), value}) {
			t.Fatalf("%q=%q: %q, %v", name, value, got, err)
		}
	})
}

// plainName reports a name that mime/multipart writes unchanged.
func plainName(s string) bool {
	return s != "" && s != "_charset_" && len(s) <= maxName && strings.IndexFunc(s, func(r rune) bool { return r < 'A' || r > 'z' || r == '\\' }) < 0
}

// FuzzBinder sends arbitrary queries and bodies of every type to the struct
// with a member of every kind: the answer is 200, 400 or 413, and texts are
// valid UTF-8.
func FuzzBinder(f *testing.F) {
	types := []string{typeURLEncoded, typeJSON, typeMultipart + "; boundary=B", "text/plain", ""}
	f.Add("limit=3&to=a&when=1", `{"limit":5,"to":["a",1,null],"num":[1]}`, 1)
	f.Add("event=opened", "text=%ff&kind=b&when=Thu,+26+Mar+2026+12:59:15+UTC", 0)
	f.Add("", "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=x\r\n\r\n\x00\r\n--B--", 2)
	a := manyAPI(f)
	f.Fuzz(func(t *testing.T, query, text string, kind int) {
		r := httptest.NewRequest("POST", "/v3/d/many", strings.NewReader(text))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", types[(kind&math.MaxInt)%len(types)])
		r.SetBasicAuth("api", "good")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if !utf8.Valid(w.Body.Bytes()) {
			t.Fatalf("not UTF-8: %q", w.Body)
		}
	})
}

// FuzzResolve looks arbitrary paths up.
func FuzzResolve(f *testing.F) {
	for _, p := range []string{"/v3/example.org/messages", "/v3/v3/v3", "//", "/v3//bounces", "/%2f", "/v3/x/bounces/%00"} {
		f.Add("GET", p)
	}
	a := manyAPI(f)
	f.Fuzz(func(t *testing.T, method, path string) {
		u, err := url.ParseRequestURI("/" + path)
		if err != nil {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.URL = method, u
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s %q: %d %s", method, path, w.Code, w.Body)
		}
	})
}

// FuzzParseTime checks that a date never fails in another way than by its text.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"Thu, 26 Mar 2026 12:59:15 UTC", "1700000000.25", "-1", "1e11", "0x10p3", "26 Mar 26 12:59 EST"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTime(s)
		if err != nil && !clientError(err) {
			t.Fatalf("%q: %v", s, err)
		}
		if err == nil {
			if _, err := got.MarshalJSON(); err != nil && got.Year() >= 0 && got.Year() < 10000 {
				t.Fatalf("%q became %v: %v", s, got, err)
			}
		}
	})
}
