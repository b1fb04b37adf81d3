package track

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/mail/linktoken"
)

const ann, shop = "Ann@rcpt.example", "https://shop.example/a?b=c#d"

func TestAnswers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.send(t, ann)
		w.clock.Advance(time.Minute)
		link, pix := w.link(m, ann, shop), w.pixel(m, ann)
		for _, method := range []string{"GET", "HEAD"} {
			res := w.get(method, link)
			if res.Code != 302 || res.Header().Get("Location") != shop || res.Body.Len() != 0 {
				t.Errorf("%s of a link: %d %q %q", method, res.Code, res.Header(), res.Body)
			}
			res = w.get(method, pix)
			if res.Code != 200 || res.Header().Get("Content-Type") != "image/png" || res.Header().Get("Content-Length") != strconv.Itoa(len(pixel)) {
				t.Errorf("%s of a pixel: %d %q", method, res.Code, res.Header())
			}
			if (res.Body.String() == pixel) != (method == "GET") {
				t.Errorf("%s of a pixel: %q", method, res.Body)
			}
			for name, want := range map[string]string{"Cache-Control": "no-cache, no-store, must-revalidate, max-age=0", "Pragma": "no-cache", "Expires": "0",
				"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow", "X-Content-Type-Options": "nosniff"} {
				if got := res.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		}
		if len(w.recorded(t)) != 2 {
			t.Error("GET makes an event and HEAD none")
		}
	})
}

func TestPixelIsAPicture(t *testing.T) {
	img, err := png.Decode(strings.NewReader(pixel))
	check(t, err)
	if _, _, _, a := img.At(0, 0).RGBA(); a != 0 || img.Bounds().Dx() != 1 || img.Bounds().Dy() != 1 {
		t.Errorf("%v, alpha %d", img.Bounds(), a)
	}
}

// TestNoOpenRedirect: nothing but a token of ours redirects, and only to the web.
func TestNoOpenRedirect(t *testing.T) {
	w := newWorld(t, sqlite(t))
	m := w.send(t, ann)
	w.clock.Advance(time.Minute)
	good := w.link(m, ann, shop)
	other, err := linktoken.NewKey([]byte("another secret"))
	check(t, err)
	token := linktoken.Token{Kind: linktoken.Click, Message: m.ID, Recipient: ann, URL: shop}
	unsub := token
	unsub.Kind = linktoken.Unsubscribe
	for _, path := range []string{good[:len(good)-1], good[:10] + "x" + good[11:], good + "A", "/c/" + other.Seal(token), "/c/" + w.Key.Seal(unsub),
		"/c/" + strings.TrimSuffix(w.pixel(m, ann)[3:], ".png"), "/c/https:%2F%2Fevil.example", "/c/x",
		w.link(m, ann, "javascript:alert(1)"), w.link(m, ann, "//evil.example"), w.link(m, ann, "ftp://x"), w.link(m, ann, "https:/x"), w.link(m, ann, "")} {
		if res := w.get("GET", path); res.Code != 404 || res.Header().Get("Location") != "" || res.Body.String() != badLinkText {
			t.Errorf("%s: %d %q %q", path, res.Code, res.Header(), res.Body)
		}
	}
	for _, path := range []string{"/o/x", "/o/x.png", "/o" + good[2:], "/o/" + other.Seal(linktoken.Token{Kind: linktoken.Open, Message: m.ID, Recipient: ann}) + ".gif"} {
		if res := w.get("GET", path); res.Code != 200 || res.Body.String() != pixel {
			t.Errorf("%s: %d", path, res.Code)
		}
	}
	if got := w.recorded(t); len(got) != 0 || w.SpoolBytes() != 0 {
		t.Errorf("%d events, %d bytes kept", len(got), w.SpoolBytes())
	}
}

