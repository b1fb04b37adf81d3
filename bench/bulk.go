package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// bulk measures bulk mail through the multi-provider API: how long a request with
// variables and metadata for each recipient takes until all of them are queued
// durably. Nobody listens where the mail goes, so nothing leaves meanwhile.
type bulk struct {
	target
	posts, recipients int
	out               string
}

const kindBulk = "bulk"

func defineBulk(f *flag.FlagSet) func(context.Context) error {
	var b bulk
	b.target.define(f)
	f.IntVar(&b.posts, "posts", 5, "requests, one after the other")
	f.IntVar(&b.recipients, "recipients", 10_000, "recipients of each")
	f.StringVar(&b.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error { return single(ctx, b.out, b.run) }
}

func (b *bulk) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	binary, err := b.resolve(ctx, dir)
	if err != nil {
		return err
	}
	relay, err := freeAddr()
	if err != nil {
		return err
	}
	s, err := newServer(binary, dir, relay)
	if err != nil {
		return err
	}
	s.retry = "1h"
	if err := s.start(ctx); err != nil {
		return err
	}
	if err = s.createDomain(ctx); err == nil {
		err = b.measure(ctx, r, s)
	}
	if err != nil {
		err = errors.Join(err, s.lastLog())
	}
	return errors.Join(err, s.kill())
}

func (b *bulk) measure(ctx context.Context, r *report, s *server) error {
	var took []time.Duration
	for n := range b.posts {
		text, err := b.body(n)
		if err != nil {
			return err
		}
		at := time.Now()
		if err := b.post(ctx, s, text); err != nil {
			return err
		}
		took = append(took, time.Since(at))
	}
	if err := b.await(ctx, s); err != nil {
		return err
	}
	p50, worst := percentiles(took)
	return r.add(result{Kind: kindBulk, System: "Postroad, " + strconv.Itoa(b.recipients) + " recipients", Messages: b.posts, Figures: []figure{
		{"accepted p50", millis(p50), "ms"}, {"accepted at most", millis(worst), "ms"},
		{"recipients", float64(b.recipients) / p50.Seconds(), "/s"}}})
}

// await waits until the server counts everything that was accepted in its queue; the
// count follows within moments.
func (b *bulk) await(ctx context.Context, s *server) error {
	until := time.Now().Add(10 * time.Second)
	for {
		n, err := s.queued(ctx)
		if err != nil || n == b.posts*b.recipients {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("%d deliveries are queued, %d were accepted", n, b.posts*b.recipients)
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// body is the request, with recipients that no other has.
func (b *bulk) body(n int) ([]byte, error) {
	type one struct {
		Email     string         `json:"email"`
		Variables map[string]any `json:"variables"`
		Metadata  map[string]any `json:"metadata"`
	}
	list := make([]one, b.recipients)
	for i := range list {
		list[i] = one{fmt.Sprintf("user%d.%d@sink%d.example", n, i, i%50), map[string]any{"name": "Reader " + strconv.Itoa(i), "code": fmt.Sprintf("C%08d", i)}, map[string]any{"participant_id": i}}
	}
	return json.Marshal(map[string]any{"driver": "mailgun", "api_key": adminKey, "from": "news@" + sender, "from_name": "News", "subject": "Hello {{name}}!",
		"html": "<h1>Hi {{name}}</h1><p>Your code is: {{code}}</p>", "text": "Hi {{name}}, your code is: {{code}}", "recipients": list,
		"metadata": map[string]any{"campaign_id": n}, "tags": []string{"bulk-send", "campaign-2024"}})
}

func (b *bulk) post(ctx context.Context, s *server, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.http+"/api/email/bulk", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	var out struct{ TotalEmails int }
	if err := s.call(req, &out); err != nil {
		return err
	}
	if out.TotalEmails != b.recipients {
		return fmt.Errorf("only %d of %d recipients were sent to", out.TotalEmails, b.recipients)
	}
	return nil
}
