// Package certs is where TLS certificates come from: files that someone else
// renews, an ACME authority, a local authority for development, self-signed ones.
// A Source chooses among them for every listener.
//
// Invariants:
//   - A private key is written with mode 0600 and never otherwise.
//   - Files appear whole or not at all; an authority that exists is never replaced.
//   - Certificates made on demand are bounded in number and life.
//   - A handshake never fails, nor waits, for want of a better certificate, except
//     where ACME.Allow agreed to a name.
package certs
