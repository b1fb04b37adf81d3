// Package track answers the links and pixels in mail we sent and makes events of
// what is opened and clicked.
//
// A request is answered in microseconds and without the database: the token says
// where to go, and what happened is appended to a spool in the data directory
// with one write before the answer, so that it outlives the process; a sync
// follows within milliseconds, so that a power failure costs no more than those.
// Behind it a loop reads the spool, tells humans from machines, and records the
// events in batches. How far it came is stored in the transaction of the events:
// after a crash nothing is counted twice, and nothing is lost.
package track
