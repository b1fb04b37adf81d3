package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/disk"
	"postroad/internal/base/op"
	"postroad/internal/config"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
	"postroad/internal/core/webhook"
	"postroad/internal/edge/panel"
	"postroad/internal/mail/smtp"
)

// lister makes one page of the list of messages.
type lister struct {
	p       *panelSource
	q       panel.Query
	account string
	page    panel.MessagePage
	rows    []panel.MessageRow
	cut     bool  // the cursor was reached
	end     bool  // so was the oldest message
	last    int64 // the last message looked at
}

// run walks from newest to oldest below before. With after set it walks to the
// page just above the cursor.
func (l *lister) run(ctx context.Context, before, after int64) error {
	scanned, at := 0, before
	for scanned < scanBudget && !l.cut {
		list, err := l.p.a.messages.Recent(ctx, l.account, 0, at, 200)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			at = list[len(list)-1].ID
		}
		scanned += len(list)
		if n := slices.IndexFunc(list, func(m *message.Message) bool { return m.ID <= after }); after != 0 && n >= 0 {
			list, l.cut = list[:n], true
		}
		views, err := l.p.a.messages.Views(ctx, slices.DeleteFunc(list, func(m *message.Message) bool {
			return l.p.a.messages.Hidden(m) || !matchesMessage(l.q.Filter, m)
		}))
		if err != nil {
			return err
		}
		for _, v := range views {
			l.add(v, after != 0)
		}
		if len(list) == 0 || at == 0 {
			l.end = true
			break
		}
	}
	l.last = at
	l.finish(before, after)
	return nil
}

func (l *lister) add(v *message.View, up bool) {
	for i := range v.Recipients {
		row := showRow(v, &v.Recipients[i])
		if !matchesRow(l.q.Filter, &row, v.MessageID) {
			continue
		}
		l.page.Counts[row.Status]++
		l.page.Total++
		if s := l.q.Filter.Statuses; len(s) > 0 && !slices.Contains(s, row.Status) {
			continue
		}
		if up || len(l.rows) <= l.q.Limit {
			l.rows = append(l.rows, row)
		}
	}
}

// finish cuts the rows to the page and sets its cursors.
func (l *lister) finish(before, after int64) {
	rows := l.rows
	if after != 0 {
		if len(rows) > l.q.Limit { // the rows nearest the cursor are the last ones
			rows = rows[len(rows)-l.q.Limit:]
			l.page.Newer = rows[0].ID
		}
		l.page.Older = strconv.FormatInt(after+1, 10)
		l.page.Rows = rows
		return
	}
	if len(rows) > l.q.Limit {
		rows = wholeMessages(rows[:l.q.Limit], rows[l.q.Limit].ID)
		l.page.Older = rows[len(rows)-1].ID
	} else if !l.end { // the budget is used up: older ones may match
		l.page.Older = strconv.FormatInt(l.last, 10)
	}
	if before != 0 && len(rows) > 0 {
		l.page.Newer = rows[0].ID
	}
	l.page.Rows = rows
}

// wholeMessages drops the rows of a message that does not fit whole, since
// cursors are message ids; a message larger than the page stays cut.
func wholeMessages(rows []panel.MessageRow, next string) []panel.MessageRow {
	n := len(rows)
	for n > 0 && rows[n-1].ID == next {
		n--
	}
	if n == 0 {
		return rows
	}
	return rows[:n]
}

func matchesMessage(f panel.Filter, m *message.Message) bool {
	return anyIn(f.From, m.Meta.From) && anyIn(f.Subject, m.Meta.Subject) && anyIn(f.Domains, m.Domain) && anyTag(f.Tags, m.Meta.Options.Tags)
}

func matchesRow(f panel.Filter, r *panel.MessageRow, messageID string) bool {
	if !anyIn(f.To, r.To) {
		return false
	}
	for _, w := range f.Words {
		if !contains(r.To, w) && !contains(r.From, w) && !contains(r.Subject, w) && !contains(r.ID, w) && !contains(messageID, strings.Trim(w, "<>")) {
			return false
		}
	}
	return true
}

func anyIn(words []string, text string) bool {
	for _, w := range words {
		if contains(text, w) {
			return true
		}
	}
	return len(words) == 0
}

func anyTag(want, have []string) bool {
	for _, w := range want {
		for _, h := range have {
			if strings.EqualFold(w, h) {
				return true
			}
		}
	}
	return len(want) == 0
}

func contains(text, word string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(word))
}

// status maps the core's states to the panel's.
func status(s message.Status) panel.Status { return panel.Status(s) }

