package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/disk"
	"postroad/internal/base/errs"
	"postroad/internal/config"
)

// tree makes files below a directory, by path.
func tree(t *testing.T, files map[string]string) machine {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil {
			err = os.WriteFile(name, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return machine{root}
}

func TestMemoryLimitOfMachine(t *testing.T) {
	const ram = "MemTotal:        8388608 kB\nMemFree:         1000 kB\n"
	const gb = 1 << 30
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
		from  string
	}{
		{"bare metal", map[string]string{"proc/meminfo": ram}, 6 * gb, "75 % of memory"},
		{"version 2, no limit", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": "0::/system.slice/postroad.service\n",
			"sys/fs/cgroup/system.slice/postroad.service/memory.max": "max\n", "sys/fs/cgroup/system.slice/memory.max": "max\n"}, 6 * gb, "75 % of memory"},
		{"version 2, own limit", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1073741824\n"}, gb, "cgroup"},
		{"version 2, limit above", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "4294967296\n",
			"sys/fs/cgroup/a/memory.max": "2147483648\n"}, 2 * gb, "cgroup"},
		{"version 2, in a namespace", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912"}, gb / 2, "cgroup"},
		{"version 2, path of the host", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/memory.max": "536870912"}, gb / 2, "cgroup"},
		{"version 1", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "268435456\n"}, gb / 4, "cgroup"},
		{"version 1, mounted at the group", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": "4:hugetlb,memory:/docker/abc\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n"}, gb / 4, "cgroup"},
		{"version 1, none", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 6 * gb, "75 % of memory"},
		{"limit above the machine", map[string]string{"proc/meminfo": ram, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "68719476736\n"}, 6 * gb, "75 % of memory"},
		{"limit, memory unknown", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "68719476736\n"}, 64 * gb, "cgroup"},
		{"nonsense", map[string]string{"proc/meminfo": "MemTotal: lots\n", "proc/self/cgroup": "x\n::\n0::/\n", "sys/fs/cgroup/memory.max": "-5\n"}, 0, "unknown"},
		{"nothing", nil, 0, "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n, from := tree(t, c.files).limit(); n != c.want || from != c.from {
				t.Errorf("%d from %s, want %d from %s", n, from, c.want, c.from)
			}
		})
	}
}

func TestResident(t *testing.T) {
	page := int64(os.Getpagesize())
	if n, err := tree(t, map[string]string{"proc/self/statm": "52345 1234 800 10 0 5000 0\n"}).used(); err != nil || n != 1234*page {
		t.Errorf("%d %v", n, err)
	}
	for _, text := range []string{"", "1", "1 x", "1 -2"} {
		if n, err := tree(t, map[string]string{"proc/self/statm": text}).used(); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
	if n, err := tree(t, nil).used(); err != nil || n < 1<<20 {
		t.Errorf("without /proc: %d %v", n, err)
	}
}

// gauge is a reading that tests set.
type gauge struct {
	mu        sync.Mutex
	memory    int64
	space     disk.Space
	queue     int64
	err       error
	collected int
	garbage   int64 // of memory, gone with the next collection
}

func newGauge() *gauge {
	return &gauge{memory: 100, space: disk.Space{Free: 1 << 40, Total: 1 << 41, FreeFiles: 1 << 20, Files: 1 << 21}}
}

func (g *gauge) set(do func(*gauge)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do(g)
}

func (g *gauge) readings() Readings {
	return Readings{
		Memory: func() (int64, error) { g.mu.Lock(); defer g.mu.Unlock(); return g.memory, g.err },
		Disk:   func() (disk.Space, error) { g.mu.Lock(); defer g.mu.Unlock(); return g.space, g.err },
		Queue:  func(context.Context) (int64, error) { g.mu.Lock(); defer g.mu.Unlock(); return g.queue, g.err },
		Collect: func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.collected++
			g.memory, g.garbage = g.memory-g.garbage, 0
		},
	}
}

