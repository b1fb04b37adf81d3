// Package scram is the server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS
// (RFC 5802, 7677), with what is kept of a password for it. Sending and
// receiving the messages is the caller's.
//
// Passwords and user names are compared octet by octet. Only passwords of
// printable US-ASCII have a verifier, for which SASLprep (RFC 4013) changes
// nothing.
package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// Iterations of the hash for new passwords; RFC 7677 asks for 4096 at least.
const Iterations = 10_000

// Bounds of what is parsed.
const (
	maxMessage    = 2048
	maxIterations = 1_000_000
	maxSalt       = 64
	maxNonce      = 256
)

var (
	// ErrMessage is a message that breaks the protocol, or asks for what is not
	// supported.
	ErrMessage = errors.New("scram: malformed message")
	// ErrBinding is a message whose channel binding is not that of the connection:
	// somebody is in the middle.
	ErrBinding = errors.New("scram: channel binding does not match")
	// ErrProof is a proof of another password.
	ErrProof = errors.New("scram: wrong password")
	// ErrPassword is a password for which no verifier can be made.
	ErrPassword = errors.New("scram: password is not printable US-ASCII")
	// ErrVerifier is a text that Encode did not write.
	ErrVerifier = errors.New("scram: malformed verifier")
)

// Verifier is what is kept of a password (RFC 5802, section 3). With it a server
// can be impersonated, and passwords can be tried at the rate of the hash, so it
// is to be kept like a secret.
type Verifier struct {
	Salt       []byte
	Iterations int
	StoredKey  [sha256.Size]byte
	ServerKey  [sha256.Size]byte
}

// Derive makes the verifier of a password. The error is ErrPassword.
func Derive(password string, salt []byte, iterations int) (Verifier, error) {
	for i := 0; i < len(password); i++ {
		if password[i] < ' ' || password[i] > '~' {
			return Verifier{}, ErrPassword
		}
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil { // FIPS mode refuses short salts
		return Verifier{}, err
	}
	v := Verifier{Salt: salt, Iterations: iterations, StoredKey: sha256.Sum256(mac(salted, "Client Key"))}
	copy(v.ServerKey[:], mac(salted, "Server Key"))
	return v, nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Encode is the text form of a verifier, for storing:
// "SCRAM-SHA-256$iterations:salt$stored key:server key".
func (v Verifier) Encode() string {
	b := base64.StdEncoding
	return "SCRAM-SHA-256$" + strconv.Itoa(v.Iterations) + ":" + b.EncodeToString(v.Salt) + "$" +
		b.EncodeToString(v.StoredKey[:]) + ":" + b.EncodeToString(v.ServerKey[:])
}

// Decode is the inverse of Encode. The error is ErrVerifier.
func Decode(s string) (Verifier, error) {
	var v Verifier
	kind, rest, _ := strings.Cut(s, "$")
	head, keys, _ := strings.Cut(rest, "$")
	count, salt, _ := strings.Cut(head, ":")
	stored, server, _ := strings.Cut(keys, ":")
	n, err := strconv.Atoi(count)
	if kind != "SCRAM-SHA-256" || err != nil || n < 1 || n > maxIterations {
		return v, ErrVerifier
	}
	v.Iterations = n
	b := base64.StdEncoding.Strict()
	v.Salt, err = b.DecodeString(salt)
	k1, err1 := b.DecodeString(stored)
	k2, err2 := b.DecodeString(server)
	if err := errors.Join(err, err1, err2); err != nil || len(v.Salt) == 0 || len(v.Salt) > maxSalt ||
		copy(v.StoredKey[:], k1) != len(k1) || copy(v.ServerKey[:], k2) != len(k2) || len(k1) != sha256.Size || len(k2) != sha256.Size {
		return Verifier{}, ErrVerifier
	}
	return v, nil
}

// Binding is the channel binding of a connection (RFC 5929, 9266).
type Binding struct {
	Name string // such as "tls-exporter"
	Data []byte
}

// Exchange is one authentication, as the server sees it: First, Challenge,
// Final, in this order.
type Exchange struct {
	// Plus is set for SCRAM-SHA-256-PLUS, which demands one of the Bindings.
	Plus     bool
	Bindings []Binding

	user   string
	gs2    string // header of the client's first message
	bare   string // the rest of it
	cnonce string
	nonce  string
	first  string // ours
	data   []byte // of the binding chosen
	v      Verifier
}

// First reads the client's first message and returns the user name. Errors:
// ErrMessage, ErrBinding.
func (x *Exchange) First(msg string) (user string, err error) {
	if len(msg) > maxMessage {
		return "", ErrMessage
	}
	flag, rest, ok1 := strings.Cut(msg, ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok1 || !ok2 {
		return "", ErrMessage
	}
	if err := x.bind(flag); err != nil {
		return "", err
	}
	x.gs2, x.bare = msg[:len(msg)-len(bare)], bare
	// A reserved extension ("m=") comes before the name and must be refused.
	name, rest, _ := strings.Cut(bare, ",")
	nonce, _, _ := strings.Cut(rest, ",")
	var ok bool
	if x.user, ok = saslname(name, "n="); !ok {
		return "", ErrMessage
	}
	if authzid != "" {
		if other, ok := saslname(authzid, "a="); !ok || other != x.user {
			return "", ErrMessage
		}
	}
	if x.cnonce, ok = strings.CutPrefix(nonce, "r="); !ok || !isNonce(x.cnonce) {
		return "", ErrMessage
	}
	return x.user, nil
}

// bind judges the flag of the channel binding. A client that could bind and
// believes that we cannot was told so by somebody else (RFC 5802, section 6).
func (x *Exchange) bind(flag string) error {
	name, asked := strings.CutPrefix(flag, "p=")
	switch {
	case asked != x.Plus:
		return ErrMessage
	case asked:
		for _, b := range x.Bindings {
			if b.Name == name {
				x.data = b.Data
				return nil
			}
		}
		return ErrBinding
	case flag == "n":
		return nil
	case flag == "y" && len(x.Bindings) == 0:
		return nil
	case flag == "y":
		return ErrBinding
	}
	return ErrMessage
}

// saslname reads a name in which a comma is =2C and an equals sign =3D.
func saslname(s, prefix string) (string, bool) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok || s == "" || strings.IndexByte(s, 0) >= 0 {
		return "", false
	}
	if strings.Count(s, "=") != strings.Count(s, "=2C")+strings.Count(s, "=3D") {
		return "", false
	}
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s), true
}

func isNonce(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '!' || s[i] > '~' || s[i] == ',' {
			return false
		}
	}
	return s != "" && len(s) <= maxNonce
}

