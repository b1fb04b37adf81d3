package panel

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// messagePage is everything about one message, one tab at a time.
type messagePage struct {
	Frame      frame
	Message    MessageDetail
	Finding    Finding
	URL        string // of the message, without a query
	Tab        string
	Tabs       []tab
	Recipients []recipientLink // empty if there is only one
	Chosen     string          // recipient asked for, may be empty
	AllURL     string          // of this view for all recipients
	Timed      *Recipient      // the one recipient shown, if the time was chosen for them
	CopyOf     string          // whose copy the content is, if the copies differ and none was chosen
	RawURL     string
	Attempts   []attempt
	Timeline   []moment
	Attached   []Part
	Preview    previewView
	Raw        string
	RawCut     bool // Raw is only the beginning
	JSON       string
	Fields     [][2]string // of the API request, secrets masked
}

// tab is one view of a message: a plain link.
type tab struct {
	Name  string
	Title string
	Count int // shown if not zero
	URL   string
	On    bool
}

// recipientLink narrows the page to one recipient.
type recipientLink struct {
	Recipient
	URL    string
	On     bool
	Result string
}

// attempt is an Attempt with the recipient it was for.
type attempt struct {
	Attempt
	Number   int
	To       string
	Words    string
	Dialogue string // the transcript as text, to paste into a mail
	Reused   bool   // the connection was open from a message before
}

// moment is one event with the time since the one before.
type moment struct {
	Event
	Since time.Duration
	First bool
}

// previewView is how the preview is asked for.
type previewView struct {
	Src     string
	Phone   bool
	Scheme  string
	Remote  bool
	Blocked int // references that were not loaded
	HTML    bool
	Options []option // widths and colour schemes
	Load    string   // URL of this view with remote images
}

// option is one choice of a small set, as a link.
type option struct {
	Title string
	URL   string
	On    bool
}

// maxRaw bounds the raw message shown on a page, in octets.
const maxRaw = 256 << 10

func (p *panel) message(w http.ResponseWriter, r *http.Request) {
	rcpt, asked := r.URL.Query().Get("rcpt"), r.URL.Query().Get("tab")
	m, err := p.Source.Message(r.Context(), r.PathValue("id"), rcpt)
	if err != nil {
		p.broken(w, r, err)
		return
	}
	title := m.Subject
	if title == "" {
		title = "(no subject)"
	}
	page := &messagePage{Frame: p.frame(w, r, title, "messages"), Message: m, URL: "/messages/" + url.PathEscape(m.ID)}
	page.Frame.Live = true
	page.choose(rcpt, asked)
	page.Finding = Verdict(m.Accepted, page.shown(), m.Events, p.Now())
	page.tabs(asked)
	if list := page.shown(); len(list) == 1 && !list[0].Chosen.IsZero() {
		page.Timed = &list[0]
	}
	page.RawURL = listURL(page.URL+"/raw", "rcpt", page.Chosen)
	page.copyOf()
	if err := p.fill(r.Context(), page, r.URL.Query()); err != nil {
		p.broken(w, r, err)
		return
	}
	p.render(w, r, http.StatusOK, "message", page)
}

// choose narrows the page to one recipient if there are several. The links to
// the others keep the tab.
func (g *messagePage) choose(rcpt, tab string) {
	if len(g.Message.Recipients) < 2 {
		return
	}
	for _, r := range g.Message.Recipients {
		on := rcpt != "" && strings.EqualFold(r.Address, rcpt)
		if on {
			g.Chosen = r.Address
		}
		g.Recipients = append(g.Recipients, recipientLink{Recipient: r, On: on, Result: words(lastAttempt(r)),
			URL: listURL(g.URL, "tab", tab, "rcpt", r.Address)})
	}
}

// shown are the recipients the page is about.
func (g *messagePage) shown() []Recipient {
	if g.Chosen == "" {
		return g.Message.Recipients
	}
	for _, r := range g.Message.Recipients {
		if r.Address == g.Chosen {
			return []Recipient{r}
		}
	}
	return nil
}

