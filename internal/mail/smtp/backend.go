package smtp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"

	"postroad/internal/mail/scram"
)

// Error is a reply that a Backend or Session chose. It goes to the client as it
// is. Any other error becomes 451 4.3.0 with a fixed text and is logged. With
// code 421 the server closes the connection after the reply.
type Error struct {
	Code     int    // 400 to 599; other codes are treated like any other error
	Enhanced string // RFC 3463 code, or ""
	Text     string // one or more lines separated by "\n"
}

// Error implements error.
func (e *Error) Error() string {
	return "smtp: " + strconv.Itoa(e.Code) + " " + e.Enhanced + " " + e.Text
}

// ErrAuthFailed is what Session.Auth returns for wrong credentials.
var ErrAuthFailed error = &Error{Code: 535, Enhanced: "5.7.8", Text: "authentication failed"}

// Conn tells a Backend about the connection of a session. It is valid for the
// life of the session and may be used only in calls made by the server.
type Conn interface {
	RemoteAddr() net.Addr      // the client's, also behind a proxy or a sender of XCLIENT
	LocalAddr() net.Addr       // the one the client connected to
	PeerName() string          // the client's reverse DNS name as XCLIENT told it, or ""
	HELO() string              // name the client gave, syntactically unchecked beyond printable ASCII or UTF-8
	Extended() bool            // the client said EHLO
	TLS() *tls.ConnectionState // nil without TLS
}

// Backend makes sessions.
type Backend interface {
	// NewSession is called for the first HELO or EHLO, and again for the first
	// after STARTTLS. An error is the reply to that command.
	NewSession(Conn) (Session, error)
}

// Session handles the commands of one connection. Its methods are called one at
// a time. The context ends when the server is forced to stop.
type Session interface {
	// Auth checks a user name and password, sent by PLAIN or LOGIN.
	Auth(ctx context.Context, user, pass string) error
	// Mail begins a transaction. from is "" for the null sender.
	Mail(ctx context.Context, from string, o MailOptions) error
	// Rcpt adds a recipient: "local@domain", or "Postmaster" in any case.
	Rcpt(ctx context.Context, to string, o RcptOptions) error
	// Data takes the message, however it travels: CRLF lines. It must not keep it
	// unless r ended with io.EOF; any other error means that the message was
	// refused or the connection lost. The queue id is shown to the client.
	Data(ctx context.Context, r io.Reader) (queueID string, err error)
	// Reset forgets the transaction. It follows every one, however it ended.
	Reset()
	// Close ends the session. It is called exactly once.
	Close()
}

// Mechanisms of AUTH. CRAM-MD5 is not among them: it needs the password itself.
const (
	Plain     = "PLAIN"
	Login     = "LOGIN"
	SCRAM     = "SCRAM-SHA-256"
	SCRAMPlus = "SCRAM-SHA-256-PLUS" // is offered only where TLS has something to bind to
)

// AuthMechanisms may be implemented by a Session to choose what AUTH offers,
// of those above. Otherwise it is PLAIN and LOGIN; without any, AUTH is not
// offered.
type AuthMechanisms interface{ AuthMechanisms() []string }

// SCRAMSession is a Session that may offer SCRAM.
type SCRAMSession interface {
	// Verifier returns what is kept of a user's password. For a user that does
	// not exist it is made up and always the same, so that nobody learns which do.
	Verifier(ctx context.Context, user string) (scram.Verifier, error)
	// AuthSCRAM ends an exchange: the user proved to know the password, or did
	// not. In that case it returns the error to answer with.
	AuthSCRAM(ctx context.Context, user string, proved bool) error
}

// MailOptions are the parameters of MAIL.
type MailOptions struct {
	Size       int64 // declared size in octets; 0 when not declared
	Body8Bit   bool  // BODY=8BITMIME
	UTF8       bool  // SMTPUTF8
	RequireTLS bool  // REQUIRETLS

	// Of notifications (RFC 3461): RET, which a null sender does not have, and
	// ENVID, decoded, printable US-ASCII, "" when not given.
	Return     Return
	EnvelopeID string
}