func showRow(v *message.View, r *message.RecipientView) panel.MessageRow {
	files := len(v.Meta.Attachments)
	return panel.MessageRow{ID: strconv.FormatInt(v.ID, 10), Time: v.CreatedAt, Status: status(r.Status), From: v.Meta.FromMailbox,
		To: r.Address, Subject: v.SubjectFor(r.Address), Domain: v.Domain, Tags: v.Meta.Options.Tags, Size: v.Size, Attachments: files,
		Result: result(r), NextTry: r.NextTry}
}

// result is the shortest evidence for a status.
func result(r *message.RecipientView) string {
	if r.Last == nil || r.Last.Doc.DeliveryStatus == nil {
		return ""
	}
	s := r.Last.Doc.DeliveryStatus
	switch r.Status {
	case message.StatusDelivered:
		if s.SessionSeconds < 0.1 {
			return strconv.FormatFloat(s.SessionSeconds*1000, 'f', 0, 64) + " ms"
		}
		return strconv.FormatFloat(s.SessionSeconds, 'f', 1, 64) + " s"
	case message.StatusCaptured, message.StatusComplained:
		return ""
	case message.StatusSuppressed:
		return "on " + strings.TrimPrefix(r.Last.Doc.Reason, "suppress-") + " list"
	}
	return strings.TrimSpace(strconv.Itoa(s.Code) + " " + s.EnhancedCode)
}

func detail(v *message.View, rcpt string) panel.MessageDetail {
	d := panel.MessageDetail{ID: strconv.FormatInt(v.ID, 10), MessageID: v.MessageID, Accepted: v.CreatedAt, From: v.Meta.From,
		Sender: v.Sender, Subject: v.SubjectFor(rcpt), Domain: v.Domain, Tags: v.Meta.Options.Tags, Size: v.Size, Via: "HTTP API"}
	if t := v.Meta.Options.DeliveryTime; t != 0 {
		d.Scheduled = time.UnixMicro(t)
	}
	switch {
	case v.Meta.Report:
		d.Via = "this server, which reports on " + v.Request.Path
	case v.Meta.Method == "smtp":
		d.Via = "SMTP"
	default:
		d.Request = showRequest(v)
	}
	for i := range v.Recipients {
		d.Recipients = append(d.Recipients, showRecipient(&v.Recipients[i]))
	}
	for _, e := range v.Events {
		d.Events = append(d.Events, showEvent(e))
	}
	return d
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func showRequest(v *message.View) *panel.Request {
	r := v.Request
	return &panel.Request{ID: r.ID, Time: v.CreatedAt, Method: r.Method, Path: r.Path, Status: 200, KeyID: r.KeyID, IP: r.RemoteIP,
		UserAgent: r.UserAgent, Fields: r.Fields, Response: `{"id":"<` + v.MessageID + `>","message":"Queued. Thank you."}`}
}

func showRecipient(r *message.RecipientView) panel.Recipient {
	out := panel.Recipient{Address: r.Address, Status: status(r.Status), NextTry: r.NextTry}
	if r.Timing != nil {
		out.Chosen, out.WhyChosen = r.Timing.At, r.Timing.Why
	}
	for _, e := range r.Attempts {
		if e.Doc.DeliveryStatus != nil && !strings.HasPrefix(e.Doc.Reason, "suppress-") && !captured(e) {
			out.Attempts = append(out.Attempts, showAttempt(e))
		}
		out.Captured = out.Captured || captured(e)
	}
	if r.Last != nil {
		switch d := &r.Last.Doc; {
		case d.Reject != nil:
			out.Reason = d.Reject.Description
		case r.Status == message.StatusSuppressed || r.Status == message.StatusExpired:
			out.Reason = d.DeliveryStatus.Message
		}
	}
	return out
}

// captured reports whether the event is the keeping of a message, which is no
// attempt to deliver it.
func captured(e *event.Event) bool {
	return e.Doc.Event == event.Delivered && e.Doc.DeliveryStatus != nil && e.Doc.DeliveryStatus.MXHost == message.CaptureHost
}

func showAttempt(e *event.Event) panel.Attempt {
	s := e.Doc.DeliveryStatus
	out := panel.Attempt{Time: e.Doc.Timestamp.Time().Add(-time.Duration(s.SessionSeconds * float64(time.Second))), MX: s.MXHost,
		Duration: time.Duration(s.SessionSeconds * float64(time.Second)), Code: s.Code, Enhanced: s.EnhancedCode, Reply: strings.TrimPrefix(s.Message, s.EnhancedCode+" "), Outcome: panel.Delivered}
	if e.Doc.Envelope != nil {
		out.LocalIP = e.Doc.Envelope.SendingIP
	}
	if e.Doc.Event == event.Failed {
		out.Outcome = panel.Failed
		if e.Doc.Severity == event.Temporary {
			out.Outcome = panel.Deferred
		}
	}
	lines, err := smtp.DecodeTranscript(e.Detail)
	if err != nil {
		out.Error = "the conversation could not be read"
		return out
	}
	switch {
	case out.Outcome == panel.Delivered:
		out.Reply = finalReply(lines, s)
	case !said(lines, s.Code) && s.MXHost != message.CaptureHost:
		// The code is our own word for what went wrong, not an answer.
		out.Code, out.Enhanced, out.Reply, out.Error = 0, "", "", s.Message
	}
	for _, l := range lines {
		switch {
		case l.Dir != smtp.Note:
			out.Transcript = append(out.Transcript, panel.Line{Client: l.Dir == smtp.FromClient, Text: l.Text, At: l.At})
		case strings.HasPrefix(l.Text, "TLS"):
			out.TLS = l.Text
		case out.IP == "":
			out.IP = addressIn(l.Text)
		}
	}
	if out.TLS == "" && s.TLS != nil && *s.TLS {
		out.TLS = "encrypted" // on a connection whose handshake was for another message
	}
	return out
}

// said reports whether the server answered with the code.
func said(lines []smtp.TranscriptLine, code int) bool {
	return slices.ContainsFunc(lines, func(l smtp.TranscriptLine) bool {
		return l.Dir == smtp.FromServer && strings.HasPrefix(l.Text, strconv.Itoa(code))
	})
}

// finalReply is how the server took the message over, in its own words: they
// name it in that server's logs. The event has no more than Mailgun's "OK".
func finalReply(lines []smtp.TranscriptLine, s *event.DeliveryStatus) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if lines[i].Dir != smtp.FromServer {
			continue
		}
		if text, ok := strings.CutPrefix(lines[i].Text, strconv.Itoa(s.Code)+" "); ok {
			return strings.TrimSpace(strings.TrimPrefix(text, s.EnhancedCode))
		}
	}
	return s.Message
}

