package domain

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/coretest"
	"postroad/internal/mail/dkim"
)

func selectors(t *testing.T, s *Service, d *Domain) string {
	t.Helper()
	keys, err := s.Signers(context.Background(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, k := range keys {
		out = append(out, k.Selector+"@"+k.Domain)
	}
	return strings.Join(out, " ")
}

func TestSignersSign(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, c *clock.Fake) {
		d := create(t, s, "example.com")
		other := newService(t, s.db, c, Options{})
		for _, n := range []*Service{s, other} {
			keys, err := n.Signers(context.Background(), d.ID)
			if err != nil || len(keys) != 1 || keys[0].Selector != DefaultSelector || keys[0].Domain != "example.com" {
				t.Fatalf("signers %+v, %v", keys, err)
			}
			_, sending, err := n.DNSRecords(context.Background(), d)
			if err != nil {
				t.Fatal(err)
			}
			rec, err := dkim.ParseRecord(sending[0].Value)
			if err != nil || !rec.Publishes(keys[0].Signer.Public()) {
				t.Errorf("the record %q does not publish the key that signs: %v", sending[0].Value, err)
			}
			msg := [][]byte{[]byte("From: a@example.com\r\n\r\nhi\r\n")}
			if sig, err := (&dkim.Signer{}).Sign(msg, dkim.Options{Keys: keys}); err != nil || !bytes.Contains(sig, []byte("s=postroad")) {
				t.Errorf("signature %q, %v", sig, err)
			}
		}
		var private []byte
		if err := s.db.Read(context.Background(), func(tx *db.Tx) error {
			return tx.QueryRow("SELECT private FROM dkim_key").Scan(&private)
		}); err != nil || bytes.Contains(private, []byte("PRIVATE KEY")) {
			t.Errorf("the private key is stored in clear, or %v", err)
		}
	})
}

func TestKeySizes(t *testing.T) {
	var bits []int
	c := clock.NewFake(start)
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, coretest.SQLite(t, c), c, Options{GenerateKey: func(n int) (*rsa.PrivateKey, error) {
		bits = append(bits, n)
		return keys[0], nil
	}})
	create(t, s, "a.example.com")
	create(t, s, "b.example.com", func(r *CreateRequest) { r.DKIMKeySize = "1024" })
	create(t, s, "c.example.com", func(r *CreateRequest) { r.UseAutomaticSenderSecurity = true })
	if len(bits) != 4 || bits[0] != 2048 || bits[1] != 1024 || bits[2] != 2048 || bits[3] != 2048 {
		t.Errorf("keys of %v bits", bits)
	}
}

func TestAuthority(t *testing.T) {
	ctx := context.Background()
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		root := create(t, s, "example.com")
		child := create(t, s, "mg.example.com")
		forced := create(t, s, "own.example.com", func(r *CreateRequest) { r.ForceDKIMAuthority = true })
		host := create(t, s, "host.example.com", func(r *CreateRequest) { r.ForceRootDKIMHost = true })
		foreign, err := s.Create(ctx, theirs, CreateRequest{Name: "x.example.com"})
		if err != nil {
			t.Fatal(err)
		}
		for d, want := range map[*Domain]string{
			root: "postroad@example.com", child: "postroad@example.com", forced: "postroad@own.example.com",
			host: "postroad@example.com", foreign: "postroad@x.example.com",
		} {
			if got := selectors(t, s, d); got != want {
				t.Errorf("%s is signed by %s, want %s", d.Name, got, want)
			}
		}
		rootKeys, _ := s.Signers(ctx, root.ID)
		hostKeys, _ := s.Signers(ctx, host.ID)
		childKeys, _ := s.Signers(ctx, child.ID)
		if rootKeys[0].Signer.(*rsa.PrivateKey).Equal(hostKeys[0].Signer) {
			t.Error("force_root_dkim_host signs with the root's key instead of its own")
		}
		if !rootKeys[0].Signer.(*rsa.PrivateKey).Equal(childKeys[0].Signer) {
			t.Error("the child does not sign with the root's key")
		}
		const path = "/v3/domains/{name}/dkim_authority"
		got := mustCall(t, s, "PUT", path, &putAuthorityIn{Name: "mg.example.com"})
		if !strings.HasPrefix(got, `{"message":"Domain DKIM authority has not been changed","sending_dns_records":[{`) || !strings.HasSuffix(got, `],"changed":false}`) {
			t.Error(got)
		}
		got = mustCall(t, s, "PUT", path, &putAuthorityIn{Name: "mg.example.com", Self: true})
		if !strings.HasPrefix(got, `{"message":"Domain DKIM authority has been changed"`) || !strings.Contains(got, `postroad._domainkey.mg.example.com`) || !strings.HasSuffix(got, `"changed":true}`) {
			t.Error(got)
		}
		if got := selectors(t, s, child); got != "postroad@mg.example.com" {
			t.Errorf("signed by %s", got)
		}
	})
}

