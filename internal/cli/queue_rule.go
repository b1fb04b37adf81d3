package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ruleItem is a rule as GET /v1/queue/rules gives it.
type ruleItem struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Scope   string    `json:"scope"`
	Match   string    `json:"match"`
	Effect  string    `json:"effect"`
	Reason  string    `json:"reason"`
	Origin  string    `json:"origin"`
	By      string    `json:"by"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// thing is what a rule is about.
type thing struct {
	lane, site, destination, source, account, domain, tag string
}

func (t *thing) add(f *flagSet, sender bool) {
	if sender {
		f.text(&t.lane, "lane", "LANE", "one lane, as postroad queue ls names it")
	}
	f.text(&t.site, "site", "SITE", "all lanes of a site, by its name or that of an MX host or what it ends in; * for all")
	f.text(&t.destination, "destination", "DOMAIN", "a recipient domain, *.DOMAIN for those below one")
	if !sender {
		return
	}
	f.text(&t.source, "source", "NAME", "everything that leaves from this source")
	f.text(&t.account, "account", "ID", "a sending account; * for each by itself")
	f.text(&t.domain, "domain", "DOMAIN", "a sending domain; * for each by itself")
	f.text(&t.tag, "tag", "TAG", "messages with this first tag; * for each by itself")
}

// doc puts the one thing that was given in a body.
func (t *thing) doc() (map[string]any, error) {
	doc := map[string]any{}
	for _, p := range [...][2]string{{"lane", t.lane}, {"site", t.site}, {"destination", t.destination}, {"source", t.source}, {"account", t.account},
		{"domain", t.domain}, {"tag", t.tag}} {
		if p[1] != "" {
			doc[p[0]] = p[1]
		}
	}
	switch len(doc) {
	case 0:
		return nil, usage("say what it is about, for example --lane LANE or --destination DOMAIN")
	case 1:
		return doc, nil
	}
	return nil, usage("a rule is about one thing: give only one of --lane, --site, --destination, --source, --account, --domain and --tag")
}

type queueRuleOptions struct {
	clientFlags
	thing
	reason, expires               string
	sessions, rate, perConnection string // limit
	to                            string // reroute
}

// The commands that make or end rules.
const (
	verbPause   = "pause"
	verbLimit   = "limit"
	verbReroute = "reroute"
	verbResume  = "resume"
)

func queueRuleFlags(verb string) (*queueRuleOptions, *flagSet) {
	o, f := &queueRuleOptions{}, newFlags()
	o.thing.add(f, verb != verbReroute)
	switch verb {
	case verbLimit:
		f.text(&o.sessions, "sessions", "N", "sessions at a time")
		f.text(&o.rate, "rate", "N/TIME", "deliveries per time: 5/s, 100/m, 1000/h, 20000/d or 50/10m")
		f.text(&o.perConnection, "per-connection", "N", "messages on one connection")
	case verbReroute:
		f.text(&o.to, "to", "TARGET", "smtp://HOST:PORT, source:NAME or pool:NAME")
	}
	if verb == verbResume {
		f.text(&o.reason, "reason", "TEXT", "why, for the log")
	} else {
		f.text(&o.reason, "reason", "TEXT", "why, for whoever finds the rule")
		f.text(&o.expires, "for", "DURATION", "how long: 90m, 2h, 3d, or until a time like 2026-11-20T18:00:00Z (default: until it is removed)")
	}
	o.clientFlags.add(f, or(verb == verbResume, "print only how many pauses and suspensions were ended", "print only the id of the rule"))
	return o, f
}

func queueRuleCommand(verb, summary, args, notes string, examples ...string) command {
	return command{name: "queue " + verb, summary: summary, args: []string{args}, notes: notes, examples: examples,
		options: func() *flagSet { _, f := queueRuleFlags(verb); return f },
		run:     func(e *Env, args []string) error { return runQueueRule(e, verb, args) }}
}

const replaces = "There is one rule of a kind for a thing: the same command again replaces it.\n"

func queuePauseCommand() command {
	return queueRuleCommand(verbPause, "stop a part of the queue", "--reason TEXT [options]", "What is accepted meanwhile waits. "+replaces,
		"queue pause --lane relay:relay.example.net:587 --reason 'relay is being moved' --for 2h",
		"queue pause --domain news.example.com --reason 'under investigation'")
}

func queueResumeCommand() command {
	return queueRuleCommand(verbResume, "end a pause or suspension", "[options]",
		"Ends the pause of exactly what is named. Lanes, by --lane or --site, are also freed of\n"+
			"automatic suspensions and slowing down. Says what stops them still.\n",
		"queue resume --lane relay:relay.example.net:587", "queue resume --site google.com")
}

func queueLimitCommand() command {
	return queueRuleCommand(verbLimit, "limit sessions or rate of a part of the queue", "--reason TEXT [options]", replaces,
		"queue limit --site google.com --sessions 5 --rate 600/m --reason 'new address'",
		"queue limit --account '*' --rate 1000/h --reason 'fair share'")
}

func queueRerouteCommand() command {
	return queueRuleCommand(verbReroute, "send the mail of a destination another way", "--to TARGET --reason TEXT [options]",
		"A relay of the settings is used with its login and TLS. What waits already goes the new\nway too. "+replaces,
		"queue reroute --destination example.com --to smtp://backup.example.net:25 --reason 'their MX is down' --for 1d")
}

func (o *queueRuleOptions) doc(e *Env, verb string, f *flagSet, args []string) (map[string]any, error) {
	rest, err := o.parse(e, f, args)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, usage("unexpected argument %q; give what it is about as an option, like --lane %s", clean(rest[0]), clean(rest[0]))
	}
	doc, err := o.thing.doc()
	if err != nil {
		return nil, err
	}
	for _, n := range [...]struct{ flag, name, value string }{{"--sessions", "sessions", o.sessions}, {"--per-connection", "per_connection", o.perConnection}} {
		if n.value == "" {
			continue
		}
		x, err := strconv.Atoi(n.value)
		if err != nil || x < 1 {
			return nil, usage("%s: %q is not a number above 0", n.flag, clean(n.value)).try("postroad queue pause stops all of it")
		}
		doc[n.name] = x
	}
	switch {
	case verb == verbLimit && o.sessions+o.rate+o.perConnection == "":
		return nil, usage("give at least one of --sessions, --rate and --per-connection")
	case verb == verbReroute && o.to == "":
		return nil, usage("--to is missing")
	case verb != verbResume && strings.TrimSpace(o.reason) == "":
		return nil, usage("--reason is missing")
	}
	for name, value := range map[string]string{"rate": o.rate, "target": o.to, "reason": o.reason, "expires": o.expires} {
		if value != "" {
			doc[name] = value
		}
	}
	return doc, nil
}

func runQueueRule(e *Env, verb string, args []string) error {
	o, f := queueRuleFlags(verb)
	doc, err := o.doc(e, verb, f, args)
	if err != nil {
		return err
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	if verb == verbResume {
		return resumeQueue(e, o, c, doc)
	}
	var made struct {
		Rule     ruleItem `json:"rule"`
		Replaced bool     `json:"replaced"`
		Note     string   `json:"note"`
	}
	a, err := c.order(context.Background(), verb, doc, &made)
	if err != nil {
		return err
	}
	switch o.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, a.raw)
	case forScripts:
		return plainLines(e, []string{made.Rule.ID})
	}
	r := &made.Rule
	lines := []string{fmt.Sprintf("%s %s: %s, %s.", upper(r.Scope), r.Match, r.Effect, or(r.Expires.IsZero(), "until it is removed", "until "+e.when(r.Expires)))}
	if made.Replaced {
		lines = append(lines, "It replaces the rule there was.")
	}
	if made.Note != "" {
		lines = append(lines, "Note: "+made.Note)
	}
	undo := "postroad queue rules --remove " + r.ID
	if verb == verbPause {
		undo = "postroad queue resume --" + r.Scope + " " + quoted(r.Match)
	}
	return plainLines(e, append(lines, "To undo: "+undo))
}

// quoted quotes an argument that a shell would change.
func quoted(s string) string {
	if strings.ContainsAny(s, "*?[]$&;<>|()'\"\\ ~#!`") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

