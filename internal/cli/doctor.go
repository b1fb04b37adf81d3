package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"postroad/internal/config"
)

// The states of a check.
const (
	stateOK   = "ok"
	stateWarn = "warn" // works, but will hurt
	stateFail = "fail"
	stateSkip = "skip" // has no meaning here, or cannot be found out
)

// check is one thing doctor looked at, with the evidence for its state and the
// command or change that puts it right.
type check struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	State    string `json:"state"`
	Evidence string `json:"evidence"`
	Fix      string `json:"fix,omitempty"`
}

// finding is what a check came to.
type finding struct{ state, evidence, fix string }

func good(format string, args ...any) finding {
	return finding{stateOK, fmt.Sprintf(format, args...), ""}
}

func skipped(format string, args ...any) finding {
	return finding{stateSkip, fmt.Sprintf(format, args...), ""}
}

func warned(fix, format string, args ...any) finding {
	return finding{stateWarn, fmt.Sprintf(format, args...), fix}
}

func broken(fix, format string, args ...any) finding {
	return finding{stateFail, fmt.Sprintf(format, args...), fix}
}

func doctorFlags() (*clientFlags, *flagSet) {
	o, f := &clientFlags{}, newFlags()
	f.text(&o.url, "url", "URL", "address of the server (default: $"+envURL+", else where these settings make it listen)")
	f.text(&o.key, "key", "KEY", "API key to check too (default: $"+envKey+")")
	f.on(&o.json, "json", "print JSON, also on a terminal")
	f.on(&o.quiet, "quiet", "print only what is not in order")
	return o, f
}

func doctorCommand() command {
	return command{name: "doctor", summary: "check this machine and a running server", args: []string{"[dev|serve] [options] [settings]"},
		notes: "Checks the machine for the settings given, which are those of postroad serve (the default)\n" +
			"or postroad dev: give the same here. Exit status 5 when a check fails.\n",
		examples: []string{"doctor", "doctor --data /var/lib/postroad --hostname mail.example.com", "doctor dev",
			"doctor --json | jq '.checks[] | select(.state == \"fail\")'"},
		options: func() *flagSet { _, f := doctorFlags(); return f }, run: runDoctor}
}

func runDoctor(e *Env, args []string) error {
	o, f := doctorFlags()
	for _, s := range (&config.Config{}).Settings() {
		name := "--" + strings.ReplaceAll(s.Name, "_", "-")
		f.others = append(f.others, name, strings.Replace(name, "--", "--no-", 1))
	}
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	mode, rest := modeOf(rest)
	cfg, unknown, warnings, err := config.Parse(mode, rest, serverEnviron(e.Environ), os.ReadFile)
	if err != nil {
		return badSettings(err, mode)
	}
	if len(unknown) > 0 {
		return usage("unexpected argument %q", clean(unknown[0])).try("postroad doctor --help")
	}
	p, err := newProbe(e, cfg, o)
	if err != nil {
		return err
	}
	p.warnings = warnings
	return report(e, o, p.run(context.Background()))
}

// step is a check before it is made.
type step struct {
	id, title string
	make      func(ctx context.Context) finding
}

// most is how long one check may take; they are made at the same time.
const most = 12 * time.Second

// run makes all checks at once and returns them in their order.
func (p *probe) run(ctx context.Context) []check {
	steps := p.steps()
	out := make([]check, len(steps))
	var wg sync.WaitGroup
	for i, s := range steps {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, most)
			defer cancel()
			f := s.make(ctx)
			out[i] = check{s.id, s.title, f.state, f.evidence, f.fix}
		})
	}
	wg.Wait()
	return out
}

