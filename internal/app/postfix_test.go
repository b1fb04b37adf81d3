package app_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/core/event"
)

// postfix is an instance of Postfix with directories of its own; the system's
// instance, if there is one, is not touched. It takes mail by sendmail(1) only.
type postfix struct{ dir string }

// startPostfix starts one whose mail goes to a relay on this machine.
func startPostfix(t *testing.T, relay net.Addr, settings string) *postfix {
	t.Helper()
	program(t, "postfix")
	if os.Geteuid() != 0 {
		if os.Getenv("POSTROAD_TEST_PEERS") != "" {
			t.Fatal("Postfix takes root, and POSTROAD_TEST_PEERS demands it")
		}
		t.Skip("Postfix takes root")
	}
	// Not t.TempDir: Postfix's own user has to get in.
	dir, err := os.MkdirTemp("", "postroad-postfix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, sub := range []string{"", "conf", "queue", "lib"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "", "chown", "postfix", "lib")
	_, port, err := net.SplitHostPort(relay.String())
	if err != nil {
		t.Fatal(err)
	}
	p := &postfix{dir: dir}
	put(t, p.conf("main.cf"), fmt.Sprintf(postfixMain, dir, port, settings))
	put(t, p.conf("master.cf"), postfixMaster)
	p.command(t, "start")
	t.Cleanup(func() {
		p.command(t, "stop")
		if t.Failed() {
			text, err := os.ReadFile(filepath.Join(dir, "mail.log"))
			t.Logf("%v\n%s", err, text)
		}
	})
	return p
}

func (p *postfix) conf(name string) string { return filepath.Join(p.dir, "conf", name) }

// command runs postfix(1). The daemons inherit its output, so it must not be a
// pipe.
func (p *postfix) command(t *testing.T, verb string) {
	t.Helper()
	if err := exec.Command("postfix", "-c", p.conf(""), verb).Run(); err != nil {
		t.Errorf("postfix %s: %v", verb, err)
	}
}

// send hands Postfix a message as a program on its machine does.
func (p *postfix) send(t *testing.T, from, to, text string) {
	t.Helper()
	run(t, p.dir, text, "sendmail", "-C", p.conf(""), "-i", "-f", from, to)
}

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/lib
maillog_file = %[1]s/mail.log
maillog_file_prefixes = %[1]s
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.elsewhere.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
alias_maps =
mydestination = localhost.localdomain, localhost
relayhost = [127.0.0.1]:%[2]s
%[3]s
`

const postfixMaster = `pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// TestPostfixRelays: Postfix with the settings that Mailgun's manual gives for
// relaying (SMTP Relay, Postfix Instructions). AUTH is taken under TLS only.
func TestPostfixRelays(t *testing.T) {
	s, user, _ := everyService(t)
	s.Must("PUT", "/v3/domains/example.com/credentials/"+user, apptest.Fields{"password", "supersecret-0"})
	k := s.World.Sink(t, "mx.r.example.net", apptest.Script{})
	s.World.MX(t, "r.example.net", k.Host)
	p := startPostfix(t, s.Mail[1].Addr, `smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = static:`+user+`:supersecret-0
smtp_sasl_security_options = noanonymous
smtp_tls_security_level = may
smtp_tls_note_starttls_offer = yes`)
	p.send(t, "somebody@example.com", "a@r.example.net", dotted)
	submitted(t, s, k, "a@r.example.net", 1)
}

// TestPostfixDelivers: Postfix as the server of somebody who writes to us.
func TestPostfixDelivers(t *testing.T) {
	b := newInbox(t)
	b.route(t, `match_recipient("help@in.example")`, `store()`)
	p := startPostfix(t, b.SMTP, "smtp_tls_security_level = may")
	p.send(t, "ann@elsewhere.example", "nobody@in.example", note) // refused; its report has nowhere to go
	p.send(t, "ann@elsewhere.example", "help@in.example", note)
	e := b.WaitFor(1, "stored", func(e *event.Event) bool { return e.Doc.Event == event.Stored })[0].Doc
	doc := decode[map[string]any](t, string(b.Must("GET", e.Storage.URL[strings.Index(e.Storage.URL, "/v3/"):], nil)))
	if doc["sender"] != "ann@elsewhere.example" || doc["recipients"] != "help@in.example" || doc["body-plain"] != "How does it work?\r\n" {
		t.Errorf("stored message: %v", doc)
	}
	if trace := fmt.Sprint(doc["message-headers"]); !strings.Contains(trace, "from mx.elsewhere.example") || !strings.Contains(trace, "with ESMTPS id ") {
		t.Errorf("header: %s", trace)
	}
}
