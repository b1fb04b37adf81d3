package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// suppressionOptions are those of every command about suppressions.
type suppressionOptions struct {
	clientFlags
	domain, list             string
	limit, term, after       string // of ls
	tag, code, reason, since string // of add; tag of rm and why as well
	wait                     bool   // of import
}

func (o *suppressionOptions) flags(quiet string, define func(*flagSet)) *flagSet {
	f := newFlags()
	f.text(&o.domain, "domain", "DOMAIN", "the sending domain")
	define(f)
	o.add(f, quiet)
	return f
}

func (o *suppressionOptions) listFlag(f *flagSet) {
	f.text(&o.list, "list", "LIST", "bounces, complaints, unsubscribes or allowlist")
}

// parseAll reads the arguments of a command and checks what all need.
func (o *suppressionOptions) parseAll(e *Env, f *flagSet, args []string, withList bool) (rest []string, err error) {
	if rest, err = o.parse(e, f, args); err != nil {
		return nil, err
	}
	if o.domain == "" {
		return nil, usage("--domain is missing")
	}
	if withList && o.path() == "" {
		if o.list == "" {
			return nil, usage("--list is missing: bounces, complaints, unsubscribes or allowlist")
		}
		return nil, usage("--list: %q is none of bounces, complaints, unsubscribes, allowlist", clean(o.list))
	}
	return rest, nil
}

// path is the list's path, "" if there is no such list.
func (o *suppressionOptions) path() string {
	list := o.list
	switch list {
	case "allowlist":
		list = "whitelists"
	case "bounces", "complaints", "unsubscribes", "whitelists":
	default:
		return ""
	}
	return "/v3/" + url.PathEscape(o.domain) + "/" + list
}

func (o *suppressionOptions) lsFlags() *flagSet {
	return o.flags("print only the addresses, one per line", func(f *flagSet) {
		o.listFlag(f)
		f.text(&o.limit, "limit", "N", "number of entries, 1 to 1000 (default: 100)")
		f.text(&o.term, "term", "TEXT", "only addresses that begin with this")
		f.text(&o.after, "after", "ADDRESS", "only addresses behind this one, which the list ended with")
	})
}

func suppressionsListCommand() command {
	return command{name: "suppressions ls", aliases: []string{"suppressions list"}, summary: "list the addresses a domain does not send to, or its allowlist", args: []string{"--domain DOMAIN --list LIST [options]"},
		examples: []string{"suppressions ls --domain you.test --list bounces", "suppressions ls --domain you.test --list unsubscribes --term jane"},
		options:  func() *flagSet { return (&suppressionOptions{}).lsFlags() }, run: runSuppressionsList}
}

// suppressionItem is an entry of any list.
type suppressionItem struct {
	Address   string   `json:"address"`
	Value     string   `json:"value"` // of the allowlist
	Code      string   `json:"code"`
	Error     string   `json:"error"`
	Reason    string   `json:"reason"`
	Tags      []string `json:"tags"`
	CreatedAt string   `json:"created_at"`
	Created   string   `json:"createdAt"` // of the allowlist
}

func (i *suppressionItem) name() string { return firstSet(i.Address, i.Value) }

// since is when it was listed, as the lists write times.
func (i *suppressionItem) since(e *Env) string {
	t, err := time.Parse(time.RFC1123, firstSet(i.CreatedAt, i.Created))
	if err != nil {
		return "-"
	}
	return e.when(t)
}

func (i *suppressionItem) detail() string {
	return firstSet(strings.Join(i.Tags, ", "), strings.TrimSpace(i.Code+" "+firstSet(i.Error, i.Reason)), "-")
}

func runSuppressionsList(e *Env, args []string) error {
	o := &suppressionOptions{}
	rest, err := o.parseAll(e, o.lsFlags(), args, true)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usage("unexpected argument %q", clean(rest[0])).try("postroad suppressions why --domain " + clean(o.domain) + " " + clean(rest[0]))
	}
	q := url.Values{"limit": {firstSet(o.limit, "100")}, "term": {o.term}}
	if n, err := strconv.Atoi(q.Get("limit")); err != nil || n < 1 || n > 1000 {
		return usage("--limit: %q is not a number from 1 to 1000", clean(o.limit))
	}
	if o.after != "" {
		q.Set("page", "next")
		q.Set("address", o.after)
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	var list struct {
		Items []suppressionItem `json:"items"`
	}
	a, err := c.get(context.Background(), o.path()+"?"+q.Encode(), &list)
	if err != nil {
		return err
	}
	return o.printList(e, a.raw, names(list.Items, func(i *suppressionItem) string { return i.name() }), func() error {
		return o.printEntries(e, list.Items, q.Get("limit"))
	})
}

