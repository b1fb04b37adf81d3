// Package authres judges where a message that was received comes from, as far as
// DNS and signatures tell, and writes and carries on that judgement.
//
// Check applies iprev (RFC 8601, section 2.7.3), SPF (RFC 7208), DKIM (RFC 6376,
// 8301, 8463), DMARC (RFC 7489) and ARC (RFC 8617) and returns a Verdict, which
// Field writes down for those who read the message (RFC 8601). Strip takes forged
// judgements away before. Seal adds ours to the chain of a message that is
// forwarded.
//
// Invariants:
//   - A verdict is information. Check has no error and refuses nothing; what could
//     not be asked in time is temperror, or neither pass nor absent.
//   - Everything in a message, an envelope and the DNS comes from strangers: work
//     is bounded in look-ups, signatures, record lengths and time. Checks run
//     side by side, so that a slow answer to one does not starve another.
//   - What is written into a field is checked or quoted first; no name, address
//     or tag can add a result or a field.
//   - Strip changes nothing but the fields it removes, so that signatures of
//     others stay valid.
package authres
