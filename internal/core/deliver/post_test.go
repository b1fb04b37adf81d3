package deliver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/mtypes"

	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/config"
	"postroad/internal/core/deliver"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
)

// program is a user's program that routes post to.
type program struct {
	URL string

	mu  sync.Mutex
	got []posted
}

// posted is a request as such programs read it.
type posted struct {
	path, kind string
	length     int64
	form       url.Values
	files      map[string]file
}

type file struct{ name, kind, data string }

// program starts one that answers as h does, nil for 200.
func (b *bed) program(t *testing.T, h http.HandlerFunc) *program {
	t.Helper()
	p := &program{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := read(r)
		if err != nil {
			t.Errorf("a request that cannot be read: %v", err)
		}
		p.mu.Lock()
		p.got = append(p.got, got)
		p.mu.Unlock()
		if h != nil {
			h(w, r)
		}
	}))
	t.Cleanup(s.Close)
	p.URL = s.URL
	return p
}

func read(r *http.Request) (posted, error) {
	out := posted{path: r.URL.RequestURI(), kind: r.Header.Get("Content-Type"), length: r.ContentLength, files: map[string]file{}}
	raw, err := io.ReadAll(r.Body)
	if err != nil || int64(len(raw)) != r.ContentLength {
		return out, fmt.Errorf("%d octets of %d: %w", len(raw), r.ContentLength, err)
	}
	if !strings.HasPrefix(out.kind, "multipart/form-data; boundary=") {
		out.form, err = url.ParseQuery(string(raw))
		return out, err
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	if err := r.ParseMultipartForm(64 << 20); err != nil {
		return out, err
	}
	out.form = r.PostForm
	for name, list := range r.MultipartForm.File {
		f, err := list[0].Open()
		if err != nil {
			return out, err
		}
		data, err := io.ReadAll(f)
		if err != nil || len(list) != 1 {
			return out, fmt.Errorf("%s: %d files, %w", name, len(list), err)
		}
		out.files[name] = file{list[0].Filename, list[0].Header.Get("Content-Type"), string(data)}
	}
	return out, nil
}

func (p *program) all() []posted {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

const expression = `match_recipient("help@")`

// routed is what a route of the tests asks for.
func routed() *message.Routed {
	return &message.Routed{Recipient: "help@" + from, ID: "0123456789abcdef01234567", Expression: expression}
}

// inbound submits a message from outside as a route does and returns its id.
func (b *bed) inbound(t *testing.T, raw string, r *message.Routed, to ...string) string {
	t.Helper()
	id := fmt.Sprintf("in-%d@out.test", b.ids.Add(1))
	sub := &message.Submission{Domain: b.dom, MIME: []byte("Message-Id: <" + id + ">\r\n" + raw), MessageID: id,
		Meta: message.Meta{Method: "smtp", From: "Ann <ann@out.test>", FromMailbox: "bounces@out.test", To: "help@" + from, Subject: "Hi", Foreign: true,
			Recipients: []string{"help@" + from}, StorageURL: b.URL}}
	for _, x := range to {
		sub.Recipients = append(sub.Recipients, message.Recipient{Address: x, Header: x, Routed: r})
	}
	if _, _, err := b.Messages.Submit(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	return "<" + id + ">"
}

const simple = "From: Ann <ann@out.test>\r\nTo: help@sender.test\r\nSubject: =?utf-8?q?Caf=C3=A9?=\r\nReceived: one\r\nReceived: two\r\n\r\nHello.\r\n\r\n> quoted\r\n-- \r\nAnn\r\n"

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// TestPostAnswers: 200 is success and 406 the end, as for webhooks; everything
// else is tried again.
func TestPostAnswers(t *testing.T) {
	engines(t, func(t *testing.T, o apptest.Options) {
		b := start(t, o)
		for _, k := range []struct {
			answer http.HandlerFunc
			want   want
			retry  int // seconds
		}{
			{answer(200, "thanks"), want{event: event.Delivered, code: 200, message: "OK"}, 0},
			{answer(201, "made"), temporary(201, "", "made"), 630},
			{answer(204, ""), temporary(204, "", "HTTP status 204"), 630},
			{answer(301, "", "Location", "/elsewhere"), temporary(301, "", "redirects are not followed"), 630},
			{answer(307, "", "Location", "/elsewhere"), temporary(307, "", "redirects are not followed"), 630},
			{answer(400, "bad\r\nrequest\x00\x1b"), temporary(400, "", "bad  request"), 630},
			{answer(404, "nothing here"), temporary(404, "", "nothing here"), 630},
			{answer(406, "no such ticket"), permanent("generic", 406, "", "no such ticketrejected by the application"), 0},
			{answer(410, ""), temporary(410, "", "HTTP status 410"), 630},
			{answer(429, "slower", "Retry-After", "7200"), temporary(429, "", "slower"), 7560},
			{answer(429, "slower", "Retry-After", "5"), temporary(429, "", "slower"), 630},
			{answer(503, "", "Retry-After", b.Clock.Now().Add(2*time.Hour).Format(http.TimeFormat)), temporary(503, "", "HTTP status 503"), 7560},
			{answer(500, "", "Retry-After", "999999999999999999999"), temporary(500, "", "HTTP status 500"), 630},
			{answer(500, "", "Retry-After", "99999999"), temporary(500, "", "HTTP status 500"), 15120},
			{answer(500, strings.Repeat("x", 3<<20)), temporary(500, "", strings.Repeat("x", 500)+"..."), 630},
		} {
			p := b.program(t, k.answer)
			to := p.URL + "/mail?key=1"
			d := b.Outcome(b.inbound(t, simple, routed(), to), to, 1)
			k.want.check(t, d)
			if s := d.DeliveryStatus; s.RetrySeconds != k.retry || s.MXHost != "127.0.0.1" || s.BounceType != "" || s.AttemptNo != 1 || len(s.Message) > 510 {
				t.Errorf("%d: %+v", k.want.code, s)
			}
			if d.Envelope.Transport != "http" || d.Envelope.Sender != "bounces@out.test" || d.RecipientDom != "127.0.0.1" || !d.Flags.IsRouted || len(d.Routes) != 1 ||
				d.Routes[0].Expression != expression || d.Routes[0].Match.Recipient != "help@"+from {
				t.Errorf("%d: %+v %+v %+v %q", k.want.code, d.Envelope, d.Flags, d.Routes, d.RecipientDom)
			}
			if got := p.all(); len(got) != 1 || got[0].path != "/mail?key=1" {
				t.Errorf("%d: %d requests", k.want.code, len(got))
			}
		}
		if got := b.Listed(b.dom, "bounces"); len(got) != 0 {
			t.Errorf("on the bounces list: %v", got)
		}
		for _, line := range b.World.Dialed() {
			t.Errorf("mail went to %s", line)
		}
	})
}

// TestPostRetries: attempts follow the schedule, each with a signature of its own,
// until one succeeds or all are used up.
func TestPostRetries(t *testing.T) {
	b := start(t, apptest.Options{})
	var status atomic.Int64
	status.Store(500)
	p := b.program(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })
	id := b.inbound(t, simple, routed(), p.URL)
	temporary(500, "", "HTTP status 500").check(t, b.Outcome(id, p.URL, 1))
	b.Advance(11 * time.Minute)
	temporary(500, "", "HTTP status 500").check(t, b.Outcome(id, p.URL, 2))
	status.Store(200)
	b.Advance(11 * time.Minute)
	want{event: event.Delivered, code: 200, message: "OK"}.check(t, b.Outcome(id, p.URL, 3))
	got := p.all()
	seen := map[string]bool{}
	for _, x := range got {
		seen[x.form.Get("token")] = true
		b.checkSignature(t, x.form)
	}
	if len(got) != 3 || len(seen) != 3 || got[0].form.Get("timestamp") == got[2].form.Get("timestamp") {
		t.Errorf("%d requests, tokens %v", len(got), seen)
	}

	status.Store(400)
	id = b.inbound(t, simple, routed(), p.URL)
	for i, wait := range []time.Duration{10 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour} {
		d := b.Outcome(id, p.URL, i+1)
		if got := time.Duration(d.DeliveryStatus.RetrySeconds) * time.Second; got < wait || got > wait+wait/10 {
			t.Errorf("attempt %d: the next in %v, want %v", i+1, got, wait)
		}
		b.Advance(wait + wait/10)
	}
	w := permanent("old", 602, "", "Too old")
	w.message = "Too olddelivery was tried for too long; the last answer was: HTTP status 400"
	w.check(t, b.Outcome(id, p.URL, 8))
}

// checkSignature verifies a form with Mailgun's own client.
func (b *bed) checkSignature(t *testing.T, f url.Values) {
	t.Helper()
	key, err := b.Accounts.SigningKey(t.Context(), b.dom.AccountID)
	if err != nil {
		t.Fatal(err)
	}
	mg := mailgun.NewMailgun("key")
	mg.SetWebhookSigningKey(key)
	sig := mtypes.Signature{TimeStamp: f.Get("timestamp"), Token: f.Get("token"), Signature: f.Get("signature")}
	if ok, err := mg.VerifyWebhookSignature(sig); err != nil || !ok {
		t.Errorf("the signature does not verify: %v %+v", err, sig)
	}
	sig.TimeStamp += "0"
	if ok, err := mg.VerifyWebhookSignature(sig); ok && err == nil {
		t.Error("a changed one verifies")
	}
}

// mixed is a message with everything a post can tell of.
func mixed() string {
	big := strings.Repeat("0123456789abcdef\r\n", 1000)
	return strings.Join([]string{"From: Ann <ann@out.test>", "To: help@sender.test", "Subject: files", "recipient: evil@out.test", "X-Odd\": 1", "MIME-Version: 1.0",
		`Content-Type: multipart/mixed; boundary="m"`, "", "--m", `Content-Type: multipart/alternative; boundary="a"`, "", "--a", "Content-Type: text/plain; charset=utf-8", "",
		"See caf\u00e9 & more = 100% +1.", "", "On Mon, Mar 4, 2024 at 9:41 AM Bob <bob@example.com> wrote:", "> a", "--a", "Content-Type: text/html; charset=utf-8", "",
		`<p>See <img src="cid:logo@x"></p>` + strings.Repeat("<p>caf\u00e9 & more.</p>\r\n", 500), "--a--", "--m", `Content-Type: image/png; name="l\"o go.png"`, "Content-Id: <logo@x>",
		"Content-Disposition: inline", "Content-Transfer-Encoding: base64", "", "iVBORw0KGgo=", "--m", "Content-Type: text/csv", `Content-Disposition: attachment; filename*=utf-8''caf%C3%A9%0Aa.csv`, "", big + "--m",
		"Content-Type: application/octet-stream", "Content-Disposition: attachment", "", "", "--m--", ""}, "\r\n")
}

// TestPostFiles: a message with files is a multipart form with them.
func TestPostFiles(t *testing.T) {
	b := start(t, apptest.Options{})
	p := b.program(t, nil)
	id := b.inbound(t, mixed(), routed(), p.URL+"/in")
	b.Outcome(id, p.URL+"/in", 1)
	got := p.all()[0]
	if !strings.HasPrefix(got.kind, "multipart/form-data; boundary=") || got.length <= 0 {
		t.Errorf("%s, %d octets", got.kind, got.length)
	}
	f := got.form
	for name, want := range map[string]string{"recipient": "help@" + from, "sender": "bounces@out.test", "from": "Ann <ann@out.test>", "subject": "files", "Subject": "files", "X-Odd%22": "1",
		"attachment-count": "3", "content-id-map": `{"<logo@x>":"attachment-1"}`, "stripped-text": "See caf\u00e9 & more = 100% +1."} {
		if len(f[name]) != 1 || f.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, f[name], want)
		}
	}
	if !strings.Contains(f.Get("body-html"), "cid:logo@x") || !strings.HasSuffix(strings.TrimSpace(f.Get("body-html")), "<p>caf\u00e9 & more.</p>") || !strings.Contains(f.Get("body-plain"), "> a") || f.Has("body-mime") {
		t.Errorf("bodies: %d, %q", len(f.Get("body-html")), f.Get("body-plain"))
	}
	var header [][2]string
	if err := json.Unmarshal([]byte(f.Get("message-headers")), &header); err != nil || len(header) != 8 || header[0][0] != "Message-Id" {
		t.Errorf("message-headers: %v %q", err, header)
	}
	want := map[string]file{"attachment-1": {`l%22o go.png`, "image/png", "\x89PNG\r\n\x1a\n"}, "attachment-2": {"caf\u00e9%0Aa.csv", "text/csv", strings.Repeat("0123456789abcdef\r\n", 1000)},
		"attachment-3": {"attachment-3", "application/octet-stream", ""}}
	want["attachment-2"] = file{want["attachment-2"].name, "text/csv", strings.TrimSuffix(want["attachment-2"].data, "\r\n")}
	for name, w := range want {
		if g := got.files[name]; g.kind != w.kind || g.data != w.data || name != "attachment-2" && g.name != w.name {
			t.Errorf("%s: %q %q, %d octets", name, g.name, g.kind, len(g.data))
		}
	}
	if len(got.files) != 3 {
		t.Errorf("files: %d", len(got.files))
	}
	b.checkSignature(t, f)
}

