package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load describes requests to POST /v3/{domain}/messages.
//
// The client is a loop over one connection that writes prepared bytes and
// reads the answer: a full HTTP client would take as much of a small machine's
// processors as the server it measures.
type load struct {
	addr        string // host:port
	domain      string
	key         string
	messages    int
	connections int
	size        int               // of the text part in bytes
	fields      map[string]string // further fields, as o:dkim
	rigIDs      bool              // name each message in rigHeader
	idempotent  bool              // send the rig id as Idempotency-Key
	first       int               // number of the first message

	// enough ends the load between two requests when it becomes true; nil for
	// never. What was sent by then is answered and counted.
	enough *atomic.Bool

	// acked is told the rig id and the Message-Id of each accepted message,
	// unless nil. It is called from many goroutines.
	acked func(rigID, messageID string)
}

// loadResult is what a load saw.
type loadResult struct {
	Accepted int           `json:"accepted"`
	Failed   int           `json:"failed"`
	Seconds  float64       `json:"seconds"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	Error    string        `json:"error,omitempty"` // the first
}

func (r loadResult) perSecond() float64 { return float64(r.Accepted) / r.Seconds }

const boundary = "rig5c1e8f6a0b7d4e2f"

// body is a text of n bytes in lines of a length that needs no encoding.
func body(n int) string {
	const line = "The quick brown fox jumps over the lazy dog, 0123456789 times in a row.\r\n"
	return strings.Repeat(line, n/len(line)+1)[:n-2] + "\r\n"
}

// request is a prepared request whose varying parts are filled in per message.
type request struct {
	head       []byte // of the HTTP header
	fixed      []byte // parts of the body that are the same in every message
	idempotent bool
	rigIDs     bool
	buf, body  bytes.Buffer
}

func (l *load) prepare() *request {
	r := &request{idempotent: l.idempotent, rigIDs: l.rigIDs}
	var fixed bytes.Buffer
	part(&fixed, "from", "Rig <rig@"+l.domain+">")
	part(&fixed, "subject", "A message of the rig")
	part(&fixed, "text", body(l.size))
	for _, name := range slices.Sorted(maps.Keys(l.fields)) {
		part(&fixed, name, l.fields[name])
	}
	r.fixed = fixed.Bytes()
	auth := base64.StdEncoding.EncodeToString([]byte("api:" + l.key))
	r.head = fmt.Appendf(nil, "POST /v3/%s/messages HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\n"+
		"Content-Type: multipart/form-data; boundary=%s\r\n", l.domain, l.addr, auth, boundary)
	return r
}

func part(b io.Writer, name, value string) {
	fmt.Fprintf(b, "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n", boundary, name, value)
}

// bytes returns the request for message n; it is valid until the next call.
func (r *request) bytes(n int) []byte {
	r.body.Reset()
	part(&r.body, "to", "user"+strconv.Itoa(n)+"@sink.example")
	if r.rigIDs {
		part(&r.body, "h:"+rigHeader, rigID(n))
	}
	r.body.Write(r.fixed)
	r.body.WriteString("--" + boundary + "--\r\n")
	r.buf.Reset()
	r.buf.Write(r.head)
	if r.idempotent {
		r.buf.WriteString("Idempotency-Key: " + rigID(n) + "\r\n")
	}
	r.buf.WriteString("Content-Length: " + strconv.Itoa(r.body.Len()) + "\r\n\r\n")
	r.buf.Write(r.body.Bytes())
	return r.buf.Bytes()
}

func rigID(n int) string { return "rig-" + strconv.Itoa(n) }

// run sends the messages and returns when each was answered, failed, or ctx
// ended. A connection that breaks ends its share of the work.
func (l *load) run(ctx context.Context) loadResult {
	var (
		next      atomic.Int64
		mu        sync.Mutex
		latencies []time.Duration
		result    loadResult
		wg        sync.WaitGroup
	)
	start := time.Now()
	for range l.connections {
		wg.Go(func() {
			own, failed, err := l.connection(ctx, &next)
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, own...)
			result.Failed += failed
			if err != nil && result.Error == "" {
				result.Error = err.Error()
			}
		})
	}
	wg.Wait()
	result.Seconds = time.Since(start).Seconds()
	result.Accepted = len(latencies)
	result.P50, result.P99 = percentiles(latencies)
	return result
}

// percentiles returns the 50th and the 99th, 0 of an empty list. It sorts.
func percentiles(list []time.Duration) (p50, p99 time.Duration) {
	n := len(list)
	if n == 0 {
		return 0, 0
	}
	slices.Sort(list)
	return list[n/2], list[n*99/100]
}

// connection sends until the numbers run out and returns the latency of each
// accepted message.
func (l *load) connection(ctx context.Context, next *atomic.Int64) (took []time.Duration, failed int, err error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	c, err := dialer.DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	r, in := l.prepare(), bufio.NewReaderSize(c, 4<<10)
	for {
		n := int(next.Add(1)) - 1
		if n >= l.messages || ctx.Err() != nil || l.enough != nil && l.enough.Load() {
			return took, failed, nil
		}
		n += l.first
		start := time.Now()
		if _, err := c.Write(r.bytes(n)); err != nil {
			return took, failed + 1, err
		}
		id, err := readAnswer(in)
		if err != nil {
			return took, failed + 1, err
		}
		took = append(took, time.Since(start))
		if l.acked != nil {
			l.acked(rigID(n), id)
		}
	}
}

// readAnswer returns the Message-Id of an accepted message.
func readAnswer(in *bufio.Reader) (string, error) {
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(text))
	}
	var doc struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return "", fmt.Errorf("answer %q: %w", text, err)
	}
	return strings.Trim(doc.ID, "<>"), nil
}

func defineLoad(f *flag.FlagSet) func(context.Context) error {
	var l load
	base := f.String("url", "http://127.0.0.1:8025", "base URL of the server")
	f.StringVar(&l.domain, "domain", "example.com", "sending domain")
	f.StringVar(&l.key, "key", "key-rig", "API key")
	f.IntVar(&l.messages, "messages", 10000, "number of messages")
	f.IntVar(&l.connections, "connections", 64, "connections")
	f.IntVar(&l.size, "size", 10240, "bytes of text in each message")
	dkim := f.Bool("dkim", true, "let the server sign")
	return func(ctx context.Context) error {
		u, err := url.Parse(*base)
		if err != nil {
			return err
		}
		if u.Scheme != "http" || u.Port() == "" {
			return errors.New("--url must be http://HOST:PORT")
		}
		l.addr = u.Host
		l.fields = dkimField(*dkim)
		r := l.run(ctx)
		fmt.Printf("%d accepted in %.1f s: %.0f/s, p50 %s, p99 %s, %d failed %s\n", r.Accepted, r.Seconds, r.perSecond(),
			r.P50.Round(10*time.Microsecond), r.P99.Round(10*time.Microsecond), r.Failed, r.Error)
		if r.Accepted < l.messages {
			return fmt.Errorf("%d of %d messages were not accepted", l.messages-r.Accepted, l.messages)
		}
		return nil
	}
}

func dkimField(on bool) map[string]string {
	if on {
		return nil
	}
	return map[string]string{"o:dkim": "no"}
}