func resumeQueue(e *Env, o *queueRuleOptions, c *client, doc map[string]any) error {
	var done struct {
		Message string       `json:"message"`
		Rules   []ruleItem   `json:"rules"`
		Lanes   []string     `json:"lanes"`
		Still   []reasonItem `json:"still"`
	}
	a, err := c.order(context.Background(), verbResume, doc, &done)
	if err != nil {
		return hinted(err, "postroad queue rules")
	}
	switch o.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, a.raw)
	case forScripts:
		return plainLines(e, []string{fmt.Sprint(len(done.Rules) + len(done.Lanes))})
	}
	lines := []string{upper(done.Message) + "."}
	for _, r := range done.Rules {
		lines = append(lines, fmt.Sprintf("Ended: pause of %s %s (%s)", r.Scope, r.Match, r.Reason))
	}
	for _, l := range done.Lanes {
		lines = append(lines, "Freed: "+l)
	}
	for i := range done.Still {
		lines = append(lines, "Still: "+e.reason(&done.Still[i]))
	}
	return plainLines(e, lines)
}

type queueRulesOptions struct {
	clientFlags
	remove string
}

func queueRulesFlags() (*queueRulesOptions, *flagSet) {
	o, f := &queueRulesOptions{}, newFlags()
	f.text(&o.remove, "remove", "ID", "remove this rule")
	o.add(f, "print only ids, one per line")
	return o, f
}

