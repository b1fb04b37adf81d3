package message

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/blob"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/queue"
)

// world is a service on real stores.
type world struct {
	*Service
	clock *clock.Fake
	dom   *domain.Domain
	ctx   context.Context // carries a caller
}

func newWorld(t *testing.T, d *db.DB, c *clock.Fake) *world {
	t.Helper()
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	source := ids.NewSource(c)
	blobs, err := blob.Open(t.TempDir(), blob.Options{SegmentBytes: 64 << 10})
	check(t, err)
	t.Cleanup(func() { check(t, blobs.Close()) })
	accounts, err := account.New(d, source, c, log, account.Options{Secret: make([]byte, 32)})
	check(t, err)
	_, err = accounts.Bootstrap(ctx, "key-test")
	check(t, err)
	first, err := accounts.First(ctx)
	check(t, err)
	domains, err := domain.New(d, source, c, log, domain.Options{Hostname: "mx.test", AssumeVerified: true, Secret: make([]byte, 32), KeyBits: 1024})
	check(t, err)
	dom, err := domains.Create(ctx, first, domain.CreateRequest{Name: "ex.com"})
	check(t, err)
	events, err := event.New(d, source, log)
	check(t, err)
	q, err := queue.New(ctx, d, source, log, queue.Options{})
	check(t, err)
	s := New(Config{DB: d, IDs: source, Blobs: blobs, Events: events, Queue: q, Domains: domains, Logger: log, MaxBytes: 1 << 20,
		Retention: time.Hour, GiveUp: time.Hour, APIBase: "http://mail.test"})
	return &world{Service: s, clock: c, dom: dom, ctx: account.With(ctx, &account.Caller{AccountID: first, KeyID: "k", Role: account.Admin})}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eachWorld(t *testing.T, fn func(t *testing.T, w *world)) {
	c := clock.NewFake(testNow)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) { fn(t, newWorld(t, d, c)) })
}

// send submits a form as the HTTP operation does.
func (w *world) send(key string, f op.Form) (*queued, error) {
	return w.Service.send(w.ctx, &sendIn{Domain: "ex.com", Idempotency: key, Form: f})
}

func (w *world) count(t *testing.T, table string) (n int) {
	t.Helper()
	check(t, w.DB.Read(context.Background(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n)
	}))
	return n
}

func TestSendStoresEverything(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		f := base("o:tag", "t", "v:k", "v", "cc", "c@d.com")
		f.list = append(f.list, upload("attachment", "a.txt", "file text"))
		out, err := w.send("", f)
		check(t, err)
		if out.Message != "Queued. Thank you." || !strings.HasSuffix(out.ID, "@ex.com>") {
			t.Fatalf("%+v", out)
		}
		m, err := w.Lookup(w.ctx, w.dom.AccountID, out.ID)
		check(t, err)
		v, err := w.View(w.ctx, m)
		check(t, err)
		if len(v.Recipients) != 2 || v.Recipients[0].Status != StatusAccepted || len(v.Events) != 2 {
			t.Fatalf("%+v", v)
		}
		e := v.Events[0].Doc
		if e.Event != event.Accepted || e.Method != "http" || e.Message.Headers.Subject != "S" || e.Tags[0] != "t" || string(e.UserVariables) != `{"k":"v"}` ||
			!strings.HasPrefix(e.Storage.URL, "http://mail.test/v3/domains/ex.com/messages/") || e.Recipient != "a@b.com" {
			t.Fatalf("%+v", e)
		}
		if w.count(t, "delivery") != 2 {
			t.Fatal("deliveries")
		}
		doc, err := w.getStored(w.ctx, &storedIn{Domain: "ex.com", Key: m.StorageKey})
		check(t, err)
		if (*doc)["body-plain"] != "T" || (*doc)["recipients"] != "a@b.com, c@d.com" || (*doc)["X-Mailgun-Tag"] != "t" {
			t.Fatalf("%v", *doc)
		}
		file, err := w.getAttachment(w.ctx, &attachmentIn{Domain: "ex.com", Key: m.StorageKey})
		check(t, err)
		if string(file.part.Data) != "file text" {
			t.Fatalf("%q", file.part.Data)
		}
		if _, err := w.getAttachment(w.ctx, &attachmentIn{Domain: "ex.com", Key: m.StorageKey, Index: 1}); !errs.Is(err, errs.NotFound) {
			t.Fatal(err)
		}
		raw, err := w.getStored(w.ctx, &storedIn{Domain: "ex.com", Key: m.StorageKey, Accept: "message/rfc2822"})
		check(t, err)
		if !strings.Contains((*raw)["body-mime"].(string), "Subject: S\r\n") {
			t.Fatalf("%v", *raw)
		}
	})
}

