package tag

import (
	"context"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/base/when"
)

const statDoc = "Every interval from `start` to `end` is listed, both included, also those in which nothing happened. " +
	"Hours are kept for 60 days, days for a year after that. One of `provider`, `device` and `country` can be given."

// statOps are those about what was counted for a tag.
func (a *api) statOps() []op.Op {
	const path, lists = "/v3/{domain}/tags/{tag}/stats", "/v3/domains/{domain}/tag/"
	return []op.Op{
		op.New("GET", path, op.Events, op.Read, "Get statistics of a tag", statter[pathStatsIn](a)).WithDoc(statDoc),
		op.New("GET", path+"/aggregates/providers", op.Events, op.Read, "Get a tag's statistics by provider", a.aggregator(byProvider)),
		op.New("GET", path+"/aggregates/countries", op.Events, op.Read, "Get a tag's statistics by country", a.aggregator(byCountry)),
		op.New("GET", path+"/aggregates/devices", op.Events, op.Read, "Get a tag's statistics by device", a.aggregator(byDevice)),
		op.New("GET", "/v3/{domain}/tag/stats", op.Events, op.Read, "Get statistics of a tag, named in the query", statter[queryStatsIn](a)).WithDoc(statDoc),
		op.New("GET", "/v3/{domain}/tag/stats/aggregates", op.Events, op.Read, "Get a tag's statistics by provider, country or device", a.queryAggregate),
		op.New("GET", lists+"providers", op.Events, op.Read, "List the providers that are counted", a.lister(providers)),
		op.New("GET", lists+"countries", op.Events, op.Read, "List the countries that are counted", a.lister(countries)),
		op.New("GET", lists+"devices", op.Events, op.Read, "List the devices that are counted", a.lister(devices)),
	}
}

type statsIn struct {
	Events     []string   `query:"event" split:"," enum:"accepted,delivered,failed,opened,clicked,unsubscribed,complained,stored" required:"Missing mandatory parameter: event" doc:"What to show; may be given several times"`
	Start      *time.Time `query:"start" doc:"Begin, RFC 2822 date or seconds since 1970; seven days before end if absent"`
	End        *time.Time `query:"end" doc:"End, RFC 2822 date or seconds since 1970; now if absent"`
	Resolution Resolution `query:"resolution" enum:"hour,day,month" doc:"Length of the intervals; that of duration's unit, or day, if absent"`
	Duration   string     `query:"duration" doc:"Time before end instead of start: a number and h, d or m, such as 24h"`
	Provider   string     `query:"provider" doc:"Only this provider of recipients"`
	Device     string     `query:"device" doc:"Only this kind of device"`
	Country    string     `query:"country" doc:"Only this country"`
}

func (in *statsIn) stats() *statsIn { return in }

// query says what in asks for.
func (in *statsIn) query(now time.Time) (*statQuery, error) {
	q := &statQuery{resolution: in.Resolution, end: now}
	if in.End != nil {
		q.end = *in.End
	}
	if t := clock.Micro(q.end); t < 0 || t > maxTime {
		return nil, errs.New(errs.Invalid, "Invalid value for parameter 'end'")
	}
	q.start = q.end.AddDate(0, 0, -7)
	if in.Start != nil {
		q.start = *in.Start
	}
	if in.Duration != "" {
		start, unit, ok := when.Before(q.end, in.Duration)
		if !ok {
			return nil, errs.New(errs.Invalid, "'duration' is invalid: it must be a number with h, d or m, such as 24h")
		}
		q.start = start
		if q.resolution == "" {
			q.resolution = map[byte]Resolution{'h': Hour, 'd': Day, 'm': Month}[unit]
		}
	}
	if q.resolution == "" {
		q.resolution = Day
	}
	return q, in.narrow(q)
}

// maxTime is the end of the year 2199: later times are mistakes.
var maxTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func (in *statsIn) narrow(q *statQuery) error {
	given := 0
	for d, value := range map[dimension]string{byProvider: in.Provider, byCountry: in.Country, byDevice: in.Device} {
		if value != "" {
			q.dimension, q.value = d, key(value)
			given++
		}
	}
	if given > 1 {
		return errs.New(errs.Invalid, "only one of 'provider', 'device' and 'country' can be given")
	}
	return nil
}

type pathStatsIn struct {
	pathIn
	statsIn
}

