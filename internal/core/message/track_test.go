package message

import (
	"testing"

	"postroad/internal/core/domain"
)

func TestTrackPlan(t *testing.T) {
	off := domain.Tracking{Click: domain.ClickTracking{Active: domain.ClickNo}, Unsubscribe: domain.UnsubscribeTracking{HTMLFooter: "h", TextFooter: "t"}}
	all := domain.Tracking{Open: domain.OpenTracking{Active: true, PlaceAtTheTop: true}, Click: domain.ClickTracking{Active: domain.ClickYes},
		Unsubscribe: domain.UnsubscribeTracking{Active: true, HTMLFooter: "h", TextFooter: "t"}}
	unsub := Track{Unsubscribe: true, HTMLFooter: "h", TextFooter: "t"}
	with := func(clicks string, opens, top bool) Track {
		t := unsub
		t.Clicks, t.Opens, t.PixelTop = clicks, opens, top
		return t
	}
	for _, c := range []struct {
		name string
		d    domain.Tracking
		o    Options
		want Track
	}{
		{"nothing", off, Options{}, Track{}},
		{"asked for", off, Options{Tracking: "yes"}, Track{Clicks: "yes", Opens: true}},
		{"html only", off, Options{Tracking: "htmlonly"}, Track{Clicks: "htmlonly", Opens: true}},
		{"the part goes before the whole", off, Options{Tracking: "yes", TrackingClicks: "no"}, Track{Opens: true}},
		{"and the other part", off, Options{Tracking: "no", TrackingOpens: "yes"}, Track{Opens: true}},
		{"clicks alone", off, Options{TrackingClicks: "htmlonly"}, Track{Clicks: "htmlonly"}},
		{"a pixel nobody asked for is nowhere", off, Options{TrackingPixelTop: "yes"}, Track{}},
		{"pixel at the top", off, Options{TrackingOpens: "yes", TrackingPixelTop: "yes"}, Track{Opens: true, PixelTop: true}},
		{"the domain", all, Options{}, with("yes", true, true)},
		{"turned off, unsubscribing stays", all, Options{Tracking: "no"}, unsub},
		{"pixel at the bottom", all, Options{TrackingPixelTop: "no"}, with("yes", true, false)},
		{"clicks off", all, Options{TrackingClicks: "no"}, with("", true, true)},
		{"opens off", all, Options{TrackingOpens: "no"}, with("yes", false, false)},
	} {
		if got := trackPlan(&c.d, &c.o); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
