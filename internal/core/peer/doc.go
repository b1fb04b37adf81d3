// Package peer keeps what is known about other mail servers: the MTA-STS policies
// of the domains mail goes to, what DANE says about their hosts, which hosts offer
// a TLS that does not work, and how TLS went, for the reports of RFC 8460.
//
// It decides what TLS a connection must have (Check) and whether it has it
// (VerifyConnection); deliver asks before it dials and hands the answer to its
// TLS configuration.
//
// What holds for a host, strictest first:
//   - DANE, if the hosts of the domain, the host's address and its TLSA records are
//     all secure: TLS is required and a record must match. Where all records
//     are of no use TLS is required, the certificate does not matter.
//   - MTA-STS in mode "enforce": the host must be named in the policy, and TLS
//     with a certificate valid for the host is required. A match by DANE counts
//     as such a certificate; a failed one is not made up for by it (RFC 8461,
//     section 2).
//   - What the message or its domain wants.
//   - Otherwise TLS is used if it works, and the certificate only noted.
//
// A policy in mode "testing" or "none" changes no delivery and is not part of a
// lane's identity; how it would have gone is only reported.
//
// Invariants:
//   - A policy once fetched holds for its age, whatever fails later; it is not
//     given up because DNS or the policy host cannot be reached.
//   - Looking for a policy delays a delivery by Options.Wait at most, once. What
//     cannot be had in that time counts as absent, as RFC 8461 has it; trouble of
//     our own (the store, shutdown) does not.
//   - Memory is bounded in domains, hosts and results.
//
// Tables: mta_sts, tls_result. Callers: deliver. Run refreshes policies in use and
// writes the results.
package peer
