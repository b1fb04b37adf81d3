package authres

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	peer "github.com/emersion/go-msgauth/authres"

	"postroad/internal/mail/mime"
)

func sampleVerdict() *Verdict {
	return &Verdict{
		AuthservID: "mx.example.net",
		IP:         clientIP,
		IPRev:      IPRev{Pass, "mail.example.com"},
		HELO:       SPF{Result: None, Identity: "mail.example.com"},
		MailFrom:   SPF{Result: SoftFail, Identity: "ann@example.com"},
		DKIM: []DKIM{
			{Result: Pass, Domain: "example.com", Selector: "sel", Identity: "@example.com", Algorithm: "rsa-sha256", Digits: "ab/d+f=1"},
			{Result: Fail, Domain: "example.org", Selector: "s2", Identity: "ann@example.org", Algorithm: "ed25519-sha256", Digits: "abcdefgh", Reason: "body hash did not verify"},
		},
		DMARC: DMARC{Result: Fail, Domain: "example.com", Record: "example.com", Policy: Reject, Percent: 50, Disposition: Quarantine},
		ARC:   ARC{Result: Pass, Instance: 2},
	}
}

func TestField(t *testing.T) {
	const want = "Authentication-Results: mx.example.net;\r\n" +
		"\tiprev=pass (mail.example.com) policy.iprev=192.0.2.10;\r\n" +
		"\tspf=softfail smtp.mailfrom=ann@example.com;\r\n" +
		"\tspf=none smtp.helo=mail.example.com;\r\n" +
		"\tdkim=pass header.d=example.com header.i=@example.com header.s=sel\r\n" +
		"\theader.a=rsa-sha256 header.b=\"ab/d+f=1\";\r\n" +
		"\tdkim=fail reason=\"body hash did not verify\" header.d=example.org\r\n" +
		"\theader.i=ann@example.org header.s=s2 header.a=ed25519-sha256\r\n" +
		"\theader.b=abcdefgh;\r\n" +
		"\tdmarc=fail (p=reject pct=50 dis=quarantine) header.from=example.com;\r\n" +
		"\tarc=pass (i=2) smtp.remote-ip=192.0.2.10\r\n"
	if got := sampleVerdict().Field(); got != want {
		t.Errorf("%s", got)
	}
}

// TestFieldAgainstPeer has another implementation read what is written.
func TestFieldAgainstPeer(t *testing.T) {
	v := sampleVerdict()
	_, value, _ := strings.Cut(v.Field(), ":")
	id, results, err := peer.Parse(strings.ReplaceAll(value, "\r\n", ""))
	if err != nil || id != "mx.example.net" || len(results) != 7 {
		t.Fatalf("%s, %v, %v", id, results, err)
	}
	if r := results[1].(*peer.SPFResult); r.Value != peer.ResultSoftFail || r.From != "ann@example.com" {
		t.Errorf("%+v", r)
	}
	if r := results[4].(*peer.DKIMResult); r.Value != peer.ResultFail || r.Domain != "example.org" || r.Identifier != "ann@example.org" {
		t.Errorf("%+v", r)
	}
	if r := results[5].(*peer.DMARCResult); r.Value != peer.ResultFail || r.From != "example.com" {
		t.Errorf("%+v", r)
	}
}

