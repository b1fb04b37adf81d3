package httpapi

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDisposition(t *testing.T) {
	tests := []struct {
		header, name, file string
		isFile, bad        bool
	}{
		{header: `form-data; name="to"`, name: "to"},
		{header: `form-data; name=to`, name: "to"},
		{header: `form-data; name="v:filename"`, name: "v:filename"},
		{header: `form-data; name="a"; filename="x.pdf"`, name: "a", file: "x.pdf", isFile: true},
		{header: `form-data; name="a"; filename=""`, name: "a", isFile: true},
		{header: `form-data; name="a"; filename="C:\docs\x.pdf"`, name: "a", file: "x.pdf", isFile: true},
		{header: `form-data; name="a"; filename="../../x"`, name: "a", file: "x", isFile: true},
		{header: `form-data; name="a"; filename*=utf-8''%C3%BC`, name: "a", file: "\u00fc", isFile: true},
		{header: "form-data; name=\"a\"; filename=\"\u00fc\"", name: "a", file: "\u00fc", isFile: true},
		{header: `form-data; name="a"; filename="a \"b\" c"`, name: "a", file: `a "b" c`, isFile: true},
		// what clients write that do not look at the name
		{header: `form-data; name="a"; filename="a "b" c.pdf"`, name: "a", file: `a "b" c.pdf`, isFile: true},
		{header: `form-data; name="a"; filename="a "b""; filename*=utf-8''a`, name: "a", file: `a "b"`, isFile: true},
		// no fields
		{header: ``}, {header: `attachment; filename="x"`}, {header: `form-data`},
		// a field, but which?
		{header: `form-data; filename="a" b"`, bad: true},
		{header: `form-data; name="a" b; filename="c"`, bad: true},
		{header: `form-data; name="a`, bad: true},
		{header: `form-data; name=""; filename="a "b""`, bad: true},
	}
	for _, tt := range tests {
		name, file, isFile, err := disposition(tt.header)
		if name != tt.name || file != tt.file || isFile != tt.isFile || (err != nil) != tt.bad {
			t.Errorf("%s: %q %q %t %v", tt.header, name, file, isFile, err)
		}
	}
}

// No header makes a file out of its directory, and what is in quotes once is
// found again.
func FuzzDisposition(f *testing.F) {
	f.Add(`form-data; name="a"; filename="a "b" c.pdf"`, "x.pdf")
	f.Add(`form-data; name=`, `a"b`)
	f.Fuzz(func(t *testing.T, header, file string) {
		name, got, _, err := disposition(header)
		if strings.ContainsAny(got, `/\`) || err != nil && (name != "" || got != "") {
			t.Errorf("%q: %q %q %v", header, name, got, err)
		}
		if strings.ContainsAny(file, "/\\\r\n;%") || !utf8.ValidString(file) || strings.Contains(file, "=?") {
			return
		}
		name, got, isFile, err := disposition(`form-data; name="field"; filename="` + file + `"`)
		if err != nil || name != "field" || !isFile || strings.ReplaceAll(got, `"`, "") != strings.ReplaceAll(file, `"`, "") {
			t.Errorf("%q comes back as %q %q %t %v", file, name, got, isFile, err)
		}
	})
}

// FuzzPlainHeaders compares the short ways with the full ones.
func FuzzPlainHeaders(f *testing.F) {
	f.Add("to")
	f.Add("h:X-A; b=")
	f.Add("a\"; filename=\"b")
	f.Add("a%20\\")
	f.Fuzz(func(t *testing.T, s string) {
		for _, header := range []string{s, `form-data; name="` + s + `"`} {
			if name, ok := plainDisposition(header); ok {
				full, file, isFile, err := fullDisposition(header)
				if name != full || file != "" || isFile || err != nil {
					t.Errorf("%q: %q, in full %q %q %t %v", header, name, full, file, isFile, err)
				}
			}
		}
		for _, sent := range []string{s, typeMultipart + "; boundary=" + s} {
			if got, want := parseMedia(sent), fullMedia(sent); got != want {
				t.Errorf("%q: %+v, in full %+v", sent, got, want)
			}
		}
	})
}
