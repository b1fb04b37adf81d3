package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// RecordForm is how a key record is written.
type RecordForm uint8

const (
	// Full begins with the version: "v=DKIM1; k=rsa; p=...".
	Full RecordForm = iota
	// Short leaves out the version, which is optional. Mailgun: "k=rsa; p=...".
	Short
)

// Errors of key records.
var (
	// ErrRecordSyntax: the text is no DKIM key record.
	ErrRecordSyntax = errors.New("dkim: malformed key record")
	// ErrRecordVersion: the record is of another version than DKIM1.
	ErrRecordVersion = errors.New("dkim: key record is not of version DKIM1")
)

// PublicRecord returns the text of the TXT record that publishes a key (RFC 6376,
// section 3.6.1; RFC 8463, section 4.2). A text of more than 255 bytes must be cut
// into several strings of one TXT record: see SplitTXT.
func PublicRecord(pub crypto.PublicKey, form RecordForm) (string, error) {
	var kind string
	var data []byte
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return "", fmt.Errorf("dkim: marshal public key: %w", err)
		}
		kind, data = "rsa", der
	case ed25519.PublicKey:
		kind, data = "ed25519", pub
	default:
		return "", fmt.Errorf("%w: %T", ErrBadKey, pub)
	}
	text := "k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(data)
	if form == Full {
		text = "v=DKIM1; " + text
	}
	return text, nil
}

// SplitTXT cuts a text into the character strings of a TXT record, of at most 255
// bytes each (RFC 1035, section 3.3.14).
func SplitTXT(text string) []string {
	parts := make([]string, 0, len(text)/255+1)
	for len(text) > 255 {
		parts = append(parts, text[:255])
		text = text[255:]
	}
	return append(parts, text)
}

// Record is a key record as published (RFC 6376, section 3.6.1).
type Record struct {
	// KeyType is "k=", "rsa" if absent.
	KeyType string
	// PublicKey is *rsa.PublicKey or ed25519.PublicKey, nil if the key is revoked.
	PublicKey crypto.PublicKey
	// Revoked: the record is there but "p=" is empty.
	Revoked bool
	// Hashes are the algorithms of "h=", nil for all.
	Hashes []string
	// Services are those of "s=", nil for all.
	Services []string
	// Testing is the flag "y", Strict the flag "s" of "t=".
	Testing, Strict bool
	// Notes is the text of "n=", for people.
	Notes string
}

// Publishes reports whether the record holds the public key given.
func (r Record) Publishes(pub crypto.PublicKey) bool {
	type equaler interface{ Equal(crypto.PublicKey) bool }
	own, ok := r.PublicKey.(equaler)
	return ok && own.Equal(pub)
}

// maxRecordBytes bounds what is parsed; a record of 4096 bits has 800 bytes.
const maxRecordBytes = 8 << 10

// ParseRecord reads the text of a key record, the strings of the TXT record
// joined. Unknown tags are ignored, as RFC 6376, section 3.2, wants.
func ParseRecord(text string) (Record, error) {
	if len(text) > maxRecordBytes {
		return Record{}, fmt.Errorf("%w: longer than %d bytes", ErrRecordSyntax, maxRecordBytes)
	}
	values, err := parseTags(text)
	if err != nil {
		return Record{}, err
	}
	if v, ok := values["v"]; ok && v != "DKIM1" {
		return Record{}, fmt.Errorf("%w: %q", ErrRecordVersion, v)
	}
	p, ok := values["p"]
	if !ok {
		return Record{}, fmt.Errorf("%w: no tag p", ErrRecordSyntax)
	}
	r := Record{
		KeyType:  "rsa",
		Hashes:   splitList(values["h"]),
		Services: splitList(values["s"]),
		Notes:    values["n"],
		Revoked:  p == "",
	}
	if k, ok := values["k"]; ok {
		r.KeyType = strings.ToLower(k)
	}
	for _, flag := range splitList(values["t"]) {
		r.Testing = r.Testing || flag == "y"
		r.Strict = r.Strict || flag == "s"
	}
	if r.Revoked {
		return r, nil
	}
	r.PublicKey, err = parsePublicKey(r.KeyType, p)
	return r, err
}

func parsePublicKey(kind, text string) (crypto.PublicKey, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fmt.Errorf("%w: tag p is not base64", ErrRecordSyntax)
	}
	switch kind {
	case "rsa":
		return parseRSAPublicKey(data)
	case "ed25519":
		if len(data) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: Ed25519 key of %d bytes", ErrRecordSyntax, len(data))
		}
		return ed25519.PublicKey(data), nil
	default:
		return nil, fmt.Errorf("%w: key type %q", ErrBadKey, kind)
	}
}

// parseRSAPublicKey takes SubjectPublicKeyInfo, which is in use, and
// RSAPublicKey, which the text of RFC 6376 names (erratum 3017).
func parseRSAPublicKey(der []byte) (crypto.PublicKey, error) {
	if pub, err := x509.ParsePKIXPublicKey(der); err == nil {
		if key, ok := pub.(*rsa.PublicKey); ok {
			return key, nil
		}
		return nil, fmt.Errorf("%w: %T in a record of type rsa", ErrBadKey, pub)
	}
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: tag p is not an RSA key", ErrRecordSyntax)
	}
	return key, nil
}

// parseTags reads a tag list (RFC 6376, section 3.2).
func parseTags(text string) (map[string]string, error) {
	values := make(map[string]string)
	rest := strings.TrimRight(text, " \t\r\n")
	rest = strings.TrimSuffix(rest, ";")
	for part := range strings.SplitSeq(rest, ";") {
		name, value, ok := strings.Cut(part, "=")
		name = strings.Trim(name, " \t\r\n")
		if !ok || !validTagName(name) {
			return nil, fmt.Errorf("%w: %q is not a tag", ErrRecordSyntax, part)
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("%w: tag %s given twice", ErrRecordSyntax, name)
		}
		values[name] = strings.Trim(value, " \t\r\n")
	}
	return values, nil
}

func validTagName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := lower(s[i])
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || (c != '_' && (c < '0' || c > '9'))) {
			return false
		}
	}
	return s != ""
}

func splitList(value string) []string {
	if value == "" {
		return nil
	}
	parts := strings.Split(value, ":")
	for i, p := range parts {
		parts[i] = strings.Trim(p, " \t\r\n")
	}
	return parts
}