// copyOf says whose copy is seen where nobody asked for one.
func (g *messagePage) copyOf() {
	switch g.Tab {
	case "preview", "text", "headers", "raw", "attachments":
		if g.Message.Personal && g.Chosen == "" && len(g.Recipients) > 0 {
			g.CopyOf = g.Recipients[0].Address
		}
	}
}

// tabs lists the views. What happened comes first, except in dev mode, where
// people look at the mail they made.
func (g *messagePage) tabs(asked string) {
	m := g.Message
	attempts := 0
	for _, r := range g.shown() {
		attempts += len(r.Attempts)
	}
	for _, p := range m.Parts {
		if attached(p) {
			g.Attached = append(g.Attached, p)
		}
	}
	happened := []tab{{Name: "timeline", Title: "Timeline"}, {Name: "smtp", Title: "SMTP", Count: attempts}}
	content := []tab{
		{Name: "preview", Title: "Preview"}, {Name: "text", Title: "Text"}, {Name: "headers", Title: "Headers"},
		{Name: "raw", Title: "Raw"}, {Name: "attachments", Title: "Attachments", Count: len(g.Attached)},
	}
	around := []tab{
		{Name: "webhooks", Title: "Webhooks", Count: len(m.Webhooks)}, {Name: "request", Title: "Request"},
		{Name: "json", Title: "JSON"},
	}
	all := slices.Concat(happened, content, around)
	if g.Frame.Dev {
		all = slices.Concat(content, happened, around)
	}
	g.Tab = all[0].Name
	for _, t := range all {
		if t.Name == asked {
			g.Tab = asked
		}
	}
	for i, t := range all {
		all[i].On = t.Name == g.Tab
		all[i].URL = listURL(g.URL, "tab", t.Name, "rcpt", g.Chosen)
	}
	g.Tabs, g.AllURL = all, listURL(g.URL, "tab", g.Tab)
}

// attached tells files from the bodies of the message itself.
func attached(p Part) bool {
	return p.Name != "" || !p.Inline && !strings.HasPrefix(strings.ToLower(p.ContentType), "text/")
}

// fill prepares the chosen tab, and only that.
func (p *panel) fill(ctx context.Context, g *messagePage, v url.Values) error {
	switch g.Tab {
	case "timeline":
		g.Timeline = timeline(g.Message.Events, g.Chosen)
	case "smtp":
		g.Attempts = attempts(g.shown())
	case "preview":
		g.Preview = previewFor(g, v)
	case "raw":
		return p.fillRaw(ctx, g)
	case "request":
		if g.Message.Request != nil {
			g.Fields = masked(g.Message.Request.Fields)
		}
	case "json":
		g.JSON = eventsJSON(g.Message.Events)
	}
	return nil
}

func timeline(events []Event, rcpt string) []moment {
	var all []moment
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	for _, e := range events {
		if rcpt != "" && e.Recipient != "" && !strings.EqualFold(e.Recipient, rcpt) {
			continue
		}
		m := moment{Event: e, First: len(all) == 0}
		if !m.First {
			m.Since = e.Time.Sub(all[len(all)-1].Time)
		}
		all = append(all, m)
	}
	return all
}

func attempts(rs []Recipient) []attempt {
	var all []attempt
	for _, r := range rs {
		for i, a := range r.Attempts {
			all = append(all, attempt{Attempt: a, Number: i + 1, To: r.Address, Words: words(a), Dialogue: dialogueText(a), Reused: reused(a)})
		}
	}
	return all
}

// reused reports whether the dialogue begins with a transaction: greeting and
// TLS were done for another message.
func reused(a Attempt) bool {
	return len(a.Transcript) > 0 && a.Transcript[0].Client && strings.HasPrefix(strings.ToUpper(a.Transcript[0].Text), "MAIL ")
}

func dialogueText(a Attempt) string {
	var b strings.Builder
	for _, l := range a.Transcript {
		who := "S: "
		if l.Client {
			who = "C: "
		}
		b.WriteString(who + l.Text + "\n")
	}
	return b.String()
}

