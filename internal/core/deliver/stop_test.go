package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/db/dbtest"
	"postroad/internal/config"
)

// twenty gives every destination as many sessions from the start.
var twenty = []string{"--lane-start=20", "--lane-sessions=20"}

// TestGracefulStop stops the program under load: what was accepted is
// delivered before or after the next start, once.
func TestGracefulStop(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		o.Args = twenty
		b := start(t, o)
		const messages = 60
		k := b.site(t, "load.test", script{Dot: apptest.Hold})
		var wg sync.WaitGroup
		for i := range messages {
			wg.Go(func() { b.Send(from, fields{"to", fmt.Sprintf("u%d@load.test", i)}) })
		}
		wg.Wait()
		k.AwaitHeld(t, 20) // all the sessions the destination gets; the rest is in the window
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			b.Stop()
		}()
		b.Until("the queue to hand out no more", func() bool { return b.Queue.Depth().Stopping })
		k.Release()
		<-stopped
		before := len(k.Messages())
		if before != 20 {
			t.Fatalf("%d messages went out before the stop, want the 20 under way", before)
		}
		o.Mode, o.World, o.Data, o.Clock = config.Serve, b.World, b.Data, b.Clock
		again := apptest.Start(t, o)
		again.Idle()
		once(t, k, messages)
		for _, m := range k.Messages() { // what was not begun was not tried
			d := again.Recorded(outcomeOf(m.To[0]))
			if len(d) == 1 && d[0].Doc.DeliveryStatus.AttemptNo != 1 {
				t.Errorf("%s: attempt %d", m.To[0], d[0].Doc.DeliveryStatus.AttemptNo)
			}
		}
	})
}

// once checks that each of u0 to u(n-1) got its message, and only once.
func once(t *testing.T, k *apptest.Sink, n int) {
	t.Helper()
	seen := map[string]int{}
	for _, m := range k.Messages() {
		for _, to := range m.To {
			seen[to]++
		}
	}
	for i := range n {
		if to := fmt.Sprintf("u%d@load.test", i); seen[to] != 1 {
			t.Errorf("%s got %d messages", to, seen[to])
		}
	}
}

// TestCutOff: sessions that do not end in the shutdown time are cut; their
// mail is kept and tried again.
func TestCutOff(t *testing.T) {
	b := start(t, apptest.Options{Args: []string{"--shutdown-timeout=100ms"}})
	k := b.site(t, "stuck.test", script{Dot: apptest.Stall})
	id := b.Send(from, fields{"to", "x@stuck.test"})
	k.Await(t, 0)
	b.Until("the message to be at its end", func() bool { return len(k.All()) == 1 })
	b.Stop()
	k.Set(script{})
	b.Clock.Advance(time.Hour)
	again := apptest.Start(t, apptest.Options{Mode: config.Serve, World: b.World, Data: b.Data, Clock: b.Clock})
	d := again.Outcome(id, "x@stuck.test", 1)
	ok().check(t, d)
	if d.DeliveryStatus.AttemptNo != 2 {
		t.Errorf("attempt %d, want the second: the first may have been delivered", d.DeliveryStatus.AttemptNo)
	}
}

// TestCrash starts a second program on a copy of the data made while
// deliveries were in the window and in sessions, as a crash leaves it.
func TestCrash(t *testing.T) {
	b := start(t, apptest.Options{Args: twenty})
	const messages = 40
	k := b.site(t, "load.test", script{Data: apptest.Hold})
	for i := range messages {
		b.Send(from, fields{"to", fmt.Sprintf("u%d@load.test", i)})
	}
	k.AwaitHeld(t, 20)
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "data"), os.DirFS(b.Data)); err != nil {
		t.Fatal(err)
	}
	world := apptest.NewWorld(t) // the first program goes on in its own
	site := world.Sink(t, "mx.load.test", script{})
	world.MX(t, "load.test", site.Host)
	again := apptest.Start(t, apptest.Options{Mode: config.Serve, World: world, Data: filepath.Join(dir, "data"),
		Clock: clock.NewFake(b.Clock.Now().Add(time.Second))})
	again.Idle()
	once(t, site, messages)
	k.Release()
}

// TestRestartOnPostgres: rows held by a dead predecessor of the same
// installation come back at once, those of another node only when it is silent.
func TestRestartOnPostgres(t *testing.T) {
	url := dbtest.PostgresURL(t)
	b := start(t, apptest.Options{DB: url})
	k := b.site(t, "held.test", script{})
	when := fields{"o:deliverytime", b.Clock.Now().Add(time.Minute).Format(time.RFC1123Z)}
	mine := b.Send(from, append(fields{"to", "mine@held.test"}, when...))
	other := b.Send(from, append(fields{"to", "other@held.test"}, when...))
	name, err := os.ReadFile(filepath.Join(b.Data, "node"))
	if err != nil {
		t.Fatal(err)
	}
	seen := b.Clock.Now().UnixMicro()
	write := func(q string, args ...any) {
		t.Helper()
		if err := b.DB.Write(context.Background(), func(tx *db.Tx) error {
			n, err := tx.Exec(q, args...)
			if err == nil && n != 1 {
				err = errors.New("not one row")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	write("INSERT INTO node (id, name, started_at, seen_at) VALUES (71, ?, ?, ?)", string(name), seen, seen)
	write("INSERT INTO node (id, name, started_at, seen_at) VALUES (72, 'another', ?, ?)", seen, seen)
	write("UPDATE delivery SET node = 71, attempt = 1 WHERE id = ?", b.Waiting(mine)[0].ID)
	write("UPDATE delivery SET node = 72, attempt = 1 WHERE id = ?", b.Waiting(other)[0].ID)
	b.Stop()
	b.Clock.Advance(time.Hour)
	o := apptest.Options{Mode: config.Serve, World: b.World, Data: b.Data, Clock: b.Clock, DB: url}
	again := apptest.Start(t, o)
	ok().check(t, again.Outcome(mine, "mine@held.test", 1))
	if got := again.Waiting(other); len(got) != 1 {
		t.Fatalf("the other node's delivery: %+v", got)
	}
	again.Until("the other node's deliveries to be taken over", func() bool {
		again.Advance(10 * time.Second)
		return len(again.Outcomes(other)) > 0
	})
	ok().check(t, again.Outcome(other, "other@held.test", 1))
	if len(k.Messages()) != 2 {
		t.Errorf("%d messages", len(k.Messages()))
	}
}
