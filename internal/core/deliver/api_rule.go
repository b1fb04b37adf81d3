package deliver

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/core/queue"
	"postroad/internal/core/shape"
)

const (
	ruleDoc = `A rule is about one thing: a lane, a site (by its name, or all sites with an MX host of a name or below it), a recipient domain, a source, or a sender by account, sending domain or tag. There is one rule of a kind for a thing: another one replaces it.

A rule without ` + "`expires`" + ` holds until it is removed.`

	rerouteDoc = `The target is a relay, ` + "`smtp://host:port`" + `, or ` + "`source:NAME`" + ` or ` + "`pool:NAME`" + ` to leave from there. A relay that is one of the settings is used with its login and TLS. Only sites and recipient domains can be rerouted.`

	resumeDoc = `Removes the pauses of exactly what is named. A lane or the lanes of a site are also freed of what the program put on them by itself: suspensions and slowing down. The answer lists what still stops it.`
)

// thingIn names what a rule is about.
type thingIn struct {
	Lane        string `json:"lane,omitempty" doc:"name of a lane"`
	Site        string `json:"site,omitempty" doc:"name of a site, name of an MX host or what it ends in, or *"`
	Destination string `json:"destination,omitempty" doc:"recipient domain, *.domain for those below it, or *"`
	Source      string `json:"source,omitempty" doc:"name of a source"`
	Account     string `json:"account,omitempty" doc:"id of a sending account, or * for each by itself"`
	Domain      string `json:"domain,omitempty" doc:"sending domain, or * for each by itself"`
	Tag         string `json:"tag,omitempty" doc:"first tag of messages, or * for each by itself"`
}

// aboutIn is what all rules have.
type aboutIn struct {
	thingIn
	Reason  string `json:"reason" doc:"why, for whoever finds the rule"`
	Expires string `json:"expires,omitempty" doc:"when it ends: a duration (90m, 2h, 3d) or a time (RFC 3339); empty: never"`
}

// thing returns the scope and match of what is named.
func (a *Admin) thing(ctx context.Context, in *thingIn) (scope shape.Scope, match string, err error) {
	given := 0
	for _, x := range [...]struct {
		scope shape.Scope
		match string
	}{{shape.ScopeLane, in.Lane}, {shape.ScopeSite, strings.ToLower(in.Site)}, {shape.ScopeRecipientDomain, in.Destination}, {shape.ScopeSource, in.Source},
		{shape.ScopeAccount, in.Account}, {shape.ScopeDomain, in.Domain}, {shape.ScopeTag, in.Tag}} {
		if x.match != "" {
			scope, match = x.scope, x.match
			given++
		}
	}
	switch {
	case given == 0:
		return "", "", errs.New(errs.Invalid, "say what it is about: lane, site, destination, source, account, domain or tag")
	case given > 1:
		return "", "", errs.New(errs.Invalid, "a rule is about one thing: give only one of lane, site, destination, source, account, domain and tag")
	case scope == shape.ScopeRecipientDomain:
		star, name := "", match
		if rest, ok := strings.CutPrefix(match, "*."); ok {
			star, name = "*.", rest
		}
		if match != "*" {
			match, err = destinationName(name)
			match = star + match
		}
	case scope == shape.ScopeDomain && match != "*":
		d, err := a.Domains.ByName(ctx, match)
		if err != nil {
			return "", "", err
		}
		match = strconv.FormatInt(d.ID, 10)
	}
	return scope, match, err
}

type ruleView struct {
	ID            string    `json:"id"`
	Kind          string    `json:"kind" doc:"pause, limit or reroute"`
	Scope         string    `json:"scope" doc:"lane, site, destination, source, account, domain or tag"`
	Match         string    `json:"match"`
	Effect        string    `json:"effect" doc:"in words"`
	Sessions      int       `json:"sessions,omitempty"`
	PerConnection int       `json:"per_connection,omitempty"`
	Rate          string    `json:"rate,omitempty"`
	Target        string    `json:"target,omitempty"`
	Reason        string    `json:"reason"`
	Origin        string    `json:"origin" doc:"admin: an operator; auto: the program"`
	By            string    `json:"by,omitempty" doc:"who made it"`
	Created       time.Time `json:"created"`
	Expires       time.Time `json:"expires,omitzero" doc:"absent: never"`
}

// scopeName is the API's name of a scope.
func scopeName(s shape.Scope) string {
	if s == shape.ScopeRecipientDomain {
		return "destination"
	}
	return string(s)
}

