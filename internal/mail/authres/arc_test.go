package authres

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/internal/mail/dkim"
)

// hop does what a forwarder does: judge, change, seal.
func hop(t testing.TB, n *names, msg, domain, footer string) (string, *Verdict) {
	t.Helper()
	q := request(msg)
	q.AuthservID = "mx." + domain
	v := Check(t.Context(), n, q)
	msg = "Received: by " + domain + "\r\n" + msg + footer
	set, err := v.Seal(new(dkim.Signer), [][]byte{[]byte(msg)}, keyOf(t, n, domain), testTime)
	if err != nil {
		t.Fatal(err)
	}
	return string(set) + msg, v
}

// forwarded is a message that came over some forwarders, each of which changed its
// body.
func forwarded(t testing.TB, n *names, hops int) string {
	t.Helper()
	msg := signed(t, plain, keyOf(t, n, "example.com"))
	for i := range hops {
		msg, _ = hop(t, n, msg, fmt.Sprintf("hop%d.example", i+1), "A footer.\r\n")
	}
	return msg
}

func TestARCHops(t *testing.T) {
	n := honest()
	for hops := 1; hops < 6; hops++ {
		msg := forwarded(t, n, hops)
		v := Check(t.Context(), n, request(msg))
		if v.ARC != (ARC{Result: Pass, Instance: hops, Domain: fmt.Sprintf("hop%d.example", hops)}) {
			t.Errorf("%d hops: %+v\n%s", hops, v.ARC, msg)
		}
		if v.DKIM[0].Result != Fail || !strings.Contains(v.Field(), fmt.Sprintf("arc=pass (i=%d)", hops)) {
			t.Errorf("%d hops: %s", hops, v.Field())
		}
	}
}

func TestARCTampering(t *testing.T) {
	n := honest()
	good := forwarded(t, n, 3)
	sets := strings.Count(good, "\nARC-")
	if sets < 8 {
		t.Fatal(good)
	}
	for name, change := range map[string][2]string{
		"body":                 {"how are you", "who are you"},
		"subject":              {"Subject: H", "Subject: J"},
		"DKIM signature":       {"\r\nDKIM-Signature: v=1;", "\r\nDKIM-Signature: v=2;"},
		"results of hop 1":     {"i=1; mx.hop1.example;\r\n\tiprev=pass", "i=1; mx.hop1.example;\r\n\tiprev=fail"},
		"results of hop 2":     {"i=2; mx.hop2.example", "i=2; mx.evil.example"},
		"results of hop 3":     {"i=3; mx.hop3.example", "i=3; mx.evil.example"},
		"signature of hop 1":   {"ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed;", "ARC-Message-Signature: i=1; a=rsa-sha256; c=simple/relaxed;"},
		"signature of hop 3":   {"ARC-Message-Signature: i=3; a=rsa-sha256;", "ARC-Message-Signature: i=3; a=rsa-sha256; z=1;"},
		"seal of hop 1":        {"ARC-Seal: i=1; a=rsa-sha256; cv=none;", "ARC-Seal: i=1; a=rsa-sha256; z=1; cv=none;"},
		"seal of hop 2":        {"ARC-Seal: i=2; a=rsa-sha256; cv=pass;", "ARC-Seal: i=2; a=rsa-sha256; cv=pass; z=1;"},
		"seal of hop 3":        {"d=hop3.example", "d=hop2.example"},
		"status none":          {"ARC-Seal: i=2; a=rsa-sha256; cv=pass", "ARC-Seal: i=2; a=rsa-sha256; cv=none"},
		"status of the first":  {"ARC-Seal: i=1; a=rsa-sha256; cv=none", "ARC-Seal: i=1; a=rsa-sha256; cv=pass"},
		"status fail":          {"ARC-Seal: i=3; a=rsa-sha256; cv=pass", "ARC-Seal: i=3; a=rsa-sha256; cv=fail"},
		"fail within":          {"ARC-Seal: i=2; a=rsa-sha256; cv=pass", "ARC-Seal: i=2; a=rsa-sha256; cv=fail"},
		"no seal of hop 1":     {"ARC-Seal: i=1;", "X-Seal: i=1;"},
		"no signature of 2":    {"ARC-Message-Signature: i=2;", "X-Signature: i=2;"},
		"no results of hop 3":  {"ARC-Authentication-Results: i=3;", "X-Results: i=3;"},
		"renumbered":           {"ARC-Seal: i=3;", "ARC-Seal: i=4;"},
		"numbered 51":          {"ARC-Seal: i=3;", "ARC-Seal: i=51;"},
		"numbered 0":           {"ARC-Authentication-Results: i=3;", "ARC-Authentication-Results: i=0;"},
		"one field more":       {"Subject:", "ARC-Authentication-Results: i=2; mx.hop2.example\r\nSubject:"},
		"one set more":         {"Subject:", "ARC-Authentication-Results: i=4; x\r\nSubject:"},
		"seal of header names": {"ARC-Seal: i=3;", "ARC-Seal: i=3; h=from;"},
		"weak seal":            {"ARC-Seal: i=2; a=rsa-sha256;", "ARC-Seal: i=2; a=rsa-sha1;"},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Errorf("%s: nothing changed", name)
		}
		if a := Check(t.Context(), n, request(bad)).ARC; a.Result != Fail || a.Reason == "" || a.Temporary {
			t.Errorf("%s: %+v", name, a)
		}
	}
	for _, hop := range []string{"hop1", "hop2", "hop3"} {
		good := forwarded(t, n, 3)
		n.set("TXT sel._domainkey."+hop+".example", "!")
		v := Check(t.Context(), n, request(good))
		if v.ARC.Result != Fail || !v.ARC.Temporary {
			t.Errorf("no DNS of %s: %+v", hop, v.ARC)
		}
		set, err := v.Seal(new(dkim.Signer), [][]byte{[]byte(good)}, keyOf(t, n, "me.example"), testTime)
		if err != nil || set != nil {
			t.Errorf("sealed without DNS: %s, %v", set, err)
		}
		n.set("TXT sel._domainkey." + hop + ".example")
		if a := Check(t.Context(), n, request(good)).ARC; a.Result != Fail || a.Temporary {
			t.Errorf("no key of %s: %+v", hop, a)
		}
	}
}

