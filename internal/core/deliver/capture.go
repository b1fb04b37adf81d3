package deliver

import (
	"context"
	"strconv"
	"strings"
	"time"

	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
)

// capture takes the place of the network in dev mode. The message stays in the
// store; the recipient's address decides what is said to have happened, so
// that a program's handling of each outcome can be tried.
type capture struct {
	e    *Engine
	lane *queue.Lane
}

func (c *capture) close() {}

// CaptureSite is where the mail of a destination goes in dev mode.
func CaptureSite(destination string) *Site { return &Site{Name: destination} }

// slowFor is how long a +slow recipient's server thinks.
const slowFor = 5 * time.Second

func (c *capture) send(ctx context.Context, j *job) {
	for _, o := range j.list {
		o.status.MXHost = message.CaptureHost
		c.decide(ctx, o, suffix(o.d.Recipient))
	}
}

// suffix returns what follows the first plus sign of the local part, in lower
// case: "bounce" of test+bounce@example.com.
func suffix(recipient string) string {
	local := recipient[:max(strings.LastIndexByte(recipient, '@'), 0)]
	_, s, _ := strings.Cut(local, "+")
	return strings.ToLower(s)
}

func (c *capture) decide(ctx context.Context, o *outcome, magic string) {
	switch magic {
	case "bounce", "bounced":
		o.permfail(550, "5.1.1", "5.1.1 The email account that you tried to reach does not exist (simulated)", "bounce")
	case "defer", "deferred":
		if o.d.Tries == 0 {
			o.tempfail(451, "4.7.1", "4.7.1 Try again later (simulated)")
			o.next = 2 * time.Second
			return
		}
		o.ok()
	case "reject", "rejected":
		o.set(rejected, 0, "", "rejected by a magic recipient")
		o.reason = "simulated"
	case "slow":
		c.lane.Wait(ctx, slowFor)
		o.ok()
	case "complain", "complaint", "spam":
		o.ok(event.Complained)
	case "unsubscribe", "unsubscribed":
		o.ok(event.Unsubscribed)
	case "open", "opened":
		o.ok(event.Opened)
	case "click", "clicked":
		o.ok(event.Opened, event.Clicked)
	default:
		if code, err := strconv.Atoi(magic); err == nil && code >= 400 && code < 600 {
			o.classify(code, strconv.Itoa(code/100)+".0.0", strconv.Itoa(code)+" (simulated)", "", true)
			return
		}
		o.ok()
	}
}

func (o *outcome) ok(after ...event.Type) {
	o.deliver(250, "2.0.0", "OK")
	o.after = after
}
