// Package geo tells where an IP address is, from a file in MaxMind's MMDB format
// that the operator provides: country or city files in the layout of MaxMind and
// DB-IP, or flat ones as packages of free data have them.
package geo

import (
	"bytes"
	"context"
	_ "embed" // the table of zones
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"postroad/internal/base/clock"
)

// Unknown stands for what is not known. Mailgun: as in its events.
const Unknown = "Unknown"

// Place is where an address is.
type Place struct {
	Country  string // ISO 3166-1 code, or Unknown
	Region   string // code where the file has one, else a name, or Unknown
	City     string // English name, or Unknown
	TimeZone string // IANA name, "" if not known
}

// Nowhere is the place of an address of which nothing is known.
func Nowhere() Place { return Place{Country: Unknown, Region: Unknown, City: Unknown} }

const (
	// maxFile bounds the file, which is held in memory: a mapped one would end the
	// program if somebody wrote over it in place.
	maxFile = 1 << 30
	// maxText bounds a name, in bytes: it becomes part of each event.
	maxText = 128
	// interval is how often the file is looked at.
	interval = time.Minute
)

// DB is an open file. Its methods are safe for concurrent use; those of a nil DB
// know nothing.
type DB struct {
	path  string
	log   *slog.Logger
	zones map[string]string // of countries with one
	now   atomic.Pointer[maxminddb.Reader]
	seen  version // last looked at, whether good or not
}

// version tells that a file has changed.
type version struct {
	changed time.Time
	size    int64
}

//go:embed zones.txt
var zones string

// Open reads the file; the error says that it is no MMDB file.
func Open(path string, log *slog.Logger) (*DB, error) {
	d := &DB{path: path, log: log, zones: map[string]string{}}
	for line := range strings.Lines(zones) {
		if country, zone, ok := strings.Cut(strings.TrimSpace(line), " "); ok && country != "#" {
			d.zones[country] = zone
		}
	}
	if _, err := d.load(); err != nil {
		return nil, err
	}
	return d, nil
}

// load reads the file if it is not the one looked at last.
func (d *DB) load() (changed bool, err error) {
	f, err := os.Open(d.path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	v := version{info.ModTime(), info.Size()}
	if v == d.seen {
		return false, nil
	}
	d.seen = v
	if v.size > maxFile {
		return false, fmt.Errorf("%s: more than %d bytes", d.path, maxFile)
	}
	var b bytes.Buffer
	b.Grow(int(v.size) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(f, v.size)); err != nil {
		return false, err
	}
	r, err := maxminddb.OpenBytes(b.Bytes())
	if err != nil {
		return false, fmt.Errorf("%s: %w", d.path, err)
	}
	d.now.Store(r)
	return true, nil
}

// Run looks at the file each minute until ctx ends. While it is missing or broken
// the one read before stays in use.
func (d *DB) Run(ctx context.Context, c clock.Clock) error {
	for {
		tick, stop := c.After(interval)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-tick:
		}
		d.refresh()
	}
}

func (d *DB) refresh() {
	changed, err := d.load()
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.log.Warn("the file of places is not there; what was read of it before stays in use", "file", d.path)
	case err != nil:
		d.log.Error("the file of places cannot be read; the one before stays in use", "error", err)
	case changed:
		m := d.now.Load().Metadata
		d.log.Info("file of places read again", "file", d.path, "type", m.DatabaseType, "made", m.BuildTime())
	}
}

// record is what files know, in MaxMind's layout and in a flat one.
type record struct {
	Country struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		Code  string            `maxminddb:"iso_code"`
		Names map[string]string `maxminddb:"names"`
	} `maxminddb:"subdivisions"`
	City     any `maxminddb:"city"` // names, or flat the name
	Location struct {
		TimeZone string `maxminddb:"time_zone"`
	} `maxminddb:"location"`

	FlatCountry string `maxminddb:"country_code"`
	FlatRegion  string `maxminddb:"state1"`
	FlatZone    string `maxminddb:"timezone"`
}

// Lookup returns where an address is.
func (d *DB) Lookup(ip netip.Addr) Place {
	p := Nowhere()
	if d == nil || !ip.IsValid() {
		return p
	}
	var r record
	if err := d.now.Load().Lookup(ip.Unmap()).Decode(&r); err != nil {
		return p // a file of another kind, or damaged
	}
	set(&p.Country, r.Country.Code, r.FlatCountry)
	if len(r.Subdivisions) > 0 {
		set(&p.Region, r.Subdivisions[0].Code, r.Subdivisions[0].Names["en"])
	}
	set(&p.Region, r.FlatRegion)
	set(&p.City, r.city())
	set(&p.TimeZone, r.Location.TimeZone, r.FlatZone, d.zones[p.Country])
	return p
}

func (r *record) city() string {
	switch c := r.City.(type) {
	case string:
		return c
	case map[string]any:
		names, _ := c["names"].(map[string]any)
		name, _ := names["en"].(string)
		return name
	}
	return ""
}

// set gives to the first text there is, unless it has one.
func set(to *string, texts ...string) {
	if *to != "" && *to != Unknown {
		return
	}
	for _, t := range texts {
		if t != "" {
			*to = strings.ToValidUTF8(t[:min(len(t), maxText)], "")
			return
		}
	}
}
