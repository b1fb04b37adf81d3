package panel

import (
	"fmt"
	"time"
)

func dialogue(mx, to, reply string) []Line {
	return []Line{
		{At: 20 * time.Millisecond, Text: "220 " + mx + " ESMTP ready"},
		{Client: true, At: 21 * time.Millisecond, Text: "EHLO mail.example.com"},
		{At: 60 * time.Millisecond, Text: "250-" + mx + " at your service, [203.0.113.7]"},
		{At: 60 * time.Millisecond, Text: "250-SIZE 157286400"},
		{At: 60 * time.Millisecond, Text: "250 STARTTLS"},
		{Client: true, At: 61 * time.Millisecond, Text: "STARTTLS"},
		{At: 90 * time.Millisecond, Text: "220 2.0.0 Ready to start TLS"},
		{Client: true, At: 160 * time.Millisecond, Text: "MAIL FROM:<bounce+8f2a@example.com> SIZE=18342"},
		{At: 190 * time.Millisecond, Text: "250 2.1.0 OK"},
		{Client: true, At: 190 * time.Millisecond, Text: "RCPT TO:<" + to + ">"},
		{At: 600 * time.Millisecond, Text: reply},
		{Client: true, At: 601 * time.Millisecond, Text: "QUIT"},
		{At: 620 * time.Millisecond, Text: "221 2.0.0 closing connection"},
	}
}

const fixtureHTML = `<!DOCTYPE html><html><head><meta name="color-scheme" content="light dark"><style>
body{font-family:Arial,sans-serif;margin:0;background:#f2f4f7}.box{max-width:560px;margin:24px auto;background:#fff;padding:32px;border-radius:8px}
h1{font-size:22px;margin:0 0 12px}.btn{display:inline-block;background:#1d4ed8;color:#fff;padding:10px 18px;border-radius:6px;text-decoration:none}
table{width:100%;border-collapse:collapse;margin:20px 0}td{padding:8px 0;border-bottom:1px solid #e5e7eb}
@media (prefers-color-scheme: dark){body{background:#0f1115}.box{background:#1b1e24;color:#e8e8ea}td{border-color:#333}}
</style></head><body><div class="box"><img src="cid:logo@example.com" width="40" height="40" alt="Example"><h1>Thank you, Jane</h1>
<p>Here is your receipt for order 1042.</p><table><tr><td>Notebook, A5, dotted</td><td align="right">12.00</td></tr><tr><td>Shipping</td><td align="right">3.50</td></tr><tr><td><b>Total</b></td><td align="right"><b>15.50</b></td></tr></table>
<a class="btn" href="https://shop.example.com/orders/1042">View your order</a><img src="https://cdn.example.com/banner.png" width="1" height="1" alt=""></div></body></html>`

func message(i int, at time.Time, from, subject string, tags []string, rs ...Recipient) MessageDetail {
	m := MessageDetail{
		ID: fmt.Sprintf("2026030412%02d.8f2a", i), MessageID: fmt.Sprintf("<2026030412%02d.1.8F2A@example.com>", i),
		Accepted: at, From: from, Sender: "bounce+8f2a@example.com", Subject: subject, Domain: "example.com", Tags: tags,
		Size: int64(3200 + 1717*i), Via: "HTTP API", Recipients: rs, Text: "Thank you, Jane.\n\nYour order 1042 is on its way.\n",
	}
	m.Headers = [][2]string{{"From", from}, {"To", rs[0].Address}, {"Subject", subject}, {"Message-ID", m.MessageID},
		{"Date", at.Format(time.RFC1123Z)}, {"MIME-Version", "1.0"}, {"X-Mailgun-Tag", "receipt"}, {"Content-Type", "multipart/mixed; boundary=8f2a"},
		{"DKIM-Signature", "v=1; a=rsa-sha256; d=example.com; s=mx1; h=from:to:subject:date; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=NxHk2a"}}
	m.Events = append(m.Events, Event{Time: at, Name: "accepted", Recipient: rs[0].Address, Text: "by HTTP API, key key-...3f", JSON: []byte(`{"event":"accepted","id":"a1"}`)})
	for _, r := range rs {
		for _, a := range r.Attempts {
			m.Events = append(m.Events, Event{Time: a.Time.Add(a.Duration), Name: string(a.Outcome), Recipient: r.Address, Text: words(a),
				JSON: []byte(`{"event":"` + string(a.Outcome) + `","recipient":"` + r.Address + `","delivery-status":{"code":250,"message":"OK"}}`)})
		}
	}
	return m
}

