package message

import (
	"encoding/json"
	"strings"
	"testing"

	"postroad/internal/core/event"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/mime"
)

func trackKey(t testing.TB) *linktoken.Key {
	k, err := linktoken.NewKey([]byte("secret"))
	check(t, err)
	return k
}

// copyOf is the copy of a message that recipient gets.
func copyOf(t testing.TB, s *Service, m *Message, raw string, v Vars, recipient string) *mime.Message {
	t.Helper()
	tpl, err := s.Compile(m, []byte(raw))
	check(t, err)
	pieces, err := s.Personalise(m, tpl, []byte(raw), v, recipient)
	check(t, err)
	p, err := mime.Parse(mime.Join(pieces), mime.Limits{})
	check(t, err)
	return p
}

// TestWaysOut: when a copy has fields by which its recipient leaves, and what the
// placeholders are in it.
func TestWaysOut(t *testing.T) {
	const base, ann = "https://e.test", "ann@there.test"
	s := &Service{Config: Config{LinkKey: trackKey(t)}}
	m := &Message{ID: 7, Domain: "sender.test"}
	c := tracked{s: s, m: m, recipient: ann}
	m.Meta.Track = &Track{Base: base}
	url, tag := c.link(UnsubscribePath, linktoken.Unsubscribe, ""), c.link(UnsubscribePath, linktoken.UnsubscribeTag, "")
	address := func(m *Message, recipient string) string {
		return "unsub+" + strings.ReplaceAll(recipient, "@", "-") + "@" + m.Domain
	}
	const mailto = ", <mailto:unsub+ann-there.test@sender.test>"
	own := Vars{To: "Ann <" + ann + ">", Target: ann, Vars: json.RawMessage(`{"n":"1"}`)}
	inList := Vars{To: ann, Target: ann, Links: &Links{URL: "https://l.test/x", Email: "leave@l.test"}}
	for _, tt := range []struct {
		name         string
		track        Track
		address      func(*Message, string) string
		vars         Vars
		raw          string
		leave, click string // the fields
		text         string
	}{
		{"on", Track{Base: base, Unsubscribe: true, TextFooter: "\nLeave: %unsubscribe_url%"}, address, Vars{}, "\r\nx", "<" + url + ">" + mailto, oneClick, "x\r\nLeave: " + url + "\r\n"},
		{"without https", Track{Base: "http://e.test", Unsubscribe: true}, nil, Vars{}, "\r\nx", "<" + strings.Replace(url, "https", "http", 1) + ">", "", "x"},
		{"off", Track{Base: base, Opens: true, TextFooter: "no"}, address, Vars{}, "\r\nx", "", "", "x"},
		{"asked for in the text", Track{Base: base}, address, Vars{}, "\r\n%unsubscribe_url% %tag_unsubscribe_url%", "<" + url + ">" + mailto, oneClick, url + " " + tag + "\r\n"},
		{"by mail", Track{Base: base}, address, Vars{}, "\r\n%unsubscribe_email%", "", "", "unsub+ann-there.test@sender.test\r\n"},
		{"no addresses", Track{Base: base}, nil, Vars{}, "\r\n%unsubscribe_email% %tag_unsubscribe_url%", "", "", "%unsubscribe_email% " + tag + "\r\n"},
		{"the sender's own", Track{Base: base, Unsubscribe: true}, address, Vars{}, "list-unsubscribe: <%unsubscribe_url%>\r\n\r\nx", "<" + url + ">", "", "x"},
		{"half of it", Track{Base: base, Unsubscribe: true}, nil, Vars{}, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nx", "<" + url + ">", oneClick, "x"},
		{"no batch", Track{Base: base}, nil, own, "\r\n%recipient% %recipient.n% %unsubscribe_url%", "<" + url + ">", oneClick, "%recipient% %recipient.n% " + url + "\r\n"},
		{"batch", Track{Base: base}, nil, own, "\r\n%recipient% %recipient.n% %unsubscribe_url%", "<" + url + ">", oneClick, ann + " 1 " + url + "\r\n"},
		{"list", Track{Base: base}, address, inList, "\r\n%mailing_list_unsubscribe_url% %unsubscribe_email%", "", "", "https://l.test/x leave@l.test\r\n"},
		{"archive", Track{Base: base, Unsubscribe: true, TextFooter: "x", Clicks: "yes"}, address, Vars{Archive: true}, "\r\nhttps://x.test/ %unsubscribe_url%", "", "", "https://x.test/ %unsubscribe_url%"},
	} {
		s.UnsubscribeAddress, m.Meta = tt.address, Meta{Track: &tt.track, Batch: tt.name == "batch" || tt.name == "list"}
		if tt.name == "list" {
			m.Meta.List = &event.MailingList{}
		}
		p := copyOf(t, s, m, tt.raw, tt.vars, ann)
		if got := p.Get("List-Unsubscribe"); got != tt.leave {
			t.Errorf("%s: List-Unsubscribe %q, want %q", tt.name, got, tt.leave)
		}
		if got := p.Get("List-Unsubscribe-Post"); got != tt.click {
			t.Errorf("%s: List-Unsubscribe-Post %q, want %q", tt.name, got, tt.click)
		}
		if p.Text != tt.text || (p.Get("To") != "") != (tt.name == "batch") {
			t.Errorf("%s: %q to %q, want %q", tt.name, p.Text, p.Get("To"), tt.text)
		}
	}
}

// TestTrackedParts: which links the settings are about.
func TestTrackedParts(t *testing.T) {
	s := &Service{Config: Config{LinkKey: trackKey(t)}}
	raw := "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nhttps://x.test/\r\n--b\r\nContent-Type: text/html\r\n\r\n<body><a href=\"https://x.test/\">x</a></body>\r\n--b--\r\n"
	for _, tt := range []struct {
		track             Track
		text, html, pixel bool
	}{
		{Track{}, false, false, false},
		{Track{Clicks: "yes"}, true, true, false},
		{Track{Clicks: "htmlonly", Opens: true}, false, true, true},
		{Track{Opens: true, PixelTop: true}, false, false, true},
	} {
		tt.track.Base = "https://e.test"
		m := &Message{ID: 7, Meta: Meta{Track: &tt.track}}
		p := copyOf(t, s, m, raw, Vars{}, "ann@there.test")
		c := tracked{s: s, m: m, recipient: "ann@there.test"}
		click, pixel := c.link(ClickPath, linktoken.Click, "https://x.test/"), c.link(OpenPath, linktoken.Open, "")+OpenSuffix
		if strings.Contains(p.Text, click) != tt.text || strings.Contains(p.HTML, click) != tt.html || strings.Contains(p.HTML, pixel) != tt.pixel ||
			strings.HasPrefix(p.HTML, `<body><img src="`+pixel) != tt.track.PixelTop {
			t.Errorf("%+v:\n%s\n%s", tt.track, p.Text, p.HTML)
		}
	}
	s.LinkKey = nil
	if p := copyOf(t, s, &Message{Meta: Meta{Track: &Track{Clicks: "yes", Opens: true, Base: "x"}}}, raw, Vars{}, ""); p.Text != "https://x.test/" {
		t.Errorf("without a key: %q", p.Text)
	}
}

func BenchmarkPersonaliseTracked10K(b *testing.B) {
	s := &Service{Config: Config{LinkKey: trackKey(b)}}
	m := &Message{ID: 7, Meta: Meta{Track: &Track{Clicks: "yes", Opens: true, Unsubscribe: true, HTMLFooter: "<a href=\"%unsubscribe_url%\">x</a>", Base: "https://email.example.com"}}}
	raw := []byte("MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>" +
		strings.Repeat(`<p><a href="https://www.example.com/path/page?utm_source=mail&amp;utm_campaign=x">link</a>`+strings.Repeat("some words ", 37)+"</p>\r\n", 20) + "</body></html>\r\n")
	tpl, err := s.Compile(m, raw)
	check(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_, err := s.Personalise(m, tpl, raw, Vars{Target: "someone@example.net"}, "someone@example.net")
		check(b, err)
	}
}
