// Package route keeps the rules for inbound mail: which message a rule is for
// (an expression over recipient and header) and what happens to it (actions).
//
// The package decides and does nothing: Match says what is to be done with one
// message for one recipient, CouldMatch says at RCPT whether any route could
// want it. Forwarding and storing are the caller's.
//
// Invariants:
//   - A stored route compiles: expression, patterns, actions and the groups the
//     actions name are checked together whenever one of them changes.
//   - Patterns are Python's in RE2: matching takes time linear in the text, and
//     the sizes of programs and texts are bounded. What RE2 cannot do (look
//     around, backreferences, possessive quantifiers) is refused by name.
//   - CouldMatch is true whenever Match matches for any header. Without a header
//     a condition on it is neither true nor false (see truth).
//   - What a sender wrote reaches a URL percent-encoded, behind the host, and
//     changes neither host nor directory; in an address the result is one valid
//     mailbox.
//
// Mailgun: patterns are matched as Python's re.match does, from the beginning
// and not to the end (the manual writes ".*support" for a word anywhere in the
// subject). A catch_all() is true if no route before it matched.
//
// Table: route. The compiled routes of an account are kept in memory; changes
// made here are seen at once, those of another node within cacheTTL.
// Callers: inbound, app.
package route