func (o *suppressionOptions) printEntries(e *Env, items []suppressionItem, limit string) error {
	if len(items) == 0 {
		_, err := fmt.Fprintln(e.Stdout, "No entries.")
		return err
	}
	t := newTable("ADDRESS", "SINCE", "DETAIL").keep(0, 1)
	for i := range items {
		t.row(items[i].name(), items[i].since(e), items[i].detail())
	}
	if err := t.print(e.Stdout, e.width()); err != nil || strconv.Itoa(len(items)) != limit {
		return err
	}
	_, err := fmt.Fprintln(e.Stdout, "\nMore: the same with --after", clean(items[len(items)-1].name()))
	return err
}

func (o *suppressionOptions) addFlags() *flagSet {
	return o.flags("print only the addresses, one per line", func(f *flagSet) {
		o.listFlag(f)
		f.text(&o.tag, "tag", "TAG", "of an unsubscribe: only mail with this tag (default: all mail)")
		f.text(&o.code, "code", "CODE", "of a bounce: the reply code (default: 550)")
		f.text(&o.reason, "reason", "TEXT", "of a bounce: the reply; of the allowlist: why")
		f.text(&o.since, "since", "DATE", "when it happened (default: now)")
	})
}

func suppressionsAddCommand() command {
	return command{name: "suppressions add", summary: "put addresses on a list", args: []string{"--domain DOMAIN --list LIST [options] ADDRESS..."},
		notes:    "All are added or none. The allowlist takes domains as well.\n",
		examples: []string{"suppressions add --domain you.test --list unsubscribes jane@example.com", "suppressions add --domain you.test --list allowlist --reason 'our own' example.org"},
		options:  func() *flagSet { return (&suppressionOptions{}).addFlags() }, run: runSuppressionsAdd}
}

// record is an address as the API takes it.
func (o *suppressionOptions) record(address string) map[string]any {
	r := map[string]any{"address": address}
	if strings.HasSuffix(o.path(), "/whitelists") && !strings.Contains(address, "@") {
		r = map[string]any{"domain": address}
	}
	for name, v := range map[string]string{"code": o.code, "error": o.reason, "reason": o.reason, "created_at": o.since} {
		if v != "" {
			r[name] = v
		}
	}
	if o.tag != "" {
		r["tags"] = []string{o.tag}
	}
	return r
}

