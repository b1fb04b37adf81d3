package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/core/event"
	"postroad/internal/core/provider"
)

func TestSend(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		out := w.mustSend("ws", "Bob <bob@example.net>", func(in *sendIn) {
			in.HTML, in.ReplyTo, in.From = quoted("<p>x</p>"), quoted("r@example.com"), quoted("Me <me@m.example>")
			in.SessionID, in.SessionUUID, in.UserID, in.ContactID = quoted("s"), quoted("su"), quoted("u"), quoted("c")
			in.Metadata = json.RawMessage(`{ "a": [1, null] }`)
		})
		m := w.sent[0]
		if !out.Success || out.Status != "sent" || out.MessageID != "<1@m.example>" || m.IdempotencyKey != out.UUID || m.Variables[Variable] != out.UUID ||
			m.From != "Me <me@m.example>" || m.To[0] != "Bob <bob@example.net>" || m.ReplyTo != "r@example.com" || m.Subject != "Hi" || m.Text != "text" || m.HTML != "<p>x</p>" || m.Metadata != nil {
			t.Errorf("%+v\n%+v", out, m)
		}
		v := w.get("ws", out.ID)
		if v.UUID != out.UUID || v.WorkspaceID != "ws" || v.Direction != "outbound" || *v.Plain != "text" || *v.HTML != "<p>x</p>" || string(v.Metadata) != `{"a":[1,null]}` ||
			v.SessionID != "s" || v.SessionUUID != "su" || v.UserID != "u" || v.ContactID != "c" || v.SentAt == "" || v.CreatedAt == "" || v.MessageID != out.MessageID {
			t.Errorf("%+v", v)
		}
		w.mustSend("ws", "a@example.net")
		if w.sent[1].From != "App <noreply@m.example>" {
			t.Errorf("from %q", w.sent[1].From)
		}
	})
}

// TestSendRefused: a message that the provider does not take has failed, and its
// error says which it is.
func TestSendRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, e := range []error{&provider.Error{Status: 400, Text: "no"}, &provider.Error{Text: "no answer"}, context.DeadlineExceeded} {
			w.say = func(*provider.Message) (string, error) { return "", e }
			_, err := w.sendOp(as("ws"), &sendIn{Workspace: quoted("ws"), To: quoted("a@b.example"), Subject: quoted("s"), Text: quoted("t")})
			var p *problem
			if !errors.As(err, &p) || p.code != codeProvider || !errs.Is(err, errs.Internal) {
				t.Fatal(err)
			}
			id, _ := p.details.(map[string]any)["id"].(string)
			if v := w.get("ws", id); v.Status != "failed" || v.FailedAt == "" || v.SentAt != "" {
				t.Errorf("%+v", v)
			}
		}
		w.Account.Domain = ""
		if _, err := w.sendOp(as("ws"), &sendIn{Workspace: quoted("ws"), To: quoted("a@b.example"), Subject: quoted("s"), Text: quoted("t")}); code(err) != codeNotConfigured || !errs.Is(err, errs.Unavailable) {
			t.Error(err)
		}
	})
}

// TestSendCutOff: what was stored and not sent is sent later with the same key;
// what the provider cannot take now stays, but not for ever.
func TestSendCutOff(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		store := func() *email {
			m := w.newEmail(outbound)
			m.from, m.to, m.subject, m.plain = "a@m.example", "b@example.net", "s", "the text"
			if err := w.db.Write(t.Context(), func(tx *db.Tx) error {
				p, err := lock(tx, "ws", w.IDs.Next())
				if err != nil {
					return err
				}
				return w.store(tx, p, m)
			}); err != nil {
				t.Fatal(err)
			}
			return m
		}
		first, second := store(), store()
		w.say = func(*provider.Message) (string, error) { return "", &provider.Error{Status: 503} }
		if err := w.finishPending(t.Context()); err == nil || len(w.sent) != 1 || w.get("ws", first.uuid).Status != "pending" {
			t.Errorf("%v, %d sent", err, len(w.sent))
		}
		w.say = func(m *provider.Message) (string, error) { return m.IdempotencyKey + "@m.example", nil }
		w.claim(second.id) // it is being sent
		if err := w.finishPending(t.Context()); err != nil || len(w.sent) != 2 || w.sent[1].IdempotencyKey != first.uuid || w.sent[1].Text != "the text" {
			t.Fatalf("%v, %+v", err, w.sent)
		}
		if v := w.get("ws", first.uuid); v.Status != "sent" || v.MessageID != "<"+first.uuid+"@m.example>" {
			t.Errorf("%+v", v)
		}
		w.free(second.id)
		w.clock.Advance(finishWithin + time.Minute)
		w.say = func(*provider.Message) (string, error) { return "", &provider.Error{Status: 503} }
		if err := w.finishPending(t.Context()); err != nil || w.get("ws", second.uuid).Status != "failed" {
			t.Errorf("%v: an old one is %s", err, w.get("ws", second.uuid).Status)
		}
		if err := w.finishPending(t.Context()); err != nil || len(w.sent) != 3 {
			t.Errorf("%v, %d sent", err, len(w.sent))
		}
	})
}

