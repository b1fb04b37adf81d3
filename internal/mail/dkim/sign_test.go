package dkim

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"
)

// testKeys are made once: RSA keys take long to find.
type testKeys struct{ rsa1024, rsa2048, ed25519 Key }

var makeKeys = sync.OnceValues(func() (testKeys, error) {
	small, err1 := GenerateRSA(1024)
	large, err2 := GenerateRSA(2048)
	ed, err3 := GenerateEd25519()
	return testKeys{
		rsa1024: Key{Domain: "example.com", Selector: "small", Signer: small},
		rsa2048: Key{Domain: "example.com", Selector: "s2048._x", Signer: large},
		ed25519: Key{Domain: "news.example.com", Selector: "ed", Signer: ed},
	}, errors.Join(err1, err2, err3)
})

func keysOf(t testing.TB) testKeys {
	t.Helper()
	k, err := makeKeys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// lookupIn answers from the keys' own records.
func lookupIn(t testing.TB, keys ...Key) func(string) ([]string, error) {
	t.Helper()
	zone := map[string]string{}
	for i, k := range keys {
		text, err := PublicRecord(k.Signer.Public(), RecordForm(i%2))
		if err != nil {
			t.Fatal(err)
		}
		zone[k.Selector+"._domainkey."+k.Domain] = text
	}
	return func(name string) ([]string, error) {
		text, ok := zone[name]
		if !ok {
			return nil, fmt.Errorf("no record %s", name)
		}
		return []string{text}, nil
	}
}

// mustVerify has the other implementation verify every signature.
func mustVerify(t testing.TB, signed []byte, lookup func(string) ([]string, error), want int) []*msgauth.Verification {
	t.Helper()
	got, err := msgauth.VerifyWithOptions(bytes.NewReader(signed), &msgauth.VerifyOptions{LookupTXT: lookup})
	if err != nil {
		t.Fatalf("verify: %v\n%.2000q", err, signed)
	}
	if len(got) != want {
		t.Fatalf("%d signatures found, want %d", len(got), want)
	}
	for _, v := range got {
		if v.Err != nil {
			t.Fatalf("signature of %s: %v\n%.2000q", v.Domain, v.Err, signed)
		}
	}
	return got
}

// sampleMessages are the messages every combination is tried with.
func sampleMessages() map[string]string {
	const head = "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Hello\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
	return map[string]string{
		"plain":              head + "\r\nHello Bob,\r\nhow are you?\r\n",
		"empty body":         head + "\r\n",
		"no empty line":      head,
		"no last line end":   head + "\r\nabc",
		"trailing lines":     head + "\r\nabc\r\n\r\n\r\n\r\n",
		"only empty lines":   head + "\r\n\r\n\r\n",
		"white space":        head + "\r\n  a \t b  \r\n\tc\r\n \r\n\t\r\nd   e \t\r\n \t \r\n",
		"8bit":               head + "\r\nGr\xc3\xbc\xc3\x9fe \xff\xfe\xa0 \x80\r\n",
		"dots":               head + "\r\n.\r\n..\r\n.x\r\n",
		"folded header":      head + "List-Unsubscribe: <https://example.com/u/1>,\r\n\t<mailto:u@example.com?subject=unsubscribe>  \r\n \r\n x\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nx\r\n",
		"long header":        head + "Cc: " + strings.Repeat("someone@example.org,\r\n ", 3000) + "last@example.org\r\n\r\nx\r\n",
		"unbroken header":    head + "Reply-To: " + strings.Repeat("x", 20000) + "@example.org\r\n\r\nx\r\n",
		"duplicate headers":  "Received: a\r\nReply-To: one@example.com\r\nReply-To:  two@example.com\r\nX-Seen: 1\r\nreply-to: three@example.com\r\n" + head + "Subject: again\r\n\r\nx\r\n",
		"odd case and space": "FROM:a@example.com\r\nsUbject :  x  y \r\nTo:\r\n\r\nx\r\n",
		"UTF-8 header":       "From: J\xc3\xb6rg <j\xc3\xb6rg@example.com>\r\nSubject: \xe6\x97\xa5\xe6\x9c\xac\xc2\xa0x\r\n\r\nx\r\n",
	}
}

func TestEveryCombination(t *testing.T) {
	k := keysOf(t)
	all := []Key{k.rsa1024, k.rsa2048, k.ed25519}
	lookup := lookupIn(t, all...)
	keySets := map[string][]Key{"rsa1024": all[:1], "rsa2048": all[1:2], "ed25519": all[2:], "three keys": all}
	var s Signer
	for name, msg := range sampleMessages() {
		for keyName, keys := range keySets {
			for _, c := range [][2]Canonicalization{{Relaxed, Relaxed}, {Relaxed, Simple}, {Simple, Relaxed}, {Simple, Simple}} {
				t.Run(fmt.Sprintf("%s/%s/%v-%v", name, keyName, c[0], c[1]), func(t *testing.T) {
					field, err := s.Sign(cut(msg), Options{Keys: keys, Header: c[0], Body: c[1], Time: time.Unix(1700000000, 0)})
					if err != nil {
						t.Fatal(err)
					}
					checkShape(t, field)
					mustVerify(t, onWire(field, msg), lookup, len(keys))
				})
			}
		}
	}
}

// cut makes pieces that separate header and body nowhere near their boundary.
func cut(msg string) [][]byte {
	a, b := len(msg)/3, len(msg)*2/3
	return [][]byte{[]byte(msg[:a]), nil, []byte(msg[a:b]), []byte(msg[b:])}
}

// onWire adds the empty line that ends a header without a body.
func onWire(field []byte, msg string) []byte {
	if !strings.Contains(msg, "\r\n\r\n") {
		msg += "\r\n"
	}
	return append(bytes.Clone(field), msg...)
}

func checkShape(t *testing.T, field []byte) {
	t.Helper()
	if !bytes.HasSuffix(field, crlf) {
		t.Errorf("field does not end in CRLF: %q", field)
	}
	for line := range bytes.SplitSeq(bytes.TrimSuffix(field, crlf), crlf) {
		if len(line) > 78 {
			t.Errorf("line of %d bytes: %q", len(line), line)
		}
		if len(bytes.TrimSpace(line)) == 0 || bytes.ContainsAny(line, "\r\n") {
			t.Errorf("bad line %q in %q", line, field)
		}
	}
}

func TestTenMegabytes(t *testing.T) {
	k := keysOf(t)
	body := strings.Repeat("A line of text  with two blanks, a\ttab and a blank at its end \r\n", 10<<20/66)
	msg := "From: a@example.com\r\nSubject: large\r\n\r\n" + body
	var s Signer
	for _, c := range []Canonicalization{Relaxed, Simple} {
		field, err := s.Sign(cut(msg), Options{Keys: []Key{k.rsa2048}, Body: c})
		if err != nil {
			t.Fatal(err)
		}
		mustVerify(t, onWire(field, msg), lookupIn(t, k.rsa2048), 1)
	}
}

func TestChangesBreakTheSignature(t *testing.T) {
	k := keysOf(t)
	const msg = "From: a@example.com\r\nTo: b@example.net\r\nSubject: x\r\n\r\nbody text\r\n"
	var s Signer
	field, err := s.Sign([][]byte{[]byte(msg)}, Options{Keys: []Key{k.rsa1024}, Oversign: []string{"Subject", "Reply-To"}})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"body":           strings.Replace(msg, "body", "Body", 1),
		"line added":     msg + "more\r\n",
		"subject":        strings.Replace(msg, "Subject: x", "Subject: y", 1),
		"second from":    "From: evil@example.org\r\n" + msg,
		"second subject": "Subject: evil\r\n" + msg,
		"reply-to added": "Reply-To: evil@example.org\r\n" + msg,
	}
	for name, changed := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := msgauth.VerifyWithOptions(bytes.NewReader(onWire(field, changed)), &msgauth.VerifyOptions{LookupTXT: lookupIn(t, k.rsa1024)})
			if err != nil || len(got) != 1 {
				t.Fatalf("verify: %d results, %v", len(got), err)
			}
			if got[0].Err == nil {
				t.Error("the signature still verifies")
			}
		})
	}
}

