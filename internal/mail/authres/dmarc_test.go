package authres

import (
	"strings"
	"testing"
)

func TestParseDMARC(t *testing.T) {
	tests := []struct {
		text string
		want record
		ok   bool
	}{
		{"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com", record{policy: Deliver, percent: 100, wantsReports: true}, true}, // RFC 7489, appendix B.2.1
		{"v=DMARC1; p=quarantine; rua=mailto:x@example.com,mailto:y@example.com!10m; pct=25", record{policy: Quarantine, percent: 25, wantsReports: true}, true},
		{"v=DMARC1;p=reject;sp=none;adkim=s;aspf=s", record{policy: Reject, sub: Deliver, strictDKIM: true, strictSPF: true, percent: 100}, true},
		{" v=DMARC1; p=none", record{}, false},
		{"v = DMARC1 ; P = Reject ; ADKIM=S;;", record{policy: Reject, strictDKIM: true, percent: 100}, true},
		{"v=DMARC1; p=reject; p=none", record{policy: Reject, percent: 100}, true},
		{"v=DMARC1; p=reject; pct=101", record{policy: Reject, percent: 100}, true},
		{"v=DMARC1; p=reject; pct=0", record{policy: Reject, percent: 0}, true},
		{"v=DMARC1; p=reject; adkim=x; fo=1:d:s; rf=afrf; ri=86400; what", record{policy: Reject, percent: 100}, true},
		{"v=DMARC1", record{}, false},
		{"v=DMARC1; p=monitor", record{}, false},
		{"v=DMARC1; p=reject; sp=maybe", record{}, false},
		{"v=DMARC1; p=reject; sp=maybe; rua=mailto:x@example.com", record{policy: Deliver, percent: 100, wantsReports: true}, true},
		{"v=DMARC1; rua=mailto:x@example.com", record{policy: Deliver, percent: 100, wantsReports: true}, true},
		{"v=DMARC1; rua=x", record{}, false},
		{"v=dmarc1; p=none", record{}, false},
		{"v=DMARC12; p=none", record{}, false},
		{"p=none; v=DMARC1", record{}, false},
		{"v=DMARC1; p=none; x=" + strings.Repeat("x", maxRecord), record{}, false},
		{"", record{}, false},
	}
	for _, tt := range tests {
		got, ok := parseDMARC(tt.text)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%.60q: %+v %v", tt.text, got, ok)
		}
	}
}

func TestAligned(t *testing.T) {
	tests := []struct {
		domain, author  string
		relaxed, strict bool
	}{
		{"example.com", "example.com", true, true},
		{"news.example.com", "example.com", true, false},
		{"example.com", "news.example.com", true, false},
		{"a.example.com", "b.c.example.com", true, false},
		{"example.net", "example.com", false, false},
		{"badexample.com", "example.com", false, false},
		{"a.co.uk", "b.co.uk", false, false},
		{"x.a.co.uk", "a.co.uk", true, false},
		{"co.uk", "a.co.uk", false, false},
		{"com", "example.com", false, false},
		{"a.github.io", "b.github.io", false, false}, // of the private part of the list
		{"", "example.com", false, false},
	}
	for _, tt := range tests {
		if aligned(tt.domain, tt.author, false) != tt.relaxed || aligned(tt.domain, tt.author, true) != tt.strict {
			t.Errorf("%q and %q", tt.domain, tt.author)
		}
	}
}

