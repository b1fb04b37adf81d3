package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// faults lists what keeps people out who do not see the page or have no mouse:
// fields without a label, controls without a name, headings and landmarks that
// are missing or double, ids used twice, images without a text, a page that
// scrolls sideways.
const faults = `(() => {
  const bad = [];
  const show = (e) => e.outerHTML.slice(0, 120);
  const name = (e) => (e.getAttribute("aria-label") || (e.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ") ||
    e.textContent || [...e.querySelectorAll("img")].map((i) => i.alt).join(" ")).trim();
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (![...(e.labels ?? [])].some((l) => l.textContent.trim()) && !e.getAttribute("aria-label")) bad.push("no label: " + show(e));
  for (const e of document.querySelectorAll("button, a[href], summary, dialog, iframe"))
    if (!name(e) && !(e.matches("iframe") && e.title)) bad.push("no name: " + show(e));
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) bad.push("no alt: " + show(e));
  for (const e of document.querySelectorAll("svg")) if (e.getAttribute("aria-hidden") !== "true" && !e.getAttribute("aria-label")) bad.push("svg neither hidden nor named: " + show(e));
  const h1 = document.querySelectorAll("h1").length;
  if (h1 !== 1) bad.push(h1 + " h1");
  let level = 1;
  for (const e of document.querySelectorAll("main h1, main h2, main h3, main h4")) {
    const n = Number(e.tagName[1]);
    if (n > level + 1) bad.push("heading skips a level: " + show(e));
    level = n;
  }
  if (document.querySelectorAll("main").length !== 1) bad.push("main");
  if (!document.documentElement.lang || !document.title) bad.push("lang or title");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids)) if (ids.filter((x) => x === id).length > 1) bad.push("id twice: " + id);
  for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby], [commandfor]"))
    for (const a of ["aria-describedby", "aria-labelledby", "commandfor"])
      for (const id of (e.getAttribute(a) ?? "").split(" ").filter(Boolean)) if (!document.getElementById(id)) bad.push(a + " points nowhere: " + show(e));
  if (document.documentElement.scrollWidth > innerWidth) bad.push("scrolls sideways: " + document.documentElement.scrollWidth + " > " + innerWidth);
  for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]), summary"))
    if (e.tabIndex < 0 && !e.disabled) bad.push("not reachable by keyboard: " + show(e));
  return bad.join("\n");
})()`

func TestAccess(t *testing.T) {
	p := startServe(t)
	b := open(t)
	b.visit(p.base)
	b.until(`document.querySelector("h1")`)
	widths := []int64{1440, 390}
	check := func(where string) {
		t.Helper()
		for _, w := range widths {
			b.run(chromedp.EmulateViewport(w, 900))
			if bad := b.get(faults); bad != "" {
				t.Errorf("%s at %d px:\n%s", where, w, bad)
			}
		}
	}
	check("login")
	b.signIn(p.key)
	b.says("h1", "Messages")
	check("empty list")

	p.must("POST", "/v3/you.test/messages", [][2]string{{"from", "me@you.test"}, {"to", "gone@example.com"}, {"to", "full@example.com"}, {"to", "jane@example.com"},
		{"subject", "A subject with averyveryverylongwordwithoutanyspaceinitthatmustnotpushthepageapart and more after it"}, {"text", "Hello."}, {"html", "<p>Hello.</p>"}, {"o:tag", "tag"}},
		file{"attachment", "averyveryverylongfilenamewithoutanyspaceinitthatmustnotpushthepageapart.txt", "text/plain", "x"})
	b.says("tbody", "A subject with")
	b.until(`document.querySelectorAll("tbody .good, tbody .bad, tbody .warn").length >= 3`)
	check("list")
	b.click("a.open")
	b.until(`document.querySelector(".tabs")`)
	views := []string{"Timeline", "SMTP", "Preview", "Text", "Headers", "Raw", "Attachments", "Webhooks", "Request", "JSON"}
	for _, view := range views {
		choose(b, view)
		check(view)
	}
	for _, page := range []string{"webhooks", "domains", "system", "nowhere"} {
		b.visit(p.base + "/" + page)
		b.until(`document.querySelector("h1")`)
		check(page)
	}
	focus(b, p)
}

// focus checks that a dialog takes the focus, keeps it and gives it back.
func focus(b *tab, p *program) {
	b.t.Helper()
	b.run(chromedp.EmulateViewport(1440, 900))
	b.visit(p.base)
	b.until(`document.querySelector("tbody")`)
	b.press("?")
	b.until(`document.querySelector("#keys").open && document.activeElement.closest("#keys")`)
	b.escape()
	b.until(`!document.querySelector("#keys").open`)
	b.get(`document.querySelector("[commandfor=keys]").focus()`)
	b.press("\r")
	b.until(`document.querySelector("#keys").open`)
	b.escape()
	b.until(`document.activeElement?.getAttribute("commandfor") === "keys"`)
}
