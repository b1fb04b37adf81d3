package dkim

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind is what a signature field signs.
type Kind uint8

const (
	// MessageSignature is a DKIM-Signature (RFC 6376).
	MessageSignature Kind = iota
	// ARCMessageSignature is the signature of a message in an ARC set (RFC 8617,
	// section 4.1.2).
	ARCMessageSignature
	// ARCSeal signs ARC sets (RFC 8617, section 4.1.3).
	ARCSeal
)

// FieldName is the name of fields of the kind.
func (k Kind) FieldName() string {
	switch k {
	case ARCMessageSignature:
		return "ARC-Message-Signature"
	case ARCSeal:
		return "ARC-Seal"
	default:
		return "DKIM-Signature"
	}
}

// maxSignatureBytes bounds a signature field that is read.
const maxSignatureBytes = 16 << 10

// Why a signature is not valid. The texts of wrapping errors say more, and hold
// nothing of the message.
var (
	// ErrSignatureSyntax: the field is malformed or lacks a tag.
	ErrSignatureSyntax = errors.New("malformed signature")
	// ErrWeak: the signature protects too little to count: SHA-1, a short key, a
	// part of the body only.
	ErrWeak = errors.New("signature too weak")
	// ErrExpired: the time "x=" has passed.
	ErrExpired = errors.New("signature expired")
	// ErrUnsuitable: the key record is not for this signature.
	ErrUnsuitable = errors.New("unsuitable key")
	// ErrBodyHash: the body was changed.
	ErrBodyHash = errors.New("body hash did not verify")
	// ErrSignature: the header was changed, or another key signed.
	ErrSignature = errors.New("signature did not verify")
)

// Signature is a signature field that was read.
type Signature struct {
	Kind Kind
	// Algorithm is "a=", such as "rsa-sha256".
	Algorithm string
	// Domain and Selector name the key record, in lower case and A-labels.
	Domain, Selector string
	// Identity is the agent or user "i=" as written, with the "@".
	Identity string
	// Instance is the number of the ARC set, 0 with DKIM.
	Instance int
	// Status is "cv=" of a seal.
	Status string
	// Headers are the names in "h=".
	Headers []string
	// Header and Body are "c=".
	Header, Body Canonicalization
	// BodyHash and Value are "bh=" and "b=", decoded.
	BodyHash, Value []byte
	// Length is how much of the canonical body is signed, -1 for all.
	Length int64
	// Expiry is "x=", zero if there is none.
	Expiry time.Time

	field Field
}

// Field is what the signature was read from.
func (s *Signature) Field() Field { return s.field }

// KeyName is the name of the key record.
func (s *Signature) KeyName() string { return s.Selector + "._domainkey." + s.Domain }

// ParseSignature reads a signature field. With an error, which wraps
// ErrSignatureSyntax or ErrWeak, comes what was understood up to there.
func ParseSignature(kind Kind, f Field) (*Signature, error) {
	s := &Signature{Kind: kind, Length: -1, field: f}
	value := f.Value()
	if len(value) > maxSignatureBytes {
		return s, fmt.Errorf("%w: too long", ErrSignatureSyntax)
	}
	values, err := parseTags(string(value))
	if err != nil {
		return s, fmt.Errorf("%w: not a list of tags", ErrSignatureSyntax)
	}
	for _, read := range []func(map[string]string) error{s.readInstance, s.readKey, s.readKind, s.readValue, s.readMessage, s.readTimes} {
		if err := read(values); err != nil {
			return s, err
		}
	}
	return s, nil
}

func badTag(name string) error { return fmt.Errorf("%w: tag %s", ErrSignatureSyntax, name) }

// readKey reads what names the key.
func (s *Signature) readKey(values map[string]string) error {
	domain, err := signingDomain(values["d"])
	if err != nil {
		return badTag("d")
	}
	s.Domain = strings.ToLower(domain)
	if s.Selector, err = signingDomain(values["s"]); err != nil {
		return badTag("s")
	}
	s.Selector = strings.ToLower(s.Selector)
	switch a := strings.ToLower(values["a"]); a {
	case rsaSHA256, ed25519SHA256:
		s.Algorithm = a
	case "rsa-sha1":
		s.Algorithm = a
		return fmt.Errorf("%w: SHA-1", ErrWeak) // RFC 8301, section 3.1
	default:
		return badTag("a")
	}
	for method := range strings.SplitSeq(values["q"], ":") {
		if m := strings.Trim(method, " \t\r\n"); m == "dns/txt" || values["q"] == "" {
			return nil
		}
	}
	return badTag("q")
}

