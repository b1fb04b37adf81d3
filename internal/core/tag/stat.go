package tag

import (
	"context"
	"slices"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
)

// Resolution is how long the parts of a statistic are.
type Resolution string

// The resolutions. Months and days begin at midnight UTC.
const (
	Hour  Resolution = "hour"
	Day   Resolution = "day"
	Month Resolution = "month"
)

// maxBuckets bounds a statistic: a little more than there are hours of.
const maxBuckets = 1500

// begin returns the beginning of the part t is in.
func (r Resolution) begin(t time.Time) time.Time {
	t = t.UTC()
	switch r {
	case Hour:
		return t.Truncate(time.Hour)
	case Month:
		return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// next returns the beginning of the part after the one that begins at t.
func (r Resolution) next(t time.Time) time.Time {
	switch r {
	case Hour:
		return t.Add(time.Hour)
	case Month:
		return t.AddDate(0, 1, 0)
	}
	return t.AddDate(0, 0, 1)
}

// bucket is one part of a statistic.
type bucket struct {
	begin  time.Time
	counts counts
}

// buckets returns the parts from the one start is in to the one end is in, both
// included. Mailgun: so that seven days are eight parts.
func buckets(start, end time.Time, r Resolution) ([]bucket, error) {
	if end.Before(start) {
		return nil, errs.New(errs.Invalid, "'end' must not be before 'start'")
	}
	var out []bucket
	for t := r.begin(start); !t.After(end); t = r.next(t) {
		if len(out) == maxBuckets {
			return nil, errs.New(errs.Invalid, "'resolution' is too fine for so long a time: more than %d intervals", maxBuckets)
		}
		out = append(out, bucket{begin: t})
	}
	return out, nil
}

// statQuery asks for what was counted of a tag.
type statQuery struct {
	domainID   int64
	tag        string
	dimension  dimension
	value      string
	resolution Resolution
	start, end time.Time
}

// stats returns what was counted of a tag, in parts of time.
func (s *Service) stats(ctx context.Context, q *statQuery) (t Tag, list []bucket, err error) {
	if list, err = buckets(q.start, q.end, q.resolution); err != nil {
		return t, nil, err
	}
	from, to := hourOf(list[0].begin), hourOf(q.resolution.next(list[len(list)-1].begin))
	add := func(hour int64, k kind, n int64) {
		begin := q.resolution.begin(clock.FromMicro(hour * hourMicros))
		i, ok := slices.BinarySearchFunc(list, begin, func(b bucket, t time.Time) int { return b.begin.Compare(t) })
		if ok {
			list[i].counts.add(k, n)
		}
	}
	err = s.read(ctx, func(tx *db.Tx) error {
		if t, err = selectTag(tx, q.domainID, q.tag); err != nil {
			return err
		}
		if err := eachHour(tx, t.ID, q.dimension, q.value, from, to, add); err != nil || q.resolution == Hour {
			return err
		}
		return eachDay(tx, t.ID, q.dimension, q.value, from/24, to/24, func(day int64, k kind, n int64) { add(day*24, k, n) })
	})
	return t, list, err
}

func hourOf(t time.Time) int64 { return clock.Micro(t) / hourMicros }

// aggregate returns what was ever counted of a tag, by the values of a dimension.
func (s *Service) aggregate(ctx context.Context, domainID int64, tag string, d dimension) (t Tag, out map[string]*counts, err error) {
	err = s.read(ctx, func(tx *db.Tx) error {
		if t, err = selectTag(tx, domainID, tag); err != nil {
			return err
		}
		out, err = sumByValue(tx, t.ID, d)
		return err
	})
	return t, out, err
}
