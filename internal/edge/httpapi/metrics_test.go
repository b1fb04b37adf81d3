package httpapi

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// registry is a Prometheus registry that can be asked for one counter.
type registry struct{ *prometheus.Registry }

func newRegistry() registry { return registry{prometheus.NewRegistry()} }

// count returns the counter with the given label values, in any order.
func (r registry) count(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			match := len(m.GetLabel()) == len(labels)
			for _, l := range m.GetLabel() {
				match = match && slices.Contains(labels, l.GetValue())
			}
			if match {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
