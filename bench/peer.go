package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// peer is one run of a mail server: Postroad or one it is compared with.
type peer interface {
	// start starts it as the place says and returns when it takes mail.
	start(ctx context.Context, at place) error
	// addr is where it takes mail.
	addr() string
	// trouble is the end of its log, for a message about a failure.
	trouble() string
	// stop asks it to end. What does not end is killed by the caller.
	stop(ctx context.Context) error
}

// place is what a peer is given for one run.
type place struct {
	dir   string // empty; removed after the run
	relay string // host:port all mail goes to
	sign  bool   // DKIM with RSA-2048
	hold  bool   // take mail and keep it: no delivery is attempted
	group *group // its processes belong there
}

// product is a mail server the rig knows how to run.
type product struct {
	id, name string
	signs    string // name when it signs, "" if the rig does not make it sign
	holds    bool
	// find reports why it cannot be run here, fetching it if need be.
	find func(ctx context.Context) error
	make func() peer
	// load sends messages to it; nil means smtp-source.
	load func(p peer, file string, sign bool, connections, size int) submit
}

// submit sends n messages and reports what the client saw, if it tells.
type submit func(ctx context.Context, n int) (*loadResult, error)

const (
	idPostroad = "postroad"
	idHTTP     = "http"
)

// products are Postroad and its peers, in the order of the tables.
func products(binary string) []product {
	always := func(context.Context) error { return nil }
	return []product{
		{id: idPostroad, name: "Postroad", signs: "Postroad, DKIM", holds: true, find: findSMTPTrust(binary),
			make: func() peer { return &postroad{binary: binary} }},
		{id: idHTTP, name: "Postroad, HTTP", signs: "Postroad, HTTP, DKIM", find: always,
			make: func() peer { return &postroad{binary: binary} }, load: httpLoad},
		{id: "postfix", name: "Postfix", signs: "Postfix + opendkim", holds: true, find: findPostfix,
			make: func() peer { return &postfix{} }},
		{id: "haraka", name: "Haraka", signs: "Haraka, DKIM", find: findHaraka,
			make: func() peer { return &haraka{} }},
		{id: "opensmtpd", name: "OpenSMTPD", find: findOpenSMTPD, make: func() peer { return &openSMTPD{} }, load: openSMTPDLoad},
		{id: "exim", name: "Exim", holds: true, find: findExim, make: func() peer { return &exim{} }},
	}
}

// own reports whether the product is the one the rig belongs to: a failure of
// it fails the rig.
func (p product) own() bool { return p.id == idPostroad || p.id == idHTTP }

func (p product) title(sign bool) string {
	if sign {
		return p.signs
	}
	return p.name
}

// roster is the choice of products for a run.
type roster struct {
	list   []product
	strict bool // a peer that cannot be measured is a failure
}

// choice is the flag that names products.
type choice struct{ peers string }

func (c *choice) define(f *flag.FlagSet) {
	f.StringVar(&c.peers, "peers", "", "products to measure, separated by commas: postroad,http,postfix,haraka,opensmtpd,exim (default all)")
}

// errNoPeer is returned for a name that is not a product.
var errNoPeer = errors.New("there is no such product")

// pick returns the products named. POSTROAD_TEST_PEERS=1 asks for all of them
// to be there.
func (c *choice) pick(binary string) (roster, error) {
	all := roster{list: products(binary), strict: os.Getenv("POSTROAD_TEST_PEERS") == "1"}
	if c.peers == "" {
		return all, nil
	}
	wanted := strings.Split(c.peers, ",")
	for _, id := range wanted {
		if !slices.ContainsFunc(all.list, func(p product) bool { return p.id == id }) {
			return roster{}, fmt.Errorf("--peers: %w: %q", errNoPeer, id)
		}
	}
	all.list = slices.DeleteFunc(all.list, func(p product) bool { return !slices.Contains(wanted, p.id) })
	return all, nil
}

// present leaves those that can be run and reports the others.
func (s roster) present(ctx context.Context, r *report, kind string) (roster, error) {
	var failed error
	s.list = slices.DeleteFunc(slices.Clone(s.list), func(p product) bool {
		err := p.find(ctx)
		if err == nil {
			return false
		}
		failed = errors.Join(failed, s.missed(r, kind, p, p.name, err))
		return true
	})
	return s, failed
}

// missed notes a product that was not measured; the error is not nil where
// that is a failure of the run. A peer that stalls is its own affair.
func (s roster) missed(r *report, kind string, p product, title string, reason error) error {
	err := r.add(result{Kind: kind, System: title, Missed: reason.Error()})
	if p.own() || s.strict && !errors.Is(reason, errStalled) {
		err = errors.Join(err, fmt.Errorf("%s: %s was not measured: %w", kind, title, reason))
	}
	return err
}

// running is a peer at work.
type running struct {
	peer
	group *group
	dir   string
}

// launch starts a product in a directory of its own below dir.
func launch(ctx context.Context, p product, dir, relay string, sign, hold bool) (*running, error) {
	own, err := os.MkdirTemp(dir, p.id+"-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(own, 0o755); err != nil {
		return nil, err
	}
	w := &running{peer: p.make(), group: newGroup(p.id), dir: own}
	if err := w.start(ctx, place{dir: own, relay: relay, sign: sign, hold: hold, group: w.group}); err != nil {
		return nil, errors.Join(fmt.Errorf("it did not start: %w", err), w.end(ctx))
	}
	return w, nil
}

// end stops it, kills what is left of it and removes its directory.
func (w *running) end(ctx context.Context) error {
	return errors.Join(w.stop(ctx), w.group.end(ctx), os.RemoveAll(w.dir))
}

// explain adds the end of the peer's log to an error.
func (w *running) explain(err error) error {
	if err == nil {
		return nil
	}
	if log := strings.TrimSpace(w.trouble()); log != "" {
		return fmt.Errorf("%w\nend of its log:\n%s", err, log)
	}
	return err
}

// tail is the end of a log file; "" if there is none.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-2000):])
}

// daemon is a peer that is one process in the foreground.
type daemon struct {
	cmd    *exec.Cmd
	log    string
	listen string
	exited chan error
}

func (d *daemon) addr() string    { return d.listen }
func (d *daemon) trouble() string { return tail(d.log) }

// run starts the process with its output in dir and waits for its greeting.
func (d *daemon) run(ctx context.Context, at place, cmd *exec.Cmd) error {
	d.log = filepath.Join(at.dir, "output.log")
	out, err := os.Create(d.log)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	d.cmd, d.exited = cmd, make(chan error, 1)
	at.group.add(cmd.Process.Pid)
	go func() { d.exited <- cmd.Wait() }()
	if err := awaitBanner(ctx, d.listen); err != nil {
		return fmt.Errorf("%w\n%s", err, d.trouble())
	}
	return nil
}

// stop kills it: what a peer does at its end is not measured.
func (d *daemon) stop(context.Context) error {
	if d.cmd == nil {
		return nil
	}
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-d.exited // it was killed: its state is known
	d.cmd = nil
	return nil
}

// holding leaves the products that can take mail and keep it.
func (s roster) holding() roster {
	s.list = slices.DeleteFunc(slices.Clone(s.list), func(p product) bool { return !p.holds })
	return s
}
