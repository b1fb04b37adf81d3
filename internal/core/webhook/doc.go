// Package webhook calls the users' URLs when something happens to a message.
//
// Tables: webhook (one row per scope, event type and URL; rows are inserted
// and deleted, never updated, so that their number and greatest id tell
// whether they changed), webhook_call (one row per event and URL) and
// webhook_attempt (one row per request made).
//
// A call is staged in the transaction of its event (Service.Event is an
// event.Sink) and made by Service.Run. It is made at least once: a claim is a
// lease written into the row, so that a program that dies between the request
// and its result leaves a call that becomes due again. On SQLite, whose data
// belongs to one program, Run releases the claims of earlier ones at once.
//
// Calls stand in lanes, one per receiver (scheme, host and port). The database
// is the queue; memory holds one small record per lane that has waiting calls
// and the calls in flight. A lane has a limit of its own, and receivers that
// do not answer, or answer slowly, together get at most half of all the
// requests in flight, so that the others always find room.
//
// Mailgun: 200 ends a call, 406 ends it as rejected, everything else is tried
// again after 5, 10 and 15 minutes, 1, 2 and 4 hours. Unlike Mailgun we repeat
// the delivered notification as well, and a call stays visible with every
// attempt and can be replayed.
package webhook
