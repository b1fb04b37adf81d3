package main

import (
	"bufio"
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postroad/internal/mail/linktoken"
)

// follow measures links and pixels of a delivered message: how long the answer
// takes, how many are answered at most, and how soon each of them is an event. A
// hit that made none is an error. The links are made with the server's own secret.
type follow struct {
	target
	singly, hits, connections int
	out                       string
}

const kindFollow = "follow"

func defineFollow(f *flag.FlagSet) func(context.Context) error {
	var w follow
	w.target.define(f)
	f.IntVar(&w.singly, "singly", 2000, "requests one after the other, of each kind")
	f.IntVar(&w.hits, "hits", 20_000, "clicks over many connections")
	f.IntVar(&w.connections, "connections", 64, "connections for these")
	f.StringVar(&w.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error { return single(ctx, w.out, w.run) }
}

func (w *follow) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	binary, err := w.resolve(ctx, dir)
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
	if err := s.start(ctx); err != nil {
		return err
	}
	if err = s.createDomain(ctx); err == nil {
		err = w.measure(ctx, r, s, relay)
	}
	if err != nil {
		err = errors.Join(err, s.lastLog())
	}
	return errors.Join(err, s.stop())
}

func (w *follow) measure(ctx context.Context, r *report, s *server, relay string) error {
	click, open, err := w.links(ctx, s, relay)
	if err != nil {
		return err
	}
	opened, err := w.hit(ctx, s, open, w.singly, 1)
	if err != nil {
		return err
	}
	clicked, err := w.hit(ctx, s, click, w.singly, 1)
	if err != nil {
		return err
	}
	began := time.Now()
	many, err := w.hit(ctx, s, click, w.hits, w.connections)
	if err != nil {
		return err
	}
	took := time.Since(began)
	if err := w.recorded(ctx, s, 2*w.singly+w.hits); err != nil {
		return err
	}
	all := time.Since(began)
	openP50, openP99 := percentiles(opened)
	clickP50, clickP99 := percentiles(clicked)
	_, manyP99 := percentiles(many)
	micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return r.add(result{Kind: kindFollow, System: "Postroad", Messages: w.hits, Connections: w.connections, Figures: []figure{
		{"pixel p50", micros(openP50), "us"}, {"pixel p99", micros(openP99), "us"},
		{"click p50", micros(clickP50), "us"}, {"click p99", micros(clickP99), "us"},
		{"clicks answered", float64(w.hits) / took.Seconds(), "/s"}, {"p99 meanwhile", micros(manyP99), "us"},
		{"events recorded", float64(w.hits) / all.Seconds(), "/s"}}})
}

// links sends a message and makes what its copy would have.
func (w *follow) links(ctx context.Context, s *server, relay string) (click, open string, err error) {
	out, err := startOwnCounter(relay)
	if err != nil {
		return "", "", err
	}
	defer out.stop()
	one := load{addr: s.http, domain: sender, key: adminKey, connections: 1, size: 1024, messages: 1}
	if seen := one.run(ctx); seen.Accepted != 1 {
		return "", "", errors.New(seen.Error)
	}
	message, recipient, err := delivered(ctx, s)
	if err != nil {
		return "", "", err
	}
	secret, err := os.ReadFile(filepath.Join(s.data, "secret"))
	if err != nil {
		return "", "", err
	}
	key, err := linktoken.NewKey(secret)
	if err != nil {
		return "", "", err
	}
	t := linktoken.Token{Kind: linktoken.Click, Message: message, Recipient: recipient, URL: "https://www.example.org/shop?article=4711"}
	click = "/c/" + key.Seal(t)
	t.Kind, t.URL = linktoken.Open, ""
	return click, "/o/" + key.Seal(t) + ".png", nil
}

// delivered waits for the message and returns its row id, which its storage key
// holds, and its recipient.
func delivered(ctx context.Context, s *server) (id int64, recipient string, err error) {
	for {
		var page struct {
			Items []struct {
				Recipient string
				Storage   struct{ Key string }
			}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.http+"/v3/"+sender+"/events?event=delivered", nil)
		if err == nil {
			err = s.call(req, &page)
		}
		if err != nil {
			return 0, "", err
		}
		if len(page.Items) > 0 && len(page.Items[0].Storage.Key) > 17 {
			b, err := base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(page.Items[0].Storage.Key[4:17])
			if err != nil || len(b) != 8 {
				return 0, "", fmt.Errorf("storage key %q: %w", page.Items[0].Storage.Key, err)
			}
			return int64(binary.BigEndian.Uint64(b)), page.Items[0].Recipient, nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return 0, "", err
		}
	}
}

// hit asks for a path n times over some connections and returns how long each
// answer took.
func (w *follow) hit(ctx context.Context, s *server, path string, n, connections int) (took []time.Duration, err error) {
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: " + s.http + "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\r\n")
	var next atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			own, failed := asked(ctx, s.http, request, &next, n)
			mu.Lock()
			defer mu.Unlock()
			took, err = append(took, own...), errors.Join(err, failed)
		})
	}
	wg.Wait()
	return took, err
}

func asked(ctx context.Context, addr string, request []byte, next *atomic.Int64, n int) (took []time.Duration, err error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	in := bufio.NewReader(c)
	for next.Add(1) <= int64(n) {
		began := time.Now()
		if _, err := c.Write(request); err != nil {
			return took, err
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return took, err
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
		if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusFound {
			return took, errors.New(answer.Status)
		}
	}
	return took, nil
}

// recorded waits until so many hits are events.
func (w *follow) recorded(ctx context.Context, s *server, want int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for seen := 0; seen != want; {
		text, err := s.metrics(ctx)
		if err != nil {
			return fmt.Errorf("%d of %d hits became events: %w", seen, want, err)
		}
		if seen, err = sumLabelled(text, "postroad_track_events_total"); err != nil {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d hits became events: %w", seen, want, err)
		}
	}
	return nil
}

// sumLabelled adds up a metric over all its labels.
func sumLabelled(text, name string) (sum int, err error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name+"{")
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += int(n)
	}
	return sum, nil
}
