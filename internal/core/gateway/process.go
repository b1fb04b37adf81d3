package gateway

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/provider"
)

// Statuses of batches.
const (
	batchHeld    = "held"
	batchWaiting = "waiting"
	batchSending = "sending"
	batchDone    = "done"
)

// batch is a row of gateway_batch.
type batch struct {
	campaign, n  int64
	provider     string
	status       string
	due          int64
	tries        int64
	firstTry     int64
	doubt        bool
	to           []recipient
	failures     []Failed
	uuid, driver string // of the campaign
}

const (
	// tryFor is how long a batch is tried. Providers forget idempotency keys after 24
	// hours; a repetition after that could be sent twice.
	tryFor       = 23 * time.Hour
	firstWait    = 10 * time.Second
	longestWait  = 30 * time.Minute
	idleWait     = 30 * time.Second
	afterTrouble = 2 * time.Second // with the database
)

// RunCampaigns sends the batches of campaigns until ctx ends.
func (s *Service) RunCampaigns(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, flights)
	for {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		b, wait, err := s.claim(ctx)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("campaigns", "error", err)
			wait = afterTrouble
		}
		if b != nil {
			wg.Go(func() {
				defer func() { <-slots }()
				s.carry(ctx, b)
			})
			continue
		}
		<-slots
		c, stop := s.DB.Clock().After(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-c:
		}
		stop()
	}
}

// claim takes a batch that is due; without one, wait is until there may be.
func (s *Service) claim(ctx context.Context) (b *batch, wait time.Duration, err error) {
	wait = idleWait
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		b = nil
		next, err := nextBatch(tx)
		if errors.Is(err, db.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if next.due > tx.Now {
			wait = min(wait, time.Duration(next.due-tx.Now)*time.Microsecond)
			return nil
		}
		ok, err := claimBatch(tx, next)
		if err != nil || !ok { // another node was faster
			wait = 0
			return err
		}
		b = next
		return nil
	})
	if err != nil {
		b = nil
	}
	return b, wait, err
}

// carry sends a batch and records what became of it.
func (s *Service) carry(ctx context.Context, b *batch) {
	err := s.try(ctx, b)
	if err == nil {
		return
	}
	if ctx.Err() == nil {
		s.Logger.Error("batch of a campaign", "campaign", b.uuid, "batch", b.n, "error", err)
	}
	// It may have been taken, or not: the same request says. When even this cannot be
	// noted, the next start does.
	free, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.DB.Write(free, func(tx *db.Tx) error {
		return postpone(tx, b, tx.Now+afterTrouble.Microseconds(), true)
	}); err != nil {
		s.Logger.Error("batch of a campaign was left", "campaign", b.uuid, "batch", b.n, "error", err)
	}
}

// try sends a batch once. An error means that nothing was recorded.
func (s *Service) try(ctx context.Context, b *batch) error {
	c, err := s.campaign(ctx, b.uuid)
	if err != nil {
		return err
	}
	key := s.keyOf(b.provider)
	if b.provider == c.driver {
		if key, err = s.unseal(c); err != nil {
			return err
		}
	}
	by := s.carrier(b.provider, key, c.doc.From)
	m := &provider.Message{From: c.doc.From, ReplyTo: c.doc.ReplyTo, Subject: c.doc.Subject, HTML: c.html, Tags: c.doc.Tags,
		IdempotencyKey: "campaign-" + c.uuid + "-" + strconv.FormatInt(b.n, 10)}
	about := c.doc.Metadata.over(object{"campaign_id": []byte(strconv.FormatInt(c.id, 10))})
	m.Metadata = about.text()
	request := batchOf(m, about, b.to)
	if s.DB.Clock().Now().UnixMicro()-b.firstTry > tryFor.Microseconds() {
		return s.finish(ctx, b, request, outcome(len(b.to), b.provider, b.tooLate()))
	}
	sent := by.SendBatch(ctx, by.account, request)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	results := make([]result, len(sent))
	for i := range sent {
		results[i] = result{sent[i], b.provider}
	}
	return s.settle(ctx, b, request, results)
}

// tooLate says why a batch is given up.
func (b *batch) tooLate() error {
	if b.doubt {
		return errs.New(errs.Internal, "the provider did not say whether it took the message")
	}
	return errs.New(errs.Internal, "the provider did not take the message for a day")
}

// outcome is the same for everybody.
func outcome(n int, driver string, err error) []result {
	return slices.Repeat([]result{{provider.Sent{Err: err}, driver}}, n)
}

// settle records what became of a batch: drivers give all its recipients the same
// error or none.
func (s *Service) settle(ctx context.Context, b *batch, request *provider.Batch, results []result) error {
	var e *provider.Error
	if !errors.As(results[0].Err, &e) || !e.Temporary() {
		return s.finish(ctx, b, request, results)
	}
	b.doubt = b.doubt || e.Doubt
	if other, ok := s.second(b.provider); ok && !b.doubt && !b.passed() {
		s.Logger.Warn("a campaign goes on with the second driver", "campaign", b.uuid, "batch", b.n, "driver", other, "error", e)
		return s.pass(ctx, b, other)
	}
	wait := max(backoff(b.tries), min(e.RetryAfter, 2*longestWait))
	s.Logger.Info("a batch of a campaign is tried again", "campaign", b.uuid, "batch", b.n, "in", wait.String(), "error", e)
	return s.DB.Write(ctx, func(tx *db.Tx) error { return postpone(tx, b, tx.Now+wait.Microseconds(), b.doubt) })
}

// backoff doubles from firstWait.
func backoff(tries int64) time.Duration {
	return min(firstWait<<min(tries, 20), longestWait)
}

// passed reports whether the batch is with the second driver already.
func (b *batch) passed() bool { return b.provider != b.driver }

// pass gives a batch to the second driver, in as many parts as that needs. It is
// written down before anything is sent: from here on the first one gets it no more.
func (s *Service) pass(ctx context.Context, b *batch, other string) error {
	err := s.DB.Write(ctx, func(tx *db.Tx) error {
		n, err := lastBatch(tx, b.campaign)
		if err != nil {
			return err
		}
		parts := slices.Collect(slices.Chunk(b.to, s.carrier(other, "", "").BatchSize()))
		for _, part := range parts {
			n++
			if err := insertBatch(tx, &batch{campaign: b.campaign, n: n, provider: other, status: batchWaiting, due: tx.Now, to: part}); err != nil {
				return err
			}
		}
		ok, err := closeBatch(tx, b, nil)
		if err != nil || !ok {
			return errors.Join(err, errNotOurs)
		}
		return addBatches(tx, b.campaign, int64(len(parts)))
	})
	if err == nil {
		s.poke()
	}
	return err
}

var errNotOurs = errors.New("the batch is somebody else's by now")

// finish records the end of a batch, and with the last one that of the campaign.
func (s *Service) finish(ctx context.Context, b *batch, request *provider.Batch, results []result) error {
	var failures []Failed
	for i, r := range results {
		if r.Err != nil {
			failures = append(failures, b.to[i].failed(reason(r.Err)))
		}
	}
	sent := notes(request, results)
	return s.DB.Write(ctx, func(tx *db.Tx) error {
		ok, err := closeBatch(tx, b, failures)
		if err != nil {
			return err
		}
		if !ok {
			return errNotOurs
		}
		if err := stageNotes(tx, &request.Message, sent); err != nil {
			return err
		}
		return countBatch(tx, b.campaign, int64(len(sent)), int64(len(failures)))
	})
}