// TestFieldInjection: whatever strangers say, the field has one result a method
// more than our own words give it, and no line more.
func TestFieldInjection(t *testing.T) {
	for _, evil := range []string{
		"x; dmarc=pass header.from=bank.example", "x\r\nX-Evil: 1", "x\r\n\r\nbody", `x" dkim=pass`, `x\`, "(", ")", "x\x00y\x7f",
		"x; spf=pass", strings.Repeat("x", 5000), "\xff\xfe", "\u00e9;\u2028", `"a b"@example.com`, "a@b@c", "=?utf-8?q?x?=",
	} {
		v := sampleVerdict()
		v.AuthservID = "mx.example.net"
		v.IPRev.Name, v.HELO.Identity, v.MailFrom.Identity, v.DMARC.Domain = evil, evil, evil, evil
		v.DKIM[0].Identity, v.DKIM[0].Domain, v.DKIM[0].Selector, v.DKIM[0].Algorithm = evil, evil, evil, evil
		field := v.Field()
		fields, _, err := mime.ScanHeader([]byte(field))
		if err != nil || len(fields) != 1 || fields[0].End != len(field) || strings.ContainsAny(strings.ReplaceAll(field, "\r\n", ""), "\r\n\x00") {
			t.Errorf("%q: %q", evil, field)
		}
		if n := countOutside(field); n != 7 {
			t.Errorf("%q: %d results in %q", evil, n, field)
		}
	}
}

// countOutside counts semicolons outside quoted strings and comments.
func countOutside(s string) (n int) {
	quoted, depth := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ';' && depth == 0:
			n++
		}
	}
	return n
}

func TestMailgunValues(t *testing.T) {
	for result, want := range map[Result]string{
		Pass: "Pass", Fail: "Fail", SoftFail: "SoftFail", Neutral: "Neutral", None: "Neutral", TempError: "Neutral", PermError: "Neutral",
	} {
		if got := (&Verdict{MailFrom: SPF{Result: result}}).MailgunSPF(); got != want {
			t.Errorf("%s: %s", result, got)
		}
	}
	for results, want := range map[string]string{
		"": "", "pass": "Pass", "fail": "Fail", "fail pass": "Pass", "temperror": "", "temperror fail": "Fail", "neutral": "Fail", "policy": "Fail",
	} {
		var v Verdict
		for _, r := range strings.Fields(results) {
			v.DKIM = append(v.DKIM, DKIM{Result: Result(r)})
		}
		if got := v.MailgunDKIM(); got != want {
			t.Errorf("%q: %s", results, got)
		}
	}
}

func TestStrip(t *testing.T) {
	forged := []string{
		"Authentication-Results: mx.example.net; spf=pass\r\n",
		"authentication-results:MX.Example.Net;spf=pass\r\n",
		"Authentication-Results :\r\n\tmx.example.net\r\n\t; spf=pass\r\n",
		"Authentication-Results: \"mx.example.net\"; spf=pass\r\n",
		"Authentication-Results: \"mx\\.example.net\"; spf=pass\r\n",
		"Authentication-Results: (a (nested \\) one)) mx.example.net (c) 1; none\r\n",
		"Authentication-Results: mx.example.net 1 ; none\r\n",
		"Authentication-Results: mx.example.net\r\n",
		"Authentication-Results: (unfinished mx.example.net; spf=pass\r\n",
		"Authentication-Results: foo MX.example.net; spf=pass\r\n",
		"X-Mailgun-Spf: Pass\r\n", "x-mailgun-dkim-check-result: Pass\r\n", "X-Mailgun-Sflag: No\r\n",
		"X-Mailgun-Sscore: 0\r\n", "X-MAILGUN-SID: x\r\n", "X-Mailgun-Incoming: Yes\r\n", "X-Postroad-Spam-Check: unavailable\r\n",
	}
	kept := []string{
		"Authentication-Results: mx.example.org; spf=pass\r\n",
		"Authentication-Results: example.net; spf=pass (mx.example.net)\r\n",
		"Authentication-Results: sub.mx.example.net; none\r\n",
		"Authentication-Results: \r\n", "Authentication-Results: (\r\n",
		"ARC-Authentication-Results: i=1; mx.example.net; none\r\n",
		"X-Mailgun-Variables: {}\r\n", "X-Mailgun-Spfx: Pass\r\n", "no field\r\n", "From: a@example.com\r\n",
	}
	const body = "\r\nAuthentication-Results: mx.example.net; body\r\nlast line without end"
	want := strings.Join(kept, "") + body
	for name, msg := range map[string]string{
		"before": strings.Join(forged, "") + want,
		"after":  strings.Join(kept, "") + strings.Join(forged, "") + body,
		"mixed":  mix(kept, forged) + body,
		"none":   want,
	} {
		pieces, err := Strip([]byte(msg), "mx.example.net")
		if got := bytes.Join(pieces, nil); err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
	for _, msg := range []string{"", "\r\n", "x", "X-Mailgun-Sid: 1", "\r\n\r\n", strings.Join(kept, "")} {
		pieces, err := Strip([]byte(msg), "mx.example.net")
		if want := strings.TrimPrefix(msg, "X-Mailgun-Sid: 1"); err != nil || string(bytes.Join(pieces, nil)) != want {
			t.Errorf("%q became %q, %v", msg, pieces, err)
		}
	}
	if _, err := Strip([]byte(strings.Repeat("X: x\r\n", 30_000)), "x"); err == nil {
		t.Error("a header without bounds")
	}
}

func mix(a, b []string) string {
	var s strings.Builder
	for i := range max(len(a), len(b)) {
		if i < len(b) {
			s.WriteString(b[i])
		}
		if i < len(a) {
			s.WriteString(a[i])
		}
	}
	return s.String()
}

// TestStripKeepsSignatures: what others signed holds afterwards.
func TestStripKeepsSignatures(t *testing.T) {
	n := honest()
	msg := "X-Mailgun-Sid: x\r\n" + forwarded(t, n, 2)
	msg = strings.Replace(msg, "\r\nSubject:", "\r\nX-Mailgun-Spf: Pass\r\nSubject:", 1)
	pieces, err := Strip([]byte(msg), "mx.hop1.example")
	if err != nil {
		t.Fatal(err)
	}
	if v := Check(t.Context(), n, request(string(bytes.Join(pieces, nil)))); v.ARC.Result != Pass {
		t.Errorf("%+v", v.ARC)
	}
}

func FuzzStrip(f *testing.F) {
	f.Add("Authentication-Results: mx.example.net; none\r\nX: y\r\n\r\nbody", "mx.example.net")
	f.Add("Authentication-Results: \"mx.exa\\mple.net\" (x) 1; none\r\nX-Mailgun-Sid: y\r\n\r\n", "mx.example.net")
	f.Fuzz(func(t *testing.T, msg, id string) {
		pieces, err := Strip([]byte(msg), id)
		if err != nil {
			return
		}
		once := bytes.Join(pieces, nil)
		fields, _, err := mime.ScanHeader(once)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range fields {
			if got, ok := readAuthservID(string(field.Value)); field.Is(FieldName) && ok && strings.EqualFold(got, id) {
				t.Fatalf("%q stays", field.Value)
			}
		}
	})
}

// FuzzCheck judges whatever comes, and writes it down. Goroutines make its coverage
// vary, so give it -fuzzminimizetime 1x.
func FuzzCheck(f *testing.F) {
	n := honest()
	f.Add(forwarded(f, n, 2), "mail.example.com", "ann@example.com", "v=spf1 a mx ptr exists:%{i}.example.com include:example.com -all", "v=DMARC1; p=reject; pct=50")
	f.Add(signed(f, plain, keyOf(f, n, "example.com")), "[192.0.2.1]", "", "v=spf1 redirect=%{d2}.com", "v=DMARC1; p=none; sp=reject")
	f.Add("From: a@b.example, c@d.example\r\nDKIM-Signature: v=1\r\n\r\n", "x", "\"a@b\"@c.example", "v=spf1 ip4:192.0.2.0/24 ?all", "v=DMARC1")
	f.Fuzz(func(t *testing.T, msg, helo, from, spf, dmarc string) {
		n := honest()
		keyOf(t, n, "example.com")
		n.set("TXT example.com", spf)
		n.set("TXT _dmarc.example.com", dmarc)
		q := request(msg)
		q.HELO, q.MailFrom = helo, from
		v := Check(t.Context(), n, q)
		if n.asked > 500 {
			t.Fatalf("%d questions", n.asked)
		}
		if v.DMARC.Disposition != Deliver && v.DMARC.Result != Fail {
			t.Fatalf("%+v", v.DMARC)
		}
		field := v.Field()
		fields, _, err := mime.ScanHeader([]byte(field))
		if err != nil || len(fields) != 1 || fields[0].End != len(field) || strings.ContainsAny(strings.ReplaceAll(field, "\r\n", ""), "\r\n\x00") {
			t.Fatalf("%q", field)
		}
		methods := 5 + max(1, len(v.DKIM))
		if v.MailFrom.Identity == "" {
			methods--
		}
		if countOutside(field) != methods {
			t.Fatalf("%d results are not in %q", methods, field)
		}
	})
}

func TestIPv6IsQuoted(t *testing.T) {
	v := sampleVerdict()
	v.IP = netip.MustParseAddr("2001:db8::1")
	if !strings.Contains(v.Field(), `policy.iprev="2001:db8::1"`) {
		t.Error(v.Field())
	}
}
