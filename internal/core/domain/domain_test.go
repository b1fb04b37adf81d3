package domain

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/mail/dkim"
)

const (
	mine   = "000000000000000000000001"
	theirs = "000000000000000000000002"
	host   = "mail.postroad.test"
)

var start = time.Date(2025, 2, 24, 22, 44, 3, 0, time.UTC)

// testKeys makes RSA keys and is cheap: small ones, made once, used in turn.
var testKeys = sync.OnceValues(func() ([]*rsa.PrivateKey, error) {
	var out []*rsa.PrivateKey
	for range 6 {
		k, err := dkim.GenerateRSA(1024)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
})

func newService(t testing.TB, d *db.DB, c clock.Clock, o Options) *Service {
	t.Helper()
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	o.Secret = bytes.Repeat([]byte{1}, 32)
	o.Hostname = host
	if o.GenerateKey == nil {
		o.GenerateKey = func(int) (*rsa.PrivateKey, error) { return keys[int(n.Add(1))%len(keys)], nil }
	}
	s, err := New(d, ids.NewSource(c), c, slog.New(slog.DiscardHandler), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// each runs fn on both engines with an empty service.
func each(t *testing.T, o Options, fn func(t *testing.T, s *Service, c *clock.Fake)) {
	t.Helper()
	c := clock.NewFake(start)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) { fn(t, newService(t, d, c, o), c) })
}

func resolver(t testing.TB, z *dnstest.Zone) dnsx.Resolver {
	t.Helper()
	r, err := dnsx.New(dnsx.Config{Servers: []string{z.Start(t)}, CacheSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func create(t *testing.T, s *Service, name string, change ...func(*CreateRequest)) *Domain {
	t.Helper()
	r := CreateRequest{Name: name}
	for _, f := range change {
		f(&r)
	}
	d, err := s.Create(context.Background(), mine, r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantError(t *testing.T, err error, kind errs.Kind, text string) {
	t.Helper()
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Public != text {
		t.Errorf("error %v (kind %v), want kind %v %q", err, errs.KindOf(err), kind, text)
	}
}

// as returns a context with a caller of the account.
func as(accountID string) context.Context {
	return account.With(context.Background(), &account.Caller{AccountID: accountID, Role: account.Admin})
}

// call runs an operation as the account mine and returns its answer as JSON.
func call(t *testing.T, s *Service, method, path string, in any) (string, error) {
	t.Helper()
	ctx := op.WithRequest(as(mine), &op.Request{BaseURL: "http://api.test"})
	for _, o := range s.Ops() {
		if o.Method == method && o.Path == path {
			out, err := o.Call(ctx, in)
			if err != nil {
				return "", err
			}
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			if err := e.Encode(out); err != nil {
				t.Fatal(err)
			}
			return strings.TrimSuffix(b.String(), "\n"), nil
		}
	}
	t.Fatalf("no operation %s %s", method, path)
	return "", nil
}

func mustCall(t *testing.T, s *Service, method, path string, in any) string {
	t.Helper()
	out, err := call(t, s, method, path, in)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return out
}

func ptr[T any](v T) *T { return &v }

var publicKey = regexp.MustCompile(`p=[A-Za-z0-9+/=]+`)

func TestCreateAnswer(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		got := mustCall(t, s, "POST", "/v4/domains", &createDomainIn{Name: "Example.COM"})
		got = publicKey.ReplaceAllString(got, "p=K")
		got = regexp.MustCompile(`"id":"[0-9a-f]{24}"`).ReplaceAllString(got, `"id":"ID"`)
		want := `{"message":"Domain DNS records have been created","domain":{"created_at":"Mon, 24 Feb 2025 22:44:03 GMT","id":"ID","is_disabled":false,` +
			`"name":"example.com","require_tls":false,"skip_verification":false,"smtp_login":"postmaster@example.com","spam_action":"disabled",` +
			`"state":"unverified","type":"custom","use_automatic_sender_security":false,"web_prefix":"email","web_scheme":"http","wildcard":false,` +
			`"encrypt_incoming_message":false,"message_ttl":259200},` +
			`"receiving_dns_records":[{"is_active":true,"cached":[],"priority":"10","record_type":"MX","valid":"unknown","value":"mail.postroad.test"}],` +
			`"sending_dns_records":[` +
			`{"is_active":false,"cached":[],"name":"postroad._domainkey.example.com","record_type":"TXT","valid":"unknown","value":"k=rsa; p=K"},` +
			`{"is_active":true,"cached":[],"name":"example.com","record_type":"TXT","valid":"unknown","value":"v=spf1 a:mail.postroad.test ~all"},` +
			`{"is_active":true,"cached":[],"name":"email.example.com","record_type":"CNAME","valid":"unknown","value":"mail.postroad.test"}]}`
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		_, err := call(t, s, "POST", "/v4/domains", &createDomainIn{Name: "example.com"})
		wantError(t, err, errs.Invalid, "This domain name is already taken")
		if got := mustCall(t, s, "POST", "/v3/domains", &createDomainIn{Name: "example.org"}); !strings.HasPrefix(got, `{"message":"Domain has been created",`) {
			t.Errorf("v3: %s", got)
		}
	})
}

func TestCreateAtOnce(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		var made atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				_, err := s.Create(context.Background(), mine, CreateRequest{Name: "example.com"})
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, errTaken) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 {
			t.Errorf("%d creations succeeded, want 1", made.Load())
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*CreateRequest)
		text   string
	}{
		{"short password", func(r *CreateRequest) { r.SMTPPassword = "1234" }, "Password is too short. It must be between 5 and 32 characters."},
		{"long password", func(r *CreateRequest) { r.SMTPPassword = strings.Repeat("x", 33) }, "Password is too long. It must be between 5 and 32 characters."},
		{"spam action", func(r *CreateRequest) { r.SpamAction = "eat" }, "spam_action must be one of disabled, block, tag"},
		{"scheme", func(r *CreateRequest) { r.WebScheme = "ftp" }, "web_scheme must be http or https"},
		{"prefix", func(r *CreateRequest) { r.WebPrefix = "a.b" }, "web_prefix must be a valid atom"},
		{"selector", func(r *CreateRequest) { r.DKIMSelector = "foo.bar" }, "dkim_selector must be a valid atom"},
		{"reserved selector", func(r *CreateRequest) { r.DKIMSelector = "pdk1" }, "the selectors pdk1 and pdk2 are for automatic sender security"},
		{"key size", func(r *CreateRequest) { r.DKIMKeySize = "512" }, "DKIM key size must be either 1024 or 2048"},
		{"ttl", func(r *CreateRequest) { r.MessageTTL = -1 }, "message_ttl must be between 1 and 315360000 seconds"},
		{"archive", func(r *CreateRequest) { r.ArchiveTo = "file:///etc/passwd" }, "archive_to must be an http or https URL"},
		{"archive with a password", func(r *CreateRequest) { r.ArchiveTo = "https://u:p@example.com/" }, "archive_to must be an http or https URL"},
		{"mail from", func(r *CreateRequest) { r.MailFromHost = "Bounce.example.com" }, "mailfrom_host must be a host name in lower case"},
		{"address", func(r *CreateRequest) { r.IPs = []string{"1.2.3"} }, `ips: "1.2.3" is not an address`},
		{"two hosts", func(r *CreateRequest) { r.DKIMHostName, r.ForceDKIMAuthority = "example.com", true },
			"dkim_host_name cannot be used together with force_dkim_authority or force_root_dkim_host"},
		{"foreign host", func(r *CreateRequest) { r.DKIMHostName = "example.org" },
			"dkim_host_name must be the domain, a subdomain of it, or its root domain"},
	}
	c := clock.NewFake(start)
	s := newService(t, coretest.SQLite(t, c), c, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := CreateRequest{Name: "mg.example.com"}
			tt.change(&r)
			_, err := s.Create(context.Background(), mine, r)
			wantError(t, err, errs.Invalid, tt.text)
		})
	}
	if _, err := s.ByName(context.Background(), "mg.example.com"); !errs.Is(err, errs.NotFound) {
		t.Errorf("a refused domain was stored: %v", err)
	}
}

