package deliver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/netx"
	"postroad/internal/core/message"
	"postroad/internal/core/shape"
	"postroad/internal/core/webhook"
	"postroad/internal/mail/classify"
	"postroad/internal/mail/mime"
	"postroad/internal/mail/parsed"
	"postroad/internal/mail/smtp"
)

// Statuses with a meaning of their own, the same as for webhooks. Mailgun:
// receiving messages by HTTP.
const (
	statusOK            = 200
	statusNotAcceptable = 406
)

const (
	// maxRetryAfter bounds how long a receiver may have a message wait.
	maxRetryAfter = 4 * time.Hour
	// deadAfter is from where on a connection that did not come about has cost so
	// much time that the lane is left alone for a while.
	deadAfter = 5 * time.Second
	// postWeight is how much of a message is in memory while it is posted, in its
	// sizes, beside what room reckons with: bodies as text, stripped ones, files.
	postWeight = 3
)

// post delivers by HTTP: what a route forwards to a URL, notifications of stored
// messages, and archive copies. It belongs to one session; connections belong to
// the client.
type post struct {
	e       *Engine
	lane    string
	session int64
}

func (p *post) close() {}

// send makes a request for each delivery: each has a URL and fields of its own.
func (p *post) send(ctx context.Context, j *job) {
	for _, o := range j.list {
		one := *j
		one.list = []*outcome{o}
		if fail := p.e.silent(p.lane); fail != nil {
			fail.apply(one.list)
			continue
		}
		p.sendOne(ctx, &one, o)
	}
}

func (p *post) sendOne(ctx context.Context, j *job, o *outcome) {
	to, err := url.Parse(o.d.Recipient)
	if err != nil {
		o.permfail(554, "5.1.3", "the URL cannot be read", "generic")
		return
	}
	f, err := p.form(ctx, j, o, to)
	if errors.Is(err, mime.ErrHeaderTooLarge) || errors.Is(err, mime.ErrTooLarge) {
		o.permfail(554, "5.6.0", "the message cannot be read: "+err.Error(), "generic")
		return
	}
	if err != nil {
		p.e.Logger.Error("preparing a POST", "message", j.msg.ID, "error", err)
		o.tempfail(451, "4.3.0", "the POST could not be prepared")
		return
	}
	c := &call{p: p, j: j, o: o, to: to, began: p.e.clock.Now()}
	c.say(smtp.FromClient, "POST "+to.RequestURI())
	c.say(smtp.FromClient, "Host: "+to.Host)
	c.say(smtp.FromClient, "Content-Type: "+f.kind)
	c.say(smtp.FromClient, "Content-Length: "+strconv.FormatInt(f.size, 10))
	res, err := p.e.HTTP.Do(ctx, netx.Request{Method: "POST", URL: o.d.Recipient, Header: map[string][]string{"Content-Type": {f.kind}}, Open: f.open, Size: f.size})
	if res.RemoteAddr != "" {
		c.say(smtp.Note, "connected to "+res.RemoteAddr)
	}
	if err != nil {
		c.unanswered(ctx, &res, err)
	} else {
		c.answered(&res)
	}
	o.status.MXHost = to.Hostname()
	o.detail = smtp.EncodeTranscript(c.lines)
}

// form makes what is posted. Every attempt has a token of its own, because
// receivers refuse those they have seen.
func (p *post) form(ctx context.Context, j *job, o *outcome, to *url.URL) (*form, error) {
	v, err := message.ParseVars(o.d.Vars, o.d.Recipient)
	if err != nil {
		return nil, err
	}
	key, err := p.e.SigningKey(ctx, j.msg.AccountID)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	raw := j.body[0]
	if len(j.body) > 1 {
		raw = mime.Join(j.body)
	}
	m, err := parsed.Parse(raw, mime.Limits{MaxBytes: max(1, len(raw))})
	if err != nil {
		return nil, err
	}
	sig := webhook.NewSignature(key, p.e.clock.Now())
	proof := [][2]string{{"timestamp", sig.Timestamp}, {"token", sig.Token}, {"signature", sig.Signature}}
	fields, files := contents(j.msg, m, raw, v.Routed, wantsMIME(to))
	fields = append(fields, proof...)
	if len(files) > 0 {
		return multipart(fields, files), nil
	}
	return urlencoded(fields), nil
}

// wantsMIME reports whether a URL is to get the message whole. Mailgun: one that
// ends in mime or raw-mime.
func wantsMIME(to *url.URL) bool { return strings.HasSuffix(to.Path, "mime") }

