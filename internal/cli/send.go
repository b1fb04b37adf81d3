package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postroad/internal/mail/addr"
)

// sendOptions are what the arguments of "send" say.
type sendOptions struct {
	clientFlags
	from, subject, text, html string
	to, cc, bcc               []string
	attach, inline            []string
	tags, headers, vars       []string
	at, domain, idempotency   string
	testmode, wait            bool
	timeout                   string

	file string // a complete message, "-" for standard input
}

func sendFlags() (*sendOptions, *flagSet) {
	o, f := &sendOptions{}, newFlags()
	f.text(&o.from, "from", "ADDRESS", "sender, address or 'Name <address>'")
	f.list(&o.to, "to", "ADDRESS", "recipient, or a list of them with commas")
	f.list(&o.cc, "cc", "ADDRESS", "recipient of a copy")
	f.list(&o.bcc, "bcc", "ADDRESS", "recipient of a blind copy")
	f.text(&o.subject, "subject", "TEXT", "subject line")
	f.text(&o.text, "text", "TEXT", "plain text body; - reads it from standard input")
	f.text(&o.html, "html", "HTML", "HTML body; - reads it from standard input")
	f.list(&o.attach, "attach", "FILE", "attach this file")
	f.list(&o.inline, "inline", "FILE", "add this file for the HTML to show as cid:NAME")
	f.list(&o.tags, "tag", "TAG", "mark the message with this tag")
	f.list(&o.headers, "header", "'NAME: VALUE'", "add a header field")
	f.list(&o.vars, "var", "NAME=VALUE", "add a variable, which events carry")
	f.on(&o.testmode, "testmode", "deliver nothing, only make the events")
	f.text(&o.at, "at", "TIME", "deliver then: +90m, 18:30, '2006-01-02 18:30', RFC 3339, RFC 2822 or epoch seconds")
	f.text(&o.domain, "domain", "DOMAIN", "sending domain (default: that of --from)")
	f.text(&o.idempotency, "idempotency-key", "KEY", "makes a repeated command send only once (24 h)")
	f.on(&o.wait, "wait", "wait until the fate of every recipient is known; exit status 1 if one was not reached")
	f.text(&o.timeout, "timeout", "DURATION", "with --wait: stop waiting after this time, like 90s (default: never)")
	o.add(f, "print only the Message-ID")
	return o, f
}

func sendCommand() command {
	return command{name: "send", summary: "send a message through a running server",
		args: []string{"--from ADDRESS --to ADDRESS [options]", "[--to ADDRESS] [options] FILE.eml", "[--to ADDRESS] [options] -"},
		notes: "FILE.eml, or - for standard input, is a complete message with its header; without --to\n" +
			"it goes to the To, Cc and Bcc of its header.\n",
		examples: []string{
			"send --from 'Me <me@you.test>' --to jane@example.com --subject Hello --text 'It works'",
			"send --from me@you.test --to jane@example.com --subject Report --text - --attach report.pdf < letter.txt",
			"send --from me@you.test --to jane@example.com --subject Hi --html '<h1>Hi</h1>' --tag welcome --var user=42 --wait",
			"send --to jane@example.com message.eml",
		},
		options: func() *flagSet { _, f := sendFlags(); return f }, run: runSend}
}

