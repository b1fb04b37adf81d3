package compat

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// installNode gets mailgun.js from the registry, once. The test is skipped where
// Node.js or the registry is missing, unless POSTROAD_TEST_PEERS demands it.
func installNode(t *testing.T) {
	t.Helper()
	err := npm()
	if err != nil && os.Getenv("POSTROAD_TEST_PEERS") != "" {
		t.Fatal(err)
	} else if err != nil {
		t.Skipf("%v (set POSTROAD_TEST_PEERS to make this a failure)", err)
	}
}

var npm = sync.OnceValue(func() error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
	install.Dir = "node"
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
})

// TestNode runs the tests of mailgun.js against servers of both modes.
func TestNode(t *testing.T) {
	installNode(t)
	modes(t, func(t *testing.T, s *server) {
		run := exec.Command("node", "--test", "--test-reporter=spec")
		run.Dir = "node"
		run.Env = append(os.Environ(), "POSTROAD_URL="+s.base, "POSTROAD_KEY="+s.key, "POSTROAD_DOMAIN="+domain, "POSTROAD_MODE="+s.mode)
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("node --test: %v\n%s", err, out)
		}
	})
}