// TestDMARC tells SPF and DKIM apart by what they pass for: "s:" a domain for which
// SPF passes, "d:" one whose signature passes; "s!" and "d!" ones where the DNS
// failed.
func TestDMARC(t *testing.T) {
	tests := []struct {
		name, records, author, passed string
		roll                          int
		result                        Result
		policy, disposition           Disposition
	}{
		{"SPF", "example.com: p=reject", "example.com", "s:example.com", 0, Pass, Reject, Deliver},
		{"SPF relaxed", "example.com: p=reject", "example.com", "s:bounce.example.com", 0, Pass, Reject, Deliver},
		{"SPF strict", "example.com: p=reject; aspf=s", "example.com", "s:bounce.example.com", 0, Fail, Reject, Reject},
		{"SPF strict, same", "example.com: p=reject; aspf=s", "example.com", "s:example.com", 0, Pass, Reject, Deliver},
		{"DKIM", "example.com: p=reject", "example.com", "d:example.com", 0, Pass, Reject, Deliver},
		{"DKIM relaxed", "example.com: p=reject", "example.com", "d:a.example.com", 0, Pass, Reject, Deliver},
		{"DKIM strict", "example.com: p=reject; adkim=s", "example.com", "d:a.example.com", 0, Fail, Reject, Reject},
		{"DKIM, one of several", "example.com: p=reject", "example.com", "d:example.org d:example.com", 0, Pass, Reject, Deliver},
		{"others", "example.com: p=reject", "example.com", "s:example.net d:example.org", 0, Fail, Reject, Reject},
		{"nothing", "example.com: p=quarantine", "example.com", "", 0, Fail, Quarantine, Quarantine},
		{"only watched", "example.com: p=none", "example.com", "", 0, Fail, Deliver, Deliver},
		{"no record", "", "example.com", "s:example.com", 0, None, "", Deliver},
		{"no DMARC record", "example.com! v=spf1 -all", "example.com", "", 0, None, "", Deliver},
		{"record above", "example.com: p=reject", "a.b.example.com", "", 0, Fail, Reject, Reject},
		{"not between", "b.example.com: p=reject", "a.b.example.com", "", 0, None, "", Deliver},
		{"sp", "example.com: p=reject; sp=none", "a.example.com", "", 0, Fail, Deliver, Deliver},
		{"sp stricter", "example.com: p=none; sp=reject", "a.example.com", "", 0, Fail, Reject, Reject},
		{"sp, not below", "example.com: p=none; sp=reject", "example.com", "", 0, Fail, Deliver, Deliver},
		{"own record", "example.com: p=none; sp=none|a.example.com: p=reject; sp=none", "a.example.com", "", 0, Fail, Reject, Reject},
		{"own strict record", "example.com: p=none|a.example.com: p=reject; aspf=s", "a.example.com", "s:example.com", 0, Fail, Reject, Reject},
		{"public suffix", "co.uk: p=reject", "a.co.uk", "", 0, None, "", Deliver},
		{"pct, meant", "example.com: p=reject; pct=30", "example.com", "", 29, Fail, Reject, Reject},
		{"pct, spared", "example.com: p=reject; pct=30", "example.com", "", 30, Fail, Reject, Quarantine},
		{"pct, spared from quarantine", "example.com: p=quarantine; pct=30", "example.com", "", 99, Fail, Quarantine, Deliver},
		{"pct 0", "example.com: p=reject; pct=0", "example.com", "", 0, Fail, Reject, Quarantine},
		{"pct 100", "example.com: p=reject; pct=100", "example.com", "", 99, Fail, Reject, Reject},
		{"two records", "example.com: p=reject|example.com: p=none", "example.com", "", 0, None, "", Deliver},
		{"malformed", "example.com: p=what", "example.com", "s:example.com", 0, PermError, "", Deliver},
		{"DNS fails", "example.com! !", "example.com", "s:example.com", 0, TempError, "", Deliver},
		{"DNS fails above", "example.com! !", "a.example.com", "s:example.com", 0, TempError, "", Deliver},
		{"SPF later", "example.com: p=reject", "example.com", "s!example.com", 0, TempError, Reject, Deliver},
		{"SPF of others later", "example.com: p=reject", "example.com", "s!example.net", 0, Fail, Reject, Reject},
		{"DKIM later", "example.com: p=reject", "example.com", "d!a.example.com", 0, TempError, Reject, Deliver},
		{"DKIM later, strict", "example.com: p=reject; adkim=s", "example.com", "d!a.example.com", 0, Fail, Reject, Reject},
		{"one later, one passes", "example.com: p=reject", "example.com", "d!example.com s:example.com", 0, Pass, Reject, Deliver},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from, signatures := outcomes(tt.passed)
			p := discover(t.Context(), dmarcNames(tt.records), tt.author)
			d := evaluate(p, from, signatures, tt.roll)
			if d.Result != tt.result || d.Policy != tt.policy || d.Disposition != tt.disposition || d.Domain != tt.author {
				t.Errorf("%+v", d)
			}
		})
	}
}