func TestOwned(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		create(t, s, "example.com")
		tests := []struct {
			name   string
			caller account.Caller
			domain string
			ok     bool
		}{
			{"own", account.Caller{AccountID: mine}, "example.com", true},
			{"in capitals", account.Caller{AccountID: mine}, "EXAMPLE.com.", true},
			{"sending key", account.Caller{AccountID: mine, Domain: "example.com"}, "example.com", true},
			{"sending key of another domain", account.Caller{AccountID: mine, Domain: "example.org"}, "example.com", false},
			{"other account", account.Caller{AccountID: theirs}, "example.com", false},
			{"nobody", account.Caller{}, "example.com", false},
			{"unknown", account.Caller{AccountID: mine}, "example.org", false},
			{"no name", account.Caller{AccountID: mine}, "not a name", false},
		}
		for _, tt := range tests {
			d, err := s.Owned(context.Background(), &tt.caller, tt.domain)
			if tt.ok {
				if err != nil || d.Name != "example.com" {
					t.Errorf("%s: %v, %v", tt.name, d, err)
				}
				continue
			}
			wantError(t, err, errs.NotFound, "Domain not found")
		}
	})
}

func TestEnsure(t *testing.T) {
	ctx := context.Background()
	each(t, Options{Dev: true}, func(t *testing.T, s *Service, _ *clock.Fake) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if d, err := s.Ensure(ctx, mine, "Whatever"); err != nil || d.State != Active || d.Name != "whatever" {
					t.Errorf("%+v, %v", d, err)
				}
			})
		}
		wg.Wait()
		_, err := s.Ensure(ctx, theirs, "whatever")
		wantError(t, err, errs.NotFound, "Domain not found")
		if _, err := s.Ensure(ctx, mine, "127.0.0.1"); !errs.Is(err, errs.Invalid) {
			t.Errorf("an address became a domain: %v", err)
		}
	})
	c := clock.NewFake(start)
	s := newService(t, coretest.SQLite(t, c), c, Options{})
	_, err := s.Ensure(ctx, mine, "example.com")
	wantError(t, err, errs.NotFound, "Domain not found")
}

