package domain

import (
	"context"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/coretest"
	"postroad/internal/mail/scram"
)

// provable reports whether a client that knows password satisfies v.
func provable(t *testing.T, v scram.Verifier, password string) bool {
	t.Helper()
	own, err := scram.Derive(password, v.Salt, v.Iterations)
	if err != nil {
		t.Fatal(err)
	}
	return own.StoredKey == v.StoredKey
}

func TestSCRAMVerifier(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		ctx := context.Background()
		d := create(t, s, "example.com", func(r *CreateRequest) { r.SMTPPassword = "secret" })
		v, err := s.SCRAMVerifier(ctx, "Postmaster@example.com")
		if err != nil || !provable(t, v, "secret") || v.Iterations < 4096 {
			t.Fatalf("%+v, %v", v, err)
		}
		l, err := s.OpenProved(ctx, "POSTMASTER@example.com", v)
		if err != nil || l.Name != "postmaster@example.com" || l.Domain.ID != d.ID {
			t.Fatalf("%+v, %v", l, err)
		}
		if again, err := s.Recheck(ctx, l); err != nil || again.Domain.ID != d.ID {
			t.Errorf("%+v, %v", again, err)
		}
		// Neither the proof nor the login outlives a change of the password.
		if _, err := s.SetCredentials(ctx, d, []string{"postmaster"}, []string{"another"}, false, true); err != nil {
			t.Fatal(err)
		}
		_, err = s.OpenProved(ctx, "postmaster@example.com", v)
		wantError(t, err, errs.Unauthorized, "Authentication failed")
		_, err = s.Recheck(ctx, l)
		wantError(t, err, errs.Unauthorized, "Authentication failed")
		if v, err = s.SCRAMVerifier(ctx, "postmaster@example.com"); err != nil || !provable(t, v, "another") {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// A login that does not exist, one made before SCRAM and one whose password is
// not ASCII all get a verifier, always the same, that opens nothing.
func TestSCRAMDecoy(t *testing.T) {
	c := clock.NewFake(start)
	store := coretest.SQLite(t, c)
	s, ctx := newService(t, store, c, Options{}), context.Background()
	d := create(t, s, "example.com", func(r *CreateRequest) { r.SMTPPassword = "secret" })
	if _, err := s.SetCredentials(ctx, d, []string{"wide"}, []string{"p\u00e4ssword"}, false, false); err != nil {
		t.Fatal(err)
	}
	opens(t, s, "wide@example.com", "p\u00e4ssword", true)
	err := store.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE credential SET scram = NULL WHERE login = 'postmaster@example.com'")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	restarted := newService(t, store, c, Options{})
	salts := map[string]bool{}
	for _, login := range []string{"nobody@example.com", "postmaster@example.com", "wide@example.com", "nobody@elsewhere"} {
		v, err := s.SCRAMVerifier(ctx, login)
		if err != nil || len(v.Salt) != scramSalt || v.Iterations != scram.Iterations || provable(t, v, "secret") {
			t.Fatalf("%s: %+v, %v", login, v, err)
		}
		if again, err := restarted.SCRAMVerifier(ctx, login); err != nil || string(again.Salt) != string(v.Salt) {
			t.Errorf("%s: the salt changed: %v", login, err)
		}
		salts[string(v.Salt)] = true
		_, err = s.OpenProved(ctx, login, v)
		wantError(t, err, errs.Unauthorized, "Authentication failed")
	}
	if len(salts) != 4 {
		t.Error("logins share a salt")
	}
}

// What is stored is of no use without the master secret, nor in another row.
func TestSCRAMIsSealed(t *testing.T) {
	c := clock.NewFake(start)
	store := coretest.SQLite(t, c)
	s, ctx := newService(t, store, c, Options{}), context.Background()
	d := create(t, s, "example.com")
	if _, err := s.SetCredentials(ctx, d, []string{"a", "b"}, []string{"secret-a", "secret-b"}, false, false); err != nil {
		t.Fatal(err)
	}
	err := store.Write(ctx, func(tx *db.Tx) error {
		var sealed []byte
		if err := tx.QueryRow("SELECT scram FROM credential WHERE login = 'a@example.com'").Scan(&sealed); err != nil {
			return err
		}
		if _, err := scram.Decode(string(sealed)); err == nil {
			t.Error("the verifier is stored in clear")
		}
		_, err := tx.Exec("UPDATE credential SET scram = ? WHERE login = 'b@example.com'", sealed)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := s.SCRAMVerifier(ctx, "b@example.com"); err == nil {
		t.Errorf("another login's verifier opens: %+v", v)
	}
}
