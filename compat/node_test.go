package compat

import (
	"os"
	"os/exec"
	"testing"
)

// TestNode runs the tests of mailgun.js against servers of both modes.
func TestNode(t *testing.T) { node(t, "node") }

// TestResendNode does the same with the SDK of Resend.
func TestResendNode(t *testing.T) { node(t, "resend") }

// node runs the tests in a directory. It skips where Node.js is missing, unless
// POSTROAD_TEST_PEERS demands it.
func node(t *testing.T, dir string) {
	t.Helper()
	demanded := os.Getenv("POSTROAD_TEST_PEERS") != ""
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil && demanded {
			t.Fatal(err)
		} else if err != nil {
			t.Skipf("%v (set POSTROAD_TEST_PEERS to make this a failure)", err)
		}
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil && demanded {
		t.Fatalf("npm ci: %v\n%s", err, out)
	} else if err != nil {
		t.Skipf("npm ci: %v (set POSTROAD_TEST_PEERS to make this a failure)\n%s", err, out)
	}
	modes(t, func(t *testing.T, s *server) {
		run := exec.Command("node", "--test", "--test-reporter=spec")
		run.Dir = dir
		run.Env = append(os.Environ(), "POSTROAD_URL="+s.base, "POSTROAD_KEY="+s.key, "POSTROAD_DOMAIN="+domain, "POSTROAD_MODE="+s.mode)
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("node --test: %v\n%s", err, out)
		}
	})
}
