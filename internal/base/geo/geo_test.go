package geo

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

type (
	object = mmdbtype.Map
	text   = mmdbtype.String
)

// write makes a file with records for documentation networks.
func write(t testing.TB, path string, records map[string]object) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for network, r := range records {
		_, n, err := net.ParseCIDR(network)
		if err == nil {
			err = tree.Insert(n, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func names(s string) object { return object{"names": object{"de": text("x" + s), "en": text(s)}} }

var records = map[string]object{
	// MaxMind, city.
	"192.0.2.0/25": {"country": object{"iso_code": text("US")}, "city": names("Austin"),
		"subdivisions": mmdbtype.Slice{object{"iso_code": text("TX"), "names": object{"en": text("Texas")}}}, "location": object{"time_zone": text("America/Chicago")}},
	// DB-IP, city: regions have names only, and no time zone.
	"192.0.2.128/25": {"country": object{"iso_code": text("DE")}, "city": names("Berlin"), "subdivisions": mmdbtype.Slice{names("Land Berlin")}},
	// Country only, and one with several time zones.
	"198.51.100.0/25":   {"country": object{"iso_code": text("JP"), "names": object{"en": text("Japan")}}},
	"198.51.100.128/25": {"country": object{"iso_code": text("BR")}},
	// Flat.
	"203.0.113.0/25": {"country_code": text("FR"), "state1": text("Bretagne"), "city": text("Brest"), "timezone": text("Europe/Paris")},
	"2001:db8::/32":  {"country_code": text("NZ")},
	// Nothing we know, and hostile.
	"203.0.113.128/26": {"asn": mmdbtype.Uint32(64500)},
	"203.0.113.192/26": {"country": object{"iso_code": text("CH")}, "city": names(strings.Repeat("ü", 500))},
}

func open(t testing.TB, records map[string]object) (*DB, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "places.mmdb")
	write(t, path, records)
	var log bytes.Buffer
	d, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return d, &log
}

func TestLookup(t *testing.T) {
	d, _ := open(t, records)
	for ip, want := range map[string]Place{
		"192.0.2.1":            {"US", "TX", "Austin", "America/Chicago"},
		"::ffff:192.0.2.1":     {"US", "TX", "Austin", "America/Chicago"},
		"192.0.2.200":          {"DE", "Land Berlin", "Berlin", "Europe/Berlin"},
		"198.51.100.1":         {"JP", Unknown, Unknown, "Asia/Tokyo"},
		"198.51.100.200":       {"BR", Unknown, Unknown, ""},
		"203.0.113.1":          {"FR", "Bretagne", "Brest", "Europe/Paris"},
		"203.0.113.130":        Nowhere(),
		"203.0.113.200":        {"CH", Unknown, strings.Repeat("ü", 64), "Europe/Zurich"},
		"2001:db8::1":          {"NZ", Unknown, Unknown, ""},
		"2001:db8:0:1::7%eth0": {"NZ", Unknown, Unknown, ""},
		"10.0.0.1":             Nowhere(),
	} {
		if got := d.Lookup(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %+v, want %+v", ip, got, want)
		}
	}
	if got := d.Lookup(netip.Addr{}); got != Nowhere() {
		t.Errorf("no address: %+v", got)
	}
	if got := (*DB)(nil).Lookup(netip.MustParseAddr("192.0.2.1")); got != Nowhere() {
		t.Errorf("no file: %+v", got)
	}
}

// TestZones: each zone of the table exists.
func TestZones(t *testing.T) {
	d, _ := open(t, nil)
	if len(d.zones) < 200 {
		t.Fatalf("%d countries", len(d.zones))
	}
	for country, zone := range d.zones {
		if _, err := time.LoadLocation(zone); err != nil || len(country) != 2 {
			t.Errorf("%s %s: %v", country, zone, err)
		}
	}
}

func TestReload(t *testing.T) {
	d, log := open(t, records)
	where := func() string { return d.Lookup(netip.MustParseAddr("192.0.2.1")).Country }
	write(t, d.path, map[string]object{"192.0.2.0/24": {"country_code": text("IS")}})
	if d.refresh(); where() != "IS" {
		t.Errorf("a new file is not read: %s", where())
	}
	if err := os.WriteFile(d.path, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.refresh()
	d.refresh()
	if where() != "IS" || strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("a broken file: %s, logged\n%s", where(), log)
	}
	if err := os.Remove(d.path); err != nil {
		t.Fatal(err)
	}
	if d.refresh(); where() != "IS" || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("a missing file: %s, logged\n%s", where(), log)
	}
	write(t, d.path, map[string]object{"192.0.2.0/24": {"country_code": text("NO")}})
	if d.refresh(); where() != "NO" {
		t.Errorf("a file after a broken one is not read: %s", where())
	}
}

func TestOpenRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if _, err := Open(path, slog.Default()); err == nil {
		t.Error("a missing file opens")
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, slog.Default()); err == nil {
		t.Error("any file opens")
	}
}

// FuzzLookup: a damaged file gives wrong answers at worst.
func FuzzLookup(f *testing.F) {
	d, _ := open(f, records)
	good, err := os.ReadFile(d.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(10, byte(0xff))
	f.Add(1300, byte(1))
	path := filepath.Join(f.TempDir(), "damaged.mmdb")
	f.Fuzz(func(t *testing.T, at int, x byte) {
		b := bytes.Clone(good)
		b[uint(at)%uint(len(b))] ^= x
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := Open(path, slog.New(slog.DiscardHandler))
		if err != nil {
			return
		}
		for _, ip := range []string{"192.0.2.1", "203.0.113.200", "2001:db8::1"} {
			if p := d.Lookup(netip.MustParseAddr(ip)); p.Country == "" || len(p.City) > maxText {
				t.Fatalf("%+v", p)
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	d, _ := open(b, records)
	ip := netip.MustParseAddr("192.0.2.1")
	for b.Loop() {
		d.Lookup(ip)
	}
}
