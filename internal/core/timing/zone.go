package timing

import (
	"strings"
	"time"
	_ "time/tzdata" // zones work on machines that have no files of them
)

// Clock is a time of day in minutes.
type Clock int

// ParseClock reads HH:mm, or hh:mm followed by AM or PM. ok is false for what is
// neither.
func ParseClock(s string) (c Clock, ok bool) {
	for _, layout := range []string{"15:04", "03:04PM", "03:04 PM", "3:04PM"} {
		if t, err := time.Parse(layout, strings.ToUpper(s)); err == nil {
			return Clock(t.Hour()*60 + t.Minute()), true
		}
	}
	return 0, false
}

// String writes the time as HH:mm.
func (c Clock) String() string {
	return time.Date(1970, 1, 1, 0, int(c), 0, 0, time.UTC).Format("15:04")
}

// zone returns the time zone with an IANA name, nil for what is none.
func zone(name string) *time.Location {
	if name == "" || name == "Local" { // which Go takes for zones
		return nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return loc
}

// Next returns the first instant not before from at which clocks in loc show c.
// RFC 5545, section 3.3.5: a time that clocks leave out is reached with the offset
// they had before, as 02:30 becomes 03:30; of a time they show twice the first
// counts, unless it is over.
func (c Clock) Next(from time.Time, loc *time.Location) time.Time {
	local := from.In(loc)
	var best time.Time
	for day := -1; day <= 2; day++ {
		// The wall time as if it was UTC, from which offsets lead to instants.
		wall := time.Date(local.Year(), local.Month(), local.Day()+day, 0, int(c), 0, 0, time.UTC)
		for _, t := range instants(wall, loc) {
			if !t.Before(from) && (best.IsZero() || t.Before(best)) {
				best = t
			}
		}
	}
	return best
}

// instants returns when clocks in loc show the wall time, given as if in UTC. No
// offset is further than a day from UTC, and none changes twice within two days.
func instants(wall time.Time, loc *time.Location) []time.Time {
	var out []time.Time
	var before time.Time
	for i, probe := range []time.Time{wall.AddDate(0, 0, -1), wall.AddDate(0, 0, 1)} {
		_, offset := probe.In(loc).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		if i == 0 {
			before = t
		}
		if _, is := t.In(loc).Zone(); is == offset && (len(out) == 0 || !out[0].Equal(t)) {
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return []time.Time{before}
	}
	return out
}
