package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
)

func showFlags() (*clientFlags, *flagSet) {
	o, f := &clientFlags{}, newFlags()
	o.add(f, "print only the address and state of each recipient, one per line")
	return o, f
}

func messagesShowCommand() command {
	return command{name: "messages show", summary: "show one message with its attempts and SMTP conversations", args: []string{"ID [options]"},
		notes:    "ID is the id of the list, the Message-ID with or without brackets, or the storage key.\n",
		examples: []string{"messages show 8461312", "messages show '<20260102150405.abc@you.test>'", "messages show 8461312 --json | jq '.recipients[].status'"},
		options:  func() *flagSet { _, f := showFlags(); return f }, run: runMessagesShow}
}

func runMessagesShow(e *Env, args []string) error {
	o, f := showFlags()
	rest, err := o.parse(e, f, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usage("give one message: its id, Message-ID or storage key").try("postroad messages ls")
	}
	c, err := o.open(e)
	if err != nil {
		return err
	}
	m, a, err := c.message(context.Background(), rest[0])
	if err != nil {
		return err
	}
	switch o.form(e) {
	case forPrograms:
		return printJSON(e.Stdout, a.raw)
	case forScripts:
		return printStates(e.Stdout, m.Recipients)
	}
	return printMessage(e, m, c.base)
}

// message asks for one message.
func (c *client) message(ctx context.Context, id string) (*messageItem, *answer, error) {
	id = strings.Trim(strings.TrimSpace(id), "<>")
	if id == "" || id == "." || id == ".." || len(id) > 1000 {
		return nil, nil, usage("%q is not the id of a message", cut(clean(id), 40)).try("postroad messages ls")
	}
	var m messageItem
	a, err := c.get(ctx, messagesPath+"/"+url.PathEscape(id), &m)
	if err != nil {
		if f := asFailure(err); f.code == "not_found" && f.hint == "" {
			f.hint = "postroad messages ls"
		}
		return nil, nil, err
	}
	if m.ID == "" {
		return nil, nil, c.stranger("its answer is not what this program expects")
	}
	return &m, a, nil
}

func printStates(w io.Writer, list []recipientItem) error {
	for _, r := range list {
		if _, err := fmt.Fprintf(w, "%s %s\n", clean(r.Address), clean(r.Status)); err != nil {
			return err
		}
	}
	return nil
}

// printMessage shows a message to people: what it is, then what happened to
// each recipient's copy, attempt by attempt, in the servers' own words.
func printMessage(e *Env, m *messageItem, base string) error {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name, clean(value))
		}
	}
	field("Subject", firstSet(m.Subject, "(none)"))
	field("From", m.From)
	field("Domain", m.Domain)
	field("Sent", m.Created.In(e.zone()).Format("2006-01-02 15:04:05 MST")+", "+e.ago(m.Created))
	field("Size", bytesText(m.Size))
	field("Tags", strings.Join(m.Tags, ", "))
	field("ID", m.ID)
	field("Message-ID", "<"+m.MessageID+">")
	field("Storage key", m.StorageKey)
	field("Panel", base+"/messages/"+url.PathEscape(m.ID))
	for i := range m.Recipients {
		writeRecipient(&b, e, &m.Recipients[i])
	}
	_, err := io.WriteString(e.Stdout, b.String())
	return err
}

func writeRecipient(b *strings.Builder, e *Env, r *recipientItem) {
	fmt.Fprintf(b, "\n%s  %s", clean(r.Address), clean(strings.ToUpper(r.Status)))
	if r.NextTry != nil {
		fmt.Fprintf(b, ", next try %s (%s)", e.when(*r.NextTry), e.ago(*r.NextTry))
	}
	b.WriteString("\n")
	if r.Timing != nil {
		fmt.Fprintf(b, "  chosen    %s: %s\n", e.when(r.Timing.At), clean(r.Timing.Reason))
	}
	if len(r.Attempts) == 0 {
		b.WriteString("  not tried yet\n")
	}
	for i, a := range r.Attempts {
		said, about := a.summary(i + 1)
		fmt.Fprintf(b, "  %-8s  %s\n  %8s  %s\n", e.when(a.Time), clean(said), "", clean(about))
		for _, line := range a.SMTP {
			b.WriteString("    " + clean(line) + "\n")
		}
	}
}

// summary is what the other side said in an attempt, and what else is known of
// it.
func (a *attemptItem) summary(no int) (said, about string) {
	s := a.Status
	if s == nil {
		return firstSet(a.Reason, "no server was asked"), fmt.Sprintf("attempt %d", no)
	}
	said = firstSet(answerText(s.Code, s.Message), "no answer")
	if s.Description != "" && s.Description != s.Message {
		said += ": " + s.Description
	}
	parts := []string{fmt.Sprintf("attempt %d", max(s.Attempt, 1))}
	if s.MXHost != "" {
		parts = append(parts, "at "+s.MXHost)
	}
	if s.TLS != nil {
		parts = append(parts, tlsText(*s.TLS, s.Verified))
	}
	if s.Seconds > 0 {
		parts = append(parts, took(s.Seconds))
	}
	if a.Reason != "" && a.Reason != "generic" {
		parts = append(parts, "reason "+a.Reason)
	}
	return said, strings.Join(parts, ", ")
}

func took(seconds float64) string {
	if seconds < 1 {
		return fmt.Sprintf("took %.0f ms", seconds*1000)
	}
	return fmt.Sprintf("took %.1f s", seconds)
}

func tlsText(on bool, verified *bool) string {
	switch {
	case !on:
		return "no TLS"
	case verified == nil:
		return "TLS"
	case *verified:
		return "TLS with valid certificate"
	}
	return "TLS with invalid certificate"
}
