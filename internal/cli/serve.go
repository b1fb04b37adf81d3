package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"postroad/internal/app"
	"postroad/internal/config"
)

func runDev(e *Env, args []string) error   { return start(e, config.Dev, args) }
func runServe(e *Env, args []string) error { return start(e, config.Serve, args) }

// settings reads the configuration and reports what it warns about.
func settings(e *Env, mode config.Mode, args []string) (*config.Config, error) {
	cfg, rest, warnings, err := config.Parse(mode, args, serverEnviron(e.Environ), os.ReadFile)
	if errors.Is(err, config.ErrHelp) {
		return nil, errHelp
	}
	if err != nil {
		return nil, badSettings(err, mode)
	}
	if len(rest) > 0 {
		return nil, usage("unexpected argument %q", clean(rest[0]))
	}
	for _, w := range warnings {
		fmt.Fprintln(e.Stderr, "warning:", w)
	}
	return cfg, nil
}

// badSettings is the error of settings that cannot be used.
func badSettings(err error, mode config.Mode) error {
	return (&failure{status: exitUsage, code: "usage", message: err.Error(), err: err}).try("postroad " + mode.String() + " --help")
}

// serverEnviron leaves out the variables that are the client commands' and the
// tests', so that they are not reported as unknown settings.
func serverEnviron(environ []string) []string {
	var out []string
	for _, v := range environ {
		if strings.HasPrefix(v, envURL+"=") || strings.HasPrefix(v, envKey+"=") || strings.HasPrefix(v, "POSTROAD_TEST_") {
			continue
		}
		out = append(out, v)
	}
	return out
}

func start(e *Env, mode config.Mode, args []string) error {
	cfg, err := settings(e, mode, args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log, end := logger(e.Stderr, cfg)
	defer end()
	for _, w := range app.Warnings(cfg) {
		log.Warn("INSECURE SETTING: " + w)
	}
	collectSeldom(mode)
	if mode == config.Serve && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + syncers)
	}
	a, err := app.New(ctx, cfg, app.Options{Version: e.Version, Logger: log})
	if err != nil {
		return startFailed(err, mode)
	}
	if mode == config.Dev {
		fmt.Fprint(e.Stdout, a.DevBanner())
	} else if a.AdminKey != "" {
		fmt.Fprintf(e.Stdout, "\nThe first account was created. Its API key is shown this once:\n\n    %s\n\n", a.AdminKey)
	}
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if mode == config.Serve {    // in dev mode SIGHUP is the terminal that was closed
		defer onHangup(a.Reload)()
	}
	return a.Run(ctx)
}

// onHangup calls fn for each SIGHUP until the returned function is called.
func onHangup(fn func()) (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-c:
				fn()
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(c); close(done) }
}

// syncers are the goroutines that spend their time waiting for the disk: of the
// journal, of the segments, of the tables. Go leaves a processor to a goroutine
// in such a call for up to milliseconds before another may have it, so without
// some to spare the real ones stand idle: with two of them accepting was slower
// by a sixth and signing mail by two fifths.
const syncers = 2

// startFailed is the error of a server that could not start, with what usually
// helps.
func startFailed(err error, mode config.Mode) error {
	f := &failure{status: exitFailed, code: "start_failed", message: "the server cannot start", cause: err.Error(), err: err}
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "listen":
		f.hint = app.BindFix(err) + "; options: postroad " + mode.String() + " --help"
	case errors.Is(err, os.ErrPermission):
		f.hint = "a data directory of your own; options: postroad " + mode.String() + " --help"
	}
	return f
}

func runConfigShow(e *Env, args []string) error {
	mode, args := modeOf(args)
	cfg, err := settings(e, mode, args)
	if err != nil {
		return err
	}
	list := cfg.Settings()
	if !e.terminal().Stdout {
		type item struct {
			Name     string `json:"name"`
			Value    string `json:"value"`
			Origin   string `json:"origin"`
			Insecure bool   `json:"insecure,omitempty"`
		}
		out := make([]item, 0, len(list))
		for _, s := range list {
			out = append(out, item{s.Name, s.Value, s.Origin, s.Insecure})
		}
		return printJSON(e.Stdout, out)
	}
	t := newTable("SETTING", "VALUE", "FROM").keep(0)
	for _, s := range list {
		from := s.Origin
		if s.Insecure {
			from += ", insecure"
		}
		t.row(s.Name, s.Value, from)
	}
	return t.print(e.Stdout, e.width())
}

// modeOf takes an optional leading dev or serve.
func modeOf(args []string) (config.Mode, []string) {
	if len(args) > 0 && args[0] == "dev" {
		return config.Dev, args[1:]
	}
	if len(args) > 0 && args[0] == "serve" {
		return config.Serve, args[1:]
	}
	return config.Serve, args
}

func runConfigSample(e *Env) error { return config.Sample(e.Stdout) }
func runConfigDocs(e *Env) error   { return config.Docs(e.Stdout) }
