package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"postroad/internal/config"
)

// The life of a developer: an empty inbox, a first message that appears by
// itself, and everything about it under the keyboard.
func TestInbox(t *testing.T) {
	p := start(t, config.Dev)
	b := open(t)
	b.visit(p.base)
	b.says("h1", "Inbox")
	b.says("#list pre", "curl")
	b.says("#list pre", strings.Replace(p.base, "127.0.0.1", "localhost", 1)+"/v3/")
	b.says(".banner", "never delivered")
	b.until(`document.querySelector("#live")?.dataset.state === "on"`)
	b.run(mark())

	p.must("POST", "/v3/you.test/messages", [][2]string{
		{"from", "Post Office <office@you.test>"}, {"to", "jane@example.com"}, {"subject", "Your parcel is on its way"},
		{"text", "Plain words about a parcel."}, {"html", "<h1>Rich words</h1><p>about a parcel.</p>"}, {"o:tag", "parcel"},
	}, file{"attachment", "label.txt", "text/plain", "LABEL 4711"})
	b.says("#list tbody", "Your parcel is on its way")
	b.says("#list tbody", "jane@example.com")
	b.says("#list tbody .status", "captured")
	if b.get("window.marked") != "true" {
		t.Error("the page was loaded again instead of being brought up to date")
	}

	b.press("j")
	b.until(`document.activeElement?.matches("a.open")`)
	b.press(kb.Enter)
	b.at("/messages/")
	b.says("h1", "Your parcel is on its way")
	b.says(".verdict", "Captured for jane@example.com. It was not and will not be delivered.")
	tabs(b)
	b.clean()
}

// tabs opens each view of the message on the page.
func tabs(b *tab) {
	b.t.Helper()
	if first := b.get(`document.querySelector(".tabs a[aria-current]").textContent.trim()`); first != "Preview" {
		b.t.Errorf("the message opens with %q, want the mail itself", first)
	}
	b.frameSays("Rich words")
	for _, v := range []struct{ title, selector, words string }{
		{"Text", "#view pre", "Plain words about a parcel."},
		{"Headers", "#view table", "Post Office <office@you.test>"},
		{"Raw", "#view pre", "Content-Type: multipart/"},
		{"Attachments", "#view table", "label.txt"},
		{"Timeline", "#view .timeline", "accepted"},
		{"SMTP", "#view", "not transmitted"},
		{"Webhooks", "#view", "No webhook was called"},
		{"Request", "#view", "POST /v3/you.test/messages"},
		{"JSON", "#view pre", `"event": "accepted"`},
	} {
		choose(b, v.title)
		b.says(v.selector, v.words)
	}
	choose(b, "Attachments")
	dir := b.t.TempDir()
	b.saveTo(dir)
	b.click("#view table a")
	b.wait("the attachment is saved", savedAs(filepath.Join(dir, "label.txt"), "LABEL 4711"))
	choose(b, "Preview")
	b.click(".switch a:nth-child(2)")
	b.at("/messages/")
	b.until(`document.querySelector(".stage.phone iframe")?.getBoundingClientRect().width < 500`)
	b.frameSays("Rich words")
}

// choose clicks a view's link and waits for the view.
func choose(b *tab, title string) {
	b.t.Helper()
	link := `[...document.querySelectorAll(".tabs a")].find(a => a.firstChild.textContent.trim() === ` + quote(title) + `)`
	b.until(link)
	b.get(link + ".click()")
	b.until(link + `?.matches("[aria-current]") && document.readyState === "complete"`)
}

