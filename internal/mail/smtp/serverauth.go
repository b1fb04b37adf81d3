package smtp

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
)

var (
	errAuthCancel = &Error{Code: 501, Enhanced: "5.7.0", Text: "authentication cancelled"}
	errAuthSyntax = &Error{Code: 501, Enhanced: "5.5.2", Text: "malformed authentication data"}
)

// mechanisms returns what AUTH offers now.
func (ss *session) mechanisms() []string {
	if ss.backend == nil || ss.authRefused() {
		return nil
	}
	known := []string{"PLAIN", "LOGIN"}
	if m, ok := ss.backend.(AuthMechanisms); ok {
		chosen := m.AuthMechanisms()
		known = slices.DeleteFunc(known, func(s string) bool { return !slices.Contains(chosen, s) })
	}
	return known
}

func (ss *session) authRefused() bool { return ss.cfg.RequireTLSForAuth && ss.tls == nil }

// auth runs an AUTH exchange (RFC 4954).
func (ss *session) auth(ctx context.Context, args string) {
	mech, initial, hasInitial := strings.Cut(args, " ")
	mech = strings.ToUpper(mech)
	switch {
	case ss.helo == "":
		ss.protest(503, "5.5.1", "say EHLO first")
		return
	case ss.authed || ss.tx.open:
		ss.protest(503, "5.5.1", "not now")
		return
	case ss.authRefused():
		ss.protest(538, "5.7.11", "encryption required, use STARTTLS")
		return
	case !slices.Contains(ss.mechanisms(), mech):
		ss.protest(504, "5.5.4", "mechanism not supported")
		return
	}
	exchange := ss.plain
	if mech == "LOGIN" {
		exchange = ss.login
	}
	user, pass, err := exchange(initial, hasInitial)
	if err != nil {
		ss.authEnd(err)
		return
	}
	if err := ss.backend.Auth(ctx, user, pass); err != nil {
		ss.errs++
		ss.replyError(err, "AUTH", errAuthLater)
		return
	}
	ss.authed = true
	ss.reply(235, "2.7.0", "authenticated")
}

// authEnd ends an exchange that brought no credentials. Only an *Error can be
// answered; anything else means that the connection is gone.
func (ss *session) authEnd(err error) {
	if e, ok := err.(*Error); ok {
		ss.protest(e.Code, e.Enhanced, e.Text)
		return
	}
	ss.farewell(err)
}

// plain reads the one message of PLAIN (RFC 4616). An authorization identity
// other than the user itself is not supported.
func (ss *session) plain(initial string, hasInitial bool) (user, pass string, err error) {
	msg, err := ss.response("", initial, hasInitial)
	if err != nil {
		return "", "", err
	}
	parts := strings.Split(msg, "\x00")
	if len(parts) != 3 || parts[1] == "" {
		return "", "", errAuthSyntax
	}
	if parts[0] != "" && parts[0] != parts[1] {
		return "", "", &Error{Code: 535, Enhanced: "5.7.8", Text: "authorization identity not supported"}
	}
	return parts[1], parts[2], nil
}

// login reads the two messages of LOGIN. A first one may come with the command.
func (ss *session) login(initial string, hasInitial bool) (user, pass string, err error) {
	if user, err = ss.response("VXNlcm5hbWU6", initial, hasInitial); err != nil {
		return "", "", err
	}
	if pass, err = ss.response("UGFzc3dvcmQ6", "", false); err != nil {
		return "", "", err
	}
	if user == "" || strings.ContainsRune(user+pass, 0) {
		return "", "", errAuthSyntax
	}
	return user, pass, nil
}

// response returns the decoded initial response, or else asks for one.
func (ss *session) response(challenge, initial string, hasInitial bool) (string, error) {
	if !hasInitial {
		ss.reply(334, "", challenge)
		var err error
		if initial, err = ss.line(maxAuthLine); err != nil {
			return "", err
		}
		if initial == "*" {
			return "", errAuthCancel
		}
	} else if initial == "=" {
		return "", nil
	}
	b, err := base64.StdEncoding.DecodeString(initial)
	if err != nil {
		return "", errAuthSyntax
	}
	return string(b), nil
}
