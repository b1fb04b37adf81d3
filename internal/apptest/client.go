package apptest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"postroad/internal/core/domain"
)

// Fields are name and value pairs of a form, in turn.
type Fields []string

// Do makes an API request and returns the status and the body. Fields become a
// form; those of a GET the query.
func (s *Server) Do(method, path string, f Fields) (int, []byte) {
	s.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(f); i += 2 {
		values.Add(f[i], f[i+1])
	}
	var body io.Reader
	kind := ""
	if method == http.MethodGet {
		path += "?" + values.Encode()
	} else if len(f) > 0 {
		body, kind = strings.NewReader(values.Encode()), "application/x-www-form-urlencoded"
	}
	return s.request(method, path, kind, body)
}

func (s *Server) request(method, path, kind string, body io.Reader) (int, []byte) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth("api", s.Key)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, b
}

// Must is Do for a request that succeeds.
func (s *Server) Must(method, path string, f Fields) []byte {
	s.t.Helper()
	code, body := s.Do(method, path, f)
	if code != http.StatusOK {
		s.t.Fatalf("%s %s: %d %s", method, path, code, body)
	}
	return body
}

// Send submits a message from the domain and returns its id. Unless f has them,
// from, subject and text are filled in.
func (s *Server) Send(dom string, f Fields) string {
	s.t.Helper()
	full := append(Fields(nil), f...)
	for _, def := range []Fields{{"from", "Sender <sender@" + dom + ">"}, {"subject", "Greetings"}, {"text", "Hello."}} {
		if !f.has(def[0]) && (def[0] != "text" || !f.has("html")) {
			full = append(full, def...)
		}
	}
	return s.queued(s.Must("POST", "/v3/"+dom+"/messages", full))
}

func (f Fields) has(name string) bool {
	for i := 0; i < len(f); i += 2 {
		if f[i] == name {
			return true
		}
	}
	return false
}

func (s *Server) queued(body []byte) string {
	s.t.Helper()
	var out struct{ ID, Message string }
	if err := json.Unmarshal(body, &out); err != nil || out.ID == "" {
		s.t.Fatalf("not the answer of a queued message: %s", body)
	}
	return out.ID
}

// SendMIME submits a complete message and returns its id.
func (s *Server) SendMIME(dom, raw string, f Fields) string {
	s.t.Helper()
	code, body := s.TryMIME(dom, raw, f)
	if code != http.StatusOK {
		s.t.Fatalf("messages.mime: %d %s", code, body)
	}
	return s.queued(body)
}

// TryMIME submits a complete message and returns the answer.
func (s *Server) TryMIME(dom, raw string, f Fields) (int, []byte) {
	s.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(f); i += 2 {
		if err := w.WriteField(f[i], f[i+1]); err != nil {
			s.t.Fatal(err)
		}
	}
	p, err := w.CreateFormFile("message", "message.eml")
	if err == nil {
		_, err = io.WriteString(p, raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return s.request("POST", "/v3/"+dom+"/messages.mime", w.FormDataContentType(), &b)
}

// AddDomain creates a sending domain and publishes its records in the World.
func (s *Server) AddDomain(name string) *domain.Domain {
	s.t.Helper()
	s.Must("POST", "/v4/domains", Fields{"name", name})
	ctx := context.Background()
	d, err := s.Domains.ByName(ctx, name)
	if err != nil {
		s.t.Fatal(err)
	}
	_, sending, err := s.Domains.DNSRecords(ctx, d)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range sending {
		if r.Type == "TXT" {
			s.World.DNS.Set(s.t, r.Name, "TXT", r.Value)
		}
	}
	return d
}

// Listed returns the addresses on a suppression list of a domain.
func (s *Server) Listed(d *domain.Domain, kind string) (out []string) {
	s.t.Helper()
	rows, err := s.query("SELECT address FROM suppression WHERE domain_id = ? AND kind = ? ORDER BY address", d.ID, kind)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range rows {
		out = append(out, fmt.Sprint(r))
	}
	return out
}
