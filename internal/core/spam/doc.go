// Package spam asks a spam filter what it thinks of a message: rspamd over its
// HTTP protocol, or SpamAssassin's spamd over SPAMC.
//
// A filter is a server of the operator's and may be slow, full or gone without
// holding mail up. Every check has a time-out, only so many run at once, and of
// a large message only the head is looked at. A message that could not be
// checked passes, marked in its header and counted. After a few failures in a
// row the filter is left alone and tried with one message now and then, so that
// mail does not wait for the time-out each time.
//
// What follows from a verdict (a domain's spam_action) is the caller's: inbound
// mail. The doctor uses Probe.
package spam
