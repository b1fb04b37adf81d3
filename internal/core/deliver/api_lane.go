package deliver

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/netx"
	"postroad/internal/core/queue"
	"postroad/internal/core/shape"
	"postroad/internal/mail/classify"
)

const lanesDoc = `A lane is a destination site (its MX hosts, or a relay) and the source its mail leaves from. Lanes that are stopped come first, then those that are slowed down, then the fullest.

States: ` + "`paused`" + ` by a rule, ` + "`suspended`" + ` because of what the server said or because nobody answers, ` + "`probing`" + `: one session tries whether a suspension can end, ` + "`slowed`" + ` after complaints, ` + "`open`" + `.`

// The states of lanes.
const (
	lanePaused    = "paused"
	laneSuspended = "suspended"
	laneProbing   = "probing"
	laneSlowed    = "slowed"
	laneOpen      = "open"
)

// Bounds of answers about lanes.
const (
	destinationsShown = 20
	destinationsFull  = 1000
	sampled           = 1000 // deliveries, the oldest, whose last attempts are looked at
)

type laneView struct {
	Name   string `json:"name"`
	Site   string `json:"site" doc:"where it goes: mx:HOSTS, relay:HOST:PORT, SCHEME://HOST of URLs, or a domain"`
	Source string `json:"source" doc:"what it leaves from; empty: the system's choice"`
	State  string `json:"state" doc:"paused, suspended, probing, slowed or open"`
	Why    string `json:"why" doc:"what limits it most"`

	Queued  int64       `json:"queued" doc:"unfinished deliveries in all"`
	Waiting waitingView `json:"waiting"`

	Sessions sessionsView `json:"sessions"`
	Rate     rateView     `json:"rate"`

	SuspendedUntil time.Time    `json:"suspended_until,omitzero" doc:"of a stop that has an end"`
	Oldest         time.Time    `json:"oldest,omitzero" doc:"when the oldest delivery was accepted"`
	NextDue        time.Time    `json:"next_due,omitzero" doc:"when the first of those that wait for a later time is due"`
	LastReply      *replyView   `json:"last_reply,omitempty"`
	Reasons        []reasonView `json:"reasons" doc:"everything in force for the lane, what limits it most first"`

	Destinations     []string `json:"destinations" doc:"recipient domains with mail in it, the fullest first"`
	MoreDestinations int      `json:"more_destinations,omitempty" doc:"how many are not listed"`

	counts map[string]int64
}

type waitingView struct {
	First    int   `json:"first" doc:"ready for their first attempt"`
	Again    int   `json:"again" doc:"ready for another attempt"`
	Blocked  int   `json:"blocked" doc:"ready, but a limit of their sender holds them"`
	Routing  int   `json:"routing" doc:"their lane is being found out"`
	InHand   int   `json:"in_hand" doc:"in sessions or being recorded"`
	Due      int64 `json:"due" doc:"due, in the table: there is no room for them in memory yet"`
	Deferred int64 `json:"deferred" doc:"wait for a later time"`
}

type sessionsView struct {
	Now     int `json:"now"`
	Allowed int `json:"allowed" doc:"at the moment"`
	Most    int `json:"most" doc:"when all is well; 0 of a lane that was not used lately"`
}

type rateView struct {
	Limit    string  `json:"limit" doc:"deliveries per second, minute or hour: 100/m; empty: none"`
	Observed float64 `json:"observed" doc:"deliveries per second over the last minute"`
}

type replyView struct {
	Code     int       `json:"code"`
	Enhanced string    `json:"enhanced,omitempty"`
	Text     string    `json:"text"`
	Class    string    `json:"class" doc:"what it means"`
	MX       string    `json:"mx,omitempty" doc:"host that said it; empty: nobody was reached"`
	At       time.Time `json:"at"`
}

