package suppress_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/core/event"
	"postroad/internal/core/suppress"
)

// importFile uploads a file and waits for what comes of it.
func (a *api) importFile(list, file string) (id string) {
	a.t.Helper()
	ct, body := multi(a.t, "file", file)
	w := a.send("admin", "POST", "/v3/example.com/"+list+"/import", ct, body)
	path := w.Header().Get("Location")
	id, ok := strings.CutPrefix(path, "/v1/postroad/suppression-imports/")
	if !ok || w.Code != 202 || strings.TrimSpace(w.Body.String()) != `{"message":"file uploaded successfully for processing. standby..."}` {
		a.t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.s.RunImports(ctx) }()
	for w := a.send("admin", "GET", path, "", ""); !strings.Contains(w.Body.String(), `"state":"finished"`); w = a.send("admin", "GET", path, "", "") {
		if w.Code != 200 || ctx.Err() != nil {
			a.t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	cancel()
	if err := <-done; err != nil {
		a.t.Error(err)
	}
	return id
}

func TestImports(t *testing.T) {
	eachAPI(t, func(a *api) {
		const path = "/v1/postroad/suppression-imports"
		a.get(path, 200, `{"items":[]}`)
		for _, p := range []string{path + "/1", path + "/x", path + "/1/errors"} {
			a.get(p, 404, `{"message":"Import not found"}`)
		}
		id := a.importFile("unsubscribes", "Tags;ADDRESS\n[b, a];A@example.net\n;b@example.net\n=x;nobody\n")
		a.get("/v3/example.com/unsubscribes/a@example.net", 200, `{"address":"A@example.net","tags":["b","a"],"created_at":"`+now+`"}`)
		a.get("/v3/example.com/unsubscribes/b@example.net", 200, `{"address":"b@example.net","tags":["*"],"created_at":"`+now+`"}`)
		view := `{"id":"` + id + `","domain":"example.com","list":"unsubscribes","file":"","key-id":"k-admin","state":"finished","size":59,"done":59,"imported":2,"failed":1,` +
			`"created":"2026-03-26T12:59:15Z","started":"2026-03-26T12:59:15Z","finished":"2026-03-26T12:59:15Z"}`
		a.get(path+"/"+id, 200, view)
		a.get(path+"?domain=EXAMPLE.com", 200, `{"items":[`+view+`]}`)
		a.get(path+"?domain=example.org", 200, `{"items":[]}`)
		a.get(path+"?before="+id, 200, `{"items":[]}`)
		a.get(path+"?before=x", 400, `{"message":"'before' parameter is invalid: it is not the id of an import"}`)
		a.get(path+"/"+id+"/errors", 200, `{"items":[{"line":4,"reason":"'address' parameter is invalid: \"nobody\": domain missing","content":"=x;nobody"}],"failed":1}`)
		w := a.send("admin", "GET", path+"/"+id+"/errors?format=csv", "", "")
		if want := "line,reason,content\n4,\"'address' parameter is invalid: \"\"nobody\"\": domain missing\",'=x;nobody\n"; w.Body.String() != want || w.Header().Get("Content-Type") != "text/csv; charset=utf-8" {
			a.t.Errorf("%q %v", w.Body, w.Header())
		}
		for _, p := range []string{path, path + "/" + id, path + "/" + id + "/errors"} {
			if w := a.send("basic", "GET", p, "", ""); w.Code != 401 {
				a.t.Errorf("%s for an analyst: %d", p, w.Code)
			}
			if w := a.send("stranger", "GET", p, "", ""); w.Code == 200 && w.Body.String() != "{\"items\":[]}\n" {
				a.t.Errorf("%s for another account: %d %s", p, w.Code, w.Body)
			}
		}
		ct, body := multi(t, "file", "mail\na@example.net\n")
		w = a.send("admin", "POST", "/v3/example.com/bounces/import", ct, body)
		if w.Code != 400 || strings.TrimSpace(w.Body.String()) != `{"message":"while reading csv header"}` || w.Header().Get("X-Hint") != "the first line must name a column address" {
			a.t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
		ct, body = multi(t, "fill", "address\n")
		a.want("POST", "/v3/example.com/bounces/import", ct, body, 400, `{"message":"Missing mandatory parameter: file"}`)
		a.importFile("whitelists", "domain,address,reason\nB\u00fccher.example,,ours\n,x@example.net,\n")
		a.get("/v3/example.com/whitelists/xn--bcher-kva.example", 200, `{"type":"domain","value":"B`+"\u00fc"+`cher.example","reason":"ours","createdAt":"`+now+`"}`)
	})
}

// Every way onto a list, and what is said about it.
func TestWhy(t *testing.T) {
	eachAPI(t, func(a *api) {
		const path = "/v1/postroad/domains/example.com/suppressions/"
		a.get(path+"a@example.net", 200, `{"address":"a@example.net","suppressed":false,"allowed":false,"items":[]}`)
		a.get(path+"nobody", 400, `{"message":"'address' parameter is invalid: \"nobody\": domain missing"}`)

		e := &event.Event{DomainID: 1, AccountID: "acc", MessageID: 77, Doc: event.Doc{Event: event.Failed, ID: "ev1", Severity: event.Permanent, Reason: "bounce",
			Recipient: "J\u00fcrgen@B\u00fccher.example", DeliveryStatus: &event.DeliveryStatus{Code: 550, Message: "5.1.1 no such user"}, Storage: &event.Storage{Key: "key1"},
			Message: &event.Message{Headers: event.Headers{MessageID: "m1@example.com", Subject: "Hello"}}}}
		late := *e
		late.Doc.Recipient, late.Doc.Flags = "late@example.net", &event.Flags{IsDelayedBounce: true}
		spam := event.Event{DomainID: 1, MessageID: 78, Doc: event.Doc{Event: event.Complained, ID: "ev2", Recipient: "j\u00fcrgen@b\u00fccher.example"}}
		left := event.Event{DomainID: 1, Doc: event.Doc{Event: event.Unsubscribed, ID: "ev3", Recipient: "left@example.net"}}
		if err := a.db.Write(context.Background(), func(tx *db.Tx) error {
			for _, e := range []*event.Event{e, &late, &spam, &left} {
				if err := a.s.Event(tx, e); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		const at = `"since":"2026-03-26T12:59:15Z",`
		const all = `"means":"No message of the domain is sent to it.",`
		bounce := func(value, because, rest string) string {
			return `{"list":"bounces","value":"` + value + `",` + at + `"code":"550","text":"5.1.1 no such user","because":"` + because + `: 550 5.1.1 no such user",` + all + rest
		}
		const cause = `"cause":{"by":"event","event":"failed","event-id":"ev1","message-id":"m1@example.com","message":"77","storage-key":"key1","subject":"Hello"}}`
		refused := bounce("J\u00fcrgen@B\u00fccher.example", "the recipient's server refused a message for good", cause)
		complaint := `{"list":"complaints","value":"j` + "\u00fc" + `rgen@b` + "\u00fc" + `cher.example",` + at + `"because":"the recipient reported a message as spam",` + all +
			`"cause":{"by":"event","event":"complained","event-id":"ev2","message":"78"}}`
		for _, form := range []string{"j\u00fcrgen@b\u00fccher.example", "JU\u0308RGEN@xn--bcher-kva.example", "j%C3%BCrgen@XN--BCHER-KVA.example"} {
			shown := strings.ReplaceAll(form, "%C3%BC", "\u00fc")
			a.get(path+form, 200, `{"address":"`+shown+`","suppressed":true,"code":607,"reason":"suppress-complaint","allowed":false,"items":[`+refused+`,`+complaint+`]}`)
		}
		a.get(path+"late@example.net", 200, `{"address":"late@example.net","suppressed":true,"code":605,"reason":"suppress-bounce","allowed":false,"items":[`+
			bounce("late@example.net", "a message was returned after delivery", cause)+`]}`)
		a.get(path+"left@example.net", 200, `{"address":"left@example.net","suppressed":true,"code":606,"reason":"suppress-unsubscribe","allowed":false,"items":[`+
			`{"list":"unsubscribes","value":"left@example.net",`+at+`"tag":"*","because":"the recipient unsubscribed",`+all+`"cause":{"by":"event","event":"unsubscribed","event-id":"ev3"}}]}`)

		a.addAll("unsubscribes", `{"address":"picky@example.net","tags":["news"]}`)
		a.addAll("whitelists", `{"domain":"example.net","reason":"ours"}`)
		picky := `"allowed":true,"items":[{"list":"unsubscribes","value":"picky@example.net",` + at + `"tag":"news","because":"added through the API with the key k-admin",` +
			`"means":"No message with the tag \"news\" is sent to it.","cause":{"by":"key","key-id":"k-admin"}},` +
			`{"list":"whitelists","value":"example.net",` + at + `"text":"ours","because":"added through the API with the key k-admin",` +
			`"means":"Bounces of it are not listed. What is on a list already stays there and is not sent to.","cause":{"by":"key","key-id":"k-admin"}}]}`
		a.get(path+"picky@example.net", 200, `{"address":"picky@example.net","suppressed":false,`+picky)
		a.get(path+"picky@example.net?tag=x&tag=NEWS", 200, `{"address":"picky@example.net","suppressed":true,"code":606,"reason":"suppress-unsubscribe",`+picky)

		id := a.importFile("complaints", "address\n\nin@example.org\n")
		a.get(path+"in@example.org", 200, `{"address":"in@example.org","suppressed":true,"code":607,"reason":"suppress-complaint","allowed":false,"items":[{"list":"complaints","value":"in@example.org",`+
			at+`"because":"imported from a file, line 3",`+all+`"cause":{"by":"import","import-id":"`+id+`","line":3}}]}`)
		if err := a.s.Put(context.Background(), []suppress.Entry{{Kind: suppress.Bounces, DomainID: 1, Address: "old@example.org"}}); err != nil {
			t.Fatal(err)
		}
		a.get(path+"old@example.org", 200, `{"address":"old@example.org","suppressed":true,"code":605,"reason":"suppress-bounce","allowed":false,"items":[{"list":"bounces","value":"old@example.org",`+
			at+`"code":"550","because":"nothing is known: it was added when causes were not kept yet",`+all[:len(all)-1]+`}]}`)
	})
}