func TestSelector(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		d := create(t, s, "example.com", func(r *CreateRequest) { r.DKIMSelector = "k1" })
		const path = "/v3/domains/{name}/dkim_selector"
		for _, sel := range []string{"", "K2", "k2"} {
			if got := mustCall(t, s, "PUT", path, &putSelectorIn{Name: "example.com", Selector: sel}); got != `{"message":"DKIM selector changed"}` {
				t.Error(got)
			}
		}
		if got := selectors(t, s, d); got != "k2@example.com" {
			t.Errorf("signed by %s", got)
		}
		if _, err := s.AddKey(context.Background(), d, "k3", 0, ""); err != nil {
			t.Fatal(err)
		}
		mustCall(t, s, "PUT", path, &putSelectorIn{Name: "example.com", Selector: "k3"})
		if got := selectors(t, s, d); got != "k2@example.com k3@example.com" {
			t.Errorf("signed by %s", got)
		}
		_, err := call(t, s, "PUT", path, &putSelectorIn{Name: "example.com", Selector: "a.b"})
		wantError(t, err, errs.Invalid, "dkim_selector must be a valid atom")
	})
}

func TestKeyOperations(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		d := create(t, s, "example.com")
		const path, keys = "/v1/dkim/keys", "/v4/domains/{authority_name}/keys"
		got := mustCall(t, s, "POST", path, &createKeyIn{SigningDomain: "example.com", Selector: "S2", Bits: 1024})
		if got = publicKey.ReplaceAllString(got, "p=K"); got != `{"signing_domain":"example.com","selector":"s2","dns_record":{"is_active":false,"cached":[],`+
			`"name":"s2._domainkey.example.com","record_type":"TXT","valid":"unknown","value":"k=rsa; p=K"}}` {
			t.Error(got)
		}
		if got := selectors(t, s, d); got != "postroad@example.com" {
			t.Errorf("a new key signs already: %s", got)
		}
		refused := map[string]createKeyIn{
			"failed to create domain key: duplicate key":                    {Selector: "s2"},
			"failed to create domain key: selector must be a valid atom":    {Selector: "a b"},
			"failed to create domain key: bits must be either 1024 or 2048": {Selector: "s3", Bits: 4096},
			"failed to import domain key: failed to parse PEM block":        {Selector: "s3", PEM: "nonsense"},
			"the selectors pdk1 and pdk2 are for automatic sender security": {Selector: "pdk2"},
		}
		for text, in := range refused {
			in.SigningDomain = "example.com"
			_, err := call(t, s, "POST", path, &in)
			wantError(t, err, errs.Invalid, text)
		}
		got = mustCall(t, s, "PUT", keys+"/{selector}/activate", &keyIn{"example.com", "s2"})
		if got != `{"message":"domain key activated","authority":"example.com","selector":"s2","active":true}` {
			t.Error(got)
		}
		if got := selectors(t, s, d); got != "postroad@example.com s2@example.com" {
			t.Errorf("signed by %s", got)
		}
		got = mustCall(t, s, "PUT", keys+"/{selector}/deactivate", &keyIn{"example.com", "postroad"})
		if got != `{"message":"domain key deactivated","authority":"example.com","selector":"postroad","active":false}` {
			t.Error(got)
		}
		_, err := call(t, s, "PUT", keys+"/{selector}/deactivate", &keyIn{"example.com", "s2"})
		wantError(t, err, errs.Invalid, "cannot deactivate domain key: must have at least one active domain key")
		_, err = call(t, s, "PUT", keys+"/{selector}/activate", &keyIn{"example.com", "s9"})
		wantError(t, err, errs.NotFound, "domain key not found")
		got = mustCall(t, s, "GET", keys, &authorityIn{"example.com"})
		if strings.Count(got, `"signing_domain":"example.com"`) != 2 || !strings.HasPrefix(got, `{"items":[{`) || strings.Contains(got, "paging") {
			t.Error(got)
		}
		_, err = call(t, s, "DELETE", path, &deleteKeyIn{"example.com", "s2"})
		wantError(t, err, errs.Invalid, "cannot delete domain key: must have at least one active domain key")
		if got = mustCall(t, s, "DELETE", path, &deleteKeyIn{"example.com", "postroad"}); got != `{"message":"success"}` {
			t.Error(got)
		}
		for _, in := range []deleteKeyIn{{"example.com", "postroad"}, {"example.org", "s2"}} {
			_, err = call(t, s, "DELETE", path, &in)
			wantError(t, err, errs.NotFound, "domain key not found")
		}
		if got := selectors(t, s, d); got != "s2@example.com" {
			t.Errorf("signed by %s", got)
		}
		mustCall(t, s, "PUT", "/v3/domains/{name}/dkim_selector", &putSelectorIn{Name: "example.com", Selector: "s5"})
		if got := selectors(t, s, d); got != "s5@example.com" {
			t.Errorf("the key that was left is not the domain's: signed by %s", got)
		}
	})
}

