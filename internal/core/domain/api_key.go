package domain

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

func (s *Service) keyOps() []op.Op {
	return []op.Op{
		op.New("GET", "/v4/domains/{authority_name}/keys", op.Domains, op.Read, "List a domain's DKIM keys", s.listDomainKeys),
		op.New("PUT", "/v4/domains/{authority_name}/keys/{selector}/activate", op.Domains, op.Write, "Have a DKIM key sign", s.activateKey),
		op.New("PUT", "/v4/domains/{authority_name}/keys/{selector}/deactivate", op.Domains, op.Write, "Have a DKIM key not sign", s.deactivateKey),
		op.New("GET", "/v1/dkim/keys", op.Domains, op.Read, "List the DKIM keys of all domains", s.listKeys),
		op.New("POST", "/v1/dkim/keys", op.Domains, op.Write, "Generate or import a DKIM key", s.createKey).
			WithDoc("The key does not sign until it is activated, so that its record can be published first. A domain has at most three."),
		op.New("DELETE", "/v1/dkim/keys", op.Domains, op.Write, "Delete a DKIM key", s.deleteKey),
	}
}

type keyView struct {
	SigningDomain string `json:"signing_domain" doc:"Domain the key signs as"`
	Selector      string `json:"selector" doc:"Selector of the key"`
	DNSRecord     Record `json:"dns_record" doc:"Record to publish"`
}

func (s *Service) viewKey(d *Domain, k *Key) keyView {
	host := d.Name
	if d.Settings.DKIMHost != "" {
		host = d.Settings.DKIMHost
	}
	r := s.keyRecord(d, k, host)
	r.Active = k.Active
	return keyView{SigningDomain: host, Selector: k.Selector, DNSRecord: merge([]Record{r}, d.Records)[0]}
}

type authorityIn struct {
	Authority string `path:"authority_name" doc:"Name of the domain"`
}

type listDomainKeysOut struct {
	Items []keyView `json:"items" doc:"The keys, oldest first"`
}

func (s *Service) listDomainKeys(ctx context.Context, in *authorityIn) (*listDomainKeysOut, error) {
	d, err := s.owned(ctx, in.Authority)
	if err != nil {
		return nil, err
	}
	keys, err := s.Keys(ctx, d)
	out := &listDomainKeysOut{Items: make([]keyView, len(keys))}
	for i, k := range keys {
		out.Items[i] = s.viewKey(d, k)
	}
	return out, err
}

type keyIn struct {
	Authority string `path:"authority_name" doc:"Name of the domain"`
	Selector  string `path:"selector" doc:"Selector of the key"`
}

type keyActiveOut struct {
	Message   string `json:"message"`
	Authority string `json:"authority" doc:"Name of the domain"`
	Selector  string `json:"selector" doc:"Selector of the key"`
	Active    bool   `json:"active" doc:"Whether the key signs"`
}

func (s *Service) activateKey(ctx context.Context, in *keyIn) (*keyActiveOut, error) {
	return s.setActive(ctx, in, true, "domain key activated")
}

func (s *Service) deactivateKey(ctx context.Context, in *keyIn) (*keyActiveOut, error) {
	return s.setActive(ctx, in, false, "domain key deactivated")
}

func (s *Service) setActive(ctx context.Context, in *keyIn, active bool, message string) (*keyActiveOut, error) {
	d, err := s.owned(ctx, in.Authority)
	if err != nil {
		return nil, err
	}
	if err := s.SetKeyActive(ctx, d, in.Selector, active); err != nil {
		return nil, err
	}
	return &keyActiveOut{Message: message, Authority: d.Name, Selector: strings.ToLower(in.Selector), Active: active}, nil
}

type listKeysIn struct {
	Page          string `form:"page" doc:"Which page, as the links of paging have it"`
	Limit         int    `form:"limit" default:"100" doc:"Items to return, at most 1000"`
	SigningDomain string `form:"signing_domain" doc:"Only keys of this domain"`
	Selector      string `form:"selector" doc:"Only keys with this selector"`
}

type pagingView struct {
	Previous string `json:"previous" doc:"URL of the page before"`
	First    string `json:"first" doc:"URL of the first page"`
	Next     string `json:"next" doc:"URL of the page after; it can be asked for again when it was empty"`
	Last     string `json:"last" doc:"URL of the last page"`
}

