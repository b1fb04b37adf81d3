package message

import (
	"strings"
	"testing"

	"postroad/internal/base/db"
	"postroad/internal/core/account"
	"postroad/internal/core/queue"
	"postroad/internal/mail/addr"
	"postroad/internal/mail/mime"
)

// TestArchive: the copies are deliveries that are on disk with the message, and
// nothing a sender reads knows of them.
func TestArchive(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		m, err := w.SubmitSMTP(w.ctx, SMTPMessage{Domain: w.dom, Caller: account.From(w.ctx), Recipients: []addr.Address{{Local: "a", Domain: "b.com"}},
			Body: strings.NewReader("X-Mailgun-Archive-To: log@keep.org\r\nX-Mailgun-Archive-To: https://keep.org/in\r\n" + plainMessage)})
		check(t, err)
		var list []*queue.Delivery
		check(t, w.DB.Read(w.ctx, func(tx *db.Tx) (err error) {
			list, err = queue.OfMessage(tx, m.ID)
			return err
		}))
		if len(list) != 2 || list[1].Recipient != "log@keep.org" || !ArchiveCopy(list[1].Vars) || ArchiveCopy(list[0].Vars) {
			t.Fatalf("%+v", list)
		}
		v, err := w.View(w.ctx, m)
		check(t, err)
		if len(v.Recipients) != 1 || len(v.Events) != 1 || v.Events[0].Doc.Recipient != "a@b.com" || len(v.Events[0].Doc.Message.Recipients) != 1 {
			t.Errorf("%+v", v)
		}
		if _, err := w.resend(w.ctx, &resendIn{Domain: "ex.com", Key: m.StorageKey, To: []string{"x@y.com"}}); err != nil || w.count(t, "delivery") != 3 {
			t.Errorf("sent again: %v, %d deliveries", err, w.count(t, "delivery"))
		}
		w.URLs = true
		_, err = w.send("", base("o:archive-to", "https://keep.org/in"))
		check(t, err)
		if n := w.count(t, "delivery"); n != 5 {
			t.Errorf("%d deliveries with one to a URL", n)
		}
	})
}

// TestArchiveOfBatch: the one copy has the placeholders as they were written and
// names no recipient.
func TestArchiveOfBatch(t *testing.T) {
	v, err := ParseVars(archiveVars, "log@keep.org")
	check(t, err)
	raw := []byte("Subject: Hi %recipient.name%\r\n\r\n%recipient% %recipient_email% %recipient.name%\r\n")
	template, err := mime.CompileTemplate(raw)
	check(t, err)
	pieces, err := (&Service{}).Personalise(&Message{Meta: Meta{Batch: true}}, template, raw, v, "log@keep.org")
	check(t, err)
	if got, want := string(mime.Join(pieces)), "To: undisclosed-recipients:;\r\n"+string(raw); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestVariablesBound: what a batch would write down once for each cc is limited.
func TestVariablesBound(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		many := make([]string, 0, 2*900)
		for i := range 900 {
			many = append(many, "bcc", strings.Repeat("x", 1+i%30)+strings.Repeat("y", i/30)+"@b.com")
		}
		_, err := w.send("", base(append(many, "recipient-variables", `{"a@b.com": {"x": "`+strings.Repeat("x", 200<<10)+`"}}`)...))
		if got := publicText(err); !strings.Contains(got, "more than 100 MB") {
			t.Errorf("%q", got)
		}
		if n := w.count(t, "delivery"); n != 0 {
			t.Errorf("%d deliveries", n)
		}
	})
}

// TestRoutedView: of what routes took from outside is shown where it goes, not
// for whom it came; an archive copy is not.
func TestRoutedView(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.URLs = true
		sub := &Submission{Domain: w.dom, MIME: []byte(plainMessage), MessageID: "in@out.test", Meta: Meta{Foreign: true, Recipients: []string{"help@ex.com"},
			Options: Options{ArchiveTo: "https://keep.org/in"}}}
		for _, to := range []string{"https://desk.test/in?x", "ann@b.com"} {
			sub.Recipients = append(sub.Recipients, Recipient{Address: to, Header: to, Routed: &Routed{Recipient: "help@ex.com", ID: "1"}})
		}
		m, _, err := w.Submit(w.ctx, sub)
		check(t, err)
		v, err := w.View(w.ctx, m)
		check(t, err)
		if len(v.Recipients) != 2 || v.Recipients[0].Address != "https://desk.test/in?x" || v.Recipients[1].Address != "ann@b.com" || v.Recipients[0].Status != StatusAccepted {
			t.Errorf("%+v", v.Recipients)
		}
		if d := v.Events[0].Doc; d.RecipientDom != "desk.test" || d.Envelope.Transport != "http" || !d.Flags.IsRouted {
			t.Errorf("%+v", d)
		}
	})
}