func try(at time.Time, took time.Duration, s Status, mx string, code int, enhanced, reply, to string) Attempt {
	return Attempt{Time: at, Duration: took, Outcome: s, MX: mx, IP: "192.0.2.26", LocalIP: "203.0.113.7", TLS: "TLS 1.3, AES-128-GCM",
		Code: code, Enhanced: enhanced, Reply: reply, Transcript: dialogue(mx, to, fmt.Sprintf("%d %s %s", code, enhanced, reply))}
}

func fixtureMessages(now time.Time) []MessageDetail {
	at := func(d time.Duration) time.Time { return now.Add(-d) }
	hello := "Example Shop <hello@example.com>"
	one := func(to string, s Status, as ...Attempt) Recipient {
		return Recipient{Address: to, Status: s, Attempts: as}
	}

	first := message(29, at(9*time.Second), hello, "Your receipt #1042", []string{"receipt", "eu"},
		one("jane@gmail.com", Delivered, try(at(8*time.Second), 1200*time.Millisecond, Delivered, "gmail-smtp-in.l.google.com", 250, "2.0.0", "OK  1772625900 4fb4d7f45d1cf-5e4a1c - gsmtp", "jane@gmail.com")))
	first.HTML = fixtureHTML
	first.Parts = []Part{{Index: 1, ContentType: "text/plain; charset=utf-8", Size: 420}, {Index: 2, ContentType: "text/html; charset=utf-8", Size: 5200},
		{Index: 3, Name: "logo.png", ContentType: "image/png", Size: 70, ContentID: "logo@example.com", Inline: true},
		{Index: 4, Name: "receipt-1042.pdf", ContentType: "application/pdf", Size: 48211}}
	first.Events = append(first.Events, Event{Time: at(4 * time.Second), Name: "opened", Recipient: "jane@gmail.com", Text: "Gmail image proxy, 66.249.84.1", JSON: []byte(`{"event":"opened"}`)},
		Event{Time: at(2 * time.Second), Name: "opened", Recipient: "jane@gmail.com", Text: "Gmail image proxy, 66.249.84.1", JSON: []byte(`{"event":"opened"}`)})
	first.Request = &Request{ID: "req_8f2a", Time: first.Accepted, Method: "POST", Path: "/v3/example.com/messages", Status: 200, Duration: 4 * time.Millisecond,
		KeyID: "key-...3f (shop backend)", IP: "198.51.100.20", UserAgent: "mailgun.js/12.0.1",
		Fields:   [][2]string{{"from", hello}, {"to", "jane@gmail.com"}, {"subject", "Your receipt #1042"}, {"o:tag", "receipt"}, {"o:tag", "eu"}, {"v:reset-token", "s3cr3t-value"}, {"html", "(5,200 octets)"}},
		Response: "{\n  \"id\": \"<202603041229.1.8F2A@example.com>\",\n  \"message\": \"Queued. Thank you.\"\n}"}

	bad := one("jan@gmial.com", Failed, try(at(40*time.Second), 600*time.Millisecond, Failed, "mx1.gmial.com", 550, "5.1.1", "<jan@gmial.com>: Recipient address rejected: User unknown", "jan@gmial.com"))
	later := one("bob@outlook.com", Deferred, try(at(8*time.Minute), 2100*time.Millisecond, Deferred, "outlook-com.olc.protection.outlook.com", 451, "4.7.500", "Server busy. Please try again later from [203.0.113.7]. (S77719)", "bob@outlook.com"))
	later.NextTry = now.Add(4 * time.Minute)
	stopped := one("old@example.net", Suppressed)
	stopped.Reason = "Not delivering to previously bounced address"
	stopped.Listed = &Listed{Since: at(30 * 24 * time.Hour), Because: "the recipient's server refused a message for good: 550 5.1.1 No such user", ID: "202603041228.8f2a", Subject: "Your receipt #1041"}
	spam := one("carl@yahoo.com", Complained, try(at(3*time.Hour), 900*time.Millisecond, Delivered, "mta5.am0.yahoodns.net", 250, "", "ok dirdel", "carl@yahoo.com"))
	soon := one("team@example.org", Scheduled)
	soon.NextTry = now.Add(3 * time.Hour)
	soon.Chosen, soon.WhyChosen = soon.NextTry, "09:00 in Asia/Kolkata, where this address last clicked (2026-02-28)"
	refused := one("x@example.org", Rejected)
	refused.Reason = "the sender domain unknown.example is not one of this account's domains"
	gone := one("ann@slow.example", Expired, Attempt{Time: at(20 * time.Hour), Duration: 30 * time.Second, Outcome: Deferred, MX: "mx.slow.example", IP: "192.0.2.99", LocalIP: "203.0.113.7", Error: "dial tcp 192.0.2.99:25: i/o timeout"})

	list := []MessageDetail{
		first,
		message(28, at(41*time.Second), hello, "Your receipt #1041", []string{"receipt"}, bad),
		message(27, at(8*time.Minute), hello, "Reset your password", nil, later),
		message(26, at(12*time.Minute), hello, "Welcome to Example", []string{"onboarding"}, one("test@postroad.test", Captured)),
		message(25, at(30*time.Minute), "News <news@example.com>", "March: the dotted notebook is back, and a very long subject that does not fit into its column at all", []string{"newsletter", "2026-03"},
			one("ida@gmail.com", Delivered, try(at(29*time.Minute), 800*time.Millisecond, Delivered, "gmail-smtp-in.l.google.com", 250, "2.0.0", "OK", "ida@gmail.com")), bad, later),
		message(24, at(2*time.Hour), hello, "Your invoice", nil, stopped),
		message(23, at(3*time.Hour), hello, "We miss you", []string{"winback"}, spam),
		message(22, at(4*time.Hour), hello, "Standup notes", nil, soon),
		message(21, at(5*time.Hour), "x@unknown.example", "", nil, refused),
		message(20, at(28*time.Hour), hello, "Your invoice", nil, gone),
		message(19, at(9*24*time.Hour), hello, "Order confirmed", nil, one("eve@example.org", Accepted)),
	}
	list[7].Scheduled = soon.NextTry
	return list
}

