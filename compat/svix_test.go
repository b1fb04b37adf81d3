package compat

import (
	"os"
	"os/exec"
	"testing"
)

// resendSecret is what the servers of these tests take Resend's webhooks with.
const resendSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestSvix has Svix's library and that of Standard Webhooks check our webhooks and
// sign ones for us. It is skipped where Node.js is missing, unless
// POSTROAD_TEST_PEERS demands it.
func TestSvix(t *testing.T) {
	nodeModules(t, "svix")
	modes(t, func(t *testing.T, s *server) {
		run := exec.Command("node", "--test", "--test-reporter=spec")
		run.Dir = "svix"
		run.Env = append(os.Environ(), "POSTROAD_URL="+s.base, "POSTROAD_KEY="+s.key, "RESEND_WEBHOOK_SECRET="+resendSecret)
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("node --test: %v\n%s", err, out)
		}
	})
}
