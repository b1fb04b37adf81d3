package authres

import (
	"net/netip"

	"postroad/internal/mail/dkim"
)

// Result is what a method concluded, in the words of RFC 8601, section 2.7.
type Result string

// The results. Not every method has all of them.
const (
	None      Result = "none"      // nothing to check
	Pass      Result = "pass"      //
	Fail      Result = "fail"      //
	SoftFail  Result = "softfail"  // SPF: probably not authorised
	Neutral   Result = "neutral"   // SPF: no statement; DKIM: malformed signature
	Policy    Result = "policy"    // DKIM: signature too weak to count
	TempError Result = "temperror" // the DNS did not answer
	PermError Result = "permerror" // what is published or sent makes no sense
)

// Verdict is what Check concluded.
type Verdict struct {
	// AuthservID is the name of the server that concluded it.
	AuthservID string
	// IP is the address of the client.
	IP    netip.Addr
	IPRev IPRev
	// HELO and MailFrom are SPF for the two identities. With the null sender
	// MailFrom is HELO (RFC 7208, section 2.4).
	HELO, MailFrom SPF
	// DKIM has an entry for each of the first ten signatures, from the top.
	DKIM []DKIM
	// DKIMUnchecked is the number of signatures that were left.
	DKIMUnchecked int
	DMARC         DMARC
	ARC           ARC
}

// IPRev is whether the names of the client's address lead back to it.
type IPRev struct {
	Result Result
	// Name is the name that leads back, or with Fail the first that does not.
	Name string
}

// SPF is the result of check_host for one identity.
type SPF struct {
	Result Result
	// Domain is what was asked for, in A-labels, "" if it cannot be asked for.
	Domain string
	// Identity is the HELO name or the address of MAIL FROM as given; "" in
	// MailFrom for the null sender.
	Identity string
	// Reason says more to people, if there is more to say.
	Reason string
}

// DKIM is the result of one signature.
type DKIM struct {
	Result Result
	// Domain, Selector, Identity and Algorithm are the tags d=, s=, i= and a=, as
	// far as they could be read.
	Domain, Selector, Identity, Algorithm string
	// Digits are the first eight of b=, which tell signatures apart (RFC 6008).
	Digits string
	Reason string
}

// Disposition is what a domain asks a receiver to do with a message.
type Disposition string

// The policies of RFC 7489, section 6.3, from mild to strict.
const (
	Deliver    Disposition = "none"
	Quarantine Disposition = "quarantine"
	Reject     Disposition = "reject"
)

// DMARC is the result for the author's domain; with authors of several domains,
// for the one that asks for most (RFC 7489, section 6.6.1).
type DMARC struct {
	Result Result
	// Domain is that of the author, in A-labels, "" if there is none.
	Domain string
	// Record is the domain whose record counts: Domain or the one it belongs to.
	Record string
	// Policy is what the record wants for messages that fail, Percent of them.
	Policy  Disposition
	Percent int
	// SPF and DKIM tell which of them passed for the author's domain.
	SPF, DKIM bool
	// Disposition is what is asked for this message. It is Deliver unless Result
	// is Fail.
	Disposition Disposition
	Reason      string
}

// ARC is the result of the chain of a message.
type ARC struct {
	// Result is None, Pass or Fail.
	Result Result
	// Instance is the greatest number of a set, 0 if there is none.
	Instance int
	// Domain is who made that set's seal, "" if it could not be read.
	Domain string
	// Closed: that seal says that the chain has failed before. Nobody adds to it.
	Closed bool
	// Temporary: Fail only because the DNS did not answer (RFC 8617, section
	// 5.2.1, has no other word for it).
	Temporary bool
	Reason    string
}

// digits are the eight characters of RFC 6008, section 4.
func digits(s *dkim.Signature) string {
	text := encode64(s.Value)
	return text[:min(len(text), 8)]
}
