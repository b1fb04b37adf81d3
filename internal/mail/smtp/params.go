package smtp

import (
	"errors"
	"strconv"
	"strings"
)

var (
	errParamValue = &Error{Code: 501, Enhanced: "5.5.4", Text: "bad parameter value"}
	errParamTwice = &Error{Code: 501, Enhanced: "5.5.4", Text: "parameter given twice"}
	errParam      = &Error{Code: 555, Enhanced: "5.5.4", Text: "parameter not recognized"}
)

// Parameters of MAIL and RCPT that were given, one bit each.
const (
	paramSize = 1 << iota
	paramBody
	paramUTF8
	paramRequireTLS
	paramAuth
	paramRet
	paramEnvID
	paramNotify
	paramOrcpt
)

// params calls set with each parameter of s, the name in upper case. set returns
// the bit of the parameter.
func params(s string, set func(name, value string) (int, *Error)) *Error {
	seen := 0
	for f := range strings.FieldsSeq(s) {
		name, value, _ := strings.Cut(f, "=")
		bit, err := set(strings.ToUpper(name), value)
		switch {
		case err != nil:
			return err
		case seen&bit != 0:
			return errParamTwice
		}
		seen |= bit
	}
	return nil
}

// mailOptions parses the parameters of MAIL.
func (ss *session) mailOptions(s string) (MailOptions, *Error) {
	var o MailOptions
	if s == "" {
		return o, nil
	}
	err := params(s, func(name, value string) (int, *Error) { return ss.mailOption(&o, name, value) })
	return o, err
}

func (ss *session) mailOption(o *MailOptions, name, value string) (int, *Error) {
	switch {
	case name == "SIZE":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, errParamValue
		}
		o.Size = int64(n) // on ErrRange the largest value, which is refused for its size
		return paramSize, nil
	case name == "BODY":
		o.Body8Bit = strings.EqualFold(value, "8BITMIME")
		if !o.Body8Bit && !strings.EqualFold(value, "7BIT") {
			return 0, errParamValue
		}
		return paramBody, nil
	case name == "SMTPUTF8" && value == "":
		o.UTF8 = true
		return paramUTF8, nil
	case name == "REQUIRETLS" && value == "" && ss.cfg.OfferRequireTLS && ss.tls != nil:
		o.RequireTLS = true
		return paramRequireTLS, nil
	case name == "AUTH" && value != "" && len(ss.mechanisms()) > 0:
		// RFC 4954 5: who sent it first. Nobody is trusted to say so, and then
		// the value counts as "<>".
		return paramAuth, nil
	case ss.cfg.OfferDSN:
		return o.dsn(name, value)
	}
	return 0, errParam
}

// dsn takes RET and ENVID (RFC 3461, sections 4.3 and 4.4).
func (o *MailOptions) dsn(name, value string) (int, *Error) {
	switch name {
	case "RET":
		switch {
		case strings.EqualFold(value, "FULL"):
			o.Return = ReturnFull
		case strings.EqualFold(value, "HDRS"):
			o.Return = ReturnHeaders
		default:
			return 0, errParamValue
		}
		return paramRet, nil
	case "ENVID":
		var ok bool
		if o.EnvelopeID, ok = decodeXtext(value); !ok || value == "" || len(value) > maxEnvID {
			return 0, errParamValue
		}
		return paramEnvID, nil
	}
	return 0, errParam
}

// rcptOptions parses the parameters of RCPT (RFC 3461, sections 4.1 and 4.2).
func (ss *session) rcptOptions(s string) (RcptOptions, *Error) {
	var o RcptOptions
	if s == "" {
		return o, nil
	}
	err := params(s, func(name, value string) (int, *Error) {
		var ok bool
		switch {
		case !ss.cfg.OfferDSN:
			return 0, errParam
		case name == "NOTIFY":
			if o.Notify, ok = parseNotify(value); !ok {
				return 0, errParamValue
			}
			return paramNotify, nil
		case name == "ORCPT":
			if o.OriginalType, o.Original, ok = parseORCPT(value); !ok {
				return 0, errParamValue
			}
			return paramOrcpt, nil
		}
		return 0, errParam
	})
	return o, err
}
