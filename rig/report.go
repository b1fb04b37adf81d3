//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
)

// result is one row of the table.
type result struct {
	Test         string   `json:"test"`
	Name         string   `json:"name"`
	Rounds       int      `json:"rounds"`
	Acknowledged int      `json:"acknowledged"`
	Lost         int      `json:"lost"`
	Duplicates   int      `json:"duplicates"`
	InFlight     int      `json:"in_flight"` // deliveries under way at the kills, summed
	Verdict      string   `json:"verdict"`   // pass, fail or skip
	Seconds      float64  `json:"seconds"`
	Seed         uint64   `json:"seed"`
	Notes        []string `json:"notes,omitempty"`
	Failures     []string `json:"failures,omitempty"`
}

const (
	pass    = "pass"
	fail    = "fail"
	skipped = "skip"
)

// note adds a figure or a remark.
func (r *result) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// wrong adds something that does not hold; the test goes on.
func (r *result) wrong(format string, args ...any) {
	r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
}

func (r *result) finish(err error) {
	switch {
	case errors.Is(err, errSkip):
		r.Verdict = skipped
		r.note("%s", err)
	case err != nil:
		r.wrong("%s", err)
		r.Verdict = fail
	case len(r.Failures) > 0:
		r.Verdict = fail
	default:
		r.Verdict = pass
	}
}

// count adds a ledger's figures and says what does not hold: nothing
// acknowledged may be missing, and no more may have come twice than deliveries
// were under way.
func (r *result) count(b *ledger) {
	lost, duplicates := b.missing(), b.duplicates()
	r.Acknowledged += b.ackedCount()
	r.Lost += len(lost)
	r.Duplicates += duplicates
	if len(lost) > 0 {
		r.wrong("%d acknowledged messages are lost: %s", len(lost), few(lost))
	}
	if duplicates > r.InFlight {
		r.wrong("%d messages came twice, but %d deliveries were under way", duplicates, r.InFlight)
	}
}

func few(list []string) string { return strings.Join(list[:min(len(list), 5)], " ") }

func (r *result) line() string {
	s := fmt.Sprintf("%s in %.1f s", r.Verdict, r.Seconds)
	for _, n := range r.Notes {
		s += "\n      " + n
	}
	for _, f := range r.Failures {
		s += "\n      FAIL " + f
	}
	return s
}

// table is the results as Markdown, aligned.
func table(all []*result) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 1, ' ', 0)
	fmt.Fprintln(w, "| test\t| what\t| rounds\t| acknowledged\t| lost\t| duplicates\t| in flight\t| verdict\t| seconds\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, r := range all {
		fmt.Fprintf(w, "| %s\t| %s\t| %d\t| %d\t| %d\t| %d\t| %d\t| %s\t| %.0f\t|\n", r.Test, r.Name, r.Rounds, r.Acknowledged, r.Lost,
			r.Duplicates, r.InFlight, r.Verdict, r.Seconds)
	}
	w.Flush()
	return b.String()
}

func writeLines(name string, all []*result) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	e := json.NewEncoder(f)
	for _, r := range all {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// verdict is an error if a test failed or, with require, was skipped.
func verdict(all []*result, require bool) error {
	var bad []string
	for _, r := range all {
		if r.Verdict == fail || r.Verdict == skipped && require {
			bad = append(bad, r.Test)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(bad, ", "))
	}
	return nil
}