func TestImportKey(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		d := create(t, s, "example.com")
		all, _ := testKeys()
		k, err := s.AddKey(context.Background(), d, "imported", 0, string(dkim.MarshalPKCS1(all[5])))
		if err != nil || k.Bits != 1024 {
			t.Fatalf("%+v, %v", k, err)
		}
		if err := s.SetKeyActive(context.Background(), d, "imported", true); err != nil {
			t.Fatal(err)
		}
		signers, err := s.Signers(context.Background(), d.ID)
		if err != nil || len(signers) != 2 || !all[5].Equal(signers[1].Signer) {
			t.Errorf("the imported key does not sign: %v", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(all[4])
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.AddKey(context.Background(), d, "other", 0, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
		wantError(t, err, errs.Invalid, "failed to import domain key: failed to parse private key: key must be PKCS1 format")
		if _, err := s.AddKey(context.Background(), d, "third", 0, ""); err != nil {
			t.Fatal(err)
		}
		_, err = s.AddKey(context.Background(), d, "fourth", 0, "")
		wantError(t, err, errs.Invalid, "failed to create domain key: a domain can have at most 3 domain keys")
	})
}

func TestListAllKeys(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		var want []string
		for _, n := range []string{"a.com", "b.com", "c.com", "d.com", "e.com"} {
			create(t, s, n)
			want = append(want, n)
		}
		if _, err := s.Create(context.Background(), theirs, CreateRequest{Name: "theirs.com"}); err != nil {
			t.Fatal(err)
		}
		page := func(link string) (names []string, out listKeysOut) {
			t.Helper()
			u, err := url.Parse(link)
			if err != nil || u.Host != "api.test" || u.Path != "/v1/dkim/keys" {
				t.Fatalf("link %q: %v", link, err)
			}
			got := mustCall(t, s, "GET", "/v1/dkim/keys", &listKeysIn{Limit: 2, Page: u.Query().Get("page"), SigningDomain: u.Query().Get("signing_domain")})
			if err := json.Unmarshal([]byte(got), &out); err != nil {
				t.Fatal(err)
			}
			for _, k := range out.Items {
				names = append(names, k.SigningDomain)
			}
			return names, out
		}
		var seen []string
		names, out := page("http://api.test/v1/dkim/keys")
		for len(names) > 0 {
			seen = append(seen, names...)
			names, out = page(out.Paging.Next)
		}
		if strings.Join(seen, " ") != strings.Join(want, " ") {
			t.Errorf("forward: %v", seen)
		}
		create(t, s, "f.com")
		if names, _ = page(out.Paging.Next); strings.Join(names, " ") != "f.com" {
			t.Errorf("the link of the empty page does not find what is new: %v", names)
		}
		seen = nil
		for names, out = page(out.Paging.Last); len(names) > 0; names, out = page(out.Paging.Previous) {
			seen = append(names, seen...)
		}
		if strings.Join(seen, " ") != strings.Join(append(want, "f.com"), " ") {
			t.Errorf("backward: %v", seen)
		}
		if names, _ = page(out.Paging.First); strings.Join(names, " ") != "a.com b.com" {
			t.Errorf("first: %v", names)
		}
		if names, _ = page("http://api.test/v1/dkim/keys?signing_domain=C.com"); strings.Join(names, " ") != "c.com" {
			t.Errorf("filtered: %v", names)
		}
		for _, bad := range []string{"x", "n", "p-1", "nzzzzzzzzzzzzzzzzzzz", "1"} {
			_, err := call(t, s, "GET", "/v1/dkim/keys", &listKeysIn{Limit: 2, Page: bad})
			wantError(t, err, errs.Invalid, "invalid page parameter")
		}
	})
}