// TestSendWithoutClient: a client that leaves does not stop what it began; events
// may come before the provider's answer.
func TestSendWithoutClient(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, leave := context.WithCancel(as("ws"))
		w.say = func(m *provider.Message) (string, error) {
			leave()
			at := event.Timestamp(w.clock.Now().UnixMicro())
			w.event(&event.Event{AccountID: "acc", Doc: event.Doc{Event: event.Delivered, Timestamp: at, UserVariables: json.RawMessage(`{"postroad-workspace-email":"` + m.IdempotencyKey + `"}`)}})
			return "<x@m.example>", nil
		}
		out, err := w.sendOp(ctx, &sendIn{Workspace: quoted("ws"), To: quoted("a@b.example"), Subject: quoted("s"), Text: quoted("t")})
		if err != nil {
			t.Fatal(err)
		}
		if v := w.get("ws", out.ID); v.Status != "delivered" || v.SentAt == "" || v.MessageID != "<x@m.example>" {
			t.Errorf("%+v", v)
		}
	})
}

func TestDraftNamesAllFaults(t *testing.T) {
	w := &world{t: t}
	w.Service = &Service{Config: Config{IDs: ids.NewSource(clock.NewFake(begin))}}
	long := quoted(strings.Repeat("x", maxID+1))
	_, _, err := w.draft(as("ws"), &sendIn{Workspace: quoted(""), To: quoted("nobody"), Subject: quoted("a\nb"), Text: quoted(" "), HTML: json.RawMessage("7"), From: quoted("a@b.example\r\nBcc: x@y.example"),
		ReplyTo: quoted("x@"), SessionID: long, SessionUUID: json.RawMessage(`{}`), UserID: long, ContactID: long, Metadata: json.RawMessage(`[1]`)})
	var p *problem
	if !errors.As(err, &p) || p.code != codeValidation {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(p.details.(faults)))
	want := []string{"contactId", "from", "html", "metadata", "replyTo", "sessionId", "sessionUuid", "subject", "text", "to", "userId", "workspaceId"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", p.details)
	}
	for _, to := range []string{"a@b.example, c@d.example", "group: a@b.example;", strings.Repeat("x", 3000) + "@b.example"} {
		if _, _, err := w.draft(as("ws"), &sendIn{Workspace: quoted("ws"), To: quoted(to), Subject: quoted("s"), Text: quoted("t")}); code(err) != codeValidation {
			t.Errorf("%.40s: %v", to, err)
		}
	}
	if _, _, err := w.draft(as("ws"), &sendIn{Workspace: quoted("other")}); code(err) != codeNoWorkspace {
		t.Error(err)
	}
}

func FuzzReferences(f *testing.F) {
	f.Add(`[["Message-Id","<a@b>"],["In-Reply-To","<c@d>"],["References","<e@f> <g@h>"]]`)
	f.Add(`[["message-id","<<a>"],["references",">"]]`)
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, headers string) {
		id, list := references(headers)
		for _, s := range append(list, id) {
			if s != "" && (s[0] != '<' || s[len(s)-1] != '>' || len(s) > maxHeader) {
				t.Fatalf("%q", s)
			}
		}
		if len(list) > maxReferences {
			t.Fatal(len(list))
		}
	})
}

func TestReferences(t *testing.T) {
	id, list := references(`[["Message-ID"," <a@b> "],["IN-REPLY-TO","<c@d> (x)"],["References","<e@f>\r\n <g@h>"],["X"],["message-id","<z@z>"]]`)
	if id != "<a@b>" || !slices.Equal(list, []string{"<c@d>", "<g@h>", "<e@f>"}) {
		t.Errorf("%q %q", id, list)
	}
}
