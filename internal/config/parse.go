package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrHelp: help was asked for with --help or -h; see UsageFor.
var ErrHelp = errors.New("help requested")

// SystemFile is the file that Serve reads when the data directory has none.
const SystemFile = "/etc/postroad.toml"

// dataFile is the name of the file looked for in the data directory.
const dataFile = "postroad.toml"

// source is one place settings come from: values by name of the option.
type source map[string]given

// Parse reads the settings for a mode from command-line arguments (without the
// program and command names), environment ("NAME=value", as os.Environ gives
// it) and file. rest are the arguments that are not flags. Warnings are for the
// reader of the terminal and the log. readFile is os.ReadFile outside tests.
//
// An empty environment variable counts as not set. Without --config the file is
// postroad.toml in the data directory, or for Serve SystemFile; Dev does not
// read the latter, so that an experiment on a production machine does not open
// production's data. Errors: ErrHelp, or all mistakes found, joined.
func Parse(mode Mode, args, environ []string, readFile func(string) ([]byte, error)) (cfg *Config, rest, warnings []string, err error) {
	opts := options()
	flags, rest, err := readFlags(opts, mode, args)
	if err != nil {
		return nil, rest, nil, err
	}
	env, warnings, err := readEnv(opts, environ, readFile)
	if err != nil {
		return nil, rest, warnings, err
	}
	c := &Config{Mode: mode, origins: map[string]string{}}
	if err := c.setDefaults(opts, environ); err != nil {
		return nil, rest, warnings, err
	}
	// The file's place depends on these two.
	var first []option
	for _, o := range opts {
		if o.name == "data" || o.name == "config" {
			first = append(first, o)
		}
	}
	if err := c.apply(first, flags, env); err != nil {
		return nil, rest, warnings, err
	}
	file, err := c.readFile(opts, readFile)
	if err != nil {
		return nil, rest, warnings, err
	}
	warnings = append(warnings, dropOther(opts, mode, env, file)...)
	if err := c.apply(opts, flags, env, file); err != nil {
		return nil, rest, warnings, err
	}
	c.completeACME()
	if err := c.validate(); err != nil {
		return nil, rest, warnings, err
	}
	return c, rest, warnings, nil
}

// dropOther removes what has no meaning in this mode. In a file that is usual,
// because both modes may read it; a variable was meant for this process.
func dropOther(opts []option, mode Mode, env, file source) (warnings []string) {
	for _, o := range opts {
		if o.only == "" || o.only == mode.String() {
			continue
		}
		if g, ok := env[o.name]; ok {
			warnings = append(warnings, fmt.Sprintf("%s has no effect: it is only for %s", g.detail, o.only))
		}
		delete(env, o.name)
		delete(file, o.name)
	}
	return warnings
}

// apply sets each option from the first source that has it. Every mistake is
// reported, not only the first.
func (c *Config) apply(opts []option, sources ...source) error {
	var errs []error
	for _, o := range opts {
		for _, src := range sources {
			g, ok := src[o.name]
			if !ok {
				continue
			}
			if err := c.set(o, g.texts); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", g.detail, err))
			}
			c.origins[o.name] = g.origin
			break
		}
	}
	return errors.Join(errs...)
}

func (c *Config) setDefaults(opts []option, environ []string) error {
	for _, o := range opts {
		if text, ok := o.fixed(c.Mode); ok {
			if err := c.set(o, []string{text}); err != nil {
				return fmt.Errorf("default of %s: %w", o.name, err)
			}
		}
	}
	c.Data = defaultData(c.Mode, environ, os.Geteuid() == 0)
	name, err := os.Hostname()
	if err != nil || !validName(name) {
		name = "localhost" // a default must not stop the start; doctor looks at it
	}
	c.Hostname = name
	return nil
}

// defaultData follows the XDG base directory specification for a user's
// process, and the file system hierarchy standard for root's.
func defaultData(mode Mode, environ []string, root bool) string {
	const system = "/var/lib/postroad"
	if mode == Serve && root {
		return system
	}
	name := "postroad"
	if mode == Dev {
		name = "postroad-dev"
	}
	if base := lookup(environ, "XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, name)
	}
	for _, home := range []string{"HOME", "USERPROFILE"} {
		if base := lookup(environ, home); base != "" {
			return filepath.Join(base, ".local", "share", name)
		}
	}
	return filepath.Join(".", name) // a container without a home
}

func lookup(environ []string, name string) string {
	for _, line := range environ {
		if key, value, ok := strings.Cut(line, "="); ok && key == name {
			return value
		}
	}
	return ""
}

