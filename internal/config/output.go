package config

import (
	"bufio"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Setting is an option with the value in force, for people to read.
type Setting struct {
	// Name is the file key; flag and variable follow from it.
	Name string
	// Value is in the form it is written in, with secrets hidden.
	Value string
	// Origin is "flag", "env", "file" or "default".
	Origin string
	// Doc is one sentence about the option.
	Doc string
	// Insecure: the option is on and gives up some protection, which Risk names.
	Insecure bool
	Risk     string
}

// Settings lists all options in a fixed order.
func (c *Config) Settings() []Setting {
	var out []Setting
	for _, o := range options() {
		s := Setting{Name: o.name, Value: c.text(o), Origin: c.Origin(o.name), Doc: o.doc}
		if on := s.Value == "true" || !o.isBool() && s.Value != ""; o.insecure != "" && on {
			s.Insecure, s.Risk = true, o.insecure
		}
		out = append(out, s)
	}
	return out
}

// Origin tells where the value of an option comes from: "flag", "env", "file"
// or "default".
func (c *Config) Origin(name string) string {
	if origin := c.origins[name]; origin != "" {
		return origin
	}
	return "default"
}

// defaultText is the default as the generated texts show it.
func (o option) defaultText() string {
	if o.shown != "" {
		return o.shown
	}
	dev, hasDev := o.fixed(Dev)
	serve, hasServe := o.fixed(Serve)
	switch {
	case o.isBool() && !hasDev && !hasServe:
		return "false"
	case dev == serve:
		return dev
	}
	return "dev: " + dev + "; serve: " + serve
}

// sampleValue is a right-hand side that is valid TOML for the option.
func (o option) sampleValue() string {
	text, ok := o.fixed(Serve)
	switch {
	case o.isBool() && !ok:
		return "false"
	case o.isBool(), o.isInt():
		return text
	case o.isSchedule(), o.kind == reflect.TypeFor[MailListens]():
		parts := strings.Split(text, ",")
		for i := range parts {
			parts[i] = strconv.Quote(parts[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case o.kind == reflect.TypeFor[Sources]():
		return `["mx1=203.0.113.5,helo=mx1.example.com"]`
	case o.isList():
		return `["*=smtp://user:password@relay.example.com:587"]`
	case ok:
		return strconv.Quote(text)
	}
	return strconv.Quote(o.example())
}

// example stands in for a default that is computed or absent.
func (o option) example() string {
	switch o.name {
	case "data":
		return "/var/lib/postroad"
	case "tls_cert":
		return "/etc/postroad/tls.crt"
	case "tls_key":
		return "/etc/postroad/tls.key"
	case "acme_email":
		return "postmaster@example.com"
	case "acme_names":
		return "smtp.example.com,mx.example.com"
	case "acme_roots":
		return "/etc/postroad/ca.pem"
	case "memory_limit":
		return "2GB"
	case "hostname":
		return "mail.example.com"
	case "workspace_domain":
		return "example.com"
	case "workspace_mailgun":
		return "https://mail.example.com"
	case "panel_url":
		return "https://mail.example.com"
	case "database":
		return "postgres://postroad:password@127.0.0.1:5432/postroad"
	case "dns":
		return "127.0.0.1:53"
	}
	return o.arg
}

// Sample writes a settings file in which every key is explained and commented
// out.
func Sample(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "# Settings of Postroad. Flags and POSTROAD_* variables win over this file.\n"+
		"# A line that begins with #name shows a default or an example; remove the # to set it.\n")
	for _, o := range options() {
		if o.noFile {
			continue
		}
		fmt.Fprintf(out, "\n# %s\n", o.doc)
		if text := o.defaultText(); text != "" {
			fmt.Fprintf(out, "# Default: %s.\n", text)
		}
		if o.only != "" {
			fmt.Fprintf(out, "# Only for %s.\n", o.only)
		}
		if o.insecure != "" {
			fmt.Fprintf(out, "# Insecure: %s.\n", o.insecure)
		}
		fmt.Fprintf(out, "#%s = %s\n", o.name, o.sampleValue())
	}
	return out.Flush()
}

// Docs writes the reference of all options as a Markdown table.
func Docs(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "| flag | variable | file key | default | meaning |\n|---|---|---|---|---|\n")
	for _, o := range options() {
		flag, env, key, doc := o.flag(), o.env(), "`"+o.name+"`", o.doc
		if !o.isBool() {
			flag += " " + o.arg
		}
		if o.noFile {
			key = "-"
		}
		env = "`" + env + "`"
		if o.secret {
			env += " or `" + o.env() + fileSuffix + "`"
		}
		if other := o.tag.Get("env"); other != "" {
			env += " or `" + other + "`"
		}
		if o.only != "" {
			doc += " Only for " + o.only + "."
		}
		if o.insecure != "" {
			doc += " Insecure: " + o.insecure + "."
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s | %s |\n", flag, env, key, cell(o.defaultText()), cell(doc))
	}
	return out.Flush()
}

// cell keeps Markdown from reading a table text as markup.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;").Replace(text)
}

// UsageFor is the help text on the flags of a mode.
func UsageFor(mode Mode) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, o := range options() {
		if o.only != "" && o.only != mode.String() {
			continue
		}
		head := o.flag()
		if !o.isBool() {
			head += " " + o.arg
		}
		def, ok := o.fixed(mode)
		if !ok {
			def = o.shown
		}
		if def != "" && def != "false" {
			def = " (default: " + def + ")"
		} else {
			def = ""
		}
		fmt.Fprintf(table, "  %s\t%s%s\n", head, o.doc, def)
	}
	if err := table.Flush(); err != nil {
		return err.Error() // a strings.Builder does not fail
	}
	b.WriteString("\nEvery flag is also a variable (--log-level is POSTROAD_LOG_LEVEL) and a key of the\n" +
		"settings file (log_level). Flags win over variables, variables over the file.\n")
	return b.String()
}
