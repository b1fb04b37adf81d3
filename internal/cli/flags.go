package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"postroad/internal/config"
)

// errHelp says that --help was given.
var errHelp = errors.New("help requested")

// flagSet reads options in GNU style (--name value, --name=value, between other
// arguments, up to "--") into the values of the standard flag package, which
// stops at the first argument and knows no suggestions.
type flagSet struct {
	fs    *flag.FlagSet
	order []string
	args  map[string]string // placeholders of values
	// others are flags that belong to someone else: they and their values are
	// left among the arguments.
	others []string
}

// optionItem is how an option is documented.
type optionItem struct {
	Name   string `json:"name"`
	Arg    string `json:"arg,omitempty"`
	Repeat bool   `json:"repeat,omitempty"`
	Doc    string `json:"doc"`
}

func newFlags() *flagSet {
	fs := flag.NewFlagSet("postroad", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return &flagSet{fs: fs, args: map[string]string{}}
}

// text adds an option whose value is shown as arg.
func (f *flagSet) text(p *string, name, arg, doc string) {
	f.fs.StringVar(p, name, "", doc)
	f.order, f.args[name] = append(f.order, name), arg
}

// list adds an option that may be repeated.
func (f *flagSet) list(p *[]string, name, arg, doc string) {
	f.fs.Var((*listValue)(p), name, doc)
	f.order, f.args[name] = append(f.order, name), arg
}

// on adds a switch.
func (f *flagSet) on(p *bool, name, doc string) {
	f.fs.BoolVar(p, name, false, doc)
	f.order = append(f.order, name)
}

// listValue collects the values of a repeated option.
type listValue []string

// String implements flag.Value.
func (l *listValue) String() string { return strings.Join(*l, " ") }

// Set implements flag.Value.
func (l *listValue) Set(s string) error {
	*l = append(*l, s)
	return nil
}

func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// parse sets the options and returns the other arguments.
func (f *flagSet) parse(args []string) (rest []string, err error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return append(rest, args...), nil
		case arg == "--help" || arg == "-h":
			return nil, errHelp
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
			continue
		}
		name, value, has := strings.Cut(arg, "=")
		if slices.Contains(f.others, name) {
			rest = append(rest, arg)
			continue
		}
		if args, err = f.set(name, value, has, args); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// set gives one option its value, which may be the next argument.
func (f *flagSet) set(name, value string, has bool, args []string) ([]string, error) {
	fl := f.fs.Lookup(strings.TrimPrefix(name, "--"))
	switch {
	case fl == nil || !strings.HasPrefix(name, "--"):
		return nil, f.unknown(name)
	case isSwitch(fl) && !has:
		value = "true"
	case !has && len(args) == 0:
		return nil, usage("%s needs a value: %s %s", name, name, f.args[fl.Name])
	case !has:
		value, args = args[0], args[1:]
	}
	if err := fl.Value.Set(value); err != nil {
		return nil, usage("%s: %q is not a value it takes", name, clean(value))
	}
	return args, nil
}

func (f *flagSet) unknown(name string) error {
	names := append([]string{"--help"}, f.others...)
	for _, n := range f.order {
		names = append(names, "--"+n)
	}
	if near := config.Nearest("--"+strings.TrimLeft(name, "-"), names); near != "" {
		return usage("unknown flag %s; did you mean %s?", clean(name), near)
	}
	return usage("unknown flag %s", clean(name))
}

func (f *flagSet) items() []optionItem {
	var out []optionItem
	for _, name := range f.order {
		fl := f.fs.Lookup(name)
		_, repeat := fl.Value.(*listValue)
		out = append(out, optionItem{Name: "--" + name, Arg: f.args[name], Repeat: repeat, Doc: fl.Usage})
	}
	return out
}

// help is the list of options for the help text.
func (f *flagSet) help() string {
	var b strings.Builder
	items := f.items()
	wide := 0
	for _, it := range items {
		wide = max(wide, len(it.Name)+1+len(it.Arg))
	}
	for _, it := range items {
		doc := it.Doc
		if it.Repeat {
			doc += " (may be repeated)"
		}
		fmt.Fprintf(&b, "  %-*s  %s\n", wide, strings.TrimSpace(it.Name+" "+it.Arg), doc)
	}
	return b.String()
}
