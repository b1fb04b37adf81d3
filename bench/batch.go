package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// batch measures one request for many recipients with recipient-variables:
// how long the server takes to accept it, and how fast the personalised copies
// arrive, beside single messages through the same server.
type batch struct {
	target
	posts, recipients, singles, size int
	dkim, out                        string
}

func defineBatch(f *flag.FlagSet) func(context.Context) error {
	var b batch
	b.target.define(f)
	f.IntVar(&b.posts, "posts", 20, "requests; a quarter of them where it signs")
	f.IntVar(&b.recipients, "recipients", 1000, "recipients of each")
	f.IntVar(&b.singles, "singles", 4000, "single messages to compare with; a quarter of them where it signs")
	f.IntVar(&b.size, "size", 10240, "bytes of text in each message")
	f.StringVar(&b.dkim, "dkim", "both", "on, off or both")
	f.StringVar(&b.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error { return single(ctx, b.out, b.run) }
}

const kindBatch = "batch"

func (b *batch) run(ctx context.Context, r *report) error {
	signs, ok := map[string][]bool{"both": {false, true}, "on": {true}, "off": {false}}[b.dkim]
	if !ok {
		return errors.New("--dkim must be on, off or both")
	}
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	binary, err := b.resolve(ctx, dir)
	if err != nil {
		return err
	}
	for _, sign := range signs {
		if err := b.one(ctx, r, binary, dir, sign); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) one(ctx context.Context, r *report, binary, dir string, sign bool) error {
	own := filepath.Join(dir, fmt.Sprintf("batch-%t", sign))
	if err := os.Mkdir(own, 0o755); err != nil {
		return err
	}
	relay, err := freeAddr()
	if err != nil {
		return err
	}
	s, err := newServer(binary, own, relay)
	if err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	if err = s.createDomain(ctx); err == nil {
		err = b.measure(ctx, r, s, relay, sign)
	}
	if err != nil {
		err = errors.Join(err, s.lastLog())
	}
	return errors.Join(err, s.stop(), os.RemoveAll(own))
}

func (b *batch) measure(ctx context.Context, r *report, s *server, relay string, sign bool) error {
	if err := b.personal(ctx, s, relay, sign); err != nil {
		return err
	}
	out, err := startCounter(ctx, relay)
	if err != nil {
		return err
	}
	defer out.stop()
	posts, singles := b.posts, b.singles
	if sign {
		posts, singles = max(1, posts/4), max(1, singles/4)
	}
	single, err := b.alone(ctx, s, out, singles, sign)
	if err != nil {
		return err
	}
	took, copies, err := b.post(ctx, s, out, singles, posts, sign)
	if err != nil {
		return err
	}
	p50, p99 := percentiles(took)
	system := "Postroad, " + strconv.Itoa(b.recipients) + " recipients"
	if sign {
		system += ", DKIM"
	}
	return r.add(result{Kind: kindBatch, System: system, Messages: posts, Size: b.size, Signed: sign, Figures: []figure{
		{"accepted p50", millis(p50), "ms"}, {"accepted p99", millis(p99), "ms"},
		{"copies arrived", copies, "/s"}, {"single messages arrived", single, "/s"}, {"copies / single messages", copies / single, ""}}})
}

// fields of one batch; each recipient gets its own text and rig id.
func (b *batch) fields(to []string, sign bool) (map[string]string, error) {
	variables := map[string]map[string]string{}
	for i, one := range to {
		variables[one] = map[string]string{"name": "Reader " + strconv.Itoa(i), "rig": rigID(i)}
	}
	text, err := json.Marshal(variables)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{"subject": "For %recipient.name%", "text": "Hello %recipient.name%\r\n" + body(b.size),
		"h:" + rigHeader: "%recipient.rig%", "recipient-variables": string(text)}
	for name, value := range dkimField(sign) {
		fields[name] = value
	}
	return fields, nil
}

func (b *batch) recipientsOf(n int) []string {
	out := make([]string, b.recipients)
	for i := range out {
		out[i] = fmt.Sprintf("user%d.%d@sink.example", n, i)
	}
	return out
}

// personal sends one batch to a sink of the rig: every recipient has to get its
// own copy, signed or not as it should be.
func (b *batch) personal(ctx context.Context, s *server, relay string, sign bool) error {
	got := make(chan received, b.recipients*2)
	to, err := startSink(relay, func(m received) { got <- m })
	if err != nil {
		return err
	}
	defer to.close()
	list := b.recipientsOf(-1)
	fields, err := b.fields(list, sign)
	if err != nil {
		return err
	}
	if err := s.post(ctx, http.DefaultClient, list, fields); err != nil {
		return err
	}
	seen := map[string]bool{}
	late := time.After(stall)
	for len(seen) < b.recipients {
		select {
		case m := <-got:
			if m.Signed != sign || seen[m.RigID] {
				return fmt.Errorf("copy %q: signed %t, wanted %t; came before: %t", m.RigID, m.Signed, sign, seen[m.RigID])
			}
			seen[m.RigID] = true
		case <-late:
			return fmt.Errorf("%d of %d copies arrived", len(seen), b.recipients)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for i := range list {
		if !seen[rigID(i)] {
			return fmt.Errorf("no copy is that of recipient %d", i)
		}
	}
	leaving, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return to.leave(leaving)
}

// alone sends single messages over HTTP and returns how many arrive a second.
func (b *batch) alone(ctx context.Context, s *server, out counter, n int, sign bool) (float64, error) {
	l := load{addr: s.http, domain: sender, key: adminKey, messages: n, connections: 64, size: b.size, fields: dkimField(sign)}
	start := time.Now()
	if seen := l.run(ctx); seen.Accepted != n {
		return 0, fmt.Errorf("only %d of %d messages were accepted: %s", seen.Accepted, n, seen.Error)
	}
	end, err := out.await(ctx, n)
	return float64(n) / end.Sub(start).Seconds(), err
}

// post sends the batches one after the other; had is what the sink took before.
func (b *batch) post(ctx context.Context, s *server, out counter, had, posts int, sign bool) (took []time.Duration, perSecond float64, err error) {
	start := time.Now()
	for n := range posts {
		list := b.recipientsOf(n)
		fields, err := b.fields(list, sign)
		if err != nil {
			return nil, 0, err
		}
		at := time.Now()
		if err := s.post(ctx, http.DefaultClient, list, fields); err != nil {
			return nil, 0, err
		}
		took = append(took, time.Since(at))
	}
	end, err := out.await(ctx, had+posts*b.recipients)
	if err != nil {
		return nil, 0, err
	}
	if err := pause(ctx, settle); err != nil {
		return nil, 0, err
	}
	if n := out.taken() - had; n != posts*b.recipients {
		return nil, 0, fmt.Errorf("%d copies were to arrive, %d did", posts*b.recipients, n)
	}
	return took, float64(posts*b.recipients) / end.Sub(start).Seconds(), nil
}
