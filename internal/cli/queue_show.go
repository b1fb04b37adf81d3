package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

func queueShowFlags() (*clientFlags, *flagSet) {
	o, f := &clientFlags{}, newFlags()
	o.add(f, "print only the state")
	return o, f
}

func queueShowCommand() command {
	return command{name: "queue show", summary: "show one lane with everything in force for it, or one delivery", args: []string{"LANE [options]", "ID [options]"},
		notes:    "A recipient domain stands for the lane its mail takes.\n",
		examples: []string{"queue show gmail.com", "queue show relay:relay.example.net:587", "queue show 1971436800000000000"},
		options:  func() *flagSet { _, f := queueShowFlags(); return f }, run: runQueueShow}
}

func runQueueShow(e *Env, args []string) error {
	o, f := queueShowFlags()
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 || rest[0] == "" || rest[0] == "." || rest[0] == ".." {
		return usage("give one lane, recipient domain or delivery").try("postroad queue ls")
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(rest[0], 10, 64); err == nil {
		return showDelivery(e, o, c, rest[0])
	}
	var l laneItem
	a, err := c.ask(context.Background(), "/lanes/"+url.PathEscape(rest[0]), nil, &l)
	if err != nil {
		return hinted(err, "postroad queue ls --all")
	}
	switch o.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, a.raw)
	case forScripts:
		return plainLines(e, []string{l.State})
	}
	return printLane(e, &l)
}

// hinted gives what was not found a hint.
func hinted(err error, hint string) error {
	if f := asFailure(err); f.code == "not_found" && f.hint == "" {
		return f.try(hint)
	}
	return err
}

func printLane(e *Env, l *laneItem) error {
	var b strings.Builder
	field := fields(&b)
	field("Lane", l.Name)
	field("State", l.State)
	field("Queued", fmt.Sprint(l.Queued)+or(l.Oldest.IsZero(), "", ", the oldest for "+e.age(l.Oldest)))
	w := &l.Waiting
	for _, x := range [...]struct {
		n    int64
		what string
	}{{int64(w.First), "ready for their first attempt"}, {int64(w.Again), "ready for another attempt"}, {int64(w.InHand), "in sessions"},
		{int64(w.Blocked), "held by a limit of their sender"}, {int64(w.Routing), "their lane is being found out"}, {w.Due, "due, no room in memory yet"},
		{w.Deferred, "wait for a later time, the next " + or(e.left(l.NextDue) == "now", "now", "in "+e.left(l.NextDue))}} {
		if x.n > 0 {
			field("", fmt.Sprintf("%d %s", x.n, x.what))
		}
	}
	field("Sessions", fmt.Sprint(l.Sessions.Now)+or(l.Sessions.Most == 0, "", fmt.Sprintf(", allowed now %d, at most %d", l.Sessions.Allowed, l.Sessions.Most)))
	field("Rate", fmt.Sprintf("%.4g/s over the last minute, limit %s", l.Rate.Observed, firstSet(l.Rate.Limit, "none")))
	if r := l.LastReply; r != nil {
		field("Last reply", r.words())
		field("", r.about(e))
	}
	for i := range l.Reasons {
		field(or(i == 0, "In force", ""), e.reason(&l.Reasons[i]))
	}
	if len(l.Destinations) > 0 {
		text := strings.Join(l.Destinations, ", ")
		if l.MoreDestinations > 0 {
			text += fmt.Sprintf(" and %d more", l.MoreDestinations)
		}
		field("Mail for", text)
	}
	_, err := io.WriteString(e.Stdout, b.String())
	return err
}

// fields returns a function that writes a line with a name.
func fields(b *strings.Builder) func(name, value string) {
	return func(name, value string) {
		if value != "" {
			fmt.Fprintf(b, "%-12s %s\n", name, clean(value))
		}
	}
}

// about is what a reply means and where it came from.
func (r *replyItem) about(e *Env) string {
	parts := []string{r.Class}
	if r.MX != "" {
		parts = append(parts, "from "+r.MX)
	}
	return strings.Join(append(parts, e.ago(r.At)), ", ")
}

func showDelivery(e *Env, o *clientFlags, c *client, id string) error {
	var d deliveryItem
	a, err := c.ask(context.Background(), "/deliveries/"+id, nil, &d)
	if err != nil {
		return hinted(err, "postroad messages ls")
	}
	switch o.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, a.raw)
	case forScripts:
		return plainLines(e, []string{d.State})
	}
	var b strings.Builder
	field := fields(&b)
	field("Delivery", d.ID)
	field("Recipient", d.Recipient)
	field("Domain", d.Domain+" (account "+d.Account+")")
	field("Tag", d.Tag)
	field("Lane", d.Lane)
	field("Pool", d.Pool)
	field("State", d.State+or(d.State == "due", "", ", next try in "+e.left(d.Due)))
	field("Accepted", e.when(d.Accepted)+", "+e.ago(d.Accepted))
	field("Gives up", e.when(d.Deadline)+", "+e.ago(d.Deadline))
	field("Tries", fmt.Sprint(d.Tries))
	if r := d.LastReply; r != nil {
		field("Last reply", r.words())
		field("", r.about(e))
	}
	field("Message", "postroad messages show "+d.Message)
	_, err = io.WriteString(e.Stdout, b.String())
	return err
}
