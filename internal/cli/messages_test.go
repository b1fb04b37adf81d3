package cli

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/config"
)

const sampleMessage = `{"id":"42","message-id":"a@you.test","storage-key":"KEY","created":"2026-11-20T11:59:00Z","domain":"you.test","from":"Me <me@you.test>",
"subject":"Hi \u001b[2J there","tags":["one","two"],"size":2048,"new-member":1,"recipients":[
{"address":"jane@example.com","status":"delivered","code":250,"message":"2.0.0 OK","attempts":[
 {"time":"2026-11-20T11:59:01Z","delivery-status":{"tls":true,"certificate-verified":true,"mx-host":"mx.example.com","code":451,"message":"451 4.7.1 later","description":"","session-seconds":0.25,"attempt-no":1},"severity":"temporary","reason":"generic","smtp":["S: 220 mx.example.com","C: EHLO me"]},
 {"time":"2026-11-20T11:59:30Z","delivery-status":{"tls":false,"mx-host":"mx.example.com","code":250,"message":"2.0.0 OK\u0007","description":"","session-seconds":1.5,"attempt-no":2}}]},
{"address":"joe@example.com","status":"scheduled","next-try":"2026-11-20T12:30:00Z","timing":{"scheduled-for":"2026-11-20T12:30:00Z","reason":"18:00 in Asia/Kolkata\u001b, where"}},
{"address":"bad@example.com","status":"rejected","attempts":[{"time":"2026-11-20T11:59:02Z","delivery-status":null,"reason":"simulated"}]}]}`

// fakeAPI serves one message and a list of it, and remembers what was asked.
func fakeAPI(t *testing.T, asked *[]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.RequestURI())
		if r.URL.Path == messagesPath {
			io.WriteString(w, `{"items":[`+sampleMessage+`],"next":"42"}`)
			return
		}
		io.WriteString(w, sampleMessage)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestMessagesList(t *testing.T) {
	var asked []string
	url := fakeAPI(t, &asked)
	r := as{url: url, people: true, width: 80}.run("messages", "ls", "--domain", "you.test", "--limit", "1", "--before=9")
	const want = "ID  TIME      STATUS                          TO                   SUBJECT\n" +
		"42  11:59:00  1 delivered, 1 scheduled, 1...  jane@example.com +2  Hi ?[2J there\n" +
		"\nOlder: postroad messages ls --before 42\n"
	if r != (result{0, want, ""}) || asked[0] != "GET /v1/postroad/messages?before=9&domain=you.test&limit=1" {
		t.Errorf("%d %s%s%q", r.status, r.stdout, r.stderr, asked)
	}
	if r := (as{url: url, people: true}).run("messages", "list", "--quiet"); r != (result{0, "42\n", ""}) {
		t.Errorf("%+v", r)
	}
	for _, a := range []as{{url: url}, {url: url, people: true}} {
		var list struct{ Items []map[string]any }
		r := a.run("messages", "ls", "--json")
		if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list.Items) != 1 || list.Items[0]["new-member"] != 1.0 {
			t.Errorf("%v: %s", err, r.stdout)
		}
	}
	empty := answering(t, 200, [2]string{}, `{"items":[]}`)
	if r := (as{url: empty, people: true}).run("messages", "ls"); r.stdout != "No messages. To send one: postroad send --help\n" {
		t.Errorf("%q", r.stdout)
	}
}

func TestMessagesShow(t *testing.T) {
	var asked []string
	url := fakeAPI(t, &asked)
	r := as{url: url, people: true, width: 80}.run("messages", "show", "<a/b@you.test>")
	if r.status != exitOK || asked[0] != "GET /v1/postroad/messages/a%2Fb@you.test" {
		t.Fatalf("%+v %q", r, asked)
	}
	golden(t, "show.txt", strings.ReplaceAll(r.stdout, url, "http://SERVER"))
	if r := (as{url: url}).run("messages", "show", "42", "--quiet"); r.stdout != "jane@example.com delivered\njoe@example.com scheduled\nbad@example.com rejected\n" {
		t.Errorf("%q", r.stdout)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(as{url: url}.run("messages", "show", "42").stdout), &doc); err != nil || doc["new-member"] != 1.0 {
		t.Errorf("%v %v", err, doc)
	}
}

