package report

import "strings"

// What follows reads reports written in words only. No two systems word them
// alike, so a report is told by phrases, and recipients by the form of lines.

// phrase says that a notice is about delivery, in lower case with single
// spaces.
type phrase struct {
	text   string
	action Action
	// plain phrases are those that people and other programs use too: they
	// count only in mail from a mail system.
	plain bool
}

// phrases are tried in order: what is particular comes first.
var phrases = [...]phrase{
	// Good news.
	{"had successful delivery notifications", Delivered, false},                      // sendmail
	{"your message was successfully delivered to the destination", Delivered, false}, // Postfix
	{"enclosed is the mail delivery report that you requested", Delivered, false},    // Postfix
	{"your message has been successfully delivered to the following", Delivered, true},
	{"your message was successfully relayed to the following", Relayed, true}, // Exchange
	// Not yet.
	{"this is a warning message only", Delayed, false}, // sendmail, Gmail
	{"this is a warning only", Delayed, false},         // Postfix
	{"you do not need to resend your message", Delayed, false},
	{"has not yet been delivered to", Delayed, false}, // Exim
	{"had transient non-fatal errors", Delayed, false},
	{"delivery to the following recipient has been delayed", Delayed, false}, // Gmail
	{"delivery to the following recipients has been delayed", Delayed, false},
	{"delivery to these recipients or groups has been delayed", Delayed, false}, // Exchange
	{"delivery to these recipients or distribution lists has been delayed", Delayed, false},
	{"delivery incomplete", Delayed, true}, // Gmail
	{"has not yet been delivered", Delayed, true},
	{"delivery attempts will continue to be made", Delayed, true},
	{"will continue to try to deliver your message", Delayed, true},
	{"message delayed", Delayed, true},
	{"could not be delivered yet", Delayed, true},
	{"will keep trying to deliver", Delayed, true},
	{"delivery is being retried", Delayed, true},
	{"wird weiterhin versucht", Delayed, true},
	// Given up, in the words of one system.
	{"this is the qmail-send program", Failed, false},
	{"i'm afraid i wasn't able to deliver", Failed, false}, // qmail, James
	{"the following address(es) failed", Failed, false},    // Exim
	{"a message that you sent could not be delivered to one or more of its recipients", Failed, false},
	{"had permanent fatal errors", Failed, false}, // sendmail
	{"had permanent delivery errors", Failed, false},
	{"transcript of session follows", Failed, false},
	{"this is the mail system at host", Failed, false}, // Postfix
	{"this is the postfix program at host", Failed, false},
	{"delivery to the following recipient failed permanently", Failed, false}, // Gmail
	{"delivery to the following recipients failed", Failed, false},            // Exchange
	{"delivery has failed to these recipients", Failed, false},
	{"did not reach some or all of the intended recipients", Failed, false},
	{"did not reach the following recipient", Failed, false},
	{"the following recipient(s) could not be reached", Failed, false},
	{"the following recipient(s) cannot be reached", Failed, false},
	{"message could not be delivered to some recipients", Failed, false}, // MailEnable
	{"we were unable to deliver your message to the following", Failed, false},
	{"unable to deliver message to the following", Failed, false},                                 // Yahoo
	{"the message that you sent was undeliverable", Failed, false},                                // GroupWise
	{"your mail to the following recipients could not be delivered", Failed, false},               // AOL
	{"while trying to deliver the mail to the following recipients", Failed, false},               // Amazon SES
	{"while attempting to deliver a message for the following list of recipients", Failed, false}, // OpenSMTPD
	{"your message to the following recipients cannot be delivered", Failed, false},               // Courier
	{"xmail bounce: rcpt=", Failed, false},
	{"failed addresses follow", Failed, false},                                     // Smail
	{"invalid final delivery userid", Failed, false},                               // IMail
	{"an error was detected while processing the enclosed message", Failed, false}, // LSMTP
	{"was automatically rejected", Failed, false},                                  // Dovecot, Sieve
	{"failed to deliver to '", Failed, false},                                      // CommuniGate
	// In words anybody may use.
	{"was not delivered to", Failed, true}, // Domino
	{"could not be delivered", Failed, true},
	{"couldn't be delivered", Failed, true},
	{"cannot be delivered", Failed, true},
	{"can't be delivered", Failed, true},
	{"wasn't delivered to", Failed, true},
	{"has not been delivered", Failed, true},
	{"was not delivered", Failed, true},
	{"unable to deliver", Failed, true},
	{"failed to deliver", Failed, true},
	{"delivery failed", Failed, true},
	{"delivery failure", Failed, true},
	{"failed permanently", Failed, true},
	{"delivery has failed", Failed, true},
	{"undeliverable", Failed, true},
	{"undelivered", Failed, true},
	{"had delivery errors", Failed, true},
	{"non-delivery report", Failed, true},
	{"mailbox exceeds allowed size", Failed, true}, // IMail
	{"rejected your message", Failed, true},
	{"failed recipients", Failed, true},
	{"not able to deliver", Failed, true},
	{"could not deliver", Failed, true},
	{"message not delivered", Failed, true},
	{"did not receive your message", Failed, true},
	{"did not reach the following", Failed, true},
	{"encountered delivery problems", Failed, true},
	{"the following recipients was aborted", Failed, true},
	{"mail has been returned because", Failed, true},
	{"unknown user", Failed, true},
	{"no such user", Failed, true},
	{"no mailbox here by that name", Failed, true},
	{"user unknown", Failed, true},
	{"nicht zugestellt werden", Failed, true},
	{"unzustellbar", Failed, true},
	{"n'a pas pu être remis", Failed, true},
	{"n'a pas pu etre", Failed, true},
	{"n'a pas pu être livré", Failed, true},
	{"échec de la remise", Failed, true},
	{"no se pudo entregar", Failed, true},
	{"no se ha podido entregar", Failed, true},
	{"no pudo ser entregado", Failed, true},
	{"impossibile recapitare", Failed, true},
	{"non è stato recapitato", Failed, true},
	{"não pôde ser entregue", Failed, true},
	{"não foi entregue", Failed, true},
	{"kon niet worden bezorgd", Failed, true},
	{"kunde inte levereras", Failed, true},
	{"nie mogła zostać dostarczona", Failed, true},
	{"nie została dostarczona", Failed, true},
	{"не может быть доставлено", Failed, true},
	{"не удалось доставить", Failed, true},
	{"配信できません", Failed, true},
	{"送信できません", Failed, true},
}

