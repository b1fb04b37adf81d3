package domain

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
	"postroad/internal/core/coretest"
)

const credentialsPath = "/v3/domains/{domain_name}/credentials"

func TestCredentialOperations(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		create(t, s, "example.com", func(r *CreateRequest) { r.SMTPPassword = "secret" })
		got := mustCall(t, s, "POST", credentialsPath, &createCredentialsIn{Domain: "example.com", Login: []string{"Alice"}})
		want := regexp.MustCompile(`^\{"message":"Created 1 credentials pair\(s\)","note":"Please store your new password\(s\) now. You won't be able to see it anymore.",` +
			`"credentials":\{"alice@example.com":"([0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8})"\}\}$`)
		m := want.FindStringSubmatch(got)
		if m == nil {
			t.Fatal(got)
		}
		opens(t, s, "ALICE@example.com", m[1], true)
		got = mustCall(t, s, "POST", credentialsPath, &createCredentialsIn{Domain: "example.com",
			Mailbox: []string{"bob@Example.com", "carol"}, Password: []string{"bobsecret", "carolsecret"}})
		if got != `{"message":"Created 2 credentials pair(s)"}` {
			t.Error(got)
		}
		opens(t, s, "bob@example.com", "bobsecret", true)
		opens(t, s, "carol@example.com", "bobsecret", false)

		got = mustCall(t, s, "GET", credentialsPath, &listCredentialsIn{Domain: "example.com", Limit: 1, Skip: 1})
		if got != `{"items":[{"mailbox":"alice@example.com","login":"alice@example.com","created_at":"Mon, 24 Feb 2025 22:44:03 +0000","size_bytes":null}],"total_count":4}` {
			t.Error(got)
		}
		got = mustCall(t, s, "PUT", credentialsPath+"/{spec}", &updateCredentialsIn{Domain: "example.com", Spec: "bob", Password: "another"})
		if got != `{"message":"Password changed"}` {
			t.Error(got)
		}
		opens(t, s, "bob@example.com", "another", true)
		opens(t, s, "bob@example.com", "bobsecret", false)
		got = mustCall(t, s, "PUT", "/v3/{domain_name}/mailboxes/{spec}", &updateCredentialsIn{Domain: "example.com", Spec: "bob@example.com"})
		var out credentialsOut
		if err := json.Unmarshal([]byte(got), &out); err != nil || out.Message != "Password changed" || out.Note != passwordNote || len(out.Credentials) != 1 {
			t.Errorf("%s, %v", got, err)
		}
		opens(t, s, "bob@example.com", out.Credentials["bob@example.com"], true)

		got = mustCall(t, s, "DELETE", credentialsPath+"/{spec}", &specIn{"example.com", "bob"})
		if got != `{"message":"Credentials have been deleted","spec":"bob@example.com"}` {
			t.Error(got)
		}
		opens(t, s, "bob@example.com", out.Credentials["bob@example.com"], false)
		got = mustCall(t, s, "DELETE", credentialsPath, &credentialsIn{"example.com"})
		if got != `{"message":"All domain credentials have been deleted","count":3}` {
			t.Error(got)
		}
		opens(t, s, "postmaster@example.com", "secret", false)
	})
}

func opens(t *testing.T, s *Service, login, password string, want bool) {
	t.Helper()
	l, err := s.CheckCredential(context.Background(), login, password)
	if want && (err != nil || l.Domain.Name != "example.com" || l.Name != strings.ToLower(login)) {
		t.Errorf("%s: %+v, %v", login, l, err)
	}
	if !want {
		wantError(t, err, errs.Unauthorized, "Authentication failed")
	}
}

func TestCredentialErrors(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		create(t, s, "example.com", func(r *CreateRequest) { r.SMTPPassword = "secret" })
		post := func(in createCredentialsIn) error {
			in.Domain = "example.com"
			_, err := call(t, s, "POST", credentialsPath, &in)
			return err
		}
		wantError(t, post(createCredentialsIn{}), errs.Invalid, "Parameter 'login' is missing")
		wantError(t, post(createCredentialsIn{Login: []string{"a"}, Password: []string{"1234"}}), errs.Invalid, "Password is too short. It must be between 5 and 32 characters.")
		wantError(t, post(createCredentialsIn{Login: []string{"a@example.org"}}), errs.Invalid, `The login "a@example.org" is not in the domain example.com`)
		wantError(t, post(createCredentialsIn{Login: []string{"a b"}}), errs.Invalid, `The login "a b" is not valid`)
		wantError(t, post(createCredentialsIn{Login: []string{"a\r\nb"}}), errs.Invalid, `The login "a\r\nb" is not valid`)
		wantError(t, post(createCredentialsIn{Login: []string{"Postmaster"}}), errs.Invalid, "Credentials for postmaster@example.com already exist")
		wantError(t, post(createCredentialsIn{Login: strings.Fields(strings.Repeat("a ", 101))}), errs.Invalid, "At most 100 logins can be created at a time")
		_, err := call(t, s, "DELETE", credentialsPath+"/{spec}", &specIn{"example.com", "postmaster"})
		wantError(t, err, errs.Invalid, "Cannot delete system mailbox: postmaster@example.com")
		for _, spec := range []string{"nobody", "nobody@example.org", ""} {
			_, err = call(t, s, "DELETE", credentialsPath+"/{spec}", &specIn{"example.com", spec})
			wantError(t, err, errs.NotFound, "Credentials not found")
		}
		_, err = call(t, s, "PUT", credentialsPath+"/{spec}", &updateCredentialsIn{Domain: "example.com", Spec: "nobody"})
		wantError(t, err, errs.NotFound, "Credentials not found")
		_, err = call(t, s, "GET", credentialsPath, &listCredentialsIn{Domain: "example.com", Limit: 1001})
		wantError(t, err, errs.Invalid, "Limit parameter can't be larger than 1000")
		_, err = call(t, s, "GET", credentialsPath, &listCredentialsIn{Domain: "example.org", Limit: 1})
		wantError(t, err, errs.NotFound, "Domain not found")
	})
}

