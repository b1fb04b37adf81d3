package suppress

import (
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

type unsubscribeView struct {
	Address   string   `json:"address" doc:"Email address as it was given"`
	Tags      []string `json:"tags" doc:"Tags it does not want mail of; * for all mail of the domain"`
	CreatedAt string   `json:"created_at" doc:"RFC 1123 time in UTC; of the tag added last"`
}

func viewUnsubscribe(i *Item) unsubscribeView {
	return unsubscribeView{i.Address, i.Tags, stampText(&i.Entry)}
}

// unsubscribeForm is an unsubscribe as a form or a JSON object. Mailgun: a form
// has one tag, and tags in a form are ignored.
type unsubscribeForm struct {
	Address string   `form:"address" doc:"Email address"`
	Tag     string   `form:"tag" doc:"Tag to unsubscribe from; * or absent: all mail of the domain"`
	Tags    []string `json:"tags" doc:"Tags to unsubscribe from, in JSON only"`
	stamp
}

func (r unsubscribeForm) entries() ([]Entry, *errs.Error) {
	tags := r.Tags
	if len(tags) == 0 {
		tags = []string{r.Tag}
	}
	return r.tagged(r.Address, tags)
}

// unsubscribeRecord is an unsubscribe in a JSON array. Mailgun: tag in an array
// is ignored.
type unsubscribeRecord struct {
	Address string   `json:"address" doc:"Email address"`
	Tags    []string `json:"tags,omitempty" doc:"Tags to unsubscribe from; * or none: all mail of the domain"`
	stamp
}

func (r unsubscribeRecord) entries() ([]Entry, *errs.Error) {
	tags := r.Tags
	if len(tags) == 0 {
		tags = []string{everyTag}
	}
	return r.tagged(r.Address, tags)
}

// tagged returns an entry per tag.
func (s stamp) tagged(address string, tags []string) ([]Entry, *errs.Error) {
	if len(tags) > maxTags {
		return nil, errs.New(errs.Invalid, "'tags' parameter is invalid: must have at most %d items", maxTags)
	}
	at, err := s.micro()
	if err != nil {
		return nil, err
	}
	out := make([]Entry, len(tags))
	for i, tag := range tags {
		out[i] = Entry{Address: address, Tag: tag, CreatedAt: at}
	}
	return out, nil
}

type addUnsubscribeIn struct {
	DomainName string `path:"domain_name" doc:"Name of the domain"`
	unsubscribeForm
	Records batch[unsubscribeRecord] `body:"json" doc:"Up to 1,000 unsubscribes"`
}

func (in *addUnsubscribeIn) given() (string, *given, error) {
	g, err := gather(in.unsubscribeForm, in.Records)
	return in.DomainName, g, err
}

type removeTagIn struct {
	DomainName string `path:"domain_name" doc:"Name of the domain"`
	Address    string `path:"address" doc:"Email address, in any case"`
	Tag        string `form:"tag" doc:"Remove this tag only; the address with all its tags if absent"`
}

func (in *removeTagIn) entry() (string, string, string) { return in.DomainName, in.Address, in.Tag }

func unsubscribeOps(l *list) []op.Op {
	one := addedOne("Address has been added to the unsubscribes table")
	many := addedMany("%d addresses have been added to the unsubscribes table")
	return []op.Op{
		op.New("GET", l.path(), op.Suppressions, op.Read, "List unsubscribes", pager(l, viewUnsubscribe)),
		op.New("GET", l.path()+"/{address}", op.Suppressions, op.Read, "Get an unsubscribe", getter[addressIn](l, viewUnsubscribe)),
		op.New("POST", l.path(), op.Suppressions, op.Write, "Add unsubscribes", adder[addUnsubscribeIn](l, one, many)).
			WithDoc(addDoc + " Tags are added to those the address has."),
		op.New("DELETE", l.path()+"/{address}", op.Suppressions, op.Write, "Remove an unsubscribe or one of its tags",
			remover[removeTagIn](l, removedWith("Unsubscribe event has been removed"))),
		op.New("DELETE", l.path(), op.Suppressions, op.Write, "Remove all unsubscribes",
			clearer(l, "Unsubscribe addresses for this domain have been removed")),
		importOp(l, op.Suppressions, "unsubscribes"),
	}
}
