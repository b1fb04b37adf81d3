package deliver_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/config"
	"postroad/internal/core/event"
)

// TestRetry goes through the schedule with the jitter of the test, half of ten
// percent.
func TestRetry(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		k := b.site(t, "slow.test", script{Any: "450 4.2.0 not now"})
		c := b.Catch(from, "temporary_fail", "permanent_fail", "delivered")
		id := b.Send(from, fields{"to", "x@slow.test"})
		waits := []time.Duration{10, 10, 15, 30}
		for i, w := range waits {
			d := b.Outcome(id, "x@slow.test", i+1)
			temporary(450, "4.2.0", "not now").check(t, d)
			wait := w * time.Minute * 105 / 100
			if s := d.DeliveryStatus; s.AttemptNo != i+1 || s.RetrySeconds != int(wait/time.Second) {
				t.Errorf("attempt %d, retry-seconds %d, want %d and %d", s.AttemptNo, s.RetrySeconds, i+1, int(wait/time.Second))
			}
			b.Advance(wait - time.Second)
			if got := b.Waiting(id); len(got) != 1 || got[0].Due-b.Clock.Now().UnixMicro() != 1e6 {
				t.Fatalf("a second before its time: %+v", got)
			}
			if i == len(waits)-1 {
				k.Set(script{})
			}
			b.Advance(time.Second)
		}
		d := b.Outcome(id, "x@slow.test", len(waits)+1)
		ok().check(t, d)
		if d.DeliveryStatus.AttemptNo != 5 || len(b.Outcomes(id)) != 5 {
			t.Errorf("attempt %d, %d outcomes", d.DeliveryStatus.AttemptNo, len(b.Outcomes(id)))
		}
		b.verify(t, k.Await(t, 1)[0].Data)
		c.Await(event.Failed, "x@slow.test")
		c.Await(event.Delivered, "x@slow.test")
	})
}

// TestTooOld: when the schedule is over the delivery fails as old with the last
// answer. Mailgun: eight attempts in eight hours.
func TestTooOld(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		b.site(t, "never.test", script{Any: "451 4.3.0 broken"})
		id := b.Send(from, fields{"to", "x@never.test"})
		began := b.Clock.Now()
		for i := 1; i <= 7; i++ {
			d := b.Outcome(id, "x@never.test", i)
			temporary(451, "4.3.0", "broken").check(t, d)
			b.Advance(time.Duration(d.DeliveryStatus.RetrySeconds) * time.Second)
		}
		d := b.Outcome(id, "x@never.test", 8)
		permanent("old", 602, "4.3.0", "Too old").check(t, d)
		if s := d.DeliveryStatus; s.LastCode != 451 || s.LastMessage != "broken" || s.AttemptNo != 8 {
			t.Errorf("%+v", s)
		}
		if took := b.Clock.Now().Sub(began); took < 8*time.Hour || took > 9*time.Hour {
			t.Errorf("given up after %s", took)
		}
		if len(b.Waiting(id)) != 0 || len(b.Listed(b.dom, "bounces")) != 0 {
			t.Error("still queued, or listed as bounced")
		}
	})
}

func TestDeliverWithin(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "within.test", script{Any: "450 4.2.0 no"})
	id := b.Send(from, fields{"to", "x@within.test", "o:deliver-within", "15m"})
	wait := func(n, seconds int) {
		t.Helper()
		d := b.Outcome(id, "x@within.test", n)
		if d.DeliveryStatus.RetrySeconds != seconds {
			t.Errorf("attempt %d: retry-seconds %d, want %d", n, d.DeliveryStatus.RetrySeconds, seconds)
		}
		b.Advance(time.Duration(d.DeliveryStatus.RetrySeconds) * time.Second)
	}
	wait(1, 630)
	wait(2, 270) // the last attempt is at the end of the time given
	permanent("old", 602, "4.2.0", "Too old").check(t, b.Outcome(id, "x@within.test", 3))

	// What was not tried in time for another reason is not sent late. The
	// program is stopped, and starts an hour later.
	b.Must("GET", "/v3/domains/"+from+"/sending_queues", nil)
	k.Set(script{Any: apptest.Hold})
	late := b.Send(from, fields{"to", "late@within.test", "o:deliver-within", "15m", "o:deliverytime", b.Clock.Now().Add(time.Hour).Format(time.RFC1123Z)})
	usual := b.Send(from, fields{"to", "usual@within.test", "o:deliverytime", b.Clock.Now().Add(time.Hour).Format(time.RFC1123Z)})
	b.Stop()
	k.Set(script{})
	b.Clock.Advance(30 * time.Hour)
	again := apptest.Start(t, apptest.Options{Mode: 1, World: b.World, Clock: b.Clock, Data: b.Data})
	permanent("old", 602, "", "Too old").check(t, again.Outcome(late, "late@within.test", 1))
	ok().check(t, again.Outcome(usual, "usual@within.test", 1))
	if got := k.Messages(); len(got) != 1 || got[0].To[0] != "usual@within.test" {
		t.Errorf("delivered: %+v", got)
	}
}

