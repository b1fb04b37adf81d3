package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
)

func TestRoutesUsage(t *testing.T) {
	for _, tt := range []struct{ args, message, hint string }{
		{"routes ls a@b.example", `unexpected argument "a@b.example"`, "postroad routes test --recipient a@b.example"},
		{"routes ls --limit 1001", `--limit: "1001" is not a number from 1 to 1000`, "postroad routes ls --help"},
		{"routes ls --skip x", `--skip: "x" is not a number`, "postroad routes ls --help"},
		{"routes test", "--recipient is missing", "postroad routes test --help"},
		{"routes test a@b.example", `unexpected argument "a@b.example"`, "postroad routes test --recipient a@b.example"},
	} {
		r := as{url: "http://127.0.0.1:1"}.run(strings.Fields(tt.args)...)
		if e := errorOf(t, r); r.status != exitUsage || e.Message != tt.message || e.Hint != tt.hint {
			t.Errorf("%s: status %d, %q", tt.args, r.status, e)
		}
	}
}

func TestRoutesAgainstServer(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Mode: config.Serve})
	run := func(args ...string) result { return onTerminal(s.URL, "", append(args, "--key", s.Key)...) }
	if r := run("routes", "ls"); r.stdout != "No routes.\n" {
		t.Errorf("%+v", r)
	}
	var ids []string
	for _, expression := range []string{`match_recipient("(.*)@you.test") and match_header("subject", "Help")`, `match_recipient("b@")`} {
		var out struct{ Route struct{ ID string } }
		body := s.Must("POST", "/v3/routes", []string{"expression", expression, "description", "d", "action", `forward("desk@x.test")`, "action", "store()"})
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, out.Route.ID)
	}
	if r := run("routes", "ls", "--quiet"); r.stdout != ids[0]+"\n"+ids[1]+"\n" {
		t.Errorf("%+v", r)
	}
	if r := run("routes", "ls", "--limit", "1"); !strings.Contains(r.stdout, ids[0]+"         0  match_recipient") || !strings.HasSuffix(r.stdout, "\n1 of 2 routes. More: postroad routes ls --limit N --skip N\n") {
		t.Errorf("%+v", r)
	}
	want := "Mail for a@you.test would be taken.\n\n" +
		"yes  " + ids[0] + `  priority 0  match_recipient("(.*)@you.test") and match_header("subject", "Help")` + "\n     (d)\n     forward desk@x.test\n     store\n\n" +
		"no   " + ids[1] + `  priority 0  match_recipient("b@")` + "\n     (d)\n     match_recipient(\"b@\") does not match a@you.test\n"
	if r := run("routes", "test", "--recipient", "a@you.test", "--header", "Subject: Help me"); r.stdout != want {
		t.Errorf("%s%s\nwant %s", r.stdout, r.stderr, want)
	}
	if r := run("routes", "test", "--recipient", "c@x.test"); !strings.HasPrefix(r.stdout, "Mail for c@x.test would be refused: no route could match it.\n") {
		t.Errorf("%+v", r)
	}
	if r := run("routes", "test", "--recipient", "b@x.test", "--quiet"); r.stdout != ids[1]+"\n" {
		t.Errorf("%+v", r)
	}
	var doc triedRoutes
	if r := run("routes", "test", "--recipient", "b@x.test", "--json"); json.Unmarshal([]byte(r.stdout), &doc) != nil || len(doc.Routes) != 2 || !doc.Routes[1].Matches {
		t.Errorf("%+v", r)
	}
	if r := run("routes", "test", "--recipient", "nobody"); r.status == exitOK || !strings.Contains(r.stderr, "recipient is not a valid address") {
		t.Errorf("%+v", r)
	}
}
