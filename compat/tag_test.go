package compat

import (
	"testing"

	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/events"
	"github.com/mailgun/mailgun-go/v5/mtypes"
)

func TestTags(t *testing.T) {
	s := start(t, "serve")
	ctx := t.Context()
	m := mailgun.NewMessage(domain, "ann@example.com", "s", "t", "go-tag@example.net")
	if err := m.AddTag("Go News + ads", "go-other"); err != nil {
		t.Fatal(err)
	}
	event[*events.Delivered](t, s, "delivered", send(t, s, m), "go-tag@example.net")

	// The client takes a next page whose tag is named for the end, so one page it is.
	it := s.mg.ListTags(domain, &mailgun.ListTagOptions{Limit: 10, Prefix: "go"})
	var page []mtypes.Tag
	if !it.Next(ctx, &page) || it.Err() != nil || len(page) != 2 || page[0].Value != "Go News + ads" || page[1].Value != "go-other" {
		t.Errorf("tags = %+v, %v", page, it.Err())
	}
	if !it.First(ctx, &page) || len(page) != 2 {
		t.Errorf("first page = %+v, %v", page, it.Err())
	}
	if !it.Last(ctx, &page) || len(page) != 2 {
		t.Errorf("last page = %+v, %v", page, it.Err())
	}
	tag, err := s.mg.GetTag(ctx, domain, "go news + ads")
	if err != nil || tag.Value != "Go News + ads" || tag.FirstSeen == nil || tag.LastSeen == nil || tag.LastSeen.Before(*tag.FirstSeen) {
		t.Errorf("tag = %+v, %v", tag, err)
	}
	if l, err := s.mg.GetTagLimits(ctx, domain); err != nil || l.Limit != 20000 || l.Count != 2 {
		t.Errorf("limits = %+v, %v", l, err)
	}
	if err := s.mg.DeleteTag(ctx, domain, "go news + ads"); err != nil {
		t.Error(err)
	}
	if _, err := s.mg.GetTag(ctx, domain, "go news + ads"); mailgun.GetStatusFromErr(err) != 404 {
		t.Errorf("a deleted tag: %v, want status 404", err)
	}
}
