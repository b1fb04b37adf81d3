package httpapi

import (
	"context"
	"io"
	"mime/multipart"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"postroad/internal/base/op"
)

// discardFields reads a form the way the message operation does, keeping nothing.
func discardFields(_ context.Context, in *streamIn) (*op.Message, error) {
	for {
		f, err := in.Form.Next()
		if err == io.EOF {
			return &op.Message{Message: "Queued. Thank you."}, nil
		}
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, f.Body); err != nil {
			return nil, err
		}
	}
}

func benchBody(b *testing.B) (ct, body, form string) {
	html := strings.Repeat("<p>Hello, world &amp; co.</p>\n", 340)
	pairs := []string{"from", "a@example.org", "to", "b@example.com", "subject", "Hello", "text", "Hello", "html", html, "o:tag", "x"}
	ct, body = multi(b, pairs...)
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return ct, body, v.Encode()
}

func benchServe(b *testing.B, ct, body string) {
	a := newAPI(b, Config{Ops: []op.Op{op.New("POST", "/v3/{domain}/messages", op.Messages, op.Send, "Send", discardFields)}})
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r := httptest.NewRequest("POST", formPath, strings.NewReader(body))
		r.Header.Set("Content-Type", ct)
		r.SetBasicAuth("api", "good")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkMultipart is a message of 10 KB; BenchmarkMultipartBare the same
// request read with mime/multipart alone.
func BenchmarkMultipart(b *testing.B) {
	ct, body, _ := benchBody(b)
	benchServe(b, ct, body)
}

func BenchmarkURLEncoded(b *testing.B) {
	_, _, form := benchBody(b)
	benchServe(b, typeURLEncoded, form)
}

func BenchmarkMultipartBare(b *testing.B) {
	ct, body, _ := benchBody(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r := httptest.NewRequest("POST", formPath, strings.NewReader(body))
		r.Header.Set("Content-Type", ct)
		r.SetBasicAuth("api", "good")
		w := httptest.NewRecorder()
		mr, err := r.MultipartReader()
		if err != nil {
			b.Fatal(err)
		}
		readBare(b, mr)
		w.WriteHeader(200)
	}
}

func readBare(b *testing.B, mr *multipart.Reader) {
	for {
		p, err := mr.NextPart()
		if err == io.EOF {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		p.FormName()
		if _, err := io.Copy(io.Discard, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBoundGET(b *testing.B) {
	a := manyAPI(b)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("GET", "/v3/example.org/many?limit=10&to=a&active=yes", nil)
		r.SetBasicAuth("api", "good")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
	}
}

func BenchmarkNearest(b *testing.B) {
	a := routingAPI(b)
	for b.Loop() {
		a.router.nearest("GET", "/v3/example.org/bounce/a@b.c")
	}
}
