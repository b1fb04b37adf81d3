package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"postroad/internal/config"
)

// helpOn is "postroad help [COMMAND]".
func helpOn(e *Env, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return printHelp(e.Stdout)
	}
	c, _, ok := findCommand(args)
	if !ok {
		return unknownCommand(args)
	}
	return printCommandHelp(e.Stdout, c)
}

func printHelp(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("postroad: a mail platform in one program\n\nUsage: postroad COMMAND [options]\n\n")
	wide := 0
	for _, c := range commands() {
		wide = max(wide, len(c.name))
	}
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-*s  %s\n", wide, c.name, c.summary)
	}
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
	var list []item
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
		list = append(list, it)
	}
	return printJSON(e.Stdout, list)
}
