package config

import (
	"slices"
	"testing"
)

func TestMailListens(t *testing.T) {
	for text, want := range map[string]MailListens{
		":25,:587,:2525,:465":            {{SMTP, ":25"}, {Submission, ":587"}, {Submission, ":2525"}, {Submissions, ":465"}},
		"127.0.0.1:0":                    {{SMTP, "127.0.0.1:0"}},
		"submission://:1587, smtp://:26": {{Submission, ":1587"}, {SMTP, ":26"}},
		"smtp://:587":                    {{SMTP, ":587"}},
		"submissions://[::1]:0":          {{Submissions, "[::1]:0"}},
		"off":                            nil,
		"":                               nil,
	} {
		got, err := parseMailListens([]string{text})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		again, err := parseMailListens([]string{got.String()})
		if err != nil || !slices.Equal(got, again) {
			t.Errorf("%q is written %q, which is read as %v, %v", text, got, again, err)
		}
	}
	if l := (MailListen{Submissions, ":1"}); !l.ImplicitTLS() || (MailListen{Submission, ":1"}).ImplicitTLS() {
		t.Error("implicit TLS is that of submissions alone")
	}
}

func TestListenersFromEverySource(t *testing.T) {
	want := MailListens{{SMTP, ":1025"}, {Submission, ":1587"}}
	for name, c := range map[string]struct {
		args []string
		env  []string
		file string
	}{
		"flag twice": {args: []string{"--smtp", ":1025", "--smtp=submission://:1587"}},
		"flag":       {args: []string{"--smtp=:1025,submission://:1587"}, env: []string{"POSTROAD_SMTP=:9"}},
		"variable":   {env: []string{"POSTROAD_SMTP=:1025 submission://:1587"}, file: `smtp = ":9"`},
		"file":       {file: `smtp = [":1025", "submission://:1587"]`},
		"file text":  {file: `smtp = ":1025,submission://:1587"`},
	} {
		got, _, _, err := Parse(Serve, append(c.args, "--data=/d"), c.env, files{"/d/postroad.toml": c.file}.read)
		if err != nil || !slices.Equal(got.SMTP, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestHTTPSWithACME(t *testing.T) {
	for want, args := range map[Listen][]string{
		":443":  {"--acme-agree-terms"},
		"":      {"--acme-agree-terms", "--https=off"},
		":8443": {"--acme-agree-terms", "--https=:8443"},
	} {
		c, _, _, err := Parse(Serve, append(args, "--hostname=MX.example.com", "--acme-names=a.example.com, B.example.com."), nil, files{}.read)
		if err != nil || c.HTTPS != want {
			t.Errorf("%v: %q, %v", args, c.HTTPS, err)
			continue
		}
		if got := c.CertNames(); !slices.Equal(got, []string{"mx.example.com", "a.example.com", "b.example.com"}) {
			t.Errorf("names %q", got)
		}
	}
}

func FuzzMailListens(f *testing.F) {
	f.Add(":25,submission://[::1]:587")
	f.Add("off,")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseMailListens([]string{text})
		if err != nil {
			return
		}
		if again, err := parseMailListens([]string{got.String()}); err != nil || !slices.Equal(got, again) {
			t.Errorf("%q: %v, then %v, %v", text, got, again, err)
		}
	})
}
