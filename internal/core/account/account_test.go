package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/core/coretest"
)

var start = time.Date(2026, 1, 23, 10, 16, 0, 0, time.UTC)

func newService(t testing.TB, d *db.DB, c clock.Clock, o Options) *Service {
	t.Helper()
	o.Secret = bytes.Repeat([]byte{1}, 32)
	s, err := New(d, ids.NewSource(c), c, slog.New(slog.DiscardHandler), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// each runs fn on both engines with a bootstrapped service; key is the
// administrator's.
func each(t *testing.T, o Options, fn func(t *testing.T, s *Service, c *clock.Fake, key string)) {
	t.Helper()
	c := clock.NewFake(start)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		s := newService(t, d, c, o)
		key, err := s.Bootstrap(context.Background(), "")
		if err != nil {
			t.Fatal(err)
		}
		fn(t, s, c, key)
	})
}

func admin(t *testing.T, s *Service, key string) (context.Context, *Caller) {
	t.Helper()
	caller, err := s.Authenticate(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return With(context.Background(), caller), caller
}

func wantError(t *testing.T, err error, kind errs.Kind, text string) {
	t.Helper()
	var e *errs.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Public != text {
		t.Errorf("error %v (kind %v), want kind %v %q", err, errs.KindOf(err), kind, text)
	}
}

func TestBootstrap(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake, key string) {
		ctx := context.Background()
		if !regexp.MustCompile(`^key-[0-9a-f]{32}$`).MatchString(key) {
			t.Fatalf("generated key %q", key)
		}
		_, caller := admin(t, s, key)
		if caller.Role != Admin || caller.KeyTail != key[len(key)-4:] || len(caller.AccountID) != 24 {
			t.Errorf("caller %+v", caller)
		}
		if shown, err := s.Bootstrap(ctx, ""); err != nil || shown != "" {
			t.Errorf("second Bootstrap: %q, %v; want no new key", shown, err)
		}
		if shown, err := s.Bootstrap(ctx, "key-of-the-operator"); err != nil || shown != "" {
			t.Errorf("Bootstrap with a key: %q, %v", shown, err)
		}
		_, other := admin(t, s, "key-of-the-operator")
		if other.AccountID != caller.AccountID {
			t.Error("the given key belongs to another account")
		}
		if a, err := s.Account(ctx, caller.AccountID); err != nil || !a.CreatedAt.Equal(start) {
			t.Errorf("account %+v, %v", a, err)
		}
		if id, err := s.First(ctx); err != nil || id != caller.AccountID {
			t.Errorf("First = %q, %v", id, err)
		}
		_, err := s.Account(ctx, "none")
		wantError(t, err, errs.NotFound, "account not found")
	})
}

func TestBootstrapTwoNodes(t *testing.T) {
	coretest.Each(t, clock.System{}, func(t *testing.T, d *db.DB) {
		var wg sync.WaitGroup
		for range 4 {
			s := newService(t, d, clock.System{}, Options{})
			wg.Go(func() {
				if _, err := s.Bootstrap(context.Background(), ""); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var n int
		if err := d.Read(context.Background(), func(tx *db.Tx) error {
			return tx.QueryRow("SELECT COUNT(*) FROM account").Scan(&n)
		}); err != nil || n != 1 {
			t.Errorf("%d accounts, %v; want 1", n, err)
		}
	})
}

func TestAuthenticateRefuses(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake, key string) {
		for _, secret := range []string{"", "x", key[:len(key)-1], key + "0", strings.ToUpper(key), strings.Repeat("a", 200)} {
			_, err := s.Authenticate(context.Background(), secret)
			wantError(t, err, errs.Unauthorized, "Forbidden")
		}
	})
}

func TestKeyExpires(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, c *clock.Fake, key string) {
		ctx, caller := admin(t, s, key)
		minute := int64(60)
		k, secret, err := s.CreateKey(ctx, caller.AccountID, KeyRequest{Role: Basic, Lifetime: &minute})
		if err != nil {
			t.Fatal(err)
		}
		if k.ExpiresAt != c.Now().Add(time.Minute).UnixMicro() {
			t.Errorf("expires at %d", k.ExpiresAt)
		}
		for range 5 { // stays in the cache all the time
			c.Advance(10*time.Second + time.Millisecond)
			if _, err := s.Authenticate(ctx, secret); err != nil {
				t.Fatalf("before it expires: %v", err)
			}
		}
		c.Advance(9 * time.Second)
		if _, err := s.Authenticate(ctx, secret); err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Second)
		_, err = s.Authenticate(ctx, secret)
		wantError(t, err, errs.Unauthorized, "Forbidden")
	})
}

