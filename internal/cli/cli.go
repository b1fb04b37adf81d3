// Package cli is the command line: it reads arguments, starts the server or
// talks to one over HTTP, and prints for people on a terminal and JSON
// elsewhere.
//
// Invariants:
//   - What was asked for goes to standard output, errors and remarks to standard
//     error; the exit status says what kind an error is, so that scripts can
//     branch.
//   - Text that came over the network never reaches a terminal with control
//     characters in it.
//   - No command waits without a bound unless it was asked to.
package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/config"
)

// Exit statuses.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitAuth     = 4
	exitCheck    = 5 // doctor found something wrong
)

// Env is what a command gets from the world.
type Env struct {
	Args    []string
	Environ []string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Version string

	// Terminal says which outputs are terminals; nil: it is found out.
	Terminal *Terminal
	// Clock tells the time; nil: the machine's.
	Clock clock.Clock
	// Zone is the time zone times are shown and read in; nil: the machine's.
	Zone *time.Location

	json bool // --json was given
}

// Terminal describes the outputs of a process.
type Terminal struct {
	Stdin, Stdout, Stderr bool
	Width                 int // columns of standard output
}

func (e *Env) clock() clock.Clock {
	if e.Clock == nil {
		return clock.System{}
	}
	return e.Clock
}

func (e *Env) zone() *time.Location {
	if e.Zone == nil {
		return time.Local
	}
	return e.Zone
}

// variable returns the value of an environment variable, "" when not set.
func (e *Env) variable(name string) string {
	for _, line := range e.Environ {
		if key, value, ok := strings.Cut(line, "="); ok && key == name {
			return value
		}
	}
	return ""
}

// command is one verb, or a noun and a verb.
type command struct {
	name     string // "serve", "messages ls"
	aliases  []string
	summary  string
	args     []string // what follows the name, one per form of use
	notes    string   // paragraphs for the help text, each line ended
	examples []string // what follows "postroad"
	options  func() *flagSet
	settings []config.Mode // modes whose settings are options too
	run      func(e *Env, args []string) error
}

// commands in the order help shows them.
func commands() []command {
	return []command{
		{name: "dev", summary: "start in capture mode: any key, any domain, nothing leaves the machine", args: []string{"[options]"},
			examples: []string{"dev", "dev --http 127.0.0.1:9025 --data ./mail", "dev --strict"}, settings: []config.Mode{config.Dev}, run: runDev},
		{name: "serve", summary: "start in production mode", args: []string{"[options]"},
			examples: []string{"serve --hostname mail.example.com", "serve --relay '*=smtp://user:password@relay.example.net:587'"},
			settings: []config.Mode{config.Serve}, run: runServe},
		sendCommand(),
		messagesListCommand(),
		messagesShowCommand(),
		queueListCommand(),
		queueTopCommand(),
		queueShowCommand(),
		queueRetryCommand(),
		queueBounceCommand(),
		queueDropCommand(),
		queuePauseCommand(),
		queueResumeCommand(),
		queueLimitCommand(),
		queueRerouteCommand(),
		queueRulesCommand(),
		traceCommand(),
		routesListCommand(),
		routesTestCommand(),
		suppressionsListCommand(),
		suppressionsAddCommand(),
		suppressionsRemoveCommand(),
		suppressionsImportCommand(),
		suppressionsImportsCommand(),
		suppressionsWhyCommand(),
		doctorCommand(),
		backupCommand(),
		restoreCommand(),
		verifyCommand(),
		{name: "config show", summary: "print the settings in force and where each comes from", args: []string{"[dev|serve] [options]"},
			notes: "Options are those of postroad dev or postroad serve (the default).\n", examples: []string{"config show", "config show dev --data ./mail"}, run: runConfigShow},
		{name: "config sample", summary: "print a commented settings file", examples: []string{"config sample > postroad.toml"}, run: noArguments(runConfigSample)},
		{name: "config docs", summary: "print the reference of settings", examples: []string{"config docs > settings.md"}, run: noArguments(runConfigDocs)},
		{name: "commands", summary: "print this list as JSON", examples: []string{"commands"}, run: noArguments(runCommands)},
		{name: "version", summary: "print the version", examples: []string{"version"}, run: noArguments(runVersion)},
	}
}