// startServer runs the real server in capture mode and returns its address.
func startServer(t *testing.T, flags ...string) string {
	t.Helper()
	at := closedPort(t)
	args := append([]string{"--data", filepath.Join(t.TempDir(), "data"), "--http", at, "--https", "off", "--smtp", "off"}, flags...)
	cfg, _, _, err := config.Parse(config.Dev, args, nil, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, cfg, app.Options{Version: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return "http://" + at
}

// live runs a command with the machine's clock.
func live(url, stdin string, people bool, args ...string) result {
	var out, errs strings.Builder
	status := Main(Env{Args: args, Environ: []string{envURL + "=" + url, envKey + "=k"}, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs,
		Terminal: &Terminal{Stdout: people, Stderr: people, Width: 120}, Zone: time.UTC})
	return result{status, out.String(), errs.String()}
}

func TestAgainstServer(t *testing.T) {
	url := startServer(t)
	r := live(url, "", false, "send", "--from", "Me <me@you.test>", "--to", "a@x.test,b+bounce@x.test", "--cc", "c@x.test", "--subject", "Hello", "--text", "x", "--tag", "t1",
		"--var", "n=1", "--header", "X-Own: yes", "--attach", "cli_test.go", "--inline", "cli_test.go", "--wait", "--timeout", "1m")
	var sent struct {
		ID         string
		Message    string
		Recipients []recipientItem
	}
	if err := json.Unmarshal([]byte(r.stdout), &sent); err != nil || sent.Message != "Queued. Thank you." || len(sent.Recipients) != 3 {
		t.Fatalf("%v %+v", err, r)
	}
	if e := errorOf(t, r); r.status != exitFailed || e.Code != "not_delivered" || e.Message != "1 of 3 recipients were not reached" {
		t.Errorf("%d %+v", r.status, e)
	}
	if s := sent.Recipients; s[0].Status != "captured" || s[1].Status != "failed" || s[1].Code != 550 || s[2].Status != "captured" {
		t.Errorf("%+v", s)
	}
	r = live(url, "", true, "messages", "show", sent.ID)
	for _, want := range []string{"Subject      Hello\n", "Tags         t1\n", "b+bounce@x.test  FAILED\n", " 550 5.1.1 "} {
		if r.status != exitOK || !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in %+v", want, r)
		}
	}
	if r := live(url, "", false, "messages", "show", "404@x.test"); r.status != exitNotFound {
		t.Errorf("%+v", r)
	}
	if r := live(url, "", false, "messages", "ls", "--quiet"); len(strings.Fields(r.stdout)) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestMIMEAgainstServer(t *testing.T) {
	url := startServer(t)
	const raw = "From: Me <me@you.test>\nTo: Jane <jane@x.test>,\n bob@x.test\nBcc: secret@x.test\nSubject: raw\n\nhello\n"
	r := live(url, raw, true, "send", "-", "--wait", "--timeout", "1m")
	for _, want := range []string{"jane@x.test  captured  250 OK\n", "bob@x.test  captured  250 OK\n", "secret@x.test  captured  250 OK\n"} {
		if r.status != exitOK || !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in %+v", want, r)
		}
	}
	file := filepath.Join(t.TempDir(), "m.eml")
	if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
		t.Fatal(err)
	}
	one := live(url, "", false, "send", file, "--to", "only@x.test", "--quiet", "--idempotency-key", "k1")
	two := live(url, "", true, "send", file, "--to", "only@x.test", "--quiet", "--idempotency-key", "k1")
	if one.status != exitOK || two.stdout != one.stdout || !strings.Contains(two.stderr, "sent before") {
		t.Errorf("%+v %+v", one, two)
	}
	if r := live(url, "", false, "send", file, "--to", "only@x.test", "--idempotency-key", "k1", "--wait", "--timeout", "1m"); r.status != exitOK {
		t.Errorf("%+v", r)
	}
	if r := live(url, "", false, "messages", "show", strings.TrimSpace(one.stdout), "--quiet"); r.stdout != "only@x.test captured\n" {
		t.Errorf("%+v", r)
	}
}

func TestKeysAgainstServer(t *testing.T) {
	url := startServer(t, "--strict", "--admin-key", "k")
	if r := live(url, "", false, "messages", "ls"); r.status != exitOK {
		t.Errorf("%+v", r)
	}
	r := live(url, "", false, "messages", "ls", "--key", "wrong")
	if e := errorOf(t, r); r.status != exitAuth || e.Code != "unauthorized" {
		t.Errorf("%d %+v", r.status, e)
	}
	if r := live(url, "", false, "messages", "ls", "--domain", "nope.test"); r.status != exitNotFound {
		t.Errorf("%+v", r)
	}
}