// TestSealAfterFailure: one last set, sealed for itself, then none (RFC 8617,
// sections 5.1 and 5.1.2).
func TestSealAfterFailure(t *testing.T) {
	n := honest()
	broken := strings.Replace(forwarded(t, n, 2), "how are you", "who are you", 1)
	msg, v := hop(t, n, broken, "hop3.example", "")
	if v.ARC.Result != Fail || v.ARC.Closed || !strings.HasPrefix(msg, "ARC-Seal: i=3; a=rsa-sha256; cv=fail;") {
		t.Fatalf("%+v\n%s", v.ARC, msg)
	}
	m, err := dkim.ReadMessage([][]byte{[]byte(msg)})
	if err != nil {
		t.Fatal(err)
	}
	c := readChain(m)
	record, err := dkim.ParseRecord(n.records["TXT sel._domainkey.hop3.example"][0])
	if err != nil {
		t.Fatal(err)
	}
	sealed := dkim.NewSealedHash()
	sealed.Add(c.sets[2].results)
	sealed.Add(c.sets[2].signature.Field())
	if err := sealed.Verify(c.sets[2].seal, record); err != nil {
		t.Errorf("the last seal does not stand alone: %v", err)
	}
	again, v := hop(t, n, msg, "hop4.example", "")
	if v.ARC.Result != Fail || !v.ARC.Closed || v.ARC.Domain != "hop3.example" || again != "Received: by hop4.example\r\n"+msg {
		t.Errorf("%+v", v.ARC)
	}
}

func TestSealLimits(t *testing.T) {
	n := honest()
	var msg string
	msg = plain
	for i := range maxSets {
		next, _ := hop(t, n, msg, "hop.example", "")
		if !strings.HasPrefix(next, "ARC-Seal:") {
			t.Fatalf("set %d was not added", i+1)
		}
		msg = next
	}
	next, v := hop(t, n, msg, "hop.example", "")
	if v.ARC.Result != Pass || v.ARC.Instance != maxSets || !strings.HasPrefix(next, "Received:") {
		t.Errorf("%+v", v.ARC)
	}
}

func TestSealErrors(t *testing.T) {
	n := honest()
	key := keyOf(t, n, "me.example")
	msg := forwarded(t, n, 2)
	v := Check(t.Context(), n, request(msg))
	for name, tt := range map[string]struct {
		msg  string
		key  dkim.Key
		want error
	}{
		"without the chain": {plain, key, ErrOtherChain},
		"a broken chain":    {strings.Replace(msg, "ARC-Seal: i=1", "X-Seal: i=1", 1), key, ErrOtherChain},
		"no From":           {strings.Replace(msg, "\r\nFrom:", "\r\nX-From:", 1), key, dkim.ErrNoFrom},
		"no key":            {msg, dkim.Key{Domain: "me.example", Selector: "x"}, dkim.ErrBadKey},
		"no selector":       {msg, dkim.Key{Domain: "me.example", Signer: key.Signer}, dkim.ErrBadSelector},
	} {
		set, err := v.Seal(new(dkim.Signer), [][]byte{[]byte(tt.msg)}, tt.key, testTime)
		if !errors.Is(err, tt.want) || set != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSealForm(t *testing.T) {
	n := honest()
	msg := forwarded(t, n, 1)
	fields := strings.SplitN(msg, "\r\nARC-", 4)
	if !strings.HasPrefix(fields[0], "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=hop1.example; s=sel;") ||
		!strings.HasPrefix(fields[1], "Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=hop1.example;") ||
		!strings.HasPrefix(fields[2], "Authentication-Results: i=1; mx.hop1.example;\r\n\tiprev=pass (mail.example.com)") {
		t.Errorf("%q", fields)
	}
	if !strings.Contains(fields[1], "DKIM-Signature") || strings.Contains(fields[1], "v=1") {
		t.Error(fields[1])
	}
	for line := range strings.SplitSeq(msg, "\r\n") {
		if len(line) > 78 {
			t.Errorf("line of %d octets: %s", len(line), line)
		}
	}
}

func TestExpiredMessageSignature(t *testing.T) {
	n := honest()
	q := request(strings.Replace(forwarded(t, n, 1), "ARC-Message-Signature: i=1;", fmt.Sprintf("ARC-Message-Signature: i=1; x=%d;", testTime.Unix()+1), 1))
	q.Time = testTime.Add(time.Minute)
	if a := Check(t.Context(), n, q).ARC; a.Result != Fail || !strings.Contains(a.Reason, "expired") {
		t.Errorf("%+v", a)
	}
}
