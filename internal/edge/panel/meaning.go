package panel

import "strings"

// meaning puts an enhanced status code into words (RFC 3463, and the IANA
// registry "SMTP Enhanced Status Codes" for RFC 7372, RFC 7505 and others).
// It is empty for codes whose meaning differs between providers.
func meaning(enhanced string) string {
	class, detail, _ := strings.Cut(enhanced, ".")
	if class != "4" && class != "5" {
		return ""
	}
	switch detail {
	case "1.1":
		return "the address does not exist"
	case "1.2", "4.4":
		return "the domain has no mail server"
	case "1.3":
		return "the address is malformed"
	case "1.6":
		return "the mailbox has moved"
	case "1.10":
		return "the domain accepts no mail at all"
	case "2.1":
		return "the mailbox is disabled"
	case "2.2":
		return "the mailbox is full"
	case "2.3", "3.4":
		return "the message is too large for the recipient"
	case "4.6":
		return "the message goes round in a loop"
	default:
		return policy(detail)
	}
}

// policy covers the security and policy codes, x.7.x.
func policy(detail string) string {
	switch detail {
	case "7.1":
		return "the recipient's policy refuses this message"
	case "7.20", "7.21", "7.22":
		return "no DKIM signature was accepted"
	case "7.23":
		return "SPF does not allow this sender"
	case "7.25":
		return "our address has no valid reverse DNS"
	case "7.26":
		return "the message failed authentication (SPF, DKIM or DMARC)"
	default:
		return ""
	}
}

// providers are the mailbox domains most often mistyped.
func providers() []string {
	return []string{"gmail.com", "googlemail.com", "yahoo.com", "hotmail.com", "outlook.com",
		"icloud.com", "aol.com", "live.com", "gmx.de", "gmx.net", "web.de", "proton.me", "orange.fr"}
}

// meant guesses the address behind a typing mistake: the failure must say that
// the address or its domain does not exist, and the domain must be one slip
// away from that of a large mailbox provider.
func meant(address string, a Attempt) string {
	at := strings.LastIndexByte(address, '@')
	unknown := strings.HasPrefix(a.Enhanced, "5.1.") || strings.HasSuffix(a.Enhanced, ".4.4") || a.Code == 0
	if at < 1 || !unknown || len(address) > 254 {
		return ""
	}
	domain := strings.ToLower(address[at+1:])
	guess := ""
	for _, p := range providers() {
		if p == domain {
			return ""
		}
		if guess == "" && oneSlip(domain, p) {
			guess = address[:at+1] + p
		}
	}
	return guess
}

// oneSlip reports whether a becomes b by one insertion, deletion, replacement
// or swap of neighbours.
func oneSlip(a, b string) bool {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	x, y := a[i:], b[i:]
	switch {
	case len(x) == len(y)+1:
		return x[1:] == y
	case len(y) == len(x)+1:
		return y[1:] == x
	case len(x) != len(y) || x == "":
		return false
	case x[1:] == y[1:]:
		return true
	default:
		return len(x) > 1 && x[0] == y[1] && x[1] == y[0] && x[2:] == y[2:]
	}
}
