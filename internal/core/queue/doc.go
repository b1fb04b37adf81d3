// Package queue holds the deliveries that are not finished and hands them to
// workers, lane by lane. It knows no mail: a delivery is a recipient of a
// message with a time, a lane and what the last attempt said.
//
// The database is the queue; memory holds a window of it. A delivery row has
// node 0 while it waits and the id of the running program that holds it in its
// window otherwise. A new delivery that fits in the window is written as held,
// with its claim counted, in the transaction that accepts the message: the
// claim is on disk before anything is dialled and costs no write of its own.
// When a program ends it sets free what it still holds; when it dies, its next
// start does (see Options.Name), or any other node that has seen it silent for
// a minute.
//
// Claims and attempts are counted apart. A crash leaves one claim more on every
// row of the window, tried or not, so claims say nothing about the destination:
// they start again from zero with each recorded outcome and only many in a row
// mean something. What was tried is counted when its outcome is recorded.
//
// A lane is what limits are for: a site that takes mail, reached from a source.
// The table knows destinations only; the lane of a delivery is decided when it
// enters the window (Options.Route). While it is not known (Options.Resolve) the
// delivery waits in something like a lane of its destination, so that a slow name
// server delays nothing else.
//
// Each lane has its own bounded share of the window and of the sessions, so a
// slow or dead destination fills its own share and nothing else: the less room
// is free the less a lane may take of it, so that there is some for the next one
// however many are stuck. The last quarter of the sessions is for lanes that have
// none.
//
// Within a lane flows take turns: what one sender (account, domain, tag) has for
// it, and each message to many by itself. A small one that was idle comes first,
// so a small job overtakes a large one; none takes the last room of the lane.
//
// Policy says how many sessions a lane has, how fast it goes, and when a sender
// may send. What may not go for long is put off: it goes back to the table with
// a later due time and its own kept in was_due, and comes back when that time is
// over or when Changed says that a limit has risen. What is a minute past its
// deadline ends through Options.Settle wherever it waits.
//
// Retries get at most half of any share, so that a storm of them does not keep
// new mail out. When all sessions are taken, lanes without one get the place
// of a lane with several, and time is shared between lanes with one each.
//
// Invariants: a row leaves the table only in the transaction that records its
// outcome or cancels it; a delivery is in at most one window; memory is bounded
// by Options.Window, and a batch that is being expired or ordered away, whatever
// the table holds. Stage, Finish, Defer and Postpone only stage complete rows and
// deletions, so that a transaction can be written down as those.
//
// Due times and deadlines are wall-clock times. A clock set forward makes waiting
// rows due early once and deadlines later by as much (see steps); one set back
// makes what waits in the table late by as much. Waits in memory are monotonic.
//
// Tables: delivery, node. Callers: message stages deliveries, deliver takes
// and finishes them.
package queue
