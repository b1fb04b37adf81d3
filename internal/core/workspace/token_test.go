package workspace

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
)

func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, c claims) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType("JWT")
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(s).Claims(map[string]any(c)).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

type claims map[string]any

func code(err error) string {
	var p *problem
	if errors.As(err, &p) {
		return p.code
	}
	return ""
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestTokens(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("0123456789abcdef0123456789abcdef")
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: rsaKey.Public(), KeyID: "r", Use: "sig", Algorithm: "RS256"}, {Key: ecKey.Public(), KeyID: "e"},
		{Key: rsaKey.Public(), KeyID: "enc", Use: "enc"}, {Key: rsaKey.Public(), KeyID: "ps", Algorithm: "PS256"}, {Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "oct"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	set = []byte(strings.Replace(string(set), `{"keys":[`, `{"keys":[{"kty":"unknown"},`, 1))
	now := begin.Unix()
	good := func(edit claims) claims {
		c := claims{"exp": now + 600, "aud": "app", "iss": "https://issuer.example", "workspaceId": "w1"}
		for k, v := range edit {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return c
	}
	hs := func(edit claims) string { return sign(t, jose.HS256, secret, "", good(edit)) }
	v := newVerifier(TokenConfig{Secret: secret, Audience: "app", Issuer: "https://issuer.example", Keys: func(context.Context) ([]byte, error) { return set, nil }}, clock.NewFake(begin))
	public, err := jose.JSONWebKey{Key: rsaKey.Public()}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(hs(nil), ".")
	tests := []struct {
		name, token, code string
		want              []string
	}{
		{"secret", hs(nil), "", []string{"w1"}},
		{"RSA", sign(t, jose.RS256, rsaKey, "r", good(nil)), "", []string{"w1"}},
		{"EC", sign(t, jose.ES256, ecKey, "e", good(nil)), "", []string{"w1"}},
		{"EC without kid", sign(t, jose.ES256, ecKey, "", good(nil)), "", []string{"w1"}},
		{"list", hs(claims{"workspaceId": nil, "workspaces": []string{"a", "b", ""}}), "", []string{"a", "b"}},
		{"both", hs(claims{"workspaces": "b"}), "", []string{"w1", "b"}},
		{"none named", hs(claims{"workspaceId": 7}), "", nil},
		{"several audiences", hs(claims{"aud": []string{"x", "app"}}), "", []string{"w1"}},
		{"expired within the leeway", hs(claims{"exp": now - 59}), "", []string{"w1"}},
		{"expired", hs(claims{"exp": now - 61}), codeTokenExpired, nil},
		{"no exp", hs(claims{"exp": nil}), codeTokenInvalid, nil},
		{"exp is a text", hs(claims{"exp": "never"}), codeTokenInvalid, nil},
		{"nbf within the leeway", hs(claims{"nbf": now + 59}), "", []string{"w1"}},
		{"not yet", hs(claims{"nbf": now + 61}), codeTokenInvalid, nil},
		{"issued later", hs(claims{"iat": now + 61}), codeTokenInvalid, nil},
		{"other audience", hs(claims{"aud": "other"}), codeTokenInvalid, nil},
		{"no audience", hs(claims{"aud": nil}), codeTokenInvalid, nil},
		{"other issuer", hs(claims{"iss": "https://evil.example"}), codeTokenInvalid, nil},
		{"other secret", sign(t, jose.HS256, []byte("ffffffffffffffffffffffffffffffff"), "", good(nil)), codeTokenInvalid, nil},
		{"stronger algorithm", sign(t, jose.HS512, []byte(strings.Repeat("x", 64)), "", good(nil)), codeTokenInvalid, nil},
		{"PS256 with the RSA key", sign(t, jose.PS256, rsaKey, "r", good(nil)), codeTokenInvalid, nil},
		{"key for encryption", sign(t, jose.RS256, rsaKey, "enc", good(nil)), codeTokenInvalid, nil},
		{"key for another algorithm", sign(t, jose.RS256, rsaKey, "ps", good(nil)), codeTokenInvalid, nil},
		{"RSA kid, EC signature", sign(t, jose.ES256, ecKey, "r", good(nil)), codeTokenInvalid, nil},
		{"public key as secret", sign(t, jose.HS256, public, "r", good(nil)), codeTokenInvalid, nil},
		{"secret key of the set", sign(t, jose.HS256, secret[:32], "oct", good(nil)), "", []string{"w1"}}, // kid of a secret means nothing
		{"none", b64(`{"alg":"none"}`) + "." + parts[1] + ".", codeTokenInvalid, nil},
		{"None", b64(`{"alg":"None","typ":"JWT"}`) + "." + parts[1] + "." + parts[2], codeTokenInvalid, nil},
		{"no signature", parts[0] + "." + parts[1] + ".", codeTokenInvalid, nil},
		{"altered", parts[0] + "." + b64(`{"exp":9999999999,"aud":"app","iss":"https://issuer.example","workspaceId":"w2"}`) + "." + parts[2], codeTokenInvalid, nil},
		{"critical extension", b64(`{"alg":"HS256","crit":["x"],"x":1}`) + "." + parts[1] + "." + parts[2], codeTokenInvalid, nil},
		{"two parts", "a.b", codeTokenInvalid, nil},
		{"JSON form", `{"payload":"x","signature":"y","protected":"z"}`, codeTokenInvalid, nil},
		{"too long", strings.Repeat("x", maxToken+1), codeTokenInvalid, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := v.verify(t.Context(), tt.token)
			if code(err) != tt.code || err != nil && !errs.Is(err, errs.Unauthorized) {
				t.Fatalf("error %v, want code %q", err, tt.code)
			}
			if err == nil && !slices.Equal(a.workspaces, tt.want) {
				t.Errorf("workspaces %q, want %q", a.workspaces, tt.want)
			}
			if err != nil && len(tt.token) > 20 && strings.Contains(err.Error(), tt.token[len(tt.token)-20:]) {
				t.Error("the error has the token")
			}
		})
	}
}

func TestClaim(t *testing.T) {
	doc := map[string]any{"app": map[string]any{"teams": []any{"a", 1.0, "b"}, "a.b": map[string]any{"c": "d"}}, "https://x.example/ws": "u", "app.teams": nil}
	for path, want := range map[string][]string{"https://x.example/ws": {"u"}, "app.a.b.c": {"d"}, "app.none": nil, "none": nil, "app": nil} {
		if got := texts(member(doc, path)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	delete(doc, "app.teams")
	if got := texts(member(doc, "app.teams")); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
}

// TestKeySet: an unknown key id causes a fetch, but no more than one a minute; keys
// stay while the set cannot be had.
func TestKeySet(t *testing.T) {
	c := clock.NewFake(begin)
	var set []byte
	var fails error
	fetches := 0
	s := newKeySet(func(context.Context) ([]byte, error) { fetches++; return set, fails }, c)
	key := func(ids ...string) {
		var all jose.JSONWebKeySet
		for _, id := range ids {
			k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			all.Keys = append(all.Keys, jose.JSONWebKey{Key: crypto.PublicKey(k.Public()), KeyID: id})
		}
		set, _ = json.Marshal(all)
	}
	find := func(id string) int {
		list, err := s.find(t.Context(), id, jose.ES256)
		if errs.Is(err, errs.Unavailable) {
			return -1
		}
		return len(list)
	}
	settle := func() {
		s.mu.Lock()
		under := s.fetching
		s.mu.Unlock()
		if under != nil {
			<-under
		}
	}
	expect := func(what string, got, want, fetched int) {
		t.Helper()
		settle()
		if got != want || fetches != fetched {
			t.Errorf("%s: %d keys, want %d; %d fetches, want %d", what, got, want, fetches, fetched)
		}
	}
	fails = errors.New("down")
	expect("no set", find("a"), -1, 1)
	expect("at once again", find("a"), -1, 1)
	key("a")
	fails = nil
	c.Advance(keysRetry)
	expect("there now", find("a"), 1, 2)
	expect("known", find("a"), 1, 2)
	expect("unknown at once", find("b"), 0, 2)
	key("a", "b")
	c.Advance(keysPause)
	expect("new key", find("b"), 1, 3)
	expect("made up", find("x"), 0, 3)
	c.Advance(keysPause)
	expect("made up", find("x"), 0, 4)
	expect("made up again", find("y"), 0, 4)
	fails = errors.New("down")
	c.Advance(keysFor)
	expect("old, and the set is gone", find("a"), 1, 5)
	set, fails = []byte(strings.Repeat(" ", maxKeysBytes+1)), nil
	c.Advance(keysPause)
	expect("too large", find("a"), 1, 6)
	set = []byte(`{"keys":[]}`)
	c.Advance(keysPause)
	expect("empty", find("a"), 1, 7)
}

func FuzzKeys(f *testing.F) {
	for _, s := range []string{`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`, `{"keys":null}`, `[]`, `{"keys":[1,{}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if err != nil && len(keys) > 0 {
			t.Fatal("keys with an error")
		}
		for _, k := range keys {
			if k.public == nil || k.alg != jose.RS256 && k.alg != jose.ES256 {
				t.Fatalf("%+v", k)
			}
		}
	})
}

// FuzzToken: what was not signed is never good, whatever it is.
func FuzzToken(f *testing.F) {
	v := newVerifier(TokenConfig{Secret: []byte("0123456789abcdef0123456789abcdef"), Keys: func(context.Context) ([]byte, error) { return []byte(`{"keys":[]}`), nil }}, clock.NewFake(begin))
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{"exp":9999999999}`) + ".")
	f.Add(b64(`{"alg":"HS256","kid":"\u0000"}`) + "." + b64(`{}`) + "." + b64("x"))
	f.Add(b64(`{"alg":"RS256","jwk":{"kty":"oct","k":"AA"}}`) + "..")
	f.Fuzz(func(t *testing.T, token string) {
		if a, err := v.verify(t.Context(), token); err == nil {
			t.Fatalf("%q is good for %q", token, a.workspaces)
		}
	})
}
