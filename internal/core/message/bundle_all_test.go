package message

import (
	"errors"
	"strings"
	"testing"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/event"
)

// TestSubmitAll: submissions are taken together with what belongs to them, or not at
// all, and a message carries what it is in another API.
func TestSubmitAll(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		prepare := func(more ...string) *Submission {
			t.Helper()
			sub, done, err := w.Prepare(w.ctx, "ex.com", base(more...))
			check(t, err)
			done()
			sub.Meta.Email = &event.Email{ID: "e1", Scheduled: true}
			return sub
		}
		subs := []*Submission{prepare(), prepare("cc", "c@d.com")}
		no := errors.New("changed my mind")
		if err := w.SubmitAll(w.ctx, subs, func(*db.Tx, []*Message) (bool, error) { return true, no }); !errors.Is(err, no) {
			t.Fatal(err)
		}
		check(t, w.SubmitAll(w.ctx, subs, func(*db.Tx, []*Message) (bool, error) { return false, nil }))
		if n := w.count(t, "message") + w.count(t, "delivery"); n != 0 {
			t.Fatalf("%d rows are left", n)
		}
		var got []*Message
		check(t, w.SubmitAll(w.ctx, subs, func(tx *db.Tx, list []*Message) (bool, error) {
			got = list
			_, err := tx.Exec("INSERT INTO setting (name, value) VALUES ('x', ?)", list[1].MessageID)
			return true, err
		}))
		if len(got) != 2 || got[0].MessageID == got[1].MessageID || w.count(t, "message") != 2 || w.count(t, "delivery") != 3 {
			t.Fatalf("%+v", got)
		}
		events, err := w.Events.OfMessage(w.ctx, got[1].ID, 10)
		check(t, err)
		if len(events) != 2 || events[0].Doc.Message.Headers.MessageID != subs[1].MessageID {
			t.Errorf("%+v", events)
		}
		m, err := w.one(w.ctx, "WHERE m.id = ?", got[0].ID)
		check(t, err)
		if e := m.Event(event.Opened, "a@b.com").Email; e == nil || e.ID != "e1" || !e.Scheduled {
			t.Errorf("%+v", e)
		}
		again, err := w.Resend(w.ctx, m, subs[0].MIME, []string{"x@y.com"})
		check(t, err)
		if again.Meta.Email != nil {
			t.Error("a message sent again is another email")
		}
		if err := w.SubmitAll(w.ctx, []*Submission{{Domain: w.dom}}, func(*db.Tx, []*Message) (bool, error) { return true, nil }); !errs.Is(err, errs.Invalid) {
			t.Error(err)
		}
	})
}

func TestPrepareRefuses(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		if _, _, err := w.Prepare(w.ctx, "nobody.test", base()); !errs.Is(err, errs.Unauthorized) {
			t.Error(err)
		}
		if _, _, err := w.Prepare(w.ctx, "ex.com", base("to", "x y z")); !errs.Is(err, errs.Invalid) {
			t.Error(err)
		}
		big := base()
		big.list = append(big.list, upload("attachment", "a", strings.Repeat("x", int(w.MaxBytes))))
		if _, _, err := w.Prepare(w.ctx, "ex.com", big); !errs.Is(err, errs.TooLarge) {
			t.Error(err)
		}
		if w.memory.used.Load() != 0 {
			t.Error("memory of refused messages is not given back")
		}
	})
}
