package app

import (
	"postroad/internal/core/inbound"
	"postroad/internal/mail/report"
)

// makeInbound makes what takes mail from outside. What is captured comes from
// programs on this machine: nothing is looked up about its origin.
func (a *App) makeInbound(returns report.Secret) *inbound.Service {
	c := inbound.Config{DB: a.db, Messages: a.messages, Domains: a.domains, Events: a.events, Routes: a.routes, Lists: a.lists, OptOut: a.optout, Spam: a.spam,
		Logger: a.log, Hostname: a.cfg.Hostname, Returns: returns}
	if !a.dev() {
		c.Resolver = a.resolver
	}
	return inbound.New(c)
}

// countInbound registers the counters of mail from outside.
func (a *App) countInbound(count func(name, help string, f func() int64)) {
	s := &a.inbound.Stats
	count("postroad_inbound_messages_total", "Messages from outside that were taken", s.Taken.Load)
	count("postroad_inbound_refused_total", "Messages from outside that were refused after they were sent", s.Refused.Load)
	count("postroad_inbound_spam_total", "Messages from outside that were refused as spam", s.Spam.Load)
	count("postroad_inbound_bounces_total", "Bounces of messages sent before", s.Bounces.Load)
	count("postroad_inbound_complaints_total", "Complaints about messages sent before", s.Complaints.Load)
	count("postroad_inbound_unsubscribes_total", "Requests by mail to be unsubscribed", s.Left.Load)
	count("postroad_inbound_ignored_total", "Mail to return paths and feedback addresses that reports nothing, and to addresses for leaving that asks for nothing", s.Ignored.Load)
}