// contents are the fields and files that tell of a message, in the form its
// receiver wants: a route's, or for r nil an archive.
func contents(msg *message.Message, m *parsed.Message, raw []byte, r *message.Routed, whole bool) (fields [][2]string, files []mime.Part) {
	sender := [2]string{"sender", msg.Meta.FromMailbox}
	if r == nil {
		fields = [][2]string{{"recipients", strings.Join(msg.Meta.Recipients, ", ")}, sender}
		return append(fields, m.Fields(raw, true)...), nil
	}
	fields = [][2]string{{"recipient", r.Recipient}, sender}
	switch {
	case r.Notify:
		// Mailgun: instead of the files there is where to fetch them.
		fields = append(fields, [2]string{"domain", msg.Domain}, [2]string{"message-url", msg.Meta.StorageURL})
		fields = append(fields, m.Fields(raw, false)...)
		fields = append(fields, [2]string{"attachments", m.FilesJSON(msg.Meta.StorageURL)})
		if ids := m.FilesByIDJSON(msg.Meta.StorageURL); ids != "" {
			fields = append(fields, [2]string{"content-id-map", ids})
		}
	case whole || len(m.Attachments) == 0:
		fields = append(fields, m.Fields(raw, whole)...)
	default:
		fields = append(append(fields, m.Fields(raw, false)...), attached(m)...)
		files = m.Attachments
	}
	return fields, files
}

// call is one request on its way.
type call struct {
	p     *post
	j     *job
	o     *outcome
	to    *url.URL
	began time.Time
	lines []smtp.TranscriptLine
}

// say records a line of the exchange and shows it to those that watch.
func (c *call) say(dir byte, text string) {
	c.lines = append(c.lines, smtp.TranscriptLine{At: c.p.e.clock.Now().Sub(c.began).Truncate(time.Microsecond), Dir: dir, Text: oneLine(text)})
	c.p.e.publish(c.p.lane, c.p.session, c.j, dir, oneLine(text))
}

// answered gives the delivery the outcome that the receiver's answer asks for.
// Mailgun: 200 is success, 406 a refusal for good, anything else is tried again.
func (c *call) answered(res *netx.Response) {
	o, secure := c.o, c.to.Scheme == "https"
	o.status.TLS, o.status.CertificateVerified = &secure, &secure
	text := clip(oneLine(string(res.Body)))
	c.say(smtp.FromServer, strings.TrimSpace(strconv.Itoa(res.Status)+" "+text))
	for _, name := range [...]string{"Content-Type", "Location", "Retry-After"} {
		for _, value := range res.Header[name] {
			c.say(smtp.FromServer, name+": "+clip(value))
		}
	}
	if text == "" {
		text = "HTTP status " + strconv.Itoa(res.Status)
	}
	r := shape.Report{Code: res.Status, Text: text, Connected: true, Latency: res.Duration}
	r.Verdict.Class = statusClass(res.Status)
	switch res.Status {
	case statusOK:
		o.deliver(statusOK, "", "OK")
		r.Delivered, r.Deliveries = true, 1
	case statusNotAcceptable:
		o.permfail(res.Status, "", text, "generic")
		o.status.Description = "rejected by the application"
	default:
		o.tempfail(res.Status, "", text)
		if res.Status/100 == 3 {
			o.status.Description = "redirects are not followed"
		}
		r.Verdict.Scope = classify.ScopeSource
		r.Connected = r.Verdict.Class != classify.ServerBusy // shape: this is about load, whatever the code
	}
	o.notBefore = retryAfter(first(res.Header["Retry-After"]), c.p.e.clock.Now())
	c.report(r)
}

// statusClass is what a status says about the lane.
func statusClass(status int) classify.Class {
	switch status {
	case statusOK:
		return classify.Accepted
	case 429: // too many requests (RFC 6585 section 4)
		return classify.RateLimited
	case 502, 503, 504: // nobody behind the front, or too much to do
		return classify.ServerBusy
	}
	return classify.Other
}

// unanswered is what an attempt came to without an answer.
func (c *call) unanswered(ctx context.Context, res *netx.Response, err error) {
	host := c.to.Hostname()
	fail := &failure{code: 421, enhanced: "4.4.1", mx: host, text: "connecting to " + c.to.Host + ": " + clip(explain(err, res.Duration))}
	connected := res.RemoteAddr != ""
	var refused *netx.ForbiddenAddressError
	var bad *netx.URLError
	switch {
	case errors.As(err, &refused), errors.As(err, &bad):
		fail.enhanced, fail.text, fail.ours = "4.7.1", "not called: "+clip(err.Error()), true
	case connected:
		fail.enhanced, fail.text = "4.4.2", "no answer of "+c.to.Host+": "+clip(explain(err, res.Duration))
	}
	fail.apply([]*outcome{c.o})
	if ctx.Err() != nil || fail.ours {
		return
	}
	r := shape.Report{Code: fail.code, Text: fail.text}
	if connected {
		r.Verdict.Class = classify.ServerBusy
	} else if res.Duration >= deadAfter {
		c.p.e.leaveAlone(c.p.lane, fail)
	}
	c.report(r)
}

func (c *call) report(r shape.Report) {
	if c.p.e.Shape != nil {
		c.p.e.Shape.Report(c.p.lane, c.to.Hostname(), r)
	}
}

// explain words why there was no answer; the URL, which the delivery names, is
// left out.
func explain(err error, took time.Duration) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "nothing within " + took.Round(time.Second).String()
	}
	return err.Error()
}

// retryAfter reads the field of that name (RFC 9110 section 10.2.3): seconds or a
// time. It is 0 for none.
func retryAfter(text string, now time.Time) time.Duration {
	n, err := strconv.ParseUint(text, 10, 63)
	if err == nil {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", text)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// oneLine makes text of a stranger fit for a line of a log or a conversation.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return ' '
		}
		return c
	}, s))
}
