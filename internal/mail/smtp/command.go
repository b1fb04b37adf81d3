package smtp

import (
	"context"
	"errors"
	"strconv"
	"strings"
)

var (
	errTemporary = &Error{Code: 451, Enhanced: "4.3.0", Text: "temporary failure, try again later"}
	errAuthLater = &Error{Code: 454, Enhanced: "4.7.0", Text: "temporary authentication failure"}
)

// dispatch carries out one command.
func (ss *session) dispatch(ctx context.Context, line string) {
	verb, args, _ := strings.Cut(strings.TrimRight(line, " \t"), " ")
	switch strings.ToUpper(verb) {
	case "HELO":
		ss.hello(args, false)
	case "EHLO":
		ss.hello(args, true)
	case "MAIL":
		ss.mail(ctx, args)
	case "RCPT":
		ss.rcpt(ctx, args)
	case "DATA":
		ss.data(ctx, args)
	case "RSET":
		if ss.noArgs(args) {
			ss.reset()
			ss.reply(250, "2.0.0", "OK")
		}
	case "NOOP":
		ss.reply(250, "2.0.0", "OK")
	case "QUIT":
		ss.reply(221, "2.0.0", ss.cfg.Hostname+" closing connection")
		ss.quit = true
	case "AUTH":
		ss.auth(ctx, args)
	case "STARTTLS":
		ss.startTLS(ctx, args)
	case "VRFY":
		ss.reply(252, "2.5.2", "cannot verify, but will take mail and try")
	case "HELP":
		ss.reply(214, "2.0.0", "see RFC 5321")
	case "EXPN":
		ss.protest(502, "5.5.1", "command not implemented")
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT":
		// A web browser made to speak to us; its request body must not be read
		// as commands.
		ss.reply(421, "4.7.0", "this is not a web server")
		ss.quit = true
	default:
		ss.protest(500, "5.5.1", "command not recognized")
	}
}

func (ss *session) noArgs(args string) bool {
	if args != "" {
		ss.protest(501, "5.5.4", "no parameters allowed")
	}
	return args == ""
}

func (ss *session) hello(name string, extended bool) {
	name = strings.TrimLeft(name, " ")
	if name == "" || len(name) > maxDomain || strings.Contains(name, " ") || cleanText(name) != name {
		ss.protest(501, "5.5.4", "give your host name")
		return
	}
	ss.reset()
	ss.helo, ss.extended = name, extended
	if ss.backend == nil {
		be, err := ss.cfg.Backend.NewSession(ss)
		if err != nil {
			ss.replyError(err, "HELO", errTemporary)
			ss.helo = ""
			return
		}
		ss.backend = be
	}
	if !extended {
		ss.reply(250, "", ss.cfg.Hostname)
		return
	}
	ss.reply(250, "", ss.offer())
}

// offer is the text of the EHLO reply.
func (ss *session) offer() string {
	var b strings.Builder
	b.WriteString(ss.cfg.Hostname + "\nPIPELINING\nSIZE ")
	b.WriteString(strconv.FormatInt(ss.cfg.MaxMessageBytes, 10))
	b.WriteString("\n8BITMIME\nSMTPUTF8")
	if ss.cfg.TLS != nil && ss.tls == nil {
		b.WriteString("\nSTARTTLS")
	}
	if mechs := ss.mechanisms(); len(mechs) > 0 {
		b.WriteString("\nAUTH " + strings.Join(mechs, " "))
	}
	if ss.cfg.OfferRequireTLS && ss.tls != nil {
		b.WriteString("\nREQUIRETLS")
	}
	b.WriteString("\nENHANCEDSTATUSCODES")
	return b.String()
}

func (ss *session) mail(ctx context.Context, args string) {
	switch {
	case ss.helo == "":
		ss.protest(503, "5.5.1", "say EHLO first")
		return
	case ss.tx.open:
		ss.protest(503, "5.5.1", "a transaction is open")
		return
	}
	path, rest, ok := ss.path(args, "FROM:")
	if !ok {
		return
	}
	if path.Domain == "" && !path.IsNull() {
		ss.protest(501, "5.1.7", "sender address without domain")
		return
	}
	o, bad := ss.mailOptions(rest)
	if bad == nil && !o.UTF8 && !path.ASCII() {
		bad = &Error{Code: 553, Enhanced: "5.6.7", Text: "address needs SMTPUTF8"}
	}
	if bad != nil {
		ss.protest(bad.Code, bad.Enhanced, bad.Text)
		return
	}
	if o.Size > ss.cfg.MaxMessageBytes {
		ss.reply(552, "5.3.4", "message exceeds the size limit")
		return
	}
	if err := ss.backend.Mail(ctx, path.String(), o); err != nil {
		ss.replyError(err, "MAIL", errTemporary)
		return
	}
	ss.tx = serverTx{open: true, utf8: o.UTF8}
	ss.reply(250, "2.1.0", "OK")
}