// TestPostMIME: URLs that want it get the message as it came, octet for octet.
func TestPostMIME(t *testing.T) {
	b := start(t, apptest.Options{})
	p := b.program(t, nil)
	raw := strings.Replace(mixed(), "See caf", "\xff\xfe See caf", 1)
	for _, path := range []string{"/post_mime", "/raw-mime?x=1", "/mime"} {
		id := b.inbound(t, raw, routed(), p.URL+path)
		b.Outcome(id, p.URL+path, 1)
		got := p.all()[len(p.all())-1]
		if got.kind != "application/x-www-form-urlencoded" || got.form.Get("body-mime") != "Message-Id: "+id+"\r\n"+raw {
			t.Errorf("%s: %s, %d octets of %d", path, got.kind, len(got.form.Get("body-mime")), len(raw))
		}
		for _, name := range []string{"body-plain", "body-html", "attachment-count", "attachment-1", "recipients"} {
			if got.form.Has(name) {
				t.Errorf("%s: has %s", path, name)
			}
		}
		if got.form.Get("recipient") != "help@"+from || got.form.Get("stripped-text") == "" {
			t.Errorf("%s: %q %q", path, got.form.Get("recipient"), got.form.Get("stripped-text"))
		}
		b.checkSignature(t, got.form)
	}
}

