package optout

import (
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/text/language"
)

// Every language has every text, in its script, and none is another's.
func TestWords(t *testing.T) {
	scripts := map[string]*unicode.RangeTable{"ja": unicode.Hiragana, "zh-Hans": unicode.Han, "zh-Hant": unicode.Han, "ar": unicode.Arabic, "ru": unicode.Cyrillic, "uk": unicode.Cyrillic}
	short := regexp.MustCompile(`Name$`)
	seen := map[string]string{}
	for i := range languages {
		w := reflect.ValueOf(languages[i])
		tag := languages[i].Tag
		if _, err := language.Parse(tag); err != nil {
			t.Error(tag, err)
		}
		sentences := 0
		for j := 1; j < w.NumField(); j++ {
			name, text := w.Type().Field(j).Name, w.Field(j).String()
			if text == "" || text != strings.TrimSpace(text) || len(text) > 320 {
				t.Errorf("%s %s: %q", tag, name, text)
			}
			if r := scripts[tag]; r != nil && !short.MatchString(name) && !strings.ContainsFunc(text, func(c rune) bool { return unicode.Is(r, c) || unicode.Is(unicode.Han, c) }) {
				t.Errorf("%s %s: %q is not in its script", tag, name, text)
			}
			if strings.ContainsAny(text, ".。") {
				sentences++
				if other := seen[text]; other != "" {
					t.Errorf("%s and %s share %q", tag, other, text)
				}
				seen[text] = tag
			}
		}
		if sentences < 7 {
			t.Errorf("%s: %d sentences", tag, sentences)
		}
	}
	for _, want := range strings.Fields("en de fr es it pt nl pl sv da ja zh ar ru uk tr cs") {
		if got := choose(want).Tag; got != want && got != "zh-Hans" {
			t.Errorf("no texts in %s", want)
		}
	}
}

func TestChoose(t *testing.T) {
	for accept, want := range map[string]string{
		"": "en", "*": "en", "de": "de", "DE-at": "de", "fi": "en", "fi, sv;q=0.5": "sv", "en;q=0.3, fr;q=0.8, de;q=0.5": "fr", "fr;q=0, es": "es", "es;q=0": "en", "en-US,en;q=0.9,ar;q=0.8": "en",
		"zh": "zh-Hans", "zh-CN": "zh-Hans", "zh-TW,zh;q=0.9": "zh-Hant", "zh-HK": "zh-Hant", "pt-BR": "pt", "nb-NO": "da", "ar-EG": "ar", "xx, ar;q=0.9": "ar", ";;;,,,q=1": "en", "ja-JP-u-ca-japanese": "ja",
		"*, de;q=0.5": "de", "uk-UA,uk;q=0.9,ru;q=0.8,en;q=0.7": "uk", strings.Repeat("fi,", 1000) + "de": "en", "de," + strings.Repeat("x", 10000): "de", strings.Repeat("-", 10000): "en",
	} {
		if got := choose(accept).Tag; got != want {
			t.Errorf("%.60q: %s, want %s", accept, got, want)
		}
	}
}

func FuzzChoose(f *testing.F) {
	for _, s := range []string{"de-AT, de;q=0.9", "*", "zh-Hant-TW;q=0.1,en;q=x", "a;q=1e309", ",;=", "i-klingon, x-y", "de-u-co-phonebk-x-z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		w := choose(accept)
		if accept = strings.Trim(accept, " \t"); accept == "" && w.Tag != "en" {
			t.Errorf("nothing is %s", w.Tag)
		}
	})
}

// pages are one of each kind.
func pages() []Page {
	const ann = "ann@example.net"
	return []Page{
		{State: Ask, Address: ann, Sender: "news.example.com"},
		{State: Ask, Address: ann, Sender: "xn--bcher-kva.example", Topics: []string{"newsletter", "<b>offers</b>"}},
		{State: Ask, Address: strings.Repeat("a", 64) + "@" + strings.Repeat("b", 60) + ".example", List: "Devs & co <devs@example.com>"},
		{State: Done, Address: ann, Sender: "news.example.com", Undo: true},
		{State: Done, Address: ann, Sender: "news.example.com", Topics: []string{"newsletter"}},
		{State: Done, Address: ann, List: "devs@example.com"},
		{State: Back, Address: ann, Sender: "news.example.com"},
		{State: Bad}, {State: Fail},
	}
}

func render(t testing.TB, p Page) (status int, body string, header map[string]string) {
	t.Helper()
	r := p.Respond()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	header = map[string]string{"Content-Type": r.ContentType}
	for _, h := range r.Header {
		header[h[0]] = h[1]
	}
	return r.Status, string(b), header
}