type queryStatsIn struct {
	queryIn
	statsIn
}

// statsOut: Mailgun: type is there when one value of a dimension was asked for.
type statsOut struct {
	Tag         string     `json:"tag"`
	Description string     `json:"description"`
	Start       string     `json:"start" doc:"Begin of the first interval, RFC 1123 date in UTC"`
	End         string     `json:"end" doc:"Begin of the last interval"`
	Resolution  Resolution `json:"resolution"`
	Type        *statType  `json:"type,omitempty"`
	Stats       []statItem `json:"stats" doc:"The intervals in their order"`
}

type statType struct {
	Type string `json:"type" enum:"provider,country,device"`
	Key  string `json:"key"`
}

// dimensions are the names of those that can be asked for.
var dimensions = map[dimension]string{byProvider: "provider", byCountry: "country", byDevice: "device"}

func statter[In any, P interface {
	*In
	target
	stats() *statsIn
}](a *api) func(context.Context, *In) (*statsOut, error) {
	return func(ctx context.Context, in *In) (*statsOut, error) {
		name, tag := P(in).target(ctx)
		d, err := a.domain(ctx, name)
		if err != nil {
			return nil, err
		}
		asked := P(in).stats()
		q, err := asked.query(a.db.Clock().Now())
		if err != nil {
			return nil, err
		}
		q.domainID, q.tag = d.ID, tag
		t, list, err := a.stats(ctx, q)
		if err != nil {
			return nil, err
		}
		out := &statsOut{Tag: t.Name, Description: t.Description, Start: stamp(list[0].begin), End: stamp(list[len(list)-1].begin), Resolution: q.resolution}
		if q.dimension != overall {
			out.Type = &statType{dimensions[q.dimension], q.value}
		}
		for i := range list {
			out.Stats = append(out.Stats, itemOf(&list[i], asked.Events))
		}
		return out, nil
	}
}

// stamp: Mailgun: "Mon, 17 Feb 2025 00:00:00 UTC".
func stamp(t time.Time) string { return t.UTC().Format(time.RFC1123) }

type statItem struct {
	Time         string         `json:"time" doc:"Begin of the interval"`
	Accepted     *acceptedStat  `json:"accepted,omitempty"`
	Delivered    *deliveredStat `json:"delivered,omitempty"`
	Failed       *failedStat    `json:"failed,omitempty"`
	Opened       *uniqueStat    `json:"opened,omitempty"`
	Clicked      *uniqueStat    `json:"clicked,omitempty"`
	Unsubscribed *totalStat     `json:"unsubscribed,omitempty"`
	Complained   *totalStat     `json:"complained,omitempty"`
	Stored       *totalStat     `json:"stored,omitempty"`
}

type acceptedStat struct {
	Incoming int64 `json:"incoming"`
	Outgoing int64 `json:"outgoing"`
	Total    int64 `json:"total"`
}

type deliveredStat struct {
	SMTP      int64 `json:"smtp"`
	HTTP      int64 `json:"http"`
	Optimized int64 `json:"optimized" doc:"Always 0"`
	Total     int64 `json:"total"`
}

type failedStat struct {
	Temporary temporaryStat `json:"temporary"`
	Permanent permanentStat `json:"permanent"`
}

type temporaryStat struct {
	Blocked int64 `json:"espblock"`
	Total   int64 `json:"total"`
}

type permanentStat struct {
	SuppressBounce      int64 `json:"suppress-bounce"`
	SuppressUnsubscribe int64 `json:"suppress-unsubscribe"`
	SuppressComplaint   int64 `json:"suppress-complaint"`
	Bounce              int64 `json:"bounce"`
	DelayedBounce       int64 `json:"delayed-bounce"`
	Webhook             int64 `json:"webhook"`
	Optimized           int64 `json:"optimized" doc:"Always 0"`
	Total               int64 `json:"total"`
}

type uniqueStat struct {
	Total  int64 `json:"total"`
	Unique int64 `json:"unique,omitempty"`
}

type totalStat struct {
	Total int64 `json:"total"`
}

