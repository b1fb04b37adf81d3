package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// files is a readFile over texts by name; "!" stands for an unreadable file.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	text, ok := f[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if text == "!" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return []byte(text), nil
}

func parse(t *testing.T, mode Mode, args, environ []string, f files) (*Config, []string, []string) {
	t.Helper()
	c, rest, warnings, err := Parse(mode, args, environ, f.read)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c, rest, warnings
}

func TestDefaults(t *testing.T) {
	env := []string{"HOME=/home/u"}
	dev, _, _ := parse(t, Dev, nil, env, nil)
	serve, _, _ := parse(t, Serve, nil, append(env, "XDG_DATA_HOME=/x"), nil)
	for _, c := range []struct{ name, got, want string }{
		{"dev http", string(dev.HTTP), "127.0.0.1:8025"},
		{"dev https", string(dev.HTTPS), "127.0.0.1:8026"},
		{"dev smtp", dev.SMTP.String(), "127.0.0.1:1025"},
		{"dev data", dev.Data, "/home/u/.local/share/postroad-dev"},
		{"serve http", string(serve.HTTP), ":8080"},
		{"serve https", string(serve.HTTPS), ""},
		{"serve smtp", serve.SMTP.String(), ":25,:587,:2525,:465"},
		{"retry", fmt.Sprint([]time.Duration(serve.Retry)), "[10m0s 10m0s 15m0s 30m0s 1h0m0s 2h0m0s 4h0m0s]"},
		{"max_message", fmt.Sprint(int64(serve.MaxMessage)), "26214400"},
		{"retention", serve.Retention.String(), "72h0m0s"},
		{"private", fmt.Sprint(dev.AllowPrivateURLs, serve.AllowPrivateURLs), "true false"},
		{"file", serve.File, ""},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
	if want := defaultData(Serve, []string{"XDG_DATA_HOME=/x"}, os.Geteuid() == 0); serve.Data != want {
		t.Errorf("serve data: %q, want %q", serve.Data, want)
	}
	if serve.Hostname == "" {
		t.Error("no host name")
	}
}

func TestDefaultData(t *testing.T) {
	for _, c := range []struct {
		mode Mode
		env  []string
		root bool
		want string
	}{
		{Serve, []string{"HOME=/root"}, true, "/var/lib/postroad"},
		{Serve, []string{"HOME=/h"}, false, "/h/.local/share/postroad"},
		{Serve, []string{"HOME=/h", "XDG_DATA_HOME=/x"}, false, "/x/postroad"},
		{Dev, []string{"HOME=/root"}, true, "/root/.local/share/postroad-dev"},
		{Dev, []string{"HOME=/h", "XDG_DATA_HOME=relative"}, false, "/h/.local/share/postroad-dev"},
		{Dev, nil, false, "postroad-dev"},
	} {
		if got := defaultData(c.mode, c.env, c.root); got != c.want {
			t.Errorf("%v %v %v: %q, want %q", c.mode, c.env, c.root, got, c.want)
		}
	}
}

func TestPrecedenceAndOrigin(t *testing.T) {
	f := files{"/d/postroad.toml": "log_level = \"warn\"\nworkers = 7\nmax_message = 4096\nhostname = \"file.example\"\nretry = [\"1m\", \"2m\"]\nassume_verified = true\n"}
	env := []string{"POSTROAD_DATA=/d", "POSTROAD_WORKERS=8", "POSTROAD_HOSTNAME=env.example", "POSTROAD_LOG_FORMAT="}
	c, rest, warnings := parse(t, Serve, []string{"a", "--hostname=flag.example", "-", "--", "--b"}, env, f)
	if fmt.Sprint(rest) != "[a - --b]" || len(warnings) != 0 {
		t.Errorf("rest %q, warnings %q", rest, warnings)
	}
	want := map[string][2]string{
		"config": {"/d/postroad.toml", "default"}, "data": {"/d", "env"}, "hostname": {"flag.example", "flag"},
		"workers": {"8", "env"}, "log_level": {"warn", "file"}, "max_message": {"4KB", "file"},
		"retry": {"1m,2m", "file"}, "assume_verified": {"true", "file"}, "log_format": {"auto", "default"},
		"https": {"off", "default"}, "retention": {"72h", "default"},
	}
	for _, s := range c.Settings() {
		if w, ok := want[s.Name]; ok && (s.Value != w[0] || s.Origin != w[1]) {
			t.Errorf("%s = %q from %s, want %q from %s", s.Name, s.Value, s.Origin, w[0], w[1])
		}
		if on := s.Name == "assume_verified"; s.Insecure != on || (s.Risk != "") != on {
			t.Errorf("%s: insecure %v (%q)", s.Name, s.Insecure, s.Risk)
		}
	}
}

func TestWhichFile(t *testing.T) {
	in := func(host string) string { return "hostname = \"" + host + "\"\n" }
	all := files{"/d/postroad.toml": in("data"), SystemFile: in("system"), "/c.toml": in("given")}
	system := files{SystemFile: in("system")}
	for _, c := range []struct {
		name string
		mode Mode
		args []string
		f    files
		want string
	}{
		{"data first", Serve, nil, all, "data"},
		{"system next", Serve, nil, system, "system"},
		{"flag", Serve, []string{"--config", "/c.toml"}, all, "given"},
		{"dev reads its own", Dev, nil, all, "data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _, _ := parse(t, c.mode, append(c.args, "--data=/d"), nil, c.f)
			if got.Hostname != c.want {
				t.Errorf("hostname %q, want %q", got.Hostname, c.want)
			}
		})
	}
	if c, _, _ := parse(t, Dev, []string{"--data=/d"}, nil, system); c.Hostname == "system" || c.File != "" {
		t.Error("dev reads production's file")
	}
	if c, _, _ := parse(t, Serve, nil, []string{"POSTROAD_CONFIG=/c.toml"}, all); c.Hostname != "given" || c.Origin("config") != "env" {
		t.Errorf("POSTROAD_CONFIG: %q", c.Hostname)
	}
}

