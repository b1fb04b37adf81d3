package trackhost_test

import (
	"bytes"
	"context"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postroad/internal/apptest"
	"postroad/internal/base/certs"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/trackhost"
)

const server = "mail.postroad.test"

type world struct {
	*trackhost.Service
	t     testing.TB
	zone  *dnstest.Zone
	clock *clock.Fake
}

// each runs fn on both engines with a service that has certificates from a local
// authority, or from none.
func each(t *testing.T, authority bool, fn func(w *world)) {
	t.Helper()
	c := clock.NewFake(time.Now())
	z := dnstest.New()
	z.Set(t, server, "A", "192.0.2.1")
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		var o certs.Options
		if authority {
			var err error
			if o.Authority, err = certs.LocalCA(t.TempDir()); err != nil {
				t.Fatal(err)
			}
		}
		fn(newWorld(t, d, c, z, o))
	})
}

func newWorld(t testing.TB, d *db.DB, c *clock.Fake, z *dnstest.Zone, o certs.Options) *world {
	t.Helper()
	r, err := dnsx.New(dnsx.Config{Servers: []string{z.Start(t)}, CacheSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	w := &world{t: t, zone: z, clock: c}
	cfg := trackhost.Config{DB: d, Clock: c, Logger: quiet, Server: "http://" + server + ":8080", HTTPPort: ":8080", Own: []string{server}}
	cfg.Domains, err = domain.New(d, ids.NewSource(c), c, quiet, domain.Options{Resolver: r, Hostname: server, Secret: bytes.Repeat([]byte{1}, 32), KeyBits: 1024,
		OnDelete: func(tx *db.Tx, d *domain.Domain) error { return w.DeleteDomain(tx, d) }})
	if err != nil {
		t.Fatal(err)
	}
	o.Host, o.Logger, o.Now = server, quiet, c.Now
	source, err := certs.NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	w.Service = trackhost.New(cfg)
	w.Use(source)
	return w
}

func (w *world) domain(r domain.CreateRequest) *domain.Domain {
	w.t.Helper()
	d, err := w.Domains.Create(context.Background(), "a", r)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) refused(what string, err error, kind errs.Kind, text string) {
	w.t.Helper()
	if !errs.Is(err, kind) || !strings.Contains(err.Error(), text) {
		w.t.Errorf("%s: %v", what, err)
	}
}

func (w *world) state(host string, want trackhost.State) trackhost.Status {
	w.t.Helper()
	st, found, err := w.Status(context.Background(), host)
	if err != nil || found != (want != "") || st.State != want {
		w.t.Errorf("%s: %q, %v, %v, want %q", host, st.State, found, err, want)
	}
	return st
}

func TestCertificate(t *testing.T) {
	ctx := context.Background()
	each(t, true, func(w *world) {
		const host = "email.one.example"
		d := w.domain(domain.CreateRequest{Name: "one.example"})
		w.zone.Set(w.t, host, "CNAME", "elsewhere.example.")
		w.state(host, "")
		w.refused("PUT before POST", w.Regenerate(ctx, d, host), errs.NotFound, "x509 cert not found")
		w.refused("record of another", w.Initiate(ctx, d, host), errs.Invalid, "invalid CNAME record")
		w.state(host, "")
		w.zone.Set(w.t, host, "CNAME", server+".")
		if err := w.Initiate(ctx, d, host); err != nil {
			w.t.Fatal(err)
		}
		if st := w.state(host, trackhost.Active); !strings.HasPrefix(st.PEM, "-----BEGIN CERTIFICATE-----\n") || st.Why != "" {
			w.t.Errorf("%+v", st)
		}
		w.refused("POST again", w.Initiate(ctx, d, host), errs.Conflict, "already been initiated for "+host)
		w.refused("PUT too early", w.Regenerate(ctx, d, host), errs.Conflict, "x509 certificate is still valid until 20")
		w.clock.Advance(900 * 24 * time.Hour) // LocalCA has its own time
		if st := w.state(host, trackhost.Expired); st.Why != "x509 certificate has expired" || st.PEM == "" {
			w.t.Errorf("%+v", st)
		}
		if err := w.Regenerate(ctx, d, host); err != nil {
			w.t.Error(err)
		}
		w.clock.Advance(-900 * 24 * time.Hour)
		if err := w.Domains.Delete(ctx, d); err != nil {
			w.t.Fatal(err)
		}
		w.state(host, "")
	})
}

// TestSharedHost: a certificate stays as long as a domain has its host.
func TestSharedHost(t *testing.T) {
	ctx := context.Background()
	each(t, true, func(w *world) {
		const host = "links.brand.example"
		w.zone.Set(w.t, host, "A", "192.0.2.1")
		one := w.domain(domain.CreateRequest{Name: "one.example", TrackingHost: host})
		two := w.domain(domain.CreateRequest{Name: "two.example", TrackingHost: host})
		if err := w.Initiate(ctx, one, host); err != nil {
			w.t.Fatal(err)
		}
		for _, c := range []struct {
			d    *domain.Domain
			left trackhost.State
		}{{one, trackhost.Active}, {two, ""}} {
			if err := w.Domains.Delete(ctx, c.d); err != nil {
				w.t.Fatal(err)
			}
			w.state(host, c.left)
		}
	})
}

func TestNoAuthority(t *testing.T) {
	ctx := context.Background()
	each(t, false, func(w *world) {
		d := w.domain(domain.CreateRequest{Name: "one.example"})
		w.zone.Set(w.t, "email.one.example", "CNAME", server+".")
		w.refused("without an authority", w.Initiate(ctx, d, "email.one.example"), errs.Invalid, "--acme-agree-terms")
		if err := w.Start(ctx); err != nil {
			w.t.Error(err)
		}
	})
}

func TestBase(t *testing.T) {
	ctx := context.Background()
	const fallback = "http://" + server + ":8080"
	for _, c := range []struct {
		name           string
		authority      bool
		scheme, record string
		change         func(*trackhost.Config)
		want, why      string
	}{
		{"http", false, "http", server + ".", nil, "http://email.one.example:8080", ""},
		{"https", true, "https", server + ".", nil, "https://email.one.example", ""},
		{"no certificate", false, "https", server + ".", nil, fallback, "POST /v2/x509/email.one.example"},
		{"no record", true, "https", "elsewhere.example.", nil, fallback, "CNAME record of email.one.example"},
		{"captured", true, "https", server + ".", func(c *trackhost.Config) { c.Capture, c.Server = true, "http://localhost:8025" }, "http://localhost:8025", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, c.authority, func(w *world) {
				if c.change != nil {
					c.change(&w.Config)
				}
				d := w.domain(domain.CreateRequest{Name: "one.example", WebScheme: c.scheme})
				if got := w.Base(d); c.change == nil && got != fallback {
					w.t.Errorf("before a look: %s", got)
				}
				w.zone.Set(w.t, "email.one.example", "CNAME", c.record)
				if _, err := w.Domains.CheckLinks(ctx, d); err != nil {
					w.t.Fatal(err)
				}
				d, err := w.Domains.ByID(ctx, d.ID)
				if err != nil {
					w.t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, w.Base(d)); diff != "" {
					w.t.Error(diff)
				}
				if why := w.WhyNot(d); (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
					w.t.Errorf("why: %q", why)
				}
			})
		})
	}
}

