package httpapi

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/op"
)

// streamIn takes the body as a stream.
type streamIn struct {
	Domain string `path:"domain"`
	Dry    bool   `query:"dry"`
	Form   op.Form
}

// FormDoc describes the fields for the documents.
func (streamIn) FormDoc() any {
	return struct {
		To []string `form:"to" required:"true" doc:"Recipient."`
	}{}
}

type fieldsOut struct {
	Multipart bool     `json:"multipart"`
	Fields    []string `json:"fields"`
}

// fields is an operation that lists the fields of its body.
func fields(_ context.Context, in *streamIn) (*fieldsOut, error) {
	out := &fieldsOut{Multipart: in.Form.Multipart(), Fields: []string{}}
	for {
		f, err := in.Form.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(f.Body)
		if err != nil {
			return nil, err
		}
		line := f.Name + "=" + string(b)
		if f.IsFile {
			line += " (" + f.Filename + ", " + f.ContentType + ")"
		}
		out.Fields = append(out.Fields, line)
	}
}

// firstField reads one byte of the first field and no more.
func firstField(_ context.Context, in *streamIn) (*op.Message, error) {
	f, err := in.Form.Next()
	if err != nil {
		return nil, err
	}
	var b [1]byte
	if _, err := io.ReadFull(f.Body, b[:]); err != nil {
		return nil, err
	}
	return &op.Message{Message: f.Name + string(b[:])}, nil
}

func streamAPI(t testing.TB, cfg Config) *API {
	cfg.Ops = []op.Op{
		op.New("POST", "/v3/{domain}/messages", op.Messages, op.Send, "Send", fields),
		op.New("POST", "/v3/{domain}/first", op.Messages, op.Send, "First", firstField),
	}
	return newAPI(t, cfg)
}

const formPath = "/v3/example.org/messages"

