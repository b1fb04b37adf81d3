// Package ippool chooses the addresses mail leaves from.
//
// A source is a name, an IPv4 or IPv6 address of this machine or one of each,
// and the name it greets with. Sources form pools. Within a pool a sending
// domain keeps one source per destination site, so that its reputation there is
// its own, and the domains spread over the sources by their weights. The choice
// is a function of its arguments and of what can be used now; nothing is
// remembered, so it survives a restart and the removal of other sources.
//
// Mail is never stranded: a source that a site has blocked is replaced by
// another of its pool, and where a pool is gone the default pool takes over. What
// a delivery leaves from is decided when it enters the queue's window, never
// stored.
package ippool
