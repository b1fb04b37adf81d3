package authres

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"postroad/internal/base/dnsx"
	"postroad/internal/base/dnsx/dnstest"
	"postroad/internal/mail/dkim"
)

func TestCheck(t *testing.T) {
	n := honest()
	msg := signed(t, plain, keyOf(t, n, "example.com"))
	v := Check(t.Context(), n, request(msg))
	if v.IPRev != (IPRev{Pass, "mail.example.com"}) || v.HELO.Result != Pass || v.MailFrom.Result != Pass {
		t.Errorf("%+v", v)
	}
	if len(v.DKIM) != 1 || v.DKIM[0].Result != Pass || v.DKIM[0].Domain != "example.com" || v.DKIM[0].Algorithm != "rsa-sha256" {
		t.Errorf("%+v", v.DKIM)
	}
	want := DMARC{Result: Pass, Domain: "example.com", Record: "example.com", Policy: Reject, Percent: 100, SPF: true, DKIM: true, Disposition: Deliver}
	if v.DMARC != want || v.ARC != (ARC{Result: None}) {
		t.Errorf("%+v %+v", v.DMARC, v.ARC)
	}
	if v.MailgunSPF() != "Pass" || v.MailgunDKIM() != "Pass" {
		t.Error(v.MailgunSPF(), v.MailgunDKIM())
	}
}

