package timing

import (
	"context"
	"slices"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/mail/addr"
)

// Ops returns the operations of timing. They are ours, not Mailgun's.
func (s *Service) Ops() []op.Op {
	return []op.Op{
		op.New("GET", "/v1/postroad/timing", op.Messages, op.Read, "Tell what is known of when a recipient engages, and when mail would leave", s.get),
		op.New("DELETE", "/v1/postroad/timing", op.Messages, op.Write, "Forget when a recipient engages and where they are", s.forget),
	}
}

type getIn struct {
	Address string `query:"address" required:"address parameter is missing" doc:"the recipient"`
	Period  int    `query:"hours" default:"24" min:"24" max:"72" doc:"period in which the best hour is sought, as in o:deliverytime-optimize-period"`
	Local   string `query:"local" default:"09:00" doc:"time of day where the recipient is, as in o:time-zone-localize"`
}

type getOut struct {
	Address     string     `json:"address"`
	Engagements int        `json:"engagements"` // hours with opens or clicks
	Clicks      int        `json:"clicks"`      // of them with clicks
	Days        int        `json:"days"`
	Last        *time.Time `json:"last,omitempty"`
	TimeZone    string     `json:"time-zone,omitempty"`
	TimeZoneAt  *time.Time `json:"time-zone-seen,omitempty"`
	Hours       []slot     `json:"hours"` // of the week, in UTC, the busiest first
	Optimized   Choice     `json:"optimized"`
	Localized   Choice     `json:"localized"`
}

// longest is how far ahead a message may be set where a domain says nothing.
const longest = 72 * time.Hour

func (s *Service) get(ctx context.Context, in *getIn) (*getOut, error) {
	a, err := mailbox(in.Address)
	if err != nil {
		return nil, err
	}
	c, ok := ParseClock(in.Local)
	if !ok {
		return nil, errs.New(errs.Invalid, "'local' parameter is not a time of day")
	}
	now := s.clock.Now().UTC().Truncate(time.Second)
	w := Wish{AccountID: account.From(ctx).AccountID, Now: now, From: now, Limit: now.Add(longest), Period: time.Duration(in.Period) * time.Hour}
	known, err := s.known(ctx, w.AccountID, []string{a})
	if err != nil {
		return nil, err
	}
	out := known[0].describe(now)
	out.Address = a
	out.Optimized = w.choose(known[0], 0, 0)
	w.Local, w.Period = in.Local, 0
	out.Localized = w.choose(known[0], c, 0)
	return out, nil
}

func mailbox(s string) (string, error) {
	a, err := addr.ParseMailbox(strings.TrimSpace(s))
	if err != nil {
		return "", errs.New(errs.Invalid, "address parameter is not a valid address. please check documentation")
	}
	return a.Mailbox(), nil
}

// describe is what is known, without any wish.
func (p *profile) describe(now time.Time) *getOut {
	list := p.since(hourOf(now) - window)
	out := &getOut{Engagements: len(list), Days: days(list), TimeZone: p.zone, Hours: []slot{}}
	if n := len(list); n > 0 {
		t := hourAt(list[n-1].hour())
		out.Last = &t
	}
	if p.zone != "" {
		t := hourAt(p.zoneHour)
		out.TimeZoneAt = &t
	}
	found := map[slot]int{}
	for _, e := range list {
		t := hourAt(e.hour())
		found[slot{Day: t.Format("Mon"), Hour: t.Hour()}]++
		if e.clicked() {
			out.Clicks++
		}
	}
	for at, n := range found {
		at.Count = n
		out.Hours = append(out.Hours, at)
	}
	slices.SortFunc(out.Hours, compareSlots)
	return out
}

type forgetIn struct {
	Address string `query:"address" required:"address parameter is missing" doc:"the recipient"`
}

func (s *Service) forget(ctx context.Context, in *forgetIn) (*op.Message, error) {
	a, err := mailbox(in.Address)
	if err != nil {
		return nil, err
	}
	return &op.Message{Message: "What was known of this address has been removed"}, s.Forget(ctx, account.From(ctx).AccountID, a)
}
