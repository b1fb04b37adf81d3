package scram

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"testing"
)

// rfcVerifier is that of the example in RFC 7677, section 3.
func rfcVerifier(t testing.TB) Verifier {
	t.Helper()
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	v, err := Derive("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	rfcFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
	rfcNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	rfcFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)

func TestRFC7677(t *testing.T) {
	var x Exchange
	user, err := x.First(rfcFirst)
	if user != "user" || err != nil {
		t.Fatal(user, err)
	}
	if got := x.Challenge(rfcVerifier(t), rfcNonce); got != "r=rOprNGfwEbeRWgbNEkqO"+rfcNonce+",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096" {
		t.Error(got)
	}
	got, err := x.Final(rfcFinal)
	if got != "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" || err != nil {
		t.Error(got, err)
	}
}

// answer is the client's final message, written from RFC 5802, section 3.
func answer(password, first, challenge, gs2 string, data []byte) string {
	f := strings.Split(challenge, ",")
	salt, _ := base64.StdEncoding.DecodeString(f[1][2:])
	n, _ := strconv.Atoi(f[2][2:])
	v, _ := Derive(password, salt, n)
	without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(gs2), data...)) + "," + f[0]
	signed := strings.TrimPrefix(first, gs2) + "," + challenge + "," + without
	key := clientKey(password, salt, n)
	proof := make([]byte, sha256.Size)
	subtle.XORBytes(proof, key, mac(v.StoredKey[:], signed))
	return without + ",p=" + base64.StdEncoding.EncodeToString(proof)
}

func clientKey(password string, salt []byte, n int) []byte {
	salted, _ := pbkdf2.Key(sha256.New, password, salt, n, sha256.Size)
	return mac(salted, "Client Key")
}

func TestFirst(t *testing.T) {
	bindings := []Binding{{"tls-exporter", []byte("data")}}
	tests := []struct {
		msg  string
		plus bool
		with []Binding
		user string
		err  error
	}{
		{"n,,n=user,r=abc", false, nil, "user", nil},
		{"y,,n=user,r=abc,ext=1", false, nil, "user", nil},
		{"n,a=user,n=user,r=abc", false, bindings, "user", nil},
		{"n,,n=a=2Cb=3Dc,r=abc", false, nil, "a,b=c", nil},
		{"p=tls-exporter,,n=user,r=abc", true, bindings, "user", nil},
		{"y,,n=user,r=abc", false, bindings, "", ErrBinding},
		{"p=tls-unique,,n=user,r=abc", true, bindings, "", ErrBinding},
		{"p=tls-exporter,,n=user,r=abc", false, bindings, "", ErrMessage},
		{"n,,n=user,r=abc", true, bindings, "", ErrMessage},
		{"n,a=root,n=user,r=abc", false, nil, "", ErrMessage},
		{"n,,m=x,n=user,r=abc", false, nil, "", ErrMessage},
		{"n,,n=us=er,r=abc", false, nil, "", ErrMessage},
		{"n,,n=us\x00er,r=abc", false, nil, "", ErrMessage},
		{"n,,n=,r=abc", false, nil, "", ErrMessage},
		{"n,,n=user,r=", false, nil, "", ErrMessage},
		{"n,,n=user,r=a\x7f", false, nil, "", ErrMessage},
		{"n,,n=user", false, nil, "", ErrMessage},
		{"x,,n=user,r=abc", false, nil, "", ErrMessage},
		{"n,", false, nil, "", ErrMessage},
		{"", false, nil, "", ErrMessage},
		{"n,,n=user,r=" + strings.Repeat("a", maxNonce+1), false, nil, "", ErrMessage},
		{"n,,n=" + strings.Repeat("a", maxMessage) + ",r=abc", false, nil, "", ErrMessage},
	}
	for _, tt := range tests {
		x := Exchange{Plus: tt.plus, Bindings: tt.with}
		if user, err := x.First(tt.msg); user != tt.user || !errors.Is(err, tt.err) {
			t.Errorf("%.60q: %q, %v", tt.msg, user, err)
		}
	}
}

