package domain

import (
	"context"
	"fmt"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
)

func TestByHost(t *testing.T) {
	ctx := context.Background()
	each(t, Options{AssumeVerified: true}, func(t *testing.T, s *Service, _ *clock.Fake) {
		d := create(t, s, "example.com")
		custom := create(t, s, "custom.net", func(r *CreateRequest) { r.TrackingHost = "Links.Brand.Example." })
		shared := create(t, s, "shared.net", func(r *CreateRequest) { r.TrackingHost = "links.brand.example" })
		check := func(host, want string) {
			t.Helper()
			for range 2 { // the second is of the cache
				h, err := s.ByHost(ctx, host)
				if err != nil {
					t.Fatal(err)
				}
				got := "nothing"
				if h.Domain != nil {
					got = fmt.Sprintf("%s %s %v", h.Name, h.Domain.Name, h.Current)
				}
				if got != want {
					t.Errorf("%q: %s, want %s", host, got, want)
				}
			}
		}
		update := func(d *Domain, r UpdateRequest) error {
			t.Helper()
			_, err := s.Update(ctx, d, r)
			return err
		}
		check("email.example.com", "email.example.com example.com true")
		check("EMAIL.Example.COM.", "email.example.com example.com true")
		check("click.example.com", "click.example.com example.com false")
		check("links.brand.example", "links.brand.example custom.net true")
		check("email.custom.net", "email.custom.net custom.net false")
		for _, host := range []string{"example.com", "a.email.example.com", "elsewhere.net", "a b", "", "localhost", "[::1]"} {
			check(host, "nothing")
		}

		click, none, mineToo := "click", "", "links.brand.example"
		if err := update(d, UpdateRequest{WebPrefix: &click}); err != nil {
			t.Fatal(err)
		}
		check("click.example.com", "click.example.com example.com true")
		check("email.example.com", "email.example.com example.com false")
		if err := update(custom, UpdateRequest{TrackingHost: &none}); err != nil {
			t.Fatal(err)
		}
		check("links.brand.example", "links.brand.example shared.net true")
		check("email.custom.net", "email.custom.net custom.net true")
		if err := update(shared, UpdateRequest{TrackingHost: &none}); err != nil {
			t.Fatal(err)
		}
		check("links.brand.example", "links.brand.example custom.net false") // old mail names it

		other, err := s.Create(ctx, theirs, CreateRequest{Name: "other.net"})
		if err != nil {
			t.Fatal(err)
		}
		own, address := host, "10.1.2.3"
		below, theirDomain := "a.b.example.com", "example.com"
		for _, name := range []*string{&mineToo, &below, &theirDomain, &own, &address} {
			if err := update(other, UpdateRequest{TrackingHost: name}); !errs.Is(err, errs.Invalid) {
				t.Errorf("%s: %v", *name, err)
			}
		}
		if _, err := s.Create(ctx, theirs, CreateRequest{Name: "third.net", TrackingHost: mineToo}); !errs.Is(err, errs.Invalid) {
			t.Errorf("created with another account's: %v", err)
		}
		for _, d := range []*Domain{custom, shared} {
			if err := s.Delete(ctx, d); err != nil {
				t.Fatal(err)
			}
		}
		check("links.brand.example", "nothing")
		if err := update(other, UpdateRequest{TrackingHost: &mineToo}); err != nil {
			t.Errorf("a name nobody has any more: %v", err)
		}
	})
}

func TestCheckLinks(t *testing.T) {
	ctx := context.Background()
	z := zone(t)
	each(t, Options{Resolver: resolver(t, z)}, func(t *testing.T, s *Service, c *clock.Fake) {
		name := fmt.Sprintf("links%d.example.com", len(t.Name()))
		d := create(t, s, name)
		check := func(want string) {
			t.Helper()
			r, err := s.CheckLinks(ctx, d)
			if err != nil || r.Valid != want {
				t.Errorf("%+v, %v, want %s", r, err, want)
			}
			now, err := s.ByID(ctx, d.ID)
			if err != nil || s.LinksReady(now) != (want == Valid) {
				t.Errorf("ready %v, %v", s.LinksReady(now), err)
			}
		}
		check(Invalid)
		z.Set(t, "email."+name, "A", "192.0.2.9")
		check(Invalid)
		z.Set(t, "email."+name, "A", "192.0.2.1")
		check(Valid)

		// A record that goes away is noticed within a day, and no mail is stopped by it.
		publish(t, s, z, d)
		if d, err := s.Verify(ctx, d); err != nil || d.State != Active || !s.LinksReady(d) {
			t.Fatalf("%v, %v", d, err)
		}
		z.Set(t, "email."+name, "CNAME", "elsewhere.example.")
		for _, want := range []bool{true, false} {
			if err := s.VerifyActive(ctx, 10); err != nil {
				t.Fatal(err)
			}
			now, err := s.ByID(ctx, d.ID)
			if err != nil || s.LinksReady(now) != want || now.State != Active {
				t.Errorf("after a look %v, %s, %v", s.LinksReady(now), now.State, err)
			}
			c.Advance(25 * time.Hour)
		}
	})
}
