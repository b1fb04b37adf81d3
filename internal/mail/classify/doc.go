// Package classify says what a server's reply to our mail means: that we send
// too fast, that the mailbox is full, that our address is on a list.
//
// The knowledge is data. rules.txt lists, per provider and for everybody, which
// codes and phrases mean what; Load compiles such a text once, Classify matches
// a reply against it in one pass over the text. What the text says goes before
// the enhanced status, and that before the code: servers choose their words
// with more care than their numbers.
//
// The package is pure. A reply is hostile input: only its first 1,024 octets
// are looked at, and no text makes matching slow.
package classify
