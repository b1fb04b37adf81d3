package quote

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// each calls f for the messages of a directory with what is expected. The
// expected texts were put together from the parts the messages were made of,
// not from what the functions gave.
func each(t *testing.T, pattern string, least int, f func(t *testing.T, body, want string)) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) < least {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, filepath.Ext(file))
		t.Run(filepath.Base(name), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(name + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			f(t, string(body), string(want))
		})
	}
}

func TestTextCorpus(t *testing.T) {
	each(t, "testdata/text/*.txt", 100, func(t *testing.T, body, want string) {
		eol := "\n"
		if strings.Contains(body, "\r\n") {
			eol = "\r\n"
		}
		stripped, signature := Text(body)
		if got := stripped + eol + "%% signature" + eol + signature + eol; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestHTMLCorpus(t *testing.T) {
	each(t, "testdata/html/*.html", 80, func(t *testing.T, body, want string) {
		if got := HTML(body); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// TestCorpusStaysValid: what was closed in order still is.
func TestCorpusStaysValid(t *testing.T) {
	closed := 0
	each(t, "testdata/html/*.html", 80, func(t *testing.T, body, _ string) {
		if !balanced(body) {
			return
		}
		closed++
		if got := HTML(body); !balanced(got) {
			t.Errorf("%s", got)
		}
	})
	if closed < 80 {
		t.Errorf("only %d documents are closed in order", closed)
	}
}

// TestHTMLText: a document without a text beside it gives the text of what is
// left of it.
func TestHTMLText(t *testing.T) {
	each(t, "testdata/html/*.html", 80, func(t *testing.T, body, want string) {
		got, _ := HTMLText(body)
		if want := PlainText(want); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestTextOfHTML: so does the text made of it, where elements tell no more.
func TestTextOfHTML(t *testing.T) {
	for _, pattern := range []string{"testdata/html/gmail-??.html", "testdata/html/outlook-??.html", "testdata/html/unmarked-??.html"} {
		each(t, pattern, 20, func(t *testing.T, body, want string) {
			got, _ := Text(PlainText(body))
			if want := PlainText(want); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestEachLanguage: every section has phrases in the languages mail programs
// come in.
func TestEachLanguage(t *testing.T) {
	var section string
	seen := map[string]map[string]bool{}
	for line := range strings.Lines(phrasesText) {
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]\n")
			seen[section] = map[string]bool{}
		}
		if tags, _, ok := strings.Cut(line, ":"); ok && section != "" {
			for tag := range strings.SplitSeq(tags, ",") {
				seen[section][strings.TrimSpace(tag)] = true
			}
		}
	}
	for _, s := range []string{"wrote", "original", "forwarded", "from", "date", "to", "subject", "sent", "closing"} {
		for _, l := range strings.Fields("en de fr es it pt nl sv da no fi pl cs hu ro ru uk tr el ja zh ko ar he vi") {
			if !seen[s][l] {
				t.Errorf("no %s in %s", s, l)
			}
		}
	}
}

func TestSignature(t *testing.T) {
	for _, c := range []struct{ in, stripped, signature string }{
		{"a\n--\nBob", "a", "--\nBob"},
		{"a\r\n\r\nBest,\r\nBob\r\n", "a", "Best,\r\nBob"},
		{"a\n\nKind regards,\n\nSent from my iPad", "a", "Kind regards,\n\nSent from my iPad"},
		{"a\nSent from my desk it looks fine", "a\nSent from my desk it looks fine", ""},
		{"Best of all is the garden.\nCome and see.", "Best of all is the garden.\nCome and see.", ""},
		{"a\n\nThanks,\nThe second paragraph says much more than a signature would, I think", "a\n\nThanks,\nThe second paragraph says much more than a signature would, I think", ""},
		{"a\n\n--\n" + strings.Repeat("b\n", 60), "a\n\n--\n" + strings.TrimSpace(strings.Repeat("b\n", 60)), ""},
		{"a\n> b\nThanks,\nBob", "a\n> b", "Thanks,\nBob"},
		{"--\nBob", "--\nBob", ""},
		{"", "", ""},
		{" \n\t\n", "", ""},
	} {
		stripped, signature := Text(c.in)
		if stripped != c.stripped || signature != c.signature {
			t.Errorf("%q: %q, %q", c.in, stripped, signature)
		}
	}
}

// seed gives a fuzz target the corpus.
func seed(f *testing.F, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	for _, s := range hostile {
		f.Add(s + s + "x")
	}
}

// tenKB is a message of 10 KB made around one of the corpus.
func tenKB(b *testing.B, file, filler string) string {
	body, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	return strings.Repeat(filler, (10_000-len(body))/len(filler)) + string(body)
}

func BenchmarkText10K(b *testing.B) {
	body := tenKB(b, "testdata/text/gmail-de.txt", "A line of some length, as people write them in mail.\n")
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		Text(body)
	}
}

func BenchmarkHTML10K(b *testing.B) {
	body := tenKB(b, "testdata/html/outlook-de.html", "<p class=\"MsoNormal\"><span lang=\"EN\">A line of some length, as people write them.</span></p>\n")
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		HTML(body)
	}
}

func BenchmarkPlainText10K(b *testing.B) {
	body := tenKB(b, "testdata/html/outlook-de.html", "<p class=\"MsoNormal\"><span lang=\"EN\">A line of some length, as people write them.</span></p>\n")
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		PlainText(body)
	}
}
