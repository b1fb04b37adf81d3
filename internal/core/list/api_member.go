package list

import (
	"context"
	"encoding/json"

	"postroad/internal/base/db"
	"postroad/internal/base/op"
)

// memberView has Mailgun's members in their order.
type memberView struct {
	Address    string          `json:"address" doc:"Address of the member"`
	Name       string          `json:"name"`
	Subscribed bool            `json:"subscribed" doc:"Whether posts are sent to the member"`
	Vars       json.RawMessage `json:"vars" doc:"JSON object: values of %recipient.key% in posts"`
}

func viewMember(m *Member) memberView { return memberView{m.Address, m.Name, m.Subscribed, m.Vars} }

type memberOut struct {
	Member  memberView `json:"member"`
	Message string     `json:"message,omitempty"`
}

// Respond implements op.Responder.
func (o *memberOut) Respond() op.Response { return pretty(*o) }

type addMemberIn struct {
	ListAddress string  `path:"list_address" doc:"Address of the list"`
	Address     string  `form:"address" required:"Missing mandatory parameter: address" max:"1000" doc:"Address of the member; Name <address> names it"`
	Name        *string `form:"name" doc:"Name of the member"`
	Vars        *string `form:"vars" doc:"JSON object: values of %recipient.key% in posts"`
	Subscribed  *bool   `form:"subscribed" doc:"Whether posts are sent to the member; yes if absent"`
	Upsert      bool    `form:"upsert" default:"no" doc:"yes: change the member if it is there; no: refuse"`
}

func (s *Service) addMember(ctx context.Context, in *addMemberIn) (*memberOut, error) {
	c, err := newCandidate(in.Address, in.Name, in.Vars, in.Subscribed)
	if err != nil {
		return nil, err
	}
	m, err := s.addOne(ctx, in.ListAddress, c, in.Upsert)
	if err != nil {
		return nil, err
	}
	return &memberOut{viewMember(m), "Mailing list member has been created"}, nil
}

type memberIn struct {
	ListAddress   string `path:"list_address" doc:"Address of the list"`
	MemberAddress string `path:"member_address" doc:"Address of the member, in any case"`
}

func (s *Service) getMember(ctx context.Context, in *memberIn) (*memberOut, error) {
	var m *Member
	err := s.DB.Read(ctx, func(tx *db.Tx) error {
		l, err := s.own(ctx, tx, in.ListAddress)
		if err == nil {
			m, err = oneMember(tx, l, in.MemberAddress)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &memberOut{Member: viewMember(m)}, nil
}

type updateMemberIn struct {
	ListAddress   string  `path:"list_address" doc:"Address of the list"`
	MemberAddress string  `path:"member_address" doc:"Address of the member, in any case"`
	Address       string  `form:"address" max:"1000" doc:"New address of the member"`
	Name          *string `form:"name" doc:"Name of the member"`
	Vars          *string `form:"vars" doc:"JSON object: values of %recipient.key% in posts"`
	Subscribed    *bool   `form:"subscribed" doc:"Whether posts are sent to the member"`
}

func (s *Service) updateMember(ctx context.Context, in *updateMemberIn) (*memberOut, error) {
	address := in.Address
	if address == "" {
		address = in.MemberAddress
	}
	c, err := newCandidate(address, in.Name, in.Vars, in.Subscribed)
	if err != nil && in.Address == "" {
		return nil, noMember(in.MemberAddress, in.ListAddress)
	}
	if err != nil {
		return nil, err
	}
	if in.Address == "" {
		c.address = "" // as it was written when it was added
	}
	m, err := s.changeMember(ctx, in.ListAddress, in.MemberAddress, c)
	if err != nil {
		return nil, err
	}
	return &memberOut{viewMember(m), "Mailing list member has been updated"}, nil
}

type memberRemoved struct {
	Member struct {
		Address string `json:"address"`
	} `json:"member"`
	Message string `json:"message"`
}

// Respond implements op.Responder.
func (o *memberRemoved) Respond() op.Response { return pretty(*o) }

func (s *Service) removeMember(ctx context.Context, in *memberIn) (*memberRemoved, error) {
	m, err := s.dropMember(ctx, in.ListAddress, in.MemberAddress)
	if err != nil {
		return nil, err
	}
	out := &memberRemoved{Message: "Mailing list member has been deleted"}
	out.Member.Address = m.Address
	return out, nil
}

type membersIn struct {
	ListAddress string `path:"list_address" doc:"Address of the list"`
	rangeIn
	Subscribed *bool `query:"subscribed" doc:"yes: only subscribed members; no: only others"`
}

type membersOut struct {
	Items      []memberView `json:"items"`
	TotalCount int64        `json:"total_count" doc:"Members that the filters leave"`
}

// Respond implements op.Responder.
func (o *membersOut) Respond() op.Response { return pretty(*o) }

func (s *Service) members(ctx context.Context, in *membersIn) (*membersOut, error) {
	out, p := &membersOut{}, in.page()
	p.subscribed = in.Subscribed
	err := s.DB.Read(ctx, func(tx *db.Tx) error {
		l, err := s.own(ctx, tx, in.ListAddress)
		if err != nil {
			return err
		}
		list, err := selectMembers(tx, l.ID, &p)
		if err != nil {
			return err
		}
		out.Items, out.TotalCount = views(list, viewMember), l.Members
		if p.subscribed != nil || p.exact != "" {
			out.TotalCount, err = countMembers(tx, l.ID, &p)
		}
		return err
	})
	return out, err
}

type memberPagesIn struct {
	ListAddress string `path:"list_address" doc:"Address of the list"`
	pageIn
	Subscribed *bool `query:"subscribed" doc:"yes: only subscribed members; no: only others"`
}

type memberPagesOut struct {
	Items  []memberView `json:"items"`
	Paging paging       `json:"paging"`
}

// Respond implements op.Responder.
func (o *memberPagesOut) Respond() op.Response { return pretty(*o) }

func (s *Service) memberPages(ctx context.Context, in *memberPagesIn) (*memberPagesOut, error) {
	p := in.page()
	p.subscribed = in.Subscribed
	var list []*Member
	err := s.DB.Read(ctx, func(tx *db.Tx) error {
		l, err := s.own(ctx, tx, in.ListAddress)
		if err == nil {
			list, err = selectMembers(tx, l.ID, &p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	first, last := "", ""
	if n := len(list); n > 0 {
		first, last = list[0].Address, list[n-1].Address
	}
	r := op.RequestFrom(ctx)
	return &memberPagesOut{views(list, viewMember), p.around(r.BaseURL+r.Path, first, last)}, nil
}
