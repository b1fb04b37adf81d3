package compat

import (
	"testing"

	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/events"
	"github.com/mailgun/mailgun-go/v5/mtypes"
)

func TestSuppressions(t *testing.T) {
	s := start(t, "serve")
	ctx := t.Context()
	if err := s.mg.AddBounce(ctx, domain, "gone@example.net", "550", "no such user"); err != nil {
		t.Fatal(err)
	}
	bounce, err := s.mg.GetBounce(ctx, domain, "gone@example.net")
	if err != nil || bounce.Code != "550" || bounce.Error != "no such user" {
		t.Errorf("bounce = %+v, %v", bounce, err)
	}
	if err := s.mg.AddBounces(ctx, domain, []mtypes.Bounce{{Address: "a@example.net", Code: "550"}, {Address: "b@example.net", Code: "551"}}); err != nil {
		t.Error(err)
	}
	it := s.mg.ListBounces(domain, &mailgun.ListOptions{Limit: 2})
	var page []mtypes.Bounce
	found := 0
	for it.Next(ctx, &page) {
		found += len(page)
	}
	if it.Err() != nil || found != 3 {
		t.Errorf("%d bounces listed, %v", found, it.Err())
	}
	if err := s.mg.CreateUnsubscribe(ctx, domain, "no@example.net", "*"); err != nil {
		t.Error(err)
	}
	if u, err := s.mg.GetUnsubscribe(ctx, domain, "no@example.net"); err != nil || u.Address != "no@example.net" {
		t.Errorf("unsubscribe = %+v, %v", u, err)
	}
	if err := s.mg.CreateComplaint(ctx, domain, "angry@example.net"); err != nil {
		t.Error(err)
	}
	if c, err := s.mg.GetComplaint(ctx, domain, "angry@example.net"); err != nil || c.Address != "angry@example.net" {
		t.Errorf("complaint = %+v, %v", c, err)
	}

	id := send(t, s, mailgun.NewMessage(domain, "ann@example.com", "s", "t", "gone@example.net"))
	failed := event[*events.Failed](t, s, "failed", id, "gone@example.net")
	if failed.Severity != "permanent" || failed.Reason != "suppress-bounce" {
		t.Errorf("failed = %+v", failed)
	}
	for name, err := range map[string]error{
		"bounce": s.mg.DeleteBounce(ctx, domain, "gone@example.net"), "bounces": s.mg.DeleteBounceList(ctx, domain),
		"unsubscribe": s.mg.DeleteUnsubscribe(ctx, domain, "no@example.net"), "complaint": s.mg.DeleteComplaint(ctx, domain, "angry@example.net"),
	} {
		if err != nil {
			t.Errorf("delete %s: %v", name, err)
		}
	}
	if _, err := s.mg.GetBounce(ctx, domain, "gone@example.net"); mailgun.GetStatusFromErr(err) != 404 {
		t.Errorf("a deleted bounce: %v, want status 404", err)
	}
}
