package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type traceOptions struct {
	clientFlags
	lane, destination, domain, message, lines string
}

func traceFlags() (*traceOptions, *flagSet) {
	o, f := &traceOptions{}, newFlags()
	f.text(&o.lane, "lane", "LANE", "only this lane, or all lanes of this site")
	f.text(&o.destination, "destination", "DOMAIN", "only transactions for this recipient domain")
	f.text(&o.domain, "domain", "DOMAIN", "only messages of this sending domain")
	f.text(&o.message, "message", "ID", "only this message: id, Message-ID or storage key")
	f.text(&o.lines, "lines", "N", "end after this many lines (default: never)")
	o.add(f, "print only what was said, without time, lane and message")
	return o, f
}

func traceCommand() command {
	return command{name: "trace", summary: "watch SMTP conversations as they happen", args: []string{"[options]"},
		notes: "Each line: time, lane, message, > (we said), < (they said) or - (a remark), text. Logins and\n" +
			"contents of messages are not shown. Ctrl-C ends it. With --json there is one JSON document\n" +
			"per line.\n",
		examples: []string{"trace", "trace --destination gmail.com", "trace --message 8461312", "trace --json --lines 100 > conversations.jsonl"},
		options:  func() *flagSet { _, f := traceFlags(); return f }, run: runTrace}
}

// traceItem is the data of one event of GET /v1/queue/trace.
type traceItem struct {
	At        time.Time `json:"at"`
	Lane      string    `json:"lane"`
	Message   string    `json:"message"`
	Direction string    `json:"direction"`
	Text      string    `json:"text"`
}

// errEnough ends a stream.
var errEnough = errors.New("enough lines")

func runTrace(e *Env, args []string) error {
	o, f := traceFlags()
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usage("unexpected argument %q", clean(rest[0])).try("postroad trace --destination " + clean(rest[0]))
	}
	left := -1
	if o.lines != "" {
		if left, err = strconv.Atoi(o.lines); err != nil || left < 1 {
			return usage("--lines: %q is not a number above 0", clean(o.lines))
		}
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	q := (&selection{lane: o.lane, destination: o.destination, domain: o.domain, message: o.message}).query()
	ctx, stop := interruptible()
	defer stop()
	how := o.form(e)
	err = c.stream(ctx, queuePath+"/trace?"+q.Encode(), func() {
		if how == forPeople {
			fmt.Fprintln(e.Stderr, "Watching", c.base+". Ctrl-C ends.")
		}
	}, func(data []byte) error {
		if err := printTrace(e, how, data); err != nil {
			return err
		}
		if left--; left == 0 {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil
	}
	return err
}

// laneColumn is how many columns of a lane's name a trace shows, its end.
const laneColumn = 28

func printTrace(e *Env, how form, data []byte) error {
	if how == forPrograms {
		_, err := e.Stdout.Write(append(bytes.TrimSpace(data), '\n'))
		return err
	}
	var l traceItem
	if err := json.Unmarshal(data, &l); err != nil {
		return failed("a line of the stream is not what this program expects")
	}
	text := l.Direction + " " + clean(l.Text)
	if how == forPeople {
		lane := cutFront(clean(l.Lane), laneColumn)
		text = fmt.Sprintf("%s  %s%s  %-19s %s", l.At.In(e.zone()).Format("15:04:05.000"), lane, strings.Repeat(" ", max(0, laneColumn-textWidth(lane))),
			firstSet(clean(l.Message), "-"), text)
	}
	_, err := fmt.Fprintln(e.Stdout, text)
	return err
}

// maxEvent bounds one line of a stream.
const maxEvent = 1 << 20

// stream follows server-sent events until one of them, ctx or the server ends
// it. begun is called when the server has agreed.
func (c *client) stream(ctx context.Context, path string, begun func(), each func(data []byte) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+strings.TrimSuffix(path, "?"), nil)
	if err != nil {
		return usage("%v", err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("User-Agent", "postroad-cli")
	req.SetBasicAuth("api", c.key)
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if err != nil {
			return c.unreachable(err)
		}
		return queueRefused(c.refused(res, body))
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return c.stranger("its answer is not what this program expects")
	}
	begun()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			if err := each(data); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return c.unreachable(&url.Error{Op: "Get", URL: c.base, Err: err})
	}
	return failed("the server ended the stream").try("the same command again")
}