func TestTags(t *testing.T) {
	k := keysOf(t)
	const msg = "From: a@example.com\r\nSubject: x\r\nX-A: 1\r\nX-A: 2\r\n\r\nbody\r\n"
	now := time.Now().Truncate(time.Second)
	var s Signer
	field, err := s.Sign([][]byte{[]byte(msg)}, Options{
		Keys:     []Key{k.rsa1024, k.ed25519},
		Headers:  []string{"x-a", "Subject", "X-Absent", "subject"},
		Oversign: []string{"Subject", "List-Id", "List-Id"},
		Time:     now, Expiry: now.Add(time.Hour),
		Identity: "j\xc3\xb6;=@mail.news.example.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	got := mustVerify(t, onWire(field, msg), lookupIn(t, k.rsa1024, k.ed25519), 2)
	for _, v := range got {
		if list := strings.Join(v.HeaderKeys, ":"); list != "From:From:x-a:x-a:Subject:Subject:List-Id" {
			t.Errorf("signed fields %q", list)
		}
		if !v.Time.Equal(now) || !v.Expiration.Equal(now.Add(time.Hour)) {
			t.Errorf("times %v and %v", v.Time, v.Expiration)
		}
		if v.Identifier != "j=C3=B6=3B=3D@mail.news.example.com" {
			t.Errorf("identity %q", v.Identifier)
		}
	}
}

func TestIdentityOnlyWhereItFits(t *testing.T) {
	k := keysOf(t)
	msg := [][]byte{[]byte("From: a@example.com\r\n\r\nbody\r\n")}
	var s Signer
	field, err := s.Sign(msg, Options{Keys: []Key{{Domain: "example.org", Selector: "s", Signer: k.ed25519.Signer}, k.ed25519}, Identity: "@news.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(field), "i=@news.example.com"); n != 1 {
		t.Errorf("%d signatures carry the identity, want 1:\n%s", n, field)
	}
}

func TestInternationalDomain(t *testing.T) {
	k := keysOf(t)
	msg := [][]byte{[]byte("From: a@b\xc3\xbccher.example\r\n\r\nbody\r\n")}
	var s Signer
	field, err := s.Sign(msg, Options{Keys: []Key{{Domain: "B\u00fccher.example", Selector: "s", Signer: k.ed25519.Signer}}, Identity: "x@b\u00fccher.example"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(field), "\td=xn--bcher-kva.example;") || !strings.Contains(string(field), "i=x@xn--bcher-kva.example;") {
		t.Errorf("domain is not in A-labels:\n%s", field)
	}
}

func TestBodyHashReuse(t *testing.T) {
	k := keysOf(t)
	var s Signer
	for _, c := range []Canonicalization{Relaxed, Simple} {
		first := "From: a@example.com\r\nSubject: one\r\n\r\nbody  text \r\n\r\n"
		sum := s.ComputeBodyHash([][]byte{[]byte(first)}, c)
		second := strings.Replace(first, "one", "two", 1)
		field, err := s.Sign([][]byte{[]byte(second)}, Options{Keys: []Key{k.ed25519}, Body: c, BodyHash: &sum})
		if err != nil {
			t.Fatal(err)
		}
		mustVerify(t, onWire(field, second), lookupIn(t, k.ed25519), 1)
		sum[0] ^= 1
		field, err = s.Sign([][]byte{[]byte(second)}, Options{Keys: []Key{k.ed25519}, Body: c, BodyHash: &sum})
		if err != nil {
			t.Fatal(err)
		}
		got, err := msgauth.VerifyWithOptions(bytes.NewReader(onWire(field, second)), &msgauth.VerifyOptions{LookupTXT: lookupIn(t, k.ed25519)})
		if err != nil || len(got) != 1 || got[0].Err == nil {
			t.Error("the body hash given is not the one used")
		}
	}
}

type failingSigner struct{ crypto.Signer }

var errNoHardware = errors.New("no hardware")

func (failingSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errNoHardware
}

func TestSignErrors(t *testing.T) {
	k := keysOf(t)
	const msg = "From: a@example.com\r\n\r\nbody\r\n"
	key := func(domain, selector string) []Key {
		return []Key{{Domain: domain, Selector: selector, Signer: k.ed25519.Signer}}
	}
	good := key("example.com", "s")
	tests := []struct {
		name string
		msg  string
		opts Options
		want error
	}{
		{"no keys", msg, Options{}, ErrNoKeys},
		{"no signer", msg, Options{Keys: []Key{{Domain: "example.com", Selector: "s"}}}, ErrBadKey},
		{"signer fails", msg, Options{Keys: []Key{{Domain: "example.com", Selector: "s", Signer: failingSigner{k.rsa1024.Signer}}}}, errNoHardware},
		{"domain injects", msg, Options{Keys: key("example.com;\r\nX: y", "s")}, ErrBadDomain},
		{"domain empty", msg, Options{Keys: key("", "s")}, ErrBadDomain},
		{"domain empty label", msg, Options{Keys: key("a..b", "s")}, ErrBadDomain},
		{"domain long label", msg, Options{Keys: key(strings.Repeat("a", 64)+".com", "s")}, ErrBadDomain},
		{"domain bad IDN", msg, Options{Keys: key("\u2024\u00ad.example", "s")}, ErrBadDomain},
		{"selector injects", msg, Options{Keys: key("example.com", "s; i=@x")}, ErrBadSelector},
		{"header name injects", msg, Options{Keys: good, Headers: []string{"A;b"}}, ErrBadHeader},
		{"oversign injects", msg, Options{Keys: good, Oversign: []string{"A:\r\nB"}}, ErrBadHeader},
		{"identity elsewhere", msg, Options{Keys: good, Identity: "a@badexample.com"}, ErrBadIdentity},
		{"identity without at", msg, Options{Keys: good, Identity: "example.com"}, ErrBadIdentity},
		{"expiry not after time", msg, Options{Keys: good, Time: time.Unix(100, 0), Expiry: time.Unix(100, 5)}, ErrBadTime},
		{"before 1970", msg, Options{Keys: good, Time: time.Unix(-1, 0)}, ErrBadTime},
		{"no from", "Subject: x\r\n\r\nFrom: a\r\n", Options{Keys: good}, ErrNoFrom},
		{"empty", "", Options{Keys: good}, ErrNoFrom},
		{"bare LF in header", "From: a@example.com\r\nX: a\nBcc: b\r\n\r\n", Options{Keys: good}, ErrHeaderSyntax},
		{"bare CR in header", "From: a@example.com\r\nX: a\rb\r\n\r\n", Options{Keys: good}, ErrHeaderSyntax},
		{"no colon", "From: a@example.com\r\nrubbish\r\n\r\n", Options{Keys: good}, ErrHeaderSyntax},
		{"starts with continuation", " x\r\nFrom: a@example.com\r\n\r\n", Options{Keys: good}, ErrHeaderSyntax},
		{"endless header", "From: " + strings.Repeat("a", maxHeaderBytes) + "\r\n\r\n", Options{Keys: good}, ErrHeaderTooLarge},
	}
	var s Signer
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, pieces := range [][][]byte{{[]byte(tt.msg)}, cut(tt.msg)} {
				field, err := s.Sign(pieces, tt.opts)
				if !errors.Is(err, tt.want) || field != nil {
					t.Fatalf("got %q, %v; want error %v", field, err, tt.want)
				}
			}
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	k := keysOf(t)
	lookup := lookupIn(t, k.ed25519)
	var s Signer
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				msg := fmt.Sprintf("From: a@example.com\r\nSubject: %d %d\r\n\r\n%s\r\n", i, j, strings.Repeat("x y  z ", i*j))
				field, err := s.Sign(cut(msg), Options{Keys: []Key{k.ed25519}})
				if err != nil {
					t.Error(err)
					return
				}
				got, err := msgauth.VerifyWithOptions(bytes.NewReader(onWire(field, msg)), &msgauth.VerifyOptions{LookupTXT: lookup})
				if err != nil || len(got) != 1 || got[0].Err != nil {
					t.Errorf("message %d %d does not verify", i, j)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzSign: whatever is signed verifies elsewhere, and never injects a field.
func FuzzSign(f *testing.F) {
	k := keysOf(f)
	lookup := lookupIn(f, k.ed25519)
	for _, msg := range sampleMessages() {
		f.Add([]byte(msg), uint8(0), "X-A")
	}
	f.Add([]byte("From: a\r\nX:\r\n b\r\n\r\n a\rb\nc\r\r\n"), uint8(3), "x")
	var s Signer
	f.Fuzz(func(t *testing.T, msg []byte, canon uint8, name string) {
		opts := Options{Keys: []Key{k.ed25519}, Header: Canonicalization(canon & 1), Body: Canonicalization(canon >> 1 & 1)}
		if name != "" {
			opts.Headers = []string{name, "Subject"}
		}
		field, err := s.Sign([][]byte{msg}, opts)
		if err != nil {
			return
		}
		if bytes.Count(field, []byte("\r\n")) != bytes.Count(field, []byte("\r\n\t"))+1 {
			t.Fatalf("more than one field: %q", field)
		}
		wire := wireForm(msg)
		if oracleDiffers(msg, name) {
			return
		}
		mustVerify(t, append(field, wire...), lookup, countSignatures(wire)+1)
	})
}

// wireForm is the message with the line ends of the body as they are sent.
func wireForm(msg []byte) []byte {
	at := findBody([][]byte{msg})
	if at.piece > 0 {
		return append(bytes.TrimSuffix(bytes.Clone(msg), crlf), "\r\n\r\n"...)
	}
	body := bytes.ReplaceAll(msg[at.offset:], []byte("\r\n"), []byte("\n"))
	body = bytes.ReplaceAll(body, []byte("\r"), []byte("\n"))
	return append(bytes.Clone(msg[:at.offset]), bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n"))...)
}

func countSignatures(wire []byte) int {
	fields, _ := appendFields(nil, wire)
	n := 0
	for _, f := range fields {
		if equalFold(string(f.name), "DKIM-Signature") {
			n++
		}
	}
	return n
}

// oracleDiffers picks out messages with which the other implementation itself
// leaves the RFC: it trims Unicode white space and control characters from header lines and names
// and takes "b=" inside another tag for the signature, and a second signature in
// the message is not ours to answer for.
func oracleDiffers(msg []byte, name string) bool {
	at := findBody([][]byte{msg})
	header := msg
	if at.piece == 0 {
		header = msg[:at.offset]
	}
	for _, c := range header {
		if c >= 0x80 || c < ' ' && c != '\r' && c != '\n' {
			return true
		}
	}
	for _, c := range []byte(name) {
		if c >= 0x80 || c == '=' {
			return true
		}
	}
	return countSignatures(msg) > 0 || bytes.Contains(header, []byte(" \r\n"))
}
