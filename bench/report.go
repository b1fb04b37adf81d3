package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one run of one system, as it is written to the JSON lines.
type result struct {
	Time        time.Time   `json:"time"`
	Kind        string      `json:"kind"` // the subcommand
	System      string      `json:"system"`
	Messages    int         `json:"messages"`
	Connections int         `json:"connections"`
	Size        int         `json:"size"` // bytes of text in each message
	Seconds     float64     `json:"seconds"`
	PerSecond   float64     `json:"per_second"`
	CPUPer1000  float64     `json:"cpu_seconds_per_1000"`
	PeakRSS     int64       `json:"peak_rss_bytes"`           // shared pages counted in each process
	PeakPSS     int64       `json:"peak_pss_bytes,omitempty"` // shared pages counted once; 0 if the run was too short
	Processes   int         `json:"processes"`
	Load        *loadResult `json:"load,omitempty"`
	FirstRSS    int64       `json:"first_quartile_rss_bytes,omitempty"`
	LastRSS     int64       `json:"last_quartile_rss_bytes,omitempty"`
	Samples     []int64     `json:"rss_megabytes_every_1000,omitempty"`
	Signed      bool        `json:"signed,omitempty"`
	CPUAtLeast  bool        `json:"cpu_at_least,omitempty"` // processes may be missing: no control group
	Missed      string      `json:"not_measured,omitempty"` // why
	Figures     []figure    `json:"figures,omitempty"`      // of measurements that are no load run
}

// figure is one value of a measurement with a name and a unit of its own.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

func (f figure) String() string {
	return strings.TrimSpace(f.Name + " " + strings.ReplaceAll(f.cell(), "\t", " "))
}

