package peer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/mail/tlspolicy"
)

const (
	// keepResults is how long results are kept: reports are of whole days and are
	// tried again for some.
	keepResults = 30 * 24 * time.Hour
	// Bounds of what a result may hold.
	maxReason  = 300  // bytes
	maxPolicy  = 8192 // bytes, all lines together
	maxName    = 255  // bytes
	microOfDay = int64(24 * time.Hour / time.Microsecond)
)

// dayOf is the first microsecond of a day, UTC.
func dayOf(t time.Time) int64 {
	us := t.UnixMicro()
	return us - (us%microOfDay+microOfDay)%microOfDay
}

// Result is how TLS went in one session (RFC 8460, section 4.4).
type Result struct {
	PolicyDomain  string
	PolicyType    tlspolicy.PolicyType
	PolicyStrings []string // the lines of the policy, or the TLSA records
	Success       bool
	ResultType    tlspolicy.ResultType // of a failure
	SendingIP     string
	MX            string
	ReceivingIP   string
	Reason        string // what the failure was, in words
}

// Tally is how often a result came about on a day.
type Tally struct {
	Result
	Sessions int64
}

// row is a result as it is counted.
type row struct {
	day                                int64
	domain, policyType, policy, result string
	sendingIP, mx, receivingIP, reason string
}

// results counts in memory between two writes.
type results struct {
	max  int
	full chan struct{} // told when it is time to write

	mu      sync.Mutex
	rows    map[row]int64
	dropped int64 // sessions that found no room
}

// Record counts a result. Successes are counted by policy alone, failures with all
// that is said of them. Where more different ones come in a minute than
// Options.Results allows, the rest is dropped.
func (s *Service) Record(r Result) {
	rs := &s.results
	k := rowOf(&r, dayOf(s.clock.Now()))
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if _, ok := rs.rows[k]; !ok && len(rs.rows) >= rs.max {
		rs.dropped++
		return
	}
	rs.rows[k]++
	if len(rs.rows) == (rs.max+1)/2 {
		select {
		case rs.full <- struct{}{}:
		default:
		}
	}
}

func rowOf(r *Result, day int64) row {
	k := row{
		day: day, domain: storable(strings.ToLower(r.PolicyDomain), maxName), policyType: string(r.PolicyType),
		policy: storable(strings.Join(r.PolicyStrings, "\n"), maxPolicy),
	}
	if !r.Success {
		k.result = string(r.ResultType)
		if k.result == "" {
			k.result = string(tlspolicy.ValidationFailure)
		}
		k.sendingIP, k.receivingIP = storable(r.SendingIP, maxName), storable(r.ReceivingIP, maxName)
		k.mx, k.reason = storable(r.MX, maxName), storable(r.Reason, maxReason)
	}
	return k
}

// storable cuts a text that may come from a stranger and leaves what both stores
// take.
func storable(s string, most int) string {
	s = s[:min(len(s), most)]
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}

// tally is the inverse of rowOf.
func (k *row) tally(sessions int64) Tally {
	t := Tally{Sessions: sessions, Result: Result{
		PolicyDomain: k.domain, PolicyType: tlspolicy.PolicyType(k.policyType), Success: k.result == "", ResultType: tlspolicy.ResultType(k.result),
		SendingIP: k.sendingIP, MX: k.mx, ReceivingIP: k.receivingIP, Reason: k.reason,
	}}
	if k.policy != "" {
		t.PolicyStrings = strings.Split(k.policy, "\n")
	}
	return t
}

func (rs *results) take() map[row]int64 {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rows := rs.rows
	rs.rows = map[row]int64{}
	return rows
}

func (rs *results) giveBack(rows map[row]int64) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for k, n := range rows {
		if _, ok := rs.rows[k]; ok || len(rs.rows) < rs.max {
			rs.rows[k] += n
		} else {
			rs.dropped += n
		}
	}
}

// Dropped returns how many sessions were not counted for want of room since the
// start.
func (s *Service) Dropped() int64 {
	s.results.mu.Lock()
	defer s.results.mu.Unlock()
	return s.results.dropped
}

// Results returns what was counted on the day of a time, UTC, by domain. It writes
// what memory holds first.
func (s *Service) Results(ctx context.Context, day time.Time) ([]Tally, error) {
	if err := s.flush(ctx); err != nil {
		return nil, fmt.Errorf("tls results: %w", err)
	}
	var list []Tally
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		list, err = selectResults(tx, dayOf(day))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tls results of %s: %w", clock.FromMicro(dayOf(day)).Format(time.DateOnly), err)
	}
	return list, nil
}