// Main runs the command named by e.Args and returns the exit status.
func Main(e Env) int {
	err := dispatch(&e)
	if err == nil {
		return exitOK
	}
	printError(&e, err)
	var f *failure
	if errors.As(err, &f) {
		return f.status
	}
	return exitFailed
}

func dispatch(e *Env) error {
	args := e.Args
	switch {
	case len(args) == 0 || args[0] == "--help" || args[0] == "-h":
		return printHelp(e.Stdout)
	case args[0] == "--version":
		return runVersion(e)
	case args[0] == "help":
		return helpOn(e, args[1:])
	case len(args) == 2 && (args[1] == "--help" || args[1] == "-h") && isGroup(args[0]):
		return printGroupHelp(e.Stdout, args[0])
	}
	c, rest, ok := findCommand(args)
	if !ok {
		return unknownCommand(args)
	}
	err := c.run(e, rest)
	if errors.Is(err, errHelp) {
		return printCommandHelp(e.Stdout, c)
	}
	var f *failure
	if errors.As(err, &f) && f.status == exitUsage && f.hint == "" {
		f.hint = "postroad " + c.name + " --help"
	}
	return err
}

// findCommand finds the command that args begin with.
func findCommand(args []string) (c *command, rest []string, ok bool) {
	list := commands()
	for i := range list {
		for _, name := range append([]string{list[i].name}, list[i].aliases...) {
			n := len(strings.Fields(name))
			if len(args) >= n && strings.Join(args[:n], " ") == name {
				return &list[i], args[n:], true
			}
		}
	}
	return nil, nil, false
}

func unknownCommand(args []string) error {
	words := firstWords(args)
	if len(words) == 0 {
		return usage("no command before %q", clean(args[0])).try("postroad help")
	}
	name := strings.Join(words, " ")
	near := similarCommands(words)
	if len(near) == 0 {
		return usage("unknown command %q", clean(name)).try("postroad help")
	}
	for _, n := range near {
		if strings.HasPrefix(n, name+" ") {
			return usage("%s needs a second word: %s", clean(name), strings.Join(near, ", ")).try("postroad " + clean(name) + " --help")
		}
	}
	return usage("unknown command %q; did you mean %s?", clean(name), strings.Join(near, " or ")).try("postroad help")
}

func firstWords(args []string) []string {
	var out []string
	for _, a := range args {
		if strings.HasPrefix(a, "-") || len(out) == 2 {
			break
		}
		out = append(out, a)
	}
	return out
}

// similarCommands names the commands that begin like what was typed, or the one
// nearest to it.
func similarCommands(words []string) []string {
	var names, same []string
	for _, c := range commands() {
		names = append(names, c.name)
		if strings.HasPrefix(c.name, words[0]+" ") {
			same = append(same, c.name)
		}
	}
	if len(same) > 0 && len(words) == 1 {
		return same
	}
	for _, typed := range []string{strings.Join(words, " "), words[0]} {
		if near := config.Nearest(typed, names); near != "" {
			return []string{near}
		}
	}
	return same
}

// noArguments refuses arguments, but for --help.
func noArguments(run func(*Env) error) func(*Env, []string) error {
	return func(e *Env, args []string) error {
		rest, err := newFlags().parse(args)
		if err != nil {
			return err
		}
		if len(rest) > 0 {
			return usage("unexpected argument %q", clean(rest[0]))
		}
		return run(e)
	}
}

func runVersion(e *Env) error {
	if !e.terminal().Stdout {
		return printJSON(e.Stdout, map[string]string{"version": e.Version})
	}
	_, err := fmt.Fprintln(e.Stdout, "postroad", e.Version)
	return err
}