// readFlags takes --name value, --name=value, --switch, --switch=false and
// --no-switch, between other arguments as well, up to "--".
func readFlags(opts []option, mode Mode, args []string) (source, []string, error) {
	out, rest := source{}, []string{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return out, append(rest, args...), nil
		case arg == "--help" || arg == "-h":
			return nil, nil, ErrHelp
		case len(arg) < 2 || arg[0] != '-':
			rest = append(rest, arg)
			continue
		}
		name, value, has := strings.Cut(arg, "=")
		o, off, err := flagOption(opts, mode, name)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case off && has:
			return nil, nil, fmt.Errorf("%s takes no value", name)
		case off:
			value = "false"
		case o.isBool() && !has:
			value = "true"
		case !has && len(args) == 0:
			return nil, nil, fmt.Errorf("%s needs a value: %s %s", name, name, o.arg)
		case !has:
			value, args = args[0], args[1:]
		}
		out.add(o, value)
	}
	return out, rest, nil
}

func (s source) add(o option, value string) {
	g := given{origin: "flag", detail: o.flag()}
	if o.isList() {
		g.texts = s[o.name].texts
	}
	g.texts = append(g.texts, value)
	s[o.name] = g
}

// flagOption finds the option of a flag; off means --no-name.
func flagOption(opts []option, mode Mode, name string) (o option, off bool, err error) {
	o, ok := find(opts, func(o option) bool { return o.flag() == name })
	if positive, no := strings.CutPrefix(name, "--no-"); !ok && no {
		o, ok = find(opts, func(o option) bool { return o.isBool() && o.flag() == "--"+positive })
		off = ok
	}
	if !ok {
		return option{}, false, fmt.Errorf("unknown flag %s%s", name, suggestion(name, flagNames(opts)))
	}
	if o.only != "" && o.only != mode.String() {
		return option{}, false, fmt.Errorf("%s is only for %s", name, o.only)
	}
	return o, off, nil
}

// readEnv takes the variables with our prefix, and those of tags env.
func readEnv(opts []option, environ []string, readFile func(string) ([]byte, error)) (source, []string, error) {
	out := source{}
	var warnings []string
	var errs []error
	for _, line := range environ {
		key, value, ok := strings.Cut(line, "=")
		if !ok || !strings.HasPrefix(key, envPrefix) {
			continue
		}
		o, inFile, ok := envOption(opts, key)
		if !ok {
			warnings = append(warnings, "unknown variable "+key+suggestion(key, envNames(opts)))
			continue
		}
		if value == "" {
			continue
		}
		if _, twice := out[o.name]; twice {
			errs = append(errs, fmt.Errorf("%s and %s: give one of them", o.env(), o.env()+fileSuffix))
			continue
		}
		if inFile {
			var err error
			if value, err = secretFile(value, readFile); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", key, err))
				continue
			}
		}
		texts := []string{value}
		if o.isList() {
			texts = strings.Fields(value)
		}
		out[o.name] = given{texts, "env", key}
	}
	out.addForeign(opts, environ)
	return out, warnings, errors.Join(errs...)
}

// addForeign takes variables that are not ours by name, where ours are not set:
// what the documents of an integration tell people to set.
func (s source) addForeign(opts []option, environ []string) {
	for _, o := range opts {
		name := o.tag.Get("env")
		if _, ours := s[o.name]; ours || name == "" {
			continue
		}
		if value := lookup(environ, name); value != "" {
			s[o.name] = given{[]string{value}, "env", name}
		}
	}
}

// envOption finds the option of a variable, or of NAME_FILE for a secret.
func envOption(opts []option, key string) (o option, inFile, ok bool) {
	if o, ok = find(opts, func(o option) bool { return o.env() == key }); ok {
		return o, false, true
	}
	o, ok = find(opts, func(o option) bool { return o.secret && o.env()+fileSuffix == key })
	return o, true, ok
}

// secretFile reads a secret; the line end that editors add is not part of it.
func secretFile(name string, readFile func(string) ([]byte, error)) (string, error) {
	data, err := readFile(name)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("%s is empty", name)
	}
	return text, nil
}

// readFile reads the settings file, if there is one, and notes its name in File.
func (c *Config) readFile(opts []option, readFile func(string) ([]byte, error)) (source, error) {
	if c.File != "" {
		data, err := readFile(c.File)
		if err != nil {
			return nil, fmt.Errorf("--config: %w", err)
		}
		return parseFile(opts, c.File, data)
	}
	places := []string{filepath.Join(c.Data, dataFile)}
	if c.Mode == Serve {
		places = append(places, SystemFile)
	}
	for _, name := range places {
		data, err := readFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("settings file: %w", err)
		}
		c.File = name
		return parseFile(opts, name, data)
	}
	return source{}, nil
}
