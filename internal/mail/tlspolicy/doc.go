// Package tlspolicy reads what a mail domain publishes about TLS, and judges
// certificates by it: MTA-STS policies, DANE records and where to report.
// Looking them up and keeping them is the business of core/peer.
//
// Invariants:
//   - Everything here is pure: no clock, no network, no state.
//   - Texts come from strangers. Reading takes time and memory in proportion to
//     the text, which is bounded, and what cannot be read is an error, never a
//     weaker policy.
//   - Names are compared as A-labels, in lower case, without a final dot.
//
// Sources: RFC 8461 (MTA-STS), 6698, 7671 and 7672 (DANE), 8460 (TLS reports).
package tlspolicy