func TestDeletedKeyIsRefusedAtOnce(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, c *clock.Fake, key string) {
		ctx, caller := admin(t, s, key)
		k, secret, err := s.CreateKey(ctx, caller.AccountID, KeyRequest{Role: Developer})
		if err != nil {
			t.Fatal(err)
		}
		other := newService(t, s.db, c, Options{}) // another node
		for _, n := range []*Service{s, other} {
			if _, err := n.Authenticate(ctx, secret); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.DeleteKey(ctx, caller.AccountID, k.ID); err != nil {
			t.Fatal(err)
		}
		_, err = s.Authenticate(ctx, secret)
		wantError(t, err, errs.Unauthorized, "Forbidden")
		if _, err := other.Authenticate(ctx, secret); err != nil {
			t.Error("the other node looked it up again: the cache is not used")
		}
		c.Advance(10 * time.Second)
		_, err = other.Authenticate(ctx, secret)
		wantError(t, err, errs.Unauthorized, "Forbidden")
		wantError(t, s.DeleteKey(ctx, caller.AccountID, k.ID), errs.NotFound, "no key matching id")
		wantError(t, s.DeleteKey(ctx, "another account", caller.KeyID), errs.NotFound, "no key matching id")
	})
}

func TestDevelopmentTakesAnyKey(t *testing.T) {
	each(t, Options{Dev: true}, func(t *testing.T, s *Service, c *clock.Fake, key string) {
		ctx, first := admin(t, s, key)
		_, caller := admin(t, s, "whatever-a-client-sends")
		if caller.AccountID != first.AccountID || caller.Role != Admin {
			t.Errorf("caller %+v", caller)
		}
		_, again := admin(t, s, "whatever-a-client-sends")
		if again.KeyID != caller.KeyID {
			t.Error("the second use made another key")
		}
		_, err := s.Authenticate(ctx, "")
		wantError(t, err, errs.Unauthorized, "Forbidden")
		strict := newService(t, s.db, c, Options{Dev: true, Strict: true})
		_, err = strict.Authenticate(ctx, "another-one")
		wantError(t, err, errs.Unauthorized, "Forbidden")
	})
}

