package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

type queueListOptions struct {
	clientFlags
	selection
	all, deliveries bool
	limit, after    string
}

func queueListFlags() (*queueListOptions, *flagSet) {
	o, f := &queueListOptions{}, newFlags()
	o.selection.add(f)
	f.on(&o.deliveries, "deliveries", "list deliveries, also when none of the options above is given")
	f.on(&o.all, "all", "also lanes that are open and have nothing to do")
	f.text(&o.limit, "limit", "N", "number of lanes (default: 500) or deliveries (default: 100, at most 1000)")
	f.text(&o.after, "after", "ID", "only deliveries after this one of the list")
	o.clientFlags.add(f, "print only names of lanes or ids of deliveries, one per line")
	return o, f
}

func queueListCommand() command {
	return command{name: "queue ls", aliases: []string{"queue list"}, summary: "list the lanes of the queue, or the deliveries in a part of it", args: []string{"[options]"},
		notes: "Without options: the lanes, those in trouble first. With any that chooses deliveries:\n" +
			"those deliveries, the oldest first.\n",
		examples: []string{"queue ls", "queue ls --destination gmail.com", "queue ls --deliveries --limit 20", "queue ls --json | jq '.items[] | select(.state != \"open\").name'"},
		options:  func() *flagSet { _, f := queueListFlags(); return f }, run: runQueueList}
}

func runQueueList(e *Env, args []string) error {
	o, f := queueListFlags()
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usage("unexpected argument %q", clean(rest[0])).try("postroad queue show " + clean(rest[0]))
	}
	if o.limit != "" {
		if n, err := strconv.Atoi(o.limit); err != nil || n < 1 {
			return usage("--limit: %q is not a number of lines", clean(o.limit))
		}
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	if o.deliveries || !o.empty() || o.after != "" {
		if o.all {
			return usage("--all is about lanes, not about deliveries")
		}
		return listDeliveries(e, o, c)
	}
	return listLanes(e, o, c)
}

func listLanes(e *Env, o *queueListOptions, c *client) error {
	q := o.query()
	if o.all {
		q.Set("all", "yes")
	}
	if o.limit != "" {
		q.Set("limit", o.limit)
	}
	var list struct {
		Items []laneItem `json:"items"`
		Total int        `json:"total"`
	}
	a, err := c.ask(context.Background(), "/lanes", q, &list)
	if err != nil {
		return err
	}
	return o.printList(e, a.raw, names(list.Items, func(l *laneItem) string { return l.Name }), func() error { return printLanes(e, list.Items, list.Total) })
}

func printLanes(e *Env, items []laneItem, total int) error {
	if len(items) == 0 {
		_, err := fmt.Fprintln(e.Stdout, "The queue is empty and nothing is stopped. All lanes lately in use: postroad queue ls --all")
		return err
	}
	t := newTable("LANE", "STATE", "QUEUED", "NEW", "RETRY", "LATER", "SESS", "AGE", "NEXT", "LAST REPLY").keep(1).numbers(2, 3, 4, 5, 6, 7, 8).fromFront(0)
	for i := range items {
		l := &items[i]
		t.row(l.Name, l.State, fmt.Sprint(l.Queued), fmt.Sprint(l.Waiting.First), fmt.Sprint(l.Waiting.Again), fmt.Sprint(l.Waiting.Deferred),
			l.sessions(), e.age(l.Oldest), e.left(l.NextDue), l.LastReply.words())
	}
	if err := t.print(e.Stdout, e.width()); err != nil {
		return err
	}
	var b strings.Builder
	for i := range items {
		if l := &items[i]; l.State != "open" && i < 50 {
			fmt.Fprintf(&b, "\n%s\n  %s\n", clean(l.Name), clean(e.why(l.Reasons)))
		}
	}
	if len(items) < total {
		fmt.Fprintf(&b, "\n%d of %d lanes. More: postroad queue ls --limit %d\n", len(items), total, total)
	}
	_, err := fmt.Fprint(e.Stdout, b.String())
	return err
}

// sessions is how many there are and may be: 3/20.
func (l *laneItem) sessions() string {
	if l.Sessions.Most == 0 {
		return fmt.Sprint(l.Sessions.Now)
	}
	return fmt.Sprintf("%d/%d", l.Sessions.Now, l.Sessions.Allowed)
}

// why is what limits a lane most.
func (e *Env) why(list []reasonItem) string {
	for i := range list {
		if list[i].Limits {
			return e.reason(&list[i])
		}
	}
	return "-"
}

// reason writes one thing in force on a line.
func (e *Env) reason(r *reasonItem) string {
	s := r.Effect
	if r.Reason != "" {
		s += ": " + r.Reason
	}
	var more []string
	if r.Rule != "" && r.Origin == "admin" {
		more = append(more, "rule "+r.Rule)
	}
	if !r.Since.IsZero() {
		more = append(more, "since "+e.when(r.Since))
	}
	if !r.Until.IsZero() {
		more = append(more, "until "+e.when(r.Until)+", in "+e.left(r.Until))
	}
	if len(more) > 0 {
		s += " (" + strings.Join(more, ", ") + ")"
	}
	return s
}

