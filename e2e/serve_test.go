package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"postroad/internal/base/db"
	"postroad/internal/config"
	"postroad/internal/core/account"
)

// startServe runs the program as in production, with a relay instead of the
// world's mail servers, and a domain to send from.
func startServe(t *testing.T) *program {
	t.Helper()
	p := start(t, config.Serve, "--relay", "*=smtp://"+sink(t), "--relay-without-tls", "--assume-verified", "--retry", "1h,1h")
	p.must("POST", "/v4/domains", [][2]string{{"name", "you.test"}})
	return p
}

// signIn types a key into the login page.
func (b *tab) signIn(key string) {
	b.t.Helper()
	b.until(`location.pathname === "/login" && document.activeElement?.id === "key"`)
	b.press(key + kb.Enter)
}

func TestServe(t *testing.T) {
	p := startServe(t)
	p.send("gone@example.com", "To nobody")
	p.send("full@example.com", "To a full box")
	p.send("jane@example.com", "To Jane")

	b := open(t)
	b.visit(p.base + "/messages?q=jane")
	b.signIn("key-that-is-wrong")
	b.says("#problem", "This key is not accepted.")
	b.signIn(p.key)
	b.at("/messages?q=jane") // where they wanted to go
	b.says("tbody", "To Jane")
	b.says("tbody .status", "delivered")
	sessionCookie(t, b)

	b.click("a.open")
	b.says(".verdict .say", "Delivered to ")
	if first := b.get(`document.querySelector(".tabs a[aria-current]").textContent.trim()`); first != "Timeline" {
		t.Errorf("the message opens with %q, want what happened", first)
	}
	b.says(".verdict .words", "250 2.0.0 Taken as 4711")
	choose(b, "SMTP")
	b.says(".transcript", "C: DATA")
	b.says(".transcript", "S: 250 2.0.0 Taken as 4711")
	b.openOnly(p, "subject:nobody")
	b.says(".verdict .say", "the address does not exist")
	b.says(".verdict .words", "550 5.1.1 No such user here")
	choose(b, "SMTP")
	b.says(".transcript", "C: RCPT TO:<gone@example.com>")
	b.openOnly(p, "subject:full")
	b.says(".verdict .say", "Deferred:")
	b.says(".verdict .say", "Next try in ")
	b.says(".verdict .words", "452 4.2.2 The mailbox is over its quota")

	for _, page := range []struct{ path, heading, words string }{
		{"/domains", "Domains", "you.test"}, {"/webhooks", "Webhooks", "No webhook was called"}, {"/system", "System", "Insecure: assume_verified is on"},
	} {
		b.visit(p.base + page.path)
		b.says("h1", page.heading)
		b.says("main", page.words)
	}
	if b.get(`document.body.innerHTML.includes(`+quote(p.key)+`)`) == "true" {
		t.Error("the system page shows the admin key")
	}
	b.click(`form[action="/logout"] button`)
	b.at("/login")
	b.visit(p.base + "/system")
	b.at("/login?next=%2Fsystem")
	_, errors, _, blocked := b.noticed()
	if len(blocked) > 0 || len(errors) != 1 || !strings.Contains(errors[0], "401") { // the answer to the wrong key
		t.Errorf("the browser complains: %q %q", errors, blocked)
	}
}

// sessionCookie checks that neither scripts nor other sites have use of it.
func sessionCookie(t *testing.T, b *tab) {
	t.Helper()
	got, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range got.Cookies {
		if !c.HTTPOnly || c.SameSite != network.CookieSameSiteStrict || c.Path != "/" || strings.HasPrefix(c.Domain, ".") {
			t.Errorf("cookie %s: http only %v, same site %q, path %q, domain %q", c.Name, c.HTTPOnly, c.SameSite, c.Path, c.Domain)
		}
		if c.Name == "postroad_session" {
			return
		}
	}
	t.Errorf("no session among %d cookies", len(got.Cookies))
}

// What belongs to one account is not there for another.
func TestOtherAccount(t *testing.T) {
	p := startServe(t)
	p.send("jane@example.com", "Mine alone")
	id := p.secondAccount()

	b := open(t)
	b.visit(p.base)
	b.signIn(p.key)
	b.says("tbody", "Mine alone")
	mine := b.get(`document.querySelector("a.open").href`)
	b.visit(mine)
	b.says("h1", "Mine alone")

	other := open(t)
	other.visit(p.base)
	other.signIn(id)
	other.says("h1", "Messages")
	other.says("#list", "Waiting for your first message")
	for _, path := range []string{"", "/preview", "/raw", "/parts/0"} {
		url, _, _ := strings.Cut(mine, "?")
		if got := other.get(`(() => { const r = new XMLHttpRequest(); r.open("GET", ` + quote(url+path) + `, false); r.send(); return r.status })()`); got != "404" {
			t.Errorf("%s: %s for another account, want 404", path, got)
		}
	}
	other.visit(p.base + "/domains")
	other.says("main", "There is no domain yet.")
}

// secondAccount makes an account beside the first and returns a key to it.
func (p *program) secondAccount() string {
	p.t.Helper()
	parts := p.app.Parts()
	err := parts.DB.Write(p.t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("INSERT INTO account (id, name, signing_key, created_at) VALUES (?, ?, ?, ?)", "0123456789abcdef01234567", "Other", "", tx.Now)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	_, secret, err := parts.Accounts.CreateKey(p.t.Context(), "0123456789abcdef01234567", account.KeyRequest{Kind: account.KindUser, Role: account.Admin})
	if err != nil {
		p.t.Fatal(err)
	}
	if code, out := p.call(secret, http.MethodGet, "/v4/domains", nil); code != http.StatusOK {
		p.t.Fatalf("the other account's key: %d %v", code, out)
	}
	return secret
}
