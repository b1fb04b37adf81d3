package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sent is a request as the server saw it.
type sent struct {
	path, idempotency string
	length            int64
	fields            []string // name=value, files as name@filename=content
}

func sink(t *testing.T, got *sent) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*got = sent{path: r.Method + " " + r.URL.Path, idempotency: r.Header.Get("Idempotency-Key"), length: r.ContentLength}
		m, err := r.MultipartReader()
		if err != nil {
			t.Errorf("body: %v", err)
			return
		}
		for {
			p, err := m.NextPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Errorf("part: %v", err)
				return
			}
			value, err := io.ReadAll(p)
			if err != nil {
				t.Errorf("part: %v", err)
			}
			name := p.FormName()
			if p.FileName() != "" {
				name += "@" + p.FileName()
			}
			got.fields = append(got.fields, name+"="+string(value))
		}
		w.Header().Set("X-Hint", "a remark")
		io.WriteString(w, `{"id":"<1@you.test>","message":"Queued. Thank you."}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestSendRequest(t *testing.T) {
	dir := t.TempDir()
	file, eml := filepath.Join(dir, "a \"b\".txt"), filepath.Join(dir, "m.eml")
	const raw = "From: me@raw.test\r\nTo: x@y.test\r\nCc: =?utf-8?q?J=C3=BCrgen?= <j@y.test>\r\n\r\nhi\r\n"
	for name, text := range map[string]string{file: "content", eml: raw} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	basic := []string{"--from", "Me <me@You.Test>", "--to", "a@b.test"}
	for _, tt := range []struct {
		name   string
		args   []string
		path   string
		fields []string
	}{
		{"least", append(basic, "--text", "hi"), "/v3/you.test/messages", []string{"from=Me <me@You.Test>", "text=hi", "to=a@b.test"}},
		{"all", append(basic, "--to", "c@b.test, d@b.test", "--cc", "e@b.test", "--bcc", "f@b.test", "--subject", "S", "--html", "<b>", "--text", "-", "--tag", "t1", "--tag", "t2",
			"--header", "X-A: b: c", "--var", "k=v=w", "--var", "e=", "--testmode", "--at", "+1h", "--domain", "other.test"), "/v3/other.test/messages",
			[]string{"from=Me <me@You.Test>", "subject=S", "text=from stdin", "html=<b>", "to=a@b.test", "to=c@b.test, d@b.test", "cc=e@b.test", "bcc=f@b.test",
				"o:tag=t1", "o:tag=t2", "h:X-A=b: c", "v:k=v=w", "v:e=", "o:testmode=yes", "o:deliverytime=Fri, 20 Nov 2026 13:00:00 +0000"}},
		{"files", append(basic, "--attach", file, "--attach", eml, "--inline", file), "/v3/you.test/messages",
			[]string{"from=Me <me@You.Test>", "text=\r\n", "to=a@b.test", `attachment@a "b".txt=content`, "attachment@m.eml=" + raw, `inline@a "b".txt=content`}},
		{"device", append(basic, "--text", "x", "--attach", os.DevNull), "/v3/you.test/messages", []string{"from=Me <me@You.Test>", "text=x", "to=a@b.test", "attachment@null="}},
		{"mime", []string{eml, "--tag", "t"}, "/v3/raw.test/messages.mime",
			[]string{"to=x@y.test", "to==?utf-8?q?J=C3=BCrgen?= <j@y.test>", "message@message.eml=" + raw, "o:tag=t"}},
		{"mime to", []string{"--to", "only@y.test", "--domain", "d.test", eml}, "/v3/d.test/messages.mime", []string{"to=only@y.test", "message@message.eml=" + raw}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got sent
			r := as{url: sink(t, &got), stdin: "from stdin"}.run(append([]string{"send", "--idempotency-key", "ik"}, tt.args...)...)
			if r.status != exitOK || got.path != "POST "+tt.path || got.idempotency != "ik" || got.length <= 0 {
				t.Errorf("%+v %+v", r, got)
			}
			if !slices.Equal(got.fields, tt.fields) {
				t.Errorf("fields %q\nwant   %q", got.fields, tt.fields)
			}
		})
	}
}

func TestSendOutput(t *testing.T) {
	var got sent
	url := sink(t, &got)
	args := []string{"send", "--from", "me@you.test", "--to", "a@b.test", "--text", "x"}
	for _, tt := range []struct {
		people bool
		flag   string
		want   result
	}{
		{true, "--testmode", result{0, "Queued as <1@you.test>\nFollow it: postroad messages show '<1@you.test>'\n", "note: a remark\n"}},
		{true, "--quiet", result{0, "<1@you.test>\n", "note: a remark\n"}},
		{false, "--quiet", result{0, "<1@you.test>\n", "note: a remark\n"}},
		{false, "--testmode", result{0, "{\n  \"id\": \"<1@you.test>\",\n  \"message\": \"Queued. Thank you.\",\n  \"hint\": \"a remark\"\n}\n", ""}},
	} {
		if r := (as{url: url, people: tt.people}).run(append(args, tt.flag)...); r != tt.want {
			t.Errorf("%v %s: %+v", tt.people, tt.flag, r)
		}
	}
}

// course is a server whose message has one state after the other; "!N" is an
// answer with status N.
func course(t *testing.T, states ...string) string {
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, `{"id":"<1@you.test>","message":"Queued. Thank you."}`)
			return
		}
		state := states[min(n, len(states)-1)]
		n++
		if code, ok := strings.CutPrefix(state, "!"); ok {
			var status int
			fmt.Sscan(code, &status)
			w.WriteHeader(status)
			return
		}
		fmt.Fprintf(w, `{"id":"7","recipients":[{"address":"a@b.test","status":%q,"code":451,"message":"later"}]}`, state)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestWait(t *testing.T) {
	many := slices.Repeat([]string{"!503"}, maxMisses+2)
	for _, tt := range []struct {
		name     string
		states   []string
		args     string
		status   int
		code     string
		out, err string
	}{
		{"delivered", []string{"accepted", "deferred", "delivered"}, "", 0, "", "delivered", ""},
		{"complained", []string{"complained"}, "", 0, "", "complained", ""},
		{"failed", []string{"accepted", "failed"}, "", 1, "not_delivered", "failed", "1 of 1 recipient was not reached"},
		{"new state", []string{"returned"}, "", 1, "not_delivered", "returned", "1 of 1 recipient was not reached"},
		{"patience", []string{"deferred"}, "--timeout 5m", 1, "timeout", "deferred", "after 5m0s, 1 of 1 recipient is still on the way; the server goes on trying"},
		{"restart", []string{"!503", "!502", "deferred", "!503", "captured"}, "", 0, "", "captured", ""},
		{"gone", many, "", 1, "http_503", "", "the message was taken as <1@you.test>, but what becomes of it cannot be seen: the server answered 503 Service Unavailable"},
		{"forbidden", []string{"!403"}, "", 1, "http_403", "", "the message was taken as <1@you.test>, but what becomes of it cannot be seen: the server answered 403 Forbidden"},
		{"key", []string{"!401"}, "", 4, "unauthorized", "", "the message was taken as <1@you.test>, but what becomes of it cannot be seen: the server does not accept the key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append(strings.Fields("send --from me@you.test --to a@b.test --text x --wait"), strings.Fields(tt.args)...)
			r := as{url: course(t, tt.states...)}.run(args...)
			var doc struct {
				ID         string
				Recipients []recipientItem
			}
			if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil || doc.ID != "<1@you.test>" {
				t.Fatalf("%v %+v", err, r)
			}
			if tt.out != "" && (len(doc.Recipients) != 1 || doc.Recipients[0].Status != tt.out) {
				t.Errorf("%+v", doc)
			}
			if r.status != tt.status {
				t.Errorf("status %d", r.status)
			}
			if tt.err != "" {
				if e := errorOf(t, r); e.Code != tt.code || e.Message != tt.err {
					t.Errorf("%+v", e)
				}
			} else if r.stderr != "" {
				t.Errorf("%q", r.stderr)
			}
		})
	}
}

func TestWaitOnTerminal(t *testing.T) {
	url := course(t, "accepted", "deferred", "deferred", "delivered")
	r := as{url: url, people: true}.run("send", "--from", "me@you.test", "--to", "a@b.test", "--text", "x", "--wait")
	const want = "Queued as <1@you.test>\na@b.test  deferred  451 later\na@b.test  delivered  451 later\n"
	if r != (result{0, want, ""}) {
		t.Errorf("%+v", r)
	}
}
