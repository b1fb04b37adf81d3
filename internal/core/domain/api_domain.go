package domain

import (
	"context"
	"strings"

	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

type listDomainsIn struct {
	Limit              int    `form:"limit" default:"100" doc:"Items to return, at most 1000"`
	Skip               int    `form:"skip" default:"0" doc:"Items to leave out at the beginning"`
	State              string `form:"state" doc:"Only domains in this state: active, unverified or disabled"`
	Sort               string `form:"sort" doc:"name, name:asc or name:desc; newest first if absent"`
	Authority          string `form:"authority" doc:"Only domains with this DKIM authority; ignored if state is given"`
	Search             string `form:"search" doc:"Only domains whose name contains this"`
	IncludeSubaccounts bool   `form:"include_subaccounts" doc:"Accepted; there are no subaccounts"`
	WithDNS            bool   `form:"h:with_dns" doc:"Add the DNS records to each domain"`
	Extended           bool   `form:"h:extended" doc:"Add dkim_host and mailfrom_host to each domain"`
}

type listDomainsOut struct {
	TotalCount int          `json:"total_count" doc:"Number of domains that match"`
	Items      []domainView `json:"items" doc:"The page"`
}

func (s *Service) listDomains(ctx context.Context, in *listDomainsIn) (*listDomainsOut, error) {
	if err := checkPage(in.Skip, in.Limit); err != nil {
		return nil, err
	}
	list, total, err := s.List(ctx, account.From(ctx).AccountID, Query{
		State: in.State, Authority: in.Authority, Search: in.Search, Sort: in.Sort, Skip: in.Skip, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := &listDomainsOut{TotalCount: total, Items: make([]domainView, len(list))}
	for i, d := range list {
		out.Items[i] = view(d, in.Extended)
		if in.WithDNS {
			v := &out.Items[i]
			if v.Receiving, v.Sending, err = s.DNSRecords(ctx, d); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

type domainIn struct {
	Name string `path:"name" doc:"Name of the domain"`
}

type getDomainIn struct {
	Name     string `path:"name" doc:"Name of the domain"`
	WithDNS  *bool  `form:"h:with_dns" doc:"false leaves the DNS records out"`
	Extended bool   `form:"h:extended" doc:"Add dkim_host and mailfrom_host"`
}

type getDomainOut struct {
	Domain    domainView `json:"domain" doc:"The domain"`
	Receiving []Record   `json:"receiving_dns_records,omitempty" doc:"Records for receiving mail"`
	Sending   []Record   `json:"sending_dns_records,omitempty" doc:"Records for sending mail"`
}

func (s *Service) getDomain(ctx context.Context, in *getDomainIn) (*getDomainOut, error) {
	d, err := s.owned(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	out := &getDomainOut{Domain: view(d, in.Extended)}
	if in.WithDNS == nil || *in.WithDNS {
		out.Receiving, out.Sending, err = s.DNSRecords(ctx, d)
	}
	return out, err
}

// changedOut is the answer of what creates, changes or checks a domain.
type changedOut struct {
	Message   string     `json:"message"`
	Domain    domainView `json:"domain" doc:"The domain"`
	Receiving []Record   `json:"receiving_dns_records" doc:"Records for receiving mail"`
	Sending   []Record   `json:"sending_dns_records" doc:"Records for sending mail"`
}

func (s *Service) changed(ctx context.Context, d *Domain, message string) (*changedOut, error) {
	receiving, sending, err := s.DNSRecords(ctx, d)
	if err != nil {
		return nil, err
	}
	return &changedOut{Message: message, Domain: view(d, false), Receiving: receiving, Sending: sending}, nil
}

type createDomainIn struct {
	Name               string   `form:"name" required:"Parameter 'name' is missing" doc:"Name of the domain"`
	SMTPPassword       string   `form:"smtp_password" doc:"Makes the SMTP login postmaster@name with this password of 5 to 32 characters"`
	SpamAction         string   `form:"spam_action" doc:"disabled (default), block or tag"`
	Wildcard           bool     `form:"wildcard" doc:"Accept mail for subdomains"`
	RequireTLS         bool     `form:"require_tls" doc:"Send over TLS only"`
	SkipVerification   bool     `form:"skip_verification" doc:"Do not check the receiver's certificate"`
	SenderSecurity     bool     `form:"use_automatic_sender_security" doc:"DKIM records are aliases of names of this server, so that keys can change"`
	EncryptIncoming    bool     `form:"encrypt_incoming_message" doc:"Store incoming messages encrypted"`
	ForceDKIMAuthority bool     `form:"force_dkim_authority" doc:"Sign with keys of its own though the root domain is registered too"`
	ForceRootDKIMHost  bool     `form:"force_root_dkim_host" doc:"Sign as the root domain, with keys of its own"`
	DKIMHostName       string   `form:"dkim_host_name" doc:"Sign as this domain: the domain, one below it, or its root"`
	DKIMKeySize        string   `form:"dkim_key_size" doc:"1024 or 2048 (default)"`
	DKIMSelector       string   `form:"dkim_selector" doc:"Selector of the DKIM key; postroad if absent"`
	WebScheme          string   `form:"web_scheme" doc:"Of tracking links: http (default) or https"`
	WebPrefix          string   `form:"web_prefix" doc:"First label of the host of tracking links; email if absent"`
	TrackingHost       string   `form:"tracking_host" doc:"Host of tracking links instead of web_prefix.name"`
	ArchiveTo          string   `form:"archive_to" doc:"URL that gets a copy of each delivered message"`
	MailFromHost       string   `form:"mailfrom_host" doc:"Host of envelope senders"`
	MessageTTL         int64    `form:"message_ttl" doc:"Seconds stored messages are kept; 259200 if absent"`
	PoolID             string   `form:"pool_id" doc:"IP pool to send from"`
	IPs                []string `form:"ips" split:"," doc:"Addresses to send from, comma separated"`
}

func (s *Service) createV4(ctx context.Context, in *createDomainIn) (*changedOut, error) {
	return s.createFrom(ctx, in, "Domain DNS records have been created")
}

func (s *Service) createV3(ctx context.Context, in *createDomainIn) (*changedOut, error) {
	return s.createFrom(ctx, in, "Domain has been created")
}

func (s *Service) createFrom(ctx context.Context, in *createDomainIn, message string) (*changedOut, error) {
	r := CreateRequest{
		Name: in.Name, SMTPPassword: in.SMTPPassword, SpamAction: in.SpamAction, Wildcard: in.Wildcard,
		RequireTLS: in.RequireTLS, SkipVerification: in.SkipVerification, UseAutomaticSenderSecurity: in.SenderSecurity,
		EncryptIncomingMessage: in.EncryptIncoming, ForceDKIMAuthority: in.ForceDKIMAuthority,
		ForceRootDKIMHost: in.ForceRootDKIMHost, DKIMHostName: in.DKIMHostName, DKIMKeySize: in.DKIMKeySize,
		DKIMSelector: strings.ToLower(in.DKIMSelector), WebScheme: in.WebScheme, WebPrefix: in.WebPrefix, TrackingHost: in.TrackingHost,
		ArchiveTo: in.ArchiveTo, MailFromHost: in.MailFromHost, MessageTTL: in.MessageTTL, PoolID: in.PoolID,
	}
	for _, ip := range in.IPs {
		if ip = strings.TrimSpace(ip); ip != "" {
			r.IPs = append(r.IPs, ip)
		}
	}
	d, err := s.Create(ctx, account.From(ctx).AccountID, r)
	if err != nil {
		return nil, err
	}
	return s.changed(ctx, d, message)
}

type updateDomainIn struct {
	Name             string  `path:"name" doc:"Name of the domain"`
	SMTPPassword     *string `form:"smtp_password" doc:"New password of the login postmaster@name, 5 to 32 characters"`
	SpamAction       *string `form:"spam_action" doc:"disabled, block or tag"`
	Wildcard         *bool   `form:"wildcard" doc:"Accept mail for subdomains"`
	RequireTLS       *bool   `form:"require_tls" doc:"Send over TLS only"`
	SkipVerification *bool   `form:"skip_verification" doc:"Do not check the receiver's certificate"`
	SenderSecurity   *bool   `form:"use_automatic_sender_security" doc:"DKIM records are aliases of names of this server; the domain must be verified again"`
	WebScheme        *string `form:"web_scheme" doc:"Of tracking links: http or https"`
	WebPrefix        *string `form:"web_prefix" doc:"First label of the host of tracking links"`
	TrackingHost     *string `form:"tracking_host" doc:"Host of tracking links instead of web_prefix.name; empty for that again"`
	ArchiveTo        *string `form:"archive_to" doc:"URL that gets a copy of each delivered message; empty for none"`
	MailFromHost     *string `form:"mailfrom_host" doc:"Host of envelope senders, in lower case; empty for the usual one"`
	MessageTTL       *int64  `form:"message_ttl" doc:"Seconds stored messages are kept"`
}

func (s *Service) updateDomain(ctx context.Context, in *updateDomainIn) (*changedOut, error) {
	d, err := s.owned(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	d, err = s.Update(ctx, d, UpdateRequest{
		SMTPPassword: in.SMTPPassword, SpamAction: in.SpamAction, Wildcard: in.Wildcard, RequireTLS: in.RequireTLS,
		SkipVerification: in.SkipVerification, UseAutomaticSenderSecurity: in.SenderSecurity, WebScheme: in.WebScheme,
		WebPrefix: in.WebPrefix, TrackingHost: in.TrackingHost, ArchiveTo: in.ArchiveTo, MailFromHost: in.MailFromHost, MessageTTL: in.MessageTTL,
	})
	if err != nil {
		return nil, err
	}
	return s.changed(ctx, d, "Domain has been updated")
}

func (s *Service) verifyDomain(ctx context.Context, in *domainIn) (*changedOut, error) {
	d, err := s.owned(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if d, err = s.Verify(ctx, d); err != nil {
		return nil, err
	}
	return s.changed(ctx, d, "Domain DNS records have been updated")
}

func (s *Service) deleteDomain(ctx context.Context, in *domainIn) (*op.Message, error) {
	d, err := s.owned(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if err := s.Delete(ctx, d); err != nil {
		return nil, err
	}
	return &op.Message{Message: "Domain will be deleted in the background"}, nil
}
