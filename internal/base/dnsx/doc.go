// Package dnsx looks names up in the DNS for delivering mail, checking domains and
// calling URLs.
//
// It differs from package net in what delivery needs: a name that does not exist,
// a name without such records and a server that cannot be asked are told apart,
// answers are cached for as long as they say (absent ones too, RFC 2308), and the
// servers are given by the configuration.
//
// Invariants:
//   - Every failure of a lookup is an *Error or the error of the caller's context.
//     "No such record" is an error, never an empty result.
//   - A reply is used only if it comes from the server asked, to a port and with
//     an id chosen at random, and repeats the question.
//   - The cache is bounded in entries, a lookup in time and in steps.
//   - Names are lower case without a final dot, internationalised ones in A-labels.
//
// The servers are taken to be recursive resolvers that are trusted as the host
// trusts them. DNSSEC is left to them: their word that an answer was validated
// (the AD bit) counts if they are on loopback or the configuration says so.
package dnsx