// readWords reads a report that has no part for machines.
func (d *document) readWords(b *Bounce) bool {
	text := d.notice()
	notice, rest := cutOriginal(text)
	n := newWords(d, unquote(notice))
	action, ok := d.about(n, rest != "" || d.original != nil)
	if !ok {
		return false
	}
	b.Text = text
	b.Original = d.returned()
	if len(b.Original.Header) == 0 {
		b.Original = readOriginal([]byte(rest[:min(len(rest), maxHeader)]))
	}
	b.recipients(d, n, action)
	return true
}

// about decides whether a notice is about delivery, and what it says. Who
// sends it, what it says and whom it names have to agree. returned tells that
// it comes with a message.
func (d *document) about(n *words, returned bool) (Action, bool) {
	subject := d.header.Get("Subject")
	p := findPhrase(flatten(n.text))
	_, marked := d.header.Find("X-Failed-Recipients")
	switch {
	case isAnswer(subject) && !d.fromDaemon():
		return 0, false
	case p != nil && !p.plain:
		return p.action, d.fromDaemon() || speaksOfDelivery(subject)
	case d.reportType != "" && d.reportType != "delivery-status", isAutoReply(d.header) && !marked:
		return 0, false
	case p != nil && d.fromDaemon():
		return p.action, true
	case p != nil:
		return p.action, speaksOfDelivery(subject) && len(n.named) > 0 && (returned || n.named[0].sure)
	}
	return Failed, namesDaemon(d.header) && len(n.named) > 0 && n.named[0].sure && (returned || speaksOfDelivery(subject))
}