func queueRulesCommand() command {
	return command{name: "queue rules", summary: "list the rules in force, or remove one", args: []string{"[options]"},
		notes:    "Rules with origin auto are suspensions that the program made and wrote down.\n",
		examples: []string{"queue rules", "queue rules --remove 1971436800000000000"},
		options:  func() *flagSet { _, f := queueRulesFlags(); return f }, run: runQueueRules}
}

func runQueueRules(e *Env, args []string) error {
	o, f := queueRulesFlags()
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usage("unexpected argument %q", clean(rest[0])).try("postroad queue rules --remove ID")
	}
	if _, err := strconv.ParseUint(o.remove, 10, 64); err != nil && o.remove != "" {
		return usage("--remove: %q is not the id of a rule", clean(o.remove)).try("postroad queue rules")
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	if o.remove != "" {
		return removeRule(e, o, c)
	}
	var list struct {
		Items []ruleItem `json:"items"`
	}
	a, err := c.ask(context.Background(), "/rules", nil, &list)
	if err != nil {
		return err
	}
	return o.printList(e, a.raw, names(list.Items, func(r *ruleItem) string { return r.ID }), func() error { return printRules(e, list.Items) })
}

func printRules(e *Env, items []ruleItem) error {
	if len(items) == 0 {
		_, err := fmt.Fprintln(e.Stdout, "No rules. To make one: postroad queue pause --help")
		return err
	}
	t := newTable("ID", "KIND", "ABOUT", "EFFECT", "AGE", "LEFT", "BY", "REASON").keep(0, 1).numbers(4, 5)
	for _, r := range items {
		t.row(r.ID, r.Kind, r.Scope+" "+r.Match, r.Effect, e.age(r.Created), or(r.Expires.IsZero(), "-", e.left(r.Expires)), or(r.Origin == "auto", "auto", r.By), r.Reason)
	}
	return t.print(e.Stdout, e.width())
}

func removeRule(e *Env, o *queueRulesOptions, c *client) error {
	var done struct {
		Rule ruleItem `json:"rule"`
	}
	a, err := c.call(context.Background(), request{method: http.MethodDelete, path: queuePath + "/rules/" + url.PathEscape(o.remove)}, &done)
	if err != nil {
		return hinted(queueRefused(err), "postroad queue rules")
	}
	switch o.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, a.raw)
	case forScripts:
		return plainLines(e, []string{done.Rule.ID})
	}
	r := &done.Rule
	return plainLines(e, []string{fmt.Sprintf("Removed: %s of %s %s, %s (%s)", r.Kind, r.Scope, r.Match, r.Effect, r.Reason)})
}
