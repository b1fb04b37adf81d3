package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests by pattern, never by path, so the number of series
// is that of the operations.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postroad_http_requests_total", Help: "API requests by endpoint, method and status.",
		}, []string{"pattern", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postroad_http_request_seconds", Help: "Time from the request's header to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"pattern"}),
	}
	return m, errors.Join(reg.Register(m.requests), reg.Register(m.seconds))
}

// observe counts one request; nil metrics count nothing.
func (m *metrics) observe(pattern, method string, status int, d time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(pattern, methodLabel(method), strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(pattern).Observe(d.Seconds())
}

// methodLabel keeps the methods a stranger makes up out of the labels.
func methodLabel(m string) string {
	if m == http.MethodHead || m == http.MethodOptions || slices.Contains(methods[:], m) {
		return m
	}
	return "other"
}