func TestDisabledKey(t *testing.T) {
	each(t, Options{Dev: true}, func(t *testing.T, s *Service, _ *clock.Fake, key string) {
		_, caller := admin(t, s, key)
		if err := s.db.Write(context.Background(), func(tx *db.Tx) error {
			_, err := tx.Exec("UPDATE api_key SET disabled = 1 WHERE id = ?", caller.KeyID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		s.keys.Clear()
		_, err := s.Authenticate(context.Background(), key)
		wantError(t, err, errs.Unauthorized, "Forbidden")
		shown, err := s.Bootstrap(context.Background(), "")
		if err != nil || shown == "" {
			t.Fatalf("no administrator key works, yet Bootstrap made none: %v", err)
		}
		if _, err := s.Bootstrap(context.Background(), key); err != nil {
			t.Fatal(err)
		}
		admin(t, s, key) // enabled again
	})
}

func TestCreateKeyRules(t *testing.T) {
	num := func(n int64) *int64 { return &n }
	owned := func(_ context.Context, _, name string) (bool, error) { return name == "example.com", nil }
	const (
		kind   = "expected `kind` param to be one of [domain user web] or absent"
		role   = "expected `role` param to be one of [admin basic sending developer support]"
		pair   = "the role `sending` is for keys of kind `domain`, which have no other role"
		domain = "`domain_name` is required for keys of kind `domain` and for no others"
		life   = "`expiration` must be greater than 0 and at most 3153600000 seconds"
		web    = "`expiration` of a key of kind `web` is at most 86400 seconds"
	)
	tests := []struct {
		name string
		r    KeyRequest
		kind errs.Kind
		text string // "" for no error
	}{
		{"plain", KeyRequest{Role: Admin}, 0, ""},
		{"analyst", KeyRequest{Role: "analyst"}, 0, ""},
		{"support", KeyRequest{Role: Support, Kind: KindUser}, 0, ""},
		{"web", KeyRequest{Role: Basic, Kind: KindWeb}, 0, ""},
		{"domain", KeyRequest{Role: Sending, Kind: KindDomain, Domain: "Example.COM"}, 0, ""},
		{"kind", KeyRequest{Role: Admin, Kind: "robot"}, errs.Invalid, kind},
		{"public", KeyRequest{Role: Admin, Kind: KindPublic}, errs.Invalid, kind},
		{"role", KeyRequest{Role: "root"}, errs.Invalid, role},
		{"no role", KeyRequest{}, errs.Invalid, role},
		{"sending user", KeyRequest{Role: Sending}, errs.Invalid, pair},
		{"admin of a domain", KeyRequest{Role: Admin, Kind: KindDomain, Domain: "example.com"}, errs.Invalid, pair},
		{"no domain", KeyRequest{Role: Sending, Kind: KindDomain}, errs.Invalid, domain},
		{"domain of a user key", KeyRequest{Role: Admin, Domain: "example.com"}, errs.Invalid, domain},
		{"foreign domain", KeyRequest{Role: Sending, Kind: KindDomain, Domain: "example.org"}, errs.NotFound, "Domain not found"},
		{"zero", KeyRequest{Role: Admin, Lifetime: num(0)}, errs.Invalid, life},
		{"negative", KeyRequest{Role: Admin, Lifetime: num(-1)}, errs.Invalid, life},
		{"for ever and a day", KeyRequest{Role: Admin, Lifetime: num(1 << 62)}, errs.Invalid, life},
		{"long web", KeyRequest{Role: Admin, Kind: KindWeb, Lifetime: num(86401)}, errs.Invalid, web},
		{"long text", KeyRequest{Role: Admin, Description: strings.Repeat("x", 1025)}, errs.Invalid, "a text of a key has more than 1024 bytes"},
	}
	each(t, Options{OwnsDomain: owned}, func(t *testing.T, s *Service, c *clock.Fake, key string) {
		ctx, caller := admin(t, s, key)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				k, secret, err := s.CreateKey(ctx, caller.AccountID, tt.r)
				if tt.text != "" {
					wantError(t, err, tt.kind, tt.text)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasSuffix(secret, "-"+k.ID) || len(secret) != 50 {
					t.Errorf("secret %q of key %q", secret, k.ID)
				}
				if k.Kind == KindWeb && k.ExpiresAt != c.Now().Add(24*time.Hour).UnixMicro() {
					t.Errorf("a web key expires at %d", k.ExpiresAt)
				}
				got, err := s.Authenticate(ctx, secret)
				if err != nil || got.Role != k.Role || got.Domain != strings.ToLower(tt.r.Domain) {
					t.Errorf("caller %+v, %v", got, err)
				}
			})
		}
	})
}

func TestKeyLimit(t *testing.T) {
	each(t, Options{MaxKeys: 2}, func(t *testing.T, s *Service, c *clock.Fake, key string) {
		ctx, caller := admin(t, s, key)
		second := int64(1)
		if _, _, err := s.CreateKey(ctx, caller.AccountID, KeyRequest{Role: Basic, Lifetime: &second}); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.CreateKey(ctx, caller.AccountID, KeyRequest{Role: Basic})
		wantError(t, err, errs.Forbidden, "could not create key, account limit reached")
		c.Advance(time.Second)
		if _, _, err := s.CreateKey(ctx, caller.AccountID, KeyRequest{Role: Basic}); err != nil {
			t.Errorf("an expired key counts: %v", err)
		}
	})
}

func TestRevokeDomain(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake, key string) {
		ctx, caller := admin(t, s, key)
		_, secret, err := s.CreateKey(ctx, caller.AccountID, KeyRequest{Role: Sending, Kind: KindDomain, Domain: "example.com"})
		if err != nil {
			t.Fatal(err)
		}
		admin(t, s, secret)
		if err := s.db.Write(ctx, func(tx *db.Tx) error { return s.RevokeDomain(tx, "example.com") }); err != nil {
			t.Fatal(err)
		}
		_, err = s.Authenticate(ctx, secret)
		wantError(t, err, errs.Unauthorized, "Forbidden")
		admin(t, s, key)
	})
}