func TestLocation(t *testing.T) {
	for in, want := range map[string]string{
		"http://x": "http://x", "HTTPS://X/y": "HTTPS://X/y", "https://x/a b\r\nSet-Cookie: c": "https://x/a%20b%0D%0ASet-Cookie:%20c",
		"https://bücher.example/ü": "https://b%C3%BCcher.example/%C3%BC", "https://x/%41": "https://x/%41",
	} {
		if got, ok := location(in); !ok || got != want {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

func TestEvents(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.send(t, ann)
		w.clock.Advance(time.Minute)
		at := w.clock.Now()
		w.get("GET", w.pixel(m, ann))
		w.get("GET", w.link(m, ann, shop))
		w.clock.Advance(time.Hour) // what happened later does not change when it was
		got := w.recorded(t)
		if len(got) != 2 {
			t.Fatalf("%d events", len(got))
		}
		const want = `{"event":%q,"id":%q,"timestamp":%d.000000,"log-level":"info","message":{"headers":{"to":"","message-id":"id@ex.com","from":"","subject":""},"attachments":[],"size":0},` +
			`"recipient":"Ann@rcpt.example","recipient-domain":"rcpt.example","ip":"192.0.2.7",%s"client-info":{"client-type":"browser","client-os":"Linux","device-type":"desktop","client-name":"Chrome","user-agent":%q,"bot":""},` +
			`"geolocation":{"country":"Unknown","region":"Unknown","city":"Unknown"},"tags":["a"],"campaigns":[],"user-variables":{"k":"v"}}`
		for i, c := range []struct{ kind, url string }{{"opened", ""}, {"clicked", `"url":"` + shop + `",`}} {
			e := got[i]
			if text := string(e.JSON()); text != fmt.Sprintf(want, c.kind, e.Doc.ID, at.Unix(), c.url, chrome) {
				t.Errorf("%s", text)
			}
			if e.AccountID != w.dom.AccountID || e.DomainID != w.dom.ID || e.MessageID != m.ID || !e.First {
				t.Errorf("%+v", e)
			}
		}
	})
}

// TestBots: what is flagged, what is not, and that nothing of a bot is unique.
func TestBots(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const gmail = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
		late := func(w *world) { w.clock.Advance(time.Hour) }
		for name, c := range map[string]struct {
			before  func(*world)
			open    bool
			arrived time.Duration // before the hit; 0: not known
			head    []string
			want    string
		}{
			"click":                   {before: late, want: ""},
			"click at acceptance":     {want: "generic"},
			"click at arrival":        {before: late, arrived: time.Second, want: "generic"},
			"click after arrival":     {before: late, arrived: 3 * time.Second, want: ""},
			"open":                    {open: true, before: late, want: ""},
			"open at arrival":         {open: true, before: late, arrived: time.Second, want: ""},
			"apple":                   {open: true, before: late, head: []string{"User-Agent", "Mozilla/5.0"}, want: "apple"},
			"bare click":              {before: late, head: []string{"User-Agent", "Mozilla/5.0"}, want: "generic"},
			"gmail shows":             {open: true, before: late, head: []string{"User-Agent", gmail}, want: ""},
			"gmail at arrival":        {open: true, before: late, arrived: time.Second, head: []string{"User-Agent", gmail}, want: "gmail"},
			"no agent":                {before: late, head: []string{"User-Agent", ""}, want: "generic"},
			"script":                  {before: late, head: []string{"User-Agent", "python-requests/2.31"}, want: "generic"},
			"prefetch":                {before: late, head: []string{"Sec-Purpose", "prefetch;prerender"}, want: "generic"},
			"prefetch, old":           {before: late, head: []string{"Purpose", "prefetch"}, want: "generic"},
			"prefetch, Firefox":       {open: true, before: late, head: []string{"X-Moz", "prefetch"}, want: "generic"},
			"preview, Safari":         {before: late, head: []string{"X-Purpose", "preview"}, want: "generic"},
			"another purpose, nobody": {before: late, head: []string{"Purpose", "reading"}, want: ""},
		} {
			t.Run(name, func(t *testing.T) {
				m := w.send(t, ann)
				if c.before != nil {
					c.before(w)
				}
				if c.arrived != 0 {
					w.Arrivals.m.Put(keyOf(m.ID, ann), w.clock.Now().Add(-c.arrived))
				}
				path := w.link(m, ann, shop)
				if c.open {
					path = w.pixel(m, ann)
				}
				w.get("GET", path, c.head...)
				got := w.recorded(t)
				if len(got) != 1 || got[0].Doc.ClientInfo.Bot != c.want || got[0].First != (c.want == "") {
					t.Errorf("%d events: %s", len(got), got[0].JSON())
				}
			})
		}
	})
}

