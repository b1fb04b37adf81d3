package panel

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// webhooksPage is the list of webhook calls.
type webhooksPage struct {
	Frame  frame
	Search string
	State  CallState
	Chips  []chip
	Page   CallPage
	Blank  bool
	Older  string
	Newer  string
}

func callState(s string) CallState {
	switch c := CallState(s); c {
	case CallPending, CallDelivered, CallFailed:
		return c
	}
	return ""
}

func (p *panel) webhooks(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	state := callState(v.Get("status"))
	v.Set("status", string(state))
	q := listQuery(v)
	got, err := p.Source.WebhookCalls(r.Context(), q)
	if err != nil {
		p.broken(w, r, err)
		return
	}
	page := &webhooksPage{Frame: p.frame(w, r, "Webhooks", "webhooks"), Search: q.Search, State: state, Page: got,
		Blank: len(got.Calls) == 0 && got.Total == 0 && q.Filter.Empty()}
	page.Chips = []chip{{Name: "All", Count: got.Total, URL: listURL("/webhooks", "q", q.Search), On: state == ""}}
	for _, s := range []CallState{CallDelivered, CallPending, CallFailed} {
		page.Chips = append(page.Chips, chip{Name: string(s), Status: Status(s), Tone: callTone(s), Count: got.Counts[s],
			URL: listURL("/webhooks", "q", q.Search, "status", string(s)), On: s == state})
	}
	if got.Older != "" {
		page.Older = listURL("/webhooks", "q", q.Search, "status", string(state), "before", got.Older)
	}
	if got.Newer != "" {
		page.Newer = listURL("/webhooks", "q", q.Search, "status", string(state), "after", got.Newer)
	}
	page.Frame.Live = q.Before == "" && q.After == ""
	p.render(w, r, http.StatusOK, "webhooks", page)
}

func (p *panel) replay(w http.ResponseWriter, r *http.Request) {
	if err := p.Source.ReplayWebhook(r.Context(), r.PathValue("id")); err != nil {
		p.broken(w, r, err)
		return
	}
	// The fragment lies within the call's details: browsers open them for it.
	back := withOutcome(localPath(r.PostForm.Get("back")), "replayed") + "#" + url.PathEscape("in-call-"+r.PathValue("id"))
	http.Redirect(w, r, back, http.StatusSeeOther)
}

// withOutcome adds the code of an outcome to the address of a page.
func withOutcome(path, code string) string {
	u, err := url.Parse(path)
	if err != nil {
		return "/"
	}
	v := u.Query()
	v.Set("done", code)
	u.RawQuery = v.Encode()
	return u.String()
}

// domainsPage lists the sending domains with what DNS says about them.
type domainsPage struct {
	Frame   frame
	Domains []domainView
}

// domainView is a Domain with its summary.
type domainView struct {
	Domain
	Seen    int // records found as wanted
	Ready   bool
	Summary string
	Rows    []recordView
}

// recordView is a Record with the name as DNS providers want it typed.
type recordView struct {
	Record
	Relative string
	Tone     string
}

func (p *panel) domains(w http.ResponseWriter, r *http.Request) {
	all, err := p.Source.Domains(r.Context())
	if err != nil {
		p.broken(w, r, err)
		return
	}
	page := &domainsPage{Frame: p.frame(w, r, "Domains", "domains")}
	page.Frame.Live = true
	for _, d := range all {
		page.Domains = append(page.Domains, viewDomain(d))
	}
	p.render(w, r, http.StatusOK, "domains", page)
}

func viewDomain(d Domain) domainView {
	v := domainView{Domain: d, Ready: true}
	for _, rec := range d.Records {
		if rec.State == RecordValid {
			v.Seen++
		} else if rec.Required {
			v.Ready = false
		}
		v.Rows = append(v.Rows, recordView{Record: rec, Relative: relative(rec.Name, d.Name), Tone: recordTone(rec)})
	}
	records := fmt.Sprintf("%d records", len(d.Records))
	if len(d.Records) == 1 {
		records = "1 record"
	}
	switch {
	case len(d.Records) == 0:
		v.Ready, v.Summary = false, "no records wanted yet"
	case d.Checked.IsZero():
		v.Ready, v.Summary = false, records+" wanted, not looked up yet"
	default:
		v.Summary = fmt.Sprintf("%d of %s seen", v.Seen, records)
	}
	return v
}

// relative returns a record's name within the zone it probably lives in: the
// registered domain. Typing the absolute name where a provider appends the
// zone is the commonest mistake in setting up a domain.
func relative(name, domain string) string {
	zone, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(domain))
	if err != nil {
		zone = strings.ToLower(domain)
	}
	lower := strings.ToLower(name)
	if lower == zone {
		return "@"
	}
	if strings.HasSuffix(lower, "."+zone) {
		return name[:len(name)-len(zone)-1]
	}
	return name
}

func (p *panel) verify(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if err := p.Source.VerifyDomain(r.Context(), name); err != nil {
		p.broken(w, r, err)
		return
	}
	http.Redirect(w, r, "/domains?done=verified#d-"+url.PathEscape(name), http.StatusSeeOther)
}

// systemPage describes the process and the settings in force.
type systemPage struct {
	Frame    frame
	System   System
	Uptime   time.Duration
	Go       string
	DiskUsed int64
	Loud     []Warning // a security switch is off
	Other    []Warning
	API      string
	SMTP     string
}

func (p *panel) system(w http.ResponseWriter, r *http.Request) {
	s, err := p.Source.System(r.Context())
	if err != nil {
		p.broken(w, r, err)
		return
	}
	page := &systemPage{Frame: p.frame(w, r, "System", "system"), System: s, Uptime: p.Now().Sub(s.Started),
		Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, API: p.APIBase, SMTP: p.SMTPAddr}
	if s.DiskTotal > 0 {
		page.DiskUsed = s.DiskTotal - s.DiskFree
	}
	for _, x := range s.Warnings {
		if x.Insecure {
			page.Loud = append(page.Loud, x)
		} else {
			page.Other = append(page.Other, x)
		}
	}
	p.render(w, r, http.StatusOK, "system", page)
}