// accepted is the answer to a message that was taken.
type accepted struct {
	ID       string `json:"id"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
	Replayed bool   `json:"replayed,omitempty"` // sent by an earlier request
}

func runSend(e *Env, args []string) error {
	o, f := sendFlags()
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	patience, err := o.check(rest)
	if err != nil {
		return err
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	r, closeFiles, err := o.request(e)
	if err != nil {
		return err
	}
	defer closeFiles()
	ctx := context.Background()
	var ok accepted
	a, err := c.call(ctx, r, &ok)
	if err != nil {
		return asFailure(err)
	}
	if ok.ID == "" {
		return c.stranger("it took the message without naming it")
	}
	ok.Hint, ok.Replayed = a.hint, a.replayed
	noteAccepted(e, o, &ok)
	if o.wait {
		return sendAndWait(ctx, e, o, c, &ok, patience)
	}
	return printAccepted(e, o, &ok)
}

// check refuses what cannot go together before anything is read or sent.
func (o *sendOptions) check(rest []string) (patience time.Duration, err error) {
	if len(rest) > 1 {
		return 0, usage("unexpected argument %q: one message file can be sent at a time", clean(rest[1])).try("quote texts that hold blanks")
	}
	if len(rest) == 1 {
		o.file = rest[0]
	}
	if o.timeout != "" {
		if patience, err = time.ParseDuration(o.timeout); err != nil || patience <= 0 {
			return 0, usage("--timeout: %q is not a duration like 90s or 5m", clean(o.timeout))
		}
		if !o.wait {
			return 0, usage("--timeout is of use only with --wait")
		}
	}
	if o.file != "" {
		return patience, o.checkFile()
	}
	return patience, o.checkParts()
}

func (o *sendOptions) checkParts() error {
	switch {
	case o.from == "":
		return usage("--from is missing").try("postroad send --help")
	case len(o.to) == 0:
		return usage("--to is missing").try("postroad send --help")
	case o.text == "" && o.html == "" && len(o.attach) == 0:
		return usage("there is nothing to send: give --text, --html, --attach or a message file").try("postroad send --help")
	case o.text == "-" && o.html == "-":
		return usage("only one of --text and --html can be read from standard input")
	}
	return nil
}

func (o *sendOptions) checkFile() error {
	for _, x := range []struct {
		name string
		set  bool
	}{{"--from", o.from != ""}, {"--subject", o.subject != ""}, {"--text", o.text != ""}, {"--html", o.html != ""}, {"--cc", len(o.cc) > 0},
		{"--bcc", len(o.bcc) > 0}, {"--attach", len(o.attach) > 0}, {"--inline", len(o.inline) > 0}} {
		if x.set {
			return usage("%s cannot be used with a message file %q, which is sent as it is", x.name, clean(o.file)).try("postroad send --help")
		}
	}
	return nil
}

// request reads what is to be sent. The function returned closes the files.
func (o *sendOptions) request(e *Env) (r request, closeFiles func(), err error) {
	b := newFormBody()
	domain, endpoint := "", "/messages"
	if o.file != "" {
		endpoint = "/messages.mime"
		domain, err = o.addMIME(e, b)
	} else {
		domain, err = o.addParts(e, b)
	}
	if err == nil {
		err = o.addOptions(e, b)
	}
	if err != nil {
		b.close()
		return request{}, nil, err
	}
	if o.domain != "" {
		domain = o.domain
	}
	body, size, contentType := b.finish()
	r = request{method: http.MethodPost, path: "/v3/" + url.PathEscape(domain) + endpoint, body: body, size: size,
		header: map[string]string{"Content-Type": contentType}}
	if o.idempotency != "" {
		r.header["Idempotency-Key"] = o.idempotency
	}
	return r, b.close, nil
}

// addParts adds sender, recipients, texts and files.
func (o *sendOptions) addParts(e *Env, b *formBody) (domain string, err error) {
	from, err := addr.Parse(o.from)
	if err != nil {
		return "", badAddress("--from", o.from, err)
	}
	if o.text, err = e.orStdin(o.text); err != nil {
		return "", err
	}
	if o.html, err = e.orStdin(o.html); err != nil {
		return "", err
	}
	if o.text == "" && o.html == "" {
		o.text = "\r\n" // only attached files: the API wants a text
	}
	for _, p := range [][2]string{{"from", o.from}, {"subject", o.subject}, {"text", o.text}, {"html", o.html}} {
		if p[1] != "" {
			b.field(p[0], p[1])
		}
	}
	for _, l := range []struct {
		name string
		list []string
	}{{"to", o.to}, {"cc", o.cc}, {"bcc", o.bcc}} {
		for _, v := range l.list {
			if _, err := addr.ParseList(v); err != nil {
				return "", badAddress("--"+l.name, v, err)
			}
			b.field(l.name, v)
		}
	}
	for _, name := range o.attach {
		if err := b.file("attachment", name); err != nil {
			return "", unreadable("--attach", err)
		}
	}
	for _, name := range o.inline {
		if err := b.file("inline", name); err != nil {
			return "", unreadable("--inline", err)
		}
	}
	return from.Domain, nil
}

// addOptions adds what both forms of sending take.
func (o *sendOptions) addOptions(e *Env, b *formBody) error {
	for _, t := range o.tags {
		b.field("o:tag", t)
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(h, "\r\n") {
			return usage("--header: %q is not of the form 'Name: value'", clean(h))
		}
		b.field("h:"+name, strings.TrimSpace(value))
	}
	for _, v := range o.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return usage("--var: %q is not of the form NAME=VALUE", clean(v))
		}
		b.field("v:"+name, value)
	}
	if o.testmode {
		b.field("o:testmode", "yes")
	}
	if o.at != "" {
		at, err := parseAt(o.at, e.clock().Now(), e.zone())
		if err != nil {
			return err
		}
		b.field("o:deliverytime", at.Format(time.RFC1123Z))
	}
	return nil
}

func badAddress(flag, value string, err error) error {
	f := usage("%s: %q is not an address", flag, clean(value))
	f.cause = err.Error()
	return f
}

func unreadable(flag string, err error) error {
	f := usage("%s: the file cannot be read", flag)
	f.cause, f.err = err.Error(), err
	return f
}

// noteAccepted remarks on standard error what JSON has members for.
func noteAccepted(e *Env, o *sendOptions, a *accepted) {
	if o.form(e) == forPrograms {
		return
	}
	if a.Hint != "" {
		fmt.Fprintln(e.Stderr, "note:", clean(a.Hint))
	}
	if a.Replayed {
		fmt.Fprintln(e.Stderr, "note: sent before with this idempotency key, so not sent again")
	}
}

func printAccepted(e *Env, o *sendOptions, a *accepted) error {
	var err error
	switch o.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, a)
	case forScripts:
		_, err = fmt.Fprintln(e.Stdout, clean(a.ID))
	default:
		_, err = fmt.Fprintf(e.Stdout, "Queued as %s\nFollow it: postroad messages show '%s'\n", clean(a.ID), clean(a.ID))
	}
	return err
}
