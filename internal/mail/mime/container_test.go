package mime

import (
	"errors"
	"strings"
	"testing"
)

const container = "From: a@b.com\r\nContent-Type: Multipart/Mailgun-Variables;\r\n boundary=b\r\n\r\npreamble\r\n--b\r\nContent-Type: application/json\r\n" +
	"Content-Transfer-Encoding: base64\r\n\r\neyJhIjox\r\nfQ==\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n--c\r\nbody\r\n--b--\r\n"

func TestOpenContainer(t *testing.T) {
	open := func(raw string) (string, string, error) {
		fields, _, err := ScanHeader([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		v, m, err := OpenContainer([]byte(raw), fields)
		return string(v), string(m), err
	}
	if v, m, err := open(container); err != nil || v != `{"a":1}` || m != "Subject: x\r\n\r\n--c\r\nbody" {
		t.Errorf("%q, %q, %v", v, m, err)
	}
	for name, raw := range map[string]string{
		"no JSON":  strings.Replace(container, "application/json", "text/plain", 1),
		"attached": strings.Replace(container, "application/json\r\n", "application/json\r\nContent-Disposition: attachment\r\n", 1),
		"broken":   strings.Replace(container, "eyJ", "e*J", 1), "only one": container[:strings.Index(container, "--b\r\nContent-Type: message")],
		"empty": strings.Replace(container, "eyJhIjox\r\nfQ==", "", 1),
	} {
		if v, m, err := open(raw); !errors.Is(err, ErrContainer) {
			t.Errorf("%s: %q, %q, %v", name, v, m, err)
		}
	}
	for _, raw := range []string{"Subject: x\r\n\r\n" + container, "Content-Type: multipart/mailgun-variables2; boundary=b\r\n\r\n--b\r\n", "Content-Type: text/plain\r\n\r\n", ""} {
		if v, m, err := open(raw); v+m != "" || err != nil {
			t.Errorf("%.40q: %q, %q, %v", raw, v, m, err)
		}
	}
}

func FuzzOpenContainer(f *testing.F) {
	f.Add([]byte(container))
	f.Fuzz(func(t *testing.T, raw []byte) {
		fields, _, err := ScanHeader(raw)
		if err != nil {
			return
		}
		v, m, err := OpenContainer(raw, fields)
		if (v == nil) != (m == nil) || err != nil && v != nil {
			t.Fatalf("%q, %q, %v", v, m, err)
		}
		if len(v)+len(m) > 2*len(raw) {
			t.Fatal("more than there was")
		}
	})
}
