package app

import (
	"context"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postroad/internal/base/geo"
	"postroad/internal/core/event"
	"postroad/internal/core/track"
	"postroad/internal/mail/linktoken"
)

// trackName is the directory of the spool of opens and clicks.
const trackName = "track"

// humanHaste is how soon after a message's arrival nobody has read it yet.
const humanHaste = 2 * time.Second

// makeTracking makes what answers links and pixels.
func (a *App) makeTracking(ctx context.Context, links *linktoken.Key, arrivals *track.Arrivals) (err error) {
	if a.cfg.GeoIPFile != "" {
		if a.places, err = geo.Open(a.cfg.GeoIPFile, a.log); err != nil {
			return err
		}
	}
	node, err := nodeName(a.cfg.Data)
	if err != nil {
		return err
	}
	haste := humanHaste
	if a.dev() {
		haste = 0 // captured mail goes through no scanner, and tests read it at once
	}
	a.track, err = track.Open(ctx, track.Config{DB: a.db, Events: a.events, Messages: a.messages, Domains: a.domains, Logger: a.log, Key: links,
		Places: a.places, Arrivals: arrivals, Dir: filepath.Join(a.cfg.Data, trackName), Node: node, Haste: haste})
	return err
}

// runPlaces reads the file of places again when it changes.
func (a *App) runPlaces(ctx context.Context) error {
	if a.places == nil {
		return nil
	}
	return a.places.Run(ctx, a.clock)
}

// countTrack adds what opens and clicks come to.
func (s *stats) countTrack(t *track.Service) {
	t.Stats.Each(func(kind event.Type, bot string, read func() int64) {
		s.samples = append(s.samples, sample{prometheus.NewDesc("postroad_track_events_total", "Opens and clicks recorded", nil, prometheus.Labels{"event": string(kind), "bot": bot}),
			prometheus.CounterValue, func() float64 { return float64(read()) }})
	})
	for _, c := range []struct {
		name, help string
		kind       prometheus.ValueType
		read       func() int64
	}{
		{"postroad_track_lost_total", "Opens and clicks that could not be kept; anything but 0 means a full disk or a database that was away for long", prometheus.CounterValue, t.Stats.Lost.Load},
		{"postroad_track_dropped_total", "Opens and clicks of messages or domains of which nothing is known any more", prometheus.CounterValue, t.Stats.Dropped.Load},
		{"postroad_track_spool_bytes", "Size of the spool of opens and clicks", prometheus.GaugeValue, t.SpoolBytes},
	} {
		s.samples = append(s.samples, sample{desc(c.name, c.help), c.kind, func() float64 { return float64(c.read()) }})
	}
}