// TestScanners: machines that call themselves a browser are told by what they do.
func TestScanners(t *testing.T) {
	w := newWorld(t, sqlite(t))
	flags := func() string {
		var out []string
		for _, e := range w.recorded(t) {
			out = append(out, e.Doc.ClientInfo.Bot)
		}
		return strings.Join(out, ",")
	}
	fresh := func() func(i int) string {
		m := w.send(t, ann)
		w.clock.Advance(time.Minute)
		return func(i int) string { return w.link(m, ann, shop+strconv.Itoa(i)) }
	}
	link := fresh()
	for i := range 3 {
		w.get("GET", link(i))
		w.clock.Advance(100 * time.Millisecond)
	}
	if got := flags(); got != "generic,generic,generic" {
		t.Errorf("three links at once: %q", got)
	}
	w.clock.Advance(time.Second)
	if w.get("GET", link(0)); flags() != "" {
		t.Error("a human after the scanner is one too")
	}
	link = fresh()
	for i := range 100 {
		w.get("GET", link(i))
		w.clock.Advance(50 * time.Millisecond)
	}
	w.clock.Advance(time.Second)
	w.get("GET", link(5))
	if got := flags(); got != strings.Repeat("generic,", 100) {
		t.Errorf("a hundred links in five seconds, and a human: %q", got)
	}
	link = fresh()
	for range 4 {
		w.get("GET", link(1))
	}
	if got := flags(); got != ",,," {
		t.Errorf("one link four times: %q", got)
	}
	link = fresh()
	for i := range 4 {
		w.get("GET", link(i))
		w.clock.Advance(time.Second)
	}
	if got := flags(); got != ",,," {
		t.Errorf("a link a second: %q", got)
	}
	link = fresh()
	w.get("HEAD", link(1))
	w.get("GET", link(1))
	w.clock.Advance(time.Minute)
	w.get("GET", link(1))
	if got := flags(); got != "generic," {
		t.Errorf("HEAD first: %q", got)
	}
}

// TestUnique: one human open and one human click of a recipient and message count
// in seven days.
func TestUnique(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.send(t, ann, "bob@rcpt.example")
		w.clock.Advance(time.Minute)
		firsts := func() (out string) {
			for _, e := range w.recorded(t) {
				out += fmt.Sprintf("%t ", e.First)
			}
			return out
		}
		w.get("GET", w.pixel(m, ann), "User-Agent", "Mozilla/5.0")
		w.get("GET", w.pixel(m, ann))
		w.get("GET", w.pixel(m, ann))
		w.get("GET", w.link(m, ann, shop))
		w.get("GET", w.link(m, ann, "https://other.example"))
		w.get("GET", w.pixel(m, "bob@rcpt.example"))
		if got := firsts(); got != "false true false true false true " {
			t.Errorf("at first: %s", got)
		}
		for range 3 {
			w.clock.Advance(48 * time.Hour)
			w.get("GET", w.pixel(m, ann))
		}
		if got := firsts(); got != "false false false " {
			t.Errorf("within the week: %s", got)
		}
		w.clock.Advance(24 * time.Hour)
		w.get("GET", w.pixel(m, ann))
		w.get("GET", w.pixel(m, ann))
		if got := firsts(); got != "true false " {
			t.Errorf("after the week: %s", got)
		}
		w.clock.Advance(8 * 24 * time.Hour)
		check(t, w.DB.Write(t.Context(), forgetFirst))
		w.get("GET", w.pixel(m, ann))
		if got := firsts(); got != "true " {
			t.Errorf("after cleaning: %s", got)
		}
	})
}

