// Package inbound takes mail from outside for the accounts' domains: it decides
// at RCPT whether an address is ours and can be for somebody, and after DATA what
// becomes of the message.
//
// An address is taken if it is a return path or an address for leaving that we
// signed, a mailing list or a way out of one, or if a route of the account could
// match. Everything else is refused at RCPT, so that nothing has to be bounced
// later; mail for other domains always is.
//
// A message is judged (mail/authres, spam), gets the fields that say so, and goes
// on: bounces, complaints and requests to be unsubscribed become events about the
// message they name, lists get their posts, and what routes ask for is submitted by
// message.Submit, the one door out, as deliveries to addresses and URLs. The client
// gets its 250 when all of that is on disk.
//
// Nothing in a message from outside is believed. A bounce counts only for the
// message, and a recipient of it, that its return path names with our signature;
// a complaint needs that, or the X-Mailgun-Sid of the copy it returns.
//
// All that comes of a message is stored in one transaction, or nothing and the
// client tries again. There is one answer for all recipients after DATA, so those of
// another account, and reports beside other mail, are left for a transaction of
// their own (452 4.5.3); what one of several lists or routes of an account does not
// take is logged.
//
// What authres finds, a failed DMARC check under p=reject included, is noted in the
// message and refuses nothing: forwarders and lists fail it every day, and routes
// can match X-Mailgun-Spf and Authentication-Results.
//
// Postmaster is an address like others: postmaster@DOMAIN is taken if a route or
// list takes it, <postmaster> is postmaster@HOSTNAME (RFC 5321 section 4.5.1 wants
// it read: make a route for it). Otherwise it is refused, rather than kept where
// nobody looks.
//
// The package has no tables. Callers: edge/smtpd.
package inbound
