// Package deliver works the queue: it personalises, signs, connects, hands
// over, classifies what the other side said and records the outcome.
//
// The claim of a delivery is on disk before anything is dialled (see queue);
// the outcome, its event and what follows from it are one transaction, written
// before the session takes its next message. A crash can therefore repeat only
// the deliveries that were in flight, and loses none.
//
// A session serves one lane and reuses its connection within limits. What may
// differ from message to message, TLS above all, is checked against the
// connection before it is reused.
//
// A destination or an address that lets a session wait in vain is left alone
// for a while, so that what is queued for it does not occupy sessions.
//
// There are two transports: SMTP to the recipient's MX or a relay, and capture,
// which takes the place of the world in dev mode: nothing leaves, and the
// recipient's address decides the outcome.
package deliver
