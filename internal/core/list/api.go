package list

import (
	"context"

	"postroad/internal/base/db"
	"postroad/internal/base/op"
	"postroad/internal/core/account"
	"postroad/internal/mail/addr"
)

// Ops returns the operations of mailing lists.
func (s *Service) Ops() []op.Op {
	const one = "/v3/lists/{list_address}"
	return []op.Op{
		op.New("POST", "/v3/lists", op.Lists, op.Write, "Create a mailing list", s.create),
		op.New("GET", "/v3/lists", op.Lists, op.Read, "List mailing lists", s.list),
		op.New("GET", "/v3/lists/pages", op.Lists, op.Read, "List mailing lists page by page", s.listPages),
		op.New("GET", one, op.Lists, op.Read, "Get a mailing list", s.get),
		op.New("PUT", one, op.Lists, op.Write, "Change a mailing list", s.update).WithDoc("What is not sent stays as it is."),
		op.New("DELETE", one, op.Lists, op.Write, "Delete a mailing list", s.remove),
		op.New("GET", one+"/members", op.Lists, op.Read, "List the members of a mailing list", s.members),
		op.New("GET", one+"/members/pages", op.Lists, op.Read, "List the members of a mailing list page by page", s.memberPages),
		op.New("POST", one+"/members", op.Lists, op.Write, "Add a member to a mailing list", s.addMember),
		op.New("POST", one+"/members.json", op.Lists, op.Write, "Add up to 1,000 members to a mailing list", s.uploadJSON).WithDoc(jsonDoc),
		op.New("POST", one+"/members.csv", op.Lists, op.Write, "Add members to a mailing list from a CSV file", s.uploadCSV).WithDoc(csvDoc),
		op.New("GET", one+"/members/{member_address}", op.Lists, op.Read, "Get a member of a mailing list", s.getMember),
		op.New("PUT", one+"/members/{member_address}", op.Lists, op.Write, "Change a member of a mailing list", s.updateMember).WithDoc("What is not sent stays as it is."),
		op.New("DELETE", one+"/members/{member_address}", op.Lists, op.Write, "Remove a member from a mailing list", s.removeMember),
		op.New("GET", leavePath+"{token}", op.Lists, op.Public, "Ask a member whether to leave a mailing list", s.askLeave),
		op.New("POST", leavePath+"{token}", op.Lists, op.Public, "Leave a mailing list", s.leave).WithDoc(leaveDoc),
	}
}

// listView has Mailgun's members in their order, which is that of the alphabet.
type listView struct {
	AccessLevel     string `json:"access_level" enum:"readonly,members,everyone" doc:"Who may post"`
	Address         string `json:"address" doc:"Address of the list"`
	CreatedAt       string `json:"created_at" doc:"RFC 2822 time in UTC"`
	Description     string `json:"description"`
	MembersCount    int64  `json:"members_count" doc:"Members, subscribed or not"`
	Name            string `json:"name"`
	ReplyPreference string `json:"reply_preference" enum:"list,sender" doc:"Where replies go; those to a readonly list go to the sender in any case"`
}

func view(l *List) listView {
	return listView{string(l.Access), l.Address, dateText(l.CreatedAt), l.Description, l.Members, l.Name, string(l.Reply)}
}

// pretty is the form of answers. Mailgun: two spaces, sorted.
func pretty(v any) op.Response { return op.Response{JSON: v, Pretty: true} }

type createIn struct {
	Address         string `form:"address" required:"Missing mandatory parameter: address" max:"1000" doc:"Address of the list, on a domain of the account; Name <address> names it"`
	Name            string `form:"name" doc:"Name of the list"`
	Description     string `form:"description" doc:"Description of the list"`
	AccessLevel     string `form:"access_level" default:"readonly" doc:"Who may post: readonly (the account), members, everyone"`
	ReplyPreference string `form:"reply_preference" default:"list" doc:"Where replies go: list or sender"`
}

type listOut struct {
	List    listView `json:"list"`
	Message string   `json:"message,omitempty"`
}

// Respond implements op.Responder.
func (o *listOut) Respond() op.Response { return pretty(*o) }

func (s *Service) create(ctx context.Context, in *createIn) (*listOut, error) {
	c := Change{Address: &in.Address, Description: &in.Description, Access: &in.AccessLevel, Reply: &in.ReplyPreference}
	if in.Name != "" {
		c.Name = &in.Name
	}
	l, err := s.Create(ctx, c)
	if err != nil {
		return nil, err
	}
	return &listOut{view(l), "Mailing list has been created"}, nil
}

type listIn struct {
	ListAddress string `path:"list_address" doc:"Address of the list"`
}

