package apptest

import (
	"context"
	"crypto/rsa"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/base/clock"
	"postroad/internal/config"
	"postroad/internal/core/event"
	"postroad/internal/mail/dkim"
	"postroad/internal/mail/smtp"
)

// Options of Start.
type Options struct {
	Mode  config.Mode // Dev or Serve
	Args  []string    // further flags
	DB    string      // URL of a PostgreSQL database; "" for SQLite in the data directory
	Data  string      // data directory, for a second start; "" for a new one
	World *World      // "" for a new one
	Clock *clock.Fake // nil: the system's
	Wire  app.Wire    // what is zero gets values fit for tests
}

// Server is a running program.
type Server struct {
	app.Parts
	App   *app.App
	URL   string // of the HTTP API
	Key   string // with all rights
	World *World
	Clock *clock.Fake // nil when time is the system's
	Data  string

	t      testing.TB
	stop   context.CancelFunc
	done   chan struct{}
	err    error // of Run, once done
	events *recorder
	unsub  func()
	once   sync.Once
}

// Begin is when fake clocks start.
func Begin() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) }

// testKey is the one RSA key all domains of a test process sign with: making
// one costs more than most tests.
var testKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return dkim.GenerateRSA(1024) })

// Start runs the program until the test ends or Stop.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{t: t, World: o.World, Clock: o.Clock, Data: o.Data, Key: "key-of-the-test", done: make(chan struct{}), events: newRecorder()}
	if s.World == nil {
		s.World = NewWorld(t)
	}
	if s.Data == "" {
		s.Data = t.TempDir()
	}
	cfg := s.config(o)
	level := slog.LevelError + 1 // failures show in what the test sees
	if os.Getenv("POSTROAD_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	opt := app.Options{Version: "test", Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
		Wire: s.wire(o.Wire), GenerateKey: func(int) (*rsa.PrivateKey, error) { return testKey() }}
	if o.Clock != nil {
		opt.Clock = o.Clock
	}
	var err error
	if s.App, err = app.New(context.Background(), cfg, opt); err != nil {
		t.Fatal(err)
	}
	s.Parts = s.App.Parts()
	s.URL = "http://" + s.HTTP.String()
	var c <-chan *event.Event
	c, s.unsub = s.Events.Subscribe()
	go s.events.run(c)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.done)
		s.err = s.App.Run(ctx)
	}()
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) config(o Options) *config.Config {
	args := []string{"--data=" + s.Data, "--http=127.0.0.1:0", "--https=off", "--smtp=127.0.0.1:0", "--dns=" + s.World.dns,
		"--hostname=mail.postroad.test", "--admin-key=" + s.Key, "--shutdown-timeout=5s"}
	if o.Mode == config.Serve {
		args = append(args, "--assume-verified", "--allow-private-urls")
	}
	if o.DB != "" {
		args = append(args, "--database="+o.DB)
	}
	cfg, _, _, err := config.Parse(o.Mode, append(args, o.Args...), nil, os.ReadFile)
	if err != nil {
		s.t.Fatal(err)
	}
	return cfg
}

func (s *Server) wire(w app.Wire) app.Wire {
	if w.Dial == nil {
		w.Dial = s.World.Dial
	}
	if w.Roots == nil {
		w.Roots = s.World.Roots
	}
	if w.Connect == 0 {
		w.Connect = 5 * time.Second
	}
	if w.Timeouts == (smtp.ClientTimeouts{}) {
		const d = 5 * time.Second
		w.Timeouts = smtp.ClientTimeouts{Banner: d, Command: d, DataInit: d, Block: d, Final: d, Quit: time.Second}
	}
	if w.Jitter == nil {
		w.Jitter = func() float64 { return 0.5 }
	}
	return w
}

// Stop ends the program as SIGTERM does and waits for it.
func (s *Server) Stop() {
	s.t.Helper()
	s.once.Do(func() {
		s.stop()
		<-s.done
		s.unsub()
		if s.err != nil {
			s.t.Errorf("the program ended with: %v", s.err)
		}
	})
}

// Advance moves the fake clock and has the queue look at it.
func (s *Server) Advance(d time.Duration) {
	s.t.Helper()
	if s.Clock == nil {
		s.t.Fatal("Advance needs a fake clock")
	}
	s.Clock.Advance(d)
	s.Queue.Wake()
}
