package e2e

import (
	"fmt"
	"testing"

	"postroad/internal/config"
)

// Without JavaScript everything can be read, found and deleted. Tests still
// look at pages by evaluating expressions, which the browser allows.
func TestWithoutJavaScript(t *testing.T) {
	p := start(t, config.Dev)
	p.send("ann@example.com", "First words", [2]string{"html", "<p>Rich words</p>"})
	p.send("bob@example.com", "Second words")
	b := open(t, noScripts())
	b.visit(p.base)
	b.says("tbody", "First words")
	if b.get(`document.documentElement.classList.contains("js")`) == "true" {
		t.Fatal("scripts run in this tab")
	}
	for _, name := range []string{"webhooks", "domains", "system"} {
		b.visit(p.base + "/" + name)
		b.until(`document.querySelector("h1").textContent.toLowerCase() === ` + quote(name))
	}
	b.visit(p.base)
	b.click("#q")
	b.typeIn("first\r")
	b.at("/messages?q=first")
	b.until(`document.querySelectorAll("tbody tr").length === 1`)
	b.click("a.open")
	b.says("h1", "First words")
	b.frameSays("Rich words")
	views := []string{"iframe", "#view pre, #view .none", "#view table", "#view pre", "#view .none", "#view .timeline", "#view", "#view .none", "#view .facts", "#view pre"}
	for i, selector := range views {
		link := fmt.Sprintf(`document.querySelectorAll(".tabs a")[%d]`, i)
		b.get(link + `.click()`)
		b.until(`document.readyState === "complete" && ` + link + `.matches("[aria-current]")`)
		b.until(`document.querySelector(` + quote(selector) + `)?.checkVisibility()`)
	}
	b.click("button[commandfor=delete]")
	b.until(`document.querySelector("#delete").open`)
	b.click("#delete button.danger")
	b.at("/messages?done=deleted")
	b.says("tbody", "Second words")
	b.until(`document.querySelectorAll("tbody tr").length === 1`)
	b.says(".notice", "deleted")
}
