package domain

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
)

// zone is a zone with our own host in it.
func zone(t testing.TB) *dnstest.Zone {
	z := dnstest.New()
	z.Set(t, host, "A", "192.0.2.1")
	z.Set(t, host, "AAAA", "2001:db8::1")
	return z
}

// publish puts everything a domain needs into the zone.
func publish(t *testing.T, s *Service, z *dnstest.Zone, d *Domain) {
	t.Helper()
	receiving, sending, err := s.DNSRecords(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range receiving {
		z.Set(t, d.Name, r.Type, r.Priority+" "+r.Value+".")
	}
	for _, r := range sending {
		v := r.Value
		if r.Type == "CNAME" {
			v += "."
		}
		z.Set(t, r.Name, r.Type, v)
	}
}

// states lists the state of each record, for comparison.
func states(d *Domain) string {
	var out []string
	for _, r := range d.Records {
		name, _, _ := strings.Cut(r.Name, ".")
		out = append(out, fmt.Sprintf("%s %s %s", r.Type, name, r.Valid))
	}
	return strings.Join(out, ", ")
}

func TestVerify(t *testing.T) {
	ctx := context.Background()
	z := zone(t)
	each(t, Options{Resolver: resolver(t, z)}, func(t *testing.T, s *Service, c *clock.Fake) {
		name := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")) + ".example.com"
		d := create(t, s, name)
		label, _, _ := strings.Cut(name, ".")
		verify := func(want string) *Domain {
			t.Helper()
			v, err := s.Verify(ctx, d)
			if err != nil {
				t.Fatal(err)
			}
			if got := states(v); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			return v
		}
		v := verify("MX  invalid, TXT postroad invalid, TXT " + label + " invalid, CNAME email invalid")
		if v.State != Unverified || !v.CheckedAt.Equal(start) {
			t.Errorf("%s, checked at %v", v.State, v.CheckedAt)
		}
		publish(t, s, z, d)
		z.Fail(name, dns.RcodeServerFailure)
		v = verify("MX  unknown, TXT postroad valid, TXT " + label + " unknown, CNAME email valid")
		if v.State != Unverified {
			t.Errorf("%s while the DNS fails", v.State)
		}
		z.Fail(name, dns.RcodeSuccess)
		v = verify("MX  valid, TXT postroad valid, TXT " + label + " valid, CNAME email valid")
		if v.State != Active {
			t.Errorf("%s with all records there", v.State)
		}
		got := mustCall(t, s, "PUT", "/v4/domains/{name}/verify", &domainIn{name})
		for _, want := range []string{`{"message":"Domain DNS records have been updated","domain":{`, `"state":"active"`,
			`{"is_active":true,"cached":["10 mail.postroad.test"],"priority":"10","record_type":"MX","valid":"valid","value":"mail.postroad.test"}`,
			`"cached":["v=spf1 a:mail.postroad.test ~all"]`, `"cached":["mail.postroad.test"]`} {
			if !strings.Contains(got, want) {
				t.Errorf("%s is not in\n%s", want, got)
			}
		}
		z.Set(t, "postroad._domainkey."+name, "TXT", "k=rsa; p=")
		if v = verify("MX  valid, TXT postroad invalid, TXT " + label + " valid, CNAME email valid"); v.State != Active {
			t.Errorf("%s: a later failing check took the state away", v.State)
		}
		again, err := s.ByName(ctx, name)
		if err != nil || cmp.Diff(v.Records, again.Records) != "" {
			t.Errorf("what was found was not stored: %v %+v", err, again.Records)
		}
	})
}

func TestVerifyNeedsEveryActiveKey(t *testing.T) {
	ctx := context.Background()
	z := zone(t)
	each(t, Options{Resolver: resolver(t, z)}, func(t *testing.T, s *Service, _ *clock.Fake) {
		d := create(t, s, strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))+".example.com")
		publish(t, s, z, d)
		if _, err := s.AddKey(ctx, d, "second", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := s.SetKeyActive(ctx, d, "second", true); err != nil {
			t.Fatal(err)
		}
		if v, err := s.Verify(ctx, d); err != nil || v.State != Unverified {
			t.Errorf("%+v, %v: an active key is not published", v, err)
		}
		if err := s.SetKeyActive(ctx, d, "second", false); err != nil {
			t.Fatal(err)
		}
		if n, err := s.VerifyPending(ctx, 10); err != nil || n != 1 {
			t.Errorf("VerifyPending = %d, %v; a key that does not sign held the domain back", n, err)
		}
	})
}