// TestGone: a message whose retention is over is known from its events; one whose
// events or domain are gone is not.
func TestGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.send(t, ann, "bob@rcpt.example")
		d := w.DB
		w.clock.Advance(3 * time.Hour)
		check(t, w.forgetMessages(t))
		check(t, w.Close())
		w.start(t, d) // without what memory has of the message
		if _, err := w.Messages.ByID(t.Context(), m.ID); err == nil {
			t.Fatal("the message is still there")
		}
		w.get("GET", w.link(m, ann, shop))
		w.get("GET", w.link(m, "carl@other.example", shop))
		got := w.recorded(t)
		if len(got) != 2 || w.Stats.Dropped.Load() != 0 {
			t.Fatalf("%d events", len(got))
		}
		for i, to := range []string{ann, "carl@other.example"} {
			doc := got[i].Doc
			if doc.Recipient != to || doc.Message.Headers.MessageID != "id@ex.com" || string(doc.UserVariables) != `{"k":"v"}` || doc.Tags[0] != "a" ||
				got[i].DomainID != w.dom.ID || got[i].AccountID != w.dom.AccountID || doc.Storage != nil || doc.RecipientDom != to[strings.IndexByte(to, '@')+1:] {
				t.Errorf("%s", got[i].JSON())
			}
		}
		if _, err := w.Events.DropBefore(t.Context(), w.clock.Now().Add(48*time.Hour)); err != nil {
			t.Fatal(err)
		}
		check(t, w.Close())
		w.start(t, d)
		if res := w.get("GET", w.link(m, ann, shop)); res.Code != 302 {
			t.Errorf("status %d", res.Code)
		}
		if got := w.recorded(t); len(got) != 0 || w.Stats.Dropped.Load() != 1 {
			t.Errorf("%d events, %d dropped", len(got), w.Stats.Dropped.Load())
		}
		m = w.send(t, ann)
		check(t, w.domains.Delete(t.Context(), w.dom))
		w.get("GET", w.pixel(m, ann))
		if got := w.recorded(t); len(got) != 0 || w.Stats.Dropped.Load() != 2 {
			t.Errorf("deleted domain: %d events, %d dropped", len(got), w.Stats.Dropped.Load())
		}
	})
}

// TestBatch: of a batch whose variables are too large to keep, events have those
// of their recipient.
func TestBatch(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		sub := &message.Submission{Domain: w.dom, MIME: []byte("Subject: x\r\n\r\nhello\r\n"), MessageID: "b@ex.com", Meta: message.Meta{Method: "http", Batch: true,
			From: "a@ex.com", Subject: "x", Variables: []byte(`{"n":"%recipient.n%"}`)}}
		for i := range 3 {
			to := fmt.Sprintf("r%d@rcpt.example", i)
			sub.Recipients = append(sub.Recipients, message.Recipient{Address: to, Header: to, Vars: []byte(fmt.Sprintf(`{"n":%d}`, i))})
		}
		m, _, err := w.Messages.Submit(t.Context(), sub)
		check(t, err)
		w.clock.Advance(time.Minute)
		for i := range 3 {
			w.get("GET", w.pixel(m, fmt.Sprintf("r%d@rcpt.example", i)))
		}
		for i, e := range w.recorded(t) {
			if want := fmt.Sprintf(`{"n":"%d"}`, i); string(e.Doc.UserVariables) != want {
				t.Errorf("recipient %d: %s", i, e.JSON())
			}
		}
	})
}

// TestKilled: at any moment the files and the database together have every hit
// once.
func TestKilled(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.send(t, ann)
		w.clock.Advance(time.Minute)
		d, want := w.DB, 0
		hit := func(n int) {
			for range n {
				want++
				w.get("GET", w.link(m, ann, shop+strconv.Itoa(want)), "User-Agent", "n"+strconv.Itoa(want))
				w.clock.Advance(time.Second)
			}
		}
		seen := map[string]int{}
		record := func() {
			for _, e := range w.events {
				seen[e.Doc.ClientInfo.UserAgent]++
			}
			w.events = nil
		}
		for round := range 6 {
			hit(20)
			if _, err := w.batch(t.Context(), 7+round); err != nil { // some are recorded, the rest are not
				t.Fatal(err)
			}
			if round%2 == 0 {
				boom := errors.New("boom")
				w.refuse = func(*event.Event) error { return boom }
				if _, err := w.batch(t.Context(), 5); !errors.Is(err, boom) {
					t.Fatalf("%v", err)
				}
				w.refuse = nil
			}
			record()
			// The program is killed: what it leaves is a copy of its files.
			left := t.TempDir()
			check(t, os.CopyFS(left, os.DirFS(w.dir)))
			check(t, w.Close())
			w.dir = left
			w.start(t, d)
		}
		w.drain(t.Context(), false)
		record()
		for i := 1; i <= want; i++ {
			if n := seen["n"+strconv.Itoa(i)]; n != 1 {
				t.Errorf("hit %d was recorded %d times", i, n)
			}
		}
	})
}