func previewFor(g *messagePage, v url.Values) previewView {
	pv := previewView{Phone: v.Get("width") == "phone", Scheme: schemeName(v.Get("scheme")),
		Remote: v.Get("remote") == "1", HTML: g.Message.HTML != ""}
	remote, width := "", ""
	if pv.Remote {
		remote = "1"
	}
	if pv.Phone {
		width = "phone"
	}
	view := func(width, scheme, remote string) string {
		if scheme == "light" {
			scheme = ""
		}
		return listURL(g.URL, "tab", "preview", "rcpt", g.Chosen, "width", width, "scheme", scheme, "remote", remote)
	}
	pv.Src = listURL(g.URL+"/preview", "rcpt", g.Chosen, "scheme", pv.Scheme, "remote", remote)
	pv.Load = view(width, pv.Scheme, "1")
	pv.Options = []option{
		{"Desktop", view("", pv.Scheme, remote), !pv.Phone}, {"Phone", view("phone", pv.Scheme, remote), pv.Phone},
		{"Light", view(width, "light", remote), pv.Scheme == "light"}, {"Dark", view(width, "dark", remote), pv.Scheme == "dark"},
		{"Inverted", view(width, "inverted", remote), pv.Scheme == "inverted"},
	}
	if len(g.Message.HTML) <= maxPreview && !pv.Remote {
		rw := &rewriter{scheme: "light"}
		rw.rewrite(g.Message.HTML)
		pv.Blocked = rw.remote
	}
	return pv
}

func (p *panel) fillRaw(ctx context.Context, g *messagePage) error {
	b, err := p.Source.Raw(ctx, g.Message.ID, g.Chosen)
	if err != nil {
		return err
	}
	if len(b) > maxRaw {
		b, g.RawCut = b[:maxRaw], true
	}
	g.Raw = printable(strings.ReplaceAll(string(b), "\r\n", "\n"))
	return nil
}

// eventsJSON is the list the API returns, indented. An event that is not JSON
// is left out rather than shown as something it is not.
func eventsJSON(events []Event) string {
	var all []json.RawMessage
	for _, e := range events {
		if json.Valid(e.JSON) {
			all = append(all, e.JSON)
		}
	}
	if len(all) == 0 {
		return ""
	}
	joined, err := json.Marshal(all)
	if err != nil {
		return ""
	}
	var b bytes.Buffer
	if json.Indent(&b, joined, "", "  ") != nil {
		return ""
	}
	return b.String()
}

// masked hides the values of fields whose name says that they are secret.
func masked(fields [][2]string) [][2]string {
	out := make([][2]string, len(fields))
	for i, f := range fields {
		name := strings.ToLower(f[0])
		for _, word := range []string{"password", "passwd", "secret", "token", "apikey", "api_key", "api-key", "authorization", "credential", "cookie", "otp"} {
			if strings.Contains(name, word) {
				f[1] = "(hidden)"
				break
			}
		}
		out[i] = f
	}
	return out
}

func (p *panel) deleteMessage(w http.ResponseWriter, r *http.Request) {
	if err := p.Source.DeleteMessage(r.Context(), r.PathValue("id")); err != nil {
		p.broken(w, r, err)
		return
	}
	http.Redirect(w, r, "/messages?done=deleted", http.StatusSeeOther)
}

// resend submits the message again to the addresses typed.
func (p *panel) resend(w http.ResponseWriter, r *http.Request) {
	to := strings.FieldsFunc(r.PostForm.Get("to"), func(c rune) bool {
		return c == ',' || c == ';' || c == '\n' || c == '\r' || c == ' ' || c == '\t'
	})
	if len(to) == 0 {
		p.broken(w, r, &Refusal{Text: "There is no address to send to."})
		return
	}
	if len(to) > 50 {
		p.broken(w, r, &Refusal{Text: "Resending takes at most 50 addresses at a time."})
		return
	}
	id, err := p.Source.Resend(r.Context(), r.PathValue("id"), to)
	if err != nil {
		p.broken(w, r, err)
		return
	}
	http.Redirect(w, r, "/messages/"+url.PathEscape(id)+"?done=resent", http.StatusSeeOther)
}
