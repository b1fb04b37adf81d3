package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/config"
)

func TestQueueUsage(t *testing.T) {
	for _, tt := range []struct{ args, message, hint string }{
		{"queue ls gmail.com", `unexpected argument "gmail.com"`, "postroad queue show gmail.com"},
		{"queue ls --limit many", `--limit: "many" is not a number of lines`, "postroad queue ls --help"},
		{"queue ls --all --tag x", "--all is about lanes, not about deliveries", "postroad queue ls --help"},
		{"queue top --by lane", `--by: "lane" is none of destination, domain, account, tag`, "postroad queue top --help"},
		{"queue top domain", `unexpected argument "domain"`, "postroad queue top --by domain"},
		{"queue top --limit 0", `--limit: "0" is not a number from 1 to 1000`, "postroad queue top --help"},
		{"queue show", "give one lane, recipient domain or delivery", "postroad queue ls"},
		{"queue show a b", "give one lane, recipient domain or delivery", "postroad queue ls"},
		{"queue retry", "say which deliveries: --lane, --destination, --domain, --account, --tag, --recipient, --message or --id", "postroad queue retry --help"},
		{"queue retry x", `unexpected argument "x"; deliveries are chosen with options`, "postroad queue retry --help"},
		{"queue bounce --reason x --yes", "say which deliveries: --lane, --destination, --domain, --account, --tag, --recipient, --message or --id", "postroad queue bounce --help"},
		{"queue bounce --tag x --yes", "--reason is missing", "postroad queue bounce --help"},
		{"queue drop --tag x --reason y", "without a terminal to ask on, --yes is required", "postroad queue drop --help"},
		{"queue pause --reason x", "say what it is about, for example --lane LANE or --destination DOMAIN", "postroad queue pause --help"},
		{"queue pause --lane x", "--reason is missing", "postroad queue pause --help"},
		{"queue pause x --reason y", `unexpected argument "x"; give what it is about as an option, like --lane x`, "postroad queue pause --help"},
		{"queue pause --lane x --tag y --reason z", "a rule is about one thing: give only one of --lane, --site, --destination, --source, --account, --domain and --tag", "postroad queue pause --help"},
		{"queue limit --lane x --reason y", "give at least one of --sessions, --rate and --per-connection", "postroad queue limit --help"},
		{"queue limit --lane x --reason y --sessions 0", `--sessions: "0" is not a number above 0`, "postroad queue pause stops all of it"},
		{"queue reroute --destination x --reason y", "--to is missing", "postroad queue reroute --help"},
		{"queue rules --remove x", `--remove: "x" is not the id of a rule`, "postroad queue rules"},
		{"trace gmail.com", `unexpected argument "gmail.com"`, "postroad trace --destination gmail.com"},
		{"trace --lines 0", `--lines: "0" is not a number above 0`, "postroad trace --help"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			r := as{url: "http://127.0.0.1:1"}.run(strings.Fields(tt.args)...)
			if e := errorOf(t, r); r.status != exitUsage || e.Code != "usage" || e.Message != tt.message || e.Hint != tt.hint || r.stdout != "" {
				t.Errorf("status %d, %q, stdout %q", r.status, e, r.stdout)
			}
		})
	}
}

