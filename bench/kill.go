package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// kill loads postroad and kills it at random moments until enough messages
// were acknowledged, then counts. It holds when
//
//   - every acknowledged message reached the sink,
//   - no more messages arrived twice than deliveries were under way at the
//     kills: a delivery whose result was not yet on disk has to be repeated,
//   - with Idempotency-Key, where every unanswered request is repeated, no
//     message was taken twice,
//   - every acknowledged message has its accepted and delivered events.
//
// A killed process loses what it held in memory, not what it gave to the
// kernel: the test says nothing of a power failure.
type kill struct {
	target
	acknowledged, connections, size int
	least, most                     time.Duration
	seed                            uint64
	mode                            string
	keep                            bool
}

func defineKill(f *flag.FlagSet) func(context.Context) error {
	var k kill
	k.target.define(f)
	f.IntVar(&k.acknowledged, "acknowledged", 20000, "messages to be acknowledged in each mode")
	f.IntVar(&k.connections, "connections", 64, "connections of the load")
	f.IntVar(&k.size, "size", 2048, "bytes of text in each message")
	f.DurationVar(&k.least, "least", 50*time.Millisecond, "shortest time under load before a kill")
	f.DurationVar(&k.most, "most", 2500*time.Millisecond, "longest time under load before a kill")
	f.Uint64Var(&k.seed, "seed", 0, "seed of the moments (0 takes one from the clock)")
	f.StringVar(&k.mode, "mode", "both", "plain, idempotent or both")
	f.BoolVar(&k.keep, "keep", false, "keep the data directory for a look")
	return k.run
}

func (k *kill) run(ctx context.Context) error {
	modes, ok := map[string][]bool{"both": {false, true}, "plain": {false}, "idempotent": {true}}[k.mode]
	if !ok || k.most < k.least {
		return errors.New("--mode must be plain, idempotent or both, and --most not less than --least")
	}
	if k.seed == 0 {
		k.seed = uint64(time.Now().UnixNano())
	}
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	if k.keep {
		fmt.Println("data is kept in", dir)
	} else {
		defer remove()
	}
	binary, err := k.resolve(ctx, dir)
	if err != nil {
		return err
	}
	var failed error
	for _, idempotent := range modes {
		failed = errors.Join(failed, k.trial(ctx, binary, filepath.Join(dir, fmt.Sprintf("idempotent-%t", idempotent)), idempotent))
	}
	if failed == nil {
		fmt.Println("kill: holds")
	}
	return failed
}

// ledger is what was acknowledged to the load and what the sink took.
type ledger struct {
	mu       sync.Mutex
	acked    map[string]string         // rig id: Message-Id
	conflict []string                  // rig ids acknowledged under two Message-Ids
	arrived  map[string]map[string]int // rig id: Message-Id: how often
	last     time.Time                 // of the latest arrival
}

func newLedger() *ledger {
	return &ledger{acked: map[string]string{}, arrived: map[string]map[string]int{}, last: time.Now()}
}

func (l *ledger) ack(rig, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.acked[rig]; ok && before != id {
		l.conflict = append(l.conflict, rig)
	}
	l.acked[rig] = id
}

func (l *ledger) arrive(m received) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.arrived[m.RigID] == nil {
		l.arrived[m.RigID] = map[string]int{}
	}
	l.arrived[m.RigID][m.MessageID]++
	l.last = time.Now()
}

func (l *ledger) ackedCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// missing lists acknowledged messages that did not arrive.
func (l *ledger) missing() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for rig, id := range l.acked {
		if l.arrived[rig][id] == 0 {
			out = append(out, rig+" "+id)
		}
	}
	return out
}

// quiet is how long ago the latest message arrived.
func (l *ledger) quiet() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.last)
}

// repeats counts arrivals beyond the first of each message, and lists the rig
// ids that arrived as different messages.
func (l *ledger) repeats() (duplicates int, twice []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rig, ids := range l.arrived {
		for _, n := range ids {
			duplicates += n - 1
		}
		if len(ids) > 1 {
			twice = append(twice, rig)
		}
	}
	return duplicates, twice
}

// trial is one mode on a fresh data directory.
func (k *kill) trial(ctx context.Context, binary, dir string, idempotent bool) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	book := newLedger()
	to, err := startSink("127.0.0.1:0", book.arrive)
	if err != nil {
		return err
	}
	defer to.close()
	s, err := newServer(binary, dir, to.addr())
	if err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	defer s.kill()
	if err := s.createDomain(ctx); err != nil {
		return err
	}
	t := &trial{kill: k, server: s, sink: to, book: book, idempotent: idempotent, random: rand.New(rand.NewPCG(k.seed, 1))}
	if err := t.rounds(ctx); err != nil {
		return errors.Join(err, s.lastLog())
	}
	if err := t.drain(ctx); err != nil {
		return errors.Join(err, s.lastLog())
	}
	return errors.Join(t.verdict(ctx), s.stop())
}

// trial is one mode under way.
type trial struct {
	*kill
	server     *server
	sink       *sink
	book       *ledger
	idempotent bool
	random     *rand.Rand
	kills      int
	inFlight   int // connections the sink had at the kills, summed
	next       int // number of the first message not yet tried
}

