package message

import (
	"context"
	"crypto/hmac"
	"io"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/core/domain"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// copies is how often a message from outside is in memory when it is marked and
// taken apart.
const copies = 4

// Read takes a complete message from outside into memory, within half of what all
// messages being received may have: strangers must not keep out those who log in.
// release gives the room back. The errors are those of SubmitSMTP: too large, or no
// room at this moment.
func (s *Service) Read(ctx context.Context, body io.Reader) (raw []byte, release func(), err error) {
	f := &form{memory: s.others}
	raw, err = s.readAll(&counted{r: f, body: body, left: s.MaxBytes + 1})
	if err == nil {
		more := (copies - 1) * int64(len(raw))
		switch {
		case copies*int64(len(raw)) > s.memory.max: // it never fits: to try again is in vain
			err = errTooLarge(s.memory.max / copies)
		case f.memory.take(more):
			f.held += more
		default:
			err = errBusy()
		}
	}
	if err != nil {
		f.release()
		return nil, nil, err
	}
	return raw, f.release, nil
}

// Foreign makes a submission of a message that came from outside for a domain
// and goes on as it is, not an octet changed: its author's DKIM signatures stay
// good. The caller adds the recipients. Invalid: it has too many parts, or they
// cannot be told apart.
func (s *Service) Foreign(raw []byte, dom *domain.Domain) (*Submission, error) {
	fields, end, err := mime.ScanHeader(raw)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "the message header could not be read")
	}
	files, err := attachmentsOf(raw)
	if err != nil {
		return nil, err
	}
	sub := &Submission{Domain: dom, MIME: raw}
	m := &sub.Meta
	m.Method, m.Foreign, m.Attachments = "smtp", true, files
	m.From, m.To, m.Subject = shorten(fields.Get("From"), 400), shorten(fields.Get("To"), 1000), shorten(fields.Get("Subject"), 998)
	m.UTF8, m.EightBit = mime.EightBit(raw[:end]), mime.EightBit(raw[end:])
	d := newDraft(dom, s.clock.Now(), m.Method)
	if d.messageID(fields.Get("Message-Id")) == nil {
		sub.MessageID = d.sub.MessageID
	} else {
		sub.MessageID = newMessageID(d.now, dom.Name)
	}
	return sub, nil
}

// maxSame is how many messages with one Message-Id BySID looks at.
const maxSame = 10

// BySID returns a message of ours by its Message-Id, if the X-Mailgun-Sid is that
// of the copies we sent: only who has one can know it. That somebody else sent a
// message with the same Message-Id does not hide it. NotFound otherwise.
func (s *Service) BySID(ctx context.Context, messageID, sid string) (*Message, error) {
	if sid = strings.TrimSpace(sid); messageID == "" || sid == "" {
		return nil, errNotFound()
	}
	same, err := s.byMessageID(ctx, messageID, maxSame)
	if err != nil {
		return nil, err
	}
	for _, m := range same {
		raw, err := s.Body(m)
		if err != nil {
			return nil, err
		}
		fields, _, err := mime.ScanHeader(raw)
		if err == nil && hmac.Equal([]byte(strings.TrimSpace(fields.Get("X-Mailgun-Sid"))), []byte(sid)) {
			return m, nil
		}
	}
	return nil, errNotFound()
}

// Sent returns the recipient of m that an address names, in whatever spelling it
// was reported; the only one when address is "". What Meta names as recipients of
// a post to a list, and of mail from outside, is whom it came in for: it went to
// others.
func (m *Message) Sent(address string) (recipient string, ok bool) {
	if m.Meta.List != nil || m.Meta.Foreign {
		return "", false
	}
	if address == "" {
		if len(m.Meta.Recipients) == 1 {
			return m.Meta.Recipients[0], true
		}
		return "", false
	}
	want := addr.Canonical(address)
	for _, r := range m.Meta.Recipients {
		if addr.Canonical(r) == want {
			return r, true
		}
	}
	return "", false
}
