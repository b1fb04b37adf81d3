package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/config"
)

// program is a running Postroad.
type program struct {
	t    *testing.T
	app  *app.App
	base string // of the API and the panel
	key  string // with all rights
}

const adminKey = "key-e2e0123456789abcdef0123456789abcd"

// freePort returns an address nobody listens on right now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs the program until the test ends. The panel gives its own address
// in texts, so the port is chosen first.
func start(t *testing.T, mode config.Mode, args ...string) *program {
	t.Helper()
	addr := freePort(t)
	args = append([]string{"--data", t.TempDir(), "--http", addr, "--https", "off", "--smtp", "off", "--hostname", "mail.postroad.test",
		"--shutdown-timeout", "2s"}, args...)
	cfg, _, _, err := config.Parse(mode, args, []string{"POSTROAD_ADMIN_KEY=" + adminKey}, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), cfg, app.Options{Version: "e2e", Logger: slog.New(slog.NewTextHandler(logTo{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the program ended with: %v", err)
		}
	})
	return &program{t: t, app: a, base: "http://" + addr, key: adminKey}
}

// logTo puts the program's warnings into the test's log.
type logTo struct{ t *testing.T }

func (l logTo) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// file is an attachment of a request.
type file struct{ field, name, kind, content string }

// call makes an API request with form fields and returns the answer.
func (p *program) call(key, method, path string, fields [][2]string, files ...file) (int, map[string]any) {
	p.t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		if err := w.WriteField(f[0], f[1]); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, f := range files {
		h := map[string][]string{
			"Content-Disposition": {`form-data; name="` + f.field + `"; filename="` + strings.NewReplacer("\\", "\\\\", `"`, `\"`).Replace(f.name) + `"`},
			"Content-Type":        {f.kind},
		}
		part, err := w.CreatePart(h)
		if err == nil {
			_, err = io.WriteString(part, f.content)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	w.Close()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.base+path, &b)
	if err != nil {
		p.t.Fatal(err)
	}
	req.SetBasicAuth("api", key)
	req.Header.Set("Content-Type", w.FormDataContentType())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	out := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		p.t.Fatalf("%s %s: %d, answer is not JSON: %v", method, path, resp.StatusCode, err)
	}
	return resp.StatusCode, out
}

// must is call for requests that succeed.
func (p *program) must(method, path string, fields [][2]string, files ...file) map[string]any {
	p.t.Helper()
	code, out := p.call(p.key, method, path, fields, files...)
	if code != http.StatusOK {
		p.t.Fatalf("%s %s: %d %v", method, path, code, out)
	}
	return out
}

// send submits a message for domain you.test and returns its Message-ID.
func (p *program) send(to, subject string, more ...[2]string) string {
	p.t.Helper()
	fields := [][2]string{{"from", "Me <me@you.test>"}, {"to", to}, {"subject", subject}}
	if len(more) == 0 {
		more = [][2]string{{"text", "Hello."}}
	}
	id, _ := p.must("POST", "/v3/you.test/messages", append(fields, more...))["id"].(string)
	return strings.Trim(id, "<>")
}