// TestShedderThresholds: each resource is short at its limit and enough only
// with some room again.
func TestShedderThresholds(t *testing.T) {
	mem := func(n int64) func(*gauge) { return func(g *gauge) { g.memory = n } }
	free := func(n int64) func(*gauge) { return func(g *gauge) { g.space.Free = n << 20 } }
	files := func(n int64) func(*gauge) { return func(g *gauge) { g.space.FreeFiles = n } }
	queue := func(n int64) func(*gauge) { return func(g *gauge) { g.queue = n } }
	for _, c := range []struct {
		name  string
		steps []func(*gauge)
		want  string // per step: the resource that is short, or -
	}{
		{"memory", []func(*gauge){mem(900), mem(901), mem(850), mem(800), mem(799), mem(850), mem(900), mem(1200)}, "- memory memory memory - - - memory"},
		{"space", []func(*gauge){free(256), free(255), free(319), free(320), free(256), free(0)}, "- disk disk - - disk"},
		{"inodes", []func(*gauge){files(1000), files(999), files(1999), files(2000)}, "- disk disk -"},
		{"no inodes counted", []func(*gauge){func(g *gauge) { g.space.Files, g.space.FreeFiles = 0, 0 }}, "-"},
		{"queue", []func(*gauge){queue(49), queue(50), queue(46), queue(45), queue(44), queue(49)}, "- queue queue queue - -"},
		{"two", []func(*gauge){mem(950), free(1), mem(1), free(1000)}, "memory memory disk -"},
		{"readings that fail", []func(*gauge){mem(950), func(g *gauge) { g.err = errors.New("unreadable"); g.memory = 1 }, func(g *gauge) { g.err = nil }}, "memory memory -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGauge()
			var logged bytes.Buffer
			s := newShedder(slog.New(slog.NewTextHandler(&logged, nil)), clock.NewFake(time.Unix(0, 0)), t.TempDir(), 1000, 50, g.readings())
			var got []string
			changes, before := 0, error(nil)
			for _, step := range c.steps {
				g.set(step)
				s.look(t.Context())
				err := s.refuse()
				if (err == nil) != (before == nil) {
					changes++
				}
				before = err
				switch {
				case err == nil:
					got = append(got, "-")
				case !errs.Is(err, errs.Unavailable):
					t.Error(err)
				case strings.Contains(err.Error(), "short of memory"):
					got = append(got, "memory")
				case strings.Contains(err.Error(), "short of disk"):
					got = append(got, "disk")
				case strings.Contains(err.Error(), "waiting for delivery"):
					got = append(got, "queue")
				}
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("got  %s\nwant %s", g, c.want)
			}
			if n := strings.Count(logged.String(), "load shedding"); n < changes || n > changes+2 {
				t.Errorf("%d changes, %d lines:\n%s", changes, n, logged.String())
			}
		})
	}
}

// TestGarbageIsNoShortage: memory that a collection frees does not refuse mail,
// and collections are not forced all the time.
func TestGarbageIsNoShortage(t *testing.T) {
	g, c := newGauge(), clock.NewFake(time.Unix(1000, 0))
	s := newShedder(slog.New(slog.DiscardHandler), c, t.TempDir(), 1000, 50, g.readings())
	g.set(func(g *gauge) { g.memory, g.garbage = 950, 500 })
	s.look(t.Context())
	if err := s.refuse(); err != nil || g.collected != 1 {
		t.Errorf("%v after %d collections", err, g.collected)
	}
	g.set(func(g *gauge) { g.memory = 950 })
	for range 8 {
		s.look(t.Context())
		c.Advance(memoryEvery)
	}
	if err := s.refuse(); err == nil || g.collected != 1 {
		t.Errorf("%v after %d collections in two seconds", err, g.collected)
	}
	g.set(func(g *gauge) { g.garbage = 500 })
	s.look(t.Context())
	if err := s.refuse(); err != nil || g.collected != 2 {
		t.Errorf("%v after %d collections: what is refused is not taken again", err, g.collected)
	}
}

