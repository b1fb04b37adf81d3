package peer_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"postroad/internal/core/peer"
	"postroad/internal/mail/tlspolicy"
)

func (w *world) results(day time.Time) []peer.Tally {
	w.t.Helper()
	list, err := w.Results(w.ctx(), day)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func TestResults(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		policy := []string{"version: STSv1", "mode: testing", "mx: *.a.example", "max_age: 86400"}
		failed := peer.Result{PolicyDomain: "a.example", PolicyType: tlspolicy.PolicySTS, PolicyStrings: policy, ResultType: tlspolicy.CertificateExpired,
			SendingIP: "192.0.2.1", MX: "mx.a.example", ReceivingIP: "192.0.2.9", Reason: "x509: expired"}
		ok := peer.Result{PolicyDomain: "A.example", PolicyType: tlspolicy.PolicySTS, PolicyStrings: policy, Success: true, SendingIP: "192.0.2.1", MX: "mx.a.example"}
		other := peer.Result{PolicyDomain: "b.example", PolicyType: tlspolicy.PolicyNone}
		today := w.clock.Now()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 25 {
					w.Record(failed)
					w.Record(ok)
					ok2 := ok
					ok2.MX, ok2.ReceivingIP = "mx2.a.example", "192.0.2.8"
					w.Record(ok2)
				}
			})
		}
		wg.Wait()
		w.Record(other)
		check := func(times int64) {
			t.Helper()
			want := []peer.Tally{
				{Result: peer.Result{PolicyDomain: "a.example", PolicyType: tlspolicy.PolicySTS, PolicyStrings: policy, Success: true}, Sessions: 200 * times},
				{Result: failed, Sessions: 100 * times},
				{Result: peer.Result{PolicyDomain: "b.example", PolicyType: tlspolicy.PolicyNone, ResultType: tlspolicy.ValidationFailure}, Sessions: times},
			}
			if diff := cmp.Diff(want, w.results(today)); diff != "" {
				t.Error(diff)
			}
		}
		check(1)
		for range 100 {
			w.Record(failed)
			w.Record(ok)
			w.Record(ok)
		}
		w.Record(other)
		w.Tick(w.ctx()) // writes to the rows that are there
		check(2)
		w.restart()
		check(2)

		w.clock.Advance(24 * time.Hour)
		w.Record(other)
		check(2)
		if list := w.results(w.clock.Now()); len(list) != 1 || list[0].Sessions != 1 {
			t.Errorf("the next day: %+v", list)
		}
		w.clock.Advance(29 * 24 * time.Hour)
		w.Tick(w.ctx())
		check(2)
		w.clock.Advance(24 * time.Hour)
		w.Tick(w.ctx())
		if list := w.results(today); len(list) != 0 {
			t.Errorf("after 31 days: %+v", list)
		}
	})
}

// TestHostileResults: what comes from strangers is stored cut and clean.
func TestHostileResults(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		long := strings.Repeat("\u00fc\x00\xff\n", 10_000)
		w.Record(peer.Result{PolicyDomain: long, PolicyType: tlspolicy.PolicyTLSA, PolicyStrings: []string{long, long}, ResultType: tlspolicy.ValidationFailure,
			SendingIP: long, MX: long, ReceivingIP: long, Reason: long})
		list := w.results(w.clock.Now())
		if len(list) != 1 {
			t.Fatalf("%d rows", len(list))
		}
		r := list[0]
		for name, s := range map[string]string{"domain": r.PolicyDomain, "policy": strings.Join(r.PolicyStrings, ""), "mx": r.MX, "reason": r.Reason, "ip": r.ReceivingIP} {
			if s == "" || len(s) > 8192 || strings.Contains(s, "\x00") || !utf8.ValidString(s) {
				t.Errorf("%s: %d bytes, %.20q", name, len(s), s)
			}
		}
	})
}

// TestResultsAreBounded: a flood of different results takes bounded memory; those
// that were there go on being counted.
func TestResultsAreBounded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.o.Results = 50
		w.restart()
		for i := range 200 {
			w.Record(peer.Result{PolicyDomain: fmt.Sprintf("d%03d.example", i), Success: true})
		}
		w.Record(peer.Result{PolicyDomain: "d000.example", Success: true})
		if n := w.Dropped(); n != 150 {
			t.Errorf("%d dropped", n)
		}
		list := w.results(w.clock.Now())
		if len(list) != 50 || list[0].Sessions != 2 {
			t.Errorf("%d rows, first %+v", len(list), list[0])
		}
		for i := range 50 {
			w.Record(peer.Result{PolicyDomain: fmt.Sprintf("e%03d.example", i), Success: true})
		}
		if list = w.results(w.clock.Now()); len(list) != 100 || w.Dropped() != 150 {
			t.Errorf("after a write: %d rows, %d dropped", len(list), w.Dropped())
		}
	})
}

// TestResultsSurviveAFailedWrite: what could not be written is written later.
func TestResultsSurviveAFailedWrite(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Record(peer.Result{PolicyDomain: "a.example", Success: true})
		ended := endedContext(t)
		if _, err := w.Results(ended, w.clock.Now()); err == nil {
			t.Fatal("written with a context that has ended")
		}
		w.Record(peer.Result{PolicyDomain: "a.example", Success: true})
		if list := w.results(w.clock.Now()); len(list) != 1 || list[0].Sessions != 2 {
			t.Errorf("%+v", list)
		}
	})
}
