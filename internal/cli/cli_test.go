package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// noon is the time of all tests that show times.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// quick is a clock for waiting code: short waits end at once and move the time
// on, long ones end when the short ones have moved it that far.
type quick struct {
	mu   sync.Mutex
	now  time.Time
	long []longWait
}

type longWait struct {
	at time.Time
	c  chan time.Time
}

func newQuick() *quick { return &quick{now: noon} }

func (q *quick) Now() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.now
}

func (q *quick) After(d time.Duration) (<-chan time.Time, func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := make(chan time.Time, 1)
	if d > slowest {
		q.long = append(q.long, longWait{q.now.Add(d), c})
		return c, func() {}
	}
	q.now = q.now.Add(d)
	for i, w := range q.long {
		if w.c != nil && !w.at.After(q.now) {
			w.c <- q.now
			q.long[i].c = nil
		}
	}
	c <- q.now
	return c, func() {}
}

// result is what a command did.
type result struct {
	status         int
	stdout, stderr string
}

// as says how a test runs a command.
type as struct {
	url, key, stdin string
	people          bool // outputs are terminals
	width           int
	environ         []string
}

func (a as) run(args ...string) result {
	var out, errs bytes.Buffer
	environ := append([]string{"HOME=/nonexistent"}, a.environ...)
	if a.url != "" {
		environ = append(environ, envURL+"="+a.url)
	}
	if a.key != "" {
		environ = append(environ, envKey+"="+a.key)
	}
	status := Main(Env{Args: args, Environ: environ, Stdin: strings.NewReader(a.stdin), Stdout: &out, Stderr: &errs, Version: "1.2.3",
		Terminal: &Terminal{Stdout: a.people, Stderr: a.people, Width: a.width}, Clock: newQuick(), Zone: time.UTC})
	return result{status, out.String(), errs.String()}
}

