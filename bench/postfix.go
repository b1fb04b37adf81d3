package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// postfix is an instance of Postfix with directories of its own; the system's
// instance, if there is one, is not touched. When it signs, opendkim does so as
// its milter.
type postfix struct {
	dir, listen string
	relay       string
	sign, hold  bool
	group       *group
	opendkim    *exec.Cmd
}

func findPostfix(context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("it takes root")
	}
	for _, name := range []string{"postfix", "postconf", "opendkim", "smtp-source", "smtp-sink"} {
		if _, err := exec.LookPath(name); err != nil {
			return err
		}
	}
	return nil
}

// postfixSettings are Debian's defaults but for what a busy relay raises:
// concurrency, no DNS, no flow delay, and retries after seconds, so that one
// refused connection does not hold up a run for minutes. Queue files are synced
// as always. There is no content scanning, no TLS, and log lines go to syslog,
// whose cost is not counted.
const postfixSettings = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/lib
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.com
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [%[2]s]:%[3]s
smtp_tls_security_level = none
smtpd_tls_security_level = none
disable_dns_lookups = yes
smtp_host_lookup = native
in_flow_delay = 0
default_process_limit = 300
initial_destination_concurrency = 128
default_destination_concurrency_limit = 128
qmgr_message_active_limit = 100000
qmgr_message_recipient_limit = 100000
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_peername_lookup = no
message_size_limit = 26214400
minimal_backoff_time = 5s
maximal_backoff_time = 5s
queue_run_delay = 5s
%[4]s
`

const postfixServices = `%s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

func (p *postfix) start(ctx context.Context, at place) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	p.dir, p.listen, p.relay, p.sign, p.hold, p.group = at.dir, addr, at.relay, at.sign, at.hold, at.group
	if err := p.configure(); err != nil {
		return err
	}
	if p.sign {
		if err := p.startOpendkim(ctx); err != nil {
			return err
		}
	}
	if err := p.command(ctx, "start"); err != nil {
		return err
	}
	return p.await(ctx)
}

func (p *postfix) addr() string { return p.listen }

func (p *postfix) trouble() string { return "in its queue: " + p.queue() }

func (p *postfix) configure() error {
	for _, sub := range []string{"conf", "queue", "lib"} {
		if err := os.MkdirAll(filepath.Join(p.dir, sub), 0o755); err != nil {
			return err
		}
	}
	if out, err := exec.Command("chown", "postfix", filepath.Join(p.dir, "lib")).CombinedOutput(); err != nil {
		return fmt.Errorf("chown: %w: %s", err, out)
	}
	host, port, err := net.SplitHostPort(p.relay)
	if err != nil {
		return err
	}
	milter := ""
	if p.sign {
		milter = "smtpd_milters = unix:" + p.socket() + "\nmilter_default_action = tempfail\nmilter_protocol = 6"
	}
	if p.hold {
		milter += "\ndefer_transports = smtp"
	}
	main := fmt.Sprintf(postfixSettings, p.dir, host, port, milter)
	if err := os.WriteFile(p.conf("main.cf"), []byte(main), 0o644); err != nil {
		return err
	}
	return os.WriteFile(p.conf("master.cf"), fmt.Appendf(nil, postfixServices, p.listen), 0o644)
}

func (p *postfix) conf(name string) string { return filepath.Join(p.dir, "conf", name) }
func (p *postfix) socket() string          { return filepath.Join(p.dir, "opendkim.sock") }

func (p *postfix) command(ctx context.Context, verb string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	cmd := p.group.command("", "postfix", "-c", filepath.Join(p.dir, "conf"), verb)
	// Into a file and not a pipe: the daemons inherit it and would hold it open.
	log, err := os.OpenFile(filepath.Join(p.dir, "postfix.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		text, readErr := os.ReadFile(log.Name())
		return errors.Join(fmt.Errorf("postfix %s: %w: %s", verb, err, text), readErr)
	}
	return nil
}

// await waits until the SMTP server answers and the master process is known.
func (p *postfix) await(ctx context.Context) error {
	if err := awaitBanner(ctx, p.listen); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "queue/pid/master.pid"))
	if err != nil {
		return err
	}
	master, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	p.group.add(master)
	return nil
}

// awaitBanner waits until an SMTP server greets.
func awaitBanner(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			c.SetDeadline(time.Now().Add(10 * time.Second))
			line, err := bufio.NewReader(c).ReadString('\n')
			fmt.Fprint(c, "QUIT\r\n")
			c.Close()
			if err == nil && strings.HasPrefix(line, "220") {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no SMTP server at %s: %w", addr, ctx.Err())
		case <-tick.C:
		}
	}
}

// signingKey makes an RSA-2048 key as PEM.
func signingKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), nil
}

func (p *postfix) startOpendkim(ctx context.Context) error {
	block, err := signingKey()
	if err != nil {
		return err
	}
	keyFile, config := filepath.Join(p.dir, "dkim.pem"), filepath.Join(p.dir, "opendkim.conf")
	if err := os.WriteFile(keyFile, block, 0o600); err != nil {
		return err
	}
	text := fmt.Sprintf("Mode s\nDomain %s\nSelector rig\nKeyFile %s\nSocket local:%s\nUMask 000\nSyslog no\n"+
		"Canonicalization relaxed/relaxed\nRequireSafeKeys no\nOversignHeaders From\n", sender, keyFile, p.socket())
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	var out bytes.Buffer
	p.opendkim = p.group.command("", "opendkim", "-f", "-x", config)
	p.opendkim.Stdout, p.opendkim.Stderr = &out, &out
	if err := p.opendkim.Start(); err != nil {
		return err
	}
	p.group.add(p.opendkim.Process.Pid)
	return p.awaitSocket(ctx)
}

func (p *postfix) awaitSocket(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(p.socket()); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("opendkim did not start")
		case <-tick.C:
		}
	}
}

// queue says how many messages are in which part of the queue.
func (p *postfix) queue() string {
	var out []string
	for _, part := range []string{"maildrop", "incoming", "active", "deferred"} {
		out = append(out, fmt.Sprintf("%s %d", part, p.count(part)))
	}
	return strings.Join(out, ", ")
}

// kept counts what was taken and not delivered.
func (p *postfix) kept(context.Context) (int, error) {
	return p.count("incoming") + p.count("active") + p.count("deferred"), nil
}

func (p *postfix) count(part string) int {
	n := 0
	filepath.WalkDir(filepath.Join(p.dir, "queue", part), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return nil // files come and go meanwhile
	})
	return n
}

func (p *postfix) stop(ctx context.Context) error {
	if p.opendkim != nil {
		defer p.opendkim.Wait() // killed: its state is known
		defer p.opendkim.Process.Kill()
	}
	if p.dir == "" {
		return nil
	}
	return p.command(context.WithoutCancel(ctx), "stop")
}