func TestRefusedLeavesNothing(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for _, f := range []*fields{values("from", "x"), base("o:testmode", "maybe"), base("recipient-variables", "{")} {
			if _, err := w.send("k", f); err == nil {
				t.Fatal("taken")
			}
		}
		for _, table := range []string{"message", "delivery", "idempotency", "event_day"} {
			if n := w.count(t, table); n != 0 {
				t.Errorf("%s has %d rows", table, n)
			}
		}
	})
}

func TestUnknownDomainLooksLikeABadKey(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		_, err := w.Service.send(w.ctx, &sendIn{Domain: "other.com", Form: base()})
		if !errs.Is(err, errs.Unauthorized) {
			t.Fatal(err)
		}
		_, err = w.Service.send(account.With(w.ctx, &account.Caller{AccountID: "another"}), &sendIn{Domain: "ex.com", Form: base()})
		if !errs.Is(err, errs.Unauthorized) {
			t.Fatal(err)
		}
		if _, err := w.sendMIME(w.ctx, &mimeIn{Domain: "ex.com", Form: &fields{}}); err == nil ||
			err.Error() != "Invalid request content type. Expecting 'multipart/form-data' but got 'multipart/form-data'" {
			t.Fatal(err)
		}
	})
}

// TestIdempotency sends the same request a hundred times at once: one message.
func TestIdempotency(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		got := make([]string, 100)
		for i := range got {
			wg.Go(func() {
				out, err := w.send("same", base())
				if err != nil {
					t.Error(err)
					return
				}
				got[i] = out.ID
			})
		}
		wg.Wait()
		for _, id := range got {
			if id != got[0] {
				t.Fatalf("two ids: %s and %s", got[0], id)
			}
		}
		if n := w.count(t, "message"); n != 1 {
			t.Fatalf("%d messages", n)
		}
		if _, err := w.send("same", base("o:tag", "x")); !errs.Is(err, errs.Conflict) {
			t.Fatalf("a different request with the same key: %v", err)
		}
		w.clock.Advance(25 * time.Hour)
		if _, err := w.send("same", base("o:tag", "x")); err != nil {
			t.Fatalf("after its time: %v", err)
		}
	})
}

func TestBatchDeliveries(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		f := values("from", "me@ex.com", "subject", "Hi %recipient.n%", "text", "t", "cc", "boss@c.com", "recipient-variables", "{}")
		for i := range 999 {
			f.list = append(f.list, op.Field{Name: "to", Body: strings.NewReader(fmt.Sprintf("u%d@d%d.com", i, i%7))})
		}
		_, err := w.send("", f)
		check(t, err)
		if n := w.count(t, "delivery"); n != 999*2 {
			t.Fatalf("%d deliveries, want each recipient's and a copy for cc with each", n)
		}
		if n := w.count(t, "message"); n != 1 {
			t.Fatalf("%d messages", n)
		}
	})
}

