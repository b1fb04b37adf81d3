// Package certs provides the TLS certificates that do not come from a public
// authority: a local authority for development, self-signed ones, and files that
// someone else renews.
//
// Invariants:
//   - A private key is written with mode 0600 and never otherwise.
//   - Files appear whole or not at all; an authority that exists is never replaced.
//   - Certificates made on demand are bounded in number and life.
package certs
