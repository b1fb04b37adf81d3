package e2e

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"

	"postroad/internal/config"
	"postroad/internal/mail/linktoken"
)

// A recipient leaves and comes back, in a browser without scripts and by the
// keyboard: the policies of the page let its form through.
func TestLeave(t *testing.T) {
	p := start(t, config.Dev)
	id := p.send("ann@example.com", "News")
	m, err := p.app.Parts().Messages.Lookup(context.Background(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	link := p.base + "/u/" + p.app.Parts().OptOut.Links.Seal(linktoken.Token{Kind: linktoken.Unsubscribe, Message: m.ID, Domain: m.DomainID, Recipient: "ann@example.com"})
	b := open(t, noScripts())
	check := func(heading string) {
		t.Helper()
		b.says("h1", heading)
		for _, w := range []int64{1280, 320} {
			b.run(chromedp.EmulateViewport(w, 800))
			if bad := b.get(faults); bad != "" {
				t.Errorf("%s at %d px:\n%s", heading, w, bad)
			}
		}
	}
	b.visit(link)
	check("Unsubscribe?")
	b.says("dl", "ann@example.com")
	b.says("dl", m.Domain)
	b.key("Tab", "")
	b.until(`document.activeElement?.value === "unsubscribe" && getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	b.key("Enter", "\r")
	check("You are unsubscribed")
	b.click("button[value=resubscribe]")
	check("You are subscribed again")
	b.visit(link)
	check("Unsubscribe?")
	b.visit(p.base + "/u/none")
	check("This link does not work")
}
