package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// option is one field of Config as its tags describe it.
type option struct {
	name     string // file key
	arg      string
	doc      string
	insecure string
	shown    string
	only     string
	secret   bool
	noFile   bool
	field    int
	tag      reflect.StructTag
	kind     reflect.Type
}

func (o option) flag() string { return "--" + strings.ReplaceAll(o.name, "_", "-") }

func (o option) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(o.name, ".", "_"))
}

func (o option) isBool() bool { return o.kind.Kind() == reflect.Bool }

func (o option) isInt() bool { return o.kind.Kind() == reflect.Int }

func (o option) isList() bool {
	return o.kind == reflect.TypeFor[Relays]() || o.kind == reflect.TypeFor[Sources]() || o.kind == reflect.TypeFor[MailListens]()
}

// fixed is the default written in the tags, for one mode.
func (o option) fixed(mode Mode) (string, bool) {
	if text, ok := o.tag.Lookup(mode.String()); ok {
		return text, true
	}
	return o.tag.Lookup("default")
}

const (
	envPrefix  = "POSTROAD_"
	fileSuffix = "_FILE"
)

// options lists the fields of Config that are settings, in their order.
func options() []option {
	t := reflect.TypeFor[Config]()
	var out []option
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("name")
		if name == "" {
			continue
		}
		out = append(out, option{
			name: name, arg: f.Tag.Get("arg"), doc: f.Tag.Get("doc"), insecure: f.Tag.Get("insecure"),
			shown: f.Tag.Get("shown"), only: f.Tag.Get("only"),
			secret: f.Tag.Get("secret") == "true", noFile: f.Tag.Get("nofile") == "true",
			field: i, tag: f.Tag, kind: f.Type,
		})
	}
	return out
}

func find(opts []option, is func(option) bool) (option, bool) {
	i := slices.IndexFunc(opts, is)
	if i < 0 {
		return option{}, false
	}
	return opts[i], true
}

func flagNames(opts []option) []string {
	out := []string{"--help"}
	for _, o := range opts {
		out = append(out, o.flag())
	}
	return out
}

func envNames(opts []option) []string {
	var out []string
	for _, o := range opts {
		out = append(out, o.env())
		if o.secret {
			out = append(out, o.env()+fileSuffix)
		}
	}
	return out
}

func fileKeys(opts []option) []string {
	var out []string
	for _, o := range opts {
		if !o.noFile {
			out = append(out, o.name)
		}
	}
	return out
}

// given is a value as it was found, before it is understood.
type given struct {
	texts  []string
	origin string // "flag", "env", "file"
	detail string // where exactly, for messages: --smtp, POSTROAD_SMTP, smtp in FILE
}

// set parses a value into its field. Messages about secrets do not repeat them.
func (c *Config) set(o option, texts []string) error {
	at := reflect.ValueOf(c).Elem().Field(o.field)
	switch o.kind {
	case reflect.TypeFor[Relays]():
		return setList((*[]Relay)(&c.Relay), texts, ParseRelay)
	case reflect.TypeFor[Sources]():
		return setList((*[]Source)(&c.Source), texts, ParseSource)
	case reflect.TypeFor[MailListens]():
		listens, err := parseMailListens(texts)
		if err == nil {
			c.SMTP = listens
		}
		return err
	}
	value, err := o.parse(texts[len(texts)-1])
	if err != nil {
		return err
	}
	at.Set(reflect.ValueOf(value).Convert(o.kind))
	return nil
}

func setList[T any](to *[]T, texts []string, parse func(string) (T, error)) error {
	*to = nil
	for _, text := range texts {
		v, err := parse(text)
		if err != nil {
			return err
		}
		*to = append(*to, v)
	}
	return nil
}

func (o option) parse(text string) (any, error) {
	switch o.kind {
	case reflect.TypeFor[Listen]():
		return parseListen(text)
	case reflect.TypeFor[Size]():
		n, err := parseSize(text)
		return n, errors.Join(err, o.within(int64(n), err))
	case reflect.TypeFor[time.Duration]():
		d, err := parseDuration(text)
		return d, errors.Join(err, o.within(int64(d), err))
	case reflect.TypeFor[Schedule]():
		return parseSchedule(text)
	case reflect.TypeFor[SpamFilter]():
		return ParseSpamFilter(text)
	}
	switch o.kind.Kind() {
	case reflect.Bool:
		return parseBool(text)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		return n, o.within(int64(n), nil)
	case reflect.String:
		return text, o.among(text)
	}
	return nil, fmt.Errorf("option %s has a type that cannot be read: %s", o.name, o.kind)
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is not true or false", text)
}

// within checks the limits in the tags; before is an error already known.
func (o option) within(n int64, before error) error {
	if before != nil {
		return nil
	}
	for _, limit := range []struct {
		tag, word string
		outside   func(bound int64) bool
	}{
		{"min", "least", func(b int64) bool { return n < b }},
		{"max", "most", func(b int64) bool { return n > b }},
	} {
		text, ok := o.tag.Lookup(limit.tag)
		if !ok {
			continue
		}
		bound, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("option %s: limit %q: %w", o.name, text, err)
		}
		if limit.outside(bound) {
			return fmt.Errorf("%s is out of range: at %s %s", o.format(n), limit.word, o.format(bound))
		}
	}
	return nil
}

// format writes a number the way the option is written.
func (o option) format(n int64) string {
	switch o.kind {
	case reflect.TypeFor[Size]():
		return Size(n).String()
	case reflect.TypeFor[time.Duration]():
		return formatDuration(time.Duration(n))
	}
	return strconv.FormatInt(n, 10)
}

func (o option) among(text string) error {
	words := strings.Fields(o.tag.Get("oneof"))
	if len(words) == 0 || slices.Contains(words, text) {
		return nil
	}
	return fmt.Errorf("%q is not one of %s", text, strings.Join(words, ", "))
}

// text is the value in force in the form it is written in, secrets hidden.
func (c *Config) text(o option) string {
	switch v := reflect.ValueOf(c).Elem().Field(o.field).Interface().(type) {
	case time.Duration:
		return formatDuration(v)
	case Listen:
		if v == "" && o.name != "dns" {
			return "off"
		}
		return string(v)
	default:
		return fmt.Sprint(v)
	}
}

func (o option) isSchedule() bool { return o.kind == reflect.TypeFor[Schedule]() }

func (o option) takesNumber() bool {
	return o.isInt() || o.kind == reflect.TypeFor[Size]()
}

func (o option) tomlType() string {
	switch {
	case o.isBool():
		return "true or false"
	case o.isList(), o.isSchedule():
		return "a list of texts"
	case o.isInt():
		return "a number"
	}
	return "a text"
}

func joinComma(texts []string) string { return strings.Join(texts, ",") }