func TestStreamedForms(t *testing.T) {
	a := streamAPI(t, Config{})
	mp := func(parts ...string) (string, string) {
		var b strings.Builder
		for _, p := range parts {
			head, value, _ := strings.Cut(p, "|")
			b.WriteString("--B\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + value + "\r\n")
		}
		return typeMultipart + "; boundary=B", b.String() + "--B--\r\n"
	}
	tests := []struct {
		name  string
		ct    string
		parts []string // multipart where set
		body  string
		want  string
	}{
		{"urlencoded", typeURLEncoded, nil, "to=a%40b.c&to=d&text=x+y%0A&h%3AX-A=1&empty=&flag", `"multipart":false,"fields":["to=a@b.c","to=d","text=x y\n","h:X-A=1","empty=","flag="]`},
		{"rails names", typeURLEncoded, nil, "to[]=a&to%5B1%5D=b&v:x[y]=c&[]=d", `"multipart":false,"fields":["to=a","to=b","v:x[y]=c","[]=d"]`},
		{"semicolons are text", typeURLEncoded, nil, "text=a;b&c=d", `"multipart":false,"fields":["text=a;b","c=d"]`},
		{"charset field", typeURLEncoded, nil, "_charset_=iso-8859-1&text=caf%E9", `"multipart":false,"fields":["text=café"]`},
		{"no body", "", nil, "", `"multipart":false,"fields":[]`},
		{"multipart", "", []string{`name="to"|a`, `name="to[]"|b`, `name="attachment"; filename="dir/f.txt"|data`}, "", `"multipart":true,"fields":["to=a","to=b","attachment=data (f.txt, )"]`},
		{"file without a name", "", []string{`name="message"; filename=""|x`}, "", `"multipart":true,"fields":["message=x (, )"]`},
		{"utf-8 file name", "", []string{"name=\"inline\"; filename=\"é.png\"|x", "name=\"inline\"; filename*=utf-8''%C3%A9.png|y"}, "", `"multipart":true,"fields":["inline=x (é.png, )","inline=y (é.png, )"]`},
		{"part without a name", "", []string{`filename="x"|lost`, `name="a"|b`}, "", `"multipart":true,"fields":["a=b"]`},
		{"part charset", "", []string{"name=\"text\"\r\nContent-Type: text/plain; charset=windows-1252|\x80 5", "name=\"b\"|é"}, "", `"multipart":true,"fields":["text=€ 5","b=é"]`},
		{"multipart charset field", "", []string{"name=\"_charset_\"|Shift_JIS", "name=\"text\"|\x83\x65", "name=\"f\"; filename=\"x\"|\xff\x00"}, "", "\"multipart\":true,\"fields\":[\"text=テ\",\"f=\\ufffd\\u0000 (x, )\"]"},
		{"quoted-printable part", "", []string{"name=\"a\"\r\nContent-Transfer-Encoding: quoted-printable|=C3=A9"}, "", `"multipart":true,"fields":["a=é"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.parts != nil {
				tt.ct, tt.body = mp(tt.parts...)
			}
			wantAnswer(t, send(a, "POST", formPath, tt.ct, tt.body), 200, "{"+tt.want+"}\n")
		})
	}
}

func TestStreamedFormErrors(t *testing.T) {
	a := streamAPI(t, Config{})
	boundary := typeMultipart + "; boundary=B"
	part := func(head, value string) string {
		return "--B\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + value + "\r\n--B--\r\n"
	}
	tests := []struct{ name, ct, body, want string }{
		{"bad escape", typeURLEncoded, "text=%zz", textEscape},
		{"cut escape", typeURLEncoded, "text=%4", textEscape},
		{"bad escape in name", typeURLEncoded, "te%xt=1", textEscape},
		{"json", typeJSON, `{"to":"a"}`, "Invalid request content type. Expecting 'multipart/form-data' or 'application/x-www-form-urlencoded' but got 'application/json'"},
		{"no type", "", "to=a", "Invalid request content type. Expecting 'multipart/form-data' or 'application/x-www-form-urlencoded' but got ''"},
		{"no boundary", typeMultipart, "--B--\r\n", textMultipart},
		{"no end", boundary, "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue", textMultipart},
		{"not multipart", boundary, "hello", textMultipart},
		{"bad part header", boundary, "--B\r\nnonsense\r\n\r\nx\r\n--B--\r\n", textMultipart},
		{"nul", typeURLEncoded, "text=%00", "parameter text contains a NUL byte"},
		{"nul in part", boundary, part(`name="text"`, "a\x00"), "parameter text contains a NUL byte"},
		{"not utf-8", boundary, part(`name="text"`, "\xe2\x82"), "parameter text is not valid UTF-8"},
		{"name not utf-8", typeURLEncoded, "%ff=1", "parameter name is not valid UTF-8"},
		{"unknown charset", boundary, "--B\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=klingon\r\n\r\nx\r\n--B--\r\n", "parameter a has an unknown charset 'klingon'"},
		{"long name", typeURLEncoded, strings.Repeat("n", 5000) + "=1", "parameter name is longer than 1024 bytes"},
		{"long name in part", boundary, part(`name="`+strings.Repeat("n", 2000)+`"`, ""), "parameter name is longer than 1024 bytes"},
		{"long file name", boundary, part(`name="a"; filename="`+strings.Repeat("n", 2000)+`"`, ""), "file name of parameter a is longer than 1024 bytes"},
		{"too many", typeURLEncoded, strings.Repeat("a=1&", maxParts+1), "too many parameters, max is 20000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantAnswer(t, send(a, "POST", formPath, tt.ct, tt.body), 400, "{\"message\":\""+tt.want+"\"}\n")
		})
	}
}

func TestThousandRecipients(t *testing.T) {
	a := streamAPI(t, Config{})
	var pairs, want []string
	for i := range 1001 {
		pairs = append(pairs, "to", fmt.Sprintf("user%d@example.com", i))
		want = append(want, fmt.Sprintf(`"to=user%d@example.com"`, i))
	}
	ct, body := multi(t, pairs...)
	wantAnswer(t, send(a, "POST", formPath, ct, body), 200, `{"multipart":true,"fields":[`+strings.Join(want, ",")+"]}\n")
}

// TestUnreadFields lets an operation leave fields unread.
func TestUnreadFields(t *testing.T) {
	a := streamAPI(t, Config{})
	ct, body := multi(t, "to", "abc", "text", strings.Repeat("x", 1<<20))
	wantAnswer(t, send(a, "POST", "/v3/d/first", ct, body), 200, "{\"message\":\"toa\"}\n")
	wantAnswer(t, send(a, "POST", "/v3/d/first", typeURLEncoded, "to=abc&x="+strings.Repeat("x", 1<<20)), 200, "{\"message\":\"toa\"}\n")
}

func packed(t testing.TB, encoding, s string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	default:
		fw, err := flate.NewWriter(&b, 6)
		if err != nil {
			t.Fatal(err)
		}
		w = fw
	}
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCompressedBodies(t *testing.T) {
	a := streamAPI(t, Config{MaxBody: 1 << 20})
	ok := "{\"multipart\":false,\"fields\":[\"to=a\"]}\n"
	bad := "{\"message\":\"unable to parse request: invalid compressed data\"}\n"
	zipped := packed(t, "gzip", "to=a")
	tests := []struct {
		name, encoding, body string
		status               int
		want                 string
	}{
		{"gzip", "gzip", zipped, 200, ok},
		{"x-gzip", "X-GZIP", zipped, 200, ok},
		{"zlib deflate", "deflate", packed(t, "zlib", "to=a"), 200, ok},
		{"bare deflate", "deflate", packed(t, "flate", "to=a"), 200, ok},
		{"identity", "identity", "to=a", 200, ok},
		{"not gzip", "gzip", "to=a", 400, bad},
		{"cut gzip", "gzip", zipped[:len(zipped)-6], 400, bad},
		{"wrong checksum", "gzip", zipped[:len(zipped)-8] + "xxxx" + zipped[len(zipped)-4:], 400, bad},
		{"not deflate", "deflate", "\xff\xff\xff\xff", 400, bad},
		{"unknown", "br", "to=a", 415, "{\"message\":\"unsupported Content-Encoding 'br', use gzip or deflate\"}\n"},
		{"bomb", "gzip", packed(t, "gzip", "to="+strings.Repeat("a", 64<<20)), 413, "{\"message\":\"request size exceeds 1.0MiB limit\"}\n"},
		{"plain and large", "", "to=" + strings.Repeat("a", 1<<20), 413, "{\"message\":\"request size exceeds 1.0MiB limit\"}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", formPath, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", typeURLEncoded)
			r.Header.Set("Content-Encoding", tt.encoding)
			r.SetBasicAuth("api", "good")
			w := httptest.NewRecorder()
			a.ServeHTTP(w, r)
			wantAnswer(t, w, tt.status, tt.want)
		})
	}
}

func TestBodyLimits(t *testing.T) {
	var a API
	a.max = DefaultMaxBody
	if got := (&body{max: a.max}).tooLarge().Error(); got != "request size exceeds 52.4MiB limit" {
		t.Errorf("text: %s", got)
	}
	api := streamAPI(t, Config{MaxBody: 100})
	exact := "to=" + strings.Repeat("a", 97)
	if w := send(api, "POST", formPath, typeURLEncoded, exact); w.Code != 200 {
		t.Errorf("a body of exactly the limit: %d %s", w.Code, w.Body)
	}
	// A chunked body has no length that could be refused beforehand.
	r := httptest.NewRequest("POST", formPath, io.MultiReader(strings.NewReader(exact+"b")))
	r.ContentLength = -1
	r.Header.Set("Content-Type", typeURLEncoded)
	r.SetBasicAuth("api", "good")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	if w.Code != 413 {
		t.Errorf("chunked: %d %s", w.Code, w.Body)
	}
}

func TestBoundFormLimits(t *testing.T) {
	type in struct {
		A string `form:"a" json:"a"`
		B string `form:"b" json:"b"`
		F []byte `form:"f" json:"f"`
	}
	a := newAPI(t, Config{Ops: []op.Op{op.New("POST", "/v3/x", op.Messages, op.Write, "x", func(_ context.Context, v *in) (*op.Message, error) {
		return &op.Message{Message: fmt.Sprint(len(v.A), len(v.B), len(v.F))}, nil
	})}})
	mb := strings.Repeat("a", 1<<20)
	ct, body := multi(t, "a", mb, "f", strings.Repeat("f", 20<<20))
	wantAnswer(t, send(a, "POST", "/v3/x", ct, body), 200, "{\"message\":\"1048576 0 20971520\"}\n")
	ct, body = multi(t, "a", mb+"a")
	wantAnswer(t, send(a, "POST", "/v3/x", ct, body), 413, "{\"message\":\"parameter a exceeds 1 MB\"}\n")
	var pairs []string
	for range 11 {
		pairs = append(pairs, "b", mb)
	}
	ct, body = multi(t, pairs...)
	wantAnswer(t, send(a, "POST", "/v3/x", ct, body), 413, "{\"message\":\"parameters exceed 10 MB in total\"}\n")
	ct, body = multi(t, "f", strings.Repeat("f", 25<<20+1))
	wantAnswer(t, send(a, "POST", "/v3/x", ct, body), 413, "{\"message\":\"parameter f exceeds 25 MB\"}\n")
	// What the operation does not know is not kept.
	ct, body = multi(t, "unknown", strings.Repeat("u", 30<<20), "a", "x")
	wantAnswer(t, send(a, "POST", "/v3/x", ct, body), 200, "{\"message\":\"1 0 0\"}\n")
}

// TestBrokenConnections speaks to a real server: a client that stops in the
// middle, and one that stops without saying so.
func TestBrokenConnections(t *testing.T) {
	a := streamAPI(t, Config{BodyIdle: 50 * time.Millisecond})
	srv := httptest.NewServer(a)
	defer srv.Close()
	head := "POST " + formPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Basic KEY\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nto=a"
	for _, tt := range []struct {
		name  string
		key   string
		close bool
		want  string
	}{
		{"aborted", "YXBpOmdvb2Q=", true, "400 Bad Request"},
		{"slow", "YXBpOmdvb2Q=", false, "408 Request Timeout"},
		{"refused and slow", "YXBpOmJhZA==", false, "401 Unauthorized"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// A server that waits for the body would keep the test for ever.
			if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, strings.Replace(head, "KEY", tt.key, 1)); err != nil {
				t.Fatal(err)
			}
			if tt.close {
				if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			answer, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(answer), "HTTP/1.1 "+tt.want) {
				t.Errorf("answer: %s", answer)
			}
		})
	}
}

// TestSlowOperation checks that the deadline of the body does not reach into
// the operation: its context must not end while the client waits.
func TestSlowOperation(t *testing.T) {
	release := make(chan struct{})
	a := newAPI(t, Config{BodyIdle: time.Nanosecond * 1e7, Ops: []op.Op{
		op.New("POST", "/v3/slow", op.Messages, op.Public, "x", func(ctx context.Context, in *struct{ Form op.Form }) (*op.Message, error) {
			for {
				if _, err := in.Form.Next(); err == io.EOF {
					break
				} else if err != nil {
					return nil, err
				}
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-release:
				return &op.Message{Message: "done"}, nil
			}
		}),
	}})
	srv := httptest.NewServer(a)
	defer srv.Close()
	timer := time.AfterFunc(60*time.Millisecond, func() { close(release) })
	defer timer.Stop()
	ct, body := multi(t, "to", "a")
	res, err := http.Post(srv.URL+"/v3/slow", ct, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "{\"message\":\"done\"}\n" {
		t.Errorf("%s %v", b, err)
	}
}