func fixtureCalls(now time.Time) []WebhookCall {
	headers := [][2]string{{"Content-Type", "application/json"}, {"User-Agent", "postroad/0.1.0"}}
	body := "{\n  \"signature\": {\"timestamp\": \"1772625900\", \"token\": \"5f0c\", \"signature\": \"9d1e\"},\n  \"event-data\": {\"event\": \"delivered\", \"recipient\": \"jane@gmail.com\"}\n}"
	ok := CallAttempt{Time: now.Add(-7 * time.Second), Duration: 84 * time.Millisecond, Status: 200, RequestHeaders: headers, RequestBody: body,
		ResponseHeaders: [][2]string{{"Content-Type", "text/plain"}}, ResponseBody: "ok"}
	broken := CallAttempt{Time: now.Add(-9 * time.Minute), Duration: 1200 * time.Millisecond, Status: 503, RequestHeaders: headers, RequestBody: body,
		ResponseHeaders: [][2]string{{"Content-Type", "text/html"}}, ResponseBody: "<h1>Service Unavailable</h1>"}
	silent := CallAttempt{Time: now.Add(-14 * time.Minute), Duration: 10 * time.Second, Error: "no answer within 10 s", RequestHeaders: headers, RequestBody: body}
	return []WebhookCall{
		{ID: "wc-1", Event: "delivered", URL: "https://shop.example.com/hooks/mail", Domain: "example.com", MessageID: "202603041229.8f2a", Recipient: "jane@gmail.com", Created: now.Add(-7 * time.Second), State: CallDelivered, Attempts: []CallAttempt{ok}},
		{ID: "wc-2", Event: "opened", URL: "https://shop.example.com/hooks/mail", Domain: "example.com", MessageID: "202603041229.8f2a", Recipient: "jane@gmail.com", Created: now.Add(-14 * time.Minute), State: CallPending, Attempts: []CallAttempt{silent, broken}, NextTry: now.Add(time.Minute)},
		{ID: "wc-3", Event: "failed", URL: "https://crm.example.org/in?source=mail", Domain: "example.com", Recipient: "jan@gmial.com", Created: now.Add(-8 * time.Hour), State: CallFailed, Attempts: []CallAttempt{silent, broken, broken}},
		{ID: "wc-4", Event: "accepted", URL: "https://shop.example.com/hooks/mail", Domain: "example.com", Created: now.Add(-time.Second), State: CallPending},
	}
}

