//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // to count what a damaged database still holds
)

// harm is one way a data directory may be found at start.
type harm struct {
	name string
	do   func(data string, random *rand.Rand) error
	// atMost is how many acknowledged messages the harm destroyed; the others
	// have to be delivered. Negative: what the database still names has to be.
	atMost int
	// refuses: the server may refuse to start, saying why.
	refuses bool
}

func harms() []harm {
	last := func(data string) (string, error) {
		list, err := segments(data)
		if err != nil || len(list) < 2 {
			return "", errors.Join(err, fmt.Errorf("%d segments", len(list)))
		}
		return list[len(list)-1], nil
	}
	inLast := func(fn func(name string, size int64, random *rand.Rand) error) func(string, *rand.Rand) error {
		return func(data string, random *rand.Rand) error {
			name, err := last(data)
			if err != nil {
				return err
			}
			return sized(name, random, fn)
		}
	}
	in := func(file string, fn func(name string, size int64, random *rand.Rand) error) func(string, *rand.Rand) error {
		return func(data string, random *rand.Rand) error { return sized(filepath.Join(data, file), random, fn) }
	}
	journal := func(fn func(name string, size int64, random *rand.Rand) error) func(string, *rand.Rand) error {
		return func(data string, random *rand.Rand) error {
			list, err := filepath.Glob(filepath.Join(data, "journal", "*.log"))
			if err != nil || len(list) == 0 {
				return errors.Join(errNothing, err)
			}
			return sized(list[len(list)-1], random, fn)
		}
	}
	const wal, shm, db = "postroad.db-wal", "postroad.db-shm", "postroad.db"
	return []harm{
		{"none", func(string, *rand.Rand) error { return nil }, 0, false},
		{"newest segment cut in its last record", inLast(func(name string, size int64, random *rand.Rand) error {
			return os.Truncate(name, size-1-random.Int64N(500))
		}), 1, false},
		{"bit flipped in the newest segment", inLast(flip), 1, false},
		{"bit flipped in a sealed segment", func(data string, random *rand.Rand) error {
			list, err := segments(data)
			if err != nil {
				return err
			}
			return sized(list[0], random, flip)
		}, 1, false},
		{"garbage behind the newest segment", inLast(garbage), 0, false},
		{"header of the newest segment cleared", inLast(func(name string, _ int64, _ *rand.Rand) error {
			return overwrite(name, 0, make([]byte, 32))
		}), 0, false},
		{"empty segment behind the newest", inLast(func(name string, _ int64, _ *rand.Rand) error {
			var n uint64
			base := strings.TrimSuffix(filepath.Base(name), ".seg")
			if _, err := fmt.Sscanf(base, "%x", &n); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(filepath.Dir(name), fmt.Sprintf("%0*x.seg", len(base), n+1)), nil, 0o600)
		}), 0, false},
		{"garbage behind the journal", journal(garbage), 0, false},
		{"journal cut anywhere", journal(func(name string, size int64, random *rand.Rand) error {
			return os.Truncate(name, random.Int64N(size+1))
		}), -1, false},
		{"bit flipped in the journal", journal(flip), -1, true},
		{"garbage behind the database's log", in(wal, garbage), 0, false},
		{"database's log cut anywhere", in(wal, func(name string, size int64, random *rand.Rand) error {
			return os.Truncate(name, random.Int64N(size))
		}), -1, false},
		{"bit flipped in the database's log", in(wal, flip), -1, true},
		{"index of the database's log is garbage", in(shm, func(name string, size int64, random *rand.Rand) error {
			return overwrite(name, 0, noise(random, int(size)))
		}), 0, false},
		{"page of the database cleared", in(db, func(name string, size int64, random *rand.Rand) error {
			return overwrite(name, 4096*(1+random.Int64N(size/4096-1)), make([]byte, 4096))
		}), -1, true},
		{"database cut", in(db, func(name string, size int64, random *rand.Rand) error {
			return os.Truncate(name, size/2+random.Int64N(size/4))
		}), -1, true},
		{"master secret cut", in("secret", func(name string, size int64, _ *rand.Rand) error { return os.Truncate(name, size/2) }), -1, true},
		{"master secret gone", in("secret", func(name string, _ int64, _ *rand.Rand) error { return os.Remove(name) }), -1, true},
		{"node name empty", in("node", func(name string, _ int64, _ *rand.Rand) error { return os.Truncate(name, 0) }), 0, false},
	}
}

// errNothing is that of a harm to a file that is not there.
var errNothing = errors.New("nothing to harm")

func sized(name string, random *rand.Rand, fn func(string, int64, *rand.Rand) error) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return fn(name, info.Size(), random)
}

func overwrite(name string, at int64, b []byte) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Close())
}

func flip(name string, size int64, random *rand.Rand) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if size <= 32 {
		return errors.Join(errNothing, f.Close())
	}
	b, at := make([]byte, 1), 32+random.Int64N(size-32)
	_, err = f.ReadAt(b, at)
	if err == nil {
		b[0] ^= 1 << random.IntN(8)
		_, err = f.WriteAt(b, at)
	}
	return errors.Join(err, f.Close())
}