// addressIn finds the peer's address in a note of the conversation.
func addressIn(note string) string {
	for _, w := range strings.Fields(note) {
		if host, _, err := net.SplitHostPort(w); err == nil {
			return host
		}
	}
	return ""
}

// answer is what the server said, or what kept us from hearing it.
func answer(e *event.Event) string {
	s := e.Doc.DeliveryStatus
	lines, err := smtp.DecodeTranscript(e.Detail)
	switch {
	case err == nil && e.Doc.Event == event.Delivered:
		return strings.TrimSpace(fmt.Sprintf("%d %s %s", s.Code, s.EnhancedCode, finalReply(lines, s)))
	case err == nil && !said(lines, s.Code) && s.MXHost != message.CaptureHost && s.MXHost != "":
		return s.Message
	}
	return strings.TrimSpace(strings.TrimSpace(strconv.Itoa(s.Code)+" "+s.EnhancedCode) + " " + strings.TrimPrefix(s.Message, s.EnhancedCode+" "))
}

func showEvent(e *event.Event) panel.Event {
	out := panel.Event{Time: e.Doc.Timestamp.Time(), Name: string(e.Doc.Event), Recipient: e.Doc.Recipient}
	if e.Doc.Event == event.Failed && e.Doc.Severity == event.Temporary {
		out.Name = string(panel.Deferred) // the event is called failed, but nothing has failed yet
	}
	switch s := e.Doc.DeliveryStatus; {
	case e.Doc.Reject != nil:
		out.Text = e.Doc.Reject.Description
	case captured(e):
		out.Text = "simulated: the message was captured"
	case s != nil:
		out.Text = answer(e)
	case e.Doc.URL != "":
		out.Text = e.Doc.URL
	}
	if b, err := json.MarshalIndent(&e.Doc, "", "  "); err == nil {
		out.JSON = b
	}
	return out
}

// maxCalls is how many calls one page looks at.
const maxCalls = 300

