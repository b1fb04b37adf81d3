// Package dkim signs messages with DomainKeys Identified Mail (RFC 6376, with
// the algorithm rules of RFC 8301 and the Ed25519 keys of RFC 8463), verifies
// such signatures, and reads and writes the keys and DNS records that go with
// it. The signatures and seals of ARC (RFC 8617) are of the same make and are
// made and verified here, too; what a chain of them means is not known here.
//
// Signing is on the hot path of every outgoing message, hence its shape: the message
// is given as pieces and never copied, the body is canonicalised while it is
// hashed, several signatures share one body hash and one canonical header, and
// all scratch memory is pooled.
//
// Invariants:
//   - A signature covers every From field and one more that does not exist, so
//     that none can be added later (RFC 6376, sections 5.4 and 8.15).
//   - Only rsa-sha256 with 1024 to 4096 bits and ed25519-sha256 are produced
//     (RFC 8301, section 3); the body length tag "l=" never is (RFC 6376,
//     section 8.2).
//   - The body hash is that of the message as it goes over the wire: a bare CR
//     or bare LF in the body counts as CRLF, and a missing last CRLF is added.
//     A bare CR or LF in the header is an error, since it would end a field.
//   - Nothing of the input reaches the signature field without validation, so no
//     domain, selector or identity can inject a header field.
//   - Verifying takes time and memory in proportion to the message, for each
//     signature. It asks nobody: the caller brings the key record and the time.
package dkim
