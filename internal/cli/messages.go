package cli

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// messageItem is a message as GET /v1/postroad/messages gives it.
type messageItem struct {
	ID         string          `json:"id"`
	MessageID  string          `json:"message-id"`
	StorageKey string          `json:"storage-key"`
	Created    time.Time       `json:"created"`
	Domain     string          `json:"domain"`
	From       string          `json:"from"`
	Subject    string          `json:"subject"`
	Tags       []string        `json:"tags"`
	Size       int64           `json:"size"`
	Recipients []recipientItem `json:"recipients"`
}

// recipientItem is where the copy of one recipient stands.
type recipientItem struct {
	Address  string        `json:"address"`
	Status   string        `json:"status"`
	NextTry  *time.Time    `json:"next-try,omitempty"`
	Timing   *timingItem   `json:"timing,omitempty"`
	Attempts []attemptItem `json:"attempts,omitempty"`
	Code     int           `json:"code,omitempty"`
	Message  string        `json:"message,omitempty"`
}

// timingItem is the time chosen for a recipient.
type timingItem struct {
	At     time.Time `json:"scheduled-for"`
	Reason string    `json:"reason"`
}

// attemptItem is one try to deliver it.
type attemptItem struct {
	Time     time.Time   `json:"time"`
	Status   *statusItem `json:"delivery-status"`
	Severity string      `json:"severity,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	SMTP     []string    `json:"smtp,omitempty"`
}

// statusItem is what came of an attempt.
type statusItem struct {
	TLS         *bool   `json:"tls"`
	Verified    *bool   `json:"certificate-verified"`
	MXHost      string  `json:"mx-host"`
	Code        int     `json:"code"`
	Message     string  `json:"message"`
	Description string  `json:"description"`
	Seconds     float64 `json:"session-seconds"`
	Attempt     int     `json:"attempt-no"`
}

const messagesPath = "/v1/postroad/messages"

// answerText is the receiving server's answer with its code, which many servers
// repeat in the text.
func answerText(code int, text string) string {
	number := strconv.Itoa(code)
	if code == 0 || strings.HasPrefix(text, number) {
		return text
	}
	return strings.TrimSpace(number + " " + text)
}

// final reports whether nothing more will happen to the recipient's copy, and
// whether it arrived. A state this program does not know is final: waiting for
// it to change could last for ever.
func (r *recipientItem) final() (done, arrived bool) {
	switch r.Status {
	case "accepted", "scheduled", "deferred":
		return false, false
	case "delivered", "captured", "complained":
		return true, true
	}
	return true, false
}

// to names the recipients in one cell.
func (m *messageItem) to() string {
	if len(m.Recipients) == 0 {
		return "-"
	}
	text := m.Recipients[0].Address
	if more := len(m.Recipients) - 1; more > 0 {
		text += fmt.Sprintf(" +%d", more)
	}
	return text
}

// state sums up the states of the recipients.
func (m *messageItem) state() string {
	counts := map[string]int{}
	var order []string
	for _, r := range m.Recipients {
		if counts[r.Status]++; counts[r.Status] == 1 {
			order = append(order, r.Status)
		}
	}
	if len(order) == 1 {
		return order[0]
	}
	slices.SortStableFunc(order, func(a, b string) int { return counts[b] - counts[a] })
	for i, s := range order {
		order[i] = fmt.Sprintf("%d %s", counts[s], s)
	}
	return strings.Join(order, ", ")
}

type listOptions struct {
	clientFlags
	domain, limit, before string
}

func listFlags() (*listOptions, *flagSet) {
	o, f := &listOptions{}, newFlags()
	f.text(&o.domain, "domain", "DOMAIN", "only messages of this sending domain")
	f.text(&o.limit, "limit", "N", "number of messages, 1 to 300 (default: 25)")
	f.text(&o.before, "before", "ID", "only messages older than this one of the list")
	o.add(f, "print only the ids, one per line")
	return o, f
}

func messagesListCommand() command {
	return command{name: "messages ls", aliases: []string{"messages list"}, summary: "list messages with the state of each recipient", args: []string{"[options]"},
		examples: []string{"messages ls", "messages ls --domain you.test --limit 100", "messages ls --json | jq '.items[] | .subject'"},
		options:  func() *flagSet { _, f := listFlags(); return f }, run: runMessagesList}
}

func (o *listOptions) path() (string, error) {
	q := url.Values{}
	if o.limit != "" {
		if n, err := strconv.Atoi(o.limit); err != nil || n < 1 || n > 300 {
			return "", usage("--limit: %q is not a number from 1 to 300", clean(o.limit))
		}
		q.Set("limit", o.limit)
	}
	if o.before != "" {
		if _, err := strconv.ParseUint(o.before, 10, 63); err != nil {
			return "", usage("--before: %q is not an id of the list", clean(o.before))
		}
		q.Set("before", o.before)
	}
	if o.domain != "" {
		q.Set("domain", o.domain)
	}
	if len(q) == 0 {
		return messagesPath, nil
	}
	return messagesPath + "?" + q.Encode(), nil
}

func runMessagesList(e *Env, args []string) error {
	o, f := listFlags()
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usage("unexpected argument %q", clean(rest[0])).try("postroad messages show " + clean(rest[0]))
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
		Items []messageItem `json:"items"`
		Next  string        `json:"next"`
	}
	a, err := c.get(context.Background(), path, &list)
	if err != nil {
		return err
	}
	return o.printList(e, a.raw, names(list.Items, func(m *messageItem) string { return m.ID }), func() error { return printMessages(e, list.Items, list.Next) })
}

func printMessages(e *Env, items []messageItem, next string) error {
	if len(items) == 0 {
		_, err := fmt.Fprintln(e.Stdout, "No messages. To send one: postroad send --help")
		return err
	}
	t := newTable("ID", "TIME", "STATUS", "TO", "SUBJECT").keep(0, 1)
	for _, m := range items {
		t.row(m.ID, e.when(m.Created), m.state(), m.to(), m.Subject)
	}
	if err := t.print(e.Stdout, e.width()); err != nil {
		return err
	}
	if next == "" {
		return nil
	}
	_, err := fmt.Fprintln(e.Stdout, "\nOlder: postroad messages ls --before", clean(next))
	return err
}
