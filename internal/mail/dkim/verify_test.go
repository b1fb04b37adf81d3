package dkim

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"
)

var verifyTime = time.Unix(1_700_000_100, 0)

// verifyFirst judges the topmost signature of a message.
func verifyFirst(t testing.TB, signed []byte, lookup func(string) ([]string, error)) error {
	t.Helper()
	m, err := ReadMessage(cut(string(signed)))
	if err != nil {
		t.Fatal(err)
	}
	fields := m.Fields("dkim-signature", 1)
	if len(fields) != 1 {
		t.Fatalf("no signature in %.200q", signed)
	}
	s, err := ParseSignature(MessageSignature, fields[0])
	if err == nil {
		err = m.Precheck(s, verifyTime)
	}
	if err != nil {
		return err
	}
	texts, err := lookup(s.KeyName())
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecord(texts[0])
	if err != nil {
		t.Fatal(err)
	}
	return m.Verify(s, r)
}

func TestVerifyOwnSignatures(t *testing.T) {
	k := keysOf(t)
	keys := []Key{k.rsa1024, k.rsa2048, k.ed25519}
	lookup := lookupIn(t, keys...)
	var s Signer
	for name, msg := range sampleMessages() {
		for i := range 12 {
			opts := Options{Keys: keys[i%3 : i%3+1], Header: Canonicalization(i / 3 & 1), Body: Canonicalization(i / 6), Time: time.Unix(1_700_000_000, 0)}
			field, err := s.Sign(cut(msg), opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := verifyFirst(t, onWire(field, msg), lookup); err != nil {
				t.Errorf("%s, %d: %v", name, i, err)
			}
		}
	}
}

func TestVerifyVectors(t *testing.T) {
	for _, v := range [][2]string{{rfc6376Message, rfc6376Record}, {rfc8463Message, rfc8463Record}} {
		msg := []byte(strings.ReplaceAll(v[0], "\n", "\r\n"))
		lookup := func(string) ([]string, error) { return []string{v[1]}, nil }
		if err := verifyFirst(t, msg, lookup); err != nil {
			t.Errorf("%.60q: %v", msg, err)
		}
		for old, want := range map[string]error{"lost the game": ErrBodyHash, "Is dinner": ErrSignature, "joe@football.example.com>\r\nTo": ErrSignature} {
			changed := bytes.Replace(msg, []byte(old), []byte("X"+old), 1)
			if err := verifyFirst(t, changed, lookup); !errors.Is(err, want) {
				t.Errorf("%q changed: %v, want %v", old, err, want)
			}
		}
	}
}

const plainMessage = "From: Ann <ann@example.com>\r\nSubject: Hello\r\n\r\nHello Bob\r\n"

// tagged is a signature field with tags that are right save for those changed;
// "-" takes a tag away.
func tagged(changes ...string) []byte {
	tags := []string{"v=1", "a=rsa-sha256", "d=example.com", "s=small", "h=from", "bh=" + strings.Repeat("A", 43) + "=", "b=AAAA"}
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		for i, t := range tags {
			if strings.HasPrefix(t, name+"=") {
				tags[i], c = c, ""
				if value == "-" {
					tags[i] = "z=1"
				}
			}
		}
		if c != "" {
			tags = append(tags, c)
		}
	}
	return []byte("DKIM-Signature: " + strings.Join(tags, "; ") + "\r\n")
}