// TestUncertainCommit: a transaction that was reported as failed and took effect
// is not repeated.
func TestUncertainCommit(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.send(t, ann)
		w.clock.Advance(time.Minute)
		for range 4 {
			w.get("GET", w.pixel(m, ann))
		}
		before := w.at
		if n, err := w.batch(t.Context(), 3); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		w.at, w.stored = before, before // as if it had failed
		if _, err := w.batch(t.Context(), 3); !errors.Is(err, errMoved) {
			t.Fatalf("%v", err)
		}
		if got := w.recorded(t); len(got) != 4 {
			t.Errorf("%d events", len(got))
		}
	})
}

// TestPoison: a hit that cannot be recorded holds the others up for a while only.
func TestPoison(t *testing.T) {
	w := newWorld(t, sqlite(t))
	m := w.send(t, ann)
	w.clock.Advance(time.Minute)
	boom := errors.New("boom")
	w.refuse = func(e *event.Event) error {
		if e.Doc.ClientInfo.UserAgent == "poison" {
			return boom
		}
		return nil
	}
	for i := range 30 {
		agent := "good" + strconv.Itoa(i)
		if i == 17 {
			agent = "poison"
		}
		w.get("GET", w.link(m, ann, shop), "User-Agent", agent)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.drain(ctx, true) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
			w.clock.Advance(time.Second)
		}
	}
	cancel()
	if got := w.recorded(t); len(got) != 29 || w.Stats.Lost.Load() != 1 {
		t.Errorf("%d events, %d lost", len(got), w.Stats.Lost.Load())
	}
}

// TestFullSpool: who cannot be counted is answered all the same, and the log says
// so once a minute.
func TestFullSpool(t *testing.T) {
	w := newWorld(t, sqlite(t))
	var log bytes.Buffer
	w.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m := w.send(t, ann)
	w.clock.Advance(time.Minute)
	w.spool.max = 500
	for range 20 {
		if res := w.get("GET", w.link(m, ann, shop)); res.Code != 302 {
			t.Fatalf("status %d", res.Code)
		}
	}
	lost := w.Stats.Lost.Load()
	if lost == 0 || strings.Count(log.String(), "is lost") != 1 {
		t.Errorf("%d lost, log\n%s", lost, log.String())
	}
	w.clock.Advance(time.Minute)
	w.get("GET", w.pixel(m, ann))
	if strings.Count(log.String(), "is lost") != 2 {
		t.Errorf("a minute later\n%s", log.String())
	}
	if got := w.recorded(t); len(got) != 20-int(lost) {
		t.Errorf("%d events, %d lost", len(got), lost)
	}
}

// TestRun: hits become events by themselves, and those of the end before Run
// returns.
func TestRun(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.send(t, ann)
		w.clock.Advance(time.Minute)
		c, stop := w.Events.Subscribe()
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		w.get("GET", w.pixel(m, ann))
		for e := range c {
			if e.Doc.Event == event.Opened {
				break
			}
		}
		for range 10 {
			w.get("GET", w.pixel(m, ann))
		}
		cancel()
		check(t, <-done)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.events) != 11 {
			t.Errorf("%d events", len(w.events))
		}
		var human int64
		w.Stats.Each(func(kind event.Type, bot string, read func() int64) {
			if kind == event.Opened && bot == "" {
				human = read()
			}
		})
		if human != 11 {
			t.Errorf("%d counted", human)
		}
	})
}

// forgetMessages ends deliveries and the retention of messages.
func (w *world) forgetMessages(t *testing.T) error {
	return w.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("DELETE FROM delivery")
		if err == nil {
			_, err = tx.Exec("DELETE FROM message")
		}
		return err
	})
}
