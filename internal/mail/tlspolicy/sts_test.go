package tlspolicy_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postroad/internal/mail/tlspolicy"
)

func TestParseSTSRecord(t *testing.T) {
	for _, tt := range []struct {
		name  string
		texts []string
		id    string
		err   error
	}{
		{"plain", []string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z", nil},
		{"no end", []string{"v=STSv1;id=a"}, "a", nil},
		{"wide", []string{"v=STSv1 \t ; \t id=a1 ;"}, "a1", nil},
		{"extension", []string{"v=STSv1; x-a.b=c; id=1; y=2"}, "1", nil},
		{"first of two ids", []string{"v=STSv1; id=1; id=2"}, "1", nil},
		{"others beside it", []string{"v=spf1 -all", "v=STSv1; id=1", "v=STSv2; id=2", "x"}, "1", nil},
		{"longest id", []string{"v=STSv1; id=" + strings.Repeat("a", 32)}, strings.Repeat("a", 32), nil},
		{"none", nil, "", tlspolicy.ErrNoRecord},
		{"other texts", []string{"v=spf1 -all", ""}, "", tlspolicy.ErrNoRecord},
		{"other version", []string{"v=STSv10; id=1"}, "", tlspolicy.ErrNoRecord},
		{"other case", []string{"V=stsv1; id=1"}, "", tlspolicy.ErrNoRecord},
		{"version second", []string{"id=1; v=STSv1"}, "", tlspolicy.ErrNoRecord},
		{"version alone", []string{"v=STSv1"}, "", tlspolicy.ErrNoRecord},
		{"space before", []string{" v=STSv1; id=1"}, "", tlspolicy.ErrNoRecord},
		{"two", []string{"v=STSv1; id=1", "v=STSv1; id=1"}, "", tlspolicy.ErrManyRecords},
		{"a broken one beside a good one", []string{"v=STSv1; id=1", "v=STSv1;"}, "", tlspolicy.ErrManyRecords},
		{"no fields", []string{"v=STSv1;"}, "", tlspolicy.ErrSyntax},
		{"no id", []string{"v=STSv1; x=1"}, "", tlspolicy.ErrSyntax},
		{"empty id", []string{"v=STSv1; id="}, "", tlspolicy.ErrSyntax},
		{"long id", []string{"v=STSv1; id=" + strings.Repeat("a", 33)}, "", tlspolicy.ErrSyntax},
		{"odd id", []string{"v=STSv1; id=a-b"}, "", tlspolicy.ErrSyntax},
		{"id with NUL", []string{"v=STSv1; id=a\x00"}, "", tlspolicy.ErrSyntax},
		{"empty field", []string{"v=STSv1;; id=1"}, "", tlspolicy.ErrSyntax},
		{"field without value", []string{"v=STSv1; id=1; x"}, "", tlspolicy.ErrSyntax},
		{"huge", []string{"v=STSv1; id=1; x=" + strings.Repeat("y", 5000)}, "", tlspolicy.ErrSyntax},
	} {
		id, err := tlspolicy.ParseSTSRecord(tt.texts)
		if id != tt.id || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v", tt.name, id, err)
		}
	}
}