// queueAnswers are what a server with trouble answers; the time is noon.
var queueAnswers = map[string]string{
	"/v1/queue/lanes": `{"items":[
		{"name":"mx:alt1.gmail-smtp-in.l.google.com,gmail-smtp-in.l.google.com@mx1","state":"suspended","queued":12345,"waiting":{"first":300,"again":12,"deferred":12033},
		 "sessions":{"now":0,"allowed":0,"most":20},"oldest":"2026-11-20T09:00:00Z","next_due":"2026-11-20T12:03:00Z",
		 "last_reply":{"code":421,"enhanced":"4.7.28","text":"4.7.28 Our system has detected an unusual rate\u001b[2J","class":"rate-limited","mx":"gmail-smtp-in.l.google.com","at":"2026-11-20T11:58:00Z"},
		 "reasons":[{"what":"suspension","effect":"no deliveries","reason":"421 4.7.28 unusual rate","origin":"auto","since":"2026-11-20T11:58:00Z","until":"2026-11-20T12:30:00Z","limits":true}]},
		{"name":"relay:relay.example.net:587","state":"open","queued":2,"waiting":{"first":2},"sessions":{"now":2,"allowed":64,"most":64},"oldest":"2026-11-20T11:59:50Z",
		 "reasons":[{"what":"sessions","effect":"sessions 64 of 64","reason":"default of relays","origin":"default","limits":true}]}],"total":7}`,
	"/v1/queue/lanes/x": `{"name":"x","state":"paused","queued":3,"waiting":{"first":1,"deferred":2},"sessions":{"now":0,"allowed":0,"most":5},"rate":{"limit":"100/m","observed":0.25},
		"oldest":"2026-11-18T09:00:00Z","next_due":"2026-11-20T12:03:00Z","last_reply":{"code":451,"text":"later","class":"greylisted","mx":"mx.x","at":"2026-11-20T11:00:00Z"},
		"reasons":[{"what":"pause","effect":"no deliveries","reason":"moving","origin":"admin","rule":"77","since":"2026-11-20T11:00:00Z","limits":true},{"what":"sessions","effect":"sessions 5 of 5","reason":"default","origin":"default"}],
		"destinations":["a.test","b.test"],"more_destinations":3}`,
	"/v1/queue/top": `{"by":"destination","buckets":["5","10","20","40","80","160","320","640","640+"],"items":[
		{"name":"gmail.com","count":12345,"oldest":"2026-11-20T09:00:00Z","ages":[300,0,0,45,0,0,12000,0,0]},{"name":"","count":2,"oldest":"2026-11-20T11:59:50Z","ages":[2,0,0,0,0,0,0,0,0]}]}`,
	"/v1/queue/deliveries": `{"items":[{"id":"1971436800000000000","recipient":"jane@gmail.com","lane":"mx:alt1.gmail-smtp-in.l.google.com,gmail-smtp-in.l.google.com@mx1","state":"deferred",
		"accepted":"2026-11-20T09:00:00Z","due":"2026-11-20T12:03:00Z","tries":4,"last_reply":{"code":421,"enhanced":"4.7.28","text":"unusual rate"}}],"next":"1971436800000000000"}`,
	"/v1/queue/deliveries/42": `{"id":"42","message":"41","account":"a1","domain":"news.test","recipient":"jane@gmail.com","tag":"weekly","lane":"x","state":"deferred",
		"accepted":"2026-11-20T09:00:00Z","due":"2026-11-20T12:03:00Z","deadline":"2026-11-21T09:00:00Z","tries":4,"last_reply":{"code":452,"text":"4.2.2 full","class":"mailbox-full","at":"2026-11-20T11:00:00Z"}}`,
	"/v1/queue/rules": `{"items":[{"id":"77","kind":"pause","scope":"lane","match":"x","effect":"no deliveries","reason":"moving","origin":"admin","by":"key ab","created":"2026-11-20T11:00:00Z","expires":"2026-11-20T13:00:00Z"},
		{"id":"78","kind":"limit","scope":"site","match":"google.com","effect":"5 sessions, 100/m","reason":"new address","origin":"admin","by":"key ab","created":"2026-11-01T11:00:00Z"}]}`,
}

