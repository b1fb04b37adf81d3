package useragent

import (
	"slices"
	"strings"
	"testing"
)

var cases = []struct {
	agent string
	want  Client
}{
	// Mailgun's own samples.
	{"Mozilla/5.0", Client{"unknown", "unknown", "unknown", "unknown", Apple}},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_8_4) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/28.0.1500.95 Safari/537.36", Client{"browser", "OS X", "desktop", "Chrome", Human}},
	{"Mozilla/5.0 (X11; Linux i686) AppleWebKit/537.36 (KHTML, like Gecko) Ubuntu Chromium/28.0.1500.71 Chrome/28.0.1500.71 Safari/537.36", Client{"browser", "Linux", "desktop", "Chromium", Human}},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 6_1 like Mac OS X) AppleWebKit/536.26 (KHTML, like Gecko) Mobile/10B143", Client{"mobile browser", "iOS", "mobile", "Mobile Safari", Human}},

	{"", Client{"unknown", "unknown", "unknown", "unknown", Generic}},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:121.0) Gecko/20100101 Firefox/121.0", Client{"browser", "Windows", "desktop", "Firefox", Human}},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36 Edg/120.0", Client{"browser", "Windows", "desktop", "Edge", Human}},
	{"Mozilla/5.0 (iPad; CPU OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.5 Mobile/15E148 Safari/604.1", Client{"mobile browser", "iOS", "tablet", "Mobile Safari", Human}},
	{"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36", Client{"mobile browser", "Android", "mobile", "Chrome", Human}},

	// Gmail: fetched beforehand, and shown to somebody.
	{gmailPrefetch, Client{"email client", "unknown", "unknown", "Gmail", Gmail}},
	{"Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", Client{"email client", "unknown", "unknown", "Gmail", Human}},
	{"YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", Client{"email client", "unknown", "unknown", "Yahoo Mail", Human}},

	{"Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.6.0", Client{"email client", "Linux", "desktop", "Thunderbird", Human}},
	{"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0.4266; ms-office; MSOffice 16)", Client{"email client", "Windows", "desktop", "Outlook", Human}},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)", Client{"email client", "OS X", "desktop", "Apple Mail", Human}},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Safari/605.1.15", Client{"browser", "OS X", "desktop", "Safari", Human}},

	{"Barracuda Sentinel (EE)", Client{"robot", "unknown", "unknown", "Barracuda", Generic}},
	{"Mozilla/5.0 (compatible; Mimecast)", Client{"robot", "unknown", "unknown", "Mimecast", Generic}},
	{"Microsoft Office Existence Discovery", Client{"library", "unknown", "unknown", "Microsoft Office", Generic}},
	{"curl/8.5.0", Client{"library", "unknown", "unknown", "curl", Generic}},
	{"python-requests/2.31.0", Client{"library", "unknown", "unknown", "Python Requests", Generic}},
	{"Go-http-client/1.1", Client{"library", "unknown", "unknown", "Go HTTP client", Generic}},
	{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0 Safari/537.36", Client{"robot", "Linux", "unknown", "HeadlessChrome", Generic}},
	{"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Client{"robot", "unknown", "unknown", "Googlebot", Generic}},
	{"Feedly/1.0 (+http://www.feedly.com/fetcher.html)", Client{"feed reader", "unknown", "unknown", "Feedly", Human}},
	{"something nobody has seen", Client{"unknown", "unknown", "unknown", "unknown", Human}},
}

func TestParse(t *testing.T) {
	var p Parser
	for _, c := range cases {
		if got := p.Parse(c.agent); got != c.want {
			t.Errorf("%q\n got %+v\nwant %+v", c.agent, got, c.want)
		}
	}
}

// TestTable: a mark is found in lower case only, and one that holds an earlier
// mark would never be reached.
func TestTable(t *testing.T) {
	for i, a := range table {
		if a.mark != strings.ToLower(a.mark) || a.name == "" || a.kind == "" {
			t.Errorf("%+v", a)
		}
		for _, b := range table[:i] {
			if strings.Contains(a.mark, b.mark) {
				t.Errorf("%q is hidden behind %q", a.mark, b.mark)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range cases {
		f.Add(c.agent)
	}
	f.Add(strings.Repeat("(", 600))
	f.Add("Mozilla/5.0 (Linux; Android \xff en-")
	var p Parser
	types := []string{"browser", "mobile browser", "email client", "feed reader", "library", "robot", "unknown"}
	devices := []string{"desktop", "mobile", "tablet", "other", "unknown"}
	f.Fuzz(func(t *testing.T, s string) {
		c := p.Parse(s)
		if !slices.Contains(types, c.Type) || !slices.Contains(devices, c.Device) || c.OS == "" || c.Name == "" {
			t.Fatalf("%q: %+v", s, c)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var p Parser
	for b.Loop() {
		p.Parse(cases[1].agent)
	}
}