// TestPostNotify: a notification says where the message and its files are, and
// they can be fetched there.
func TestPostNotify(t *testing.T) {
	b := start(t, apptest.Options{})
	p := b.program(t, nil)
	r := routed()
	r.Notify = true
	id := b.inbound(t, mixed(), r, p.URL+"/note-mime")
	b.Outcome(id, p.URL+"/note-mime", 1)
	got := p.all()[0]
	if got.kind != "application/x-www-form-urlencoded" || got.form.Get("domain") != from || got.form.Get("recipient") != "help@"+from || !strings.Contains(got.form.Get("body-plain"), "caf\u00e9") || got.form.Has("body-mime") {
		t.Errorf("%s %q", got.kind, got.form)
	}
	type stored struct {
		Name, URL string
		Kind      string `json:"content-type"`
		Size      int
	}
	var files []stored
	var byID map[string]stored
	if err := json.Unmarshal([]byte(got.form.Get("attachments")), &files); err != nil || len(files) != 3 || files[0].Kind != "image/png" || files[0].Size != 8 {
		t.Fatalf("%v %+v", err, files)
	}
	if err := json.Unmarshal([]byte(got.form.Get("content-id-map")), &byID); err != nil || byID["<logo@x>"] != files[0] {
		t.Errorf("%v %+v", err, byID)
	}
	if data := b.Must("GET", strings.TrimPrefix(files[0].URL, b.URL), nil); string(data) != "\x89PNG\r\n\x1a\n" {
		t.Errorf("%q", data)
	}
	if doc := string(b.Must("GET", strings.TrimPrefix(got.form.Get("message-url"), b.URL), nil)); !strings.Contains(doc, "caf\u00e9") {
		t.Errorf("%s", doc)
	}
}