func TestVerifySwitchesToInclude(t *testing.T) {
	ctx := context.Background()
	z := zone(t)
	z.Set(t, host, "TXT", "v=spf1 ip4:198.51.100.0/24 -all")
	each(t, Options{Resolver: resolver(t, z)}, func(t *testing.T, s *Service, _ *clock.Fake) {
		d := create(t, s, "x"+strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))+".example.com")
		d, err := s.Verify(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, s, z, d)
		if d, err = s.Verify(ctx, d); err != nil || d.State != Active {
			t.Errorf("%+v, %v", d, err)
		}
		_, sending, err := s.DNSRecords(ctx, d)
		if err != nil || sending[1].Value != "v=spf1 include:mail.postroad.test ~all" || sending[1].Valid != Valid {
			t.Errorf("SPF record %+v, %v", sending, err)
		}
	})
}

func TestVerifyLink(t *testing.T) {
	ctx := context.Background()
	for name, tt := range map[string]struct {
		set  func(z *dnstest.Zone)
		want string
	}{
		"alias of another": {func(z *dnstest.Zone) { z.Set(t, "email.example.com", "CNAME", "mailgun.org.") }, Invalid},
		"our addresses":    {func(z *dnstest.Zone) { z.Set(t, "email.example.com", "A", "192.0.2.1") }, Valid},
		"other addresses":  {func(z *dnstest.Zone) { z.Set(t, "email.example.com", "A", "192.0.2.1", "192.0.2.9") }, Invalid},
		"failure":          {func(z *dnstest.Zone) { z.Fail("email.example.com", dns.RcodeServerFailure) }, Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			z := zone(t)
			tt.set(z)
			c := &checker{Service: &Service{opt: Options{Resolver: resolver(t, z), Hostname: host}},
				addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}}
			r := Record{Name: "email.example.com"}
			c.link(ctx, &r)
			if r.Valid != tt.want {
				t.Errorf("%s, found %v", r.Valid, r.Cached)
			}
		})
	}
}

func TestAssumeVerified(t *testing.T) {
	each(t, Options{AssumeVerified: true}, func(t *testing.T, s *Service, _ *clock.Fake) {
		d := create(t, s, "example.com")
		if d.State != Active {
			t.Error(d.State)
		}
		if d, err := s.Verify(context.Background(), d); err != nil || d.State != Active {
			t.Errorf("without a resolver: %+v, %v", d, err)
		}
	})
}

func TestSPF(t *testing.T) {
	many := "v=spf1"
	for i := range 11 {
		many += fmt.Sprintf(" a:h%d.test", i)
	}
	tests := []struct {
		name, record string
		want         spfResult
	}{
		{"none", "", spfNone},
		{"other text", "google-site-verification=x", spfNone},
		{"later version", "v=spf10 a:mail.postroad.test", spfNone},
		{"a", "v=spf1 a:mail.postroad.test ~all", spfPass},
		{"capitals", "V=SPF1 A:Mail.Postroad.TEST. -ALL", spfPass},
		{"among others", "v=spf1 include:google.test ip4:198.51.100.7 a:mail.postroad.test -all", spfPass},
		{"addresses", "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all", spfPass},
		{"one family only", "v=spf1 ip4:192.0.2.1 -all", spfFail},
		{"softfail", "v=spf1 ~all", spfSoftFail},
		{"neutral", "v=spf1 ?all", spfNeutral},
		{"empty", "v=spf1", spfNeutral},
		{"pass all", "v=spf1 +all", spfPass},
		{"forbidden first", "v=spf1 -a:mail.postroad.test a:mail.postroad.test", spfFail},
		{"forbidden later", "v=spf1 a:mail.postroad.test -a:mail.postroad.test", spfPass},
		{"include of an include", "v=spf1 include:one.test -all", spfPass},
		{"include of a loop", "v=spf1 include:loop.test -all", spfPermError},
		{"include of nothing", "v=spf1 include:nothing.test -all", spfPermError},
		{"include of ours without record", "v=spf1 include:mail.postroad.test -all", spfPermError},
		{"include that fails", "v=spf1 include:google.test ?all", spfNeutral},
		{"redirect", "v=spf1 redirect=one.test", spfPass},
		{"redirect after all", "v=spf1 -all redirect=one.test", spfFail},
		{"redirect to nothing", "v=spf1 redirect=nothing.test", spfPermError},
		{"mx", "v=spf1 mx:mx.test -all", spfPass},
		{"mx of others", "v=spf1 mx:othermx.test -all", spfFail},
		{"network of a host", "v=spf1 a:near.test/24//64 -all", spfPass},
		{"host nearby", "v=spf1 a:near.test -all", spfFail},
		{"modifiers", "v=spf1 exp=why.test x-mod=a:b a:mail.postroad.test", spfPass},
		{"macro", "v=spf1 exists:%{i}.test include:%{d}.test a:%{h} a:mail.postroad.test -all", spfPass},
		{"ptr", "v=spf1 ptr -all", spfFail},
		{"unknown mechanism", "v=spf1 bogus a:mail.postroad.test", spfPermError},
		{"bad network", "v=spf1 ip4:192.0.2.0/33 -all", spfPermError},
		{"bad prefix", "v=spf1 a:near.test/x -all", spfPermError},
		{"empty include", "v=spf1 include: -all", spfPermError},
		{"too many look-ups", many + " a:mail.postroad.test", spfPermError},
		{"too many voids", "v=spf1 a:v1.test a:v2.test a:v3.test a:mail.postroad.test", spfPermError},
		{"server failure", "v=spf1 include:broken.test a:mail.postroad.test", spfTempError},
	}
	z := zone(t)
	z.Set(t, "google.test", "TXT", "v=spf1 ip4:203.0.113.0/24 -all")
	z.Set(t, "one.test", "TXT", "v=spf1 include:two.test -all")
	z.Set(t, "two.test", "TXT", "hello", "v=spf1 a:mail.postroad.test -all")
	z.Set(t, "loop.test", "TXT", "v=spf1 include:loop.test -all")
	z.Set(t, "mx.test", "MX", "10 mail.postroad.test.")
	z.Set(t, "othermx.test", "MX", "10 near.test.")
	z.Set(t, "near.test", "A", "192.0.2.200")
	z.Set(t, "near.test", "AAAA", "2001:db8::ffff")
	z.Fail("broken.test", dns.RcodeServerFailure)
	for i := range 11 {
		z.Set(t, fmt.Sprintf("h%d.test", i), "A", "203.0.113.1")
	}
	ours := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	r := resolver(t, z)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := fmt.Sprintf("d%d.test", i)
			if tt.record != "" {
				z.Set(t, name, "TXT", tt.record)
			}
			if got, _ := spfFor(context.Background(), r, host, ours, name); got != tt.want {
				t.Errorf("%q: %s, want %s", tt.record, got, tt.want)
			}
		})
	}
	z.Set(t, "double.test", "TXT", "v=spf1 +all", "v=spf1 a:mail.postroad.test")
	if got, found := spfFor(context.Background(), r, host, ours, "double.test"); got != spfPermError || len(found) != 2 {
		t.Errorf("two records: %s, %v", got, found)
	}
	z.Set(t, "noaddr.test", "TXT", "v=spf1 a:mail.postroad.test -all")
	if got, _ := spfFor(context.Background(), r, host, nil, "noaddr.test"); got != spfFail {
		t.Errorf("our host has no address: %s", got)
	}
}

