package panel

import (
	"net"
	"strings"
)

// sample is how to send the first message with one tool.
type sample struct {
	ID    string
	Title string
	Code  string
}

// samples are complete enough to paste and run against this server.
func (p *panel) samples() []sample {
	base := strings.TrimSuffix(p.APIBase, "/")
	if base == "" {
		base = "http://localhost:8025"
	}
	key, domain, to := "YOUR_API_KEY", "YOUR_DOMAIN", "you@example.com"
	auth := "--ssl-reqd --user me@YOUR_DOMAIN:PASSWORD "
	if p.Dev {
		key, domain, to, auth = "anything", "you.test", "jane@example.com", ""
	}
	fill := strings.NewReplacer("{BASE}", base, "{KEY}", key, "{DOMAIN}", domain, "{TO}", to,
		"{SMTPHOST}", p.smtpHost(0), "{SMTPPORT}", p.smtpHost(1), "{AUTH}", auth)
	var all []sample
	for _, s := range sampleTexts() {
		if s.ID == "smtp" && p.SMTPAddr == "" {
			continue // nothing listens there
		}
		s.Code = fill.Replace(s.Code)
		all = append(all, s)
	}
	return all
}

// smtpHost splits the SMTP address into host (0) and port (1).
func (p *panel) smtpHost(part int) string {
	host, port, err := net.SplitHostPort(p.SMTPAddr)
	if err != nil {
		host, port = "localhost", "1025"
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	return []string{host, port}[part]
}

func sampleTexts() []sample {
	return []sample{
		{"curl", "curl", `curl -s --user api:{KEY} {BASE}/v3/{DOMAIN}/messages \
  -F from='Me <me@{DOMAIN}>' -F to={TO} \
  -F subject='Hello' --form-string html='<h1>It works</h1>'`},
		{"go", "Go", `mg := mailgun.NewMailgun("{KEY}") // github.com/mailgun/mailgun-go/v5
err := mg.SetAPIBase("{BASE}")
// check err
m := mailgun.NewMessage("{DOMAIN}", "me@{DOMAIN}", "Hello", "It works", "{TO}")
_, err = mg.Send(ctx, m)`},
		{"node", "Node", `const mg = new Mailgun(FormData).client({ // mailgun.js
  username: 'api', key: '{KEY}', url: '{BASE}' })
await mg.messages.create('{DOMAIN}', {
  from: 'me@{DOMAIN}', to: ['{TO}'], subject: 'Hello', text: 'It works' })`},
		{"python", "Python", `client = Client(auth=("api", "{KEY}"), api_url="{BASE}")  # pip install mailgun
client.messages.create(domain="{DOMAIN}", data={
    "from": "me@{DOMAIN}", "to": "{TO}", "subject": "Hello", "text": "It works"})`},
		{"php", "PHP", `$mg = Mailgun::create('{KEY}', '{BASE}'); // mailgun/mailgun-php
$mg->messages()->send('{DOMAIN}', [
  'from' => 'me@{DOMAIN}', 'to' => '{TO}', 'subject' => 'Hello', 'text' => 'It works']);`},
		{"smtp", "SMTP", `curl -s smtp://{SMTPHOST}:{SMTPPORT} {AUTH}--mail-from me@{DOMAIN} --mail-rcpt {TO} -T - <<'EOF'
From: me@{DOMAIN}
To: {TO}
Subject: Hello

It works
EOF`},
	}
}
