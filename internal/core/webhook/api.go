package webhook

import (
	"context"
	"slices"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
)

// Ops returns the operations of the package.
func (s *Service) Ops() []op.Op {
	return slices.Concat(s.domainOps(), s.typesOps(), s.accountOps(), s.callOps())
}

// urlList is the URLs of one event type.
type urlList struct {
	URLs []string `json:"urls"`
}

// hookMap is the event types of a domain that have URLs, in the order of the
// documented answer.
type hookMap struct {
	Accepted      *urlList `json:"accepted,omitempty"`
	Delivered     *urlList `json:"delivered,omitempty"`
	Opened        *urlList `json:"opened,omitempty"`
	Clicked       *urlList `json:"clicked,omitempty"`
	Unsubscribed  *urlList `json:"unsubscribed,omitempty"`
	Complained    *urlList `json:"complained,omitempty"`
	TemporaryFail *urlList `json:"temporary_fail,omitempty"`
	PermanentFail *urlList `json:"permanent_fail,omitempty"`
}

type hooksOut struct {
	Webhooks hookMap `json:"webhooks"`
}

type hookOut struct {
	Message string  `json:"message,omitempty"`
	Webhook urlList `json:"webhook"`
}

func mapOf(s hookSet) *hooksOut {
	at := func(name string) *urlList {
		if urls := s.urls(name); len(urls) > 0 {
			return &urlList{urls}
		}
		return nil
	}
	return &hooksOut{hookMap{at("accepted"), at("delivered"), at("opened"), at("clicked"), at("unsubscribed"),
		at("complained"), at("temporary_fail"), at("permanent_fail")}}
}

// domainScope is the scope of a domain the caller may use.
func (s *Service) domainScope(ctx context.Context, name string) (scope, error) {
	c := account.From(ctx)
	id, err := s.domains(ctx, c, name)
	return scope{account: c.AccountID, domain: id}, err
}

func accountScope(ctx context.Context) scope { return scope{account: account.From(ctx).AccountID} }

func (s *Service) domainOps() []op.Op {
	return []op.Op{
		op.New("GET", "/v3/domains/{domain}/webhooks", op.Webhooks, op.Read, "List a domain's webhooks", s.listDomain),
		op.New("POST", "/v3/domains/{domain}/webhooks", op.Webhooks, op.Write, "Add URLs to an event type", s.createDomain),
		op.New("GET", "/v3/domains/{domain}/webhooks/{name}", op.Webhooks, op.Read, "Get the URLs of an event type", s.getDomain),
		op.New("PUT", "/v3/domains/{domain}/webhooks/{name}", op.Webhooks, op.Write, "Replace the URLs of an event type", s.updateDomain),
		op.New("DELETE", "/v3/domains/{domain}/webhooks/{name}", op.Webhooks, op.Write, "Delete the URLs of an event type", s.deleteDomain),
		op.New("PUT", "/v3/domains/{domain}/webhooks/{name}/test", op.Webhooks, op.Write, "Send a sample event to a URL", s.testDomain),
	}
}

type domainIn struct {
	Domain string `path:"domain" doc:"Name of the domain"`
}

type nameIn struct {
	Domain string `path:"domain" doc:"Name of the domain"`
	Name   string `path:"name" doc:"Event type: accepted, delivered, opened, clicked, unsubscribed, complained, temporary_fail or permanent_fail"`
}

type createIn struct {
	Domain string   `path:"domain" doc:"Name of the domain"`
	ID     string   `form:"id" doc:"Event type: accepted, delivered, opened, clicked, unsubscribed, complained, temporary_fail or permanent_fail"`
	URL    []string `form:"url" doc:"URL to call; repeat for up to three"`
}

type updateIn struct {
	Domain string   `path:"domain" doc:"Name of the domain"`
	Name   string   `path:"name" doc:"Event type"`
	URL    []string `form:"url" doc:"URL to call; repeat for up to three"`
}

type testIn struct {
	Domain string `path:"domain" doc:"Name of the domain"`
	Name   string `path:"name" doc:"Event type of the sample"`
	URL    string `form:"url" doc:"URL to call"`
}

type testOut struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (s *Service) listDomain(ctx context.Context, in *domainIn) (*hooksOut, error) {
	sc, err := s.domainScope(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	have, err := s.hooks(ctx, sc)
	if err != nil {
		return nil, err
	}
	return mapOf(have), nil
}

// typeScope is domainScope for a path with an event type in it.
func (s *Service) typeScope(ctx context.Context, domain, name string) (scope, error) {
	sc, err := s.domainScope(ctx, domain)
	if err == nil && !knownType(name) {
		err = errs.New(errs.NotFound, "Webhook not found").WithHint("%q is not an event type", clip(name, 100))
	}
	return sc, err
}

func (s *Service) getDomain(ctx context.Context, in *nameIn) (*hookOut, error) {
	sc, err := s.typeScope(ctx, in.Domain, in.Name)
	if err != nil {
		return nil, err
	}
	have, err := s.hooks(ctx, sc)
	if err != nil {
		return nil, err
	}
	return &hookOut{Webhook: urlList{have.urls(in.Name)}}, nil
}

func (s *Service) createDomain(ctx context.Context, in *createIn) (*hookOut, error) {
	sc, err := s.domainScope(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	if in.ID == "" {
		return nil, errs.New(errs.Invalid, "Missing mandatory parameter: id")
	}
	if err := flavourV3().checkNames([]string{in.ID}); err != nil {
		return nil, err
	}
	urls, err := s.addURLs(ctx, sc, in.ID, in.URL)
	return answer("Webhook has been created", urls, err)
}

func (s *Service) updateDomain(ctx context.Context, in *updateIn) (*hookOut, error) {
	sc, err := s.typeScope(ctx, in.Domain, in.Name)
	if err != nil {
		return nil, err
	}
	urls, err := s.replaceURLs(ctx, sc, in.Name, in.URL)
	return answer("Webhook has been updated", urls, err)
}

func (s *Service) deleteDomain(ctx context.Context, in *nameIn) (*hookOut, error) {
	sc, err := s.typeScope(ctx, in.Domain, in.Name)
	if err != nil {
		return nil, err
	}
	urls, err := s.removeName(ctx, sc, in.Name)
	return answer("Webhook has been deleted", urls, err)
}

func answer(message string, urls []string, err error) (*hookOut, error) {
	if err != nil {
		return nil, err
	}
	return &hookOut{message, urlList{urls}}, nil
}

func (s *Service) testDomain(ctx context.Context, in *testIn) (*testOut, error) {
	sc, err := s.typeScope(ctx, in.Domain, in.Name)
	if err != nil {
		return nil, err
	}
	if err := s.checkURLs(ctx, flavourV3(), []string{in.URL}); err != nil {
		return nil, err
	}
	return s.test(ctx, sc.account, in.Domain, in.Name, in.URL)
}
