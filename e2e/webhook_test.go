package e2e

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"postroad/internal/config"
)

// A receiver that is broken at first: the page of the message shows the call
// as it went, and Replay makes it again.
func TestWebhookReplay(t *testing.T) {
	var calls atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			http.Error(w, "database is asleep", http.StatusInternalServerError)
			return
		}
		w.Write([]byte("thank you"))
	}))
	t.Cleanup(receiver.Close)
	p := start(t, config.Dev)
	p.must("POST", "/v3/domains/you.test/webhooks", [][2]string{{"id", "delivered"}, {"url", receiver.URL + "/hook"}})
	b := open(t)
	b.visit(p.base + "/webhooks")
	b.says("#list", "No webhook was called yet.")
	b.until(`document.querySelector("#live")?.dataset.state === "on"`)
	p.send("jane@example.com", "hooked")

	// The list of calls is brought up to date by itself.
	b.says("#list .call", "HTTP 500")
	b.says("#list .call", "pending")
	b.says("#list .call", receiver.URL+"/hook")

	b.visit(p.base + "/messages?q=hooked")
	b.click("a.open")
	b.says("h1", "hooked")
	choose(b, "Webhooks")
	b.says("#view .call summary", "delivered")
	b.click("#view .call summary")
	b.says("#view .call .try", "Attempt 1")
	b.says("#view .call .try", "database is asleep")
	b.says("#view .call .exchange", `"event-data": {`)
	b.click("#view .call form button")
	b.says("#view .call summary", "HTTP 200")
	b.says("#view .call summary", "2 attempts")
	b.until(`document.querySelector("#view .call").open`)
	b.says("#view .call .try:last-child", "thank you")
	if n := calls.Load(); n != 2 {
		t.Errorf("the receiver was called %d times, want 2", n)
	}
	b.clean()
}
