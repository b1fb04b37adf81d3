// Package trackhost decides which host the links of a domain's mail have, and gets
// the certificates of tracking hosts.
//
// Invariants:
//   - A link works when the mail is sent: it has the domain's own host only if that
//     was found to lead here and, for https, a certificate for it is there. Otherwise
//     it has the server's.
//   - A certificate is obtained for a name only after its owner asked for it, and its
//     record led here then. From then on it is renewed until the domain is deleted,
//     also when the domain has another host: old mail has links with this one.
//   - What the state of a certificate is says the source of certificates, the one
//     that serves them; the table keeps only that it was asked for.
//
// Tables: tracking_certificate.
// Callers: app.
package trackhost
