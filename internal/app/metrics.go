package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// sample is one number read when /metrics is.
type sample struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func() float64
}

// stats exposes what the services count themselves.
type stats struct {
	samples                    []sample
	queue                      func() (waiting, due, held, oldest float64, ok bool)
	waiting, due, held, oldest *prometheus.Desc
}

func (a *App) registerMetrics() {
	s := &stats{
		waiting: desc("postroad_queue_waiting", "Deliveries that wait for their time"),
		due:     desc("postroad_queue_due", "Deliveries whose time has come and that no session has"),
		held:    desc("postroad_queue_held", "Deliveries in the hands of running programs"),
		oldest:  desc("postroad_queue_oldest_seconds", "How long the most overdue delivery has been waiting"),
	}
	s.queue = a.queueCounts
	count := func(name, help string, read func() int64) {
		s.samples = append(s.samples, sample{desc(name, help), prometheus.CounterValue, func() float64 { return float64(read()) }})
	}
	gauge := func(name, help string, read func() int64) {
		s.samples = append(s.samples, sample{desc(name, help), prometheus.GaugeValue, func() float64 { return float64(read()) }})
	}
	e := &a.engine.Stats
	count("postroad_delivery_attempts_total", "Delivery attempts, one per recipient", e.Attempts.Load)
	count("postroad_delivered_total", "Deliveries the other side accepted", e.Delivered.Load)
	count("postroad_deferred_total", "Attempts that will be followed by another", e.Deferred.Load)
	count("postroad_failed_total", "Deliveries that failed for good", e.Failed.Load)
	count("postroad_dkim_signatures_total", "DKIM signatures made", e.Signatures.Load)
	count("postroad_dkim_faults_total", "Signatures that did not verify and were made again by crypto/rsa; anything but 0 means broken hardware", a.signing.faults)
	s.samples = append(s.samples, sample{prometheus.NewDesc("postroad_dkim_backend", "What makes RSA signatures", nil, prometheus.Labels{"backend": string(a.signing.backend)}),
		prometheus.GaugeValue, func() float64 { return 1 }})
	count("postroad_smtp_connections_total", "Outgoing SMTP connections opened", e.Connections.Load)
	count("postroad_smtp_reused_total", "Messages sent on a connection already open", e.Reused.Load)
	gauge("postroad_sessions", "Delivery sessions", func() int64 { return int64(a.queue.Depth().Sessions) })
	gauge("postroad_sessions_idle", "Delivery sessions that wait for work", func() int64 { return int64(a.queue.Depth().Idle) })
	gauge("postroad_lanes", "Destinations in memory", func() int64 { return int64(a.queue.Depth().Lanes) })
	gauge("postroad_window", "Deliveries in memory", func() int64 { return int64(a.queue.Depth().Held) })
	count("postroad_smtp_logins_total", "SMTP logins that succeeded", a.logins.Stats.Succeeded.Load)
	count("postroad_smtp_logins_failed_total", "SMTP logins with a wrong password", a.logins.Stats.Failed.Load)
	count("postroad_smtp_logins_blocked_total", "SMTP logins refused unseen, for failures before", a.logins.Stats.Blocked.Load)
	count("postroad_webhook_attempts_total", "Webhook requests made", func() int64 { return a.webhooks.Stats().Attempts })
	count("postroad_webhook_failed_total", "Webhook calls given up", func() int64 { return a.webhooks.Stats().Failed })
	gauge("postroad_webhook_in_flight", "Webhook requests being made", func() int64 { return a.webhooks.Stats().InFlight })
	count("postroad_certificates_obtained_total", "Certificates an ACME authority gave", func() int64 { n, _ := a.certs.Counts(); return n })
	count("postroad_certificates_failed_total", "Attempts to get a certificate that failed", func() int64 { _, n := a.certs.Counts(); return n })
	gauge("postroad_certificate_not_after_seconds", "When the certificate of the host name expires, in seconds since 1970", a.certExpiry)
	a.countSpam(count)
	a.countInbound(count)
	s.countTrack(a.track)
	a.registry.MustRegister(s, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

func desc(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

func (a *App) certExpiry() int64 {
	u, err := a.certs.InUse()
	if err != nil {
		a.log.Error("metrics: certificate", "error", err)
		return 0
	}
	return u.NotAfter.Unix()
}

func (a *App) queueCounts() (waiting, due, held, oldest float64, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := a.queue.Counts(ctx)
	if err != nil {
		a.log.Error("metrics: queue", "error", err)
		return 0, 0, 0, 0, false
	}
	if c.Oldest > 0 {
		oldest = float64(a.clock.Now().UnixMicro()-c.Oldest) / 1e6
	}
	return float64(c.Waiting), float64(c.Due), float64(c.Held), oldest, true
}

// Describe implements prometheus.Collector.
func (s *stats) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range s.samples {
		ch <- m.desc
	}
	for _, d := range []*prometheus.Desc{s.waiting, s.due, s.held, s.oldest} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *stats) Collect(ch chan<- prometheus.Metric) {
	for _, m := range s.samples {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read())
	}
	if waiting, due, held, oldest, ok := s.queue(); ok {
		for i, d := range []*prometheus.Desc{s.waiting, s.due, s.held, s.oldest} {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, []float64{waiting, due, held, oldest}[i])
		}
	}
}
