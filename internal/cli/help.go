package cli

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"postroad/internal/config"
)

// helpOn is "postroad help [COMMAND]".
func helpOn(e *Env, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return printHelp(e.Stdout)
	}
	if len(args) == 1 && isGroup(args[0]) {
		return printGroupHelp(e.Stdout, args[0])
	}
	c, _, ok := findCommand(args)
	if !ok {
		return unknownCommand(args)
	}
	return printCommandHelp(e.Stdout, c)
}

// isGroup reports whether word is the first of commands with two.
func isGroup(word string) bool {
	return slices.ContainsFunc(commands(), func(c command) bool { return strings.HasPrefix(c.name, word+" ") })
}

// list writes the commands that begin with prefix.
func list(b *bytes.Buffer, prefix string) {
	wide := 0
	for _, c := range commands() {
		if strings.HasPrefix(c.name, prefix) {
			wide = max(wide, len(c.name))
		}
	}
	for _, c := range commands() {
		if strings.HasPrefix(c.name, prefix) {
			fmt.Fprintf(b, "  %-*s  %s\n", wide, c.name, c.summary)
		}
	}
}

// printGroupHelp is "postroad queue --help".
func printGroupHelp(w io.Writer, group string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Usage: postroad %s COMMAND [options]\n\n", group)
	list(&b, group+" ")
	fmt.Fprintf(&b, "\nOptions of a command: postroad %s COMMAND --help\n", group)
	_, err := w.Write(b.Bytes())
	return err
}

func printHelp(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("postroad: a mail platform in one program\n\nUsage: postroad COMMAND [options]\n\n")
	list(&b, "")
	b.WriteString("\nOptions of a command: postroad COMMAND --help\n" +
		"Start here:           postroad dev\n" +
		"\nWhere the output is no terminal, results and errors are JSON.\n" +
		"Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 key refused, 5 a check failed.\n")
	_, err := w.Write(b.Bytes())
	return err
}

func printCommandHelp(w io.Writer, c *command) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "postroad %s: %s\n\n", c.name, c.summary)
	for i, form := range append(c.args, "")[:max(1, len(c.args))] {
		head := "Usage:"
		if i > 0 {
			head = "      "
		}
		b.WriteString(strings.TrimRight(head+" postroad "+c.name+" "+form, " ") + "\n")
	}
	if c.notes != "" {
		b.WriteString("\n" + c.notes)
	}
	if c.options != nil {
		b.WriteString("\nOptions:\n" + c.options().help())
	}
	for _, mode := range c.settings {
		b.WriteString("\nSettings:\n" + config.UsageFor(mode))
	}
	if len(c.examples) > 0 {
		b.WriteString("\nExamples:\n")
	}
	for _, x := range c.examples {
		b.WriteString("  postroad " + strings.ReplaceAll(x, "\n", "\n      ") + "\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// runCommands prints the commands for programs.
func runCommands(e *Env) error {
	type item struct {
		Name     string       `json:"name"`
		Aliases  []string     `json:"aliases,omitempty"`
		Summary  string       `json:"summary"`
		Usage    []string     `json:"usage"`
		Options  []optionItem `json:"options,omitempty"`
		Examples []string     `json:"examples"`
	}
	var items []item
	for _, c := range commands() {
		it := item{Name: c.name, Aliases: c.aliases, Summary: c.summary}
		for _, form := range append(c.args, "")[:max(1, len(c.args))] {
			it.Usage = append(it.Usage, strings.TrimRight("postroad "+c.name+" "+form, " "))
		}
		for _, x := range c.examples {
			it.Examples = append(it.Examples, "postroad "+strings.ReplaceAll(x, "\\\n", ""))
		}
		if c.options != nil {
			it.Options = c.options().items()
		}
		items = append(items, it)
	}
	return printJSON(e.Stdout, items)
}
