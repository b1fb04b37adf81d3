package smtp

import (
	"slices"
	"strconv"
	"strings"
)

// Extensions is what a server offered in its reply to EHLO.
type Extensions struct {
	Size          int64 // largest message in octets; 0 when unlimited or not stated
	SizeOffered   bool  // SIZE may be declared in MAIL
	Pipelining    bool
	EightBitMIME  bool
	SMTPUTF8      bool
	StartTLS      bool
	EnhancedCodes bool
	Chunking      bool
	DSN           bool
	RequireTLS    bool
	Auth          []string // mechanisms, in upper case; at most maxAuth
	Limits        Limits
}

// Limits is the LIMITS extension (RFC 9422); 0 means that nothing was stated.
type Limits struct {
	MailMax       int // transactions in one session
	RcptMax       int // recipients in one transaction
	RcptDomainMax int // recipient domains in one transaction
}

// maxAuth bounds the mechanisms kept: a hostile reply could name thousands, and
// finding repeated ones takes the square of the time.
const maxAuth = 16

// parseExtensions reads the lines of an EHLO reply, the first of which is the
// greeting. Unknown keywords and unreadable numbers are ignored.
func parseExtensions(text string) Extensions {
	var x Extensions
	_, text, _ = strings.Cut(text, "\n")
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		name := strings.ToUpper(f[0])
		// "AUTH=LOGIN PLAIN" is an old form that servers still send.
		if mech, ok := strings.CutPrefix(name, "AUTH="); ok {
			name, f[0] = "AUTH", mech
			f = append(f[:1:1], f...)
		}
		x.set(name, f[1:])
	}
	return x
}

func (x *Extensions) set(keyword string, args []string) {
	switch keyword {
	case "SIZE":
		x.SizeOffered = true
		if len(args) > 0 {
			if n, err := strconv.ParseInt(args[0], 10, 64); err == nil && n > 0 {
				x.Size = n
			}
		}
	case "PIPELINING":
		x.Pipelining = true
	case "8BITMIME":
		x.EightBitMIME = true
	case "SMTPUTF8":
		x.SMTPUTF8 = true
	case "STARTTLS":
		x.StartTLS = true
	case "ENHANCEDSTATUSCODES":
		x.EnhancedCodes = true
	case "CHUNKING":
		x.Chunking = true
	case "DSN":
		x.DSN = true
	case "REQUIRETLS":
		x.RequireTLS = true
	case "AUTH":
		for _, mech := range args {
			if len(x.Auth) == maxAuth {
				return
			}
			if mech = strings.ToUpper(mech); !slices.Contains(x.Auth, mech) {
				x.Auth = append(x.Auth, mech)
			}
		}
	case "LIMITS":
		x.Limits.parse(args)
	}
}

func (l *Limits) parse(args []string) {
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n <= 0 {
			continue
		}
		switch strings.ToUpper(name) {
		case "MAILMAX":
			l.MailMax = n
		case "RCPTMAX":
			l.RcptMax = n
		case "RCPTDOMAINMAX":
			l.RcptDomainMax = n
		}
	}
}