// TestArchivePost: an archive that is a URL gets the message as the recipients do.
func TestArchivePost(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "ok.test", script{})
	p := b.program(t, nil)
	id := b.Send(from, fields{"to", "ann@ok.test", "text", "hello", "o:archive-to", p.URL + "/keep"})
	ok().check(t, b.Outcome(id, "ann@ok.test", 1))
	b.Until("the copy", func() bool { return len(p.all()) == 1 })
	b.Idle()
	f := p.all()[0].form
	if f.Get("body-mime") != k.Messages()[0].Data || f.Get("recipients") != "ann@ok.test" || f.Get("sender") != "sender@"+from || f.Get("subject") != "Greetings" || f.Has("body-plain") {
		t.Errorf("%q", f)
	}
	b.verify(t, f.Get("body-mime"))
	b.checkSignature(t, f)
	for _, e := range b.Recorded(func(e *event.Event) bool { return e.Doc.Recipient != "ann@ok.test" }) {
		t.Errorf("an event about %s", e.Doc.Recipient)
	}
}

// TestPostRefusedAddress: a URL does not lead into the network of the server.
func TestPostRefusedAddress(t *testing.T) {
	b := start(t, apptest.Options{Args: []string{"--allow-private-urls=false"}})
	p := b.program(t, nil)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(p.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{p.URL + "/a", "http://localhost:" + port + "/b", "http://[::ffff:127.0.0.1]:" + port + "/c", "http://user@127.0.0.1:" + port + "/d", "http://2130706433:" + port + "/e"} {
		temporary(421, "4.7.1", "not called").check(t, b.Outcome(b.inbound(t, simple, routed(), to), to, 1))
	}
	if n := len(p.all()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestPostNobody: a receiver that is not there costs its lane, not the sessions.
func TestPostNobody(t *testing.T) {
	b := start(t, apptest.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := "http://" + l.Addr().String()
	l.Close()
	d := b.Outcome(b.inbound(t, simple, routed(), to), to, 1)
	temporary(421, "4.4.1", "connecting to "+l.Addr().String()).check(t, d)
	if d.DeliveryStatus.MXHost != "127.0.0.1" || strings.Contains(d.DeliveryStatus.Message, "Post ") {
		t.Errorf("%+v", d.DeliveryStatus)
	}
	for range 40 {
		b.inbound(t, simple, routed(), to)
	}
	b.Until("the lane to be left alone", func() bool {
		_, why := b.Shape.Suspended(to)
		return strings.HasPrefix(why, "nobody answers: 421 connecting to")
	})
	b.Until("the sessions to end", func() bool { // one may have begun to wait for more work
		b.Advance(100 * time.Millisecond)
		return b.Queue.Depth().Sessions == 0
	})
	if got := string(b.Must("GET", "/v1/queue/lanes", nil)); !strings.Contains(got, `"`+to+`"`) || !strings.Contains(got, "nobody answers") {
		t.Errorf("%s", got)
	}
}

// TestPostSlow: a receiver that hangs holds a few sessions, and mail passes.
func TestPostSlow(t *testing.T) {
	b := start(t, apptest.Options{Args: []string{"--workers=60", "--lane-start=64"}})
	b.site(t, "ok.test", script{})
	var now, most atomic.Int64
	free := make(chan struct{})
	p := b.program(t, func(http.ResponseWriter, *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-free
		now.Add(-1)
	})
	var ids []string
	for range 40 {
		ids = append(ids, b.inbound(t, simple, routed(), p.URL))
	}
	b.Until("requests at once", func() bool { return now.Load() == 16 })
	ok().check(t, b.Outcome(b.Send(from, fields{"to", "ann@ok.test"}), "ann@ok.test", 1))
	close(free)
	for _, id := range ids {
		want{event: event.Delivered, code: 200, message: "OK"}.check(t, b.Outcome(id, p.URL, 1))
	}
	if n := most.Load(); n != 16 {
		t.Errorf("%d requests at once", n)
	}
}

// TestPostTimeout: one that does not answer is given up, and the lane slows down.
func TestPostTimeout(t *testing.T) {
	o := apptest.Options{}
	o.Wire.Post = 200 * time.Millisecond
	b := start(t, o)
	free := make(chan struct{})
	p := b.program(t, func(http.ResponseWriter, *http.Request) { <-free })
	defer close(free)
	temporary(421, "4.4.2", "no answer of "+strings.TrimPrefix(p.URL, "http://")+": nothing within").check(t, b.Outcome(b.inbound(t, simple, routed(), p.URL), p.URL, 1))
	// One that breaks off is asked again, too.
	q := b.program(t, func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	temporary(421, "4.4.2", "no answer of").check(t, b.Outcome(b.inbound(t, simple, routed(), q.URL), q.URL, 1))
	if n := b.Shape.Sessions(p.URL); n >= 5 {
		t.Errorf("%d sessions after a time-out", n)
	}
}

// TestPostConversation: what was said can be read later, without the proof.
func TestPostConversation(t *testing.T) {
	b := start(t, apptest.Options{})
	p := b.program(t, answer(422, "what?", "Content-Type", "text/plain", "Retry-After", "1"))
	lines, stop := b.Trace.Subscribe(deliver.Filter{Lane: p.URL})
	defer stop()
	id := b.inbound(t, simple, routed(), p.URL+"/x?y")
	b.Outcome(id, p.URL+"/x?y", 1)
	view := string(b.Must("GET", "/v1/postroad/messages/"+strings.Trim(id, "<>"), nil))
	host := strings.TrimPrefix(p.URL, "http://")
	token := p.all()[0].form.Get("token")
	for _, want := range []string{"C: POST /x?y", "Host: " + host, "Content-Length: " + strconv.FormatInt(p.all()[0].length, 10), "connected to " + host, "422 what?", "Retry-After: 1"} {
		if !strings.Contains(view, want) {
			t.Errorf("no %q in %s", want, view)
		}
	}
	if strings.Contains(view, token) {
		t.Error("the token is shown")
	}
	var lane struct {
		Site string
		Last struct {
			Code        int
			Text, Class string
		} `json:"last_reply"`
	}
	if err := json.Unmarshal(b.Must("GET", "/v1/queue/lanes/"+url.PathEscape(p.URL), nil), &lane); err != nil || lane.Site != p.URL || lane.Last.Code != 422 || lane.Last.Text != "what?" || lane.Last.Class != "other" {
		t.Errorf("%v %+v", err, lane)
	}
	if l := <-lines; l.Text != "POST /x?y" || l.Lane != p.URL || l.Recipient != p.URL+"/x?y" || l.Destination != p.URL {
		t.Errorf("%+v", l)
	}
}

// TestPostWebhooks: no webhook about what the receiver has got by the route
// itself, but about what it has not.
func TestPostWebhooks(t *testing.T) {
	b := start(t, apptest.Options{})
	c := b.Catch(from, "delivered", "permanent_fail")
	p := b.program(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusNotAcceptable)
		}
	})
	b.Outcome(b.inbound(t, simple, routed(), p.URL+"/yes"), p.URL+"/yes", 1)
	b.Outcome(b.inbound(t, simple, routed(), p.URL+"/no"), p.URL+"/no", 1)
	c.Await(event.Failed, p.URL+"/no")
	if n := b.Webhooks.Stats().Staged; n != 1 {
		t.Errorf("%d webhook calls", n)
	}
}

// TestCapturePost: in dev mode mail stays, and the user's endpoints are called.
func TestCapturePost(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Clock: clock.NewFake(apptest.Begin())})
	b := &bed{Server: s, t: t}
	b.Send("app.test", fields{"to", "first@x.test"}) // makes the domain
	dom, err := b.Domains.ByName(t.Context(), "app.test")
	if err != nil {
		t.Fatal(err)
	}
	b.dom = dom
	p := b.program(t, nil)
	id := b.inbound(t, simple, routed(), p.URL, "desk@x.test")
	want{event: event.Delivered, code: 200, message: "OK"}.check(t, b.Outcome(id, p.URL, 1))
	want{event: event.Delivered, code: 250, enhanced: "2.0.0", message: "OK"}.check(t, b.Outcome(id, "desk@x.test", 1))
	if got := p.all(); len(got) != 1 || got[0].form.Get("body-plain") != "Hello.\n\n> quoted\n-- \nAnn\n" && !strings.HasPrefix(got[0].form.Get("body-plain"), "Hello.") {
		t.Errorf("%+v", got)
	}
	if got := b.World.Dialed(); len(got) != 0 {
		t.Errorf("connections for mail: %v", got)
	}
}