func noise(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func garbage(name string, size int64, random *rand.Rand) error {
	return overwrite(name, size, noise(random, 1+random.IntN(20000)))
}

// damage is R4: a killed server's directory with queued mail is copied, harmed
// and started.
func (r *rig) damage(ctx context.Context, res *result) error {
	t, err := r.queuedSite(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	res.Acknowledged = t.book.ackedCount()
	for range r.rounds(1, 20) {
		for _, h := range harms() {
			if err := r.harmed(ctx, res, t, h); err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			res.Rounds++
		}
	}
	return nil
}

// queuedSite is a killed server with mail that was tried once, in two segments
// and with a part of it in the database's log only.
func (r *rig) queuedSite(ctx context.Context) (*site, error) {
	t, err := r.newSite("damage", r.binary, "", script{at: atRcpt, reply: "450 4.2.0 later"}, "--retry", "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s")
	if err != nil {
		return nil, err
	}
	fill := func() error {
		if err := t.send(ctx, 100, nil); err != nil {
			return err
		}
		return t.kill()
	}
	err = errors.Join(t.open(ctx), fill())
	if err == nil {
		var list []string
		if list, err = segments(t.data); err == nil { // a torn tail makes the next start begin a segment
			err = errors.Join(sized(list[0], r.random, garbage), edit(t.data, "PRAGMA wal_checkpoint(TRUNCATE)"), t.start(ctx), fill())
		}
	}
	if err != nil {
		t.close()
		return nil, errors.Join(err, t.lastLog())
	}
	return t, nil
}

// harmed tries one harm on a copy. The copy is as old as the site, so its
// deliveries are due.
func (r *rig) harmed(ctx context.Context, res *result, base *site, h harm) error {
	c, err := r.newSite("harmed", r.binary, "", script{}, "--retry", "1s,1s,1s,1s,1s,1s,1s,1s,1s,1s")
	if err != nil {
		return err
	}
	defer c.close()
	if err := base.copyTo(c.data); err != nil {
		return err
	}
	if err := h.do(c.data, r.random); errors.Is(err, errNothing) {
		res.note("%s: there is none", h.name)
		return nil
	} else if err != nil {
		return err
	}
	for rig, at := range base.book.acked {
		c.book.acked[rig] = at
	}
	if err := c.start(ctx); err != nil {
		text, _ := os.ReadFile(c.log)
		switch {
		case !errors.Is(err, errEnded):
			return err
		case strings.Contains(string(text), "panic:"):
			res.wrong("%s: panic at start\n%s", h.name, text[:min(len(text), 1500)])
		case !h.refuses:
			res.wrong("%s: does not start: %s", h.name, lastLine(string(text)))
		default:
			res.note("%s: refuses: %s", h.name, lastLine(string(text)))
		}
		return nil
	}
	return r.afterHarm(ctx, res, c, h)
}

// lastLine is what the log of a program that ended says last.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, l := range slices.Backward(lines) {
		if strings.Contains(l, `"cause"`) {
			return strings.TrimSpace(l)
		}
	}
	return lines[len(lines)-1]
}

// afterHarm waits for what can be delivered and counts the rest.
func (r *rig) afterHarm(ctx context.Context, res *result, c *site, h harm) error {
	total := c.book.ackedCount()
	allowed := h.atMost
	if allowed < 0 {
		allowed = total
	}
	err := until(ctx, 20*time.Second, "what is whole was delivered", func() (bool, error) {
		n, err := c.queued(ctx)
		done := n == 0 || len(c.book.missing()) <= allowed && c.book.quiet() > 2*time.Second
		return done && err == nil, err
	})
	missing := len(c.book.missing())
	reported := c.logged(`"level":"ERROR"`) + c.logged("torn tail")
	res.note("%s: %d of %d delivered, %d complaints in the log", h.name, total-missing, total, reported)
	if err != nil {
		res.wrong("%s: %s", h.name, err)
	}
	if missing > allowed {
		res.wrong("%s: %d messages are missing, at most %d were harmed", h.name, missing, allowed)
	}
	if missing > 0 && h.atMost >= 0 && reported == 0 {
		res.wrong("%s: messages are missing and nothing was said", h.name)
	}
	if d := c.book.duplicates(); d > 0 {
		res.wrong("%s: %d messages came twice", h.name, d)
	}
	if text, err := os.ReadFile(c.log); err == nil && strings.Contains(string(text), "panic") {
		res.wrong("%s: panic\n%s", h.name, lastLine(string(text)))
	}
	if err := c.resumes(ctx, 10*time.Second); err != nil && !h.refuses {
		res.wrong("%s: takes no mail: %s", h.name, err)
	}
	if err := c.kill(); err != nil {
		return err
	}
	left, err := leftOver(c.data)
	if err != nil && !h.refuses {
		res.wrong("%s: %s", h.name, err)
	}
	if h.atMost < 0 && left > 1 { // one: the message of resumes
		res.note("%s: %d deliveries are still queued", h.name, left)
	}
	return nil
}

// leftOver counts deliveries in the database of a server that is not running.
func leftOver(data string) (n int, err error) {
	d, err := sql.Open("sqlite", "file:"+filepath.Join(data, "postroad.db"))
	if err != nil {
		return 0, err
	}
	err = d.QueryRow("SELECT COUNT(*) FROM delivery").Scan(&n)
	return n, errors.Join(err, d.Close())
}

// edit runs statements on the database of a server that is not running.
func edit(data string, statements ...string) error {
	d, err := sql.Open("sqlite", "file:"+filepath.Join(data, "postroad.db"))
	if err != nil {
		return err
	}
	for _, q := range statements {
		if _, err := d.Exec(q); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", q, err), d.Close())
		}
	}
	return d.Close()
}

// query reads one row of a database that may be in use.
func query(data, q string, into ...any) error {
	d, err := sql.Open("sqlite", "file:"+filepath.Join(data, "postroad.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	return errors.Join(d.QueryRow(q).Scan(into...), d.Close())
}
