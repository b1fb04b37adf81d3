// Package inbound takes mail from outside for the accounts' domains: it decides
// at RCPT whether an address is ours and can be for somebody, and after DATA what
// becomes of the message.
//
// An address is taken if it is a return path we signed, a mailing list or a way
// out of one, or if a route of the account could match. Everything else is
// refused at RCPT, so that nothing has to be bounced later; mail for other
// domains always is.
//
// A message is judged (mail/authres, spam), gets the fields that say so, and goes
// on: bounces and complaints become events about the message they name, lists
// get their posts, and what routes ask for is submitted by message.Submit, the
// one door out, as deliveries to addresses and URLs. The client gets its 250 when
// all of that is on disk.
//
// Nothing in a message from outside is believed. A bounce counts only for the
// message, and a recipient of it, that its return path names with our signature;
// a complaint needs that, or the X-Mailgun-Sid of the copy it returns.
//
// The package has no tables. Callers: edge/smtpd.
package inbound
