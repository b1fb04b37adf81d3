package report

import (
	"math"
	"strings"
	"testing"

	"postroad/internal/mail/mime"
)

func TestUnsubscribeAddress(t *testing.T) {
	const message = 1811111111111111 << 10
	other := NewSecret([]byte("another"))
	for _, id := range []ID{{message, Copy(&testSecret, message, "ann@example.net")}, {1, 2}, {message, message + 1}, {math.MinInt64, math.MaxInt64}} {
		s := UnsubscribeAddress(&testSecret, id, "mail.example.com")
		local, domain, _ := strings.Cut(s, "@")
		if len(local) > 48 || domain != "mail.example.com" || s != strings.ToLower(s) {
			t.Errorf("%+v: %q, local part of %d", id, s, len(local))
		}
		for _, form := range []string{s, strings.ToUpper(s)} {
			if got, ok := ReadUnsubscribe(&testSecret, form); !ok || got != id {
				t.Errorf("%s: %+v %t, want %+v", form, got, ok, id)
			}
		}
		path := ReturnPath(&testSecret, id, "mail.example.com")
		for _, bad := range []string{
			"", "@", "unsub+@mail.example.com", local, local + "@other.example.com", local + "@", "x" + s, local + "0@" + domain, local + "-x@" + domain, local[:len(local)-1] + "@" + domain,
			unsubTag + local[len(unsubTag):] + local[len(unsubTag):] + "@" + domain, unsubTag + path[len(bounceTag):], unsubTag + strings.Repeat("0", 52) + "@" + domain,
			UnsubscribeAddress(&other, id, domain), UnsubscribeAddress(&testSecret, ID{Message: id.Message}, domain),
		} {
			if got, ok := ReadUnsubscribe(&testSecret, bad); ok {
				t.Errorf("%q is read as %+v", bad, got)
			}
		}
		if got, ok := ReadReturnPath(&testSecret, bounceTag+s[len(unsubTag):]); ok {
			t.Errorf("serves as a return path of %+v", got)
		}
	}
}

func TestIsRequest(t *testing.T) {
	const person = "From: Ann <ann@example.net>\r\nTo: unsub+x@example.com\r\n"
	for _, c := range []struct {
		sender, fields string
		ok             bool
	}{
		{"ann@example.net", person + "Subject: unsubscribe\r\n", true},
		{"ann@example.net", person, true},
		{"ann@example.net", person + "Auto-Submitted: no\r\n", true},
		{"ann@example.net", person + "X-Auto-Response-Suppress: All\r\n", true},
		{"noreply@example.net", person, true},
		{"", person, false},
		{"ann@example.net", person + "Auto-Submitted: auto-replied; x=y\r\n", false},
		{"ann@example.net", person + "Auto-Submitted: Auto-Generated\r\n", false},
		{"noreply@example.net", person + "Auto-Submitted: auto-generated\r\n", false},
		{"ann@example.net", person + "Subject: Out of office: back on Monday\r\n", false},
		{"ann@example.net", person + "X-Autoreply: yes\r\n", false},
		{"ann@example.net", person + "Content-Type: multipart/report; boundary=b\r\n", false},
	} {
		h, _, err := mime.ScanHeader([]byte(c.fields + "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if ok, why := IsRequest(c.sender, h); ok != c.ok || ok == (why != "") {
			t.Errorf("%q %q: %v (%s)", c.sender, c.fields, ok, why)
		}
	}
}

func FuzzUnsubscribeAddress(f *testing.F) {
	f.Add(int64(1), int64(2), "unsub+0@x")
	f.Add(int64(1811111111111111<<10), int64(1811111111111111<<10+9), "UNSUB+"+strings.Repeat("0v", 26)+"@z")
	f.Add(int64(-1), int64(0), "unsub+vv@x@example.com")
	f.Fuzz(func(t *testing.T, message, delivery int64, address string) {
		if id, ok := ReadUnsubscribe(&testSecret, address); ok {
			t.Fatalf("forged: %q is %+v", address, id)
		}
		id := ID{message, delivery}
		s := UnsubscribeAddress(&testSecret, id, "example.com")
		if got, ok := ReadUnsubscribe(&testSecret, s); ok != (delivery != 0) || ok && got != id {
			t.Fatalf("%+v: %q is read as %+v, %t", id, s, got, ok)
		}
	})
}
