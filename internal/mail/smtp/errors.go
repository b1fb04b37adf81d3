package smtp

import "errors"

// Stages of a session, as they stand in ReplyError, StageError and
// ProtocolError.
const (
	StageBanner   = "banner"
	StageEHLO     = "ehlo"
	StageStartTLS = "starttls"
	StageAuth     = "auth"
	StageMail     = "mail"
	StageRcpt     = "rcpt"
	StageData     = "data" // the DATA command itself
	StageBody     = "body" // the message and the reply to its final dot
	StageReset    = "rset"
	StageQuit     = "quit"
)

// ReplyError is a reply that ended a step.
type ReplyError struct {
	Stage string
	Reply Reply
	Local bool // the verdict was reached here and nothing was sent
}

// Error implements error.
func (e *ReplyError) Error() string { return "smtp: " + e.Stage + ": " + e.Reply.String() }

// StageError is a failure of the transport: it wraps the error of the
// connection, and the cause of the context if that ended the step.
type StageError struct {
	Stage string
	Err   error
}

// Error implements error.
func (e *StageError) Error() string { return "smtp: " + e.Stage + ": " + e.Err.Error() }

// Unwrap returns the error of the connection.
func (e *StageError) Unwrap() error { return e.Err }

// ProtocolError is a server that does not speak SMTP: an unreadable reply, or
// data where none may be.
type ProtocolError struct {
	Stage string
	Err   error
}

// Error implements error.
func (e *ProtocolError) Error() string {
	return "smtp: " + e.Stage + ": protocol error: " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *ProtocolError) Unwrap() error { return e.Err }

// Errors of the client that no server reply stands behind. None of them harms
// the connection, except ErrUnusable, which says that it was harmed before.
var (
	// ErrNoEightBit: the message needs 8BITMIME and the server lacks it; the
	// caller may re-encode the message.
	ErrNoEightBit = errors.New("smtp: server does not offer 8BITMIME")
	// ErrNoStartTLS: STARTTLS is not offered, or TLS is already in use.
	ErrNoStartTLS = errors.New("smtp: server does not offer STARTTLS")
	// ErrNoAuth: the server offers neither PLAIN nor LOGIN.
	ErrNoAuth = errors.New("smtp: server offers no usable AUTH mechanism")
	// ErrPlainAuth: the password would travel unencrypted.
	ErrPlainAuth = errors.New("smtp: refusing AUTH without TLS")
	// ErrCredentials: the user name or password cannot be sent (NUL octet).
	ErrCredentials = errors.New("smtp: credentials contain NUL")
	// ErrUnusable: an earlier failure left the dialogue in an unknown state.
	ErrUnusable = errors.New("smtp: connection is not usable")
	// ErrName: the HELO name holds characters that may not be sent.
	ErrName = errors.New("smtp: invalid HELO name")
	// ErrNoRecipients: the envelope has no recipient.
	ErrNoRecipients = errors.New("smtp: envelope without recipients")
)
