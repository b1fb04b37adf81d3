package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// queueOrderOptions are those of commands that change deliveries.
type queueOrderOptions struct {
	clientFlags
	selection
	id, reason string
	yes        bool
}

func queueOrderFlags(ends bool) (*queueOrderOptions, *flagSet) {
	o, f := &queueOrderOptions{}, newFlags()
	o.selection.add(f)
	f.text(&o.id, "id", "ID", "only this delivery")
	if ends {
		f.text(&o.reason, "reason", "TEXT", "why; it stands in the events of the messages and in the log")
		f.on(&o.yes, "yes", "do not ask")
	} else {
		f.text(&o.reason, "reason", "TEXT", "why, for the log")
	}
	o.clientFlags.add(f, "print only how many deliveries there were")
	return o, f
}

func queueRetryCommand() command {
	return command{name: "queue retry", summary: "try waiting deliveries now", args: []string{"[options]"},
		notes: "Limits, pauses and suspensions stay in force; postroad queue resume ends those. At least\n" +
			"one option must say which deliveries.\n",
		examples: []string{"queue retry --destination example.com", "queue retry --id 1971436800000000000"},
		options:  func() *flagSet { _, f := queueOrderFlags(false); return f }, run: runQueueRetry}
}

func queueEndCommand(verb, summary, what string) command {
	return command{name: "queue " + verb, summary: summary, args: []string{"--reason TEXT [options]"},
		notes: what + "At least one option must say which deliveries; those that match all\n" +
			"options are ended, unless a session has begun them. Shows how many there are and asks\n" +
			"first; without a terminal --yes is required.\n",
		examples: []string{"queue " + verb + " --destination exmaple.com --reason 'misspelt domain'", "queue " + verb + " --message 8461312 --reason 'sent by mistake' --yes"},
		options:  func() *flagSet { _, f := queueOrderFlags(true); return f },
		run:      func(e *Env, args []string) error { return runQueueEnd(e, verb, args) }}
}

func queueBounceCommand() command {
	return queueEndCommand("bounce", "return deliveries to their senders as failed", "Each makes a failed event with code 554; no address is suppressed. ")
}

func queueDropCommand() command {
	return queueEndCommand("drop", "end deliveries without blaming anybody", "Each makes a failed event with code 650; no address is suppressed. ")
}

// countDoc is the answer of a change.
type countDoc struct {
	Message string `json:"message"`
	Count   int64  `json:"count"`
	More    bool   `json:"more"`
	Note    string `json:"note"`
}

func (d *countDoc) number() string {
	n := fmt.Sprint(d.Count)
	if d.More {
		n = "more than " + n
	}
	return n + or(d.Count == 1 && !d.More, " delivery", " deliveries")
}

// parse reads the arguments and makes the body.
func (o *queueOrderOptions) parse(e *Env, f *flagSet, args []string) (map[string]any, error) {
	rest, err := o.clientFlags.parse(e, f, args)
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, usage("unexpected argument %q; deliveries are chosen with options", clean(rest[0]))
	case o.empty() && o.id == "":
		return nil, usage("say which deliveries: --lane, --destination, --domain, --account, --tag, --recipient, --message or --id")
	}
	doc := map[string]any{}
	for _, p := range o.pairs() {
		doc[p[0]] = p[1]
	}
	if o.id != "" {
		doc["id"] = o.id
	}
	return doc, nil
}

func (o *queueOrderOptions) what() string {
	return strings.TrimPrefix(o.selection.String()+or(o.id == "", "", ", id "+o.id), ", ")
}

func runQueueRetry(e *Env, args []string) error {
	o, f := queueOrderFlags(false)
	doc, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if o.reason != "" {
		doc["reason"] = o.reason
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	var done countDoc
	a, err := c.order(context.Background(), "retry", doc, &done)
	if err != nil {
		return err
	}
	return o.report(e, a, &done)
}

func (o *queueOrderOptions) report(e *Env, a *answer, done *countDoc) error {
	switch o.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, a.raw)
	case forScripts:
		return plainLines(e, []string{fmt.Sprint(done.Count)})
	}
	lines := []string{upper(done.Message) + "."}
	if done.Note != "" {
		lines = append(lines, "Note: "+done.Note)
	}
	return plainLines(e, lines)
}

// upper makes the first letter of an English sentence a capital.
func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func runQueueEnd(e *Env, verb string, args []string) error {
	o, f := queueOrderFlags(true)
	doc, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if strings.TrimSpace(o.reason) == "" {
		return usage("--reason is missing")
	}
	if !o.yes && !e.terminal().Stdin {
		return usage("without a terminal to ask on, --yes is required")
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	if !o.yes {
		if any, err := o.confirm(e, c, verb, doc); err != nil || !any {
			return err
		}
	}
	delete(doc, "dry_run")
	doc["reason"] = o.reason
	var done countDoc
	a, err := c.order(context.Background(), verb, doc, &done)
	if err != nil {
		return err
	}
	return o.report(e, a, &done)
}

// confirm shows how many deliveries it would be and asks. Without any there is
// nothing to do.
func (o *queueOrderOptions) confirm(e *Env, c *client, verb string, doc map[string]any) (any bool, err error) {
	doc["dry_run"] = true
	var would countDoc
	a, err := c.order(context.Background(), verb, doc, &would)
	if err != nil {
		return false, err
	}
	if would.Count == 0 {
		return false, o.report(e, a, &countDoc{Message: "nothing matches"})
	}
	fmt.Fprintf(e.Stderr, "%s %s (%s)? This cannot be undone. [y/N] ", upper(verb), would.number(), clean(o.what()))
	line, _ := bufio.NewReader(e.Stdin).ReadString('\n') // an end of input is a no
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	f := failed("nothing was done")
	f.code = "cancelled"
	return false, f
}
