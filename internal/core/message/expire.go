package message

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postroad/internal/base/blob"
	"postroad/internal/base/db"
)

// quarantine is how long a segment must have been seen without any message
// before it is deleted: a submission writes its body first and its row after.
const quarantine = 15 * time.Minute

// expireBatch bounds one transaction of the sweep.
const expireBatch = 500

// RunExpiry removes messages whose retention is over and segments nobody needs,
// every interval until ctx ends. What has unfinished deliveries stays.
func (s *Service) RunExpiry(ctx context.Context, every time.Duration) error {
	unused := map[uint64]time.Time{}
	for {
		if err := s.expire(ctx, unused); err != nil && ctx.Err() == nil {
			s.Logger.Error("retention", "error", err)
		}
		c, stop := s.clock.After(every)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-c:
		}
	}
}

func (s *Service) expire(ctx context.Context, unused map[uint64]time.Time) error {
	for {
		n, err := s.expireMessages(ctx)
		if err != nil {
			return err
		}
		if n < expireBatch {
			break
		}
	}
	if err := s.DB.Write(ctx, expireIdempotent); err != nil {
		return err
	}
	return s.reclaim(ctx, unused)
}

// reclaim deletes sealed segments that no message refers to. unused remembers
// since when, from sweep to sweep.
func (s *Service) reclaim(ctx context.Context, unused map[uint64]time.Time) error {
	var used map[uint64]bool
	if err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		used, err = segmentsInUse(tx)
		return err
	}); err != nil {
		return err
	}
	now := s.clock.Now()
	for _, seg := range s.Blobs.Segments() {
		since, seen := unused[seg.ID]
		switch {
		case !seg.Sealed || used[seg.ID]:
			delete(unused, seg.ID)
		case !seen:
			unused[seg.ID] = now
		case now.Sub(since) >= quarantine:
			err := s.Blobs.Delete(seg.ID)
			if errors.Is(err, blob.ErrHeld) {
				return nil // a backup is being made: at the next sweep
			}
			if err != nil {
				return fmt.Errorf("segment %d: %w", seg.ID, err)
			}
			delete(unused, seg.ID)
			s.Logger.Info("segment reclaimed", "segment", seg.ID, "bytes", seg.Bytes)
		}
	}
	return nil
}
