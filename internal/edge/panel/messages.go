package panel

import (
	"net/http"
	"net/url"
	"slices"
)

// pageSize is the number of rows of a list.
const pageSize = 50

// messagesPage is the list of messages.
type messagesPage struct {
	Frame   frame
	Heading string
	Search  string
	Status  Status // chosen filter, may be empty
	Chips   []chip
	Total   int
	Page    MessagePage
	First   bool // the newest rows are on it, so it changes by itself
	Blank   bool // there is no message at all
	Older   string
	Newer   string
	Samples []sample
	SMTP    string
}

// chip is one counter above a list: a link to the rows it counts.
type chip struct {
	Name   string
	Status Status
	Tone   string
	Count  int
	URL    string
	On     bool
}

// listURL builds the address of a list; empty values are left out, so equal
// views have equal addresses.
func listURL(path string, pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// listQuery reads the filters of a list from the address.
func listQuery(v url.Values) Query {
	q := Query{Search: v.Get("q"), Before: v.Get("before"), After: v.Get("after"), Limit: pageSize}
	if len(q.Search) > maxSearch {
		q.Search = q.Search[:maxSearch]
	}
	q.Filter = ParseSearch(q.Search)
	q.Filter.addStatus(Status(v.Get("status")))
	if len(q.Before) > maxSearch || len(q.After) > maxSearch {
		q.Before, q.After = "", ""
	}
	return q
}

func (p *panel) messages(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	if !Status(v.Get("status")).known() {
		v.Del("status")
	}
	q := listQuery(v)
	got, err := p.Source.Messages(r.Context(), q)
	if err != nil {
		p.broken(w, r, err)
		return
	}
	heading := "Messages"
	if p.Dev {
		heading = "Inbox"
	}
	status := v.Get("status")
	page := &messagesPage{
		Frame: p.frame(w, r, heading, "messages"), Heading: heading,
		Search: q.Search, Status: Status(status), Total: got.Total, Page: got,
		First: q.Before == "" && q.After == "",
		Blank: got.Total == 0 && len(got.Rows) == 0 && q.Filter.Empty(),
		Chips: p.chips(got, q.Search, Status(status)), Samples: p.samples(), SMTP: p.SMTPAddr,
	}
	if got.Older != "" {
		page.Older = listURL("/messages", "q", q.Search, "status", status, "before", got.Older)
	}
	if got.Newer != "" {
		page.Newer = listURL("/messages", "q", q.Search, "status", status, "after", got.Newer)
	}
	page.Frame.Live = page.First
	p.render(w, r, http.StatusOK, "messages", page)
}

// chips are the counters that say something: those above zero, the chosen one
// and the ones everybody looks for.
func (p *panel) chips(got MessagePage, search string, on Status) []chip {
	always := []Status{Delivered, Deferred, Failed}
	if p.Dev {
		always = []Status{Captured, Delivered, Failed}
	}
	all := []chip{{Name: "All", Count: got.Total, URL: listURL("/messages", "q", search), On: on == ""}}
	for _, s := range statuses() {
		if got.Counts[s] == 0 && s != on && !slices.Contains(always, s) {
			continue
		}
		all = append(all, chip{Name: string(s), Status: s, Tone: s.tone(), Count: got.Counts[s],
			URL: listURL("/messages", "q", search, "status", string(s)), On: s == on})
	}
	return all
}

// clear deletes everything; only in dev mode, where mail is disposable.
func (p *panel) clear(w http.ResponseWriter, r *http.Request) {
	if !p.Dev {
		p.missing(w, r)
		return
	}
	if err := p.Source.ClearMessages(r.Context()); err != nil {
		p.broken(w, r, err)
		return
	}
	http.Redirect(w, r, "/messages?done=cleared", http.StatusSeeOther)
}
