package app

import (
	"net"

	"postroad/internal/base/certs"
	"postroad/internal/base/db"
	"postroad/internal/config"
	"postroad/internal/core/account"
	"postroad/internal/core/deliver"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
	"postroad/internal/core/gateway"
	"postroad/internal/core/list"
	"postroad/internal/core/message"
	"postroad/internal/core/optout"
	"postroad/internal/core/peer"
	"postroad/internal/core/provider"
	"postroad/internal/core/queue"
	"postroad/internal/core/route"
	"postroad/internal/core/shape"
	"postroad/internal/core/suppress"
	"postroad/internal/core/tag"
	"postroad/internal/core/template"
	"postroad/internal/core/timing"
	"postroad/internal/core/track"
	"postroad/internal/core/trackhost"
	"postroad/internal/core/webhook"
)

// Parts are the services of a program, for tests that look behind its API.
type Parts struct {
	DB       *db.DB
	Accounts *account.Service
	Domains  *domain.Service
	Hosts    *trackhost.Service
	Events   *event.Service
	Suppress *suppress.Service
	Tags     *tag.Service
	Timing   *timing.Service
	Webhooks *webhook.Service
	Routes   *route.Service
	Queue    *queue.Queue
	Messages *message.Service
	OptOut   *optout.Service
	Lists    *list.Service
	Track    *track.Service
	Template *template.Service
	Engine   *deliver.Engine
	Shape    *shape.Service
	Peers    *peer.Service
	Trace    *deliver.Trace
	Local    provider.Doer // of our own API
	Gateway  *gateway.Service

	HTTP, HTTPS, SMTP net.Addr // nil when off; the first of Mail
	Mail              []MailAddr
	Certs             *certs.Source
}

// MailAddr is where a listener for mail is.
type MailAddr struct {
	Service config.Service
	Addr    net.Addr
}

// Parts returns the services and where the program listens.
func (a *App) Parts() Parts {
	p := Parts{DB: a.db, Accounts: a.accounts, Domains: a.domains, Hosts: a.hosts, Events: a.events, Suppress: a.suppress, Timing: a.timing, Tags: a.tags, Webhooks: a.webhooks, Routes: a.routes,
		Queue: a.queue, Messages: a.messages, OptOut: a.optout, Lists: a.lists, Template: a.template, Track: a.track, Engine: a.engine, Shape: a.shape, Peers: a.peers, Trace: &a.trace, Local: a.localDoer(), Gateway: a.gateway,
		HTTP: addrOf(a.http), HTTPS: addrOf(a.https), Certs: a.certs}
	for _, m := range a.mail {
		p.Mail = append(p.Mail, MailAddr{m.Service, m.ln.Addr()})
	}
	if len(p.Mail) > 0 {
		p.SMTP = p.Mail[0].Addr
	}
	return p
}
