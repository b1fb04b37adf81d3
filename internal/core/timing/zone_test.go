package timing

import (
	"testing"
	"time"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParseClock(t *testing.T) {
	for text, want := range map[string]string{"09:00": "09:00", "9:05": "09:05", "00:00": "00:00", "23:59": "23:59", "02:15PM": "14:15", "02:15pm": "14:15",
		"2:15Pm": "14:15", "12:00AM": "00:00", "12:30PM": "12:30", "02:15 PM": "14:15", "00:30AM": "00:30",
		"24:00": "", "9": "", "": "", "13:00PM": "", "noon": "", "09:60": "", "-1:00": "", "09:00:00": "", " 09:00": ""} {
		c, ok := ParseClock(text)
		if ok != (want != "") || ok && c.String() != want {
			t.Errorf("%q: %s %v, want %q", text, c, ok, want)
		}
	}
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ name, zone, clock, from, want string }{
		{"later today", "Asia/Kolkata", "09:00", "2026-03-02T02:00:00Z", "2026-03-02T03:30:00Z"},
		{"over for today", "Asia/Kolkata", "09:00", "2026-03-02T04:00:00Z", "2026-03-03T03:30:00Z"},
		{"now", "Asia/Kolkata", "09:00", "2026-03-02T03:30:00Z", "2026-03-02T03:30:00Z"},
		{"a second too late", "Asia/Kolkata", "09:00", "2026-03-02T03:30:01Z", "2026-03-03T03:30:00Z"},
		{"quarter of an hour", "Asia/Kathmandu", "00:00", "2026-03-02T12:00:00Z", "2026-03-02T18:15:00Z"},
		{"behind UTC", "America/New_York", "22:00", "2026-01-10T02:30:00Z", "2026-01-10T03:00:00Z"},
		{"end of the year", "Pacific/Kiritimati", "00:00", "2026-12-30T11:00:00Z", "2026-12-31T10:00:00Z"},
		{"UTC", "UTC", "12:00", "2026-02-28T13:00:00Z", "2026-03-01T12:00:00Z"},

		// New York: 02:00 EST becomes 03:00 EDT on 2026-03-08, 02:00 EDT becomes 01:00 EST on 2026-11-01.
		{"before the change", "America/New_York", "09:00", "2026-03-07T10:00:00Z", "2026-03-07T14:00:00Z"},
		{"over the change", "America/New_York", "09:00", "2026-03-07T15:00:00Z", "2026-03-08T13:00:00Z"},
		{"left out", "America/New_York", "02:30", "2026-03-07T12:00:00Z", "2026-03-08T07:30:00Z"},
		{"begin of what is left out", "America/New_York", "02:00", "2026-03-07T12:00:00Z", "2026-03-08T07:00:00Z"},
		{"behind what is left out", "America/New_York", "03:00", "2026-03-07T12:00:00Z", "2026-03-08T07:00:00Z"},
		{"left out, and over", "America/New_York", "02:30", "2026-03-08T07:31:00Z", "2026-03-09T06:30:00Z"},
		{"twice: the first", "America/New_York", "01:30", "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z"},
		{"twice: the second if the first is over", "America/New_York", "01:30", "2026-11-01T05:40:00Z", "2026-11-01T06:30:00Z"},
		{"twice: both over", "America/New_York", "01:30", "2026-11-01T06:40:00Z", "2026-11-02T06:30:00Z"},
		{"behind what is twice", "America/New_York", "02:00", "2026-11-01T04:00:00Z", "2026-11-01T07:00:00Z"},

		// Lord Howe moves by half an hour: 02:00 becomes 01:30 on 2026-04-05, 02:00 becomes 02:30 on 2026-10-04.
		{"half an hour, left out", "Australia/Lord_Howe", "02:15", "2026-10-03T12:00:00Z", "2026-10-03T15:45:00Z"},
		{"half an hour, twice", "Australia/Lord_Howe", "01:45", "2026-04-04T12:00:00Z", "2026-04-04T14:45:00Z"},
		{"half an hour, the second", "Australia/Lord_Howe", "01:45", "2026-04-04T14:50:00Z", "2026-04-04T15:15:00Z"},

		// Samoa had no 2011-12-30.
		{"the day before", "Pacific/Apia", "23:00", "2011-12-29T12:00:00Z", "2011-12-30T09:00:00Z"},
		{"a day left out", "Pacific/Apia", "09:00", "2011-12-30T08:00:00Z", "2011-12-30T19:00:00Z"},
		{"the day after", "Pacific/Apia", "09:00", "2011-12-30T19:00:01Z", "2011-12-31T19:00:00Z"},
		{"Samoa now", "Pacific/Apia", "09:00", "2026-06-01T00:00:00Z", "2026-06-01T20:00:00Z"},
	} {
		t.Run(c.zone+"/"+c.name, func(t *testing.T) {
			k, ok := ParseClock(c.clock)
			if loc := zone(c.zone); !ok || loc == nil {
				t.Fatal("no such clock or zone")
			} else if got := k.Next(at(t, c.from), loc); !got.Equal(at(t, c.want)) {
				t.Errorf("%s, want %s", got.UTC().Format(time.RFC3339), c.want)
			}
		})
	}
}

// Whatever the zone, the time found is within a day and a change of clocks, and it is the time of day
// asked for unless clocks left that out.
func TestNextAnywhere(t *testing.T) {
	for _, name := range []string{"Asia/Kolkata", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe", "Europe/Berlin", "Africa/Casablanca",
		"America/St_Johns", "Pacific/Chatham", "Africa/Cairo", "America/Santiago", "Antarctica/Troll", "Asia/Gaza", "Europe/Dublin"} {
		loc := zone(name)
		if loc == nil {
			t.Fatalf("no zone %s", name)
		}
		missed := 0
		begin := time.Date(2026, 1, 1, 0, 17, 0, 0, time.UTC)
		for h := range 365 * 24 {
			from := begin.Add(time.Duration(h) * time.Hour)
			for _, c := range []Clock{0, 2*60 + 15, 12 * 60} {
				got := c.Next(from, loc)
				if got.Before(from) || got.Sub(from) > 26*time.Hour {
					t.Fatalf("%s %s from %s: %s", name, c, from, got)
				}
				if got.In(loc).Format("15:04") != c.String() {
					missed++
				}
			}
		}
		if missed > 2*25 { // asked in each hour of the day before a change
			t.Errorf("%s: another time of day %d times", name, missed)
		}
	}
}

func TestNoZones(t *testing.T) {
	for _, name := range []string{"", "Local", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe/\x00"} {
		if zone(name) != nil {
			t.Errorf("%q is a zone", name)
		}
	}
}

func FuzzNext(f *testing.F) {
	f.Add("09:00", "Asia/Kolkata", int64(1772442000))
	f.Add("02:30", "America/New_York", int64(1772948000))
	f.Add("02:15PM", "Australia/Lord_Howe", int64(1775300000))
	f.Add("12:00AM", "Local", int64(-1))
	f.Fuzz(func(t *testing.T, text, name string, sec int64) {
		c, ok := ParseClock(text)
		if !ok {
			return
		}
		if again, ok := ParseClock(c.String()); !ok || again != c {
			t.Fatalf("%q is %s", text, c)
		}
		loc := zone(name)
		if loc == nil || sec < 0 || sec > 1<<32 {
			return
		}
		from := time.Unix(sec, 0)
		if got := c.Next(from, loc); got.Before(from) || got.Sub(from) > 49*time.Hour {
			t.Fatalf("%s in %s from %s: %s", c, name, from, got)
		}
	})
}