func queueServer(t *testing.T, answers map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := answers[r.URL.Path]; ok {
			fmt.Fprintln(w, body)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, `{"message":"nothing here"}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestQueueTables(t *testing.T) {
	url := queueServer(t, queueAnswers)
	empty := queueServer(t, map[string]string{"/v1/queue/lanes": `{"items":[],"total":0}`, "/v1/queue/top": `{"by":"tag","items":[]}`,
		"/v1/queue/deliveries": `{"items":[]}`, "/v1/queue/rules": `{"items":[]}`})
	var all strings.Builder
	for _, c := range []struct {
		url, args string
		width     int
	}{{url, "queue ls", 120}, {url, "queue ls", 80}, {url, "queue ls --tag x", 120}, {url, "queue top", 100}, {url, "queue show x", 100}, {url, "queue show 42", 100},
		{url, "queue rules", 120}, {empty, "queue ls", 80}, {empty, "queue ls --tag x", 80}, {empty, "queue ls --deliveries", 80}, {empty, "queue top", 80}, {empty, "queue rules", 80}} {
		r := as{url: c.url, people: true, width: c.width}.run(strings.Fields(c.args)...)
		if r.status != exitOK || r.stderr != "" || strings.Contains(r.stdout, "\x1b") {
			t.Errorf("%s: %+v", c.args, r)
		}
		fmt.Fprintf(&all, "$ postroad %s  # %d columns\n%s\n", c.args, c.width, r.stdout)
	}
	golden(t, "queue.txt", all.String())
	for args, want := range map[string]string{"queue ls --tag x --quiet": "1971436800000000000\n", "queue rules --quiet": "77\n78\n", "queue show x --quiet": "paused\n", "queue top --quiet": "gmail.com\n\n"} {
		if r := (as{url: url}).run(strings.Fields(args)...); r.stdout != want || r.status != exitOK {
			t.Errorf("%s: %+v", args, r)
		}
	}
	if e := errorOf(t, as{url: url}.run("queue", "show", "y")); e.Code != "not_found" || e.Hint != "postroad queue ls --all" {
		t.Errorf("%+v", e)
	}
}

func TestQueueForbidden(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintln(w, `{"message":"The queue belongs to the installation"}`)
	}))
	defer s.Close()
	for _, args := range []string{"queue ls", "queue rules --remove 1", "queue retry --tag x", "trace"} {
		r := as{url: s.URL}.run(strings.Fields(args)...)
		if e := errorOf(t, r); r.status != exitAuth || e.Code != "forbidden" || e.Message != "The queue belongs to the installation" {
			t.Errorf("%s: %d %+v", args, r.status, e)
		}
	}
}

// onTerminal runs a command on a terminal where somebody types.
func onTerminal(url, typed string, args ...string) result {
	var out, errs strings.Builder
	status := Main(Env{Args: args, Environ: []string{envURL + "=" + url, envKey + "=key-of-the-test"}, Stdin: strings.NewReader(typed), Stdout: &out, Stderr: &errs,
		Terminal: &Terminal{Stdin: true, Stdout: true, Stderr: true, Width: 200}, Zone: time.UTC})
	return result{status, out.String(), errs.String()}
}

func TestQueueAgainstServer(t *testing.T) {
	at := closedPort(t)
	s := apptest.Start(t, apptest.Options{Mode: config.Serve, Args: []string{"--relay=*=smtp://" + at, "--relay-without-tls"}})
	s.AddDomain("you.test")
	for _, to := range []string{"a@x.test", "b@x.test", "c@y.test"} {
		id := s.Send("you.test", apptest.Fields{"to", to, "o:tag", "t1"})
		s.Until("an attempt", func() bool {
			list := s.Waiting(id)
			return len(list) == 1 && list[0].Tries == 1
		})
	}
	lane := "relay:" + at
	run := func(typed string, args ...string) result { return onTerminal(s.URL, typed, args...) }
	for _, c := range []struct {
		args, typed, out, err string
		status                int
	}{
		{args: "queue ls", out: lane + "  open ", status: exitOK},
		{args: "queue ls --destination x.test", out: "b@x.test", status: exitOK},
		{args: "queue top", out: "x.test ", status: exitOK},
		{args: "queue show y.test", out: "Lane         " + lane + "\n", status: exitOK},
		{args: "queue pause --lane " + lane + " --reason moving --for 2h", out: "To undo: postroad queue resume --lane " + lane + "\n", status: exitOK},
		{args: "queue pause --lane " + lane + " --reason again", out: "It replaces the rule there was.\n", status: exitOK},
		{args: "queue ls", out: "\n  no deliveries: again (rule ", status: exitOK},
		{args: "queue retry --lane " + lane, out: "3 waiting for a later time are due now.\nNote: the lane " + lane + " is paused: again\n", status: exitOK},
		{args: "queue rules", out: "no deliveries", status: exitOK},
		{args: "queue limit --lane " + lane + " --rate fast --reason x", err: `error: "fast" is not a rate: `, status: exitFailed},
		{args: "queue limit --tag * --rate 10/m --reason x", out: "Tag *: 10/m, until it is removed.\nTo undo: postroad queue rules --remove ", status: exitOK},
		{args: "queue bounce --destination x.test --reason typo", typed: "n\n", err: "Bounce 2 deliveries (destination x.test)? This cannot be undone. [y/N] error: nothing was done\n", status: exitFailed},
		{args: "queue bounce --destination x.test --reason typo", err: "error: nothing was done\n", status: exitFailed},
		{args: "queue bounce --destination x.test --reason typo", typed: "y\n", out: "2 bounced.\n", status: exitOK},
		{args: "queue bounce --destination x.test --reason typo", typed: "y\n", out: "Nothing matches.\n", status: exitOK},
		{args: "queue drop --tag t1 --reason over --yes --quiet", out: "1\n", status: exitOK},
		{args: "queue resume --lane " + lane, out: "Ended: pause of lane " + lane + " (again)\n", status: exitOK},
		{args: "queue resume --tag zzz", err: "error: nothing stops tag zzz\ntry:   postroad queue rules\n", status: exitNotFound},
		{args: "queue reroute --site x.test --to smtps://h --reason x", err: "error: smtps:// is not possible here", status: exitFailed},
		{args: "queue reroute --destination x.test --to smtp://h:26 --reason x", out: "Destination x.test: by relay:h:26, until it is removed.\n", status: exitOK},
		{args: "queue ls --deliveries", out: "No unfinished delivery is left.\n", status: exitOK},
		{args: "queue show 42", err: "error: no unfinished delivery 42\n", status: exitNotFound},
		{args: "queue ls --key wrong", err: "no such key, or its role is not admin", status: exitAuth},
	} {
		r := run(c.typed, strings.Fields(c.args)...)
		if r.status != c.status || !strings.Contains(r.stdout, c.out) || !strings.Contains(r.stderr, c.err) || (r.stderr == "") != (c.err == "") && c.typed == "" {
			t.Errorf("%s: %+v", c.args, r)
		}
	}
	var rules struct{ Items []ruleItem }
	if r := live(s.URL, "", false, "queue", "rules", "--key", s.Key); json.Unmarshal([]byte(r.stdout), &rules) != nil || len(rules.Items) != 2 {
		t.Fatalf("%+v", r)
	}
	if r := run("", "queue", "rules", "--remove", rules.Items[0].ID); r.stdout != "Removed: limit of tag *, 10/m (x)\n" {
		t.Errorf("%+v", r)
	}
	if r := run("", "queue", "rules", "--remove", rules.Items[0].ID); r.status != exitNotFound {
		t.Errorf("%+v", r)
	}
}

func TestTraceAgainstServer(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Mode: config.Serve})
	s.AddDomain("you.test")
	k := s.World.Sink(t, "mx.x.test", apptest.Script{})
	s.World.MX(t, "x.test", k.Host)
	done := make(chan result, 1)
	go func() { done <- onTerminal(s.URL, "", "trace", "--destination", "x.test", "--lines", "5") }()
	send := func() { s.Send("you.test", apptest.Fields{"to", "a@x.test"}) }
	var r result
	s.Until("a trace", func() bool { // nobody tells when it has begun to watch
		select {
		case r = <-done:
			return true
		default:
			if len(k.All()) < 200 {
				send()
			}
			return false
		}
	})
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if r.status != exitOK || len(lines) != 5 || r.stderr != "Watching "+s.URL+". Ctrl-C ends.\n" {
		t.Fatalf("%+v", r)
	}
	for _, l := range lines {
		if len(l) < 65 || l[2] != ':' || !strings.HasPrefix(l[14:], "mx:mx.x.test   ") || !strings.ContainsAny(l[64:65], "<>-") {
			t.Errorf("%q", l)
		}
	}
}

func TestTraceStream(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, ": watching\n\ndata: {\"at\":\"2026-11-20T12:00:00.25Z\",\"lane\":\"mx:alt1.gmail-smtp-in.l.google.com\",\"direction\":\"<\",\"text\":\"220 \\u001b[2J\"}\n\n")
	}))
	defer s.Close()
	r := as{url: s.URL, people: true, width: 80}.run("trace")
	if r.stdout != "12:00:00.250  ...mail-smtp-in.l.google.com  -                   < 220 ?[2J\n" || r.status != exitFailed || !strings.Contains(r.stderr, "error: the server ended the stream\n") {
		t.Errorf("%+v", r)
	}
	if r := (as{url: s.URL}).run("trace", "--quiet"); r.stdout != "< 220 ?[2J\n" {
		t.Errorf("%+v", r)
	}
	if r := (as{url: s.URL}).run("trace", "--json"); !strings.HasPrefix(r.stdout, `{"at":`) || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	plain := queueServer(t, map[string]string{"/v1/queue/trace": "{}"})
	if r := (as{url: plain}).run("trace"); r.status != exitFailed {
		t.Errorf("%+v", r)
	}
}
