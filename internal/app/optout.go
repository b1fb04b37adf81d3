package app

import (
	"net/netip"

	"postroad/internal/base/op"
	"postroad/internal/core/event"
	"postroad/internal/core/optout"
	"postroad/internal/mail/linktoken"
	"postroad/internal/mail/report"
)

// makeOptOut makes what recipients leave by.
func (a *App) makeOptOut(links *linktoken.Key, returns report.Secret) {
	a.optout = optout.New(optout.Config{DB: a.db, Events: a.events, Suppress: a.suppress, Messages: a.messages, Domains: a.domains, Logger: a.log,
		Links: links, Returns: returns, Client: a.client})
}

// client tells what is known of who makes a request, as events about opens and
// clicks do.
func (a *App) client(r *op.Request) (ip string, c *event.ClientInfo, g *event.Geolocation) {
	addr, _ := netip.ParseAddr(r.RemoteIP) // what is no address is nowhere
	place := a.places.Lookup(addr)
	c = a.track.ClientInfo(r.UserAgent)
	c.Bot = "" // with one click it is a program that asks, for somebody
	return r.RemoteIP, c, &event.Geolocation{Country: place.Country, Region: place.Region, City: place.City}
}
