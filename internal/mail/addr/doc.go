// Package addr reads and writes mail addresses as people and programs write
// them in headers and API parameters, and gives the one form they are
// compared in.
//
// Invariants: an Address that came from this package has a valid local part
// (RFC 5321 section 4.1.2, with UTF-8 per RFC 6531) and a valid domain name
// (IDNA 2008), keeps the length limits of RFC 5321 section 4.5.3.1, and no
// field of it holds CR, LF, NUL or another control character. Parsing takes
// linear time. Address literals (user@[192.0.2.1]) and source routes are
// refused: the first would let a caller choose the host that is dialled.
package addr