func runSuppressionsAdd(e *Env, args []string) error {
	o := &suppressionOptions{}
	rest, err := o.parseAll(e, o.addFlags(), args, true)
	if err != nil {
		return err
	}
	if len(rest) == 0 || len(rest) > 1000 {
		return usage("give 1 to 1000 addresses; for more: postroad suppressions import").try("postroad suppressions add --help")
	}
	list := make([]map[string]any, len(rest))
	for i, address := range rest {
		list[i] = o.record(address)
	}
	body, err := json.Marshal(list)
	if err != nil {
		return err
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	var out struct{ Message string }
	a, err := c.call(context.Background(), request{method: http.MethodPost, path: o.path(), body: bytes.NewReader(body), size: int64(len(body)),
		header: map[string]string{"Content-Type": "application/json"}}, &out)
	if err != nil {
		return err
	}
	return o.printList(e, a.raw, rest, func() error { return plainLines(e, []string{out.Message}) })
}

func (o *suppressionOptions) rmFlags() *flagSet {
	return o.flags("print only the addresses, one per line", func(f *flagSet) {
		o.listFlag(f)
		f.text(&o.tag, "tag", "TAG", "of an unsubscribe: remove only this tag")
	})
}

func suppressionsRemoveCommand() command {
	return command{name: "suppressions rm", aliases: []string{"suppressions remove"}, summary: "take addresses off a list", args: []string{"--domain DOMAIN --list LIST [options] ADDRESS..."},
		notes:    "They are removed one after the other, up to one that is not on the list.\n",
		examples: []string{"suppressions rm --domain you.test --list bounces jane@example.com"},
		options:  func() *flagSet { return (&suppressionOptions{}).rmFlags() }, run: runSuppressionsRemove}
}

func runSuppressionsRemove(e *Env, args []string) error {
	o := &suppressionOptions{}
	rest, err := o.parseAll(e, o.rmFlags(), args, true)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return usage("give the addresses to remove").try("postroad suppressions ls --domain " + clean(o.domain) + " --list " + clean(o.list))
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	query := ""
	if o.tag != "" {
		query = "?" + url.Values{"tag": {o.tag}}.Encode()
	}
	for _, address := range rest {
		var out struct{ Message string }
		a, err := c.call(context.Background(), request{method: http.MethodDelete, path: o.path() + "/" + url.PathEscape(address) + query}, &out)
		if err != nil {
			return err
		}
		if err := o.printList(e, a.raw, []string{address}, func() error { return plainLines(e, []string{address + ": " + out.Message}) }); err != nil {
			return err
		}
	}
	return nil
}

func (o *suppressionOptions) whyFlags() *flagSet {
	return o.flags("print only the lists the address is on, one per line", func(f *flagSet) {
		f.text(&o.tag, "tag", "TAG", "ask about a message with this tag")
	})
}

func suppressionsWhyCommand() command {
	return command{name: "suppressions why", summary: "say why a domain does not send to an address, and which message caused it", args: []string{"--domain DOMAIN [options] ADDRESS"},
		examples: []string{"suppressions why --domain you.test jane@example.com"},
		options:  func() *flagSet { return (&suppressionOptions{}).whyFlags() }, run: runSuppressionsWhy}
}

// whyDoc is the answer of GET /v1/postroad/domains/{domain}/suppressions/{address}.
type whyDoc struct {
	Address    string `json:"address"`
	Suppressed bool   `json:"suppressed"`
	Code       int    `json:"code"`
	Reason     string `json:"reason"`
	Items      []struct {
		List    string    `json:"list"`
		Value   string    `json:"value"`
		Since   time.Time `json:"since"`
		Tag     string    `json:"tag"`
		Because string    `json:"because"`
		Means   string    `json:"means"`
		Cause   struct {
			EventID   string `json:"event-id"`
			MessageID string `json:"message-id"`
			Message   string `json:"message"`
			Subject   string `json:"subject"`
			Import    string `json:"import-id"`
		} `json:"cause"`
	} `json:"items"`
}

func runSuppressionsWhy(e *Env, args []string) error {
	o := &suppressionOptions{}
	rest, err := o.parseAll(e, o.whyFlags(), args, false)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usage("give one address")
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	path := "/v1/postroad/domains/" + url.PathEscape(o.domain) + "/suppressions/" + url.PathEscape(rest[0])
	if o.tag != "" {
		path += "?" + url.Values{"tag": {o.tag}}.Encode()
	}
	var doc whyDoc
	a, err := c.get(context.Background(), path, &doc)
	if err != nil {
		return err
	}
	var on []string
	for _, it := range doc.Items {
		if !slices.Contains(on, it.List) {
			on = append(on, it.List)
		}
	}
	return o.printList(e, a.raw, on, func() error { return plainLines(e, doc.lines(e)) })
}

// lines is the answer as people read it.
func (d *whyDoc) lines(e *Env) []string {
	out := []string{"Mail to " + d.Address + " is sent: it is on no list that keeps it back."}
	if d.Suppressed {
		out[0] = fmt.Sprintf("Mail to %s is not sent; it fails with code %d, %s.", d.Address, d.Code, d.Reason)
	}
	for _, it := range d.Items {
		head := it.List + ", since " + e.when(it.Since) + ": " + it.Because
		if it.Value != d.Address {
			head = it.List + " (" + it.Value + "), since " + e.when(it.Since) + ": " + it.Because
		}
		out = append(out, "", head, "  "+it.Means)
		c := &it.Cause
		for _, p := range [][2]string{{"subject", c.Subject}, {"Message-ID", c.MessageID}, {"message", c.Message}, {"event", c.EventID}, {"import", c.Import}} {
			if p[1] != "" {
				out = append(out, fmt.Sprintf("  %-11s %s", p[0], p[1]))
			}
		}
	}
	return out
}