// itemOf shows an interval. Mailgun: only the events asked for, also when there
// were none of them.
func itemOf(b *bucket, events []string) statItem {
	c, out := &b.counts, statItem{Time: stamp(b.begin)}
	for _, e := range events {
		switch e {
		case "accepted":
			out.Accepted = &acceptedStat{c[acceptedIn], c[acceptedOut], c.accepted()}
		case "delivered":
			out.Delivered = &deliveredStat{SMTP: c.smtp(), HTTP: c.http(), Total: c.delivered()}
		case "failed":
			out.Failed = failedOf(c)
		case "opened":
			out.Opened = &uniqueStat{c.opened(), c[openedFirst]}
		case "clicked":
			out.Clicked = &uniqueStat{c.clicked(), c[clickedFirst]}
		case "unsubscribed":
			out.Unsubscribed = &totalStat{c[unsubscribed]}
		case "complained":
			out.Complained = &totalStat{c[complained]}
		case "stored":
			out.Stored = &totalStat{c[stored]}
		}
	}
	return out
}

func failedOf(c *counts) *failedStat {
	return &failedStat{
		Temporary: temporaryStat{c[deferredBlock], c.temporary()},
		Permanent: permanentStat{SuppressBounce: c[suppressedBounce], SuppressUnsubscribe: c[suppressedUnsubscribe], SuppressComplaint: c[suppressedComplaint],
			Bounce: c[hardBounce], DelayedBounce: c[delayedBounce], Webhook: c[postFailed], Total: c.permanent()},
	}
}

// aggregateOut: Mailgun: the member is named like the dimension, and has every
// value that is counted.
type aggregateOut struct {
	Provider map[string]map[string]int64 `json:"provider,omitempty" doc:"Counts by recipient domain"`
	Country  map[string]map[string]int64 `json:"country,omitempty" doc:"Counts by ISO 3166-1 code in lower case"`
	Device   map[string]map[string]int64 `json:"device,omitempty" doc:"Counts by kind of device"`
	Tag      string                      `json:"tag"`
}

func (a *api) aggregator(by dimension) func(context.Context, *pathIn) (*aggregateOut, error) {
	return func(ctx context.Context, in *pathIn) (*aggregateOut, error) {
		name, tag := in.target(ctx)
		return a.aggregates(ctx, name, tag, by)
	}
}

type aggregateIn struct {
	queryIn
	Type string `query:"type" enum:"country,device,provider" required:"Missing mandatory parameter: type" doc:"What to tell apart"`
}

func (a *api) queryAggregate(ctx context.Context, in *aggregateIn) (*aggregateOut, error) {
	by := map[string]dimension{"country": byCountry, "device": byDevice, "provider": byProvider}[in.Type]
	return a.aggregates(ctx, in.Domain, in.Tag, by)
}

func (a *api) aggregates(ctx context.Context, domainName, tag string, by dimension) (*aggregateOut, error) {
	d, err := a.domain(ctx, domainName)
	if err != nil {
		return nil, err
	}
	t, found, err := a.aggregate(ctx, d.ID, tag, by)
	if err != nil {
		return nil, err
	}
	out := &aggregateOut{Tag: t.Name}
	switch by {
	case byProvider:
		out.Provider = tableOf(found, providers, by)
	case byCountry:
		out.Country = tableOf(found, countries, by)
	default:
		out.Device = tableOf(found, devices, by)
	}
	return out, nil
}

// tableOf shows counts by value: those of list in any case, others if there are
// some. Mailgun: what is accepted and delivered is told apart by provider only.
func tableOf(found map[string]*counts, list []string, by dimension) map[string]map[string]int64 {
	out := make(map[string]map[string]int64, len(list))
	row := func(c *counts) map[string]int64 {
		m := map[string]int64{"clicked": c.clicked(), "complained": c[complained], "opened": c.opened(),
			"unique_clicked": c[clickedFirst], "unique_opened": c[openedFirst], "unsubscribed": c[unsubscribed]}
		if by == byProvider {
			m["accepted"], m["delivered"] = c.accepted(), c.delivered()
		}
		return m
	}
	for _, value := range list {
		out[value] = row(&counts{})
	}
	for value, c := range found {
		out[value] = row(c)
	}
	return out
}

type itemsOut struct {
	Items []string `json:"items"`
}

func (a *api) lister(items []string) func(context.Context, *domainIn) (*itemsOut, error) {
	return func(ctx context.Context, in *domainIn) (*itemsOut, error) {
		_, err := a.domain(ctx, in.Domain)
		return &itemsOut{items}, err
	}
}