// countingResolver answers every question for text alike.
type countingResolver struct {
	text string
	n    int
}

func (r *countingResolver) TXT(context.Context, string) ([]string, error) {
	r.n++
	return []string{r.text}, nil
}

func (r *countingResolver) MX(context.Context, string) ([]dnsx.MX, error) {
	r.n++
	return make([]dnsx.MX, 10), nil
}

func (r *countingResolver) Addrs(context.Context, string) (v4, v6 []netip.Addr, err error) {
	r.n++
	return nil, nil, &dnsx.Error{Kind: dnsx.NoData}
}

func (r *countingResolver) CNAME(context.Context, string) (string, error) { return "", nil }

func FuzzSPF(f *testing.F) {
	for _, s := range []string{"v=spf1 a:mail.postroad.test ~all", "v=spf1 include:x redirect=y", "v=spf1 a:/1//2 mx/x ip4:1/2 -", "v=spf1 + = : //", "v=spf1 redirect="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := &countingResolver{text: text}
		spfFor(context.Background(), r, host, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, "d.test")
		if r.n > 150 {
			t.Errorf("%d look-ups for %q", r.n, text)
		}
	})
}

// A domain that cannot be checked does not keep those behind it from it.
func TestVerifyPendingGoesOn(t *testing.T) {
	ctx := context.Background()
	z := zone(t)
	each(t, Options{Resolver: resolver(t, z)}, func(t *testing.T, s *Service, c *clock.Fake) {
		suffix := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")) + ".example"
		root := create(t, s, suffix)
		create(t, s, "a."+suffix) // signs with the root's keys
		var good []*Domain
		for _, name := range []string{"b.", "c."} {
			d := create(t, s, name+suffix, func(r *CreateRequest) { r.ForceDKIMAuthority = true })
			publish(t, s, z, d)
			good = append(good, d)
		}
		if err := s.db.Write(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE domain SET state = ?, settings = '{' WHERE id = ?`, Active, root.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		n, err := s.VerifyPending(ctx, 10)
		if n != len(good) || err == nil || !strings.Contains(err.Error(), "a."+suffix+": ") {
			t.Errorf("%d verified, want %d; %v", n, len(good), err)
		}
	})
}
