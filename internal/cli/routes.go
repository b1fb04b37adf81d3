package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// routeItem is a route as GET /v3/routes gives it.
type routeItem struct {
	ID          string   `json:"id"`
	Priority    int64    `json:"priority"`
	Description string   `json:"description"`
	Expression  string   `json:"expression"`
	Actions     []string `json:"actions"`
}

type routesListOptions struct {
	clientFlags
	limit, skip string
}

func routesListFlags() (*routesListOptions, *flagSet) {
	o, f := &routesListOptions{}, newFlags()
	f.text(&o.limit, "limit", "N", "number of routes, 1 to 1000 (default: 100)")
	f.text(&o.skip, "skip", "N", "leave out this many at the beginning")
	o.add(f, "print only the ids, one per line")
	return o, f
}

func routesListCommand() command {
	return command{name: "routes ls", aliases: []string{"routes list"}, summary: "list the rules for inbound mail in the order they are looked at", args: []string{"[options]"},
		examples: []string{"routes ls", "routes ls --json | jq '.items[] | .expression'"},
		options:  func() *flagSet { _, f := routesListFlags(); return f }, run: runRoutesList}
}

func (o *routesListOptions) path() (string, error) {
	q := url.Values{"limit": {firstSet(o.limit, "100")}, "skip": {firstSet(o.skip, "0")}}
	if n, err := strconv.Atoi(q.Get("limit")); err != nil || n < 1 || n > 1000 {
		return "", usage("--limit: %q is not a number from 1 to 1000", clean(o.limit))
	}
	if _, err := strconv.ParseUint(q.Get("skip"), 10, 31); err != nil {
		return "", usage("--skip: %q is not a number", clean(o.skip))
	}
	return "/v3/routes?" + q.Encode(), nil
}

func runRoutesList(e *Env, args []string) error {
	o, f := routesListFlags()
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usage("unexpected argument %q", clean(rest[0])).try("postroad routes test --recipient " + clean(rest[0]))
	}
	path, err := o.path()
	if err != nil {
		return err
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	var list struct {
		Items []routeItem `json:"items"`
		Total int         `json:"total_count"`
	}
	a, err := c.get(context.Background(), path, &list)
	if err != nil {
		return err
	}
	return o.printList(e, a.raw, names(list.Items, func(r *routeItem) string { return r.ID }), func() error { return printRoutes(e, list.Items, list.Total) })
}

func printRoutes(e *Env, items []routeItem, total int) error {
	if len(items) == 0 {
		_, err := fmt.Fprintln(e.Stdout, "No routes.")
		return err
	}
	t := newTable("ID", "PRIORITY", "EXPRESSION", "ACTIONS", "DESCRIPTION").keep(0).numbers(1)
	for _, r := range items {
		t.row(r.ID, strconv.FormatInt(r.Priority, 10), r.Expression, firstSet(strings.Join(r.Actions, " "), "-"), r.Description)
	}
	if err := t.print(e.Stdout, e.width()); err != nil || len(items) >= total {
		return err
	}
	_, err := fmt.Fprintf(e.Stdout, "\n%d of %d routes. More: postroad routes ls --limit N --skip N\n", len(items), total)
	return err
}

type routesTestOptions struct {
	clientFlags
	recipient string
	header    []string
}

func routesTestFlags() (*routesTestOptions, *flagSet) {
	o, f := &routesTestOptions{}, newFlags()
	f.text(&o.recipient, "recipient", "ADDRESS", "to whom the message would be")
	f.list(&o.header, "header", "'NAME: TEXT'", "header field of the message; may be given more than once")
	o.add(f, "print only the ids of the routes that match, one per line")
	return o, f
}

func routesTestCommand() command {
	return command{name: "routes test", summary: "say which routes a message would match, what they would do, and why others do not", args: []string{"--recipient ADDRESS [options]"},
		notes:    "Nothing is sent or stored. A field that is not given is one the message does not have.\n",
		examples: []string{"routes test --recipient help@example.com", "routes test --recipient help@example.com --header 'Subject: urgent' --header 'From: jane@example.net'"},
		options:  func() *flagSet { _, f := routesTestFlags(); return f }, run: runRoutesTest}
}

// triedRoutes is the answer of POST /v1/postroad/routes/test.
type triedRoutes struct {
	Recipient string `json:"recipient"`
	Accepted  bool   `json:"accepted"`
	Routes    []struct {
		routeItem
		Matches bool   `json:"matches"`
		Reason  string `json:"reason"`
		Actions []struct {
			Action      string `json:"action"`
			Destination string `json:"destination"`
			Problem     string `json:"problem"`
		} `json:"actions"`
	} `json:"routes"`
}

func runRoutesTest(e *Env, args []string) error {
	o, f := routesTestFlags()
	rest, err := o.parse(e, f, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return usage("unexpected argument %q", clean(rest[0])).try("postroad routes test --recipient " + clean(rest[0]))
	case o.recipient == "":
		return usage("--recipient is missing")
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"recipient": o.recipient, "header": append([]string{}, o.header...)})
	if err != nil {
		return err
	}
	var out triedRoutes
	a, err := c.call(context.Background(), request{method: http.MethodPost, path: "/v1/postroad/routes/test",
		header: map[string]string{"Content-Type": "application/json"}, body: bytes.NewReader(body), size: int64(len(body))}, &out)
	if err != nil {
		return err
	}
	switch o.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, a.raw)
	case forScripts:
		var ids []string
		for _, r := range out.Routes {
			if r.Matches {
				ids = append(ids, r.ID)
			}
		}
		return plainLines(e, ids)
	}
	return plainLines(e, out.lines())
}

// lines is the answer as people read it.
func (t *triedRoutes) lines() []string {
	out := []string{"Mail for " + t.Recipient + " would be refused: no route could match it."}
	if t.Accepted {
		out[0] = "Mail for " + t.Recipient + " would be taken."
	}
	for _, r := range t.Routes {
		verdict := "no  "
		if r.Matches {
			verdict = "yes "
		}
		out = append(out, "", fmt.Sprintf("%s %s  priority %d  %s", verdict, r.ID, r.Priority, r.Expression))
		if r.Description != "" {
			out = append(out, "     ("+r.Description+")")
		}
		if !r.Matches {
			out = append(out, "     "+r.Reason)
		}
		for _, a := range r.Actions {
			line := strings.TrimRight("     "+a.Action+" "+a.Destination, " ")
			if a.Problem != "" {
				line += " is not possible: " + a.Problem
			}
			out = append(out, line)
		}
	}
	return out
}
