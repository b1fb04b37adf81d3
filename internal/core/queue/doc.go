// Package queue holds the deliveries that are not finished and hands them to
// workers, lane by lane. It knows no mail: a delivery is a recipient of a
// message with a time, a lane and what the last attempt said.
//
// The database is the queue; memory holds a window of it. A delivery row has
// node 0 while it waits and the id of the running program that holds it in its
// window otherwise. A new delivery that fits in the window is written as held,
// with its attempt counted, in the transaction that accepts the message: the
// claim is on disk before anything is dialled and costs no write of its own.
// When a program ends without releasing what it held, the next start (or, on
// PostgreSQL, any other node once the heartbeat is stale) sets those rows free.
//
// A lane is a destination. Each lane has its own bounded window and its own
// bound on parallel sessions, so a slow or dead destination fills its own lane
// and nothing else.
//
// Invariants: a row leaves the table only in the transaction that records its
// outcome; a delivery is in at most one window; memory is bounded by
// Options.Window whatever the table holds.
//
// Tables: delivery, node. Callers: message stages deliveries, deliver takes
// and finishes them.
package queue
