package timing

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// monday is when the tests ask: a Monday at 09:20 UTC.
var monday = time.Date(2026, 3, 2, 9, 20, 0, 0, time.UTC)

// person makes a profile of engagements in hours ago; clicks end in !.
func person(t *testing.T, zone string, when ...string) *profile {
	t.Helper()
	p := &profile{}
	for _, w := range when {
		text, clicked := strings.CutSuffix(w, "!")
		p.add(&note{hour: hourOf(at(t, text+":00Z")), clicked: clicked})
	}
	if zone != "" {
		p.zone, p.zoneHour = zone, hourOf(monday)-48
	}
	return p
}

func TestOptimize(t *testing.T) {
	tuesdays := []string{"2026-02-03T14:10", "2026-02-10T14:50", "2026-02-17T14:05!", "2026-02-20T07:30", "2026-02-24T14:00"}
	for _, c := range []struct {
		name     string
		when     []string
		from     string // "" for now
		period   time.Duration
		want     string // the hour, "" for at once
		whyParts string
	}{
		{"nothing known", nil, "", 24 * time.Hour, "", "too few opens and clicks of this address in 180 days (hours: 0 of 3 needed, dates: 0 of 2): delivered at once"},
		{"two are not enough", []string{"2026-02-24T14:00", "2026-02-25T14:00"}, "", 24 * time.Hour, "", "(hours: 2 of 3 needed, dates: 2 of 2)"},
		{"one day is not enough", []string{"2026-02-24T13:00", "2026-02-24T14:00", "2026-02-24T15:00"}, "", 24 * time.Hour, "", "(hours: 3 of 3 needed, dates: 1 of 2)"},
		{"often in one hour is once", []string{"2026-02-24T14:00", "2026-02-24T14:20", "2026-02-25T14:00"}, "", 24 * time.Hour, "", "(hours: 2 of"},
		{"too long ago", []string{"2025-08-24T14:00", "2025-08-25T14:00", "2025-08-26T14:00"}, "", 24 * time.Hour, "", "(hours: 0 of"},
		{"no cluster", []string{"2026-02-22T03:00", "2026-02-24T12:00", "2026-02-25T20:00"}, "", 24 * time.Hour, "", "cluster at no hour"},
		{"today", tuesdays, "", 24 * time.Hour, "2026-03-02T14", "cluster at 14:00-15:00 UTC (4 of 5 in 180 days, 0 of them on Monday)"},
		{"a longer period reaches the day", tuesdays, "", 48 * time.Hour, "2026-03-03T14", "(4 of 5 in 180 days, 4 of them on Tuesday)"},
		{"not before the time scheduled", tuesdays, "2026-03-02T15:30:00Z", 24 * time.Hour, "2026-03-03T14", ""},
		{"the hour has begun", []string{"2026-02-26T09:40", "2026-02-27T09:40", "2026-02-28T09:40"}, "", 24 * time.Hour, "2026-03-02T09", ""},
		{"the beginning of an hour that ends later", []string{"2026-02-26T09:40", "2026-02-27T09:40", "2026-02-28T09:40"}, "2026-03-02T10:05:00Z", 24 * time.Hour, "2026-03-03T09", ""},
		{"what is new counts more", []string{"2025-10-05T06:00", "2025-10-06T06:00", "2025-10-07T06:00", "2025-10-08T06:00", "2026-02-26T20:00", "2026-02-27T20:00"}, "", 24 * time.Hour, "2026-03-02T20", "(2 of 6"},
		{"clicks count more", []string{"2026-02-24T11:00", "2026-02-25T11:00", "2026-02-26T11:00", "2026-02-24T16:00!", "2026-02-25T16:00!"}, "", 24 * time.Hour, "2026-03-02T16", "(2 of 5"},
		{"neighbours help", []string{"2026-02-26T05:00", "2026-02-25T05:00", "2026-02-24T18:00", "2026-02-25T18:00", "2026-02-22T19:00"}, "", 24 * time.Hour, "2026-03-02T18", "(2 of 5"},
		{"midnight is next to 23", []string{"2026-02-24T23:00", "2026-02-26T00:00", "2026-02-27T12:00"}, "", 24 * time.Hour, "2026-03-03T00", "(1 of 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &Wish{Now: monday, From: monday, Limit: monday.Add(72 * time.Hour), Period: c.period}
			if c.from != "" {
				w.From = at(t, c.from)
			}
			for _, spread := range []float64{0, 0.4, 0.999} {
				got := w.choose(person(t, "", c.when...), 0, spread)
				if c.want == "" {
					if !got.At.Equal(w.From) {
						t.Errorf("at %s", got.At)
					}
				} else if got.At.UTC().Format("2006-01-02T15") != c.want || got.At.Before(w.From) {
					t.Errorf("at %s, want %s", got.At, c.want)
				}
				if !strings.Contains(got.Why, c.whyParts) {
					t.Errorf("%q, want %q", got.Why, c.whyParts)
				}
			}
		})
	}
}