func TestSandbox(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		d, err := s.EnsureSandbox(context.Background(), mine)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^sandbox[0-9a-f]{32}\.mail\.postroad\.test$`).MatchString(d.Name) || d.Type != Sandbox || d.State != Active {
			t.Errorf("sandbox %+v", d)
		}
		again, err := s.EnsureSandbox(context.Background(), mine)
		if err != nil || again.ID != d.ID {
			t.Errorf("the second call made %v, %v", again, err)
		}
		other, err := s.EnsureSandbox(context.Background(), theirs)
		if err != nil || other.Name == d.Name {
			t.Errorf("another account has %v, %v", other, err)
		}
	})
}

func TestCacheSeesChanges(t *testing.T) {
	ctx := context.Background()
	each(t, Options{}, func(t *testing.T, s *Service, c *clock.Fake) {
		d := create(t, s, "example.com")
		other := newService(t, s.db, c, Options{})
		for _, n := range []*Service{s, other} {
			if _, err := n.ByName(ctx, d.Name); err != nil {
				t.Fatal(err)
			}
			if _, err := n.ByID(ctx, d.ID); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Update(ctx, d, UpdateRequest{RequireTLS: ptr(true)}); err != nil {
			t.Fatal(err)
		}
		state := func(n *Service) [2]bool {
			a, err := n.ByName(ctx, d.Name)
			if err != nil {
				t.Fatal(err)
			}
			b, err := n.ByID(ctx, d.ID)
			if err != nil {
				t.Fatal(err)
			}
			return [2]bool{a.Settings.RequireTLS, b.Settings.RequireTLS}
		}
		if got := state(s); got != [2]bool{true, true} {
			t.Errorf("this node sees %v at once", got)
		}
		if got := state(other); got != [2]bool{false, false} {
			t.Errorf("the other node sees %v: its cache is not used", got)
		}
		c.Advance(10 * time.Second)
		if got := state(other); got != [2]bool{true, true} {
			t.Errorf("the other node sees %v after the cache's time", got)
		}
		if d.Settings.RequireTLS {
			t.Error("a domain that was handed out changed")
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = s.ByName(ctx, "example.com") }); n != 0 {
			t.Errorf("ByName allocates %v times on a hit", n)
		}
	})
}

func TestUpdateAtOnce(t *testing.T) {
	ctx := context.Background()
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		d := create(t, s, "example.com")
		changes := []UpdateRequest{{RequireTLS: ptr(true)}, {Wildcard: ptr(true)}, {SkipVerification: ptr(true)},
			{WebScheme: ptr("https")}, {SpamAction: ptr("tag")}, {MessageTTL: ptr(int64(60))}, {ArchiveTo: ptr("https://example.com/a")}}
		var wg sync.WaitGroup
		for _, r := range changes {
			wg.Go(func() {
				if _, err := s.Update(ctx, d, r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		d, err := s.ByID(ctx, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := defaultSettings("example.com")
		want.RequireTLS, want.Wildcard, want.SkipVerification = true, true, true
		want.WebScheme, want.SpamAction, want.MessageTTL, want.ArchiveTo = "https", "tag", 60, "https://example.com/a"
		if diff := cmp.Diff(want, d.Settings); diff != "" {
			t.Errorf("a change was lost (-want +got):\n%s", diff)
		}
	})
}

func TestDelete(t *testing.T) {
	ctx := context.Background()
	var deleted []string
	o := Options{OnDelete: func(_ *db.Tx, d *Domain) error { deleted = append(deleted, d.Name); return nil }}
	each(t, o, func(t *testing.T, s *Service, _ *clock.Fake) {
		deleted = nil
		create(t, s, "example.com", func(r *CreateRequest) { r.SMTPPassword = "secret" })
		child := create(t, s, "mg.example.com")
		if child.Authority != "example.com" {
			t.Fatalf("authority %q", child.Authority)
		}
		if got := mustCall(t, s, "DELETE", "/v3/domains/{name}", &domainIn{"example.com"}); got != `{"message":"Domain will be deleted in the background"}` {
			t.Error(got)
		}
		_, err := call(t, s, "DELETE", "/v4/domains/{name}", &domainIn{"example.com"})
		wantError(t, err, errs.NotFound, "Domain not found")
		if _, err := s.CheckCredential(ctx, "postmaster@example.com", "secret"); !errs.Is(err, errs.Unauthorized) {
			t.Errorf("the login of a deleted domain opens: %v", err)
		}
		child, err = s.ByName(ctx, "mg.example.com")
		if err != nil || child.Authority != "mg.example.com" {
			t.Errorf("authority of the child: %+v, %v", child, err)
		}
		keys, err := s.Signers(ctx, child.ID)
		if err != nil || len(keys) != 1 || keys[0].Domain != "mg.example.com" {
			t.Errorf("signers of the child: %+v, %v", keys, err)
		}
		if len(deleted) != 1 || deleted[0] != "example.com" {
			t.Errorf("OnDelete saw %v", deleted)
		}
		create(t, s, "example.com") // the name is free again
	})
}

func TestList(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, c *clock.Fake) {
		for _, n := range []string{"b.test.com", "a.test.com", "c.example.org", "100%.example.net"} {
			c.Advance(time.Second)
			if strings.Contains(n, "%") {
				n = "x100.example.net"
			}
			create(t, s, n)
		}
		if _, err := s.Create(context.Background(), theirs, CreateRequest{Name: "theirs.com"}); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			name  string
			in    listDomainsIn
			total int
			want  string
		}{
			{"newest first", listDomainsIn{}, 4, "x100.example.net c.example.org a.test.com b.test.com"},
			{"by name", listDomainsIn{Sort: "name"}, 4, "a.test.com b.test.com c.example.org x100.example.net"},
			{"descending", listDomainsIn{Sort: "name:desc"}, 4, "x100.example.net c.example.org b.test.com a.test.com"},
			{"page", listDomainsIn{Sort: "name:asc", Limit: 2, Skip: 1}, 4, "b.test.com c.example.org"},
			{"search", listDomainsIn{Search: "TEST.", Sort: "name"}, 2, "a.test.com b.test.com"},
			{"no wildcards", listDomainsIn{Search: "%"}, 0, ""},
			{"no wildcards", listDomainsIn{Search: "_"}, 0, ""},
			{"state", listDomainsIn{State: "active"}, 0, ""},
			{"authority", listDomainsIn{Authority: "A.test.com"}, 1, "a.test.com"},
			{"state wins over authority", listDomainsIn{State: "unverified", Authority: "a.test.com", Sort: "name"}, 4, "a.test.com b.test.com c.example.org x100.example.net"},
		}
		for _, tt := range tests {
			if tt.in.Limit == 0 {
				tt.in.Limit = 100
			}
			out, err := s.listDomains(as(mine), &tt.in)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			var names []string
			for _, v := range out.Items {
				names = append(names, v.Name)
			}
			if got := strings.Join(names, " "); got != tt.want || out.TotalCount != tt.total {
				t.Errorf("%s: %d %q, want %d %q", tt.name, out.TotalCount, got, tt.total, tt.want)
			}
		}
		for text, in := range map[string]listDomainsIn{
			"Limit parameter can't be larger than 1000":         {Limit: 1001},
			"Limit parameter must be a positive number":         {Limit: 0},
			"Skip parameter can't be negative":                  {Limit: 1, Skip: -1},
			"sort must be one of name, name:asc, name:desc":     {Limit: 1, Sort: "id"},
			"state must be one of active, unverified, disabled": {Limit: 1, State: "x"},
		} {
			_, err := s.listDomains(as(mine), &in)
			wantError(t, err, errs.Invalid, text)
		}
		out, err := s.listDomains(as(mine), &listDomainsIn{Limit: 1, WithDNS: true, Extended: true})
		if err != nil || len(out.Items[0].Sending) != 3 || out.Items[0].DKIMHost != "x100.example.net" {
			t.Errorf("with DNS records: %+v, %v", out, err)
		}
	})
}
