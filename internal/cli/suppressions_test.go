package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/config"
)

func TestSuppressionsUsage(t *testing.T) {
	for _, tt := range []struct{ args, message, hint string }{
		{"suppressions", "suppressions needs a second word: suppressions ls, suppressions add, suppressions rm, suppressions import, suppressions imports, suppressions why", "postroad suppressions --help"},
		{"suppressions ls --list bounces", "--domain is missing", "postroad suppressions ls --help"},
		{"suppressions ls --domain d", "--list is missing: bounces, complaints, unsubscribes or allowlist", "postroad suppressions ls --help"},
		{"suppressions ls --domain d --list x", `--list: "x" is none of bounces, complaints, unsubscribes, allowlist`, "postroad suppressions ls --help"},
		{"suppressions ls --domain d --list bounces a@b", `unexpected argument "a@b"`, "postroad suppressions why --domain d a@b"},
		{"suppressions ls --domain d --list bounces --limit 1001", `--limit: "1001" is not a number from 1 to 1000`, "postroad suppressions ls --help"},
		{"suppressions add --domain d --list bounces", "give 1 to 1000 addresses; for more: postroad suppressions import", "postroad suppressions add --help"},
		{"suppressions rm --domain d --list bounces", "give the addresses to remove", "postroad suppressions ls --domain d --list bounces"},
		{"suppressions import --domain d --list bounces", "give one file", "postroad suppressions import --help"},
		{"suppressions import --domain d --list bounces /nowhere/x.csv", `there is no file "/nowhere/x.csv"`, "postroad suppressions import --help"},
		{"suppressions imports 1 2", `unexpected argument "2"`, "postroad suppressions imports --help"},
		{"suppressions why --domain d", "give one address", "postroad suppressions why --help"},
	} {
		r := as{url: "http://127.0.0.1:1"}.run(strings.Fields(tt.args)...)
		if e := errorOf(t, r); r.status != exitUsage || e.Message != tt.message || e.Hint != tt.hint {
			t.Errorf("%s: status %d, %q", tt.args, r.status, e)
		}
	}
}

func TestSuppressionsAgainstServer(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Mode: config.Serve})
	s.AddDomain("you.test")
	run := func(args string, more ...string) result {
		return onTerminal(s.URL, "", append(append(strings.Fields("suppressions "+args), more...), "--key", s.Key, "--domain", "you.test")...)
	}
	lines := func(args, want string, more ...string) {
		t.Helper()
		if r := run(args, more...); r.status != exitOK || !strings.Contains(r.stdout, want) {
			t.Errorf("%s: status %d %s\n%s\nwant %s", args, r.status, r.stderr, r.stdout, want)
		}
	}
	lines("ls --list bounces", "No entries.\n")
	lines("why a@x.test", "Mail to a@x.test is sent: it is on no list that keeps it back.\n")
	lines("add --list bounces --code 551", "2 addresses have been added to the bounces table\n", "--reason", "moved", "a@x.test", "b@x.test")
	lines("add --list unsubscribes --tag news A@x.test", "1 addresses have been added")
	lines("add --list allowlist x.test", "1 addresses/domains have been added")
	lines("ls --list bounces --limit 1", "551 moved\n\nMore: the same with --after a@x.test\n")
	lines("ls --list bounces --limit 1 --after a@x.test --quiet", "b@x.test\n")
	lines("ls --list allowlist --quiet", "x.test\n")
	lines("ls --list unsubscribes", "  news\n")
	if r := run("why a@x.test"); !strings.HasPrefix(r.stdout, "Mail to a@x.test is not sent; it fails with code 605, suppress-bounce.\n\nbounces, since ") ||
		!strings.Contains(r.stdout, ": added through the API with the key ") || !strings.Contains(r.stdout, "\nunsubscribes (A@x.test), since ") ||
		!strings.Contains(r.stdout, "\n  No message with the tag \"news\" is sent to it.\n\nwhitelists (x.test), since ") {
		t.Errorf("%s%s", r.stdout, r.stderr)
	}
	lines("why a@x.test --quiet", "bounces\nunsubscribes\nwhitelists\n")
	lines("why a@x.test --tag news --json", `"code": 606`)
	lines("rm --list bounces a@x.test b@x.test", "a@x.test: Bounced address has been removed\nb@x.test: Bounced address has been removed\n")
	if r := run("rm --list bounces a@x.test"); r.status != exitNotFound || !strings.Contains(r.stderr, "Address not found in bounces table") {
		t.Errorf("%+v", r)
	}

	file := filepath.Join(t.TempDir(), "old.csv")
	if err := os.WriteFile(file, []byte("address\nc@x.test\nnobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run("import --list complaints --wait " + file)
	if want := "complaints of you.test, finished: 1 imported, 1 failed\nline 3: 'address' parameter is invalid: \"nobody\": domain missing: nobody\n"; r.stdout != want || r.status != exitFailed {
		t.Errorf("%+v", r)
	}
	lines("why c@x.test", `imported from the file "old.csv", line 2`)
	id := strings.TrimSpace(run("imports --quiet").stdout)
	lines("imports", id)
	if r := onTerminal(s.URL, "", "suppressions", "imports", id, "--key", s.Key); !strings.HasPrefix(r.stdout, "complaints of you.test, finished: 1 imported, 1 failed\n") {
		t.Errorf("%+v", r)
	}
	if r := run("import --json --list bounces " + file); r.status != exitOK || !strings.HasPrefix(r.stdout, "{\n  \"id\": \"1") {
		t.Errorf("%+v", r)
	}
	if r := run("import --list bounces " + file); r.status != exitOK || !strings.HasPrefix(r.stdout, "Taken as ") {
		t.Errorf("%+v", r)
	}
}