func TestSigningKey(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, c *clock.Fake, key string) {
		ctx, caller := admin(t, s, key)
		first, err := s.SigningKey(ctx, caller.AccountID)
		if err != nil || !regexp.MustCompile(`^key-[0-9a-f]{32}$`).MatchString(first) {
			t.Fatalf("signing key %q, %v", first, err)
		}
		var stored string
		if err := s.db.Read(ctx, func(tx *db.Tx) error {
			return tx.QueryRow("SELECT signing_key FROM account").Scan(&stored)
		}); err != nil || strings.Contains(stored, first) {
			t.Errorf("stored as %q, %v", stored, err)
		}
		other := newService(t, s.db, c, Options{})
		if k, err := other.SigningKey(ctx, caller.AccountID); err != nil || k != first {
			t.Errorf("another node reads %q, %v", k, err)
		}
		second, err := s.RotateSigningKey(ctx, caller.AccountID)
		if err != nil || second == first {
			t.Fatalf("rotated to %q, %v", second, err)
		}
		if k, _ := s.SigningKey(ctx, caller.AccountID); k != second {
			t.Error("the old key is still handed out")
		}
		c.Advance(10 * time.Second)
		if k, _ := other.SigningKey(ctx, caller.AccountID); k != second {
			t.Error("the other node hands out the old key after the cache's time")
		}
		_, err = s.SigningKey(ctx, "none")
		wantError(t, err, errs.NotFound, "account not found")
		_, err = s.RotateSigningKey(ctx, "none")
		wantError(t, err, errs.NotFound, "account not found")
	})
}