func TestInboxNeighboursSearchDelete(t *testing.T) {
	p := start(t, config.Dev)
	for _, name := range []string{"alpha", "beta", "gamma"} {
		p.send(name+"@example.com", "About "+name)
	}
	p.send("lost+bounce@example.com", "About delta")
	b := open(t)
	b.visit(p.base + "/?q=about")
	b.until(`document.querySelectorAll("tbody tr").length === 4`)
	b.says("tbody .status.bad", "failed")

	// Next and previous, with the mouse and with the keyboard.
	b.get(`[...document.querySelectorAll("a.open")].find(a => a.textContent.includes("gamma")).click()`)
	b.says("h1", "About gamma")
	b.click("a[rel=next]")
	b.says("h1", "About beta")
	b.press("j")
	b.says("h1", "About alpha")
	b.until(`!document.querySelector("a[rel=next]")`)
	b.press("k")
	b.says("h1", "About beta")
	b.press("u")
	b.says("h1", "Inbox")

	// Search and the filter by status.
	b.press("/")
	b.until(`document.activeElement?.id === "q"`)
	b.press("to:beta" + kb.Enter)
	b.until(`document.querySelectorAll("tbody tr").length === 1 && location.search.includes("q=to%3Abeta")`)
	b.says("tbody", "About beta")
	b.visit(p.base)
	b.get(`[...document.querySelectorAll(".chips a")].find(a => a.textContent.includes("failed")).click()`)
	b.until(`location.search.includes("status=failed") && document.querySelectorAll("tbody tr").length === 1`)
	b.says("tbody", "About delta")
	b.visit(p.base + "/messages?q=nothinglikeit")
	b.says("#list", "No message matches")

	// Deleting asks first, and keeps the message when told to.
	b.visit(p.base + "/messages?q=gamma")
	b.click("a.open")
	b.says("h1", "About gamma")
	b.click("button[commandfor=delete]")
	b.until(`document.querySelector("#delete").open`)
	b.click("#delete form[method=dialog] button")
	b.until(`!document.querySelector("#delete").open`)
	b.click("button[commandfor=delete]")
	b.click("#delete button.danger")
	b.at("/messages?done=deleted")
	b.until(`document.querySelectorAll("tbody tr").length === 3`)
	if text := b.get(`document.querySelector("tbody").textContent`); strings.Contains(text, "gamma") {
		t.Error("the deleted message is still listed")
	}
	b.click("button[commandfor=clear]")
	b.says("#clear", "3")
	b.click("#clear button.danger")
	b.at("/messages?done=cleared")
	b.says("#list", "Waiting for your first message")
	b.clean()
}

// Each recipient of a batch sees their own values, and the panel shows them.
func TestBatchCopies(t *testing.T) {
	p := start(t, config.Dev)
	p.must("POST", "/v3/you.test/messages", [][2]string{
		{"from", "me@you.test"}, {"to", "ann@example.com"}, {"to", "bob@example.com"}, {"subject", "Dear %recipient.name%"},
		{"text", "Code %recipient.code%."}, {"html", "<p>Your code is %recipient.code%.</p>"},
		{"recipient-variables", `{"ann@example.com":{"name":"Ann","code":"1111"},"bob@example.com":{"name":"Bob","code":"2222"}}`},
	})
	b := open(t)
	b.visit(p.base)
	b.says("tbody", "Dear Ann")
	b.says("tbody", "Dear Bob")
	b.get(`[...document.querySelectorAll("a.open")].find(a => a.textContent.includes("Bob")).click()`)
	b.says("h1", "Dear Bob")
	b.frameSays("Your code is 2222.")
	choose(b, "Text")
	b.says("#view pre", "Code 2222.")
	choose(b, "Raw")
	b.says("#view pre", "Subject: Dear Bob")
	// The other recipient, without leaving the view.
	b.get(`[...document.querySelectorAll(".rcpts a")].find(a => a.textContent.includes("ann@")).click()`)
	b.says("#view pre", "Subject: Dear Ann")
	b.click(".rcpts p a")
	b.says("#view", "This is the one for ann@example.com")
	b.clean()
}

func savedAs(name, content string) func(ctx) (bool, error) {
	return func(ctx) (bool, error) {
		got, err := os.ReadFile(name)
		return string(got) == content, err
	}
}