type listKeysOut struct {
	Items  []keyView  `json:"items" doc:"The page"`
	Paging pagingView `json:"paging" doc:"Links to other pages"`
}

func (s *Service) listKeys(ctx context.Context, in *listKeysIn) (*listKeysOut, error) {
	if err := checkPage(0, in.Limit); err != nil {
		return nil, err
	}
	p := keyPage{accountID: account.From(ctx).AccountID, limit: in.Limit,
		signingDomain: strings.ToLower(in.SigningDomain), selector: strings.ToLower(in.Selector)}
	if err := p.parse(in.Page); err != nil {
		return nil, err
	}
	var list []*accountKey
	err := s.db.Read(ctx, func(tx *db.Tx) (err error) {
		list, err = selectAccountKeys(tx, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.before != 0 {
		slices.Reverse(list)
	}
	out := &listKeysOut{Items: make([]keyView, len(list)), Paging: paging(ctx, in, p, list)}
	for i, k := range list {
		out.Items[i] = s.viewKey(k.domain, &k.Key)
	}
	return out, nil
}

// lastPage is a bound above every id.
const lastPage = 1<<63 - 1

// parse reads a page token: "n" and an id for what follows it, "p" and an id for
// what precedes it.
func (p *keyPage) parse(token string) error {
	if token == "" {
		return nil
	}
	id, err := strconv.ParseInt(token[1:], 36, 64)
	if err != nil || id < 0 || token[0] != 'n' && token[0] != 'p' {
		return errs.New(errs.Invalid, "invalid page parameter")
	}
	if token[0] == 'p' {
		p.before = max(id, 1)
	} else {
		p.after = id
	}
	return nil
}

// paging makes the links. An empty page points back to where it came from, so
// that a client can come again for what is new.
func paging(ctx context.Context, in *listKeysIn, p keyPage, list []*accountKey) pagingView {
	first, last := p.after+1, p.after
	if p.before != 0 {
		first, last = p.before, p.before-1
	}
	if len(list) > 0 {
		first, last = list[0].ID, list[len(list)-1].ID
	}
	link := func(kind string, id int64) string {
		q := url.Values{"limit": {strconv.Itoa(in.Limit)}}
		for name, v := range map[string]string{"signing_domain": in.SigningDomain, "selector": in.Selector} {
			if v != "" {
				q.Set(name, v)
			}
		}
		if kind != "" {
			q.Set("page", kind+strconv.FormatInt(id, 36))
		}
		return op.RequestFrom(ctx).BaseURL + "/v1/dkim/keys?" + q.Encode()
	}
	return pagingView{Previous: link("p", first), First: link("", 0), Next: link("n", last), Last: link("p", lastPage)}
}

type createKeyIn struct {
	SigningDomain string `form:"signing_domain" required:"Parameter 'signing_domain' is missing" doc:"Domain the key is for"`
	Selector      string `form:"selector" required:"Parameter 'selector' is missing" doc:"Selector, unique for the domain"`
	Bits          int    `form:"bits" doc:"1024 or 2048 (default), if no key is imported"`
	PEM           string `form:"pem" doc:"RSA private key to import, PEM in PKCS #1 form"`
}

func (s *Service) createKey(ctx context.Context, in *createKeyIn) (*keyView, error) {
	d, err := s.owned(ctx, in.SigningDomain)
	if err != nil {
		return nil, err
	}
	k, err := s.AddKey(ctx, d, in.Selector, in.Bits, in.PEM)
	if err != nil {
		return nil, err
	}
	v := s.viewKey(d, k)
	return &v, nil
}

type deleteKeyIn struct {
	SigningDomain string `form:"signing_domain" required:"Parameter 'signing_domain' is missing" doc:"Domain of the key"`
	Selector      string `form:"selector" required:"Parameter 'selector' is missing" doc:"Selector of the key"`
}

func (s *Service) deleteKey(ctx context.Context, in *deleteKeyIn) (*op.Message, error) {
	d, err := s.owned(ctx, in.SigningDomain)
	if errs.Is(err, errs.NotFound) {
		return nil, errNoKey
	}
	if err != nil {
		return nil, err
	}
	if err := s.DeleteKey(ctx, d, in.Selector); err != nil {
		return nil, err
	}
	return &op.Message{Message: "success"}, nil
}
