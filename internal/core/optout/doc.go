// Package optout is how recipients leave: the page on which they do, for mail of
// a domain, mail with certain tags and mailing lists; the one click of mail
// programs (RFC 8058); and the address they may write to.
//
// A link carries a token (mail/linktoken) that names recipient, message and
// domain, an address (report.UnsubscribeAddress) names the message and, by a MAC,
// the recipient. Both are valid for as long as the installation's secret is: when
// the message's retention is over, its events tell what the event says about it,
// and without them there is still who leaves which domain, or which tags.
//
// To look changes nothing (RFC 8058 section 3.1): GET asks, only POST unsubscribes.
// What was done by a link can be undone by it, and nothing else can.
//
// An event `unsubscribed` and the entries that suppress makes of it are one
// transaction, which is committed before the answer; leaving again makes no other
// event.
//
// The package has no tables. Callers: the HTTP operations in api.go, inbound, and
// list for its page.
package optout
