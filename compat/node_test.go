package compat

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// TestNode runs the tests of mailgun.js against servers of both modes.
func TestNode(t *testing.T) { node(t, "node") }

// TestResendNode does the same with the SDK of Resend.
func TestResendNode(t *testing.T) { node(t, "resend") }

// node runs the tests in a directory.
func node(t *testing.T, dir string) {
	t.Helper()
	nodeModules(t, dir)
	modes(t, func(t *testing.T, s *server) {
		run := exec.Command("node", "--test", "--test-reporter=spec")
		run.Dir = dir
		run.Env = append(os.Environ(), "POSTROAD_URL="+s.base, "POSTROAD_KEY="+s.key, "POSTROAD_DOMAIN="+domain, "POSTROAD_MODE="+s.mode)
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("node --test: %v\n%s", err, out)
		}
	})
}

// modules are the directories whose libraries were fetched, with what came of it.
var modules = struct {
	sync.Mutex
	fetched map[string]error
}{fetched: map[string]error{}}

// nodeModules gets the libraries of a directory from the registry, once. The test is
// skipped where Node.js or the registry is missing, unless POSTROAD_TEST_PEERS
// demands them.
func nodeModules(t *testing.T, dir string) {
	t.Helper()
	modules.Lock()
	defer modules.Unlock()
	err, done := modules.fetched[dir]
	if !done {
		err = fetch(dir)
		modules.fetched[dir] = err
	}
	if err != nil && os.Getenv("POSTROAD_TEST_PEERS") != "" {
		t.Fatal(err)
	} else if err != nil {
		t.Skipf("%v (set POSTROAD_TEST_PEERS to make this a failure)", err)
	}
}

func fetch(dir string) error {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return nil
}
