package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// postroad is the program under test as one of the peers.
type postroad struct {
	binary  string
	outside bool // it takes mail from strangers for its domain, and its route stores that
	server  *server
	dns     *nameless
}

// findSMTPTrust checks that the program takes mail without a login from this
// machine, as smtp-source has none.
func findSMTPTrust(binary string) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := exec.LookPath("smtp-source"); err != nil {
			return err
		}
		help, err := exec.CommandContext(ctx, binary, "serve", "--help").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s serve --help: %w", binary, err)
		}
		if !strings.Contains(string(help), "--smtp-trust") {
			return errors.New("the program has no --smtp-trust")
		}
		return nil
	}
}

func (p *postroad) start(ctx context.Context, at place) error {
	s, err := newServer(p.binary, at.dir, at.relay)
	if err != nil {
		return err
	}
	if s.smtp, err = freeAddr(); err != nil {
		return err
	}
	s.group = at.group
	p.server = s
	if p.outside {
		if p.dns, err = startNameless(); err != nil {
			return err
		}
		s.dns = p.dns.addr
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.createDomain(ctx); err != nil || !p.outside {
		return err
	}
	return s.createRoute(ctx, `match_recipient(".*@`+sender+`$")`, "store()")
}

func (p *postroad) addr() string { return p.server.smtp }

func (p *postroad) trouble() string { return tail(p.server.log) }

func (p *postroad) stop(context.Context) error {
	if p.server == nil {
		return nil
	}
	return errors.Join(p.server.stop(), p.dns.stop())
}

// httpLoad submits with the API's multipart form instead of SMTP.
func httpLoad(p peer, _ string, sign bool, connections, size int) submit {
	return func(ctx context.Context, n int) (*loadResult, error) {
		own, ok := p.(*postroad)
		if !ok {
			return nil, errors.New("only Postroad has an HTTP API")
		}
		l := load{addr: own.server.http, domain: sender, key: adminKey, connections: connections, size: size, messages: n, fields: dkimField(sign)}
		seen := l.run(ctx)
		if seen.Accepted != n {
			return nil, fmt.Errorf("only %d of %d messages were accepted: %s", seen.Accepted, n, seen.Error)
		}
		return &seen, nil
	}
}

// sourceMessage is what smtp-source sends: a header and size bytes of text.
// Further fields speak to Postroad; to the others they are fields like any.
func sourceMessage(size int, fields ...string) []byte {
	head := "From: Rig <rig@" + sender + ">\nTo: User <user@sink.example>\nSubject: A message of the rig\n" +
		"Date: Fri, 02 Jan 2026 15:04:05 +0000\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n"
	for _, f := range fields {
		head += f + "\n"
	}
	return []byte(head + "\n" + strings.ReplaceAll(body(size), "\r\n", "\n"))
}

// smtpLoad submits the message in a file with Debian's load tool, many
// messages over each connection.
func smtpLoad(addr, file string, connections int) submit {
	return func(ctx context.Context, n int) (*loadResult, error) {
		return nil, smtpSource(ctx, addr, n, connections, "-d", "-N", "-F", file)
	}
}

// smtpSource runs Debian's load tool.
func smtpSource(ctx context.Context, addr string, messages, connections int, options ...string) error {
	args := append([]string{"-s", fmt.Sprint(min(connections, messages)), "-m", fmt.Sprint(messages),
		"-f", "rig@" + sender, "-t", "user@sink.example"}, options...)
	cmd := exec.CommandContext(ctx, "smtp-source", append(args, addr)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	return nil
}

// writeMessage writes what smtp-source sends below dir. Without a signature
// Postroad has to be told to leave it.
func writeMessage(dir string, size int, sign bool, fields ...string) (string, error) {
	if !sign {
		fields = append(fields, "X-Mailgun-Dkim: no")
	}
	f, err := os.CreateTemp(dir, "message-")
	if err != nil {
		return "", err
	}
	_, err = f.Write(sourceMessage(size, fields...))
	return f.Name(), errors.Join(err, f.Close())
}

func (p *postroad) kept(ctx context.Context) (int, error) {
	if p.outside {
		return p.server.gauges(ctx, "postroad_inbound_messages_total")
	}
	return p.server.queued(ctx)
}