// rounds kills the server under load until enough was acknowledged.
func (t *trial) rounds(ctx context.Context) error {
	for t.book.ackedCount() < t.acknowledged || t.kills < 5 {
		if err := t.round(ctx); err != nil {
			return err
		}
		if t.kills > 1000 {
			return fmt.Errorf("after %d kills only %d messages were acknowledged", t.kills, t.book.ackedCount())
		}
	}
	return nil
}

// round loads the server, kills it, starts it again and, in the idempotent
// mode, repeats what was not answered.
func (t *trial) round(ctx context.Context) error {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	l := load{addr: t.server.http, domain: sender, key: adminKey, messages: 1 << 30, connections: t.connections, size: t.size,
		fields: dkimField(false), rigIDs: true, idempotent: t.idempotent, first: t.next, acked: t.book.ack}
	done := make(chan loadResult, 1)
	go func() { done <- l.run(loading) }()
	pause := t.least + time.Duration(t.random.Int64N(int64(t.most-t.least)+1))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case early := <-done:
		return fmt.Errorf("the load ended by itself: %s", early.Error)
	case <-time.After(pause):
	}
	before := t.sink.open.Load()
	if err := t.server.kill(); err != nil {
		return err
	}
	t.kills++
	t.inFlight += int(max(before, t.sink.open.Load()))
	stop()
	<-done
	tried := t.tried()
	if err := t.server.start(ctx); err != nil {
		return err
	}
	if t.idempotent {
		if err := t.repeat(ctx, tried); err != nil {
			return err
		}
	}
	t.next = tried
	return nil
}

// tried is one more than the highest number that may have been sent: each
// connection has one request under way at most, besides those acknowledged.
func (t *trial) tried() int {
	t.book.mu.Lock()
	defer t.book.mu.Unlock()
	top := t.next
	for n := t.next; n < top+2*t.connections+1; n++ {
		if _, ok := t.book.acked[rigID(n)]; ok {
			top = n + 1
		}
	}
	return top + 2*t.connections
}

// repeat sends again, under the same key, every message of the round that was
// not acknowledged.
func (t *trial) repeat(ctx context.Context, end int) error {
	for n := t.next; n < end; n++ {
		t.book.mu.Lock()
		_, ok := t.book.acked[rigID(n)]
		t.book.mu.Unlock()
		if ok {
			continue
		}
		l := load{addr: t.server.http, domain: sender, key: adminKey, messages: 1, connections: 1, size: t.size,
			fields: dkimField(false), rigIDs: true, idempotent: true, first: n, acked: t.book.ack}
		if r := l.run(ctx); r.Accepted != 1 {
			return fmt.Errorf("message %d could not be repeated: %s", n, r.Error)
		}
	}
	return nil
}

// drain waits until the queue is empty. What has not arrived then is lost: the
// verdict says so.
func (t *trial) drain(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := t.server.queued(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if t.book.quiet() > stall {
			return fmt.Errorf("%d deliveries are queued, but nothing arrived for %s", n, stall)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// verdict prints the counts and returns what does not hold.
func (t *trial) verdict(ctx context.Context) error {
	lost := t.book.missing()
	duplicates, twice := t.book.repeats()
	events, err := t.withoutEvents(ctx)
	if err != nil {
		return err
	}
	t.book.mu.Lock()
	acked, arrived, conflict := len(t.book.acked), len(t.book.arrived), len(t.book.conflict)
	t.book.mu.Unlock()
	mode := "plain"
	if t.idempotent {
		mode = "idempotent"
	}
	fmt.Printf("kill (%s, seed %d): %d kills, %d acknowledged, %d arrived (%d of them unacknowledged), %d lost, %d sent twice (%d deliveries under way at the kills), %d taken twice, %d without events\n",
		mode, t.seed, t.kills, acked, arrived, arrived-acked+len(lost), len(lost), duplicates, t.inFlight, len(twice)+conflict, len(events))
	var failed error
	if len(lost) > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d acknowledged messages were lost: %s", len(lost), some(lost)))
	}
	if duplicates > t.inFlight {
		failed = errors.Join(failed, fmt.Errorf("%d messages were sent twice, but only %d deliveries were under way at the kills", duplicates, t.inFlight))
	}
	if len(twice)+conflict > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d requests were taken twice: %s", len(twice)+conflict, some(twice)))
	}
	if len(events) > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d acknowledged messages lack an event: %s", len(events), some(events)))
	}
	return failed
}

// withoutEvents lists acknowledged messages without accepted or delivered
// events.
func (t *trial) withoutEvents(ctx context.Context) ([]string, error) {
	var out []string
	for _, kind := range []string{"accepted", "delivered"} {
		have, err := t.server.eventIDs(ctx, kind)
		if err != nil {
			return nil, err
		}
		t.book.mu.Lock()
		for _, id := range t.book.acked {
			if have[id] == 0 {
				out = append(out, kind+" "+id)
			}
		}
		t.book.mu.Unlock()
	}
	return out, nil
}

func some(list []string) string { return fmt.Sprint(list[:min(len(list), 5)]) }
