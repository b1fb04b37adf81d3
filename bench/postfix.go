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
// instance, if there is one, is not touched. With sign set, opendkim signs as
// its milter.
type postfix struct {
	dir, smtp string
	relay     string
	sign      bool
	logging   bool // write mail.log, to see why something failed
	master    int
	opendkim  *exec.Cmd
}

// errNoPostfix says why there is nothing to compare with.
var errNoPostfix = errors.New("measuring Postfix takes root and the Debian packages postfix and opendkim")

func findPostfix() error {
	if os.Geteuid() != 0 {
		return errNoPostfix
	}
	for _, name := range []string{"postfix", "postconf", "opendkim", "smtp-source", "smtp-sink"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %w", errNoPostfix, err)
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

func startPostfix(ctx context.Context, dir, relay string, sign, logging bool) (*postfix, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	p := &postfix{dir: dir, smtp: addr, relay: relay, sign: sign, logging: logging}
	if err := p.configure(); err != nil {
		return nil, err
	}
	if sign {
		if err := p.startOpendkim(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.command(ctx, "start"); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	if err := p.await(ctx); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

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
	if p.logging {
		milter += "\nmaillog_file = " + filepath.Join(p.dir, "mail.log") + "\nmaillog_file_prefixes = " + p.dir
	}
	main := fmt.Sprintf(postfixSettings, p.dir, host, port, milter)
	if err := os.WriteFile(p.conf("main.cf"), []byte(main), 0o644); err != nil {
		return err
	}
	return os.WriteFile(p.conf("master.cf"), fmt.Appendf(nil, postfixServices, p.smtp), 0o644)
}

func (p *postfix) conf(name string) string { return filepath.Join(p.dir, "conf", name) }
func (p *postfix) socket() string          { return filepath.Join(p.dir, "opendkim.sock") }

func (p *postfix) command(ctx context.Context, verb string) error {
	cmd := exec.CommandContext(ctx, "postfix", "-c", filepath.Join(p.dir, "conf"), verb)
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
	if err := awaitBanner(ctx, p.smtp); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "queue/pid/master.pid"))
	if err != nil {
		return err
	}
	p.master, err = strconv.Atoi(strings.TrimSpace(string(text)))
	return err
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

func (p *postfix) startOpendkim(ctx context.Context) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
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
	p.opendkim = exec.Command("opendkim", "-f", "-x", config)
	p.opendkim.Stdout, p.opendkim.Stderr = &out, &out
	if err := p.opendkim.Start(); err != nil {
		return err
	}
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
			return errors.Join(errors.New("opendkim did not start"), p.stop())
		case <-tick.C:
		}
	}
}

// roots are the processes that make up the system.
func (p *postfix) roots() []int {
	out := []int{p.master}
	if p.opendkim != nil {
		out = append(out, p.opendkim.Process.Pid)
	}
	return out
}

// queue says how many messages are in which part of the queue.
func (p *postfix) queue() string {
	var out []string
	for _, part := range []string{"maildrop", "incoming", "active", "deferred"} {
		n := 0
		filepath.WalkDir(filepath.Join(p.dir, "queue", part), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				n++
			}
			return nil // files come and go meanwhile
		})
		out = append(out, fmt.Sprintf("%s %d", part, n))
	}
	return strings.Join(out, ", ")
}

func (p *postfix) stop() error {
	err := p.command(context.Background(), "stop")
	if p.opendkim != nil {
		err = errors.Join(err, p.opendkim.Process.Kill())
		p.opendkim.Wait() // it was killed: its state is known
		p.opendkim = nil
	}
	return err
}
