package timing

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

const (
	window   = 180 * 24 // hours in which an engagement counts
	halfLife = 30 * 24  // hours after which it counts half
	maxHours = 100      // engagements kept of a recipient, the latest
)

// engagement is an hour since 1970 in which a recipient opened or clicked, however
// often: one bit says whether they clicked, the others number the hour.
type engagement uint32

func engaged(hour int64, clicked bool) engagement {
	e := engagement(hour) << 1
	if clicked {
		e |= 1
	}
	return e
}

func (e engagement) hour() int64   { return int64(e >> 1) }
func (e engagement) clicked() bool { return e&1 == 1 }

// profile is what is known of a recipient.
type profile struct {
	hours    []engagement // in order
	zone     string       // of the latest click from a known place, "" for none
	zoneHour int64        // when that was
	lastHour int64        // of the latest event
}

// note is one open or click.
type note struct {
	id      int64
	account string
	address string // the hash
	hour    int64
	clicked bool
	zone    string
}

// add folds a note into the profile.
func (p *profile) add(n *note) {
	e := engaged(n.hour, n.clicked)
	at, _ := slices.BinarySearch(p.hours, engaged(n.hour, false))
	if at < len(p.hours) && p.hours[at].hour() == n.hour {
		p.hours[at] |= e
	} else {
		p.hours = slices.Insert(p.hours, at, e)
	}
	p.lastHour = max(p.lastHour, n.hour)
	if n.zone != "" && n.hour >= p.zoneHour {
		p.zone, p.zoneHour = n.zone, n.hour
	}
	p.hours = p.hours[max(0, len(p.hours)-maxHours):]
	p.hours = p.since(p.lastHour - window)
}

// since returns the engagements after the hour.
func (p *profile) since(hour int64) []engagement {
	at, _ := slices.BinarySearch(p.hours, engaged(max(0, hour+1), false))
	return p.hours[at:]
}

// pack writes engagements as differences of their numbers.
func pack(hours []engagement) []byte {
	b := make([]byte, 0, 3*len(hours))
	var last engagement
	for _, e := range hours {
		b = binary.AppendUvarint(b, uint64(e-last))
		last = e
	}
	return b
}

var errPacked = errors.New("engagements that cannot be read")

// unpack reads what pack wrote.
func unpack(b []byte) ([]engagement, error) {
	out := make([]engagement, 0, min(len(b), maxHours))
	var last uint64
	for len(b) > 0 {
		d, n := binary.Uvarint(b)
		if n <= 0 || d == 0 || d > 1<<32 || last+d >= 1<<32 || len(out) == maxHours {
			return nil, errPacked
		}
		last += d
		out, b = append(out, engagement(last)), b[n:]
	}
	return out, nil
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

func hourAt(h int64) time.Time { return time.Unix(h*3600, 0).UTC() }
