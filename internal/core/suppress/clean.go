package suppress

import (
	"errors"
	"strconv"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/when"
	"postroad/internal/mail/addr"
)

// Limits of an entry.
const (
	maxCode   = 32       // bytes
	maxReason = 16 << 10 // bytes; an SMTP reply has a few hundred
	maxTag    = 128      // characters. Mailgun: of a tag
)

// defaultCode is the reply code of a bounce without one. Mailgun.
const defaultCode = "550"

// clean checks an entry and fills in what may be left out.
func (e *Entry) clean() *errs.Error {
	if err := e.cleanAddress(); err != nil {
		return err
	}
	if len(e.Code) > maxCode {
		return errs.New(errs.Invalid, "'code' parameter is invalid: must be at most %d bytes long", maxCode)
	}
	if len(e.Reason) > maxReason {
		return errs.New(errs.Invalid, "'%s' parameter is invalid: must be at most %d bytes long", e.reasonName(), maxReason)
	}
	if e.Kind == Bounces && e.Code == "" {
		e.Code = defaultCode
	}
	if e.Kind != Unsubscribes {
		e.Tag = ""
		return nil
	}
	return e.cleanTag()
}

func (e *Entry) reasonName() string {
	if e.Kind == Allowlist {
		return "reason"
	}
	return "error"
}

// cleanAddress checks the address and keeps it as it was given.
func (e *Entry) cleanAddress() *errs.Error {
	e.Address = strings.TrimSpace(e.Address)
	name, parsed := "address", e.Address
	switch {
	case e.Address == "" && e.Kind == Allowlist:
		return errs.New(errs.Invalid, "Missing mandatory parameter: address/domain")
	case e.Address == "":
		return errs.New(errs.Invalid, "Missing mandatory parameter: address")
	case e.Kind == Allowlist && !strings.Contains(e.Address, "@"):
		name, parsed = "domain", "x@"+e.Address
	}
	if _, err := addr.ParseMailbox(parsed); err != nil {
		return badAddress(name, e.Address, err)
	}
	return nil
}

func badAddress(name, value string, err error) *errs.Error {
	reason := "it cannot be read"
	var why *addr.Error
	if errors.As(err, &why) {
		reason = string(why.Reason)
	}
	if len(value) > 100 {
		value = strings.ToValidUTF8(value[:100], "") + "..."
	}
	return errs.Wrap(errs.Invalid, err, "'"+name+"' parameter is invalid: "+strconv.Quote(value)+": "+reason)
}

// cleanTag makes a tag what it is on a message. Mailgun: letters that are not
// ASCII are left out.
func (e *Entry) cleanTag() *errs.Error {
	if e.Tag == "" {
		e.Tag = everyTag
	}
	tag := strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, e.Tag))
	if tag == "" || len(tag) > maxTag {
		return errs.New(errs.Invalid, "'tag' parameter is invalid: must be 1 to %d ASCII characters", maxTag)
	}
	e.Tag = tag
	return nil
}

// parseDate reads when an entry was made, in microseconds. Nothing, and the
// year 1 that clients written in Go send for no date, is 0.
func parseDate(text string) (int64, *errs.Error) {
	text = strings.TrimSpace(text)
	if text == "" || strings.HasPrefix(text, "0001-") || strings.Contains(text, " 0001 ") {
		return 0, nil
	}
	t, ok := when.Parse(text)
	if !ok {
		return 0, badDate(text)
	}
	return t.UnixMicro(), nil
}

func badDate(text string) *errs.Error {
	if len(text) > 64 {
		text = strings.ToValidUTF8(text[:64], "")
	}
	return errs.New(errs.Invalid, "'created_at' parameter is invalid: %s is not an RFC-2822 compliant date", text)
}