func (s *Service) get(ctx context.Context, in *listIn) (*listOut, error) {
	l, err := s.Get(ctx, in.ListAddress)
	if err != nil {
		return nil, err
	}
	return &listOut{List: view(l)}, nil
}

type updateIn struct {
	ListAddress     string  `path:"list_address" doc:"Address of the list"`
	Address         *string `form:"address" max:"1000" doc:"New address, on a domain of the account"`
	Name            *string `form:"name" doc:"Name of the list"`
	Description     *string `form:"description" doc:"Description of the list"`
	AccessLevel     *string `form:"access_level" doc:"Who may post: readonly, members, everyone"`
	ReplyPreference *string `form:"reply_preference" doc:"Where replies go: list or sender"`
	ListID          *string `form:"list_id" doc:"What events name as list-id; the row id of the list if empty"`
	ListIDAlias     *string `form:"list-id" doc:"The same as list_id"`
}

func (s *Service) update(ctx context.Context, in *updateIn) (*listOut, error) {
	c := Change{in.Address, in.Name, in.Description, in.AccessLevel, in.ReplyPreference, in.ListID}
	if c.ListID == nil {
		c.ListID = in.ListIDAlias
	}
	l, err := s.Update(ctx, in.ListAddress, c)
	if err != nil {
		return nil, err
	}
	return &listOut{view(l), "Mailing list has been updated"}, nil
}

type removedOut struct {
	Address string `json:"address" doc:"The address of the list"`
	Message string `json:"message"`
}

// Respond implements op.Responder.
func (o *removedOut) Respond() op.Response { return pretty(*o) }

func (s *Service) remove(ctx context.Context, in *listIn) (*removedOut, error) {
	l, err := s.Delete(ctx, in.ListAddress)
	if err != nil {
		return nil, err
	}
	return &removedOut{l.Address, "Mailing list has been removed"}, nil
}

type rangeIn struct {
	Limit   int    `query:"limit" default:"100" min:"1" doc:"Number of entries, 100 at most"`
	Skip    int    `query:"skip" default:"0" min:"0" doc:"Entries to pass over"`
	Address string `query:"address" doc:"Only the entry with this address"`
}

func (in *rangeIn) page() page {
	return page{limit: min(in.Limit, maxPage), skip: in.Skip, exact: in.Address}
}

type pageIn struct {
	Limit   int    `query:"limit" default:"100" min:"1" doc:"Number of entries, 100 at most"`
	Page    string `query:"page" default:"first" enum:"first,next,prev,previous,last" doc:"Which page, seen from address"`
	Address string `query:"address" doc:"Entry that the page follows (next) or precedes (prev)"`
}

func (in *pageIn) page() page {
	p := page{limit: min(in.Limit, maxPage), direction: in.Page, address: in.Address}
	if p.direction == "previous" {
		p.direction = "prev"
	}
	return p
}

type listsOut struct {
	Items      []listView `json:"items"`
	TotalCount int64      `json:"total_count" doc:"Lists in all"`
}

// Respond implements op.Responder.
func (o *listsOut) Respond() op.Response { return pretty(*o) }

func (s *Service) list(ctx context.Context, in *rangeIn) (*listsOut, error) {
	out, p, id := &listsOut{}, in.page(), account.From(ctx).AccountID
	err := s.DB.Read(ctx, func(tx *db.Tx) error {
		lists, err := selectLists(tx, id, &p)
		if err != nil {
			return err
		}
		out.Items = views(lists, view)
		lookup := ""
		if in.Address != "" {
			lookup = addr.Canonical(in.Address)
		}
		out.TotalCount, err = countLists(tx, id, lookup)
		return err
	})
	return out, err
}

func views[T, V any](rows []*T, fn func(*T) V) []V {
	out := make([]V, len(rows))
	for i, r := range rows {
		out[i] = fn(r)
	}
	return out
}

type listPagesOut struct {
	Items  []listView `json:"items"`
	Paging paging     `json:"paging"`
}

// Respond implements op.Responder.
func (o *listPagesOut) Respond() op.Response { return pretty(*o) }

func (s *Service) listPages(ctx context.Context, in *pageIn) (*listPagesOut, error) {
	p := in.page()
	var lists []*List
	err := s.DB.Read(ctx, func(tx *db.Tx) (err error) {
		lists, err = selectLists(tx, account.From(ctx).AccountID, &p)
		return err
	})
	if err != nil {
		return nil, err
	}
	first, last := "", ""
	if n := len(lists); n > 0 {
		first, last = lists[0].Address, lists[n-1].Address
	}
	r := op.RequestFrom(ctx)
	return &listPagesOut{views(lists, view), p.around(r.BaseURL+r.Path, first, last)}, nil
}
