package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const queuePath = "/v1/queue"

// laneItem is a lane as GET /v1/queue/lanes gives it.
type laneItem struct {
	Name    string `json:"name"`
	Site    string `json:"site"`
	Source  string `json:"source"`
	State   string `json:"state"`
	Queued  int64  `json:"queued"`
	Waiting struct {
		First    int   `json:"first"`
		Again    int   `json:"again"`
		Blocked  int   `json:"blocked"`
		Routing  int   `json:"routing"`
		InHand   int   `json:"in_hand"`
		Due      int64 `json:"due"`
		Deferred int64 `json:"deferred"`
	} `json:"waiting"`
	Sessions struct {
		Now     int `json:"now"`
		Allowed int `json:"allowed"`
		Most    int `json:"most"`
	} `json:"sessions"`
	Rate struct {
		Limit    string  `json:"limit"`
		Observed float64 `json:"observed"`
	} `json:"rate"`
	Oldest           time.Time    `json:"oldest"`
	NextDue          time.Time    `json:"next_due"`
	LastReply        *replyItem   `json:"last_reply"`
	Reasons          []reasonItem `json:"reasons"`
	Destinations     []string     `json:"destinations"`
	MoreDestinations int          `json:"more_destinations"`
}

type replyItem struct {
	Code     int       `json:"code"`
	Enhanced string    `json:"enhanced"`
	Text     string    `json:"text"`
	Class    string    `json:"class"`
	MX       string    `json:"mx"`
	At       time.Time `json:"at"`
}

type reasonItem struct {
	What   string    `json:"what"`
	Effect string    `json:"effect"`
	Reason string    `json:"reason"`
	Origin string    `json:"origin"`
	Rule   string    `json:"rule"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Limits bool      `json:"limits"`
}

// deliveryItem is an unfinished delivery.
type deliveryItem struct {
	ID          string     `json:"id"`
	Message     string     `json:"message"`
	Account     string     `json:"account"`
	Domain      string     `json:"domain"`
	Recipient   string     `json:"recipient"`
	Destination string     `json:"destination"`
	Tag         string     `json:"tag"`
	Pool        string     `json:"pool"`
	Lane        string     `json:"lane"`
	State       string     `json:"state"`
	Accepted    time.Time  `json:"accepted"`
	Due         time.Time  `json:"due"`
	Deadline    time.Time  `json:"deadline"`
	Tries       int        `json:"tries"`
	LastReply   *replyItem `json:"last_reply"`
}

// words is a reply in one cell.
func (r *replyItem) words() string {
	if r == nil {
		return "-"
	}
	text := r.Text
	if r.Enhanced != "" && !strings.Contains(text, r.Enhanced) {
		text = r.Enhanced + " " + text
	}
	return firstSet(answerText(r.Code, text), "-")
}

// selection are the options that choose deliveries.
type selection struct {
	lane, destination, domain, account, tag, recipient, message string
}

func (s *selection) add(f *flagSet) {
	f.text(&s.lane, "lane", "LANE", "only of this lane, as postroad queue ls names it")
	f.text(&s.destination, "destination", "DOMAIN", "only to this recipient domain")
	f.text(&s.domain, "domain", "DOMAIN", "only from this sending domain")
	f.text(&s.account, "account", "ID", "only of this sending account")
	f.text(&s.tag, "tag", "TAG", "only with this first tag")
	f.text(&s.recipient, "recipient", "ADDRESS", "only to this address")
	f.text(&s.message, "message", "ID", "only of this message: id, Message-ID or storage key")
}

func (s *selection) empty() bool { return *s == selection{} }

// pairs are the options that were given, by their names in the API.
func (s *selection) pairs() [][2]string {
	var out [][2]string
	for _, p := range [...][2]string{{"lane", s.lane}, {"destination", s.destination}, {"domain", s.domain}, {"account", s.account}, {"tag", s.tag},
		{"recipient", s.recipient}, {"message", strings.Trim(s.message, "<>")}} {
		if p[1] != "" {
			out = append(out, p)
		}
	}
	return out
}

func (s *selection) query() url.Values {
	q := url.Values{}
	for _, p := range s.pairs() {
		q.Set(p[0], p[1])
	}
	return q
}

// String says in words what is chosen.
func (s *selection) String() string {
	var parts []string
	for _, p := range s.pairs() {
		parts = append(parts, p[0]+" "+p[1])
	}
	return strings.Join(parts, ", ")
}

// patience of a call that may change a million deliveries; it is the server's.
const orderTimeout = 10 * time.Minute

// order posts a document to the queue.
func (c *client) order(ctx context.Context, verb string, doc map[string]any, out any) (*answer, error) {
	body, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	if t, ok := c.http.Transport.(*http.Transport); ok {
		t.ResponseHeaderTimeout = orderTimeout
	}
	a, err := c.call(ctx, request{method: http.MethodPost, path: queuePath + "/" + verb, header: map[string]string{"Content-Type": "application/json"},
		body: bytes.NewReader(body), size: int64(len(body))}, out)
	return a, queueRefused(err)
}

// ask gets a document of the queue.
func (c *client) ask(ctx context.Context, path string, q url.Values, out any) (*answer, error) {
	path = queuePath + path
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	a, err := c.get(ctx, path, out)
	return a, queueRefused(err)
}

// queueRefused says what a refused key means here: the queue is the
// administrators'.
func queueRefused(err error) error {
	f := asFailureOrNil(err)
	switch {
	case f == nil:
		return nil
	case f.code == "http_403":
		f.status, f.code = exitAuth, "forbidden"
		return f.try("give a key of the installation's first account with --key or " + envKey)
	case f.code == "unauthorized" && strings.HasPrefix(f.cause, "no such key"):
		f.cause = "no such key, or its role is not admin"
	}
	return err
}

// short writes a duration in its largest unit, without a blank: 3m.
func short(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// age is how old something of a time is, "-" without one.
func (e *Env) age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return short(e.clock().Now().Sub(t))
}

// left is how long until a time, "-" without one, "now" when it is over.
func (e *Env) left(t time.Time) string {
	d := t.Sub(e.clock().Now()).Round(time.Second)
	switch {
	case t.IsZero():
		return "-"
	case d <= 0:
		return "now"
	}
	return short(d)
}

// printList prints what a command lists: the server's answer for programs, the names
// for scripts, a table for people.
func (c *clientFlags) printList(e *Env, raw json.RawMessage, names []string, table func() error) error {
	switch c.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, raw)
	case forScripts:
		return plainLines(e, names)
	}
	return table()
}

func names[T any](items []T, of func(*T) string) []string {
	out := make([]string, 0, len(items))
	for i := range items {
		out = append(out, of(&items[i]))
	}
	return out
}

// plainLines prints one text per line.
func plainLines(e *Env, lines []string) error {
	var b strings.Builder
	for _, s := range lines {
		b.WriteString(clean(s) + "\n")
	}
	_, err := fmt.Fprint(e.Stdout, b.String())
	return err
}