func BenchmarkBase(b *testing.B) {
	certFile, keyFile := apptest.WritePair(b, b.TempDir(), apptest.NewWorld(b).Cert(b, "email.one.example"))
	pair, err := certs.Load(certFile, keyFile)
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b, coretest.SQLite(b, clock.System{}), clock.NewFake(time.Now()), dnstest.New(), certs.Options{Pair: pair})
	d := w.domain(domain.CreateRequest{Name: "one.example"}) // its scheme and records are set below, as those of a stored domain
	for _, scheme := range []string{"http", "https"} {
		b.Run(scheme, func(b *testing.B) {
			one := *d
			one.Settings.WebScheme = scheme
			one.Records = []domain.Record{{Type: "MX"}, {Type: "TXT"}, {Type: "CNAME", Name: "email.one.example", Valid: domain.Valid}}
			if got := w.Base(&one); !strings.HasPrefix(got, scheme+"://email.one.example") {
				b.Fatal(got)
			}
			b.ReportAllocs()
			for b.Loop() {
				w.Base(&one)
			}
		})
	}
}

// call is a request to an operation by an account.
func (w *world) call(accountID, method, host string) error {
	for _, o := range w.Ops() {
		if o.Method == method {
			in := reflect.New(o.In)
			in.Elem().FieldByName("Host").SetString(host)
			_, err := o.Call(account.With(context.Background(), &account.Caller{AccountID: accountID}), in.Interface())
			return err
		}
	}
	w.t.Fatalf("no %s", method)
	return nil
}

// TestOwner: a host is its domain's account's alone.
func TestOwner(t *testing.T) {
	each(t, true, func(w *world) {
		const host = "email.one.example"
		w.domain(domain.CreateRequest{Name: "one.example"})
		w.zone.Set(w.t, host, "CNAME", server+".")
		if err := w.call("a", "POST", host); err != nil {
			w.t.Fatal(err)
		}
		w.refused("mine", w.call("a", "PUT", host), errs.Conflict, "still valid")
		for _, name := range []string{host, "one.example", "old.one.example"} {
			w.refused("POST of another", w.call("b", "POST", name), errs.NotFound, "x509 cert not found")
			w.refused("PUT of another", w.call("b", "PUT", name), errs.NotFound, "x509 cert not found")
			w.refused("state for another", w.call("b", "GET", name), errs.NotFound, "Please initiate")
			w.refused("state for nobody", w.call("", "GET", name), errs.NotFound, "Please initiate")
		}
	})
}
