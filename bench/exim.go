package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// exim runs Debian's package in a root directory of its own.
type exim struct {
	daemon
	root string
}

const eximProgram = "/usr/sbin/exim4"

// eximSettings take mail from the loopback for anyone and deliver each message
// at once by a process of its own, which is Exim's way. Limits on connections
// are off, names come from files, and the log goes to syslog, which is not
// there. The spool is split as Exim's documentation advises for many messages.
const eximSettings = `primary_hostname = mx.example.com
exim_user = Debian-exim
exim_group = Debian-exim
never_users = root
local_interfaces = %[1]s
daemon_smtp_ports = %[2]s
tls_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
acl_smtp_rcpt = accept
log_file_path = syslog
log_selector = -all
message_logs = false
split_spool_directory = true
deliver_drop_privilege = true
smtp_accept_max = 0
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_enforce_sync = false
smtp_receive_timeout = 5m
queue_run_max = 8
remote_max_parallel = 1
dns_ipv4_lookup = *
%[5]s

begin routers
all:
  driver = manualroute
  domains = *
  route_list = * %[3]s byname
  self = send
  transport = out

begin transports
out:
  driver = smtp
  port = %[4]s
  allow_localhost
  hosts_avoid_tls = *
  hosts_try_fastopen =
  connection_max_messages = 500

begin retry
* * F,1d,5s
`

func eximPackages() []string { return []string{"exim4-daemon-light", "libidn12"} }

func findExim(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("it takes root")
	}
	_, err := fetchPackages(ctx, eximPackages()...)
	return err
}

func (e *exim) start(ctx context.Context, at place) error {
	listen, err := freeAddr()
	if err != nil {
		return err
	}
	e.listen = listen
	root := filepath.Join(at.dir, "root")
	e.root = root
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	user := account{"Debian-exim", 64103}
	if err := makeRoot(ctx, root, eximPackages(), []string{eximProgram}, user); err != nil {
		return err
	}
	if err := makeDirs(root, user, 0o750, "var/spool/exim4", "var/log/exim4", "run/exim4"); err != nil {
		return err
	}
	if err := e.configure(root, at); err != nil {
		return err
	}
	args := []string{"-bdf", "-q5s"}
	if at.hold {
		args = []string{"-bdf"}
	}
	return e.run(ctx, at, at.group.command(root, eximProgram, args...))
}

func (e *exim) configure(root string, at place) error {
	host, port, err := net.SplitHostPort(e.listen)
	if err != nil {
		return err
	}
	to, toPort, err := net.SplitHostPort(at.relay)
	if err != nil {
		return err
	}
	hold := ""
	if at.hold {
		hold = "queue_only"
	}
	if err := makeDirs(root, account{"root", 0}, 0o755, "etc/exim4"); err != nil {
		return err
	}
	text := fmt.Sprintf(eximSettings, host, port, to, toPort, hold)
	return os.WriteFile(filepath.Join(root, "etc/exim4/exim4.conf"), []byte(text), 0o644)
}

// kept counts the header files in the spool: one for each message.
func (e *exim) kept(context.Context) (int, error) {
	list, err := filepath.Glob(filepath.Join(e.root, "var/spool/exim4/input/*/*-H"))
	return len(list), err
}