func TestFlagForms(t *testing.T) {
	f := files{"/d/postroad.toml": "any_tracking_host = true\nrelay = [\"a.example=smtp://h:1\"]\n"}
	args := []string{"--data", "/d", "--no-any-tracking-host", "--assume-verified", "--relay-without-tls=yes", "--relay", "b.example=smtp://h:2", "--relay=*=smtps://h"}
	c, _, _ := parse(t, Serve, args, nil, f)
	if c.AnyTrackingHost || !c.AssumeVerified || !c.RelayWithoutTLS {
		t.Errorf("switches: %+v", c)
	}
	if got := c.Relay.String(); got != "b.example=smtp://h:2 *=smtps://h:465" {
		t.Errorf("relays: %s", got)
	}
	c, _, _ = parse(t, Serve, []string{"--data=/d"}, []string{"POSTROAD_RELAY=b.example=smtp://h:2\n *=smtp://h:3"}, f)
	if len(c.Relay) != 2 || c.Relay[1].Port != 3 {
		t.Errorf("relays from the environment: %s", c.Relay)
	}
}

func TestSecrets(t *testing.T) {
	const secret = "s3cr3t"
	f := files{"/run/key": secret + "\r\n", "/run/empty": "\n"}
	env := []string{"POSTROAD_ADMIN_KEY_FILE=/run/key", "POSTROAD_DATABASE=postgres://u:" + secret + "@h/db", "POSTROAD_RELAY=*=smtp://u:" + secret + "@h:25"}
	c, _, _ := parse(t, Serve, nil, env, f)
	if c.AdminKey != secret || c.Relay[0].Pass != secret || !strings.Contains(string(c.Database), secret) {
		t.Fatal("secrets not read")
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for how, text := range map[string]string{
		"settings": fmt.Sprint(c.Settings()), "%v": fmt.Sprintf("%v", *c), "%+v": fmt.Sprintf("%+v", *c), "%#v": fmt.Sprintf("%#v", *c), "json": string(encoded),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows a secret: %s", how, text)
		}
		if !strings.Contains(text, redacted) {
			t.Errorf("%s does not show that a secret is set", how)
		}
	}
	for _, c := range []struct {
		name      string
		env, args []string
		file      string
		want      string
	}{
		{"both", []string{"POSTROAD_ADMIN_KEY=" + secret, "POSTROAD_ADMIN_KEY_FILE=/run/key"}, nil, "", "give one of them"},
		{"missing", []string{"POSTROAD_ADMIN_KEY_FILE=/run/none"}, nil, "", "/run/none"},
		{"empty", []string{"POSTROAD_ADMIN_KEY_FILE=/run/empty"}, nil, "", "is empty"},
		{"database", []string{"POSTROAD_DATABASE=" + secret}, nil, "", "--database"},
		{"relay", nil, []string{"--relay", "*=smtp://u:" + secret}, "", "--relay"},
		{"relay without pattern", nil, []string{"--relay", "smtp://u:" + secret + "=@h"}, "", "--relay"},
		{"relay as pattern", nil, []string{"--relay", "u:" + secret + "@h=x"}, "", "--relay"},
		{"TOML", nil, nil, "admin_key = " + secret, "line 1"},
		{"TOML text", nil, nil, "admin_key = \"" + secret, "line 1"},
		{"type", nil, nil, "admin_key = [\"" + secret + "\"]", "admin_key"},
		{"table", nil, nil, "[admin_key]\nx = \"" + secret + "\"", "admin_key.x"},
		{"flag", nil, []string{"--admin_key=" + secret}, "", "--admin-key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f["/d/postroad.toml"] = c.file
			_, _, _, err := Parse(Serve, append(c.args, "--data=/d"), c.env, f.read)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("error %v, want one with %q and without the secret", err, c.want)
			}
		})
	}
}

