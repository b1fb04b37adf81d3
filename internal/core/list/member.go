package list

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/mail/addr"
)

// Member is a member of a list.
type Member struct {
	ID         int64
	Address    string // mailbox
	Name       string
	Vars       json.RawMessage // an object
	Subscribed bool
}

// maxVars bounds the variables of one member, in bytes.
const maxVars = 16 << 10

// candidate is a member as a client gives it; nil leaves a value as it is.
type candidate struct {
	address    string // mailbox, "" to keep it
	name       *string
	vars       json.RawMessage // nil when not given
	subscribed *bool
	outside    bool // a new member that does not say is not subscribed
}

// newCandidate checks what a client says. A name beside the address counts when
// there is no other.
func newCandidate(address string, name *string, vars *string, subscribed *bool) (candidate, error) {
	c := candidate{name: name, subscribed: subscribed}
	a, err := addr.Parse(address)
	if err != nil {
		return c, badAddress(address, err)
	}
	c.address = a.Mailbox()
	if (name == nil || *name == "") && a.Name != "" {
		c.name = &a.Name
	}
	if c.name != nil && (len(*c.name) > maxName || strings.ContainsAny(*c.name, "\r\n\x00")) {
		return c, errs.New(errs.Invalid, "'name' parameter is invalid: must be one line of at most %d bytes", maxName)
	}
	if vars != nil && strings.TrimSpace(*vars) != "" {
		c.vars, err = readVars([]byte(*vars))
	}
	return c, err
}

// readVars takes a JSON object, or null for none.
func readVars(text []byte) (json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, errs.New(errs.Invalid, "'vars' parameter is not a valid JSON")
	}
	if m == nil {
		return json.RawMessage("{}"), nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return nil, errs.New(errs.Invalid, "'vars' parameter is not a valid JSON")
	}
	if b.Len() > maxVars {
		return nil, errs.New(errs.Invalid, "'vars' parameter is invalid: must be at most %d bytes long", maxVars)
	}
	return b.Bytes(), nil
}

// apply puts what is given into m.
func (c *candidate) apply(m *Member) {
	if c.address != "" {
		m.Address = c.address
	}
	if c.name != nil {
		m.Name = *c.name
	}
	if c.vars != nil {
		m.Vars = c.vars
	}
	if c.subscribed != nil {
		m.Subscribed = *c.subscribed
	}
}

// exists answers a member that is there already. Mailgun.
func exists(address string) *errs.Error {
	return errs.New(errs.Invalid, "Address already exists '%s'", clip(address))
}

func noMember(member, list string) error {
	return errs.New(errs.NotFound, "Member %s of mailing list %s not found", clip(member), clip(list))
}

// errGone says that a list was deleted meanwhile.
var errGone = errors.New("the list is gone")

// putBatch is how many members one statement writes.
const putBatch = 200

// put adds candidates to a list in tx, those that are members already only with
// upsert. It returns them as they are now, and for each its error, nil if it was
// put. The list's row is locked first: the count and the members change together.
func (s *Service) put(tx *db.Tx, listID int64, list []candidate, upsert bool) ([]*Member, []error, error) {
	if ok, err := lockList(tx, listID); err != nil || !ok {
		return nil, nil, errors.Join(err, errGone)
	}
	members, wrong := make([]*Member, len(list)), make([]error, len(list))
	for at := 0; at < len(list); at += putBatch {
		end := min(at+putBatch, len(list))
		if err := s.putSome(tx, listID, list[at:end], upsert, members[at:end], wrong[at:end]); err != nil {
			return nil, nil, err
		}
	}
	return members, wrong, nil
}

func (s *Service) putSome(tx *db.Tx, listID int64, list []candidate, upsert bool, members []*Member, wrong []error) error {
	lookups := make([]string, len(list))
	for i := range list {
		lookups[i] = addr.Canonical(list[i].address)
	}
	known, err := selectMembersByLookup(tx, listID, lookups)
	if err != nil {
		return err
	}
	var added int64
	write := map[string]*Member{}
	for i := range list {
		m := known[lookups[i]]
		switch {
		case m == nil:
			m = &Member{ID: s.IDs.Next(), Vars: json.RawMessage("{}"), Subscribed: !list[i].outside}
			known[lookups[i]] = m
			added++
		case !upsert:
			wrong[i] = exists(list[i].address)
			continue
		}
		list[i].apply(m)
		members[i], write[lookups[i]] = m, m
	}
	if err := upsertMembers(tx, listID, write); err != nil {
		return err
	}
	return addCount(tx, listID, added)
}

// addOne adds one member, or changes the one there is.
func (s *Service) addOne(ctx context.Context, address string, c candidate, upsert bool) (m *Member, err error) {
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		l, err := s.own(ctx, tx, address)
		if err != nil {
			return err
		}
		members, wrong, err := s.put(tx, l.ID, []candidate{c}, upsert)
		if err != nil {
			return err
		}
		m = members[0]
		return wrong[0]
	})
	return m, err
}

// addAll adds members, all or none.
func (s *Service) addAll(ctx context.Context, l *List, list []candidate, upsert bool) error {
	return s.DB.Write(ctx, func(tx *db.Tx) error {
		_, wrong, err := s.put(tx, l.ID, list, upsert)
		if errors.Is(err, errGone) {
			return missingQuoted(l.Address)
		}
		if i := slices.IndexFunc(wrong, func(e error) bool { return e != nil }); err == nil && i >= 0 {
			return wrong[i]
		}
		return err
	})
}

// changeMember applies c to a member; its address may change.
func (s *Service) changeMember(ctx context.Context, list, member string, c candidate) (m *Member, err error) {
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		l, err := s.own(ctx, tx, list)
		if err != nil {
			return err
		}
		if m, err = oneMember(tx, l, member); err != nil {
			return err
		}
		c.apply(m)
		err = updateMember(tx, m)
		if db.IsConflict(err) {
			return exists(m.Address)
		}
		return err
	})
	return m, err
}

func (s *Service) dropMember(ctx context.Context, list, member string) (m *Member, err error) {
	err = s.DB.Write(ctx, func(tx *db.Tx) error {
		l, err := s.own(ctx, tx, list)
		if err != nil {
			return err
		}
		if ok, err := lockList(tx, l.ID); err != nil || !ok {
			return errors.Join(err, errGone)
		}
		if m, err = oneMember(tx, l, member); err != nil {
			return err
		}
		if err := deleteMember(tx, m.ID); err != nil {
			return err
		}
		return addCount(tx, l.ID, -1)
	})
	return m, err
}

func oneMember(tx *db.Tx, l *List, address string) (*Member, error) {
	lookup := addr.Canonical(address)
	found, err := selectMembersByLookup(tx, l.ID, []string{lookup})
	if err == nil && found[lookup] == nil {
		err = noMember(address, l.Address)
	}
	return found[lookup], err
}
