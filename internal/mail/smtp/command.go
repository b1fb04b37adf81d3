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

// splitCommand takes the verb, in upper case, off a command line.
func splitCommand(line string) (verb, args string) {
	verb, args, _ = strings.Cut(strings.TrimRight(line, " \t"), " ")
	return strings.ToUpper(verb), args
}

// dispatch carries out one command.
func (ss *session) dispatch(ctx context.Context, line string) {
	ss.futile++
	verb, args := splitCommand(line)
	switch verb {
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
	case "BDAT":
		ss.bdat(ctx, args)
	case "RSET":
		if ss.noArgs(args) {
			ss.reset()
			ss.chunksFailed = false
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
	case "XCLIENT":
		ss.xclient(args)
	case "EXPN", "ETRN":
		ss.protest(502, "5.5.1", "command not implemented")
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT":
		// A web browser made to speak to us; its request body must not be read
		// as commands.
		ss.reply(421, "4.7.0", "this is not a web server")
		ss.quit = true
	case "PROXY": // from an address that is no proxy of ours
		ss.reply(421, "4.7.0", "no PROXY header is expected from your address")
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
	ss.chunksFailed = false
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
	b.WriteString("\n8BITMIME\nSMTPUTF8\nCHUNKING")
	if ss.cfg.OfferDSN {
		b.WriteString("\nDSN")
	}
	if ss.cfg.TLS != nil && ss.tls == nil {
		b.WriteString("\nSTARTTLS")
	}
	if mechs := ss.mechanisms(); len(mechs) > 0 {
		b.WriteString("\nAUTH " + strings.Join(mechs, " "))
	}
	if ss.cfg.OfferRequireTLS && ss.tls != nil {
		b.WriteString("\nREQUIRETLS")
	}
	b.WriteString("\nLIMITS RCPTMAX=" + strconv.Itoa(ss.cfg.MaxRecipients))
	if ss.cfg.MaxMessages > 0 {
		b.WriteString(" MAILMAX=" + strconv.Itoa(ss.cfg.MaxMessages))
	}
	if ss.mayXclient() {
		b.WriteString("\nXCLIENT NAME ADDR PORT PROTO HELO")
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
	case ss.cfg.MaxMessages > 0 && ss.mails >= ss.cfg.MaxMessages:
		ss.reply(421, "4.7.0", "too many messages on one connection, open another")
		ss.quit = true
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
	if path.IsNull() {
		o.Return = 0 // a notification has none (RFC 3461, section 6.1)
	}
	if o.Size > ss.cfg.MaxMessageBytes {
		ss.reply(552, "5.3.4", "message exceeds the size limit")
		return
	}
	if err := ss.backend.Mail(ctx, path.String(), o); err != nil {
		ss.replyError(err, "MAIL", errTemporary)
		return
	}
	ss.tx = serverTx{open: true, utf8: o.UTF8, null: path.IsNull()}
	ss.mails++
	ss.chunksFailed, ss.skipped = false, 0
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

func (ss *session) rcpt(ctx context.Context, args string) {
	if !ss.tx.open {
		ss.protest(503, "5.5.1", "MAIL first")
		return
	}
	path, rest, ok := ss.path(args, "TO:")
	if !ok {
		return
	}
	o, bad := ss.rcptOptions(rest)
	switch {
	case path.IsNull():
		ss.protest(501, "5.1.3", "recipient address missing")
		return
	case bad != nil:
		ss.protest(bad.Code, bad.Enhanced, bad.Text)
		return
	case !ss.tx.utf8 && !path.ASCII():
		ss.protest(553, "5.6.7", "address needs SMTPUTF8")
		return
	case ss.tx.rcpts >= ss.cfg.MaxRecipients:
		ss.reply(452, "4.5.3", "too many recipients")
		return
	}
	if ss.tx.null {
		o.Notify = NotifyNever
	}
	if err := ss.backend.Rcpt(ctx, path.String(), o); err != nil {
		// A few stale addresses in a long list are no search for valid ones.
		if ss.tx.refused++; ss.tx.refused <= ss.tx.rcpts {
			ss.futile--
		}
		ss.replyError(err, "RCPT", errTemporary)
		return
	}
	ss.tx.rcpts++
	ss.futile--
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
	ss.transfer(ctx, &d, "DATA")
}

// transfer gives a message to the backend and answers.
func (ss *session) transfer(ctx context.Context, d *dotReader, verb string) {
	id, err := ss.backend.Data(ctx, d)
	verdict := d.drain(err == nil)
	ss.progress = ss.now()
	switch {
	case errors.Is(d.lost, errAbandoned):
	case errors.Is(d.lost, errFlood):
		ss.reply(errTooLarge.Code, errTooLarge.Enhanced, errTooLarge.Text)
		ss.quit = true
	case d.lost != nil:
		ss.farewell(d.lost)
	case verdict != nil:
		ss.replyError(verdict, verb, errTemporary)
	case err != nil:
		ss.replyError(err, verb, errTemporary)
	default:
		ss.taken(id)
	}
}

func (ss *session) taken(id string) {
	ss.futile = 0
	ss.srv.Stats.Messages.Add(1)
	if id == "" {
		ss.reply(250, "2.0.0", "OK")
		return
	}
	ss.reply(250, "2.0.0", "OK queued as "+strings.ReplaceAll(id, "\n", " "))
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
	ss.forget()
	ss.reply(220, "2.0.0", "ready")
	if ss.bw.Flush() != nil || !ss.handshake(ctx) {
		ss.quit = true
	}
}
