package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// openSMTPD runs Debian's package in a root directory of its own.
type openSMTPD struct{ daemon }

const openSMTPDProgram = "/usr/sbin/smtpd"

// openSMTPDSettings raise the limits that are there to spare other people's
// servers, and the number of messages of a session. Mail goes to one relay
// without TLS; names come from files.
const openSMTPDSettings = `listen on %[1]s port %[2]s
smtp limit max-mails 1000000
mta limit max-conn-per-host 128
mta limit max-conn-per-route 128
mta limit max-conn-per-source 128
mta limit max-conn-per-connector 128
mta limit max-conn-per-relay 128
mta limit max-conn-per-domain 128
mta limit session-mail-max 1000
mta limit session-transaction-delay 0
mta limit conn-delay-host 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
mta limit conn-delay-route 0
mta limit reconn-delay-route 0
mta limit task-hiwat 2000
mta limit task-lowat 1000
scheduler limit max-inflight 20000
action "out" relay host "smtp+notls://%[3]s"
match from any for any action "out"
`

// openSMTPDLoad is smtp-source in several processes that start one after the
// other. OpenSMTPD's listen queue has room for five connections; what does not
// fit comes back seconds later, and a short run would measure little else.
func openSMTPDLoad(p peer, file string, _ bool, connections, _ int) submit {
	const each, apart = 4, 20 * time.Millisecond
	return func(ctx context.Context, n int) (*loadResult, error) {
		processes := max(1, min(connections/each, n/each))
		failed := make(chan error, processes)
		for i := range processes {
			share := n / processes
			if i < n%processes {
				share++
			}
			go func() {
				_, err := smtpLoad(p.addr(), file, each)(ctx, share)
				failed <- err
			}()
			if err := pause(ctx, apart); err != nil {
				return nil, err
			}
		}
		var err error
		for range processes {
			err = errors.Join(err, <-failed)
		}
		return nil, err
	}
}

func openSMTPDPackages() []string { return []string{"opensmtpd"} }

func findOpenSMTPD(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("it takes root")
	}
	_, err := fetchPackages(ctx, openSMTPDPackages()...)
	return err
}

func (o *openSMTPD) start(ctx context.Context, at place) error {
	listen, err := freeAddr()
	if err != nil {
		return err
	}
	o.listen = listen
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	root := filepath.Join(at.dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := makeRoot(ctx, root, openSMTPDPackages(), []string{openSMTPDProgram},
		account{"opensmtpd", 64101}, account{"opensmtpq", 64102}); err != nil {
		return err
	}
	super := account{"root", 0}
	if err := errors.Join(makeDirs(root, super, 0o711, "var/spool/smtpd"), makeDirs(root, super, 0o755, "var/lib/opensmtpd/empty", "run", "var"),
		os.Symlink("/run", filepath.Join(root, "var/run"))); err != nil {
		return err
	}
	text := fmt.Sprintf(openSMTPDSettings, host, port, at.relay)
	if err := os.WriteFile(filepath.Join(root, "etc/smtpd.conf"), []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "etc/mailname"), []byte("mx.example.com\n"), 0o644); err != nil {
		return err
	}
	// -F stays in the foreground and logs to syslog, which is not there.
	return o.run(ctx, at, at.group.command(root, openSMTPDProgram, "-F"))
}
