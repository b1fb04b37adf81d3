package classify

import (
	"fmt"
	"time"
)

// Class is the meaning of a reply.
type Class uint8

// The classes. What a class asks of the sender is the same whether the code is
// temporary or permanent; whether to try again is the code's business.
const (
	Other         Class = iota // nothing is known
	Accepted                   // 2yz
	RateLimited                // too many connections or messages
	Greylisted                 // come back later, nothing is wrong
	Blocklisted                // the sending address, or the sender, is on a list
	Policy                     // authentication, DMARC, SPF, PTR or a local rule
	Content                    // spam, virus, form of the message
	MailboxFull                // over quota
	UnknownUser                // no such mailbox
	InactiveUser               // a mailbox that is disabled or given up
	DomainUnknown              // the domain takes no mail here
	TooLarge                   // size limits
	RelayDenied                // relaying refused or authentication required
	TLSRequired                // not without encryption
	ServerBusy                 // trouble or load on their side
	ProtocolError              // a command or its order was not understood
	Refused                    // 550, 551 or 553 without any reason: see Hard
	classes
)

var classNames = [classes]string{"other", "accepted", "rate-limited", "greylisted", "blocklisted", "policy", "content", "mailbox-full",
	"unknown-user", "inactive-user", "domain-unknown", "too-large", "relay-denied", "tls-required", "server-busy", "protocol-error", "refused"}

// String returns the name the rule files use: "rate-limited".
func (c Class) String() string {
	if c < classes {
		return classNames[c]
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// ParseClass is the inverse of String.
func ParseClass(s string) (Class, error) {
	for i, name := range classNames {
		if s == name {
			return Class(i), nil
		}
	}
	return Other, fmt.Errorf("unknown class %q", s)
}

// Scope says whom a RateLimited or Blocklisted reply is about, so that one
// mailbox's limit does not slow down a provider.
type Scope uint8

// The scopes.
const (
	ScopeSource     Scope = iota // what the sending address does at this site
	ScopeConnection              // this connection has been used enough; another one is welcome
	ScopeSender                  // the sender's domain or address, from wherever it comes
	ScopeRecipient               // this recipient, or a list of its own
	ScopeMessage                 // this message
	scopes
)

var scopeNames = [scopes]string{"source", "connection", "sender", "recipient", "message"}

// String returns the name the rule files use: "recipient".
func (s Scope) String() string {
	if s < scopes {
		return scopeNames[s]
	}
	return fmt.Sprintf("scope %d", uint8(s))
}

func parseScope(s string) (Scope, error) {
	for i, name := range scopeNames {
		if s == name {
			return Scope(i), nil
		}
	}
	return 0, fmt.Errorf("unknown scope %q", s)
}

// Verdict is what a reply means.
type Verdict struct {
	Class Class
	Scope Scope
	// Rule names what decided, for people: "google/an unusual rate of".
	Rule string
	// RetryAfter is how long to wait before the same recipient is tried again,
	// from the reply's own words or from the rule; 0 when neither says. It is
	// between 1 s and 24 h.
	RetryAfter time.Duration
	// Connections: the complaint is about connections, not about messages.
	Connections bool
}

// Hard reports whether a reply of the class with the code says that the address
// takes no mail, so that it should not be tried again for any message. rcpt
// says whether the reply was to RCPT TO: a bare 550 is about the address only
// there. A temporary code is never hard.
func Hard(c Class, code int, rcpt bool) bool {
	if code < 500 || code > 599 {
		return false
	}
	switch c {
	case UnknownUser, InactiveUser, DomainUnknown:
		return true
	case Refused:
		return rcpt
	}
	return false
}
