package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// result is one run of one system, as it is written to the JSON lines.
type result struct {
	Time        time.Time   `json:"time"`
	Kind        string      `json:"kind"` // accept, e2e, memory
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
}

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
	fmt.Fprintf(os.Stderr, "%s: %d messages, %.0f/s, %.2f CPU s per 1,000, %s peak RSS\n",
		one.System, one.Messages, one.PerSecond, one.CPUPer1000, megabytes(one.PeakRSS))
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

// pairs are the systems whose ratio is of interest: the first over the second.
func pairs() [][2]string {
	return [][2]string{
		{"postroad, accept only", "bare handler"},
		{systemName("postroad", false), systemName("Postfix", false)},
		{systemName("postroad", true), systemName("Postfix", true)},
	}
}

func systemName(base string, signed bool) string {
	switch {
	case !signed:
		return base
	case base == "Postfix":
		return "Postfix + opendkim RSA-2048"
	}
	return base + ", DKIM RSA-2048"
}

func (r *report) finish(w io.Writer) error {
	var order []string
	by := map[string][]result{}
	for _, one := range r.results {
		if by[one.System] == nil {
			order = append(order, one.System)
		}
		by[one.System] = append(by[one.System], one)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nsystem\truns\tmessages\tper second (min-max)\tCPU s per 1,000\tpeak RSS\tpeak PSS\tp50\tp99")
	sums := map[string]summary{}
	for _, name := range order {
		s := summarize(by[name])
		sums[name] = s
		fmt.Fprintf(t, "%s\t%d\t%d\t%.0f (%.0f-%.0f)\t%.2f\t%s\t%s\t%s\t%s\n", name, s.runs, s.first.Messages, s.perSecond, s.low, s.high,
			s.cpu, megabytes(s.rss), megabytes(s.pss), latency(s.p50), latency(s.p99))
	}
	for _, p := range pairs() {
		a, b := sums[p[0]], sums[p[1]]
		if a.runs == 0 || b.runs == 0 {
			continue
		}
		fmt.Fprintf(t, "%s / %s\t\t\t%.2f\t%.2f\t%.2f\n", p[0], p[1], a.perSecond/b.perSecond, a.cpu/b.cpu, float64(a.rss)/float64(b.rss))
	}
	return t.Flush()
}

func latency(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(100 * time.Microsecond).String()
}
