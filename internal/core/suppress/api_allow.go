package suppress

import (
	"fmt"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// allowView has Mailgun's names, createdAt among them.
type allowView struct {
	Type      string `json:"type" enum:"address,domain" doc:"What the value is"`
	Value     string `json:"value" doc:"Email address or domain name as it was given"`
	Reason    string `json:"reason" doc:"Why it was added"`
	CreatedAt string `json:"createdAt" doc:"RFC 1123 time in UTC"`
}

func viewAllowed(i *Item) allowView {
	return allowView{allowType(i.Address), i.Address, i.Reason, stampText(&i.Entry)}
}

func allowType(value string) string {
	if strings.Contains(value, "@") {
		return "address"
	}
	return "domain"
}

type allowRecord struct {
	Address string `form:"address" json:"address,omitempty" doc:"Email address; it goes before domain"`
	Domain  string `form:"domain" json:"domain,omitempty" doc:"Domain name: all its addresses"`
	Reason  text   `form:"reason" json:"reason,omitempty" doc:"Why it is added"`
	stamp
}

func (r allowRecord) entries() ([]Entry, *errs.Error) {
	value := r.Address
	switch {
	case strings.TrimSpace(value) == "":
		if value = r.Domain; strings.Contains(value, "@") {
			return nil, errs.New(errs.Invalid, "'domain' parameter is invalid: it is an address")
		}
	case !strings.Contains(value, "@"):
		return nil, errs.New(errs.Invalid, "'address' parameter is invalid: domain missing")
	}
	return r.one(Entry{Address: value, Reason: string(r.Reason)})
}

type addAllowedIn struct {
	DomainName string `path:"domain_name" doc:"Name of the domain"`
	allowRecord
	Records batch[allowRecord] `body:"json" doc:"Up to 1,000 addresses and domains"`
}

func (in *addAllowedIn) given() (string, *given, error) {
	g, err := gather(in.allowRecord, in.Records)
	return in.DomainName, g, err
}

type valueIn struct {
	DomainName string `path:"domain_name" doc:"Name of the domain"`
	Value      string `path:"value" doc:"Email address or domain name, in any case"`
}

func (in *valueIn) entry() (string, string, string) { return in.DomainName, in.Value, "" }

type allowAdded struct {
	Message string `json:"message"`
	Type    string `json:"type,omitempty" enum:"address,domain" doc:"What was added, unless an array was sent"`
	Value   string `json:"value,omitempty" doc:"The address or domain, unless an array was sent"`
}

type allowRemoved struct {
	Message string `json:"message"`
	Value   string `json:"value" doc:"The address or domain as it was asked for"`
}

func allowOps(l *list) []op.Op {
	one := func(e *Entry) allowAdded {
		return allowAdded{"Address/Domain has been added to the allowlists table", allowType(e.Address), e.Address}
	}
	// Mailgun takes no arrays here; the text follows those of the other lists.
	many := func(n int) allowAdded {
		return allowAdded{Message: fmt.Sprintf("%d addresses/domains have been added to the allowlists table", n)}
	}
	gone := func(value string) allowRemoved {
		return allowRemoved{"Allowlist address/domain has been removed", value}
	}
	return []op.Op{
		op.New("GET", l.path(), op.Allowlist, op.Read, "List the allowlist", pager(l, viewAllowed)),
		op.New("GET", l.path()+"/{value}", op.Allowlist, op.Read, "Get an allowlist entry", getter[valueIn](l, viewAllowed)),
		op.New("POST", l.path(), op.Allowlist, op.Write, "Add addresses or domains to the allowlist", adder[addAllowedIn](l, one, many)).
			WithDoc(addDoc + " Bounces of allowed addresses are not listed; a bounce that is listed already stays."),
		op.New("DELETE", l.path()+"/{value}", op.Allowlist, op.Write, "Remove an allowlist entry", remover[valueIn](l, gone)),
		op.New("DELETE", l.path(), op.Allowlist, op.Write, "Remove the whole allowlist",
			clearer(l, "Allowlist addresses/domains for this domain have been removed")),
		importOp(l, op.Allowlist, "the allowlist"),
	}
}