// cell is the value and the unit as two columns.
func (f figure) cell() string {
	v := fmt.Sprintf("%.0f", f.Value)
	switch {
	case f.Value != 0 && f.Value < 1 && f.Value > -1:
		v = fmt.Sprintf("%.3f", f.Value)
	case f.Value < 100:
		v = fmt.Sprintf("%.2f", f.Value)
	}
	return v + "\t" + f.Unit
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func perThousand(d time.Duration, messages int) float64 {
	return d.Seconds() * 1000 / float64(messages)
}

// report collects results, writes each to the JSON lines as it comes and
// prints medians at the end.
type report struct {
	path    string
	results []result
}

func newReport(path string) *report { return &report{path: path} }

func (r *report) add(one result) error {
	one.Time = time.Now().UTC().Truncate(time.Second)
	r.results = append(r.results, one)
	r.tell(one)
	if r.path == "" {
		return nil
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewEncoder(f).Encode(one)
}

// tell prints a result as soon as it is there.
func (r *report) tell(one result) {
	switch {
	case one.Missed != "":
		fmt.Fprintf(os.Stderr, "%s: %s: NOT MEASURED: %s\n", one.Kind, one.System, one.Missed)
	case len(one.Figures) > 0:
		fmt.Fprintf(os.Stderr, "%s: %s: %s\n", one.Kind, one.System, joined(one.Figures))
	default:
		fmt.Fprintf(os.Stderr, "%s: %s: %d messages, %.0f/s, %s CPU s per 1,000, %s peak RSS\n", one.Kind,
			one.System, one.Messages, one.PerSecond, processor(one.CPUPer1000, one.CPUAtLeast), megabytes(one.PeakRSS))
	}
}

func joined(list []figure) string {
	out := make([]string, 0, len(list))
	for _, f := range list {
		out = append(out, f.String())
	}
	return strings.Join(out, ", ")
}

func processor(v float64, atLeast bool) string {
	if atLeast {
		return fmt.Sprintf(">= %.2f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func megabytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%d MB", n>>20)
}

// summary is what several runs of one system come to.
type summary struct {
	perSecond, cpu, low, high float64
	rss, pss                  int64
	first                     result
	p50, p99                  time.Duration
	runs                      int
}

func summarize(list []result) summary {
	rates := column(list, func(r result) float64 { return r.PerSecond })
	s := summary{first: list[0], runs: len(list), perSecond: median(rates), low: slices.Min(rates), high: slices.Max(rates),
		cpu: median(column(list, func(r result) float64 { return r.CPUPer1000 })),
		rss: int64(median(column(list, func(r result) float64 { return float64(r.PeakRSS) }))),
		pss: int64(median(column(list, func(r result) float64 { return float64(r.PeakPSS) })))}
	if s.first.Load != nil {
		s.p50 = time.Duration(median(column(list, func(r result) float64 { return float64(r.Load.P50) })))
		s.p99 = time.Duration(median(column(list, func(r result) float64 { return float64(r.Load.P99) })))
	}
	return s
}

func column(list []result, value func(result) float64) []float64 {
	out := make([]float64, 0, len(list))
	for _, r := range list {
		out = append(out, value(r))
	}
	return out
}

// median of a list that is not empty; of an even number the lower middle.
func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[(len(sorted)-1)/2]
}

// row is what the runs of one system in one measurement come to.
type row struct {
	kind, system string
	summary
}

// rows sums up load runs in the order in which their systems first came.
func (r *report) rows() []row {
	var out []row
	by := map[[2]string][]result{}
	for _, one := range r.results {
		if one.Missed != "" || len(one.Figures) > 0 {
			continue
		}
		key := [2]string{one.Kind, one.System}
		if by[key] == nil {
			out = append(out, row{kind: one.Kind, system: one.System})
		}
		by[key] = append(by[key], one)
	}
	for i := range out {
		out[i].summary = summarize(by[[2]string{out[i].kind, out[i].system}])
	}
	return out
}

// finish prints the medians, the ratios, the single figures and what is
// missing.
func (r *report) finish(w io.Writer) error {
	rows := r.rows()
	if len(rows) > 0 {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "\nmeasurement\tsystem\truns\tmessages\tper second (min-max)\tCPU s per 1,000\tpeak RSS\tpeak PSS\tp50\tp99")
		for _, s := range rows {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.0f (%.0f-%.0f)\t%s\t%s\t%s\t%s\t%s\n", s.kind, s.system, s.runs, s.first.Messages, s.perSecond, s.low, s.high,
				processor(s.cpu, s.first.CPUAtLeast), megabytes(s.rss), megabytes(s.pss), latency(s.p50), latency(s.p99))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if err := ratios(w, rows); err != nil {
		return err
	}
	return r.singles(w)
}

// reference are the systems the others of a measurement are compared with.
func reference(system string) bool { return strings.HasPrefix(system, "Postroad") }

// ratios prints Postroad over each other system of the same measurement with
// the same signing. Above 1 is more: better for messages, worse for the rest.
func ratios(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := false
	for _, a := range rows {
		for _, b := range rows {
			if !reference(a.system) || reference(b.system) || a.kind != b.kind || a.first.Signed != b.first.Signed {
				continue
			}
			if !head {
				fmt.Fprintln(t, "\nmeasurement\tratio\tmessages/s\tCPU per message\tpeak RSS\tpeak PSS")
				head = true
			}
			fmt.Fprintf(t, "%s\t%s / %s\t%.2f\t%s\t%s\t%s\n", a.kind, a.system, b.system, a.perSecond/b.perSecond,
				bounded(over(a.cpu, b.cpu), b.first.CPUAtLeast), over(float64(a.rss), float64(b.rss)), over(float64(a.pss), float64(b.pss)))
		}
	}
	return t.Flush()
}

// bounded marks a ratio whose divisor may be too small.
func bounded(ratio string, atMost bool) string {
	if atMost {
		return "<= " + ratio
	}
	return ratio
}

func over(a, b float64) string {
	if a == 0 || b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// singles prints the figures of measurements that are no load runs, medians
// where there were several, and then what was not measured.
func (r *report) singles(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	seen := map[string]bool{}
	for _, one := range r.results {
		for _, f := range one.Figures {
			key := one.Kind + "\t" + one.System + "\t" + f.Name
			if seen[key] {
				continue
			}
			if len(seen) == 0 {
				fmt.Fprintln(t, "\nmeasurement\tof\tfigure\tvalue\tunit")
			}
			seen[key] = true
			f.Value = median(r.values(one, f.Name))
			fmt.Fprintf(t, "%s\t%s\n", key, f.cell())
		}
	}
	for _, one := range r.results {
		if one.Missed != "" {
			fmt.Fprintf(t, "%s\t%s\tNOT MEASURED: %s\n", one.Kind, one.System, brief(one.Missed))
		}
	}
	return t.Flush()
}

// brief is a reason on one line; the JSON lines have all of it.
func brief(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	return text[:min(len(text), 200)]
}

// values are those of one figure in all runs.
func (r *report) values(like result, name string) []float64 {
	var out []float64
	for _, one := range r.results {
		if one.Kind != like.Kind || one.System != like.System {
			continue
		}
		for _, f := range one.Figures {
			if f.Name == name {
				out = append(out, f.Value)
			}
		}
	}
	return out
}

func latency(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(100 * time.Microsecond).String()
}
