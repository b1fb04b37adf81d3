package template

import (
	"context"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/core/domain"
)

// Domains finds the domains whose templates are asked for.
type Domains interface {
	// Owned returns the caller's domain of that name, NotFound otherwise.
	Owned(ctx context.Context, c *account.Caller, name string) (*domain.Domain, error)
}

// api serves the operations. Those of domains and those of the account differ in
// their paths only.
type api struct {
	*Service
	domains Domains
}

// onDomain is what requests for a domain's templates have besides.
type onDomain struct {
	DomainName string `path:"domain_name" doc:"Name of the domain"`
}

func (d *onDomain) domainName() string { return d.DomainName }

// domainIn is a request for a domain's templates: In and the domain.
type domainIn[In, D any] interface {
	*D
	domainName() string
	rest() *In
}

const (
	domainPath  = "/v3/{domain_name}/templates"
	accountPath = "/v4/templates"
)

// both returns an operation for the account's templates and for a domain's.
func both[In, D, Out any, P domainIn[In, D]](a *api, method, path string, access op.Access, summary string,
	fn func(context.Context, Scope, *In) (*Out, error)) []op.Op {
	return []op.Op{
		op.New(method, domainPath+path, op.Templates, access, summary, func(ctx context.Context, in *D) (*Out, error) {
			d, err := a.domains.Owned(ctx, account.From(ctx), P(in).domainName())
			if err != nil {
				return nil, unknownDomain(err)
			}
			return fn(ctx, Scope{d.AccountID, d.ID}, P(in).rest())
		}),
		op.New(method, accountPath+path, op.Templates, access, summary+" of the account", func(ctx context.Context, in *In) (*Out, error) {
			return fn(ctx, Scope{AccountID: account.From(ctx).AccountID}, in)
		}),
	}
}

// Ops returns the operations of templates.
func (s *Service) Ops(d Domains) (out []op.Op) {
	a := &api{s, d}
	for _, list := range [][]op.Op{
		both[listIn, listOn](a, "GET", "", op.Read, "List templates", a.list),
		both[createIn, createOn](a, "POST", "", op.Write, "Create a template", a.create),
		both[clearIn, clearOn](a, "DELETE", "", op.Write, "Delete all templates", a.clear),
		both[getIn, getOn](a, "GET", "/{template_name}", op.Read, "Get a template", a.get),
		both[updateIn, updateOn](a, "PUT", "/{template_name}", op.Write, "Change the description of a template", a.update),
		both[templateIn, templateOn](a, "DELETE", "/{template_name}", op.Write, "Delete a template", a.remove),
		both[copyIn, copyOn](a, "PUT", "/{template_name}/copy", op.Write, "Copy a template", a.copyTemplates),
		both[renameIn, renameOn](a, "PUT", "/{template_name}/rename/{new_template_name}", op.Write, "Rename a template", a.rename),
		both[listVersionsIn, listVersionsOn](a, "GET", "/{template_name}/versions", op.Read, "List the versions of a template", a.listVersions),
		both[createVersionIn, createVersionOn](a, "POST", "/{template_name}/versions", op.Write, "Add a version to a template", a.createVersion),
		both[versionIn, versionOn](a, "GET", "/{template_name}/versions/{version_name}", op.Read, "Get a version of a template", a.getVersion),
		both[updateVersionIn, updateVersionOn](a, "PUT", "/{template_name}/versions/{version_name}", op.Write, "Change a version of a template", a.updateVersion),
		both[versionIn, versionOn](a, "DELETE", "/{template_name}/versions/{version_name}", op.Write, "Delete a version of a template", a.removeVersion),
		both[copyVersionIn, copyVersionOn](a, "PUT", "/{template_name}/versions/{version_name}/copy/{new_version_name}", op.Write, "Copy a version of a template", a.copyVersions),
	} {
		out = append(out, list...)
	}
	return out
}

// templateView has Mailgun's members in their order. Items of lists have no
// version.
type templateView struct {
	Name        string       `json:"name" doc:"Name, lower case"`
	Description string       `json:"description"`
	CreatedAt   string       `json:"createdAt" doc:"RFC 1123 time in UTC"`
	CreatedBy   string       `json:"createdBy" doc:"What the client said about who made it"`
	ID          string       `json:"id" doc:"UUID"`
	Version     *versionView `json:"version,omitempty" doc:"The version asked for or made"`
}

// versionView has Mailgun's members in their order.
type versionView struct {
	Tag       string  `json:"tag" doc:"Tag, lower case"`
	Template  string  `json:"template" doc:"Content"`
	Engine    string  `json:"engine" enum:"handlebars" doc:"Language"`
	MJML      string  `json:"mjml" doc:"Always empty"`
	CreatedAt string  `json:"createdAt" doc:"RFC 1123 time in UTC"`
	Comment   string  `json:"comment"`
	Active    bool    `json:"active" doc:"Whether it is used where no version is named"`
	ID        string  `json:"id" doc:"UUID"`
	Headers   headers `json:"headers" doc:"From, Subject and Reply-To of messages that have none"`
}

// outlineView is an item of a list of versions. Mailgun: neither content nor
// headers.
type outlineView struct {
	Tag       string `json:"tag" doc:"Tag, lower case"`
	Engine    string `json:"engine" enum:"handlebars" doc:"Language"`
	MJML      string `json:"mjml" doc:"Always empty"`
	CreatedAt string `json:"createdAt" doc:"RFC 1123 time in UTC"`
	Comment   string `json:"comment"`
	Active    bool   `json:"active" doc:"Whether it is used where no version is named"`
	ID        string `json:"id" doc:"UUID"`
}

const engine = "handlebars"

func timeText(micro int64) string {
	return clock.FromMicro(micro).In(time.UTC).Format(time.RFC1123)
}

func viewOf(r *record, v *version) templateView {
	out := templateView{Name: r.name, Description: r.description, CreatedAt: timeText(r.createdAt), CreatedBy: r.createdBy, ID: r.publicID}
	if v != nil {
		one := viewVersion(v)
		out.Version = &one
	}
	return out
}

func viewVersion(v *version) versionView {
	h := v.headers
	if h == nil {
		h = headers{}
	}
	return versionView{v.tag, v.content, engine, "", timeText(v.createdAt), v.comment, v.active, v.publicID, h}
}

func viewOutline(v *version) outlineView {
	return outlineView{v.tag, engine, "", timeText(v.createdAt), v.comment, v.active, v.publicID}
}

// told is the answer that says what was done, with the template it was done to.
type told struct {
	Message  string       `json:"message"`
	Template templateView `json:"template"`
}

// named is the answer that names what changed.
type named struct {
	Message  string   `json:"message"`
	Template nameOnly `json:"template"`
}

type nameOnly struct {
	Name    string   `json:"name" doc:"Name of the template"`
	Version *tagOnly `json:"version,omitempty" doc:"The version that changed"`
}

type tagOnly struct {
	Tag string `json:"tag" doc:"Tag of the version"`
}

func namedVersion(message, name, tag string) *named {
	return &named{message, nameOnly{name, &tagOnly{tag}}}
}