// TestOtherNames: variables that others' documents name are read as well, if ours
// are not set.
func TestOtherNames(t *testing.T) {
	env := []string{"RESEND_WEBHOOK_SECRET=whsec_other", "MAILGUN_WEBHOOK_SIGNING_KEY=other", "POSTROAD_MAILGUN_WEBHOOK_SIGNING_KEY_FILE=/run/key"}
	c, _, warnings := parse(t, Serve, nil, env, files{"/run/key": "ours"})
	if c.ResendSecret != "whsec_other" || c.MailgunSigningKey != "ours" || len(warnings) != 0 {
		t.Errorf("%q %q %q", string(c.ResendSecret), string(c.MailgunSigningKey), warnings)
	}
	if c, _, _ = parse(t, Serve, []string{"--resend-webhook-secret=flag"}, env[:1], nil); c.ResendSecret != "flag" {
		t.Errorf("%q", string(c.ResendSecret))
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		mode Mode
		args string
		env  string
		file string
		want string
	}{
		{"listen", Serve, "--smtp foo", "", "", `--smtp: "foo" is not HOST:PORT`},
		{"listen port", Serve, "--http :99999", "", "", `--http: ":99999" is not HOST:PORT: the port`},
		{"listen host", Serve, "--http a_?:1", "", "", `neither an address nor a name`},
		{"env", Serve, "", "POSTROAD_SMTP=foo", "", `POSTROAD_SMTP: "foo" is not HOST:PORT`},
		{"file", Serve, "", "", `smtp = "foo"`, `/d/postroad.toml: smtp: "foo" is not HOST:PORT`},
		{"unknown flag", Serve, "--asume-verified", "", "", `unknown flag --asume-verified; did you mean --assume-verified?`},
		{"unknown short", Serve, "-v", "", "", `unknown flag -v`},
		{"underscore", Serve, "--log_level=info", "", "", `did you mean --log-level?`},
		{"no value", Serve, "--http", "", "", `--http needs a value: --http HOST:PORT`},
		{"no-value", Serve, "--no-assume-verified=1", "", "", `takes no value`},
		{"no- on a text", Serve, "--no-http", "", "", `unknown flag --no-http`},
		{"unknown key", Serve, "", "", `htp = ":1"`, `unknown key "htp"; did you mean http?`},
		{"unknown table", Serve, "", "", "[smtp]\nlisten = \":1\"", `unknown key "smtp.listen"`},
		{"config in file", Serve, "", "", `config = "x"`, `unknown key "config"`},
		{"type", Serve, "", "", `http = 25`, `http: wrong type: a text is expected`},
		{"type of listeners", Serve, "", "", `smtp = [25]`, `smtp: wrong type: a list of texts is expected`},
		{"service", Serve, "--smtp imap://:143", "", "", `--smtp: "imap" is not a service for mail: smtp, submission and submissions are`},
		{"service alone", Serve, "--smtp smtp://", "", "", `--smtp: "smtp://" is not SERVICE://HOST:PORT`},
		{"listener and none", Serve, "--smtp :25 --smtp off", "", "", `--smtp: "off" stands alone`},
		{"one listener twice", Serve, "--smtp :25,smtp://:25", "", "", `--smtp and --smtp have the same address ":25"`},
		{"acme name", Serve, "--hostname mx.example.com --acme-names *.example.com", "", "", `--acme-names: no authority gives a certificate for "*.example.com"`},
		{"acme host name", Serve, "--hostname localhost --acme-agree-terms", "", "", `no authority gives a certificate for the host name "localhost"`},
		{"acme address", Serve, "--hostname 192.0.2.1 --acme-agree-terms", "", "", `no authority gives a certificate for the host name "192.0.2.1"`},
		{"acme closed", Serve, "--hostname mx.example.com --acme-agree-terms --http off --https off", "", "", `and both are off`},
		{"acme email", Serve, "--acme-email me", "", "", `--acme-email: "me" is not an address`},
		{"acme directory", Serve, "--acme-directory http://ca.example.com/", "", "", `--acme-directory: "http://ca.example.com/" is not a URL`},
		{"acme in dev", Dev, "--acme-agree-terms", "", "", `--acme-agree-terms is only for serve`},
		{"type of list", Serve, "", "", `relay = [1]`, `relay: wrong type: a list of texts is expected`},
		{"type of switch", Serve, "", "", `assume_verified = 1`, `true or false is expected`},
		{"bool", Serve, "--assume-verified=perhaps", "", "", `"perhaps" is not true or false`},
		{"duration", Serve, "--retention 5", "", "", `"5" is not a duration`},
		{"negative", Serve, "--retention -5s", "", "", `-5s is out of range: at least 0s`},
		{"size", Serve, "--max-message 5XB", "", "", `"5XB" is not a size`},
		{"size range", Serve, "--max-message 2GB", "", "", `2GB is out of range: at most 48MB`},
		{"workers", Serve, "--workers 0", "", "", `0 is out of range: at least 1`},
		{"workers text", Serve, "--workers many", "", "", `not a whole number`},
		{"level", Serve, "--log-level loud", "", "", `"loud" is not one of debug, info, warn, error`},
		{"retry", Serve, "--retry 10m,0s", "", "", `"0s" is not a pause`},
		{"retry empty", Serve, "--retry=", "", "", `is not a duration`},
		{"hostname", Serve, "--hostname a..b", "", "", `--hostname: "a..b" is not a host name`},
		{"panel", Serve, "--panel-url mail.example.com", "", "", `--panel-url: "mail.example.com" is not a URL`},
		{"dns", Serve, "--dns :53", "", "", `--dns: ":53" needs a host`},
		{"tls", Serve, "--tls-cert x", "", "", `must be given together`},
		{"same port", Serve, "--smtp :8080", "", "", `--http and --smtp have the same address`},
		{"two relays", Serve, "--relay *=smtp://a --relay *=smtp://b", "", "", `two relays for "*"`},
		{"strict in serve", Serve, "--strict", "", "", `--strict is only for dev`},
		{"config missing", Serve, "--config /none", "", "", `--config: open /none`},
		{"unreadable", Serve, "--data /locked", "", "", `permission denied`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := files{"/d/postroad.toml": c.file, "/locked/postroad.toml": "!"}
			env := []string{"POSTROAD_DATA=/d", c.env}
			_, _, _, err := Parse(c.mode, strings.Fields(c.args), env, f.read)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	_, _, _, err := Parse(Serve, []string{"--smtp=foo", "--workers=0"}, nil, files{}.read)
	if err == nil || !strings.Contains(err.Error(), "--smtp") || !strings.Contains(err.Error(), "--workers") {
		t.Errorf("not all mistakes are named: %v", err)
	}
	if _, _, _, err := Parse(Dev, []string{"-h"}, nil, files{}.read); !errors.Is(err, ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	env := []string{"POSTROAD_ASUME_VERIFIED=1", "POSTROAD_SMTP_FILE=x", "POSTROAD_STRICT=true", "OTHER=1", "POSTROAD_QQQQQQQQQQQQ=1"}
	c, _, got := parse(t, Serve, nil, env, nil)
	want := []string{
		"unknown variable POSTROAD_ASUME_VERIFIED; did you mean POSTROAD_ASSUME_VERIFIED?",
		"unknown variable POSTROAD_SMTP_FILE; did you mean POSTROAD_SMTP_RATE?",
		"unknown variable POSTROAD_QQQQQQQQQQQQ",
		"POSTROAD_STRICT has no effect: it is only for dev",
	}
	if !reflect.DeepEqual(got, want) || c.Strict {
		t.Errorf("warnings %q\nwant %q; strict %v", got, want, c.Strict)
	}
	if c, _, got := parse(t, Dev, nil, []string{"POSTROAD_STRICT=true"}, nil); len(got) != 0 || !c.Strict {
		t.Errorf("strict in dev: %v, %q", c.Strict, got)
	}
}

func FuzzFile(f *testing.F) {
	f.Add("smtp = \":25\"\n[a.b]\nc = 1\n")
	f.Add("relay = [\"*=smtp://u:p@h:1\"]\nworkers = 1")
	f.Add("retry = [\"1m\"]\nretention = 2026-01-01\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, _, _, err := Parse(Serve, []string{"--data=/d"}, nil, files{"/d/postroad.toml": text}.read)
		if (c == nil) != (err != nil) {
			t.Errorf("config %v, error %v", c, err)
		}
	})
}
