package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// prober sends single messages at a steady pace to destinations of their own
// and learns from its sink when each was first tried.
type prober struct {
	server *server
	sink   *sink
	client *http.Client
	mu     sync.Mutex
	tried  map[string]time.Time // rig id: MAIL at the sink
	next   int
}

// probeDomains are how many destinations the probes take in turn.
const probeDomains = 20

func startProber() (*prober, error) {
	p := &prober{tried: map[string]time.Time{}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}}
	var err error
	p.sink, err = startSink("127.0.0.1:0", func(m received) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if _, ok := p.tried[m.RigID]; !ok {
			p.tried[m.RigID] = m.Began
		}
	})
	return p, err
}

// waits is what the probes of one phase saw.
type waits struct {
	accept  []time.Duration // from the request to its answer
	attempt []time.Duration // from the answer to MAIL at the destination
	whole   []time.Duration // from the request to MAIL
}

func (w waits) figures(phase string) []figure {
	a50, a99 := percentiles(w.accept)
	t50, t99 := percentiles(w.attempt)
	w50, w99 := percentiles(w.whole)
	return []figure{
		{phase + ": accepted p50", millis(a50), "ms"}, {phase + ": accepted p99", millis(a99), "ms"},
		{phase + ": acceptance to first attempt p50", millis(t50), "ms"}, {phase + ": acceptance to first attempt p99", millis(t99), "ms"},
		{phase + ": request to first attempt p50", millis(w50), "ms"}, {phase + ": request to first attempt p99", millis(w99), "ms"},
	}
}

// send sends n probes, one every so often, and waits for all of them at the
// sink.
func (p *prober) send(ctx context.Context, n int, every time.Duration) (waits, error) {
	type sent struct{ began, answered time.Time }
	var (
		mu     sync.Mutex
		all    = map[string]sent{}
		failed error
		wg     sync.WaitGroup
	)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for range n {
		select {
		case <-ctx.Done():
			return waits{}, ctx.Err()
		case <-tick.C:
		}
		id, to := rigID(p.next), fmt.Sprintf("user%d@probe%d.example", p.next, p.next%probeDomains)
		p.next++
		wg.Go(func() {
			began := time.Now()
			err := p.submit(ctx, id, to)
			answered := time.Now()
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			all[id] = sent{began, answered}
		})
	}
	wg.Wait()
	if failed != nil {
		return waits{}, failed
	}
	var w waits
	for id, s := range all {
		at, err := p.await(ctx, id)
		if err != nil {
			return waits{}, err
		}
		w.accept = append(w.accept, s.answered.Sub(s.began))
		w.whole = append(w.whole, at.Sub(s.began))
		// The first attempt may be under way before the answer is read.
		w.attempt = append(w.attempt, max(0, at.Sub(s.answered)))
	}
	return w, nil
}

func (p *prober) submit(ctx context.Context, id, to string) error {
	return p.server.post(ctx, p.client, []string{to}, map[string]string{"subject": "A probe", "text": body(2048), "h:" + rigHeader: id})
}

// await returns when a probe was first tried.
func (p *prober) await(ctx context.Context, id string) (time.Time, error) {
	for last := time.Now().Add(stall); ; {
		p.mu.Lock()
		at, ok := p.tried[id]
		p.mu.Unlock()
		if ok {
			return at, nil
		}
		if time.Now().After(last) {
			return at, fmt.Errorf("probe %s was accepted and did not arrive within %s", id, stall)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return at, err
		}
	}
}

// post submits one message to recipients through the API.
func (s *server) post(ctx context.Context, client *http.Client, to []string, fields map[string]string) error {
	var b strings.Builder
	part(&b, "from", "Rig <rig@"+sender+">")
	for _, one := range to {
		part(&b, "to", one)
	}
	for name, value := range fields {
		part(&b, name, value)
	}
	b.WriteString("--" + boundary + "--\r\n")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.http+"/v3/"+sender+"/messages", strings.NewReader(b.String()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
	return s.callWith(client, req, nil)
}
