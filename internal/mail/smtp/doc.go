// Package smtp is the SMTP wire protocol, both sides: a client session on a
// connection that is already dialled, and a server that calls a Backend. It
// knows nothing of queues, policy, DNS or storage.
//
// Invariants:
//   - The client never emits a bare CR, a bare LF, a NUL, or an unescaped line
//     that consists of a dot, except the one that ends the message.
//   - The server ends a message at CRLF.CRLF and nowhere else. A message that
//     holds a bare CR, a bare LF or a NUL is refused, never repaired (but see
//     Config.AllowBareLF).
//   - Plaintext buffered at the moment of STARTTLS is never used, on either
//     side, and nothing learned before it survives it.
//   - Every read, line, reply and message has an upper bound in bytes, and
//     every wait an upper bound in time.
//   - A client connection whose dialogue went wrong is not Usable again. It went
//     wrong when a positive reply is not one to the command, and when there is
//     more from the server than was asked for.
//
// Sources: RFC 5321 (SMTP), 1870 (SIZE), 2034 and 3463 (enhanced codes), 2920
// (PIPELINING), 3207 (STARTTLS), 4954 (AUTH), 6152 (8BITMIME), 6531 (SMTPUTF8),
// 8689 (REQUIRETLS), 9422 (LIMITS).
package smtp