func TestScheduledAndCancelled(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		out, err := w.send("", base("o:deliverytime", testNow.Add(24*time.Hour).Format(time.RFC1123Z), "o:deliver-within", "2h"))
		check(t, err)
		m, err := w.Lookup(w.ctx, "", out.ID)
		check(t, err)
		v, err := w.View(w.ctx, m)
		check(t, err)
		if r := v.Recipients[0]; r.Status != StatusScheduled || !r.NextTry.Equal(testNow.Add(24*time.Hour)) {
			t.Fatalf("%+v", r)
		}
		done, err := w.deleteEnvelopes(w.ctx, &domainIn{Domain: "ex.com"})
		check(t, err)
		if done.Message != "done" || w.count(t, "delivery") != 0 {
			t.Fatal(done)
		}
		_, err = w.deleteEnvelopes(w.ctx, &domainIn{Domain: "nope.com"})
		var e *errs.Error
		if !errors.As(err, &e) || e.Public != "domain not found" {
			t.Fatal(err)
		}
	})
}

func TestResendAndDelete(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		out, err := w.send("", base())
		check(t, err)
		m, err := w.Lookup(w.ctx, "", out.ID)
		check(t, err)
		again, err := w.resend(w.ctx, &resendIn{Domain: "ex.com", Key: m.StorageKey, To: []string{"x@y.com, z@y.com"}})
		check(t, err)
		if again.Message != "Queued. Thank you." || w.count(t, "delivery") != 3 {
			t.Fatalf("%+v", again)
		}
		if _, err := w.resend(w.ctx, &resendIn{Domain: "ex.com", Key: m.StorageKey, To: []string{"nobody"}}); !errs.Is(err, errs.Invalid) {
			t.Fatal(err)
		}
		_, err = w.deleteStored(w.ctx, &storedIn{Domain: "ex.com", Key: m.StorageKey})
		check(t, err)
		if _, err := w.getStored(w.ctx, &storedIn{Domain: "ex.com", Key: m.StorageKey}); !errs.Is(err, errs.NotFound) {
			t.Fatal("a deleted message is shown")
		}
	})
}

// TestRetention: what is not delivered stays whatever its age, what is
// delivered goes with its segment.
func TestRetention(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		big := strings.Repeat("0123456789abcdef\n", 2000)
		for range 6 {
			_, err := w.send("", values("from", "me@ex.com", "to", "a@b.com", "text", big))
			check(t, err)
		}
		before := len(w.Blobs.Segments())
		if before < 3 {
			t.Fatalf("%d segments", before)
		}
		w.clock.Advance(30 * 24 * time.Hour)
		unused := map[uint64]time.Time{}
		check(t, w.expire(w.ctx, unused))
		if n := w.count(t, "message"); n != 6 {
			t.Fatalf("%d messages left: undelivered mail was deleted", n)
		}
		check(t, w.DB.Write(w.ctx, func(tx *db.Tx) error { _, err := tx.Exec("DELETE FROM delivery"); return err }))
		check(t, w.expire(w.ctx, unused))
		if n := w.count(t, "message"); n != 0 {
			t.Fatalf("%d messages left", n)
		}
		if n := len(w.Blobs.Segments()); n != before {
			t.Fatal("segments were deleted without waiting")
		}
		w.clock.Advance(quarantine)
		check(t, w.expire(w.ctx, unused))
		if n := len(w.Blobs.Segments()); n >= before {
			t.Fatalf("%d of %d segments left", n, before)
		}
	})
}

// What waits for its recipient's time does not keep the members after it out of the
// queue.
func TestWaitingForTheirTimeHoldsNothingUp(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for want, f := range map[int]*fields{1: base(), 0: base("o:deliverytime", testNow.Add(time.Hour).Format(time.RFC1123Z))} {
			out, err := w.send("", f)
			check(t, err)
			m, err := w.Lookup(w.ctx, "", out.ID)
			check(t, err)
			n := -1
			check(t, w.DB.Read(w.ctx, func(tx *db.Tx) (err error) {
				n, err = untried(tx, m.ID, 10)
				return err
			}))
			if n != want {
				t.Errorf("%d untried, want %d", n, want)
			}
		}
	})
}
