package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
)

// The scenarios ask the real program over HTTP and compare what clients of
// Mailgun see: statuses, texts, key names, their order, dates. Where a text is
// recorded from the service it stands here letter by letter.

// probe is one request and what must come back.
type probe struct {
	name   string
	as     string // role of the key; "" is the administrator, "nobody" has none
	method string // "" is POST with something to send, else GET
	path   string

	form  []string    // name and value in turn, urlencoded
	parts []string    // the same as multipart
	files []upload    // with parts
	json  string      // a JSON body
	raw   string      // any other body, with its type
	ctype string      // of raw
	head  [][2]string // further header fields

	status int    // 0 is 200
	want   string // the body, ** for any text; "" is not compared
	not    string // must not be in the body
	header string // a field of the answer, "Name: value" with **
}

type upload struct{ field, name, ctype, data string }

// stage is a running program with two domains and a key for each role.
type stage struct {
	*apptest.Server
	t    *testing.T
	keys map[string]string

	hosts int // made by receive
}

func newStage(t *testing.T, mode config.Mode, args ...string) *stage {
	t.Helper()
	s := &stage{Server: apptest.Start(t, apptest.Options{Mode: mode, Args: args}), t: t}
	s.keys = map[string]string{"": s.Key, "wrong": "key-unknown"}
	s.AddDomain("example.com")
	s.AddDomain("example.org")
	for _, role := range []string{"basic", "developer", "support"} {
		s.keys[role] = s.newKey("role", role, "kind", "user")
	}
	s.keys["sending"] = s.newKey("role", "sending", "kind", "domain", "domain_name", "example.com")
	return s
}

func (s *stage) newKey(form ...string) string {
	s.t.Helper()
	var out struct{ Key struct{ Secret string } }
	if err := json.Unmarshal(s.Must("POST", "/v1/keys", form), &out); err != nil || out.Key.Secret == "" {
		s.t.Fatalf("no key: %v", err)
	}
	return out.Key.Secret
}

// run checks the probes in order; later ones may build on earlier ones.
func (s *stage) run(t *testing.T, list []probe) {
	t.Helper()
	for _, p := range list {
		name := p.name
		if name == "" {
			name = strings.TrimSpace(p.method + " " + p.path)
		}
		t.Run(name, func(t *testing.T) { s.check(t, p) })
	}
}

func (s *stage) check(t *testing.T, p probe) (body string) {
	t.Helper()
	res, body := s.ask(t, p)
	want := p.status
	if want == 0 {
		want = http.StatusOK
	}
	if res.StatusCode != want {
		t.Errorf("status %d, want %d: %.300s", res.StatusCode, want, body)
	}
	if p.want != "" && !like(p.want, strings.TrimSuffix(body, "\n")) {
		t.Errorf("body\n%.2000s\nwant\n%s", body, p.want)
	}
	if p.not != "" && strings.Contains(body, p.not) {
		t.Errorf("%q in the body\n%.2000s", p.not, body)
	}
	if name, value, ok := strings.Cut(p.header, ": "); ok && !like(value, strings.Join(res.Header.Values(name), ", ")) {
		t.Errorf("%s: %q, want %q", name, res.Header.Values(name), value)
	}
	return body
}

// like compares with a text in which ** stands for anything.
func like(pattern, s string) bool {
	return regexp.MustCompile(`(?s)\A` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*\*`, `.*?`) + `\z`).MatchString(s)
}

func (s *stage) ask(t *testing.T, p probe) (*http.Response, string) {
	t.Helper()
	body, ctype := p.body(t)
	method := p.method
	if method == "" {
		if method = "GET"; body != nil {
			method = "POST"
		}
	}
	req, err := http.NewRequest(method, s.URL+p.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	if p.as != "nobody" {
		key, ok := s.keys[p.as]
		if !ok {
			t.Fatalf("no key for %q", p.as)
		}
		req.SetBasicAuth("api", key)
	}
	for _, h := range p.head {
		req.Header.Set(h[0], h[1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func (p *probe) body(t *testing.T) (io.Reader, string) {
	t.Helper()
	switch {
	case p.json != "":
		return strings.NewReader(p.json), "application/json"
	case p.raw != "":
		return strings.NewReader(p.raw), p.ctype
	case p.parts != nil || p.files != nil:
		return multi(t, p.parts, p.files)
	case p.form != nil:
		v := url.Values{}
		for i := 0; i < len(p.form); i += 2 {
			v.Add(p.form[i], p.form[i+1])
		}
		return strings.NewReader(v.Encode()), "application/x-www-form-urlencoded"
	}
	return nil, p.ctype
}

func multi(t *testing.T, fields []string, files []upload) (io.Reader, string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="%s"; filename="%s"`, f.field, f.name)}} // quotes in names stay
		if f.ctype != "" {
			h.Set("Content-Type", f.ctype)
		}
		part, err := w.CreatePart(h)
		if err == nil {
			_, err = io.WriteString(part, f.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b, w.FormDataContentType()
}

// with returns a form with more fields; a field given twice keeps both.
func with(form []string, more ...string) []string {
	return append(append([]string(nil), form...), more...)
}

// without returns a form less the fields of a name.
func without(form []string, name string) (out []string) {
	for i := 0; i < len(form); i += 2 {
		if form[i] != name {
			out = append(out, form[i], form[i+1])
		}
	}
	return out
}

// decode reads a JSON answer.
func decode[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v: %.300s", err, body)
	}
	return v
}

// local returns the path of a URL the program gave out.
func (s *stage) local(t *testing.T, u string) string {
	t.Helper()
	path, ok := strings.CutPrefix(u, s.URL)
	if !ok {
		t.Fatalf("%q does not begin with %q, where the client reached the program", u, s.URL)
	}
	return path
}
