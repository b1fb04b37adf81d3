package dkim

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func TestGenerateRSASizes(t *testing.T) {
	for _, bits := range []int{0, 512, 1023, 4096, 1 << 20} {
		if _, err := GenerateRSA(bits); !errors.Is(err, ErrKeySize) {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
	for bits, key := range map[int]Key{1024: keysOf(t).rsa1024, 2048: keysOf(t).rsa2048} {
		if got := key.Signer.(*rsa.PrivateKey).N.BitLen(); got != bits {
			t.Errorf("key of %d bits, want %d", got, bits)
		}
	}
}

func TestKeyRoundTrip(t *testing.T) {
	k := keysOf(t)
	for _, key := range []crypto.Signer{k.rsa1024.Signer, k.rsa2048.Signer, k.ed25519.Signer} {
		text, err := MarshalPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		if !got.(interface{ Equal(crypto.PrivateKey) bool }).Equal(key) {
			t.Errorf("%T changed on the way", key)
		}
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k.rsa1024.Signer)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	if err != nil || !k.rsa1024.Signer.(*rsa.PrivateKey).Equal(got) {
		t.Errorf("RSA in PKCS #8: %v", err)
	}
}

func TestParseKeyErrors(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	edPEM, err := MarshalPrivateKey(keysOf(t).ed25519.Signer)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, text  string
		any, strict error
	}{
		{"empty", "", ErrPEM, ErrPEM},
		{"no PEM", "not a key", ErrPEM, ErrPEM},
		{"too long", strings.Repeat("a", maxPEMBytes+1), ErrPEM, ErrPEM},
		{"rubbish in PKCS #1", block("RSA PRIVATE KEY", []byte("x")), ErrNotPKCS1, ErrNotPKCS1},
		{"rubbish in PKCS #8", block("PRIVATE KEY", []byte("x")), ErrKeyFormat, ErrNotPKCS1},
		{"certificate", block("CERTIFICATE", []byte("x")), ErrKeyFormat, ErrNotPKCS1},
		{"elliptic curve", block("PRIVATE KEY", ecDER), ErrKeyFormat, ErrNotPKCS1},
		{"Ed25519", string(edPEM), nil, ErrNotPKCS1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParsePrivateKey([]byte(tt.text)); !errors.Is(err, tt.any) {
				t.Errorf("ParsePrivateKey: %v, want %v", err, tt.any)
			}
			if _, err := ParsePKCS1([]byte(tt.text)); !errors.Is(err, tt.strict) {
				t.Errorf("ParsePKCS1: %v, want %v", err, tt.strict)
			}
		})
	}
	if _, err := MarshalPrivateKey(ec); !errors.Is(err, ErrBadKey) {
		t.Errorf("MarshalPrivateKey of an EC key: %v", err)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	k := keysOf(t)
	for _, form := range []RecordForm{Full, Short} {
		for _, key := range []Key{k.rsa1024, k.rsa2048, k.ed25519} {
			text, err := PublicRecord(key.Signer.Public(), form)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(text, "v=DKIM1; ") != (form == Full) {
				t.Errorf("wrong form: %q", text)
			}
			r, err := ParseRecord(strings.Join(SplitTXT(text), ""))
			if err != nil {
				t.Fatal(err)
			}
			if !r.Publishes(key.Signer.Public()) || r.Publishes(k.rsa1024.Signer.Public()) != (key == k.rsa1024) {
				t.Errorf("record does not tell keys apart: %q", text)
			}
		}
	}
}

func TestSplitTXT(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 510, 511} {
		parts := SplitTXT(strings.Repeat("x", n))
		total := 0
		for _, p := range parts {
			if len(p) > 255 {
				t.Errorf("%d: string of %d bytes", n, len(p))
			}
			total += len(p)
		}
		if total != n || len(parts) != max(1, (n+254)/255) {
			t.Errorf("%d bytes: %d in %d strings", n, total, len(parts))
		}
	}
}

func TestParseRecord(t *testing.T) {
	const p = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" // RFC 8463, appendix A.2
	ok := []struct {
		name, text string
		check      func(Record) bool
	}{
		{"RFC 8463", "v=DKIM1; k=ed25519; p=" + p, func(r Record) bool { return len(r.PublicKey.(ed25519.PublicKey)) == 32 }},
		{"white space", " v = DKIM1 ;\t k= ed25519; p= 11qYAYKxCrfVS/7T yWQHOg7h\r\n cvPapiMlrwIaaPcHURo= ; ", func(r Record) bool { return r.PublicKey != nil }},
		{"all tags", "v=DKIM1;h=sha256:sha1;k=ed25519;n=a note;s=email;t=y:s;x=unknown;p=" + p, func(r Record) bool {
			return r.Testing && r.Strict && r.Notes == "a note" && len(r.Hashes) == 2 && len(r.Services) == 1
		}},
		{"revoked", "v=DKIM1; p=", func(r Record) bool { return r.Revoked && r.PublicKey == nil && r.KeyType == "rsa" }},
	}
	for _, tt := range ok {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ParseRecord(tt.text)
			if err != nil || !tt.check(r) {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
	bad := map[string]error{
		"":                         ErrRecordSyntax,
		"v=spf1 -all":              ErrRecordVersion,
		"google-site-verification": ErrRecordSyntax,
		"v=DKIM1; k=rsa":           ErrRecordSyntax,
		"v=DKIM1; p=a; p=b":        ErrRecordSyntax,
		"v=DKIM1; p=%%%":           ErrRecordSyntax,
		"v=DKIM1; k=rsa; p=" + p:   ErrRecordSyntax,
		"k=ed25519; p=AAAA":        ErrRecordSyntax,
		"k=dsa; p=AAAA":            ErrBadKey,
		"1=2; p=":                  ErrRecordSyntax,
		strings.Repeat("a", 9000):  ErrRecordSyntax,
	}
	for text, want := range bad {
		if r, err := ParseRecord(text); !errors.Is(err, want) {
			t.Errorf("%.40q: %+v, %v; want %v", text, r, err, want)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=DKIM1; k=rsa; p=")
	f.Add("k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=; t=y:s")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord(text)
		if err != nil || r.Revoked {
			return
		}
		again, err := PublicRecord(r.PublicKey, Full)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseRecord(again); err != nil || !back.Publishes(r.PublicKey) {
			t.Fatalf("%q became %q: %v", text, again, err)
		}
	})
}

func FuzzParsePrivateKey(f *testing.F) {
	for _, k := range []Key{keysOf(f).rsa1024, keysOf(f).ed25519} {
		text, err := MarshalPrivateKey(k.Signer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := ParsePrivateKey(text); err == nil && key == nil {
			t.Fatal("neither key nor error")
		}
	})
}