func listDeliveries(e *Env, o *queueListOptions, c *client) error {
	q := o.query()
	if o.limit != "" {
		q.Set("limit", o.limit)
	}
	if o.after != "" {
		q.Set("after", o.after)
	}
	var list struct {
		Items []deliveryItem `json:"items"`
		Next  string         `json:"next"`
	}
	a, err := c.ask(context.Background(), "/deliveries", q, &list)
	if err != nil {
		return err
	}
	switch o.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, a.raw)
	case forScripts:
		var ids []string
		for _, d := range list.Items {
			ids = append(ids, d.ID)
		}
		return plainLines(e, ids)
	}
	if len(list.Items) == 0 {
		_, err := fmt.Fprintln(e.Stdout, "No unfinished delivery", or(o.selection.String() != "", "matches: "+clean(o.selection.String())+".", "is left."))
		return err
	}
	t := newTable("ID", "AGE", "STATE", "DUE", "TRIES", "RECIPIENT", "LANE", "LAST REPLY").keep(0, 2).numbers(1, 3, 4).fromFront(6)
	for _, d := range list.Items {
		t.row(d.ID, e.age(d.Accepted), d.State, e.left(d.Due), fmt.Sprint(d.Tries), d.Recipient, d.Lane, d.LastReply.words())
	}
	if err := t.print(e.Stdout, e.width()); err != nil || list.Next == "" {
		return err
	}
	_, err = fmt.Fprintln(e.Stdout, "\nThose that follow: the same with --after", clean(list.Next))
	return err
}

func or(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

type queueTopOptions struct {
	clientFlags
	by, limit string
}

func queueTopFlags() (*queueTopOptions, *flagSet) {
	o, f := &queueTopOptions{}, newFlags()
	f.text(&o.by, "by", "WHAT", "destination (the default), domain, account or tag")
	f.text(&o.limit, "limit", "N", "number of lines, 1 to 1000 (default: 20)")
	o.add(f, "print only the names, one per line")
	return o, f
}

func queueTopCommand() command {
	return command{name: "queue top", summary: "show what the queue consists of, by age", args: []string{"[options]"},
		notes: "The columns count deliveries by the minutes since they were accepted: less than 5, less\n" +
			"than 10 and so on.\n",
		examples: []string{"queue top", "queue top --by domain", "queue top --by tag --limit 5 --json"},
		options:  func() *flagSet { _, f := queueTopFlags(); return f }, run: runQueueTop}
}

func runQueueTop(e *Env, args []string) error {
	o, f := queueTopFlags()
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usage("unexpected argument %q", clean(rest[0])).try("postroad queue top --by " + clean(rest[0]))
	}
	q := (&selection{}).query()
	switch o.by {
	case "", "destination", "domain", "account", "tag":
		q.Set("by", firstSet(o.by, "destination"))
	default:
		return usage("--by: %q is none of destination, domain, account, tag", clean(o.by))
	}
	if o.limit != "" {
		if n, err := strconv.Atoi(o.limit); err != nil || n < 1 || n > 1000 {
			return usage("--limit: %q is not a number from 1 to 1000", clean(o.limit))
		}
		q.Set("limit", o.limit)
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	var top topDoc
	a, err := c.ask(context.Background(), "/top", q, &top)
	if err != nil {
		return err
	}
	var groups []string
	for _, g := range top.Items {
		groups = append(groups, g.Name)
	}
	return o.printList(e, a.raw, groups, func() error { return top.print(e) })
}

type topDoc struct {
	By      string   `json:"by"`
	Buckets []string `json:"buckets"`
	Items   []struct {
		Name   string    `json:"name"`
		Count  int64     `json:"count"`
		Oldest time.Time `json:"oldest"`
		Ages   []int64   `json:"ages"`
	} `json:"items"`
}

func (d *topDoc) print(e *Env) error {
	if len(d.Items) == 0 {
		_, err := fmt.Fprintln(e.Stdout, "The queue is empty.")
		return err
	}
	t := newTable(append([]string{strings.ToUpper(d.By), "COUNT", "OLDEST"}, d.Buckets...)...)
	var all []int
	for i := 1; i < len(t.head); i++ {
		all = append(all, i)
	}
	t.numbers(all...)
	for _, g := range d.Items {
		cells := []string{firstSet(g.Name, "(none)"), fmt.Sprint(g.Count), e.age(g.Oldest)}
		for _, n := range g.Ages {
			cells = append(cells, or(n == 0, ".", fmt.Sprint(n)))
		}
		t.row(cells...)
	}
	return t.print(e.Stdout, e.width())
}
