package compat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/events"
	"github.com/mailgun/mailgun-go/v5/mtypes"
)

// TestMailingLists is a list's life with the official client: made, filled,
// paged through, posted to, changed and removed.
func TestMailingLists(t *testing.T) {
	s := start(t, "serve")
	ctx := t.Context()
	const address = "team@example.com"
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.mg.CreateMailingList(ctx, mtypes.MailingList{Address: address, Name: "Team", Description: "d", AccessLevel: mtypes.AccessLevelMembers})
	ok(err)
	_, err = s.mg.CreateMailingList(ctx, mtypes.MailingList{Address: "another@example.com"})
	ok(err)
	got, err := s.mg.GetMailingList(ctx, address)
	if ok(err); got.Address != address || got.Name != "Team" || got.Description != "d" || got.AccessLevel != "members" || got.ReplyPreference != "list" || got.MembersCount != 0 {
		t.Errorf("list = %+v", got)
	}
	if _, err := s.mg.GetMailingList(ctx, "no@example.com"); mailgun.GetStatusFromErr(err) != 404 {
		t.Errorf("no list: %v", err)
	}
	_, err = s.mg.UpdateMailingList(ctx, address, mtypes.MailingList{Name: "The Team"})
	ok(err)
	var names []string
	lists := s.mg.ListMailingLists(&mailgun.ListOptions{Limit: 1})
	var page []mtypes.MailingList
	for lists.Next(ctx, &page) {
		names = append(names, page[0].Address)
	}
	if ok(lists.Err()); !slices.Equal(names, []string{"another@example.com", address}) {
		t.Errorf("lists %q", names)
	}
	if !lists.First(ctx, &page) || len(page) != 1 || !lists.Last(ctx, &page) || page[0].Name != "The Team" || !lists.Previous(ctx, &page) || page[0].Address != "another@example.com" {
		t.Errorf("first, last and previous: %+v %v", page, lists.Err())
	}

	ok(s.mg.CreateMember(ctx, false, address, mtypes.Member{Address: "ann@example.net", Name: "Ann Lee", Vars: map[string]any{"age": 26}}))
	if err := s.mg.CreateMember(ctx, false, address, mtypes.Member{Address: "ann@example.net"}); mailgun.GetStatusFromErr(err) != 400 {
		t.Errorf("a member twice: %v", err)
	}
	ok(s.mg.CreateMember(ctx, true, address, mtypes.Member{Address: "ann@example.net", Name: "Ann", Vars: map[string]any{"age": 27}}))
	ok(s.mg.CreateMemberList(ctx, mtypes.Subscribed, address, []any{mtypes.Member{Address: "bob@example.net", Subscribed: mtypes.Unsubscribed}, mtypes.Member{Address: "o'neil+x@example.net"}}))
	ok(s.mg.CreateMemberList(ctx, nil, address, []any{"carl@example.net"}))
	m, err := s.mg.GetMember(ctx, "o'neil+x@example.net", address)
	if ok(err); m.Address != "o'neil+x@example.net" || !*m.Subscribed {
		t.Errorf("member = %+v", m)
	}
	m, err = s.mg.UpdateMember(ctx, "carl@example.net", address, mtypes.Member{Name: "Carl", Subscribed: mtypes.Unsubscribed})
	if ok(err); m.Name != "Carl" || *m.Subscribed {
		t.Errorf("member = %+v", m)
	}
	var members []string
	it := s.mg.ListMembers(address, &mailgun.ListOptions{Limit: 3})
	var some []mtypes.Member
	for it.Next(ctx, &some) {
		for _, m := range some {
			members = append(members, m.Address)
		}
	}
	if ok(it.Err()); !slices.Equal(members, []string{"ann@example.net", "bob@example.net", "carl@example.net", "o'neil+x@example.net"}) {
		t.Errorf("members %q", members)
	}
	ok(s.mg.DeleteMember(ctx, "o'neil+x@example.net", address))

	id := send(t, s, mailgun.NewMessage(domain, "me@example.com", "News for %recipient.age%", "Dear %recipient_name%", address))
	copied := s.out.wait(t, "ann@example.net")
	if text := string(copied.data); !strings.Contains(text, "Subject: News for 27") || !strings.Contains(text, "Dear Ann") || !strings.Contains(text, "List-Id: The Team <team.example.com>") {
		t.Errorf("copy:\n%s", text)
	}
	delivered := event[*events.Delivered](t, s, "delivered", id, "ann@example.net")
	accepted := event[*events.Accepted](t, s, "accepted", id, address)
	if delivered.Message.Headers.To != address || accepted.Recipient != address {
		t.Errorf("delivered = %+v, accepted = %+v", delivered, accepted)
	}
	ok(s.mg.DeleteMailingList(ctx, address))
	if err := s.mg.DeleteMailingList(ctx, address); mailgun.GetStatusFromErr(err) != 404 {
		t.Errorf("deleted twice: %v", err)
	}
}

// The events of an upload in the background are read by the official client.
func TestMailingListUpload(t *testing.T) {
	s := start(t, "dev")
	ctx := t.Context()
	if _, err := s.mg.CreateMailingList(ctx, mtypes.MailingList{Address: "many@example.com"}); err != nil {
		t.Fatal(err)
	}
	list := []any{"not an address"}
	for i := range 120 {
		list = append(list, mtypes.Member{Address: fmt.Sprintf("m%d@example.net", i), Vars: map[string]any{"n": i}})
	}
	if err := s.mg.CreateMemberList(ctx, mtypes.Subscribed, "many@example.com", list); err != nil {
		t.Fatal(err)
	}
	var over *events.ListUploaded
	eventually(t, "the upload is over", func() error {
		it := s.mg.ListEvents(domain, &mailgun.ListEventOptions{Filter: map[string]string{"event": "list_uploaded"}})
		var page []events.Event
		if it.Next(ctx, &page); len(page) == 0 {
			return errors.Join(errors.New("no event"), it.Err())
		}
		over = page[0].(*events.ListUploaded)
		return nil
	})
	if over.UpsertedCount != 120 || over.FailedCount != 1 || over.Format != "json" || !over.IsUpsert || !over.Subscribed || over.TaskID == "" || over.MailingList.Address != "many@example.com" {
		t.Errorf("%+v", over)
	}
	it := s.mg.ListEvents(domain, &mailgun.ListEventOptions{Filter: map[string]string{"event": "list_member_uploaded OR list_member_upload_error"}, Limit: 300})
	members, failed := 0, 0
	var page []events.Event
	for it.Next(ctx, &page) {
		for _, e := range page {
			switch e := e.(type) {
			case *events.ListMemberUploaded:
				if members++; e.TaskID != over.TaskID || e.Member.Address == "" || !e.Member.Subscribed || !slices.Equal(e.Member.Vars, []string{"n"}) {
					t.Errorf("%+v", e)
				}
			case *events.ListMemberUploadError:
				if failed++; e.Error.Message == "" || e.MemberDescription != `"not an address"` || e.Format != "json" {
					t.Errorf("%+v", e)
				}
			}
		}
	}
	if it.Err() != nil || members != 120 || failed != 1 {
		t.Errorf("%d members, %d failed, %v", members, failed, it.Err())
	}
}