func TestParseSTS(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name, text string
		want       tlspolicy.STS
	}{
		{"plain", "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n",
			tlspolicy.STS{Mode: tlspolicy.Enforce, MX: []string{"mail.example.com", "*.example.net", "backupmx.example.com"}, MaxAge: 7 * day}},
		{"CRLF, no final line end, any order", "max_age:86400\r\nmx:a.example\r\nmode:testing\r\nversion:STSv1",
			tlspolicy.STS{Mode: tlspolicy.Testing, MX: []string{"a.example"}, MaxAge: day}},
		{"space", "\nversion: \tSTSv1 \t\n\n  mode: none\nmax_age: 1\n \n", tlspolicy.STS{Mode: tlspolicy.None, MaxAge: time.Second}},
		{"first of repeated", "version: STSv1\nmode: testing\nmode: enforce\nmode: x\nmax_age: 1\nmax_age: y\nmx: a.example",
			tlspolicy.STS{Mode: tlspolicy.Testing, MX: []string{"a.example"}, MaxAge: time.Second}},
		{"unknown fields", "version: STSv1\nx-note.1_2: gr\u00fc\u00dfe: a\nx-note.1_2:\nmode: none\nmax_age: 0\nmx: a.example",
			tlspolicy.STS{Mode: tlspolicy.None, MX: []string{"a.example"}}},
		{"U-labels, case, dots", "version: STSv1\nmode: enforce\nmax_age: 1\nmx: MX.B\u00fccher.Example.\nmx: *.b\u00fccher.example",
			tlspolicy.STS{Mode: tlspolicy.Enforce, MX: []string{"mx.xn--bcher-kva.example", "*.xn--bcher-kva.example"}, MaxAge: time.Second}},
		{"age beyond the bound", "version: STSv1\nmode: enforce\nmax_age: 9999999999\nmx: a.example",
			tlspolicy.STS{Mode: tlspolicy.Enforce, MX: []string{"a.example"}, MaxAge: tlspolicy.MaxPolicyAge}},
	} {
		got, err := tlspolicy.ParseSTS([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestParseSTSErrors(t *testing.T) {
	good := "version: STSv1\nmode: enforce\nmax_age: 604800\nmx: a.example\n"
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for text, want := range map[string]string{
		"":                                                    "no version",
		"<html>":                                              "line 1 is not a field",
		replace("version: STSv1\n", ""):                       "no version",
		replace("mode: enforce\n", ""):                        "no mode",
		replace("max_age: 604800\n", ""):                      "no max_age",
		replace("mx: a.example\n", ""):                        "no mx",
		replace("STSv1", "STSv2"):                             "line 1: version",
		replace("STSv1", "stsv1"):                             "line 1: version",
		replace("enforce", "Enforce"):                         "line 2: mode",
		replace("enforce", ""):                                "line 2: mode",
		replace("604800", "-1"):                               "line 3: max_age",
		replace("604800", "+1"):                               "line 3: max_age",
		replace("604800", "1.5"):                              "line 3: max_age",
		replace("604800", "10000000000"):                      "line 3: max_age",
		replace("604800", ""):                                 "line 3: max_age",
		replace("a.example", ""):                              "line 4: mx",
		replace("a.example", "*"):                             "line 4: mx",
		replace("a.example", "*."):                            "line 4: mx",
		replace("a.example", "*.*.example"):                   "line 4: mx",
		replace("a.example", "a.*.example"):                   "line 4: mx",
		replace("a.example", "mx*.example"):                   "line 4: mx",
		replace("a.example", ".example"):                      "line 4: mx",
		replace("a.example", "192.0.2.1"):                     "line 4: mx",
		replace("a.example", "[192.0.2.1]"):                   "line 4: mx",
		replace("a.example", "a b"):                           "line 4: mx",
		replace("a.example", "a/b"):                           "line 4: mx",
		replace("a.example", "a\x00"):                         "line 4: mx",
		good + "what":                                         "line 5 is not a field",
		good + ": x":                                          "line 5 is not a field",
		good + "a b: x":                                       "line 5 is not a field",
		good + strings.Repeat("x", 40) + ": y":                "line 5 is not a field",
		good + strings.Repeat("\n", tlspolicy.MaxPolicyBytes): "longer than",
	} {
		got, err := tlspolicy.ParseSTS([]byte(text))
		if !errors.Is(err, tlspolicy.ErrSyntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %+v, %v; want %q", text, got, err, want)
		}
	}
}

func TestMatch(t *testing.T) {
	p := tlspolicy.STS{MX: []string{"mail.example.com", "*.example.net", "mx.xn--bcher-kva.example", "*.xn--bcher-kva.example"}}
	for host, want := range map[string]bool{
		"mail.example.com": true, "MAIL.example.com.": true, "mail.example.com..": false,
		"other.example.com": false, "example.com": false, "x.mail.example.com": false, "mail.example.com.evil.example": false,
		"a.example.net": true, "A.EXAMPLE.NET.": true, "a.b.example.net": false, "example.net": false, ".example.net": false, "aexample.net": false,
		"mx.b\u00fccher.example": true, "mx.xn--bcher-kva.example": true, "any.B\u00dcCHER.example": true, "b\u00fccher.example": false,
		"": false, ".": false, "*.example.net": false, "192.0.2.1": false, "[192.0.2.1]": false, "a b.example.net": false,
	} {
		if got := p.Match(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func FuzzParseSTSRecord(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;", "v=spf1 -all")
	f.Add("v=STSv1 ;x=y=z;id=1", "v=STSv1")
	f.Fuzz(func(t *testing.T, a, b string) {
		id, err := tlspolicy.ParseSTSRecord([]string{a, b})
		if (err == nil) != (id != "") || len(id) > 32 || strings.ContainsAny(id, " ;=\x00\r\n") {
			t.Fatalf("%q, %q: %q, %v", a, b, id, err)
		}
	})
}

// FuzzParseSTS: what is taken is complete, and says the same when written again.
func FuzzParseSTS(f *testing.F) {
	f.Add("version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n", "a.example.net")
	f.Add("version: STSv1\r\nmode: none\r\nmax_age: 0\r\nx: y", "x")
	f.Add("version:STSv1\nmode:testing\nmx:*.b\u00fccher.example\nmax_age:9999999999", "A.B\u00fccher.example.")
	f.Fuzz(func(t *testing.T, text, host string) {
		p, err := tlspolicy.ParseSTS([]byte(text))
		if err != nil {
			if !errors.Is(err, tlspolicy.ErrSyntax) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if p.MaxAge < 0 || p.MaxAge > tlspolicy.MaxPolicyAge || p.Mode != tlspolicy.None && len(p.MX) == 0 {
			t.Fatalf("%q: %+v", text, p)
		}
		again, err := tlspolicy.ParseSTS([]byte(strings.Join(p.Lines(), "\n")))
		if len(strings.Join(p.Lines(), "\n")) > tlspolicy.MaxPolicyBytes {
			return // A-labels are longer
		}
		if err != nil || !cmp.Equal(p, again) {
			t.Fatalf("%q: %+v became %+v, %v", text, p, again, err)
		}
		if p.Match(host) && strings.ContainsAny(host, "* /\x00\r\n") {
			t.Fatalf("%q matches %q", host, p.MX)
		}
	})
}
