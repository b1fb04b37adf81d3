package config

import (
	"os"
	"strings"
	"testing"
)

func TestGateway(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  []string
		want string // of the error
	}{
		{[]string{"--mailgun-url=eu"}, nil, ""},
		{[]string{"--mailgun-url=http://10.0.0.1:8080"}, nil, ""},
		{[]string{"--mailgun-url=asia"}, nil, "--mailgun-url"},
		{[]string{"--resend-url=ftp://x"}, nil, "--resend-url"},
		{[]string{"--participants-url=https://u:p@x"}, nil, "--participants-url"},
		{[]string{"--gateway-failover"}, nil, "needs --mailgun-api-key"},
		{[]string{"--gateway-failover"}, []string{"RESEND_API_KEY=re_1"}, ""},
	} {
		_, _, _, err := Parse(Serve, append(c.args, "--data="+t.TempDir()), c.env, os.ReadFile)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}

// TestForeignVariables: the documents of an integration name variables without our
// prefix; ours go before them.
func TestForeignVariables(t *testing.T) {
	c, _, warnings, err := Parse(Serve, []string{"--data=" + t.TempDir()},
		[]string{"MAILGUN_DOMAIN=mg.example.com", "MAILGUN_API_KEY=theirs", "POSTROAD_MAILGUN_API_KEY=ours"}, os.ReadFile)
	if err != nil || len(warnings) != 0 || c.MailgunDomain != "mg.example.com" || c.MailgunAPIKey != "ours" || c.Origin("mailgun_domain") != "env" {
		t.Errorf("%v %v %q %s", err, warnings, c.MailgunDomain, c.Origin("mailgun_domain"))
	}
}
