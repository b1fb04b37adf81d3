// Package encword reads and writes the text of header fields: RFC 2047
// encoded words, folding (RFC 5322 section 2.2.3) and character sets.
//
// It stands below the addr and mime packages, which both need it.
//
// Invariants: what Decode returns is valid UTF-8 without CR, LF or NUL; what
// the Append functions write is split so that no line passes MaxLine octets,
// and a CR or LF is written only as part of a fold (CRLF and a blank).
package encword

// Limits of a header line, without its CRLF (RFC 5322 section 2.1.1).
const (
	// MaxLine is the length in octets no line may pass.
	MaxLine = 998
	// FoldAt is the length in octets lines are folded at where they can be.
	FoldAt = 78
	// maxWord is the longest encoded word (RFC 2047 section 2).
	maxWord = 75
)