// Each page in each language is a document that programs for people who do not see
// it can read, and has nothing from elsewhere.
func TestPages(t *testing.T) {
	statuses := map[State]int{Ask: 200, Done: 200, Back: 200, Bad: 404, Fail: 503}
	for i := range languages {
		tag := languages[i].Tag
		for n, p := range pages() {
			t.Run(fmt.Sprint(tag, n), func(t *testing.T) {
				p.Accept = tag
				status, body, header := render(t, p)
				if status != statuses[p.State] || header["Content-Language"] != tag || header["Vary"] != "Accept-Language" || header["Cache-Control"] != "no-store" ||
					!strings.Contains(header["Content-Security-Policy"], "default-src 'none'") {
					t.Errorf("%d %v", status, header)
				}
				for _, bad := range []string{"ZgotmplZ", "<b>", "<devs", "http:", "https:", "<script", "javascript", "on" + "click", "url(", "@import", "<no value>"} {
					if strings.Contains(body, bad) {
						t.Errorf("%q in the page", bad)
					}
				}
				checkDocument(t, body, &languages[i], p)
			})
		}
	}
}

// checkDocument checks that tags are closed in order, and what WCAG wants of such
// a page: language, direction, title, one heading, one main, named buttons.
func checkDocument(t *testing.T, body string, w *words, p Page) {
	t.Helper()
	var open []string
	count, text, attrs := map[string]int{}, map[string]string{}, map[string]string{}
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		k := z.Token()
		switch kind {
		case html.StartTagToken:
			count[k.Data]++
			for _, a := range k.Attr {
				attrs[k.Data+" "+a.Key] = a.Val
			}
			if k.Data != "meta" {
				open = append(open, k.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != k.Data {
				t.Fatalf("</%s> ends %q", k.Data, open)
			}
			open = open[:len(open)-1]
		case html.TextToken:
			if len(open) > 0 {
				text[open[len(open)-1]] += k.Data
			}
		}
	}
	if len(open) > 0 {
		t.Errorf("not closed: %q", open)
	}
	dir := map[bool]string{true: "rtl", false: "ltr"}[w.Tag == "ar"]
	if !strings.HasPrefix(body, "<!DOCTYPE html>\n") || attrs["html lang"] != w.Tag || attrs["html dir"] != dir || !strings.HasPrefix(text["title"], text["h1"]) {
		t.Errorf("lang %q, dir %q, title %q, heading %q", attrs["html lang"], attrs["html dir"], text["title"], text["h1"])
	}
	if count["h1"] != 1 || count["main"] != 1 || count["title"] != 1 || strings.TrimSpace(text["h1"]) == "" || strings.TrimSpace(text["p"]) == "" {
		t.Errorf("elements %v", count)
	}
	button := map[bool]string{p.State == Ask: w.Unsubscribe, p.State == Done && p.Undo: w.Again}[true]
	if text["button"] != button || count["button"] != count["form"] || button != "" && attrs["form method"] != "post" {
		t.Errorf("button %q, want %q", text["button"], button)
	}
	for _, want := range append(slices.Clone(p.Topics), p.Address, p.List) {
		if !strings.Contains(text["bdi"], want) {
			t.Errorf("%q is not named in %q", want, text["bdi"])
		}
	}
	if strings.HasPrefix(p.Sender, "xn--") && !strings.Contains(text["bdi"], "bücher.example") {
		t.Errorf("sender in %q", text["bdi"])
	}
}

func TestPlain(t *testing.T) {
	if status, body, h := render(t, Page{State: Done, Plain: true, Accept: "fr"}); status != 200 || body != "Désabonnement effectué\n" || h["Content-Type"] != "text/plain; charset=utf-8" {
		t.Errorf("%d %q %v", status, body, h)
	}
}

// Colours of the page, light and dark: text 4.5 to 1, the outline 3 to 1 (WCAG 2.2,
// 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	sets := regexp.MustCompile(`:root \{([^}]*)\}`).FindAllStringSubmatch(pageText, -1)
	if len(sets) != 2 {
		t.Fatalf("%d sets of colours", len(sets))
	}
	for i, set := range sets {
		colour := map[string]float64{}
		for _, m := range regexp.MustCompile(`--(\w+): #(\w+)`).FindAllStringSubmatch(set[1], -1) {
			colour[m[1]] = luminance(t, m[2])
		}
		for _, c := range []struct {
			a, b string
			min  float64
		}{{"text", "card", 7}, {"soft", "card", 4.5}, {"on", "main", 4.5}, {"main", "card", 4.5}, {"ring", "card", 3}, {"main", "page", 3}} {
			a, b := colour[c.a], colour[c.b]
			if r := (max(a, b) + 0.05) / (min(a, b) + 0.05); r < c.min {
				t.Errorf("set %d: %s on %s has %.2f, want %.1f", i, c.a, c.b, r, c.min)
			}
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	part := func(shift int, weight float64) float64 {
		c := float64(n>>shift&255) / 255
		if c <= 0.04045 {
			return weight * c / 12.92
		}
		return weight * math.Pow((c+0.055)/1.055, 2.4)
	}
	return part(16, 0.2126) + part(8, 0.7152) + part(0, 0.0722)
}

func BenchmarkPage(b *testing.B) {
	for name, accept := range map[string]string{"usual": "de-AT,de;q=0.9,en-US;q=0.8,en;q=0.7", "worst": strings.Repeat("fi,", maxAccept/3), "long": "de-" + strings.Repeat("abcdefgh-", 40)} {
		p := pages()[1]
		p.Accept = accept
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				render(b, p)
			}
		})
	}
}
