package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/schema"
	"postroad/internal/core/suppress"
)

// suppressed measures the question that is asked before each delivery: is the
// address suppressed? It is asked inside the program, so this measurement alone
// uses the program's packages, with SQLite as the program opens it.
type suppressed struct {
	entries, checks int
	listed          float64
	out             string
}

const (
	kindSuppress  = "suppress"
	suppressShort = 200_000
	suppressLong  = 10_000_000
)

func defineSuppress(f *flag.FlagSet) func(context.Context) error {
	s := suppressed{}
	f.IntVar(&s.entries, "entries", suppressShort, "addresses on the lists of the domain; 10,000,000 in the long form")
	f.IntVar(&s.checks, "checks", 100_000, "questions whose times are taken, idle and while an import writes")
	f.Float64Var(&s.listed, "listed", 0.05, "how many of them are about an address that is listed")
	f.StringVar(&s.out, "out", "", "file JSON lines are appended to")
	return func(ctx context.Context) error { return single(ctx, s.out, s.run) }
}

func (s *suppressed) run(ctx context.Context, r *report) error {
	dir, remove, err := workDir("")
	if err != nil {
		return err
	}
	defer remove()
	d, err := db.Open(ctx, db.Config{URL: filepath.Join(dir, "postroad.db"), Journal: filepath.Join(dir, "journal")})
	if err != nil {
		return err
	}
	return errors.Join(s.measure(ctx, r, d), d.Close())
}

func (s *suppressed) measure(ctx context.Context, r *report, d *db.DB) error {
	steps, err := schema.Steps()
	if err == nil {
		err = d.Migrate(ctx, steps)
	}
	if err != nil {
		return err
	}
	lists := suppress.New(d, ids.NewSource(clock.System{}), slog.New(slog.DiscardHandler))
	began := time.Now()
	if err := s.fill(ctx, lists); err != nil {
		return err
	}
	filled := time.Since(began)
	idle, err := s.check(ctx, lists)
	if err != nil {
		return err
	}
	busy, rows, err := s.checkBusy(ctx, lists)
	if err != nil {
		return err
	}
	size, err := d.Size(ctx)
	if err != nil {
		return err
	}
	return r.add(result{Kind: kindSuppress, System: fmt.Sprintf("Postroad, %d entries", s.entries), Figures: []figure{
		{"filling", float64(s.entries) / filled.Seconds(), "/s"}, {"database", float64(size) / 1e6, "MB"},
		{"look-up, p50", micros(idle, 0.50), "us"}, {"look-up, p99", micros(idle, 0.99), "us"},
		{"look-up while an import writes, p50", micros(busy, 0.50), "us"}, {"look-up while an import writes, p99", micros(busy, 0.99), "us"},
		{"rows that import wrote", rows, "/s"}}})
}

// micros is a quantile of sorted times in microseconds.
func micros(sorted []time.Duration, q float64) float64 {
	return float64(sorted[int(float64(len(sorted)-1)*q)]) / float64(time.Microsecond)
}

// address is one of those in the order of the index: even numbers are listed.
func (s *suppressed) address(i int) string {
	return fmt.Sprintf("%08x.recipient@mail%02d.example", i, i%97)
}

const benchDomain = 1

// entry is an address on a list; of six, four bounced, one complained, one left.
func (s *suppressed) entry(i int) suppress.Entry {
	e := suppress.Entry{Kind: suppress.Bounces, DomainID: benchDomain, Address: s.address(i), Code: "550",
		Reason: "5.1.1 The email account that you tried to reach does not exist", MessageID: fmt.Sprintf("20261130%010d@mail.example", i)}
	switch i / 2 % 6 {
	case 0:
		e = suppress.Entry{Kind: suppress.Complaints, DomainID: benchDomain, Address: e.Address, MessageID: e.MessageID}
	case 1:
		e = suppress.Entry{Kind: suppress.Unsubscribes, DomainID: benchDomain, Address: e.Address, Tag: "*", MessageID: e.MessageID}
	}
	return e
}

func (s *suppressed) fill(ctx context.Context, lists *suppress.Service) error {
	const chunk = 20_000
	entries := make([]suppress.Entry, 0, chunk)
	for i := range s.entries {
		entries = append(entries, s.entry(2*i))
		if len(entries) < chunk && i < s.entries-1 {
			continue
		}
		if err := lists.Put(ctx, entries); err != nil {
			return err
		}
		entries = entries[:0]
	}
	return nil
}

// check asks one question after the other and returns how long each took.
func (s *suppressed) check(ctx context.Context, lists *suppress.Service) ([]time.Duration, error) {
	random := rand.New(rand.NewPCG(1, 2))
	tags := []string{"receipts"}
	took := make([]time.Duration, s.checks)
	for n := range took {
		i, listed := 2*random.IntN(s.entries), random.Float64() < s.listed
		if !listed {
			i++
		}
		address := s.address(i)
		began := time.Now()
		v, err := lists.Check(ctx, benchDomain, address, tags)
		took[n] = time.Since(began)
		if err != nil {
			return nil, err
		}
		if (v != nil) != listed {
			return nil, fmt.Errorf("%s: listed %t, found %t", address, listed, v != nil)
		}
	}
	slices.Sort(took)
	return took, nil
}

// checkBusy asks while an import writes: batches as it makes them, all over the
// index, over entries that are there, so that the answers stay the same.
func (s *suppressed) checkBusy(ctx context.Context, lists *suppress.Service) (took []time.Duration, perSecond float64, err error) {
	ctx, stop := context.WithCancel(ctx)
	wrote, failed := 0, make(chan error, 1)
	began := time.Now()
	go func() {
		random := rand.New(rand.NewPCG(3, 4))
		batch := make([]suppress.Entry, 500)
		for ctx.Err() == nil {
			for i := range batch {
				batch[i] = s.entry(2 * random.IntN(s.entries))
				batch[i].Reason += " (again)"
			}
			if err := lists.Put(ctx, batch); err != nil && ctx.Err() == nil {
				failed <- err
				return
			}
			wrote += len(batch)
		}
		failed <- nil
	}()
	took, err = s.check(ctx, lists)
	stop()
	err = errors.Join(err, <-failed)
	return took, float64(wrote) / time.Since(began).Seconds(), err
}