// TestForwardUnchanged: what a route sends on to an address is what came in, so
// that its author's signature stays valid, and has none of ours.
func TestForwardUnchanged(t *testing.T) {
	b := start(t, apptest.Options{})
	k := b.site(t, "fwd.test", script{})
	old := b.site(t, "old.test", script{Offer: []string{"PIPELINING"}})
	raw := strings.Replace(mixed(), "To: help", "DKIM-Signature: v=1; a=rsa-sha256; d=out.test\r\nTo: help", 1)
	id := b.inbound(t, raw, routed(), "desk@fwd.test", "desk@old.test")
	ok().check(t, b.Outcome(id, "desk@fwd.test", 1))
	ok().check(t, b.Outcome(id, "desk@old.test", 1))
	if got := k.Messages()[0]; got.Data != "Message-Id: "+id+"\r\n"+raw || !strings.HasSuffix(got.From, "@"+from) {
		t.Errorf("from %s:\n%s", got.From, got.Data)
	}
	// The last resort for a hop that takes no 8-bit message.
	if id = b.inbound(t, strings.Replace(simple, "Hello", "Hell\u00f6", 1), routed(), "desk@old.test"); b.Outcome(id, "desk@old.test", 1).Event != event.Delivered {
		t.Error("not converted")
	}
	for _, m := range old.Messages() {
		if strings.Contains(m.Data, "d="+from) {
			t.Errorf("signed by us:\n%s", m.Data)
		}
	}
	// Who wants no mail of the domain still gets what it forwards.
	b.Must("POST", "/v3/"+from+"/unsubscribes", fields{"address", "only@fwd.test"})
	if id = b.inbound(t, simple, routed(), "only@fwd.test"); b.Outcome(id, "only@fwd.test", 1).Event != event.Delivered {
		t.Error("unsubscribing stopped a forward")
	}
	// Mail of ours is signed: that to a list, and what is sent again.
	id = b.inbound(t, simple, nil, "ann@fwd.test")
	ok().check(t, b.Outcome(id, "ann@fwd.test", 1))
	b.verify(t, k.Messages()[2].Data)
}