func (a *Admin) ruleView(ctx context.Context, r *shape.Rule, names *domainNames) (*ruleView, error) {
	v := &ruleView{ID: strconv.FormatInt(r.ID, 10), Kind: string(r.Kind), Scope: scopeName(r.Scope), Match: r.Match, Sessions: r.Sessions,
		PerConnection: r.PerConnection, Rate: periodText(r.Count, r.Period), Target: r.Target, Reason: r.Reason, Origin: string(r.Origin), By: r.CreatedBy,
		Created: r.CreatedAt, Expires: r.ExpiresAt}
	v.Effect = effect(v)
	if r.Scope == shape.ScopeDomain && r.Match != "*" {
		id, err := parseID(r.Match)
		if err == nil {
			v.Match, err = names.of(ctx, id)
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

// effect says in words what a rule does.
func effect(v *ruleView) string {
	switch v.Kind {
	case string(shape.Pause):
		return "no deliveries"
	case string(shape.Reroute):
		return "by " + v.Target
	}
	var parts []string
	if v.Sessions > 0 {
		parts = append(parts, fmt.Sprintf("%d sessions", v.Sessions))
	}
	if v.Rate != "" {
		parts = append(parts, v.Rate)
	}
	if v.PerConnection > 0 {
		parts = append(parts, fmt.Sprintf("%d messages per connection", v.PerConnection))
	}
	return strings.Join(parts, ", ")
}

type madeOut struct {
	Message  string    `json:"message"`
	Rule     *ruleView `json:"rule"`
	Replaced bool      `json:"replaced,omitempty" doc:"there was such a rule before"`
	Note     string    `json:"note,omitempty"`
}

// impose makes a rule, in place of one of its kind for the same thing.
func (a *Admin) impose(ctx context.Context, in *aboutIn, r shape.Rule) (*madeOut, error) {
	var err error
	if err = bounded(in.Lane, in.Site, in.Destination, in.Source, in.Account, in.Domain, in.Tag, in.Expires, r.Target); err != nil {
		return nil, err
	}
	if r.Scope, r.Match, err = a.thing(ctx, &in.thingIn); err != nil {
		return nil, err
	}
	if r.Reason, err = reasoned(in.Reason, "a reason is required: whoever finds the rule must know why it is there"); err != nil {
		return nil, err
	}
	if r.ExpiresAt, err = parseExpiry(in.Expires, a.Clock.Now()); err != nil {
		return nil, err
	}
	r.CreatedBy = who(ctx)
	out := &madeOut{}
	if old := a.same(&r); old != nil {
		r.ID, out.Replaced = old.ID, true
		r, err = a.Shape.Update(ctx, r)
	} else {
		r, err = a.Shape.Create(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	if out.Rule, err = a.ruleView(ctx, &r, a.names()); err != nil {
		return nil, err
	}
	out.Message = fmt.Sprintf("%s %s: %s", out.Rule.Scope, out.Rule.Match, out.Rule.Effect)
	a.logRule(ctx, "made", out.Rule)
	if out.Note, err = a.unused(ctx, &r); err != nil {
		return nil, err
	}
	return out, nil
}

// same returns the operator's rule of the same kind for the same thing.
func (a *Admin) same(r *shape.Rule) *shape.Rule {
	for _, x := range a.Shape.Rules() {
		if x.Origin == shape.Admin && x.Kind == r.Kind && x.Scope == r.Scope && x.Match == r.Match {
			return &x
		}
	}
	return nil
}

// unused remarks that a rule names a lane nothing is known of, a slip perhaps,
// or a destination whose mail goes by a relay and so is not told apart.
func (a *Admin) unused(ctx context.Context, r *shape.Rule) (string, error) {
	if r.Scope == shape.ScopeRecipientDomain && r.Kind != shape.Reroute {
		lane, ok := a.Router.Route(&queue.Delivery{Destination: r.Match})
		if ok && !slices.ContainsFunc(a.Shape.Explain(lane), func(x shape.Reason) bool { return x.RuleID == r.ID }) {
			return "its mail goes by the lane " + lane + ", where this rule has no effect now", nil
		}
		return "", nil
	}
	if r.Scope != shape.ScopeLane {
		return "", nil
	}
	list, err := a.lanes(ctx)
	if err != nil || slices.ContainsFunc(list, func(v *laneView) bool { return v.Name == r.Match }) {
		return "", err
	}
	return "no lane of that name is in use now", nil
}

func (a *Admin) logRule(ctx context.Context, what string, v *ruleView) {
	args := []any{"by", who(ctx), "id", v.ID, "kind", v.Kind, v.Scope, v.Match, "effect", v.Effect, "reason", v.Reason}
	if !v.Expires.IsZero() {
		args = append(args, "expires", v.Expires)
	}
	a.Logger.Info("queue: rule "+what, args...)
}

type pauseIn struct {
	Body pauseBody `body:"json" required:"a JSON body is required" doc:"what to stop, and why"`
}

type pauseBody struct{ aboutIn }

// UnmarshalJSON implements json.Unmarshaler.
func (b *pauseBody) UnmarshalJSON(data []byte) error { return strict(data, &b.aboutIn) }

func (a *Admin) pause(ctx context.Context, in *pauseIn) (*madeOut, error) {
	return a.impose(ctx, &in.Body.aboutIn, shape.Rule{Kind: shape.Pause})
}

type limitIn struct {
	Body limitBody `body:"json" required:"a JSON body is required" doc:"what to limit, how, and why"`
}

type limitBody struct {
	aboutIn
	Sessions      int    `json:"sessions,omitempty" doc:"sessions at a time"`
	Rate          string `json:"rate,omitempty" doc:"deliveries per time: 5/s, 100/m, 1000/h, 20000/d or 50/10m"`
	PerConnection int    `json:"per_connection,omitempty" doc:"messages on one connection"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *limitBody) UnmarshalJSON(data []byte) error {
	type plain limitBody
	return strict(data, (*plain)(b))
}

func (a *Admin) limit(ctx context.Context, in *limitIn) (*madeOut, error) {
	r := shape.Rule{Kind: shape.Limit, Sessions: in.Body.Sessions, PerConnection: in.Body.PerConnection}
	if in.Body.Rate != "" {
		var err error
		if r.Count, r.Period, err = parseRate(in.Body.Rate); err != nil {
			return nil, err
		}
	}
	return a.impose(ctx, &in.Body.aboutIn, r)
}

type rerouteIn struct {
	Body rerouteBody `body:"json" required:"a JSON body is required" doc:"whose mail, where to, and why"`
}

type rerouteBody struct {
	aboutIn
	Target string `json:"target" doc:"smtp://host:port, source:NAME or pool:NAME"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *rerouteBody) UnmarshalJSON(data []byte) error {
	type plain rerouteBody
	return strict(data, (*plain)(b))
}

func (a *Admin) reroute(ctx context.Context, in *rerouteIn) (*madeOut, error) {
	target, err := parseTarget(in.Body.Target)
	if err == nil {
		err = a.exists(target)
	}
	if err != nil {
		return nil, err
	}
	return a.impose(ctx, &in.Body.aboutIn, shape.Rule{Kind: shape.Reroute, Target: target})
}

// exists refuses sources and pools that are not there: mail would go on as
// before.
func (a *Admin) exists(target string) error {
	kind, name, _ := strings.Cut(target, ":")
	switch {
	case kind == "source":
		if _, ok := a.Router.Pool.Source(name); !ok {
			return errs.New(errs.Invalid, "there is no source %q in the settings", name)
		}
	case kind == "pool" && !a.Router.Pool.HasPool(name):
		return errs.New(errs.Invalid, "no source of the settings is in a pool %q", name)
	}
	return nil
}

// parseTarget reads where mail shall go.
func parseTarget(text string) (string, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		return text, nil // in the form of rules, checked there
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Hostname() == "", u.RawQuery != "", u.Fragment != "", u.Path != "" && u.Path != "/":
		return "", errs.New(errs.Invalid, "%q is not a relay: smtp://host:port", text)
	case u.Scheme != "smtp":
		return "", errs.New(errs.Invalid, "%s is not possible here: give smtp://host:port, and for TLS or a login the host and port of a relay of the settings", u.Scheme+"://")
	case u.User != nil:
		return "", errs.New(errs.Invalid, "a login has no place in a rule: make the relay one of the settings, then give its host and port")
	}
	host, port := u.Hostname(), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" {
		port = "25"
	}
	return "relay:" + host + ":" + port, nil
}

type resumeIn struct {
	Body resumeBody `body:"json" required:"a JSON body is required" doc:"what to let go"`
}

type resumeBody struct {
	thingIn
	Reason string `json:"reason,omitempty" doc:"why, for the log"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *resumeBody) UnmarshalJSON(data []byte) error {
	type plain resumeBody
	return strict(data, (*plain)(b))
}

type resumeOut struct {
	Message string       `json:"message"`
	Rules   []*ruleView  `json:"rules" doc:"pauses that were removed"`
	Lanes   []string     `json:"lanes" doc:"lanes freed of automatic suspensions and slowing down"`
	Still   []reasonView `json:"still" doc:"what stops it all the same"`
}

func (a *Admin) resume(ctx context.Context, in *resumeIn) (*resumeOut, error) {
	b := &in.Body
	if err := bounded(b.Lane, b.Site, b.Destination, b.Source, b.Account, b.Domain, b.Tag); err != nil {
		return nil, err
	}
	reason, err := reasoned(b.Reason, "")
	if err != nil {
		return nil, err
	}
	scope, match, err := a.thing(ctx, &b.thingIn)
	if err != nil {
		return nil, err
	}
	out := &resumeOut{Rules: []*ruleView{}, Lanes: []string{}}
	if old := a.same(&shape.Rule{Kind: shape.Pause, Scope: scope, Match: match}); old != nil {
		v, err := a.remove(ctx, old)
		if err != nil {
			return nil, err
		}
		out.Rules = append(out.Rules, v)
	}
	for _, s := range a.Shape.Lanes() {
		if !within(scope, match, s.Lane) || !a.braked(s.Lane) {
			continue
		}
		if err := a.Shape.Reset(ctx, s.Lane); err != nil {
			return nil, err
		}
		a.Logger.Info("queue: lane reset", "by", who(ctx), "lane", s.Lane, "was", s.Why, "reason", reason)
		out.Lanes = append(out.Lanes, s.Lane)
	}
	out.Still = a.stopping(scope, match)
	if len(out.Rules)+len(out.Lanes) == 0 && len(out.Still) == 0 {
		return nil, errs.New(errs.NotFound, "nothing stops %s %s", scopeName(scope), match)
	}
	out.Message = resumed(out)
	return out, nil
}

func resumed(out *resumeOut) string {
	switch {
	case len(out.Rules)+len(out.Lanes) == 0:
		return "nothing was changed: what stops it is about something else"
	case len(out.Still) > 0:
		return "something else stops it still"
	}
	return "it goes on"
}

// braked reports whether a lane is suspended or slowed down by what the other
// side said, or keeps quiet about.
func (a *Admin) braked(lane string) bool {
	return slices.ContainsFunc(a.Shape.Explain(lane), func(r shape.Reason) bool { return r.Origin == shape.Auto })
}

// within reports whether a lane is the one named, or one of the site named.
func within(scope shape.Scope, match, lane string) bool {
	switch scope {
	case shape.ScopeLane:
		return lane == match
	case shape.ScopeSite:
		key, err := shape.ParseLane(lane)
		return err == nil && shape.SiteMatches(match, key.Site)
	}
	return false
}

// stopping is what stops a lane, or the lane of a destination.
func (a *Admin) stopping(scope shape.Scope, match string) []reasonView {
	lane := ""
	switch scope {
	case shape.ScopeLane:
		lane = match
	case shape.ScopeRecipientDomain:
		lane, _ = a.Router.Route(&queue.Delivery{Destination: match})
	}
	if lane == "" {
		return []reasonView{}
	}
	return reasonViews(slices.DeleteFunc(a.Shape.Explain(lane), func(r shape.Reason) bool { return r.What != "pause" && r.What != "suspension" }))
}

// remove deletes a rule and says what it was.
func (a *Admin) remove(ctx context.Context, r *shape.Rule) (*ruleView, error) {
	v, err := a.ruleView(ctx, r, a.names())
	if err != nil {
		return nil, err
	}
	if err := a.Shape.Delete(ctx, r.ID); err != nil {
		return nil, err
	}
	a.logRule(ctx, "removed", v)
	return v, nil
}

type rulesIn struct{}

type rulesOut struct {
	Items []*ruleView `json:"items" doc:"in the order made"`
}

func (a *Admin) listRules(ctx context.Context, _ *rulesIn) (*rulesOut, error) {
	out, names := &rulesOut{Items: []*ruleView{}}, a.names()
	for _, r := range a.Shape.Rules() {
		v, err := a.ruleView(ctx, &r, names)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, v)
	}
	return out, nil
}

type removeIn struct {
	ID string `path:"id" doc:"id of the rule"`
}

type removedOut struct {
	Message string    `json:"message"`
	Rule    *ruleView `json:"rule" doc:"as it was"`
}

func (a *Admin) deleteRule(ctx context.Context, in *removeIn) (*removedOut, error) {
	id, err := parseID(in.ID)
	if err != nil {
		return nil, err
	}
	r, err := a.Shape.Rule(id)
	if err != nil {
		return nil, err
	}
	v, err := a.remove(ctx, &r)
	if err != nil {
		return nil, err
	}
	return &removedOut{Message: "rule removed", Rule: v}, nil
}
