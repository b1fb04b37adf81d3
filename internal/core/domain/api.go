package domain

import (
	"context"
	"slices"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

// Ops returns the operations of domains, their settings, DKIM keys and SMTP
// credentials.
func (s *Service) Ops() []op.Op {
	return slices.Concat(s.domainOps(), s.settingOps(), s.keyOps(), s.credentialOps())
}

func (s *Service) domainOps() []op.Op {
	ops := []op.Op{
		op.New("GET", "/v4/domains", op.Domains, op.Read, "List domains", s.listDomains),
		op.New("POST", "/v4/domains", op.Domains, op.Write, "Create a domain", s.createV4).
			WithDoc("The answer lists the DNS records to publish. The domain can send once they are verified."),
		op.New("GET", "/v4/domains/{name}", op.Domains, op.Read, "Get a domain with its DNS records", s.getDomain),
		op.New("PUT", "/v4/domains/{name}", op.Domains, op.Write, "Update a domain", s.updateDomain),
		op.New("PUT", "/v4/domains/{name}/verify", op.Domains, op.Write, "Check a domain's DNS records", s.verifyDomain).
			WithDoc("The domain becomes active when its SPF record lets this server send and all its active DKIM keys are published."),
		op.New("DELETE", "/v4/domains/{name}", op.Domains, op.Write, "Delete a domain", s.deleteDomain),
		op.New("DELETE", "/v3/domains/{name}", op.Domains, op.Write, "Delete a domain", s.deleteDomain),
	}
	return append(ops,
		op.New("GET", "/v3/domains", op.Domains, op.Read, "List domains", s.listDomains).AsDeprecated(),
		op.New("POST", "/v3/domains", op.Domains, op.Write, "Create a domain", s.createV3).AsDeprecated(),
		op.New("GET", "/v3/domains/{name}", op.Domains, op.Read, "Get a domain with its DNS records", s.getDomain).AsDeprecated(),
		op.New("PUT", "/v3/domains/{name}", op.Domains, op.Write, "Update a domain", s.updateDomain).AsDeprecated(),
		op.New("PUT", "/v3/domains/{name}/verify", op.Domains, op.Write, "Check a domain's DNS records", s.verifyDomain).AsDeprecated(),
	)
}

// owned returns the domain the request names.
func (s *Service) owned(ctx context.Context, name string) (*Domain, error) {
	return s.Owned(ctx, account.From(ctx), name)
}

// maxLimit is the largest page.
const maxLimit = 1000

func checkPage(skip, limit int) error {
	switch {
	case limit > maxLimit:
		return errs.New(errs.Invalid, "Limit parameter can't be larger than 1000")
	case limit < 1:
		return errs.New(errs.Invalid, "Limit parameter must be a positive number")
	case skip < 0:
		return errs.New(errs.Invalid, "Skip parameter can't be negative")
	}
	return nil
}

// gmtTime is the form of times of domains, always in UTC.
const gmtTime = "Mon, 02 Jan 2006 15:04:05 GMT"

// domainView is a domain as the API shows it. Mailgun: members in this order.
type domainView struct {
	ArchiveTo        string       `json:"archive_to,omitempty" doc:"URL that gets a copy of each delivered message"`
	CreatedAt        string       `json:"created_at" doc:"RFC 1123 time in GMT"`
	ID               string       `json:"id" doc:"Identifier of the domain"`
	IsDisabled       bool         `json:"is_disabled" doc:"Whether the domain is disabled"`
	Name             string       `json:"name" doc:"Name of the domain"`
	RequireTLS       bool         `json:"require_tls" doc:"Whether mail goes out over TLS only"`
	SkipVerification bool         `json:"skip_verification" doc:"Whether the receiver's certificate goes unchecked"`
	SMTPLogin        string       `json:"smtp_login" doc:"The domain's own SMTP login"`
	SpamAction       string       `json:"spam_action" doc:"disabled, block or tag"`
	State            string       `json:"state" doc:"unverified, active or disabled"`
	Type             string       `json:"type" doc:"custom or sandbox"`
	TrackingHost     string       `json:"tracking_host,omitempty" doc:"Host of tracking links if not web_prefix.name"`
	SenderSecurity   bool         `json:"use_automatic_sender_security" doc:"Whether DKIM records are aliases of names of this server"`
	WebPrefix        string       `json:"web_prefix" doc:"First label of the host of tracking links"`
	WebScheme        string       `json:"web_scheme" doc:"http or https"`
	Wildcard         bool         `json:"wildcard" doc:"Whether mail for subdomains is accepted"`
	Disabled         *DisabledFor `json:"disabled,omitempty" doc:"Why the domain is disabled"`
	EncryptIncoming  bool         `json:"encrypt_incoming_message" doc:"Whether incoming messages are stored encrypted"`
	MessageTTL       int64        `json:"message_ttl" doc:"Seconds stored messages are kept"`
	DKIMHost         string       `json:"dkim_host,omitempty" doc:"Signing domain; with h:extended only"`
	MailFromHost     string       `json:"mailfrom_host,omitempty" doc:"Host of envelope senders; with h:extended only"`
	Receiving        []Record     `json:"receiving_dns_records,omitempty" doc:"In lists with h:with_dns only"`
	Sending          []Record     `json:"sending_dns_records,omitempty" doc:"In lists with h:with_dns only"`
}

func view(d *Domain, extended bool) domainView {
	c := &d.Settings
	v := domainView{
		ArchiveTo: c.ArchiveTo, CreatedAt: d.CreatedAt.UTC().Format(gmtTime), ID: d.PublicID,
		IsDisabled: d.State == Disabled, Name: d.Name, RequireTLS: c.RequireTLS, SkipVerification: c.SkipVerification,
		SMTPLogin: c.SMTPLogin, SpamAction: c.SpamAction, State: d.State, Type: d.Type, TrackingHost: c.TrackingHost,
		SenderSecurity: c.UseAutomaticSenderSecurity, WebPrefix: c.WebPrefix, WebScheme: c.WebScheme, Wildcard: c.Wildcard,
		Disabled: c.Disabled, EncryptIncoming: c.EncryptIncomingMessage, MessageTTL: c.MessageTTL,
	}
	if extended {
		v.DKIMHost, v.MailFromHost = d.SigningDomain(), c.MailFromHost
		if v.MailFromHost == "" {
			v.MailFromHost = d.Name
		}
	}
	return v
}
