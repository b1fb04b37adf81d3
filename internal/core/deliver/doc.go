// Package deliver works the queue: it personalises, signs, connects, hands
// over, classifies what the other side said and records the outcome.
//
// The claim of a delivery is on disk before anything is dialled (see queue);
// the outcome, its event and what follows from it are one transaction, written
// before the session takes its next message. A crash can therefore repeat only
// the deliveries that were in flight, and loses none.
//
// A Router names the lane of a delivery: the set of MX hosts and the TLS policy
// of its destination, or a relay, and the source it leaves from. A session serves
// one lane and reuses its connection within limits. What may differ from message
// to message, TLS above all, is checked against the connection before it is
// reused. A delivery that belongs to another lane by the time it is taken goes
// back to the queue, not out.
//
// Of the hosts of a site those that failed lately are tried last, and of the
// addresses of a host the next is begun beside one that hangs. What a host does
// before it has the message says nothing about the message: another host is
// tried. What the replies mean (mail/classify) decides about the address and the
// time of the next attempt, and is told to core/shape, which decides about the
// lane.
//
// A lane that lets a session wait in vain is left alone for a while, so that what
// is queued for it does not occupy sessions. An attempt that exceeds every
// patience is cut by Run.
//
// There are three transports: SMTP to the recipient's MX or a relay; HTTP, where
// the recipient is the URL of a route or an archive, by lanes named
// SCHEME://HOST; and capture, which takes the place of SMTP in dev mode: no mail
// leaves, and the recipient's address decides the outcome.
package deliver