func TestWrongMasterSecret(t *testing.T) {
	c := clock.NewFake(start)
	s := newService(t, coretest.SQLite(t, c), c, Options{})
	key, err := s.Bootstrap(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, caller := admin(t, s, key)
	o, err := New(s.db, s.ids, c, s.log, Options{Secret: bytes.Repeat([]byte{2}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	if k, err := o.SigningKey(context.Background(), caller.AccountID); err == nil {
		t.Errorf("opened as %q with another master secret", k)
	}
	if _, err := New(s.db, s.ids, c, s.log, Options{Secret: []byte("short")}); err == nil {
		t.Error("a short master secret was taken")
	}
}

// call runs an operation by method and path and returns its answer as JSON.
func call(t *testing.T, ctx context.Context, ops []op.Op, method, path string, in any) (string, error) {
	t.Helper()
	for _, o := range ops {
		if o.Method == method && o.Path == path {
			out, err := o.Call(ctx, in)
			if err != nil {
				return "", err
			}
			text, err := json.Marshal(out)
			if err != nil {
				t.Fatal(err)
			}
			return string(text), nil
		}
	}
	t.Fatalf("no operation %s %s", method, path)
	return "", nil
}

func TestOperations(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake, key string) {
		ctx, caller := admin(t, s, key)
		ops := s.Ops()
		hour := int64(3600)
		got, err := call(t, ctx, ops, "POST", "/v1/keys", &createKeyIn{Role: "basic", Kind: "user", Description: "d",
			Email: "jane@example.com", UserName: "Jane", Expiration: &hour})
		if err != nil {
			t.Fatal(err)
		}
		want := regexp.MustCompile(`^\{"message":"great success","key":\{"id":"([0-9a-f]{8}-[0-9a-f]{8})","description":"d","kind":"user","role":"basic",` +
			`"created_at":"2026-01-23T10:16:00","updated_at":"2026-01-23T10:16:00","expires_at":"2026-01-23T11:16:00","is_disabled":false,` +
			`"domain_name":null,"requestor":"jane@example.com","user_name":"Jane","secret":"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}"\}\}$`)
		m := want.FindStringSubmatch(got)
		if m == nil {
			t.Fatalf("POST /v1/keys: %s", got)
		}
		got, err = call(t, ctx, ops, "GET", "/v1/keys", &listKeysIn{Kind: "user"})
		if err != nil || !strings.HasPrefix(got, `{"total_count":2,"items":[{`) || strings.Contains(got, "secret") || !strings.Contains(got, m[1]) {
			t.Errorf("GET /v1/keys: %s, %v", got, err)
		}
		_, err = call(t, ctx, ops, "GET", "/v1/keys", &listKeysIn{Kind: "x"})
		wantError(t, err, errs.Invalid, "expected `kind` param to be one of [domain user web] or absent")
		got, err = call(t, ctx, ops, "GET", "/v1/keys", &listKeysIn{DomainName: "example.com"})
		if err != nil || got != `{"total_count":0,"items":[]}` {
			t.Errorf("keys of a domain: %s, %v", got, err)
		}
		got, err = call(t, ctx, ops, "DELETE", "/v1/keys/{key_id}", &deleteKeyIn{KeyID: m[1]})
		if err != nil || got != `{"message":"key deleted"}` {
			t.Errorf("DELETE: %s, %v", got, err)
		}
		signing, _ := s.SigningKey(ctx, caller.AccountID)
		got, err = call(t, ctx, ops, "GET", "/v5/accounts/http_signing_key", &op.Empty{})
		if err != nil || got != `{"http_signing_key":"`+signing+`"}` {
			t.Errorf("signing key: %s, %v", got, err)
		}
		got, err = call(t, ctx, ops, "POST", "/v5/accounts/http_signing_key", &op.Empty{})
		if err != nil || !strings.HasPrefix(got, `{"message":"regenerated HTTP signing key for account","http_signing_key":"key-`) {
			t.Errorf("regenerated signing key: %s, %v", got, err)
		}
	})
}

func TestPublicKey(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake, key string) {
		ctx, caller := admin(t, s, key)
		got, err := call(t, ctx, s.Ops(), "POST", "/v1/keys/public", &op.Empty{})
		want := regexp.MustCompile(`^\{"key":"(pubkey-[0-9a-f]{32})","message":"The public API key has been successfully regenerated."\}$`)
		m := want.FindStringSubmatch(got)
		if err != nil || m == nil {
			t.Fatalf("%s, %v", got, err)
		}
		_, public := admin(t, s, m[1])
		for _, a := range []op.Access{op.Read, op.Write, op.Send} {
			if Authorize(public, op.Messages, a, "") == nil {
				t.Errorf("the public key may do %v", a)
			}
		}
		if list, _ := s.Keys(ctx, caller.AccountID, "", ""); len(list) != 1 {
			t.Errorf("%d keys listed, want the administrator's only", len(list))
		}
		if _, err := s.RegeneratePublicKey(ctx, caller.AccountID); err != nil {
			t.Fatal(err)
		}
		_, err = s.Authenticate(ctx, m[1])
		wantError(t, err, errs.Unauthorized, "Forbidden")
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	s := newService(b, coretest.SQLite(b, clock.System{}), clock.System{}, Options{})
	key, err := s.Bootstrap(context.Background(), "")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Authenticate(context.Background(), key); err != nil {
			b.Fatal(err)
		}
	}
}
