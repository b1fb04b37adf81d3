package smtp

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"postroad/internal/mail/scram"
)

var (
	errAuthCancel = &Error{Code: 501, Enhanced: "5.7.0", Text: "authentication cancelled"}
	errAuthSyntax = &Error{Code: 501, Enhanced: "5.5.2", Text: "malformed authentication data"}
)

// mechanisms returns what AUTH offers now, the strongest first.
func (ss *session) mechanisms() []string {
	if ss.backend == nil || ss.authRefused() {
		return nil
	}
	m, ok := ss.backend.(AuthMechanisms)
	if !ok {
		return []string{Plain, Login}
	}
	chosen := m.AuthMechanisms()
	if !slices.Contains(chosen, SCRAM) && !slices.Contains(chosen, SCRAMPlus) {
		return known(chosen, Plain, Login)
	}
	if len(ss.bindings()) == 0 {
		return known(chosen, SCRAM, Plain, Login)
	}
	return known(chosen, SCRAMPlus, SCRAM, Plain, Login)
}

// known returns those of all that were chosen.
func known(chosen []string, all ...string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return !slices.Contains(chosen, s) })
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
	var err error
	switch mech {
	case SCRAM, SCRAMPlus:
		err = ss.scram(ctx, mech == SCRAMPlus, initial, hasInitial)
	case Login:
		err = ss.password(ctx, ss.login, initial, hasInitial)
	default:
		err = ss.password(ctx, ss.plain, initial, hasInitial)
	}
	if err != nil {
		ss.authEnd(err)
		return
	}
	ss.authed = true
	ss.reply(235, "2.7.0", "authenticated")
}

// loginError is the backend's error for a login that failed.
type loginError struct{ error }

func (ss *session) password(ctx context.Context, exchange func(string, bool) (string, string, error), initial string, hasInitial bool) error {
	user, pass, err := exchange(initial, hasInitial)
	if err != nil {
		return err
	}
	if err := ss.backend.Auth(ctx, user, pass); err != nil {
		return loginError{err}
	}
	return nil
}

// authEnd answers an exchange that failed. What is neither the backend's error
// nor an *Error means that the connection is gone.
func (ss *session) authEnd(err error) {
	if e, ok := err.(loginError); ok {
		ss.errs++
		ss.replyError(e.error, "AUTH", errAuthLater)
		return
	}
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

// bindings returns what SCRAM can bind to the connection. Data that would
// identify it needs TLS 1.3, or the extended master secret (RFC 9266, 7627).
func (ss *session) bindings() []scram.Binding {
	if ss.tls == nil {
		return nil
	}
	var all []scram.Binding
	if b, err := ss.tls.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
		all = append(all, scram.Binding{Name: "tls-exporter", Data: b})
	}
	if b := ss.tls.TLSUnique; len(b) > 0 {
		all = append(all, scram.Binding{Name: "tls-unique", Data: b})
	}
	return all
}

// scram runs an exchange of SCRAM-SHA-256. The server's last message, which the
// client has to confirm, travels in a challenge (RFC 4954, section 4).
func (ss *session) scram(ctx context.Context, plus bool, initial string, hasInitial bool) error {
	be, ok := ss.backend.(SCRAMSession)
	if !ok {
		return loginError{errors.New("backend offers SCRAM and does not support it")}
	}
	msg, err := ss.response("", initial, hasInitial)
	if err != nil {
		return err
	}
	x := scram.Exchange{Plus: plus}
	if slices.Contains(ss.mechanisms(), SCRAMPlus) {
		x.Bindings = ss.bindings()
	}
	user, err := x.First(msg)
	if errors.Is(err, scram.ErrBinding) {
		return ErrAuthFailed
	}
	if err != nil {
		return errAuthSyntax
	}
	v, err := be.Verifier(ctx, user)
	if err != nil {
		return loginError{err}
	}
	if msg, err = ss.response(encode(x.Challenge(v, rand.Text())), "", false); err != nil {
		return err
	}
	last, err := x.Final(msg)
	if errors.Is(err, scram.ErrMessage) {
		return errAuthSyntax
	}
	if err == nil {
		if _, err := ss.response(encode(last), "", false); err != nil {
			return err
		}
	}
	if refusal := be.AuthSCRAM(ctx, user, err == nil); refusal != nil {
		return loginError{refusal}
	}
	if err != nil {
		return ErrAuthFailed
	}
	return nil
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