// errorOf decodes an error in JSON.
func errorOf(t *testing.T, r result) (e struct{ Message, Code, Cause, Hint string }) {
	t.Helper()
	var doc struct {
		Error *struct{ Message, Code, Cause, Hint string }
	}
	if err := json.Unmarshal([]byte(r.stderr), &doc); err != nil || doc.Error == nil {
		t.Fatalf("standard error is not an error in JSON: %q", r.stderr)
	}
	return *doc.Error
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

func TestHelpText(t *testing.T) {
	var all strings.Builder
	all.WriteString(as{}.run("help").stdout)
	for _, c := range commands() {
		r := as{}.run(append(strings.Fields(c.name), "--help")...)
		if r.status != exitOK || r.stderr != "" {
			t.Errorf("%s --help: status %d, %q", c.name, r.status, r.stderr)
		}
		if again := (as{}).run(append([]string{"help"}, strings.Fields(c.name)...)...); again != r {
			t.Errorf("help %s is not %s --help", c.name, c.name)
		}
		if !strings.Contains(r.stdout, "\nExamples:\n  postroad ") {
			t.Errorf("%s --help has no examples", c.name)
		}
		text := r.stdout
		if before, after, ok := strings.Cut(text, "\nSettings:\n"); ok { // package config's text, tested there
			_, examples, _ := strings.Cut(after, "\nExamples:\n")
			text = before + "\nSettings: ...\n\nExamples:\n" + examples
		}
		all.WriteString("\n----\n" + text)
	}
	golden(t, "help.txt", all.String())
}

func TestHelpOnGroup(t *testing.T) {
	const want = `Usage: postroad messages COMMAND [options]

  messages ls    list messages with the state of each recipient
  messages show  show one message with its attempts and SMTP conversations

Options of a command: postroad messages COMMAND --help
`
	for _, args := range []string{"messages --help", "messages -h", "help messages"} {
		if r := (as{}).run(strings.Fields(args)...); r.status != exitOK || r.stdout != want || r.stderr != "" {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	for _, tt := range []struct{ args, message, hint string }{
		{"sned", `unknown command "sned"; did you mean send?`, "postroad help"},
		{"messages", "messages needs a second word: messages ls, messages show", "postroad messages --help"},
		{"messages lst", `unknown command "messages lst"; did you mean messages ls?`, "postroad help"},
		{"xyzzyplugh", `unknown command "xyzzyplugh"`, "postroad help"},
		{"--wat", `no command before "--wat"`, "postroad help"},
		{"version now", `unexpected argument "now"`, "postroad version --help"},
		{"commands --jsn", "unknown flag --jsn", "postroad commands --help"},
		{"send --form x", "unknown flag --form; did you mean --from?", "postroad send --help"},
		{"send -from x", "unknown flag -from; did you mean --from?", "postroad send --help"},
		{"send --to", "--to needs a value: --to ADDRESS", "postroad send --help"},
		{"send --wait=maybe", `--wait: "maybe" is not a value it takes`, "postroad send --help"},
		{"send --json --quiet", "--json and --quiet exclude each other", "postroad send --help"},
		{"send --to a@b.test", "--from is missing", "postroad send --help"},
		{"send --from a@b.test", "--to is missing", "postroad send --help"},
		{"send --from a@b.test --to c@d.test", "there is nothing to send: give --text, --html, --attach or a message file", "postroad send --help"},
		{"send --from nobody --to c@d.test --text x", `--from: "nobody" is not an address`, "postroad send --help"},
		{"send --from a@b.test --to nobody --text x", `--to: "nobody" is not an address`, "postroad send --help"},
		{"send --from a@b.test --to c@d.test --text - --html -", "only one of --text and --html can be read from standard input", "postroad send --help"},
		{"send --from a@b.test --to c@d.test --text -", "standard input is empty", "postroad send --help"},
		{"send --from a@b.test --to c@d.test --text x --header novalue", `--header: "novalue" is not of the form 'Name: value'`, "postroad send --help"},
		{"send --from a@b.test --to c@d.test --text x --var novalue", `--var: "novalue" is not of the form NAME=VALUE`, "postroad send --help"},
		{"send --from a@b.test --to c@d.test --text x --attach /no/such", "--attach: the file cannot be read", "postroad send --help"},
		{"send --from a@b.test --to c@d.test --text x --attach /", "--attach: the file cannot be read", "postroad send --help"},
		{"send --from a@b.test --to c@d.test --text x --at 2020-01-01T00:00", "--at: 2020-01-01 00:00:00 UTC is over", "postroad send --help"},
		{"send --from a@b.test --to c@d.test --text x --timeout 3s", "--timeout is of use only with --wait", "postroad send --help"},
		{"send --timeout soon", `--timeout: "soon" is not a duration like 90s or 5m`, "postroad send --help"},
		{"send one.eml two.eml", `unexpected argument "two.eml": one message file can be sent at a time`, "quote texts that hold blanks"},
		{"send --subject x one.eml", `--subject cannot be used with a message file "one.eml", which is sent as it is`, "postroad send --help"},
		{"send /no/such.eml", `there is no file "/no/such.eml"`, "postroad send --help"},
		{"send -", "standard input is not a mail message", "postroad send --help"},
		{"messages ls --limit 301", `--limit: "301" is not a number from 1 to 300`, "postroad messages ls --help"},
		{"messages ls --before x", `--before: "x" is not an id of the list`, "postroad messages ls --help"},
		{"messages ls 42", `unexpected argument "42"`, "postroad messages show 42"},
		{"messages show", "give one message: its id, Message-ID or storage key", "postroad messages ls"},
		{"messages show ..", `".." is not the id of a message`, "postroad messages ls"},
		{"messages ls --url ftp://x", `"ftp://x" is not the URL of a server`, "--url http://localhost:8025"},
		{"messages ls --url http://api:k@x", "the URL of the server must not hold a login; give the key with --key or POSTROAD_KEY", "postroad messages ls --help"},
		{"doctor --jsn", "unknown flag --jsn; did you mean --json?", "postroad doctor --help"},
		{"doctor --hostnme x", "unknown flag --hostnme; did you mean --hostname?", "postroad doctor --help"},
		{"doctor --workers many", `--workers: "many" is not a whole number`, "postroad serve --help"},
		{"doctor now", `unexpected argument "now"`, "postroad doctor --help"},
		{"serve --smtq x", "unknown flag --smtq; did you mean --smtp?", "postroad serve --help"},
		{"config show --http x", `--http: "x" is not HOST:PORT`, "postroad serve --help"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			r := as{url: "http://127.0.0.1:1"}.run(strings.Fields(tt.args)...)
			e := errorOf(t, r)
			if r.status != exitUsage || e.Code != "usage" || e.Message != tt.message || e.Hint != tt.hint || r.stdout != "" {
				t.Errorf("status %d, %q, stdout %q", r.status, e, r.stdout)
			}
		})
	}
}

func TestErrorOnTerminal(t *testing.T) {
	r := as{people: true}.run("send", "--from", "x\x1b[2J")
	const want = "error: --to is missing\ntry:   postroad send --help\n"
	if r.status != exitUsage || r.stderr != want {
		t.Errorf("%d %q", r.status, r.stderr)
	}
	r = as{people: true}.run("send", "--from", "x\x1b[2J", "--to", "a@b.test", "--text", "x")
	if strings.Contains(r.stderr, "\x1b") || !strings.Contains(r.stderr, `error: --from: "x?[2J" is not an address`+"\ncause: ") {
		t.Errorf("%q", r.stderr)
	}
}

func TestVersionAndCommands(t *testing.T) {
	if r := (as{people: true}).run("version"); r != (result{0, "postroad 1.2.3\n", ""}) {
		t.Errorf("%+v", r)
	}
	if r := (as{}).run("--version"); r != (result{0, "{\n  \"version\": \"1.2.3\"\n}\n", ""}) {
		t.Errorf("%+v", r)
	}
	var list []struct {
		Name    string
		Usage   []string
		Options []optionItem
	}
	r := as{}.run("commands")
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) != len(commands()) {
		t.Fatalf("%v, %d commands", err, len(list))
	}
	if c := list[2]; c.Name != "send" || len(c.Usage) != 3 || c.Options[1] != (optionItem{"--to", "ADDRESS", true, "recipient, or a list of them with commas"}) {
		t.Errorf("%+v", c)
	}
}

func TestFlags(t *testing.T) {
	var name string
	var list []string
	var on bool
	f := newFlags()
	f.text(&name, "name", "N", "")
	f.list(&list, "item", "I", "")
	f.on(&on, "on", "")
	f.others = []string{"--their"}
	rest, err := f.parse([]string{"a", "--name", "-x", "--item=1", "-", "--their", "v", "--their=w", "--on", "--item", "--", "b", "--", "--name", "c"})
	if err != nil || name != "-x" || strings.Join(list, ",") != "1,--" || !on {
		t.Errorf("%v %q %q %v", err, name, list, on)
	}
	if got := strings.Join(rest, " "); got != "a - --their v --their=w b --name c" {
		t.Errorf("rest %q", got)
	}
	if _, err := f.parse([]string{"--on=false", "--help"}); err != errHelp || on {
		t.Errorf("%v %v", err, on)
	}
}

func TestConfigShow(t *testing.T) {
	r := as{people: true, width: 200}.run("config", "show", "--assume-verified", "--data", "/srv/mail")
	for _, want := range []string{"SETTING ", "/srv/mail ", "flag, insecure"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s", want, r.stdout)
		}
	}
	var list []struct{ Name, Value, Origin string }
	r = as{environ: []string{"POSTROAD_HTTP=127.0.0.1:7"}, url: "http://x", key: "k"}.run("config", "show", "dev")
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || r.stderr != "" {
		t.Fatalf("%v %q", err, r.stderr)
	}
	found := false
	for _, s := range list {
		found = found || s.Name == "http" && s.Value == "127.0.0.1:7" && s.Origin == "env"
	}
	if !found {
		t.Errorf("%v", list)
	}
}
