package classify

import "strings"

// Classify says with the table that comes with the program what a reply means.
// See Table.Classify.
func Classify(code int, enhanced, text, mx string) Verdict {
	t, err := Default()
	if err != nil { // a test loads the text that is compiled in
		return Verdict{Rule: err.Error()}
	}
	return t.Classify(code, enhanced, text, mx)
}

// Classify says what a reply means. code is the reply code, enhanced the RFC
// 3463 status the reply begins with or "", text the rest, its lines joined with
// "\n", mx the name of the host that gave it or "". A code that is no reply's
// (0, or one of our own) is Other.
func (t *Table) Classify(code int, enhanced, text, mx string) Verdict {
	switch {
	case code >= 200 && code < 300:
		return Verdict{Class: Accepted}
	case code < 400 || code > 599:
		return Verdict{}
	}
	st := parseStatus(enhanced)
	if st.class == 0 {
		st = embedded(text)
	}
	var have phraseSet
	t.words.scan(text, &have)
	r := t.provider(mx).find(code, st, &have)
	if r == nil {
		r = t.general.find(code, st, &have)
	}
	if r == nil {
		return Verdict{}
	}
	v := r.verdict
	if waits(v.Class) {
		if d := retryAfter(text); d > 0 {
			v.RetryAfter = d
		}
	}
	return v
}

// waits reports whether a time named in a reply of the class is a wait.
func waits(c Class) bool { return c == Greylisted || c == RateLimited || c == ServerBusy }

// provider returns the section of the longest suffix of the host name.
func (t *Table) provider(mx string) *section {
	if len(mx) > 255 {
		return nil
	}
	for name := strings.ToLower(strings.TrimSuffix(mx, ".")); name != ""; {
		if s := t.providers[name]; s != nil {
			return s
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return nil
}

// find returns the first rule of the section that holds, nil if none does.
func (s *section) find(code int, st status, have *phraseSet) *rule {
	if s == nil {
		return nil
	}
	kind := code/100 - 4
	for i, lead := range s.leads[kind] {
		if lead != anyText && !have.has(lead) {
			continue
		}
		if r := &s.rules[kind][i]; r.spoken(have) && r.within(code, code) && r.numbered(st) {
			return r
		}
	}
	return nil
}

func (r *rule) spoken(have *phraseSet) bool {
	for _, p := range r.all {
		if !have.has(p) {
			return false
		}
	}
	for _, p := range r.none {
		if have.has(p) {
			return false
		}
	}
	return true
}

func (r *rule) numbered(st status) bool {
	if len(r.statuses) == 0 {
		return true
	}
	for _, p := range r.statuses {
		if p.has(st) {
			return true
		}
	}
	return false
}

// embedded finds a status that stands in the text as "#5.1.1", as qmail and
// several gateways write it.
func embedded(text string) status {
	text = text[:min(len(text), maxText)]
	for {
		_, rest, ok := strings.Cut(text, "#")
		if !ok {
			return status{}
		}
		n := 0
		for n < len(rest) && (rest[n] == '.' || rest[n] >= '0' && rest[n] <= '9') {
			n++
		}
		if s := parseStatus(strings.TrimRight(rest[:n], ".")); s.class != 0 {
			return s
		}
		text = rest
	}
}