func TestFinal(t *testing.T) {
	for msg, want := range map[string]error{
		rfcFinal: nil,
		strings.Replace(rfcFinal, "dHzb", "eHzb", 1):            ErrProof,
		strings.Replace(rfcFinal, "c=biws", "c=eSws", 1):        ErrBinding,
		strings.Replace(rfcFinal, "c=biws", "c=!", 1):           ErrMessage,
		strings.Replace(rfcFinal, "k0,", "k1,", 1):              ErrMessage,
		strings.Replace(rfcFinal, "r=rOpr", "r=xOpr", 1):        ErrMessage,
		strings.Replace(rfcFinal, "dHzb", "", 1):                ErrMessage,
		"c=biws,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=": ErrMessage,
		rfcFinal + "\n": ErrMessage, strings.Replace(rfcFinal, "VQ=", "VR=", 1): ErrMessage, // the same octets in another text
		"": ErrMessage, ",p=": ErrMessage, strings.Repeat("a", maxMessage) + ",p=": ErrMessage,
	} {
		var x Exchange
		if _, err := x.First(rfcFirst); err != nil {
			t.Fatal(err)
		}
		x.Challenge(rfcVerifier(t), rfcNonce)
		if got, err := x.Final(msg); !errors.Is(err, want) || (got == "") != (want != nil) {
			t.Errorf("%q: %q, %v", msg, got, err)
		}
	}
}

func TestPlus(t *testing.T) {
	const first = "p=tls-exporter,,n=user,r=abc"
	for data, want := range map[string]error{"data": nil, "other": ErrBinding, "": ErrBinding} {
		x := Exchange{Plus: true, Bindings: []Binding{{"tls-unique", nil}, {"tls-exporter", []byte("data")}}}
		if _, err := x.First(first); err != nil {
			t.Fatal(err)
		}
		challenge := x.Challenge(rfcVerifier(t), "xyz")
		if _, err := x.Final(answer("pencil", first, challenge, "p=tls-exporter,,", []byte(data))); !errors.Is(err, want) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func TestVerifierText(t *testing.T) {
	v := rfcVerifier(t)
	s := v.Encode()
	got, err := Decode(s)
	if err != nil || got.Encode() != s || got.StoredKey != v.StoredKey || got.ServerKey != v.ServerKey {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "x", strings.Replace(s, "256", "1", 1), strings.Replace(s, "4096", "0", 1), strings.Replace(s, "4096", "99999999", 1),
		strings.Replace(s, "W22Z", "W22!", 1), s + "A", s[:len(s)-4], strings.Replace(s, ":", "", 1), s[:strings.LastIndex(s, ":")] + ":" + strings.Repeat("A", 4*sha256.Size)} {
		if v, err := Decode(bad); err == nil {
			t.Errorf("%q: %+v", bad, v)
		}
	}
	if _, err := Derive("p\u00e4ss", []byte("salt"), 4096); !errors.Is(err, ErrPassword) {
		t.Error(err)
	}
}

// FuzzExchange: whatever a client says, it is let in only with the proof of the
// password, and the user name is the one it gave.
func FuzzExchange(f *testing.F) {
	v := rfcVerifier(f)
	f.Add(rfcFirst, rfcFinal, false)
	f.Add("p=tls-exporter,,n=user,r=abc", "c=cD10bHMtZXhwb3J0ZXIsLGRhdGE=,r=abc,p=", true)
	f.Add("y,a=b=2C,n=b=2C,r=x,y=z", "c=,r=,p=AAAA", false)
	f.Fuzz(func(t *testing.T, first, final string, plus bool) {
		x := Exchange{Plus: plus}
		if plus {
			x.Bindings = []Binding{{"tls-exporter", []byte("data")}}
		}
		user, err := x.First(first)
		if err != nil {
			return
		}
		if user == "" || !strings.Contains(first, x.gs2+x.bare) {
			t.Fatalf("%q: user %q, header %q, rest %q", first, user, x.gs2, x.bare)
		}
		challenge := x.Challenge(v, rfcNonce)
		if got, err := x.Final(final); err == nil && (final != rfcFinal || first != rfcFirst) {
			t.Fatalf("%q, %q was let in with %q", first, final, got)
		}
		if got, err := x.Final(answer("pencil", first, challenge, x.gs2, x.data)); err != nil {
			t.Fatalf("%q, the right answer: %q, %v", first, got, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(rfcVerifier(f).Encode())
	f.Add("SCRAM-SHA-256$1:AA==$:")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := Decode(s)
		if err != nil {
			return
		}
		again, err := Decode(v.Encode())
		if err != nil || again.Encode() != v.Encode() {
			t.Fatalf("%q: %+v, %v", s, again, err)
		}
	})
}