// TestLimitGo: the runtime gets a limit below the point of refusing, a lower one
// of the environment stays, and both are restored.
func TestLimitGo(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	s := &shedder{memory: 100 << 30}
	undo := s.limitGo()
	if got := debug.SetMemoryLimit(-1); got != 100<<30/100*85 {
		t.Errorf("%d", got)
	}
	undo()
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("%d", got)
	}
	debug.SetMemoryLimit(10 << 30)
	s.limitGo()()
	if got := debug.SetMemoryLimit(-1); got != 10<<30 {
		t.Errorf("%d", got)
	}
	if n := (&shedder{memory: 256 << 20}).receiving(); n != 32<<20 {
		t.Errorf("receiving %d", n)
	}
	if n := (&shedder{}).receiving(); n != 512<<20 {
		t.Errorf("receiving %d", n)
	}
}

// steps is a clock whose timers the test fires one by one.
type steps struct {
	now   time.Time
	asked chan time.Duration
	fire  chan time.Time
}

func (c *steps) Now() time.Time { return c.now }

func (c *steps) After(d time.Duration) (<-chan time.Time, func()) {
	c.asked <- d
	return c.fire, func() {}
}

// TestShedderRuns: the loop looks at memory four times a second and at the rest
// every five, and ends with its context.
func TestShedderRuns(t *testing.T) {
	c := &steps{now: time.Unix(1000, 0), asked: make(chan time.Duration), fire: make(chan time.Time)}
	g := newGauge()
	r := g.readings()
	var memory, queue, space int
	r.Memory = func() (int64, error) { memory++; return g.memory, nil }
	r.Queue = func(context.Context) (int64, error) { queue++; return 0, nil }
	r.Disk = func() (disk.Space, error) { space++; return g.space, nil }
	s := newShedder(slog.New(slog.DiscardHandler), c, t.TempDir(), 1000, 50, r)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.run(ctx) }()
	for range 40 { // ten seconds
		d := <-c.asked
		c.now = c.now.Add(d)
		c.fire <- c.now
	}
	<-c.asked
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if memory != 41 || queue != 3 || space != 3 {
		t.Errorf("in ten seconds %d looks at memory, %d at the queue, %d at the disk", memory, queue, space)
	}
}

// shedBed is a program whose readings the test sets.
type shedBed struct {
	*App
	t *testing.T
	g *gauge
}