func TestAutomaticSenderSecurity(t *testing.T) {
	ctx := context.Background()
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		d := create(t, s, "example.com")
		d, err := s.Update(ctx, d, UpdateRequest{UseAutomaticSenderSecurity: ptr(true)})
		if err != nil {
			t.Fatal(err)
		}
		if got := selectors(t, s, d); got != "pdk1@example.com pdk2@example.com" {
			t.Errorf("signed by %s", got)
		}
		_, sending, err := s.DNSRecords(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		signers, _ := s.Signers(ctx, d.ID)
		found := 0
		for _, r := range sending {
			if r.Type != "CNAME" || !strings.Contains(r.Name, "._domainkey.") {
				continue
			}
			text, err := s.DelegatedKey(ctx, strings.ToUpper(r.Value)+".")
			if err != nil {
				t.Fatalf("%s: %v", r.Value, err)
			}
			rec, err := dkim.ParseRecord(text)
			if err != nil || !rec.Publishes(signers[found].Signer.Public()) {
				t.Errorf("%s publishes %q, %v", r.Value, text, err)
			}
			found++
		}
		if found != 2 {
			t.Errorf("%d aliases in %+v", found, sending)
		}
		for _, name := range []string{"", "pdk1._domainkey.0.dkim." + host, "postroad._domainkey.1.dkim." + host, "x.dkim." + host, host} {
			if _, err := s.DelegatedKey(ctx, name); !errs.Is(err, errs.NotFound) {
				t.Errorf("%q: %v", name, err)
			}
		}
		if d, err = s.Update(ctx, d, UpdateRequest{UseAutomaticSenderSecurity: ptr(false)}); err != nil {
			t.Fatal(err)
		}
		if got := selectors(t, s, d); got != "postroad@example.com" {
			t.Errorf("turned off, signed by %s", got)
		}
		stale := d.clone()
		stale.Settings.UseAutomaticSenderSecurity = true
		if _, err := s.Update(ctx, stale, UpdateRequest{UseAutomaticSenderSecurity: ptr(true)}); err != nil {
			t.Errorf("the keys are there: %v", err)
		}
		fresh := create(t, s, "example.org", func(r *CreateRequest) { r.UseAutomaticSenderSecurity = true })
		if fresh, err = s.Update(ctx, fresh, UpdateRequest{UseAutomaticSenderSecurity: ptr(false)}); err != nil {
			t.Fatal(err)
		}
		if got := selectors(t, s, fresh); got != "postroad@example.org" {
			t.Errorf("turned off after creation with it, signed by %s", got)
		}
		plain := create(t, s, "example.net").clone()
		plain.Settings.UseAutomaticSenderSecurity = true
		if _, err := s.Update(ctx, plain, UpdateRequest{UseAutomaticSenderSecurity: ptr(true)}); !errs.Is(err, errs.Conflict) {
			t.Errorf("the keys are not there: %v", err)
		}
		if got := selectors(t, s, plain); got != "postroad@example.net" {
			t.Errorf("the change that was refused left %s", got)
		}
	})
}

func BenchmarkSigners(b *testing.B) {
	s := newService(b, coretest.SQLite(b, clock.System{}), clock.System{}, Options{})
	d, err := s.Create(context.Background(), mine, CreateRequest{Name: "example.com"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.ByName(context.Background(), "example.com"); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Signers(context.Background(), d.ID); err != nil {
			b.Fatal(err)
		}
	}
}
