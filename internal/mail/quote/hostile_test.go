package quote

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// hostile are pieces that, repeated, make a bad algorithm search again and
// again.
var hostile = []string{
	">", ">\n", "> a\nb\n", ":\n", "On \n", "On 2024 wrote:\n", "2024 bob@example.com\n", "From: a\n", "From: a\nSubject: b\n\n", "-----\n", "----- a -----\n", "a", "\n", "-- \n", "Thanks,\n",
	"Sent from my iPhone\n", "____________\nmailing list\n", "\u200b", ": ", "@", "<blockquote>", "<blockquote type=cite>", "</blockquote>", "<div class=gmail_quote>", "<div class=gmail_quote></div>",
	"<div class=gmail_quote><blockquote type=cite>a</blockquote>b</div>", "<div id=divRplyFwdMsg>", "<hr>", "<hr>a", "<b>", "<b></i>", "<b><div></b>", "<p>", "<td>", "<pre>\n", "<br>", "<br>On 2024 wrote:", "<a href=http://x>",
	"<a href=http://x>y", "<li>", "<ul>", "<ol><li>", "<", "&", "&amp", "<!--", "<a b=c ", "<style>", "<script/>", "<span class='gmail_signature'>x", "<blockquote><br>", "<div style='border-top:solid'>", "<img>",
}

// allocated is how much memory f takes, in octets.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHostileMemory: what is worked with grows no faster than the input.
func TestHostileMemory(t *testing.T) {
	for name, f := range map[string]func(string){
		"Text": func(s string) { Text(s) }, "HTML": func(s string) { HTML(s) }, "PlainText": func(s string) { PlainText(s) },
	} {
		for _, piece := range hostile {
			n := 30_000 / len(piece)
			small, large := strings.Repeat(piece, n), strings.Repeat(piece, 4*n)
			a, b := allocated(func() { f(small) }), allocated(func() { f(large) })
			if b > 6*a+1<<20 {
				t.Errorf("%s of %q: %d octets for %d, %d for %d", name, piece, a, len(small), b, len(large))
			}
			if b > 200*uint64(len(large))+1<<20 {
				t.Errorf("%s of %q: %d octets for %d", name, piece, b, len(large))
			}
		}
	}
}

// TestHostileWork: however many lines look like introductions, a bounded
// number is looked into, each to a bounded length.
func TestHostileWork(t *testing.T) {
	for _, piece := range hostile {
		s := scanner{phrases: known(), lines: splitLines(strings.Repeat(piece, 1+300_000/len(piece)))}
		s.scan()
		if len(s.lines) > maxLines+1 {
			t.Errorf("%q: %d lines", piece, len(s.lines))
		}
		looked := min(s.tries, maxTries)*(maxBlock+introLines) + len(s.lines)
		if looked > maxTries*(maxBlock+introLines)+maxLines+1 {
			t.Errorf("%q: %d looks", piece, looked)
		}
	}
}

// TestHostileResults: large bodies are read to their end.
func TestHostileResults(t *testing.T) {
	for _, c := range []struct{ piece, last, want string }{
		{">", "", strings.Repeat(">", 5<<20)}, // one line, nothing of the writer's, and no sign whose
		{"> a\n", "\nown", "own"},
		{"\n", "own", "own"},
	} {
		if got, _ := Text(strings.Repeat(c.piece, 5<<20/len(c.piece)) + c.last); got != c.want {
			t.Errorf("%q: %d octets %.40q", c.piece, len(got), got)
		}
	}
	n := 400_000
	deep := strings.Repeat("<blockquote type=cite>", n/2) + "q" + strings.Repeat("</blockquote>", n/2)
	if got := HTML("<p>own</p>" + deep); got != "<p>own</p>" {
		t.Errorf("nested: %d octets", len(got))
	}
	if got := PlainText("<p>own</p>" + deep); !strings.HasPrefix(got, "own\n\n") || !strings.HasSuffix(got, " q") || len(got) > 100 {
		t.Errorf("nested: %d octets %.100q", len(got), got)
	}
	many := strings.Repeat("<b>", maxTags+1)
	if got := HTML(many); got != many {
		t.Error("too many tags: not left as it is")
	}
}

// balanced reports whether each element of a document is closed in order.
func balanced(s string) bool {
	var stack []string
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return len(stack) == 0
		case html.StartTagToken:
			if t := z.Token(); !isVoid(t.DataAtom) {
				stack = append(stack, t.Data)
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(stack) == 0 || stack[len(stack)-1] != string(name) {
				return false
			}
			stack = stack[:len(stack)-1]
		}
	}
}

// subsequence reports whether a is b with some of its octets left out.
func subsequence(a, b string) bool {
	for i := 0; i < len(a); i++ {
		n := strings.IndexByte(b, a[i])
		if n < 0 {
			return false
		}
		b = b[n+1:]
	}
	return true
}

func FuzzHTML(f *testing.F) {
	seed(f, "testdata/html/*.html")
	f.Fuzz(func(t *testing.T, s string) {
		got := HTML(s)
		if !subsequence(got, s) {
			t.Errorf("more than what was there: %q", got)
		}
		if balanced(s) && !balanced(got) {
			t.Errorf("no longer balanced: %q of %q", got, s)
		}
	})
}

func FuzzText(f *testing.F) {
	seed(f, "testdata/text/*.txt")
	f.Fuzz(func(t *testing.T, s string) {
		stripped, signature := Text(s)
		without := strings.NewReplacer("\r", "", "\n", "")
		if !subsequence(without.Replace(stripped+signature), s) {
			t.Errorf("more than what was there: %q, %q", stripped, signature)
		}
		if stripped == "" && signature != "" {
			t.Errorf("nothing but a signature: %q", signature)
		}
		if stripped == "" && trim(s) != "" && !strings.Contains(s, ">") {
			t.Errorf("stripped to nothing without a quotation: %q", s)
		}
		if stripped != trimBlank(stripped) || signature != trimBlank(signature) {
			t.Errorf("blank lines at the ends: %q, %q", stripped, signature)
		}
	})
}