// findPhrase gives the first phrase that a flat text holds.
func findPhrase(flat string) *phrase {
	for i := range phrases {
		if strings.Contains(flat, phrases[i].text) {
			return &phrases[i]
		}
	}
	return nil
}

// flatten writes a text in lower case with single spaces, so that phrases are
// found across lines.
func flatten(s string) string {
	s = strings.ToLower(strings.ReplaceAll(s, "\u2019", "'"))
	return strings.Join(strings.Fields(s), " ")
}

// isAnswer reports whether a subject is that of an answer or a forward.
func isAnswer(subject string) bool {
	s := strings.ToLower(strings.TrimSpace(subject))
	for _, p := range [...]string{"re:", "aw:", "fwd:", "fw:", "wg:", "tr:", "sv:", "rv:", "antw:", "odp:"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// speaksOfDelivery reports whether a subject is a bounce's, for those whose
// sender is not.
func speaksOfDelivery(subject string) bool {
	s := flatten(subject)
	for _, p := range [...]string{"deliver", "returned mail", "failure notice", "mail failure", "non remis", "unzustellbar", "rückgabe", "bounce", "mail system error", "entreg", "returned to sender", "returning", "failed mail"} {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// unquote leaves out lines that quote another message. ">>>" and "<<<" stay:
// they are the dialogue in sendmail's transcripts.
func unquote(s string) string {
	if !strings.HasPrefix(s, ">") && !strings.Contains(s, "\n>") {
		return s
	}
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, ">") || strings.HasPrefix(line, ">>> ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// markers begin a line behind which the original is returned, without the
// signs around them.
var markers = [...]string{
	"below this line is a copy of", "this is a copy of", "here is a copy of", "a copy of the original message", "original message", "the original message follows",
	"unsent message", "undelivered message", "message header follows", "message headers follow", "the header of the original message", "header of the original message", "headers of the original message",
	"returned message", "copy of the message", "copy of your message", "original headers", "the original message headers", "the headers of the message", "message follows", "returned mail",
	"the message follows", "ursprüngliche nachricht", "message d'origine", "mensaje original", "messaggio originale", "mensagem original", "cabeçalhos de mensagens originais",
	"message text follows", "----- message from you", "below the next line is a copy of", "start of returned message", "your message reads", "the header and top", "unsent message below",
	"original message as received", "old message", "here is listed the initial part",
}

// cutOriginal splits a notice from the original behind it.
func cutOriginal(text string) (notice, original string) {
	at := 0
	for line := range strings.Lines(text) {
		if isMarker(line) {
			return text[:at], strings.TrimLeft(text[at+len(line):], "\n\t ")
		}
		if strings.HasPrefix(line, "Received: ") || strings.HasPrefix(line, "Return-Path: ") || strings.HasPrefix(line, "X-Mailgun-Sid: ") {
			return text[:at], text[at:]
		}
		at += len(line)
	}
	return text, ""
}

func isMarker(line string) bool {
	if len(line) > 160 || len(line) < 12 {
		return false
	}
	bare := strings.Trim(line, " \t\n-=*_#+|>:.")
	dashed := strings.HasPrefix(strings.TrimLeft(line, " \t|"), "--")
	bare = strings.ToLower(bare)
	for _, m := range markers {
		if strings.HasPrefix(bare, m) && (dashed || len(bare) <= len(m)+45 && endsMarker(line)) {
			return true
		}
	}
	return false
}

// endsMarker reports whether a line without dashes ends as a heading.
func endsMarker(line string) bool {
	line = strings.TrimRight(line, " \t\n")
	return strings.HasSuffix(line, ":") || strings.HasSuffix(line, "--") || strings.HasSuffix(line, "==") || strings.HasSuffix(line, "follows.")
}