// steps in the order they are shown: what mail cannot go out without comes
// first.
func (p *probe) steps() []step {
	list := []step{
		{"server", "Server answers", p.checkServer},
		{"key", "API key is accepted", p.checkKey},
		{"resolver", "DNS resolver answers", p.checkResolver},
		{"port25-ipv4", "Outgoing port 25, IPv4", func(ctx context.Context) finding { return p.checkPort(ctx, false) }},
		{"port25-ipv6", "Outgoing port 25, IPv6", func(ctx context.Context) finding { return p.checkPort(ctx, true) }},
	}
	for _, r := range p.relays() {
		list = append(list, step{"relay " + r, "Relay " + r + " answers", func(ctx context.Context) finding { return p.checkRelay(ctx, r) }})
	}
	for _, l := range p.cfg.SMTP {
		name := string(l.Service) + " " + string(l.Addr)
		list = append(list, step{"listener " + name, "Listener " + name, func(ctx context.Context) finding { return p.checkMail(ctx, l) }})
	}
	if p.cfg.HTTPS != "" {
		list = append(list, step{"listener https " + string(p.cfg.HTTPS), "Listener https " + string(p.cfg.HTTPS), p.checkHTTPS})
	}
	if p.cfg.SpamFilter.Network != "" {
		list = append(list, step{"spam-filter", "Spam filter answers", p.checkSpamFilter})
	}
	return append(list, []step{
		{"certificate", "Certificate", p.checkCertificate},
		{"hostname", "Host name fit for HELO", p.checkHostname},
		{"ptr", "Reverse DNS (PTR)", p.checkPTR},
		{"clock", "Clock is right", p.checkClock},
		{"disk", "Disk space", p.checkDisk},
		{"data", "Data directory is private", p.checkData},
		{"settings", "Settings are understood", p.checkSettings},
		{"insecure", "No protection given up", p.checkInsecure},
		{"signing", "Speed of signing (DKIM)", p.checkSigning},
	}...)
}

// report prints the checks; the error says how many failed.
func report(e *Env, o *clientFlags, list []check) error {
	bad := 0
	for _, c := range list {
		if c.State == stateFail {
			bad++
		}
	}
	var err error
	if o.form(e) == forPrograms {
		err = printJSON(e.Stdout, struct {
			OK     bool    `json:"ok"`
			Checks []check `json:"checks"`
		}{bad == 0, list})
	} else {
		err = printChecks(e, list, o.quiet)
	}
	if err != nil || bad == 0 {
		return err
	}
	return &failure{status: exitCheck, code: "check_failed", message: fmt.Sprintf("%d of %d checks failed", bad, len(list))}
}

// printChecks writes one line for each check, and the fix below it.
func printChecks(e *Env, list []check, quiet bool) error {
	if quiet {
		list = slices.DeleteFunc(slices.Clone(list), func(c check) bool { return c.State == stateOK || c.State == stateSkip })
	}
	wide := 0
	for _, c := range list {
		wide = max(wide, textWidth(c.Title))
	}
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, "%-4s  %-*s  ", strings.ToUpper(c.State), wide, clean(c.Title))
		indent := 4 + 2 + wide + 2
		wrap(&b, clean(c.Evidence), indent, e.width())
		if c.Fix != "" {
			b.WriteString(strings.Repeat(" ", indent))
			wrap(&b, "Fix: "+clean(c.Fix), indent, e.width())
		}
	}
	_, err := io.WriteString(e.Stdout, b.String())
	return err
}

// wrap writes words in lines of at most width columns, the first of which begins
// at column indent already. A width of 0, or one that leaves little room, means
// one line.
func wrap(b *strings.Builder, text string, indent, width int) {
	room := width - indent
	if room < 20 {
		b.WriteString(text + "\n")
		return
	}
	at := 0
	for i, word := range strings.Fields(text) {
		n := textWidth(word)
		switch {
		case i == 0:
		case at+1+n > room:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	b.WriteByte('\n')
}

// shortReason leaves out what net errors repeat around their cause.
func shortReason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return "no answer in time"
	}
	return strings.TrimPrefix(err.Error(), "dns: ")
}
