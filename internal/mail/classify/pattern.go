package classify

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// span is a range of reply codes, both ends included.
type span struct{ lo, hi int }

// parseCodes reads "421", "4xx", "*" or several with commas.
func parseCodes(field string) (out []span, err error) {
	for p := range strings.SplitSeq(field, ",") {
		p = strings.TrimSpace(p)
		if p == "*" {
			p = "xxx"
		}
		lo, err1 := strconv.Atoi(strings.ReplaceAll(p, "x", "0"))
		hi, err2 := strconv.Atoi(strings.ReplaceAll(p, "x", "9"))
		if len(p) != 3 || err1 != nil || err2 != nil || lo < 0 || strings.Contains(strings.TrimRight(p, "x"), "x") {
			return nil, fmt.Errorf("%q is no reply code", p)
		}
		out = append(out, span{lo, hi})
	}
	return out, nil
}

func (r *rule) within(lo, hi int) bool {
	for _, s := range r.codes {
		if s.lo <= hi && s.hi >= lo {
			return true
		}
	}
	return false
}

// status is an enhanced status code (RFC 3463): class, subject, detail. The
// zero value means that there is none.
type status struct{ class, subject, detail int }

// parseStatus reads "5.7.606". Anything else is no status.
func parseStatus(s string) status {
	class, rest, ok1 := strings.Cut(s, ".")
	subject, detail, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || len(class) != 1 || class[0] < '2' || class[0] > '5' {
		return status{}
	}
	a, ok1 := number(subject)
	b, ok2 := number(detail)
	if !ok1 || !ok2 {
		return status{}
	}
	return status{int(class[0] - '0'), a, b}
}

// number reads one to three digits.
func number(s string) (n int, ok bool) {
	if s == "" || len(s) > 3 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// statusSpan is a range of enhanced status codes.
type statusSpan struct {
	none    bool // there is no status
	class   int  // 0: any
	subject span
	detail  span
}

func (p statusSpan) has(s status) bool {
	if p.none || s.class == 0 {
		return p.none && s.class == 0
	}
	return (p.class == 0 || p.class == s.class) && p.subject.has(s.subject) && p.detail.has(s.detail)
}

func (s span) has(n int) bool { return s.lo <= n && n <= s.hi }

// parseStatuses reads "5.7.1", "x.7.1", "5.7.606-649", "5.7.*", several with
// commas, "-" or "*".
func parseStatuses(field string) (out []statusSpan, err error) {
	if field == "*" {
		return nil, nil
	}
	for p := range strings.SplitSeq(field, ",") {
		if p = strings.TrimSpace(p); p == "-" {
			out = append(out, statusSpan{none: true})
			continue
		}
		f := strings.Split(p, ".")
		if len(f) != 3 {
			return nil, fmt.Errorf("%q is no enhanced status", p)
		}
		var s statusSpan
		class, ok0 := number(f[0])
		if s.class = class; f[0] == "x" {
			ok0 = true
		} else if class != 4 && class != 5 {
			ok0 = false
		}
		var ok1, ok2 bool
		s.subject, ok1 = parseSpan(f[1])
		s.detail, ok2 = parseSpan(f[2])
		if !ok0 || !ok1 || !ok2 {
			return nil, fmt.Errorf("%q is no enhanced status", p)
		}
		out = append(out, s)
	}
	return out, nil
}

// parseSpan reads "7", "606-649" or "*".
func parseSpan(s string) (span, bool) {
	if s == "*" {
		return span{0, 999}, true
	}
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		to = from
	}
	lo, ok1 := number(from)
	hi, ok2 := number(to)
	return span{lo, hi}, ok1 && ok2 && lo <= hi
}

// Bounds of a wait; what a reply or a rule asks for is kept within them.
const (
	minRetry = time.Second
	maxRetry = 24 * time.Hour
)

// hints reads "retry=15m scope=recipient connections".
func (v *Verdict) hints(field string) (err error) {
	for h := range strings.FieldsSeq(field) {
		key, value, _ := strings.Cut(h, "=")
		switch key {
		case "retry":
			v.RetryAfter, err = time.ParseDuration(value)
			if err == nil && (v.RetryAfter < minRetry || v.RetryAfter > maxRetry) {
				err = fmt.Errorf("retry=%s is not between %v and %v", value, minRetry, maxRetry)
			}
		case "scope":
			v.Scope, err = parseScope(value)
		case "connections":
			v.Connections = true
		default:
			err = fmt.Errorf("unknown hint %q", h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
