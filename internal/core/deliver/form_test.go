package deliver

import (
	"bytes"
	"io"
	stdmime "mime"
	stdmultipart "mime/multipart"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"postroad/internal/mail/mime"
)

// body reads a form twice, the second time octet by octet.
func body(t *testing.T, f *form) string {
	t.Helper()
	once, err := io.ReadAll(f.open())
	if err != nil || int64(len(once)) != f.size {
		t.Fatalf("%d octets of %d: %v", len(once), f.size, err)
	}
	again, err := io.ReadAll(iotest.OneByteReader(f.open()))
	if err != nil || !bytes.Equal(once, again) {
		t.Fatalf("read again: %d octets, %v", len(again), err)
	}
	return string(once)
}

// FuzzForm: whatever a stranger writes, the receiver reads these fields and files
// and no others.
func FuzzForm(f *testing.F) {
	f.Add("recipient", "a@b.com", "a.txt", "text/plain", "data")
	f.Add("X\"; filename=\"x", "a\r\n--b--\r\n", "x\"\r\nContent-Type: text/html\r\n\r\n.txt", "text/plain\r\nX: y", "\r\n--")
	f.Add("", strings.Repeat("\xff &=+%~", 2000), "\\", "", "")
	f.Fuzz(func(t *testing.T, name, value, file, kind, data string) {
		fields := [][2]string{{name, value}, {"end", "1"}}
		got, err := url.ParseQuery(body(t, urlencoded(fields)))
		want := url.Values{}
		want.Add(name, value)
		want.Add("end", "1")
		if err != nil || len(got) != len(want) || !slices.Equal(got[name], want[name]) {
			t.Fatalf("urlencoded: %v %q", err, got)
		}
		file = "_" + file
		m := multipart(fields, []mime.Part{{Name: file, ContentType: kind, Data: []byte(data)}})
		_, params, err := stdmime.ParseMediaType(m.kind)
		if err != nil {
			t.Fatal(err)
		}
		r := stdmultipart.NewReader(strings.NewReader(body(t, m)), params["boundary"])
		for i, want := range []string{value, "1", data} {
			p, err := r.NextRawPart()
			if err != nil {
				t.Fatalf("part %d: %v", i, err)
			}
			b, err := io.ReadAll(p)
			if err != nil || string(b) != want || len(p.Header) != 1+i/2 || (p.FileName() != "") != (i == 2) {
				t.Fatalf("part %d: %v %q %q", i, err, p.Header, b)
			}
		}
		if _, err := r.NextRawPart(); err != io.EOF {
			t.Fatalf("more parts: %v", err)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{"": 0, "120": 2 * time.Minute, "0": 0, "-5": 0, "1.5": 0, "soon": 0, "14400": 4 * time.Hour, "14401": 4 * time.Hour,
		"9223372036854775807": 4 * time.Hour, "Mon, 02 Mar 2026 09:01:00 GMT": time.Minute, "Mon, 02 Mar 2026 08:01:00 GMT": 0, "Tue, 02 Mar 2027 09:01:00 GMT": 4 * time.Hour} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine(" a\r\nb\x00\x1b[31m\u0085\xffc "); got != "a  b  [31m \ufffdc" {
		t.Errorf("%q", got)
	}
}