func fixtureDomains(now time.Time) []Domain {
	return []Domain{
		{Name: "example.com", State: "active", Created: now.Add(-300 * time.Hour), Checked: now.Add(-8 * time.Second), Links: "links begin with http://mail.example.com: the CNAME record of email.example.com was not found to lead to this server; publish it and verify the domain", Records: []Record{
			{Purpose: "DKIM", Type: "TXT", Name: "mx1._domainkey.example.com", Value: "k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwJ1xVnY4c1N8Zk4s0ZlAq2fF5r0Vb8mP3yH6tK9uWcXeRdGhJkLmNoPqRsTuVwXyZ0123456789AbCdEfGhIjKlMnOpQrStUvWxYz", State: RecordValid, Required: true, Server: "ns1.example.net", Found: []string{"k=rsa; p=MIIB"}},
			{Purpose: "SPF", Type: "TXT", Name: "example.com", Value: "v=spf1 include:_spf.google.com include:spf.mail.example.com ~all", State: RecordWrong, Required: true, Server: "ns1.example.net", Found: []string{"v=spf1 include:_spf.google.com ~all"}},
			{Purpose: "DMARC", Type: "TXT", Name: "_dmarc.example.com", Value: "v=DMARC1; p=none; rua=mailto:dmarc@example.com", State: RecordMissing, Server: "ns2.example.net"},
			{Purpose: "Receiving", Type: "MX", Name: "example.com", Value: "mail.example.com", Priority: 10, State: RecordValid, Server: "ns1.example.net"},
			{Purpose: "Tracking", Type: "CNAME", Name: "email.example.com", Value: "mail.example.com", State: RecordUnknown, Note: "ns1.example.net: SERVFAIL"},
		}},
		{Name: "mail.example.co.uk", State: "unverified", Created: now.Add(-time.Hour), Records: []Record{
			{Purpose: "DKIM", Type: "TXT", Name: "mx1._domainkey.mail.example.co.uk", Value: "k=rsa; p=MIIB", State: RecordUnknown, Required: true},
		}},
	}
}

func fixtureSystem(now time.Time) System {
	return System{Revision: "8f2a1c0", Started: now.Add(-26 * time.Hour), Hostname: "mail.example.com", DataDir: "/var/lib/postroad", Database: "SQLite 3.50.4", Signing: "avx512-ifma", DataSize: 1_240_000_000,
		DiskFree: 61_000_000_000, DiskTotal: 80_000_000_000,
		Listeners: []Listener{{"HTTP API and panel", "0.0.0.0:8025", "none"}, {"HTTPS API and panel", "0.0.0.0:8026", "implicit"}, {"SMTP submission", "0.0.0.0:587", "STARTTLS"}, {"SMTP, incoming mail", "0.0.0.0:25", "STARTTLS"}},
		Settings: []Setting{{"hostname", "mail.example.com", "file /etc/postroad.toml:3", false}, {"smtp.max_size", "26214400", "default", false},
			{"smtp.insecure_auth", "true", "env POSTROAD_SMTP_INSECURE_AUTH", true}, {"retention.events", "720h", "flag --retention-events", false}, {"api.signing_key", "(set, 32 characters)", "file /etc/postroad.toml:9", false}},
		Warnings: []Warning{{"SMTP passwords are accepted without TLS.", "Remove POSTROAD_SMTP_INSECURE_AUTH from the environment.", true},
			{"The variable POSTROAD_RETENTON is unknown.", "Did you mean POSTROAD_RETENTION?", false}}}
}