func TestOptimizeWithinLimits(t *testing.T) {
	p := person(t, "", "2026-02-24T20:10", "2026-02-25T20:10", "2026-02-26T20:10")
	w := &Wish{Now: monday, From: monday, Limit: monday.Add(5 * time.Hour), Period: 24 * time.Hour}
	if got := w.choose(p, 0, 0.5); !got.At.Equal(monday) || !strings.Contains(got.Why, "cluster at no hour of the period") {
		t.Errorf("%+v", got)
	}
	// Only the first minutes of the hour are left.
	w.Limit = time.Date(2026, 3, 2, 20, 10, 0, 0, time.UTC)
	for range 3 {
		if got := w.choose(p, 0, 0.999); got.At.After(w.Limit) || got.At.Hour() != 20 {
			t.Errorf("%+v", got)
		}
	}
	w.From, w.Limit = monday.Add(time.Hour), monday.Add(2*time.Hour)
	if got := w.choose(p, 0, 0); !got.At.Equal(w.From) || !strings.HasSuffix(got.Why, ": delivered at the time scheduled") {
		t.Errorf("%+v", got)
	}
}

func TestLocalize(t *testing.T) {
	some := []string{"2026-02-24T14:00", "2026-02-25T14:00", "2026-02-26T14:00"}
	for _, c := range []struct {
		name, zone string
		period     time.Duration
		limit      time.Duration
		want, why  string
	}{
		{"known", "Asia/Kolkata", 0, 72 * time.Hour, "2026-03-03T04:30:00Z", "10:00 in Asia/Kolkata, where this address last clicked (2026-02-28)"},
		{"unknown", "", 0, 72 * time.Hour, "2026-03-02T09:20:00Z", "no click with a known place: delivered at once"},
		{"a zone that is none any more", "Asia/Nowhere", 0, 72 * time.Hour, "2026-03-02T09:20:00Z", "no click with a known place: delivered at once"},
		{"beyond the limit", "Asia/Kolkata", 0, time.Hour, "2026-03-02T09:20:00Z", "10:00 in Asia/Kolkata would be after the latest time allowed, 2026-03-02 10:20 UTC: delivered at once"},
		{"both wishes, zone known", "Asia/Kolkata", 24 * time.Hour, 72 * time.Hour, "2026-03-03T04:30:00Z", "10:00 in Asia/Kolkata"},
		{"both wishes, zone unknown", "", 24 * time.Hour, 72 * time.Hour, "2026-03-02T14:00:00Z", "no click with a known place; opens and clicks of this address cluster at 14:00-15:00 UTC (3 of 3 in 180 days, 0 of them on Monday)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &Wish{Now: monday, From: monday, Limit: monday.Add(c.limit), Period: c.period, Local: "10:00"}
			got := w.choose(person(t, c.zone, some...), 600, 0)
			if !got.At.Equal(at(t, c.want)) || !strings.HasPrefix(got.Why, c.why) {
				t.Errorf("%s %q", got.At.UTC().Format(time.RFC3339), got.Why)
			}
		})
	}
}

// Messages for one hour are spread over its first half, each always to the same
// minute.
func TestSpread(t *testing.T) {
	p := person(t, "", "2026-02-24T14:10", "2026-02-25T14:10", "2026-02-26T14:10")
	w := &Wish{Now: monday, From: monday, Limit: monday.Add(72 * time.Hour), Period: 24 * time.Hour}
	var tenth [3]int // of an hour
	for id := range int64(3000) {
		s := spreadOf(1_000_000+id<<20, "jane@example.net")
		if s != spreadOf(1_000_000+id<<20, "jane@example.net") || s < 0 || s >= 1 {
			t.Fatal(s)
		}
		got := w.choose(p, 0, s).At
		if got.Hour() != 14 || got.Minute() > 29 {
			t.Fatal(got)
		}
		tenth[got.Minute()/10]++
	}
	if slices.Min(tenth[:]) < 850 {
		t.Errorf("%v", tenth)
	}
	if spreadOf(1, "a@example.net") == spreadOf(1, "b@example.net") {
		t.Error("the members of a list all at once")
	}
}

func TestProfileKeepsLittle(t *testing.T) {
	p := &profile{}
	for h := range int64(1000) {
		p.add(&note{hour: 500_000 + h*10})
	}
	if len(p.hours) != maxHours || p.hours[0].hour() != 500_000+900*10 || p.lastHour != 509_990 {
		t.Errorf("%d from %d", len(p.hours), p.hours[0].hour())
	}
	p.add(&note{hour: 509_990 + window, clicked: true, zone: "Asia/Kolkata"})
	if len(p.hours) != 1 || !p.hours[0].clicked() || p.zone != "Asia/Kolkata" {
		t.Errorf("%+v", p)
	}
	p.add(&note{hour: 509_990 + window - 5, clicked: true, zone: "Europe/Berlin"}) // late
	if len(p.hours) != 2 || p.zone != "Asia/Kolkata" || p.lastHour != 509_990+window {
		t.Errorf("%+v", p)
	}
	p.add(&note{hour: 100, clicked: true}) // much too late
	if len(p.hours) != 2 {
		t.Errorf("%+v", p)
	}
}

func TestPack(t *testing.T) {
	p := person(t, "", "2026-02-24T14:10!", "2026-02-25T14:10", "2026-02-26T14:10!")
	got, err := unpack(pack(p.hours))
	if err != nil || !slices.Equal(got, p.hours) {
		t.Errorf("%v %v", got, err)
	}
	for _, b := range [][]byte{{0}, {0x80}, {1, 0}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, []byte(strings.Repeat("\x02", maxHours+1))} {
		if _, err := unpack(b); err == nil {
			t.Errorf("%x was read", b)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add(pack([]engagement{engaged(498_000, true), engaged(498_024, false)}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := unpack(b)
		if err != nil {
			return
		}
		again, err := unpack(pack(got))
		if err != nil || !slices.Equal(again, got) {
			t.Fatalf("%x: %v, then %v %v", b, got, again, err)
		}
	})
}
