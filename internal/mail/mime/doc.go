// Package mime builds, scans, edits, reads and personalises mail messages
// (RFC 5322, RFC 2045 to 2047, RFC 2231). It is pure: bytes in, bytes out.
//
//   - Draft builds a message from its parts.
//   - ScanHeader and the Edit functions look at and change header fields of a
//     stored message without touching any other byte of it.
//   - Parse reads a stored message for people: text, attachments, structure.
//   - Template is a stored message with %recipient% placeholders, executed
//     once per recipient.
//
// Invariants: what is written has CRLF line ends and no line over 998 octets,
// except where a message/* attachment brings such lines of its own kind; no
// value of a field can begin another line of the header; reading takes time
// and memory linear in the input, whatever the input is.
package mime