// TestCheckOverDNS has a real client ask a real server, which then fails.
func TestCheckOverDNS(t *testing.T) {
	n := honest()
	msg := signed(t, plain, keyOf(t, n, "example.com"))
	z := dnstest.New()
	z.Set(t, "10.2.0.192.in-addr.arpa", "PTR", "mail.example.com.")
	z.Set(t, "mail.example.com", "A", "192.0.2.10")
	z.Set(t, "example.com", "TXT", "v=spf1 mx -all")
	z.Set(t, "example.com", "MX", "10 mail.example.com.")
	z.Set(t, "_dmarc.example.com", "TXT", "v=DMARC1; p=quarantine")
	z.Set(t, "sel._domainkey.example.com", "TXT", n.records["TXT sel._domainkey.example.com"]...)
	client, err := dnsx.New(dnsx.Config{Servers: []string{z.Start(t)}, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	v := Check(t.Context(), client, request(msg))
	if v.IPRev.Result != Pass || v.HELO.Result != None || v.MailFrom.Result != Pass || v.DKIM[0].Result != Pass || v.DMARC.Result != Pass {
		t.Errorf("%+v", v)
	}
	for _, name := range []string{"10.2.0.192.in-addr.arpa", "example.com", "mail.example.com", "_dmarc.example.com", "sel._domainkey.example.com"} {
		z.Fail(name, dns.RcodeServerFailure)
	}
	client.Flush()
	v = Check(t.Context(), client, request(msg))
	for what, got := range map[string]Result{"iprev": v.IPRev.Result, "helo": v.HELO.Result, "from": v.MailFrom.Result, "dkim": v.DKIM[0].Result, "dmarc": v.DMARC.Result} {
		if got != TempError {
			t.Errorf("%s: %s", what, got)
		}
	}
	if v.DMARC.Disposition != Deliver || v.MailgunSPF() != "Neutral" || v.MailgunDKIM() != "" {
		t.Errorf("%+v", v)
	}
}

// silent answers when the question is given up.
type silent struct{ *names }

func (s silent) TXT(ctx context.Context, name string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestCheckEndsInTime(t *testing.T) {
	msg := signed(t, plain, keyOf(t, honest(), "example.com"))
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		v := Check(t.Context(), silent{honest()}, request(msg))
		if d := time.Since(start); d != maxTime {
			t.Errorf("took %v", d)
		}
		if v.IPRev.Result != Pass || v.MailFrom.Result != TempError || v.DKIM[0].Result != TempError || v.DMARC.Result != TempError {
			t.Errorf("%+v", v)
		}
	})
}

func TestIPRev(t *testing.T) {
	n := honest()
	n.set("PTR 192.0.2.11", "stranger.example.com", "none.example.com")
	n.set("A stranger.example.com", "192.0.2.99")
	n.set("PTR 192.0.2.12", "!")
	n.set("PTR 192.0.2.13", "lame.example.com")
	n.set("A lame.example.com", "!")
	var many []string
	for i := range 50 {
		many = append(many, fmt.Sprintf("h%d.example.com", i))
	}
	n.set("PTR 192.0.2.14", many...)
	n.set("A h49.example.com", "192.0.2.14")
	for ip, want := range map[string]IPRev{
		"192.0.2.10":        {Pass, "mail.example.com"},
		"::ffff:192.0.2.10": {Pass, "mail.example.com"},
		"2001:db8::10":      {Pass, "mail.example.com"},
		"192.0.2.11":        {Fail, "stranger.example.com"},
		"192.0.2.12":        {TempError, ""},
		"192.0.2.13":        {TempError, "lame.example.com"},
		"192.0.2.14":        {Fail, "h0.example.com"},
		"192.0.2.15":        {PermError, ""},
	} {
		q := request(plain)
		q.IP = netip.MustParseAddr(ip)
		if got := Check(t.Context(), n, q).IPRev; got != want {
			t.Errorf("%s: %+v, want %+v", ip, got, want)
		}
	}
}

func TestSPF(t *testing.T) {
	var steps []string
	for i := range 12 {
		steps = append(steps, fmt.Sprintf("a:h%d.example.com", i))
	}
	n := newNames(map[string][]string{
		// RFC 7208, appendix A.
		"A example.com":        {"192.0.2.10", "192.0.2.11"},
		"A amy.example.com":    {"192.0.2.65"},
		"MX example.com":       {"mail-a.example.com", "mail-b.example.com"},
		"A mail-a.example.com": {"192.0.2.129"},
		"A mail-b.example.com": {"192.0.2.130"},
		"TXT all.example":      {"v=spf1 +all"},
		"TXT a.example":        {"v=spf1 a:example.com -all"},
		"TXT mx.example":       {"v=spf1 mx:example.com -all"},
		"TXT soft.example":     {"v=spf1 ~all"},
		"TXT neutral.example":  {"v=spf1 ?all"},
		"TXT open.example":     {"v=spf1"},
		"TXT macro.example":    {"v=spf1 exists:%{l}.%{i}.%{h}.%{d} -all"},
		"A ann.192.0.2.10.mail.example.com.macro.example":        {"127.0.0.2"},
		"A postmaster.192.0.2.10.mail.example.com.macro.example": {"127.0.0.2"},
		"A a.b.192.0.2.10.mail.example.com.macro.example":        {"127.0.0.2"},
		"TXT two.example":           {"v=spf1 -all", "v=spf1 +all"},
		"TXT bad.example":           {"v=spf1 ip4:1.2.3 -all"},
		"TXT cycle.example":         {"v=spf1 include:cycle.example -all"},
		"TXT turn.example":          {"v=spf1 redirect=turn.example"},
		"TXT void.example":          {"v=spf1 a:x.example a:y.example a:z.example +all"},
		"TXT many.example":          {"v=spf1 " + strings.Join(steps, " ") + " +all"},
		"TXT giant.example":         {"v=spf1 " + strings.Repeat("ip4:10.0.0.0/8 ", 4000) + "+all"},
		"TXT temp.example":          {"!"},
		"TXT sub.temp.example":      {"v=spf1 include:temp.example -all"},
		"TXT xn--bcher-kva.example": {"v=spf1 ip4:192.0.2.10 -all"},
	})
	for i := range 12 {
		n.set(fmt.Sprintf("A h%d.example.com", i), "203.0.113.1")
	}
	for from, want := range map[string]Result{
		"ann@all.example": Pass, "ann@a.example": Pass, "ann@mx.example": Fail, "ann@soft.example": SoftFail,
		"ann@neutral.example": Neutral, "ann@open.example": Neutral, "ann@macro.example": Pass, "@macro.example": Pass,
		`"a@b"@macro.example`: Fail, "bob@macro.example": Fail, "ann@two.example": PermError, "ann@bad.example": PermError,
		"ann@cycle.example": PermError, "ann@turn.example": PermError, "ann@void.example": PermError, "ann@many.example": PermError,
		"ann@giant.example": PermError, "ann@temp.example": TempError, "ann@sub.temp.example": TempError, "ann@no.example": None,
		"ann@[192.0.2.10]": None, "ann@192.0.2.10": None, "ann@localhost": None, "ann": None, "ann@bücher.example": Pass,
		"ann@a..example": None, strings.Repeat("x", 400) + "@all.example": Pass, "a@all.example@a..example": None,
	} {
		q := request(plain)
		q.MailFrom = from
		n.asked = 0
		v := Check(t.Context(), n, q)
		if v.MailFrom.Result != want || v.MailFrom.Identity != from {
			t.Errorf("%s: %+v, want %s", from, v.MailFrom, want)
		}
		if n.asked > 40 {
			t.Errorf("%s: %d questions", from, n.asked)
		}
	}
	q := request(plain)
	q.MailFrom, q.HELO = "", "macro.example"
	n.set("A postmaster.192.0.2.10.macro.example.macro.example", "127.0.0.2")
	if v := Check(t.Context(), n, q); v.MailFrom.Result != Pass || v.HELO.Result != Pass || v.MailFrom.Domain != "macro.example" {
		t.Errorf("null sender: %+v %+v", v.MailFrom, v.HELO)
	}
	for _, helo := range []string{"", "[192.0.2.10]", "localhost", "192.0.2.10", "a b.example"} {
		q.HELO = helo
		if v := Check(t.Context(), n, q); v.MailFrom.Result != None || v.HELO.Result != None {
			t.Errorf("HELO %q: %+v", helo, v.HELO)
		}
	}
}

func TestDKIMResults(t *testing.T) {
	n := honest()
	good := signed(t, plain, keyOf(t, n, "example.com"))
	set := func(values ...string) func(string) string {
		return func(msg string) string {
			n.set("TXT sel._domainkey.example.com", values...)
			return msg
		}
	}
	replace := func(old, new string) func(string) string {
		return func(msg string) string { return strings.Replace(msg, old, new, 1) }
	}
	for name, tt := range map[string]struct {
		change func(string) string
		want   Result
	}{
		"good":            {replace("", ""), Pass},
		"changed body":    {replace("Hello Bob", "Hello Eve"), Fail},
		"changed header":  {replace("Subject: H", "Subject: J"), Fail},
		"malformed":       {replace("v=1", "v=2"), Neutral},
		"SHA-1":           {replace("rsa-sha256", "rsa-sha1"), Policy},
		"no key":          {set(), PermError},
		"revoked":         {set("v=DKIM1; p="), PermError},
		"two keys":        {set("v=DKIM1; p=", "v=DKIM1; p="), PermError},
		"no DKIM record":  {set("v=spf1 -all"), PermError},
		"giant record":    {set("v=DKIM1; p=" + strings.Repeat("A", 60_000)), PermError},
		"DNS fails":       {set("!"), TempError},
		"not in the time": {replace("t=", "x=1700000000; t="), Neutral}, // expires before it was made
	} {
		keyOf(t, n, "example.com")
		d := Check(t.Context(), n, request(tt.change(good))).DKIM
		if len(d) != 1 || d[0].Result != tt.want || (d[0].Reason == "") != (tt.want == Pass) {
			t.Errorf("%s: %+v, want %s", name, d, tt.want)
		}
	}
	keyOf(t, n, "example.com")
	q := request(strings.Replace(good, "Hello Bob", "Hello Eve", 1))
	if v := Check(t.Context(), n, q); v.MailgunDKIM() != "Fail" || v.DMARC.Result != Pass || v.DMARC.DKIM {
		t.Errorf("%+v", v)
	}
}

func TestEverySignature(t *testing.T) {
	n := honest()
	msg := plain
	for i := range 12 {
		msg = signed(t, msg, keyOf(t, n, fmt.Sprintf("d%d.example", i)))
	}
	n.set("TXT sel._domainkey.d5.example", "!")
	v := Check(t.Context(), n, request(msg))
	if len(v.DKIM) != maxSignatures || v.DKIMUnchecked != 2 {
		t.Fatalf("%d results, %d unchecked", len(v.DKIM), v.DKIMUnchecked)
	}
	seen := map[string]bool{}
	for i, d := range v.DKIM {
		want := Pass
		if d.Domain == "d5.example" {
			want = TempError
		}
		if d.Domain != fmt.Sprintf("d%d.example", 11-i) || d.Result != want || len(d.Digits) != 8 || seen[d.Digits] {
			t.Errorf("%d: %+v", i, d)
		}
		seen[d.Digits] = true
	}
}

// TestHostileMessages: whatever a message holds, few questions are asked and the
// time stays in bounds that only quadratic work could miss.
func TestHostileMessages(t *testing.T) {
	n := honest()
	sig := strings.TrimSuffix(signed(t, plain, keyOf(t, n, "example.com")), plain)
	for name, head := range map[string]string{
		"10,000 signatures":     strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=s; h=from; bh="+bodyHash()+"; b=AAAA\r\n", 10_000),
		"endless tags":          "DKIM-Signature: " + strings.Repeat("a=;", 300_000) + "\r\n",
		"many tags":             strings.Repeat("DKIM-Signature: "+manyTags()+"\r\n", 60),
		"long h=":               strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=sel; bh="+bodyHash()+"; b=AAAA; h="+strings.Repeat("x:", 7000)+"from\r\n", 10) + strings.Repeat("X:\r\n", 200_000),
		"many fields":           strings.Repeat("a:\r\n", 260_000),
		"many names":            manyNames(),
		"one field":             "X: " + strings.Repeat("x\r\n ", 250_000) + "\r\n",
		"no fields":             strings.Repeat("x\r\n", 300_000),
		"3,000 ARC fields":      strings.Repeat("ARC-Seal: i=1; cv=none\r\nARC-Message-Signature: i=1\r\nARC-Authentication-Results: i=1; x\r\n", 1000),
		"large ARC":             strings.Repeat("ARC-Authentication-Results: i=1; x"+strings.Repeat(" x", 9000)+"\r\n", 50),
		"1,000 From":            strings.Repeat("From: a@b.example\r\n", 1000),
		"1,000 authors":         "From: " + strings.Repeat("a@b.example, ", 1000) + "a@c.example\r\n",
		"different authors":     manyAuthors(),
		"comments":              "From: " + strings.Repeat("(", 60_000) + "\r\n",
		"header of 2 MiB":       strings.Repeat("X: x\r\n", 350_000),
		"empty":                 "",
		"signature, then chaos": sig + strings.Repeat("\x00: \xff\r\n", 10_000),
	} {
		n.asked = 0
		start := time.Now()
		v := Check(t.Context(), n, request(head+plain))
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
		if n.asked > 60 {
			t.Errorf("%s: %d questions", name, n.asked)
		}
		if len(v.Field()) > 16<<10 {
			t.Errorf("%s: field of %d octets", name, len(v.Field()))
		}
		if v.DMARC.Disposition != Deliver { // SPF passes for the sender
			t.Errorf("%s: %+v", name, v.DMARC)
		}
	}
}

func bodyHash() string {
	sum := dkim.ComputeBodyHash([][]byte{[]byte(plain)}, dkim.Simple)
	return encode64(sum[:])
}

func manyTags() string {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "t%d=;", i)
	}
	return b.String()
}

func manyNames() string {
	var b strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&b, "n%d:\r\n", i)
	}
	return b.String()
}

func manyAuthors() string {
	var b strings.Builder
	b.WriteString("From: ")
	for i := range 1000 {
		fmt.Fprintf(&b, "a@d%d.example, ", i)
	}
	return b.String() + "a@example.com\r\n"
}

func BenchmarkCheck(b *testing.B) {
	n := honest()
	msg := plain + strings.Repeat("A paragraph of ordinary text, as letters have it, of some eighty octets.\r\n", 137)
	q := request(signed(b, msg, keyOf(b, n, "example.com")))
	b.SetBytes(int64(len(q.Message)))
	b.ReportAllocs()
	for b.Loop() {
		if v := Check(b.Context(), n, q); v.DKIM[0].Result != Pass || v.DMARC.Result != Pass {
			b.Fatalf("%+v", v)
		}
	}
}