type reasonView struct {
	What   string    `json:"what" doc:"pause, suspension, sessions, rate, per connection or reroute"`
	Effect string    `json:"effect"`
	Reason string    `json:"reason" doc:"the operator's words, the server's, or a note"`
	Origin string    `json:"origin" doc:"admin, auto or default"`
	Rule   string    `json:"rule,omitempty" doc:"id of the rule"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Limits bool      `json:"limits" doc:"this limits the lane most now"`
}

func reasonViews(list []shape.Reason) []reasonView {
	out := make([]reasonView, len(list))
	for i, r := range list {
		out[i] = reasonView{What: r.What, Effect: r.Effect, Reason: r.Text, Origin: string(r.Origin), Since: r.Since, Until: r.Until, Limits: r.Limits}
		if r.RuleID != 0 {
			out[i].Rule = fmt.Sprint(r.RuleID)
		}
	}
	return out
}

type lanesIn struct {
	All   bool `form:"all" doc:"yes: also lanes that are open and have nothing to do"`
	Limit int  `form:"limit" default:"500" min:"1" max:"20000" doc:"lanes wanted"`
}

type lanesOut struct {
	Items []*laneView `json:"items"`
	Total int         `json:"total" doc:"lanes there are"`
}

func (a *Admin) listLanes(ctx context.Context, in *lanesIn) (*lanesOut, error) {
	list, err := a.lanes(ctx)
	if err != nil {
		return nil, err
	}
	if !in.All {
		list = slices.DeleteFunc(list, func(v *laneView) bool { return v.Queued == 0 && v.Sessions.Now == 0 && v.State == laneOpen })
	}
	out := &lanesOut{Items: list[:min(len(list), in.Limit)], Total: len(list)}
	for _, v := range out.Items {
		v.list(destinationsShown)
	}
	return out, nil
}

type laneIn struct {
	Lane string `path:"lane" doc:"name of the lane, or a recipient domain: the lane its mail takes"`
}

func (a *Admin) getLane(ctx context.Context, in *laneIn) (*laneView, error) {
	list, err := a.lanes(ctx)
	if err != nil {
		return nil, err
	}
	name := in.Lane
	find := func() *laneView {
		for _, v := range list {
			if v.Name == name {
				v.list(destinationsFull)
				return v
			}
		}
		return nil
	}
	if v := find(); v != nil {
		return v, nil
	}
	if destination, err := destinationName(name); err == nil {
		if lane, ok := a.Router.Route(&queue.Delivery{Destination: destination}); ok {
			name = lane
		}
	}
	if v := find(); v != nil {
		return v, nil
	}
	return nil, errs.New(errs.NotFound, "no lane %s: nothing waits for it and nothing was sent there lately", in.Lane)
}

// lanes joins what the queue holds, what shaping says and what the oldest
// deliveries have heard.
func (a *Admin) lanes(ctx context.Context) ([]*laneView, error) {
	infos, err := a.Queue.Lanes(ctx)
	if err != nil {
		return nil, err
	}
	b := board{}
	for _, s := range a.Shape.Lanes() {
		b.lane(s.Lane).shaped(&s)
	}
	for i := range infos {
		b.lane(a.laneOf(&infos[i])).add(&infos[i])
	}
	oldest, err := a.Queue.List(ctx, queue.Selector{}, 0, sampled)
	if err != nil {
		return nil, err
	}
	for _, d := range oldest {
		if v := b[d.Lane]; v != nil {
			v.heard(lastReply(d.Lane, d.Last))
		}
	}
	for _, v := range b {
		v.explain(a.Shape.Explain(v.Name))
	}
	return slices.SortedFunc(maps.Values(b), func(x, y *laneView) int {
		return cmp.Or(cmp.Compare(x.trouble(), y.trouble()), cmp.Compare(y.Queued, x.Queued), cmp.Compare(x.Name, y.Name))
	}), nil
}

// laneOf is the name under which something of the queue is shown. What waits in
// the table belongs to the lane it would get as far as is known now.
func (a *Admin) laneOf(i *queue.LaneInfo) string {
	if i.Lane != "" {
		return i.Lane
	}
	if name, ok := a.Router.Route(&queue.Delivery{Destination: i.Destination}); ok {
		return name
	}
	return i.Destination
}

// board is lanes by name.
type board map[string]*laneView

func (b board) lane(name string) *laneView {
	v := b[name]
	if v == nil {
		key, err := shape.ParseLane(name)
		if err != nil {
			key = shape.Lane{Site: name}
		}
		v = &laneView{Name: name, Site: key.Site, Source: key.Source, State: laneOpen, counts: map[string]int64{}}
		b[name] = v
	}
	return v
}

func (v *laneView) shaped(s *shape.Status) {
	v.Sessions.Allowed, v.Sessions.Most = s.Sessions, s.Most
	v.Rate = rateView{rateText(s.Rate), math.Round(s.Observed*1000) / 1000}
	if s.Slowed {
		v.State = laneSlowed
	}
	if s.Stopped {
		v.SuspendedUntil = s.Until
	}
	if !s.Replied.IsZero() && s.Code != 0 {
		v.heard(reply(s.Lane, s.Code, "", s.Text, s.MX, s.Replied))
	}
}

func (v *laneView) add(i *queue.LaneInfo) {
	w := &v.Waiting
	w.First, w.Again, w.Blocked, w.Routing = w.First+i.First, w.Again+i.Again, w.Blocked+i.Blocked, w.Routing+i.Routing
	w.InHand += max(0, i.Held-i.First-i.Again-i.Blocked-i.Routing)
	w.Due, w.Deferred = w.Due+i.Due, w.Deferred+i.Deferred
	v.Sessions.Now += i.Sessions
	v.Queued += int64(i.Held) + i.Due + i.Deferred
	v.Oldest, v.NextDue = earlier(v.Oldest, at(i.Since)), earlier(v.NextDue, at(i.NextDue))
	for _, name := range i.Destinations {
		v.counts[name] += 0
	}
	if i.Destination != "" {
		v.counts[i.Destination] += int64(i.Held) + i.Due + i.Deferred
	}
}

// earlier is the earlier of two times of which either may be none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// heard keeps the latest reply.
func (v *laneView) heard(r *replyView) {
	if r != nil && (v.LastReply == nil || r.At.After(v.LastReply.At)) {
		v.LastReply = r
	}
}

func (v *laneView) explain(list []shape.Reason) {
	v.Reasons = reasonViews(list)
	for _, r := range list {
		switch {
		case r.What == "pause":
			v.State = lanePaused
		case r.What == "suspension" && r.Until.IsZero() && v.State != lanePaused:
			v.State = laneProbing
		case r.What == "suspension" && v.State != lanePaused:
			v.State = laneSuspended
		}
		if r.Limits {
			v.Why = r.String()
		}
	}
}

// trouble orders lanes by their state.
func (v *laneView) trouble() int {
	switch v.State {
	case lanePaused, laneSuspended, laneProbing:
		return 0
	case laneSlowed:
		return 1
	}
	return 2
}

// list names up to n of the destinations.
func (v *laneView) list(n int) {
	v.Destinations = slices.SortedFunc(maps.Keys(v.counts), func(x, y string) int {
		return cmp.Or(cmp.Compare(v.counts[y], v.counts[x]), cmp.Compare(x, y))
	})
	if more := len(v.Destinations) - n; more > 0 {
		v.Destinations, v.MoreDestinations = v.Destinations[:n], more
	}
}

// reply shows a reply with what it means.
func reply(lane string, code int, enhanced, text, mx string, when time.Time) *replyView {
	r := &replyView{Code: code, Enhanced: enhanced, Text: text, MX: mx, At: when}
	if code/100 == 2 {
		r.Class = classify.Accepted.String()
		if text == "" {
			r.Text = "accepted"
		}
		return r
	}
	if r.Class = classify.Classify(code, enhanced, text, mx).Class.String(); netx.IsURL(lane) {
		r.Class = statusClass(code).String()
	}
	return r
}

// lastReply is what a delivery heard last, nil before its first attempt.
func lastReply(lane, text string) *replyView {
	var l last
	if text == "" || json.Unmarshal([]byte(text), &l) != nil {
		return nil
	}
	return reply(lane, l.Code, l.Enhanced, l.Message, l.MX, at(l.At))
}

// rateText writes a rate per second in the unit in which it is a round number,
// "" for none.
func rateText(perSecond float64) string {
	if perSecond <= 0 {
		return ""
	}
	units := [...]struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}
	for _, u := range units {
		n := perSecond * u.seconds
		if r := math.Round(n); r >= 1 && math.Abs(n-r) < 0.001 {
			return fmt.Sprintf("%.0f/%s", r, u.name)
		}
	}
	for _, u := range units {
		if n := perSecond * u.seconds; n >= 1 {
			return fmt.Sprintf("%.1f/%s", n, u.name)
		}
	}
	return fmt.Sprintf("%.2g/d", perSecond*86400)
}

type topIn struct {
	By    string `form:"by" default:"destination" enum:"destination,domain,account,tag" doc:"what to group by; domain is the sending domain"`
	Limit int    `form:"limit" default:"20" min:"1" max:"1000" doc:"groups wanted"`
}

type topOut struct {
	By      string      `json:"by"`
	Buckets []string    `json:"buckets" doc:"ages in minutes that ages counts by: less than 5, less than 10, and so on"`
	Items   []groupView `json:"items" doc:"the largest first"`
}

type groupView struct {
	Name   string    `json:"name" doc:"empty: without a tag"`
	Count  int64     `json:"count"`
	Oldest time.Time `json:"oldest" doc:"when the oldest was accepted"`
	Ages   []int64   `json:"ages" doc:"deliveries by age, in the order of buckets"`
}

// ageBuckets name the counts of queue.Group.Ages.
func ageBuckets() []string { return []string{"5", "10", "20", "40", "80", "160", "320", "640", "640+"} }

func (a *Admin) top(ctx context.Context, in *topIn) (*topOut, error) {
	groups, err := a.Queue.Top(ctx, in.By, in.Limit)
	if err != nil {
		return nil, err
	}
	out, names := &topOut{By: in.By, Buckets: ageBuckets(), Items: []groupView{}}, a.names()
	for _, g := range groups {
		v := groupView{Name: g.Key, Count: g.Count, Oldest: at(g.Oldest), Ages: g.Ages[:]}
		if in.By == "domain" {
			id, err := parseID(g.Key)
			if err == nil {
				v.Name, err = names.of(ctx, id)
			}
			if err != nil {
				return nil, err
			}
		}
		out.Items = append(out.Items, v)
	}
	return out, nil
}