func TestCheckCredentialRemembers(t *testing.T) {
	c := clock.NewFake(start)
	s := newService(t, coretest.SQLite(t, c), c, Options{})
	create(t, s, "example.com", func(r *CreateRequest) { r.SMTPPassword = "secret" })
	if n := s.creds.verified.Len(); n != 0 {
		t.Fatalf("%d logins remembered", n)
	}
	opens(t, s, "postmaster@example.com", "wrong", false)
	if n := s.creds.verified.Len(); n != 0 {
		t.Errorf("a wrong password is remembered")
	}
	opens(t, s, "postmaster@example.com", "secret", true)
	if n := s.creds.verified.Len(); n != 1 {
		t.Errorf("%d logins remembered, want 1", n)
	}
	for range cap(s.creds.slots) { // from here a hash would wait for ever
		s.creds.slots <- struct{}{}
	}
	opens(t, s, "postmaster@example.com", "secret", true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, login := range []string{"postmaster@example.com", "nobody@example.com"} {
		if _, err := s.CheckCredential(ctx, login, "wrong"); err == nil || errs.Is(err, errs.Unauthorized) {
			t.Errorf("%s: %v; want the login to wait for its turn as any other", login, err)
		}
	}
	c.Advance(5 * time.Minute)
	if _, err := s.CheckCredential(ctx, "postmaster@example.com", "secret"); err == nil {
		t.Error("remembered after five minutes")
	}
}

func TestDevelopmentTakesAnyLogin(t *testing.T) {
	o := Options{Dev: true, DefaultAccount: func(context.Context) (string, error) { return mine, nil }}
	each(t, o, func(t *testing.T, s *Service, _ *clock.Fake) {
		l, err := s.CheckCredential(context.Background(), "App@New.example.com", "x")
		if err != nil || l.Domain.Name != "new.example.com" || l.Name != "app@new.example.com" || l.Domain.AccountID != mine {
			t.Errorf("%+v, %v", l, err)
		}
		if again, err := s.Recheck(context.Background(), l); err != nil || again.Domain.Name != "new.example.com" {
			t.Errorf("%+v, %v", again, err)
		}
		create(t, s, "example.com", func(r *CreateRequest) { r.SMTPPassword = "secret" })
		opens(t, s, "postmaster@example.com", "wrong", false)
		opens(t, s, "user", "x", false)
	})
}

func TestMatches(t *testing.T) {
	c := newCredentials(clock.System{})
	hash, err := c.hash(context.Background(), "secret")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("%q, %v", hash, err)
	}
	if ok, err := matches(hash, "secret"); !ok || err != nil {
		t.Errorf("right password: %v, %v", ok, err)
	}
	if ok, err := matches(hash, "Secret"); ok || err != nil {
		t.Errorf("wrong password: %v, %v", ok, err)
	}
	for _, bad := range []string{"", "secret", "$argon2id$v=19$m=19456,t=2,p=1$$", strings.Replace(hash, "m=19456", "m=99999999", 1),
		strings.Replace(hash, "t=2", "t=0", 1), strings.Replace(hash, "argon2id", "argon2i", 1), strings.Replace(hash, "v=19", "v=16", 1), hash + "$x", hash + "!"} {
		if ok, err := matches(bad, "secret"); ok || err == nil {
			t.Errorf("%q: %v, %v; want an error", bad, ok, err)
		}
	}
}

func TestCheckCredentialAtOnce(t *testing.T) {
	c := clock.NewFake(start)
	s := newService(t, coretest.SQLite(t, c), c, Options{})
	create(t, s, "example.com", func(r *CreateRequest) { r.SMTPPassword = "secret" })
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			_, err := s.CheckCredential(context.Background(), "postmaster@example.com", []string{"secret", fmt.Sprint("no", i)}[i%2])
			if (err == nil) != (i%2 == 0) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func BenchmarkCheckCredential(b *testing.B) {
	s := newService(b, coretest.SQLite(b, clock.System{}), clock.System{}, Options{})
	if _, err := s.Create(context.Background(), mine, CreateRequest{Name: "example.com", SMTPPassword: "secret"}); err != nil {
		b.Fatal(err)
	}
	for name, password := range map[string]string{"remembered": "secret", "wrong": "other"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = s.CheckCredential(context.Background(), "postmaster@example.com", password)
			}
		})
	}
}
