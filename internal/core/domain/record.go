package domain

import (
	"context"
	"strings"

	"postroad/internal/base/db"
)

// mxPriority is the preference we ask for. Mailgun: 10.
const mxPriority = "10"

// DNSRecords returns the records the domain needs, with what the last check
// found, for receiving and for sending.
func (s *Service) DNSRecords(ctx context.Context, d *Domain) (receiving, sending []Record, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		keys, host, err := signing(tx, d)
		if err != nil {
			return err
		}
		receiving, sending = s.receiving(), s.sending(d, keys, host)
		return nil
	})
	return merge(receiving, d.Records), merge(sending, d.Records), err
}

func (s *Service) receiving() []Record {
	return []Record{{Active: true, Cached: []string{}, Priority: mxPriority, Type: "MX", Valid: Unknown, Value: s.opt.Hostname}}
}

func (s *Service) sending(d *Domain, keys []*Key, host string) []Record {
	var out []Record
	for _, k := range keys {
		out = append(out, s.keyRecord(d, k, host))
	}
	return append(out,
		Record{Active: true, Cached: []string{}, Name: d.Name, Type: "TXT", Valid: Unknown, Value: s.spfValue(d)},
		s.linkRecord(d))
}

// keyRecord is the record of a DKIM key. Mailgun: it is not active before the
// domain is.
func (s *Service) keyRecord(d *Domain, k *Key, host string) Record {
	r := Record{Active: k.Active && d.State == Active, Cached: []string{}, Name: k.Selector + "._domainkey." + host, Valid: Unknown}
	r.Type, r.Value = "TXT", k.Public
	if isDelegated(k.Selector) {
		r.Type, r.Value = "CNAME", s.delegatedTarget(k)
	}
	return r
}

const spfPrefix = "v=spf1 "

// spfValue is the SPF record to publish: what the last check decided on, at
// first that which works without a record of our own.
func (s *Service) spfValue(d *Domain) string {
	for _, r := range d.Records {
		if r.Type == "TXT" && r.Name == d.Name && strings.HasPrefix(r.Value, spfPrefix) && strings.Contains(r.Value, ":"+s.opt.Hostname+" ") {
			return r.Value
		}
	}
	return s.spfWith(false)
}

func (s *Service) spfWith(include bool) string {
	if include {
		return spfPrefix + "include:" + s.opt.Hostname + " ~all"
	}
	return spfPrefix + "a:" + s.opt.Hostname + " ~all"
}
