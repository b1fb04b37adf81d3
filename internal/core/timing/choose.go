package timing

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"time"
)

// Choice is when a recipient gets a message, and why then, in a sentence.
type Choice struct {
	At  time.Time `json:"scheduled-for"`
	Why string    `json:"reason"`
}

// Wish is what a sender asks for.
type Wish struct {
	AccountID string
	Message   int64 // row id: messages of one hour are spread by it
	Now       time.Time
	From      time.Time     // not before that; Now unless the delivery is scheduled
	Limit     time.Time     // not after that
	Period    time.Duration // after From in which to find the best hour; 0 for no such wish
	Local     string        // time of day where the recipient is, see ParseClock; "" for no such wish

	zones map[string]*time.Location // looked up already
}

// What is enough to tell when a recipient engages.
const (
	minEngagements = 3
	minDays        = 2
	minNear        = 2 // of them in the hour chosen or next to it, on whatever day
)

// choose applies a wish to what is known of a recipient. A time of day comes
// first; where the zone is unknown the period decides, if one is given.
func (w *Wish) choose(p *profile, c Clock, spread float64) Choice {
	if w.Local == "" {
		return w.optimize(p, spread)
	}
	loc := w.zone(p.zone)
	if loc == nil {
		const why = "no click with a known place"
		if w.Period == 0 {
			return w.Fallback(why)
		}
		o := w.optimize(p, spread)
		o.Why = why + "; " + o.Why
		return o
	}
	at := c.Next(w.From, loc)
	if at.After(w.Limit) {
		return w.Fallback(fmt.Sprintf("%s in %s would be after the latest time allowed, %s", c, p.zone, w.Limit.UTC().Format(timeForm)))
	}
	return Choice{at, fmt.Sprintf("%s in %s, where this address last clicked (%s)", c, p.zone, hourAt(p.zoneHour).Format(time.DateOnly))}
}

// zone is the function of that name for many recipients in few zones.
func (w *Wish) zone(name string) *time.Location {
	loc, ok := w.zones[name]
	if !ok {
		if w.zones == nil {
			w.zones = map[string]*time.Location{}
		}
		loc = zone(name)
		w.zones[name] = loc
	}
	return loc
}

const timeForm = "2006-01-02 15:04 UTC"

// Fallback is delivery as if nothing had been asked for.
func (w *Wish) Fallback(why string) Choice {
	if w.From.After(w.Now) {
		return Choice{w.From, why + ": delivered at the time scheduled"}
	}
	return Choice{w.From, why + ": delivered at once"}
}

// optimize finds the hour of the period in which the recipient engages most.
func (w *Wish) optimize(p *profile, spread float64) Choice {
	list := p.since(hourOf(w.Now) - window)
	if len(list) < minEngagements || days(list) < minDays {
		return w.Fallback(fmt.Sprintf("too few opens and clicks of this address in %d days (hours: %d of %d needed, dates: %d of %d)", window/24, len(list), minEngagements, days(list), minDays))
	}
	end := w.From.Add(w.Period)
	if w.Limit.Before(end) {
		end = w.Limit
	}
	best, top, by := int64(-1), 0.0, weekOf(list, hourOf(w.Now))
	for h := hourOf(w.From); hourAt(h).Before(end); h++ {
		if s := by.score(h); s > top {
			best, top = h, s
		}
	}
	n := count(list, best)
	if best < 0 || n.near < minNear {
		return w.Fallback(fmt.Sprintf("opens and clicks of this address cluster at no hour of the period (%d in %d days)", len(list), window/24))
	}
	day := hourAt(best)
	return Choice{within(best, w.From, end, spread), fmt.Sprintf("opens and clicks of this address cluster at %s-%s UTC (%d of %d in %d days, %d of them on %s)",
		day.Format("15:04"), day.Add(time.Hour).Format("15:04"), n.hour, len(list), window/24, n.day, day.Weekday())}
}

// within returns the time in the hour: its first half, in which messages are
// spread, so that the mail is there when the recipient is. In an hour that has
// begun it is as soon as may be.
func within(hour int64, from, end time.Time, spread float64) time.Time {
	start := hourAt(hour)
	if start.Before(from) {
		return from
	}
	room := min(30*time.Minute, end.Sub(start))
	return start.Add(time.Duration(spread * float64(room)).Truncate(time.Second))
}

// week is what was done in each hour of the week in UTC, weighed: clicks count
// twice, and everything less as time passes.
type week [7][24]float64

func weekOf(list []engagement, now int64) *week {
	w := &week{}
	for _, e := range list {
		s := math.Exp2(-float64(max(0, now-e.hour())) / halfLife)
		if e.clicked() {
			s *= 2
		}
		w[weekday(e.hour())][e.hour()%24] += s
	}
	return w
}

// score says how well an hour suits: what was done in that hour of the day counts,
// in the hours next to it half, on another day of the week less. An hour of the day
// in which nothing was ever done has 0.
func (w *week) score(hour int64) float64 {
	sum, exact, h := 0.0, 0.0, hour%24
	for d := range w {
		s := w[d][h] + (w[d][(h+1)%24]+w[d][(h+23)%24])/2
		if int64(d) != weekday(hour) {
			s *= 0.4
		}
		sum, exact = sum+s, exact+w[d][h]
	}
	if exact == 0 {
		return 0
	}
	return sum
}

// weekday numbers the day of the week of an hour, from Sunday: 1970 began on a
// Thursday.
func weekday(hour int64) int64 { return (hour/24 + 4) % 7 }

// counts are engagements at an hour of the day: in it, of those on the same day of
// the week, and in it or next to it.
type counts struct{ hour, day, near int }

func count(list []engagement, hour int64) (n counts) {
	for _, e := range list {
		switch distance(e.hour(), hour) {
		case 0:
			n.hour++
			n.near++
			if weekday(e.hour()) == weekday(hour) {
				n.day++
			}
		case 1:
			n.near++
		}
	}
	return n
}

// distance is how far two hours are apart on a clock of 24 hours.
func distance(a, b int64) int64 {
	d := (a - b) % 24
	if d < 0 {
		d += 24
	}
	return min(d, 24-d)
}

// days counts the dates in UTC of engagements in order.
func days(list []engagement) (n int) {
	last := int64(-1)
	for _, e := range list {
		if d := e.hour() / 24; d != last {
			n, last = n+1, d
		}
	}
	return n
}

// spreadOf is a number in [0,1) that differs by message and recipient.
func spreadOf(message int64, recipient string) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", message, recipient)
	x := h.Sum64()
	x ^= x >> 33 // FNV leaves the upper bits of short texts much alike
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}

// slot is an hour of the week in UTC with the engagements in it.
type slot struct {
	Day   string `json:"day"`
	Hour  int    `json:"hour"`
	Count int    `json:"count"`
}

func compareSlots(a, b slot) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Day, b.Day), cmp.Compare(a.Hour, b.Hour))
}