func TestParseSignature(t *testing.T) {
	tests := []struct {
		change string
		want   error
	}{
		{"", nil},
		{"c=relaxed", nil},
		{"c=Relaxed / simple", nil},
		{"q=dns/txt", nil},
		{"q=other : dns/txt", nil},
		{"i=ann@news.example.com", nil},
		{"t=1;x=2", nil},
		{"unknown=tag", nil},
		{"h=from:from:to", nil},
		{"a=rsa-sha1", ErrWeak},
		{"a=rsa-md5", ErrSignatureSyntax},
		{"v=2", ErrSignatureSyntax},
		{"v=-", ErrSignatureSyntax},
		{"d=-", ErrSignatureSyntax},
		{"d=exa mple.com", ErrSignatureSyntax},
		{"s=-", ErrSignatureSyntax},
		{"s=a..b", ErrSignatureSyntax},
		{"h=-", ErrSignatureSyntax},
		{"h=to:subject", ErrSignatureSyntax},
		{"bh=-", ErrSignatureSyntax},
		{"bh=AAAA", ErrSignatureSyntax},
		{"b=-", ErrSignatureSyntax},
		{"b=%", ErrSignatureSyntax},
		{"c=other", ErrSignatureSyntax},
		{"c=simple/other", ErrSignatureSyntax},
		{"q=dns/other", ErrSignatureSyntax},
		{"i=ann@example.org", ErrSignatureSyntax},
		{"i=ann@badexample.com", ErrSignatureSyntax},
		{"i=ann", ErrSignatureSyntax},
		{"t=x", ErrSignatureSyntax},
		{"x=-1", ErrSignatureSyntax},
		{"x=9999999999999", ErrSignatureSyntax},
		{"t=2;x=2", ErrSignatureSyntax},
		{"l=x", ErrSignatureSyntax},
		{"no tag", ErrSignatureSyntax},
		{"d2=1;d2=2", ErrSignatureSyntax},
		{"z=" + strings.Repeat("z", maxSignatureBytes), ErrSignatureSyntax},
	}
	for _, tt := range tests {
		m, err := ReadMessage([][]byte{tagged(tt.change)})
		if tt.change == "" {
			m, err = ReadMessage([][]byte{tagged()})
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSignature(MessageSignature, m.Fields("DKIM-Signature", 1)[0]); !errors.Is(err, tt.want) {
			t.Errorf("%.40q: %v, want %v", tt.change, err, tt.want)
		}
	}
}

// signTagged makes a valid signature with tags that Sign does not write.
func signTagged(t testing.TB, key Key, extra string) []byte {
	t.Helper()
	sum := ComputeBodyHash(cut(plainMessage), Simple)
	w := work{}
	field := fmt.Sprintf("DKIM-Signature: v=1; a=rsa-sha256; d=%s; s=%s; h=from; bh=%s; %s; b=", key.Domain, key.Selector, encode(sum[:]), extra)
	w.out = []byte(field)
	w.canonical = []byte("From: Ann <ann@example.com>\r\n")
	if err := w.signField(&key, tags{}, Simple, 0); err != nil {
		t.Fatal(err)
	}
	return append(w.out, plainMessage...)
}

func encode(b []byte) string { return strings.TrimSpace(string(appendBase64(b))) }

func appendBase64(b []byte) []byte {
	w := work{}
	w.appendSignature(b)
	return w.out
}

func TestVerifyPolicies(t *testing.T) {
	key := keysOf(t).rsa1024
	text, err := PublicRecord(key.Signer.Public(), Full)
	if err != nil {
		t.Fatal(err)
	}
	large, err := PublicRecord(largeKey(t), Full)
	if err != nil {
		t.Fatal(err)
	}
	body := len("Hello Bob\r\n")
	tests := []struct {
		name, extra, record string
		want                error
	}{
		{"plain", "z=1", text, nil},
		{"length of all", fmt.Sprintf("l=%d", body), text, nil},
		{"length of a part", fmt.Sprintf("l=%d", body-1), text, ErrWeak},
		{"no length", "l=0", text, ErrWeak},
		{"length beyond", fmt.Sprintf("l=%d", body+1), text, ErrSignatureSyntax},
		{"expired", "x=1700000099", text, ErrExpired},
		{"not expired", "x=1700000100", text, nil},
		{"revoked", "z=1", "v=DKIM1; p=", ErrUnsuitable},
		{"other algorithm", "z=1", rfc8463Record, ErrUnsuitable},
		{"other hash", "z=1", text + "; h=sha1", ErrUnsuitable},
		{"hashes", "z=1", text + "; h=sha1:sha256", nil},
		{"other service", "z=1", text + "; s=web", ErrUnsuitable},
		{"every service", "z=1", text + "; s=web:*", nil},
		{"identity below", "i=@a.example.com", text, nil},
		{"identity below, strict", "i=@a.example.com", text + "; t=s", ErrUnsuitable},
		{"identity, strict", "i=a@EXAMPLE.com", text + "; t=y:s", nil},
		{"other key", "z=1", rfc6376Record, ErrSignature},
		{"short key", "z=1", shortRecord, ErrWeak},
		{"large key", "z=1", large, ErrWeak},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lookup := func(string) ([]string, error) { return []string{tt.record}, nil }
			if err := verifyFirst(t, signTagged(t, key, tt.extra), lookup); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// shortRecord has a key of 512 bits.
const shortRecord = "p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL/wgQ7o/Mee/8HyrSsbqeIBeC48NpI2GVTHe3NANi7LzL2QWnv4Dkd85eJSUZcVlt9Q+3qm8Z3dYrR0AgwQcd0CAwEAAQ=="

// largeKey is a public key of 8192 bits. Nobody has to know its factors.
func largeKey(t *testing.T) crypto.PublicKey {
	t.Helper()
	n := make([]byte, 1024)
	if _, err := rand.Read(n); err != nil {
		t.Fatal(err)
	}
	n[0] |= 0x80
	n[len(n)-1] |= 1
	key := &rsa.PublicKey{E: 65537}
	key.N = keysOf(t).rsa1024.Signer.(*rsa.PrivateKey).N
	big := *key.N
	key.N = big.SetBytes(n)
	return key
}

// TestVerifyDuplicates: which of several fields is meant decides whether one was
// added.
func TestVerifyDuplicates(t *testing.T) {
	key := keysOf(t).rsa1024
	lookup := lookupIn(t, key)
	field, err := new(Signer).Sign(cut(plainMessage), Options{Keys: []Key{key}, Oversign: []string{"Subject"}})
	if err != nil {
		t.Fatal(err)
	}
	for added, want := range map[string]error{
		"X-Other: 1\r\n":            nil,
		"no field\r\n":              nil,
		"Subject: added\r\n":        ErrSignature,
		"From: eve@example.com\r\n": ErrSignature,
	} {
		if err := verifyFirst(t, append(append(bytes.Clone(field), added...), plainMessage...), lookup); !errors.Is(err, want) {
			t.Errorf("%q added: %v, want %v", added, err, want)
		}
	}
}

func TestARCFields(t *testing.T) {
	key := keysOf(t).rsa1024
	field, err := new(Signer).Sign(cut(plainMessage), Options{Keys: []Key{key}, Instance: 7, Identity: "@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadMessage([][]byte{field, []byte(plainMessage)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSignature(ARCMessageSignature, m.Fields("ARC-Message-Signature", 5)[0])
	if err != nil || s.Instance != 7 || s.Identity != "" || m.Count("DKIM-Signature") != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	for text, want := range map[string]error{
		"i=1; a=rsa-sha256; cv=none; d=example.com; s=x; b=AAAA":         nil,
		"i=50; a=rsa-sha256; cv=Pass; d=example.com; s=x; b=AAAA; t=1":   nil,
		"i=51; a=rsa-sha256; cv=none; d=example.com; s=x; b=AAAA":        ErrSignatureSyntax,
		"i=0; a=rsa-sha256; cv=none; d=example.com; s=x; b=AAAA":         ErrSignatureSyntax,
		"i=+1; a=rsa-sha256; cv=none; d=example.com; s=x; b=AAAA":        ErrSignatureSyntax,
		"a=rsa-sha256; cv=none; d=example.com; s=x; b=AAAA":              ErrSignatureSyntax,
		"i=1; a=rsa-sha256; d=example.com; s=x; b=AAAA":                  ErrSignatureSyntax,
		"i=1; a=rsa-sha256; cv=maybe; d=example.com; s=x; b=AAAA":        ErrSignatureSyntax,
		"i=1; a=rsa-sha256; cv=none; d=example.com; s=x; b=AAAA; h=from": ErrSignatureSyntax,
	} {
		m, err := ReadMessage([][]byte{[]byte("ARC-Seal: " + text + "\r\n")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSignature(ARCSeal, m.Fields("arc-seal", 1)[0]); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	if _, err := new(Signer).Seal(nil, SealOptions{Key: key, Instance: 51}); err == nil {
		t.Error("sealed as number 51")
	}
	if _, err := new(Signer).Seal([][]byte{[]byte("no field")}, SealOptions{Key: key, Instance: 1}); !errors.Is(err, ErrHeaderSyntax) {
		t.Error(err)
	}
}

// FuzzVerify has another implementation sign, changes an octet, and compares what
// both make of it.
func FuzzVerify(f *testing.F) {
	for _, msg := range sampleMessages() {
		f.Add(msg, byte(0), uint(0), byte('x'))
		f.Add(msg, byte(3), uint(40), byte(' '))
		f.Add(msg, byte(1), uint(300), byte('\t'))
	}
	key := keysOf(f).rsa1024
	lookup := lookupIn(f, key)
	f.Fuzz(func(t *testing.T, msg string, mode byte, at uint, to byte) {
		_, body, ok := strings.Cut(msg, "\r\n\r\n")
		if !ok || hasBareEnds(msg) || len(msg) > 1<<14 {
			return
		}
		canon := [2]msgauth.Canonicalization{"relaxed", "simple"}
		var signed bytes.Buffer
		err := msgauth.Sign(&signed, strings.NewReader(msg), &msgauth.SignOptions{
			Domain: key.Domain, Selector: key.Selector, Signer: key.Signer, HeaderKeys: []string{"From", "Subject", "To"},
			HeaderCanonicalization: canon[mode&1], BodyCanonicalization: canon[mode>>1&1],
		})
		if err != nil {
			return
		}
		raw := signed.Bytes()
		if len(body) > 0 && at > 0 {
			raw[len(raw)-1-int(at)%(len(msg)-1)] = to
		}
		if strings.ContainsAny(string(raw[len(raw)-len(msg):][:1]), " \t") {
			return // more of the signature, in which the other one ignores all that is a space to Unicode
		}
		// It also takes lines without colon for fields.
		if _, err := appendFields(nil, raw); err != nil || hasBareEnds(string(raw)) || !bytes.Contains(raw, headerEnd) || !bytes.HasPrefix(raw, []byte("DKIM-Signature:")) {
			return
		}
		peer, err := msgauth.VerifyWithOptions(bytes.NewReader(raw), &msgauth.VerifyOptions{LookupTXT: lookup, MaxVerifications: 1})
		if len(peer) == 0 {
			return
		}
		own := verifyFirst(t, raw, lookup)
		if (own == nil) != (peer[0].Err == nil) {
			t.Fatalf("here %v, there %v (%v)\n%q", own, peer[0].Err, err, raw)
		}
	})
}

func hasBareEnds(s string) bool {
	return strings.ContainsAny(strings.ReplaceAll(s, "\r\n", ""), "\r\n")
}

func FuzzParseSignature(f *testing.F) {
	f.Add(string(tagged()), byte(0))
	f.Add("ARC-Seal: i=1; a=rsa-sha256; cv=none; d=example.com; s=x; b=AAAA", byte(2))
	f.Add("x: i=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=x; h=From;\r\n bh="+strings.Repeat("A", 43)+"=; b=\r\n AAAA ;", byte(1))
	record, err := ParseRecord(rfc8463Record)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string, kind byte) {
		m, err := ReadMessage([][]byte{[]byte(raw)})
		if err != nil {
			return
		}
		for _, one := range m.fields {
			if len(one.name) == 0 {
				continue
			}
			s, err := ParseSignature(Kind(kind%3), Field{one})
			if err != nil {
				continue
			}
			if !validDNSName(s.Domain) || !validDNSName(s.Selector) || strings.ContainsAny(s.Algorithm, "\r\n ;") {
				t.Fatalf("%+v", s)
			}
			if again, err := parseTags(string(Field{field{one.name, s.unsigned()}}.Value())); err != nil || again["b"] != "" {
				t.Fatalf("b stays: %q, %v", s.unsigned(), err)
			}
			if m.Precheck(s, verifyTime) == nil && m.Verify(s, record) == nil {
				t.Fatal("forged a signature")
			}
		}
	})
}
