package deliver_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postroad/internal/apptest"
	"postroad/internal/mail/report"
)

// postfixMain and postfixMaster are an instance of Postfix that only sends what
// its sendmail command takes in.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/lib
mail_owner = postfix
setgid_group = postdrop
myhostname = client.test
mydestination =
alias_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
relayhost = [127.0.0.1]:%[2]s
smtp_tls_security_level = none
disable_dns_lookups = yes
smtp_host_lookup = native
maillog_file = /dev/stdout
`

const postfixMaster = `pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
postlog unix-dgram n - n - 1 postlogd
`

// postfix starts an instance that relays to the program, and returns its
// configuration directory. Without POSTROAD_TEST_PEERS a missing Postfix, or not
// being root, skips the test.
func (b *bed) postfix(t *testing.T) (conf string) {
	t.Helper()
	_, err := exec.LookPath("postfix")
	if os.Geteuid() != 0 && err == nil {
		err = os.ErrPermission
	}
	switch {
	case err == nil:
	case os.Getenv("POSTROAD_TEST_PEERS") != "":
		t.Fatal(err)
	default:
		t.Skipf("%v (set POSTROAD_TEST_PEERS to make this a failure)", err)
	}
	dir, err := os.MkdirTemp("", "postfix") // short: it holds sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf = filepath.Join(dir, "conf")
	_, port, err := net.SplitHostPort(b.SMTP.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"", "conf", "queue", "lib"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"main.cf": fmt.Sprintf(postfixMain, dir, port), "master.cf": postfixMaster} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "postfix", filepath.Join(dir, "lib")).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v\n%s", err, out)
	}
	control := func(verb string) error {
		log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) // no pipe: the daemons inherit it
		if err != nil {
			return err
		}
		defer log.Close()
		cmd := exec.Command("postfix", "-c", conf, verb)
		cmd.Stdout, cmd.Stderr = log, log
		return cmd.Run()
	}
	t.Cleanup(func() {
		if err := control("stop"); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			text, err := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("%v\n%s", err, text)
		}
	})
	if err := control("start"); err != nil {
		t.Fatal(err)
	}
	return conf
}

// TestNotifyPostfix: a Postfix that relays to us passes on what its users ask for,
// and they hear from us.
func TestNotifyPostfix(t *testing.T) {
	b, k := asking(t, apptest.Options{})
	b.home(t, k)
	b.site(t, "there.test", script{Rcpt: map[string]apptest.Step{"bad@there.test": "550 5.1.1 no such user"}})
	conf := b.postfix(t)
	cmd := exec.Command("sendmail", "-C", conf, "-N", "success,failure", "-R", "hdrs", "-V", "Q+1", "-f", "boss@"+from, "a@there.test", "bad@there.test")
	cmd.Stdin = strings.NewReader("From: boss@" + from + "\nTo: a@there.test\nSubject: Order\nMessage-Id: <postfix@client.test>\n\nThank you.\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sendmail: %v\n%s", err, out)
	}
	seen := map[string]report.Action{}
	for _, m := range k.Await(t, 1) {
		got := told(t, b, m)
		for _, r := range got.Recipients {
			seen[r.Original] = r.Action
		}
		if got.EnvelopeID != "Q+1" || got.Original.MessageID != "postfix@client.test" {
			t.Errorf("%+v", got)
		}
	}
	b.Idle()
	if len(seen) != 2 || seen["a@there.test"] != report.Relayed || seen["bad@there.test"] != report.Failed {
		t.Errorf("%v", seen)
	}
}
