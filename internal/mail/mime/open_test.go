package mime

import (
	"strings"
	"testing"
)

func TestStructure(t *testing.T) {
	raw := []byte("Content-Type: multipart/report; report-type=\"x-y\"; boundary=b\r\n\r\n--b\r\nX-A: 1\r\n\r\none\r\ntwo\r\nthree\r\n--b\r\n" +
		"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n--b--\r\n")
	root, truncated, err := Structure(raw, Limits{})
	if err != nil || truncated || len(root.Children) != 2 {
		t.Fatalf("%v %t %+v", err, truncated, root)
	}
	if root.Param("report-type") != "x-y" || root.Param("none") != "" || root.Children[0].Param("charset") != "" {
		t.Errorf("parameters %q %q", root.Param("report-type"), root.Children[0].Param("charset"))
	}
	if got := root.Children[0].Header().Get("X-A"); got != "1" {
		t.Errorf("header of a part: %q", got)
	}
	for limit, want := range map[int]string{100: "one\r\ntwo\r\nthree", 15: "one\r\ntwo\r\nthree", 12: "one\r\ntwo\r\n", 4: "one\r", 0: ""} {
		if got := string(root.Children[0].Content(raw, limit)); got != want {
			t.Errorf("%d octets: %q, want %q", limit, got, want)
		}
	}
	if got := root.Children[1].Text(raw, 100); got != "Gr\u00fc\u00dfe" {
		t.Errorf("text %q", got)
	}
	if _, truncated, _ := Structure(raw, Limits{MaxParts: 2}); !truncated {
		t.Error("a part was left out without a word")
	}
	if _, _, err := Structure(raw, Limits{MaxBytes: 10}); err != ErrTooLarge {
		t.Errorf("too large: %v", err)
	}
}

func TestBuildReport(t *testing.T) {
	src := counter(0)
	raw := build(t, Draft{Text: "t", Report: "delivery-status", Rand: &src, Attachments: []File{
		{ContentType: "message/delivery-status", Data: []byte("Action: failed\r\n")}, {ContentType: "message/global-headers", Data: []byte("Subject: \u00e4\r\n")}, {ContentType: "text/rfc822-headers", Data: []byte("Subject: a\r\n")},
	}})
	m, err := Parse(raw, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := shape(m.Root), "multipart/report(text/plain message/delivery-status message/global-headers text/rfc822-headers)"; got != want || m.Root.Param("report-type") != "delivery-status" {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for i, enc := range []string{"7bit", "7bit", "8bit", "7bit"} {
		if got := m.Root.Children[i].Encoding; got != enc {
			t.Errorf("part %d is %s, want %s", i, got, enc)
		}
	}
	if !strings.Contains(string(raw), "report-type=delivery-status") || strings.Contains(string(raw), "Content-Disposition") {
		t.Errorf("%s", raw)
	}
}