// path parses "FROM:<...>" or "TO:<...>". Spaces before the bracket are an error
// common enough to be let pass.
func (ss *session) path(args, keyword string) (Path, string, bool) {
	if len(args) < len(keyword) || !strings.EqualFold(args[:len(keyword)], keyword) {
		ss.protest(501, "5.5.4", "expected "+keyword+"<address>")
		return Path{}, "", false
	}
	p, rest, err := ParsePath(strings.TrimLeft(args[len(keyword):], " "))
	if err == nil && rest != "" && rest[0] != ' ' {
		err = pathError("text after >")
	}
	if err != nil {
		enhanced := "5.1.3"
		if keyword == "FROM:" {
			enhanced = "5.1.7"
		}
		ss.protest(501, enhanced, err.Error())
		return Path{}, "", false
	}
	return p, rest, true
}

// mailOptions parses the parameters of MAIL.
func (ss *session) mailOptions(s string) (MailOptions, *Error) {
	var o MailOptions
	seen := make(map[string]bool)
	for f := range strings.FieldsSeq(s) {
		name, value, _ := strings.Cut(f, "=")
		name = strings.ToUpper(name)
		if seen[name] {
			return o, &Error{Code: 501, Enhanced: "5.5.4", Text: "parameter given twice"}
		}
		seen[name] = true
		if err := ss.mailOption(&o, name, value); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (ss *session) mailOption(o *MailOptions, name, value string) *Error {
	badValue := &Error{Code: 501, Enhanced: "5.5.4", Text: "bad parameter value"}
	switch {
	case name == "SIZE":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return badValue
		}
		o.Size = int64(n) // on ErrRange the largest value, which is refused for its size
	case name == "BODY":
		o.Body8Bit = strings.EqualFold(value, "8BITMIME")
		if !o.Body8Bit && !strings.EqualFold(value, "7BIT") {
			return badValue
		}
	case name == "SMTPUTF8" && value == "":
		o.UTF8 = true
	case name == "REQUIRETLS" && value == "" && ss.cfg.OfferRequireTLS && ss.tls != nil:
		o.RequireTLS = true
	case name == "AUTH" && value != "" && len(ss.mechanisms()) > 0:
		// RFC 4954 5: who sent it first. Nobody is trusted to say so, and then
		// the value counts as "<>".
	default:
		return &Error{Code: 555, Enhanced: "5.5.4", Text: "parameter not recognized"}
	}
	return nil
}

func (ss *session) rcpt(ctx context.Context, args string) {
	if !ss.tx.open {
		ss.protest(503, "5.5.1", "MAIL first")
		return
	}
	path, rest, ok := ss.path(args, "TO:")
	switch {
	case !ok:
		return
	case path.IsNull():
		ss.protest(501, "5.1.3", "recipient address missing")
		return
	case strings.TrimLeft(rest, " ") != "":
		ss.protest(555, "5.5.4", "parameter not recognized")
		return
	case !ss.tx.utf8 && !path.ASCII():
		ss.protest(553, "5.6.7", "address needs SMTPUTF8")
		return
	case ss.tx.rcpts >= ss.cfg.MaxRecipients:
		ss.reply(452, "4.5.3", "too many recipients")
		return
	}
	if err := ss.backend.Rcpt(ctx, path.String()); err != nil {
		ss.replyError(err, "RCPT", errTemporary)
		return
	}
	ss.tx.rcpts++
	ss.reply(250, "2.1.5", "OK")
}

// data takes the message. Whatever the outcome, the transaction is over.
func (ss *session) data(ctx context.Context, args string) {
	defer ss.reset()
	switch {
	case args != "":
		ss.protest(501, "5.5.4", "no parameters allowed")
		return
	case !ss.tx.open:
		ss.protest(503, "5.5.1", "MAIL first")
		return
	case ss.tx.rcpts == 0:
		ss.reply(554, "5.5.1", "no valid recipients")
		return
	}
	ss.reply(354, "", "end with <CRLF>.<CRLF>")
	if ss.bw.Flush() != nil {
		ss.quit = true
		return
	}
	ss.w.armReads(ss.cfg.Timeouts.Data, ss.cfg.Timeouts.Message)
	d := dotReader{br: ss.br, limit: ss.cfg.MaxMessageBytes, bareLF: ss.cfg.AllowBareLF}
	id, err := ss.backend.Data(ctx, &d)
	verdict := d.drain()
	switch {
	case errors.Is(d.lost, errFlood):
		ss.reply(errTooLarge.Code, errTooLarge.Enhanced, errTooLarge.Text)
		ss.quit = true
	case d.lost != nil:
		ss.farewell(d.lost)
	case verdict != nil:
		ss.replyError(verdict, "DATA", errTemporary)
	case err != nil:
		ss.replyError(err, "DATA", errTemporary)
	case id != "":
		ss.reply(250, "2.0.0", "OK queued as "+strings.ReplaceAll(id, "\n", " "))
	default:
		ss.reply(250, "2.0.0", "OK")
	}
}

// startTLS encrypts the connection and forgets the session (RFC 3207 4.2).
func (ss *session) startTLS(ctx context.Context, args string) {
	switch {
	case !ss.noArgs(args):
		return
	case ss.cfg.TLS == nil:
		ss.protest(502, "5.5.1", "command not implemented")
		return
	case ss.tls != nil:
		ss.protest(503, "5.5.1", "TLS is in use already")
		return
	}
	ss.endBackend()
	ss.helo, ss.extended, ss.authed = "", false, false
	ss.tx = serverTx{}
	ss.reply(220, "2.0.0", "ready")
	if ss.bw.Flush() != nil || !ss.handshake(ctx) {
		ss.quit = true
	}
}