// TestPostSurvivesRestart: a delivery that waits for its next attempt goes on with
// what it carries.
func TestPostSurvivesRestart(t *testing.T) {
	b := start(t, apptest.Options{})
	var status atomic.Int64
	status.Store(500)
	p := b.program(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })
	id := b.inbound(t, simple, routed(), p.URL)
	b.Outcome(id, p.URL, 1)
	b.Stop()
	status.Store(200)
	c := &bed{Server: apptest.Start(t, apptest.Options{Mode: config.Serve, Data: b.Data, World: b.World, Clock: b.Clock}), t: t, dom: b.dom}
	c.Advance(11 * time.Minute)
	d := c.WaitFor(1, "the second attempt", outcomeOf(p.URL))[0].Doc
	want{event: event.Delivered, code: 200, message: "OK"}.check(t, &d)
	if got := p.all(); len(got) != 2 || got[1].form.Get("recipient") != "help@"+from || d.DeliveryStatus.AttemptNo != 2 {
		t.Errorf("%d requests, %+v", len(got), d.DeliveryStatus)
	}
}

// TestPostLarge: a large message is posted whole.
func TestPostLarge(t *testing.T) {
	b := start(t, apptest.Options{})
	p := b.program(t, nil)
	line := strings.Repeat("A", 76) + "\r\n"
	raw := "From: a@out.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nhi\r\n--m\r\nContent-Type: application/zip\r\nContent-Disposition: attachment; filename=a.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(line, 20<<20/len(line)) + "--m--\r\n"
	for _, path := range []string{"/in", "/mime"} {
		id := b.inbound(t, raw, routed(), p.URL+path)
		want{event: event.Delivered, code: 200, message: "OK"}.check(t, b.Outcome(id, p.URL+path, 1))
	}
	got := p.all()
	if n := len(got[0].files["attachment-1"].data); n != 20<<20/len(line)*57 {
		t.Errorf("%d octets", n)
	}
	if n := len(got[1].form.Get("body-mime")); n < len(raw) {
		t.Errorf("%d octets", n)
	}
}