// WebhookCalls lists calls, newest first.
func (p *panelSource) WebhookCalls(ctx context.Context, q panel.Query) (panel.CallPage, error) {
	acc, err := p.account(ctx)
	if err != nil {
		return panel.CallPage{}, err
	}
	before, _ := strconv.ParseInt(q.Before, 10, 64)
	calls, err := p.a.webhooks.Calls(ctx, webhook.Query{AccountID: acc, Before: before, Limit: maxCalls})
	if err != nil {
		return panel.CallPage{}, err
	}
	page := panel.CallPage{Counts: map[panel.CallState]int{}}
	for i := range calls {
		c := p.call(ctx, &calls[i])
		if !matchesCall(q.Filter, &c) {
			continue
		}
		page.Counts[c.State]++
		page.Total++
		if s := q.Filter.Statuses; len(s) > 0 && !slices.Contains(s, panel.Status(c.State)) {
			continue
		}
		if len(page.Calls) < q.Limit {
			page.Calls = append(page.Calls, c)
		} else if page.Older == "" {
			page.Older = page.Calls[len(page.Calls)-1].ID
		}
	}
	if page.Older == "" && len(calls) == maxCalls { // older ones may match
		page.Older = strconv.FormatInt(calls[len(calls)-1].ID, 10)
	}
	if before != 0 && len(page.Calls) > 0 {
		page.Newer = page.Calls[0].ID
	}
	return page, nil
}

func matchesCall(f panel.Filter, c *panel.WebhookCall) bool {
	for _, w := range f.Words {
		if !contains(c.Event, w) && !contains(c.URL, w) && !contains(c.Recipient, w) {
			return false
		}
	}
	return anyIn(f.To, c.Recipient) && anyIn(f.Domains, c.Domain)
}

func (p *panelSource) call(ctx context.Context, c *webhook.Call) panel.WebhookCall {
	out := panel.WebhookCall{ID: strconv.FormatInt(c.ID, 10), Event: c.EventType, URL: c.URL, Created: c.CreatedAt, NextTry: c.Due,
		State: panel.CallPending}
	switch c.State {
	case webhook.Delivered:
		out.State = panel.CallDelivered
	case webhook.Rejected, webhook.Failed:
		out.State = panel.CallFailed
	}
	if c.MessageID != 0 {
		out.MessageID = strconv.FormatInt(c.MessageID, 10)
	}
	if d, err := p.a.domains.ByID(ctx, c.DomainID); err == nil {
		out.Domain = d.Name
	}
	var doc event.Doc
	if json.Unmarshal([]byte(c.Payload), &doc) == nil {
		out.Recipient = doc.Recipient
	}
	for _, t := range c.Attempts {
		out.Attempts = append(out.Attempts, panel.CallAttempt{Time: t.At, Duration: t.Duration, Status: t.Status, Error: t.Error,
			RequestHeaders: t.Request.Header, RequestBody: t.Request.Body, ResponseBody: t.Response})
	}
	return out
}

// System describes the running program.
func (p *panelSource) System(ctx context.Context) (panel.System, error) {
	if _, _, err := p.may(ctx, op.Account, op.Write); err != nil { // settings and paths are the operator's
		return panel.System{}, err
	}
	a := p.a
	s := panel.System{Started: a.started, Hostname: a.cfg.Hostname, DataDir: a.cfg.Data, Database: a.database(ctx), Signing: string(a.signing.backend)}
	if d, err := disk.Of(a.cfg.Data); err == nil {
		s.DiskFree, s.DiskTotal = d.Free, d.Total
	}
	size, err := dirSize(a.cfg.Data)
	if err != nil {
		return s, err
	}
	s.DataSize = size
	for _, l := range []struct {
		name, tls string
		ln        net.Listener
	}{{"HTTP API and panel", "none", a.http}, {"HTTPS API and panel", "implicit", a.https}} {
		if l.ln != nil {
			s.Listeners = append(s.Listeners, panel.Listener{Name: l.name, Address: l.ln.Addr().String(), TLS: l.tls})
		}
	}
	for _, m := range a.mail {
		s.Listeners = append(s.Listeners, panel.Listener{Name: mailName(m.Service), Address: m.ln.Addr().String(), TLS: mailTLS(m.MailListen)})
	}
	for _, set := range a.cfg.Settings() {
		s.Settings = append(s.Settings, panel.Setting{Name: set.Name, Value: set.Value, Origin: set.Origin, Insecure: set.Insecure && !a.dev()})
		if set.Insecure && !a.dev() {
			s.Warnings = append(s.Warnings, panel.Warning{Text: set.Name + " is on: " + set.Risk, Fix: "Remove it from the settings unless this is a closed network.", Insecure: true})
		}
	}
	return s, nil
}

func mailName(s config.Service) string {
	if s == config.SMTP {
		return "SMTP, own domains and submission"
	}
	return "SMTP submission"
}

func mailTLS(l config.MailListen) string {
	if l.ImplicitTLS() {
		return "implicit"
	}
	return "STARTTLS"
}

func dirSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // a file that vanished while we looked counts nothing
		}
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n, err
}