// readKind reads what the kinds differ in.
func (s *Signature) readKind(values map[string]string) error {
	if s.Kind == MessageSignature {
		if values["v"] != "1" {
			return badTag("v")
		}
		s.Identity = "@" + s.Domain
		if i, ok := values["i"]; ok {
			if !identityFits(i, s.Domain) {
				return badTag("i")
			}
			s.Identity = i
		}
		return nil
	}
	if s.Kind != ARCSeal {
		return nil
	}
	if _, ok := values["h"]; ok { // RFC 8617, section 4.1.3
		return badTag("h")
	}
	s.Status = strings.ToLower(values["cv"])
	if s.Status != "none" && s.Status != "pass" && s.Status != "fail" {
		return badTag("cv")
	}
	return nil
}

// readInstance comes first: also a broken field belongs to a set.
func (s *Signature) readInstance(values map[string]string) error {
	if s.Kind == MessageSignature {
		return nil
	}
	if s.Instance = ParseInstance(values["i"]); s.Instance == 0 {
		return badTag("i")
	}
	return nil
}

// ParseInstance reads the number of an ARC set, from 1 to 50 (RFC 8617, section
// 3.9). It returns 0 for what is none.
func ParseInstance(s string) int {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || len(s) > 2 || n > maxInstance {
		return 0
	}
	return int(n)
}

func (s *Signature) readValue(values map[string]string) (err error) {
	if s.Value, err = decode64(values["b"]); err != nil || len(s.Value) == 0 {
		return badTag("b")
	}
	return nil
}

func decode64(s string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s))
}

// readMessage reads what tells how a message was signed.
func (s *Signature) readMessage(values map[string]string) (err error) {
	if s.Kind == ARCSeal {
		return nil
	}
	if s.BodyHash, err = decode64(values["bh"]); err != nil || len(s.BodyHash) != len(BodyHash{}) {
		return badTag("bh")
	}
	header, body, _ := strings.Cut(values["c"], "/")
	var headerOK, bodyOK bool
	s.Header, headerOK = parseCanonicalization(header)
	s.Body, bodyOK = parseCanonicalization(body)
	if !headerOK || !bodyOK {
		return badTag("c")
	}
	if l, ok := values["l"]; ok {
		n, err := strconv.ParseUint(l, 10, 63)
		if err != nil {
			return badTag("l")
		}
		s.Length = int64(n)
	}
	return s.readHeaders(values["h"])
}

// parseCanonicalization reads one half of "c=", where simple is the default.
func parseCanonicalization(s string) (Canonicalization, bool) {
	switch strings.ToLower(strings.Trim(s, " \t\r\n")) {
	case "", "simple":
		return Simple, true
	case "relaxed":
		return Relaxed, true
	}
	return Simple, false
}

func (s *Signature) readHeaders(list string) error {
	s.Headers = splitList(list)
	from := false
	for _, name := range s.Headers {
		from = from || equalFold(name, "From")
		if s.Kind == ARCMessageSignature && equalFold(name, "ARC-Seal") {
			return badTag("h") // RFC 8617, section 4.1.2
		}
	}
	if !from {
		return fmt.Errorf("%w: From is not signed", ErrSignatureSyntax)
	}
	return nil
}

func (s *Signature) readTimes(values map[string]string) error {
	var times [2]int64
	for i, name := range []string{"t", "x"} {
		text, ok := values[name]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil || len(text) > 12 { // RFC 6376, section 3.5
			return badTag(name)
		}
		times[i] = int64(n)
	}
	if _, ok := values["x"]; ok {
		if times[1] <= times[0] {
			return badTag("x")
		}
		s.Expiry = time.Unix(times[1], 0)
	}
	return nil
}

// unsigned is the field as it was signed: without the value of "b=" (RFC 6376,
// section 3.7).
func (s *Signature) unsigned() []byte {
	raw := s.field.raw
	start := len(raw) - len(s.field.Value())
	for start < len(raw) {
		end := len(raw)
		if i := bytes.IndexByte(raw[start:], ';'); i >= 0 {
			end = start + i
		}
		name, _, ok := bytes.Cut(raw[start:end], []byte("="))
		if ok && string(bytes.Trim(name, " \t\r\n")) == "b" {
			return append(bytes.Clone(raw[:start+len(name)+1]), raw[end:]...)
		}
		start = end + 1
	}
	return raw
}