func newShedBed(t *testing.T) *shedBed {
	t.Helper()
	cfg, _, _, err := config.Parse(config.Dev, []string{"--data", t.TempDir(), "--http", "127.0.0.1:0", "--https", "off", "--smtp", "127.0.0.1:0",
		"--hostname", "mx.test", "--memory-limit", "1GB", "--queue-limit", "50"}, nil, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	g := newGauge()
	// Time stands still: the loop looks once, the test does the rest.
	a, err := New(t.Context(), cfg, Options{Version: "test", Logger: slog.New(slog.DiscardHandler), Clock: clock.NewFake(time.Unix(1_800_000_000, 0)), Readings: g.readings()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &shedBed{a, t, g}
}

func (b *shedBed) reading(do func(*gauge)) {
	b.g.set(do)
	b.shed.look(b.t.Context())
}

func (b *shedBed) get(path string) (int, string) {
	b.t.Helper()
	res, err := http.Get("http://" + b.http.Addr().String() + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func (b *shedBed) post() (status int, retry, body string) {
	b.t.Helper()
	form := url.Values{"from": {"a@x.test"}, "to": {"b@y.test"}, "text": {"t"}, "subject": {"s"}}
	req, err := http.NewRequest("POST", "http://"+b.http.Addr().String()+"/v3/x.test/messages", strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.SetBasicAuth("api", "any")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Retry-After"), string(text)
}

// smtp opens a session; each line is sent and its code must come.
func (b *shedBed) smtp() (say func(line string, code int) string) {
	b.t.Helper()
	c, err := textproto.Dial("tcp", b.mail[0].ln.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	say = func(line string, code int) string {
		b.t.Helper()
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				b.t.Fatal(err)
			}
		}
		got, text, err := c.ReadResponse(code)
		if err != nil {
			b.t.Errorf("%s: %d %s, want %d", line, got, text, code)
		}
		return text
	}
	say("", 220)
	return say
}

// TestShedding: with too little of anything mail is refused over HTTP and SMTP
// before it is accepted, with the codes for "try again", and taken as soon as
// there is enough; what is no mail works on.
func TestShedding(t *testing.T) {
	for _, c := range []struct {
		name, text string
		retry      string
		short      func(*gauge)
		greeting   bool // new sessions are refused as well
	}{
		{"memory", "the server is short of memory, try again later", "10", func(g *gauge) { g.memory = 990 << 20 }, true},
		{"disk", "the server is short of disk space, try again later", "60", func(g *gauge) { g.space.Free = 1 << 20 }, false},
		{"disk", "the server is short of disk space, try again later", "60", func(g *gauge) { g.space.FreeFiles = 3 }, false},
		{"queue", "too much mail is waiting for delivery, try again later", "30", func(g *gauge) { g.queue = 50 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newShedBed(t)
			if status, _, body := b.post(); status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			open := b.smtp()
			open("EHLO me", 250)
			begun := b.smtp()
			begun("EHLO me", 250)
			begun("MAIL FROM:<a@x.test>", 250)
			begun("RCPT TO:<b@y.test>", 250)
			for range 2 { // it recovers, and it happens again
				b.reading(c.short)
				if status, retry, body := b.post(); status != 503 || retry != c.retry || !strings.Contains(body, `"message":"`+c.text) {
					t.Errorf("%d %q %s", status, retry, body)
				}
				if text := open("MAIL FROM:<a@x.test>", 452); text != "4.3.1 "+c.text {
					t.Errorf("%q", text)
				}
				if late := b.smtp(); c.greeting {
					if text := late("EHLO me", 421); text != "4.3.2 "+c.text {
						t.Errorf("%q", text)
					}
				} else {
					late("EHLO me", 250)
				}
				if status, body := b.get("/readyz"); status != 503 || !strings.Contains(body, `"status":"shedding"`) || strings.Contains(body, `"`+c.name+`":"ok"`) {
					t.Errorf("readyz: %d %s", status, body)
				}
				if status, _ := b.get("/livez"); status != 200 {
					t.Errorf("livez: %d", status)
				}
				if status, body := b.get("/metrics"); status != 200 || !strings.Contains(body, `postroad_shedding{resource="`+c.name+`"} 1`) {
					t.Errorf("metrics: %d\n%s", status, body)
				}
				b.reading(func(g *gauge) { n := newGauge(); g.memory, g.space, g.queue = n.memory, n.space, n.queue })
				if status, _, body := b.post(); status != 200 {
					t.Errorf("after it: %d %s", status, body)
				}
				if status, body := b.get("/readyz"); status != 200 {
					t.Errorf("readyz after it: %d %s", status, body)
				}
			}
			// A transaction begun before is refused at its end, and can be repeated.
			b.reading(c.short)
			begun("DATA", 354)
			begun("From: a@x.test\r\nSubject: s\r\n\r\ntext\r\n.", 452)
			b.reading(func(g *gauge) { n := newGauge(); g.memory, g.space, g.queue = n.memory, n.space, n.queue })
			open("MAIL FROM:<a@x.test>", 250)
			open("RCPT TO:<b@y.test>", 250)
			open("DATA", 354)
			open("From: a@x.test\r\nSubject: s\r\n\r\ntext\r\n.", 250)
			if status, body := b.get("/metrics"); status != 200 || !strings.Contains(body, fmt.Sprintf(`postroad_shedding{resource="%s"} 0`, c.name)) {
				t.Errorf("metrics: %d\n%s", status, body)
			}
		})
	}
}

// TestQueueReading: the depth that is watched is that of the table.
func TestQueueReading(t *testing.T) {
	cfg, _, _, err := config.Parse(config.Dev, []string{"--data", t.TempDir(), "--http", "127.0.0.1:0", "--https", "off", "--smtp", "off"}, nil, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, Options{Version: "test", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	if n, err := a.shed.read.Queue(t.Context()); err != nil || n != 0 {
		t.Errorf("%d %v", n, err)
	}
	a.shed.look(t.Context())
	if err := a.shed.refuse(); err != nil {
		t.Errorf("this machine, really read: %v", err)
	}
	if p := a.shed.state.Load(); p.used[memory] < 1<<20 || p.used[space] < 1<<20 {
		t.Errorf("%+v", p)
	}
}