// dmarcNames reads "NAME: TAGS|NAME! TEXT".
func dmarcNames(text string) *names {
	n := newNames(map[string][]string{})
	for part := range strings.SplitSeq(text, "|") {
		i := strings.IndexAny(part, ":!")
		if i < 0 {
			continue
		}
		value := part[i+2:]
		if part[i] == ':' {
			value = "v=DMARC1; " + value
		}
		key := "TXT _dmarc." + part[:i]
		n.records[key] = append(n.records[key], value)
	}
	return n
}

func outcomes(text string) (from SPF, signatures []DKIM) {
	from = SPF{Result: Fail, Domain: "sender.example"}
	for _, word := range strings.Fields(text) {
		result, domain := Pass, word[2:]
		if word[1] == '!' {
			result = TempError
		}
		if word[0] == 's' {
			from = SPF{Result: result, Domain: domain}
		} else {
			signatures = append(signatures, DKIM{Result: result, Domain: domain})
		}
	}
	return from, signatures
}

func TestAuthors(t *testing.T) {
	n := honest()
	n.set("TXT _dmarc.example.net", "v=DMARC1; p=quarantine")
	n.set("TXT _dmarc.xn--bcher-kva.example", "v=DMARC1; p=reject")
	tests := []struct {
		from        string
		domain      string
		result      Result
		disposition Disposition
	}{
		{"From: ann@example.com\r\n", "example.com", Pass, Deliver},
		{"FROM : \"x@evil.example\" (c@d.example)\r\n <Ann@EXAMPLE.com>\r\n", "example.com", Pass, Deliver},
		{"From: ann@sub.example.com\r\n", "sub.example.com", Pass, Deliver},
		{"From: ann@example.net\r\n", "example.net", Fail, Quarantine},
		{"From: ann@b\u00fccher.example\r\n", "xn--bcher-kva.example", Fail, Reject},
		{"From: ann@example.com, bob@example.com\r\n", "example.com", Pass, Deliver},
		{"From: ann@example.com, eve@example.net\r\n", "example.net", Fail, Quarantine},
		{"From: eve@example.net, ann@b\u00fccher.example\r\n", "xn--bcher-kva.example", Fail, Reject},
		{"From: ann@example.com\r\nFrom: eve@example.net\r\n", "example.net", Fail, Quarantine},
		{"From: eve@example.net\r\nfrom: ann@example.com\r\n", "example.net", Fail, Quarantine},
		{"From: ann@nowhere.example\r\n", "nowhere.example", None, Deliver},
		{"From: nobody:;\r\n", "", PermError, Deliver},
		{"From: ann\r\n", "", PermError, Deliver},
		{"From:\r\n", "", PermError, Deliver},
		{"", "", PermError, Deliver},
		{"From: <ann@example.com\r\n", "", PermError, Deliver},
	}
	for _, tt := range tests {
		d := Check(t.Context(), n, request(tt.from+"Subject: x\r\n\r\nx\r\n")).DMARC
		if d.Domain != tt.domain || d.Result != tt.result || d.Disposition != tt.disposition {
			t.Errorf("%q: %+v", tt.from, d)
		}
	}
}

// TestNullSender: then the HELO name is what SPF and DMARC go by (RFC 7489, section
// 3.1.2).
func TestNullSender(t *testing.T) {
	q := request(plain)
	q.MailFrom = ""
	if d := Check(t.Context(), honest(), q).DMARC; d.Result != Pass || !d.SPF {
		t.Errorf("%+v", d)
	}
	q.HELO = "other.example"
	if d := Check(t.Context(), honest(), q).DMARC; d.Result != Fail || d.Disposition != Reject {
		t.Errorf("%+v", d)
	}
}

func FuzzParseDMARC(f *testing.F) {
	f.Add("v=DMARC1; p=reject; sp=none; adkim=s; aspf=r; pct=50; rua=mailto:x@example.com")
	f.Add("v=DMARC1;p=none;p")
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseDMARC(text)
		if !ok {
			return
		}
		if !isDMARC(text) || disposition(string(r.policy)) == "" || r.percent < 0 || r.percent > 100 || r.sub != "" && disposition(string(r.sub)) == "" {
			t.Fatalf("%q: %+v", text, r)
		}
	})
}