// Challenge returns the server's first message. The nonce must never have been
// used before.
func (x *Exchange) Challenge(v Verifier, nonce string) string {
	x.v, x.nonce = v, x.cnonce+nonce
	x.first = "r=" + x.nonce + ",s=" + base64.StdEncoding.EncodeToString(v.Salt) + ",i=" + strconv.Itoa(v.Iterations)
	return x.first
}

// Final reads the client's final message and returns the server's, by which it
// proves that it knows the verifier. Errors: ErrMessage, ErrBinding, ErrProof.
func (x *Exchange) Final(msg string) (string, error) {
	cut := strings.LastIndex(msg, ",p=")
	if len(msg) > maxMessage || cut < 0 || strings.ContainsAny(msg, "\r\n") { // base64 would skip them
		return "", ErrMessage
	}
	binding, rest, _ := strings.Cut(msg[:cut], ",")
	nonce, _, _ := strings.Cut(rest, ",")
	encoded, ok := strings.CutPrefix(binding, "c=")
	if !ok || nonce != "r="+x.nonce {
		return "", ErrMessage
	}
	b := base64.StdEncoding.Strict()
	bound, err1 := b.DecodeString(encoded)
	proof, err2 := b.DecodeString(msg[cut+3:])
	if err1 != nil || err2 != nil || len(proof) != sha256.Size {
		return "", ErrMessage
	}
	if subtle.ConstantTimeCompare(bound, append([]byte(x.gs2), x.data...)) != 1 {
		return "", ErrBinding
	}
	signed := x.bare + "," + x.first + "," + msg[:cut]
	key := make([]byte, sha256.Size)
	subtle.XORBytes(key, proof, mac(x.v.StoredKey[:], signed))
	hash := sha256.Sum256(key)
	if subtle.ConstantTimeCompare(hash[:], x.v.StoredKey[:]) != 1 {
		return "", ErrProof
	}
	return "v=" + base64.StdEncoding.EncodeToString(mac(x.v.ServerKey[:], signed)), nil
}