func TestScheduled(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "then.test", script{})
	at := b.Clock.Now().Add(2 * time.Hour)
	id := b.Send(from, fields{"to", "x@then.test", "o:deliverytime", at.Format(time.RFC1123Z)})
	b.Advance(2*time.Hour - time.Second)
	if got := b.Waiting(id); len(got) != 1 || got[0].Tries != 0 || got[0].Attempt != 0 || got[0].Due != at.UnixMicro() {
		t.Fatalf("before its time: %+v", got)
	}
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "now@then.test"}), "now@then.test", 1)) // the loader had its turn
	if len(k.Messages()) != 1 {
		t.Fatal("delivered before its time")
	}
	b.Advance(time.Second)
	d := b.Outcome(id, "x@then.test", 1)
	ok().check(t, d)
	if d.DeliveryStatus.AttemptNo != 1 {
		t.Errorf("attempt %d", d.DeliveryStatus.AttemptNo)
	}
}

// TestClockStep: a clock that is set does not lose mail or give it up early.
func TestClockStep(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		b := start(t, apptest.Options{Clock: clock.NewFake(apptest.Begin())})
		k := b.site(t, "step.test", script{Any: "450 4.2.0 no"})
		id := b.Send(from, fields{"to", "x@step.test"})
		temporary(450, "4.2.0", "no").check(t, b.Outcome(id, "x@step.test", 1))
		b.Advance(step)
		ok().check(t, func() *event.Doc {
			b.site(t, "other.test", script{})
			return b.Outcome(b.Send(from, fields{"to", "y@other.test"}), "y@other.test", 1)
		}())
		n := 2
		if step > 0 { // its time had come by the wrong clock: it was tried early, not given up
			temporary(450, "4.2.0", "no").check(t, b.Outcome(id, "x@step.test", 2))
			n = 3
		}
		k.Set(script{})
		b.Advance(-step + 11*time.Minute)
		if step > 0 {
			b.Advance(step)
		}
		ok().check(t, b.Outcome(id, "x@step.test", n))
	}
}

// TestSilentDestination: once a destination has let a session wait in vain,
// what else is queued for it is deferred without waiting, for a while; other
// destinations are not held up.
func TestSilentDestination(t *testing.T) {
	const connect = 300 * time.Millisecond
	o := apptest.Options{Mode: config.Serve, Wire: app.Wire{Connect: connect}, Args: []string{"--workers=1"}}
	b := &bed{Server: apptest.Start(t, o), t: t} // on the system's clock
	b.dom = b.AddDomain(from)
	ip := b.World.Address()
	b.World.BlackHole(ip)
	b.World.DNS.Set(t, "mx.hole.test", "A", ip)
	b.World.MX(t, "hole.test", "mx.hole.test")
	b.site(t, "alive.test", script{})
	var ids []string
	for i := range 5 {
		ids = append(ids, b.Send(from, fields{"to", fmt.Sprintf("u%d@hole.test", i)}))
	}
	alive := b.Send(from, fields{"to", "x@alive.test"})
	ok().check(t, b.Outcome(alive, "x@alive.test", 1))
	for i, id := range ids {
		temporary(421, "4.4.1", "connecting to mx.hole.test").check(t, b.Outcome(id, fmt.Sprintf("u%d@hole.test", i), 1))
	}
	if got := b.World.Dialed(); len(got) != 2 {
		t.Errorf("dialled %v, want the silent host once", got)
	}
}

// TestOneOfTwoSilent: of two MX hosts the one that answers is asked first once
// the other has been silent.
func TestOneOfTwoSilent(t *testing.T) {
	o := apptest.Options{Mode: config.Serve, Wire: app.Wire{Connect: 100 * time.Millisecond}}
	b := &bed{Server: apptest.Start(t, o), t: t}
	b.dom = b.AddDomain(from)
	ip := b.World.Address()
	b.World.BlackHole(ip)
	b.World.DNS.Set(t, "mx1.half.test", "A", ip)
	k := b.World.Sink(t, "mx2.half.test", script{PerConn: 1})
	b.World.MX(t, "half.test", "mx1.half.test", "mx2.half.test")
	for i := range 4 {
		to := fmt.Sprintf("u%d@half.test", i)
		ok().check(t, b.Outcome(b.Send(from, fields{"to", to}), to, 1))
	}
	if got := b.World.Dialed(); !slices.Equal(got, []string{ip, k.IP, k.IP, k.IP, k.IP}) {
		t.Errorf("dialled %v", got)
	}
}
