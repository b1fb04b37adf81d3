// Package smtp is the SMTP wire protocol, both sides: a client session on a
// connection that is already dialled, and a server that calls a Backend. It
// knows nothing of queues, policy, DNS or storage.
//
// Invariants:
//   - The client never emits a bare CR, a bare LF, a NUL, or an unescaped line
//     that consists of a dot, except the one that ends the message.
//   - The server ends a message at CRLF.CRLF and nowhere else, or by the count of
//     its chunks. A message that holds a bare CR, a bare LF or a NUL is refused,
//     never repaired (but see Config.AllowBareLF). Where a chunk cannot be told
//     from commands the connection ends.
//   - Plaintext buffered at the moment of STARTTLS is never used, on either
//     side, and nothing learned before it survives it.
//   - Every read, line, reply and message has an upper bound in bytes, and
//     every wait an upper bound in time. So has what a client may do, in commands
//     and in time, without bringing a message.
//   - Whom a client speaks for, by XCLIENT or a PROXY header, is believed only of
//     configured networks.
//   - A client connection whose dialogue went wrong is not Usable again. It went
//     wrong when a positive reply is not one to the command, and when there is
//     more from the server than was asked for.
//
// Sources: RFC 5321 (SMTP), 1870 (SIZE), 2034 and 3463 (enhanced codes), 2920
// (PIPELINING), 3207 (STARTTLS), 4954 (AUTH), 6152 (8BITMIME), 6531 (SMTPUTF8),
// 8689 (REQUIRETLS), 9422 (LIMITS), 3030 (CHUNKING), 3461 and 6533 (DSN), 5802 and
// 7677 (SCRAM), 9266 and 5929 (channel binding).
package smtp
