package compat

import (
	"testing"

	"github.com/mailgun/mailgun-go/v5"
)

func TestKeys(t *testing.T) {
	s := start(t, "serve")
	ctx := t.Context()
	made, err := s.mg.CreateAPIKey(ctx, "sending", &mailgun.CreateAPIKeyOptions{Description: "for sending", Kind: "domain", DomainName: domain})
	if err != nil {
		t.Fatal(err)
	}
	if made.Secret == "" || made.Role != "sending" || made.DomainName != domain {
		t.Errorf("made = %+v", made)
	}
	own := s.client(t, made.Secret)
	if _, err := own.Send(ctx, mailgun.NewMessage(domain, "ann@example.com", "s", "t", "bob@example.net")); err != nil {
		t.Errorf("sending with the new key: %v", err)
	}
	if _, err := own.GetDomain(ctx, domain, nil); err == nil {
		t.Error("a sending key could read the domain")
	}
	list, err := s.mg.ListAPIKeys(ctx, &mailgun.ListAPIKeysOptions{Kind: "domain", DomainName: domain})
	if err != nil || len(list) != 1 || list[0].ID != made.ID || list[0].Secret != "" {
		t.Errorf("list = %+v, %v", list, err)
	}
	if err := s.mg.DeleteAPIKey(ctx, made.ID); err != nil {
		t.Error(err)
	}
	_, err = own.Send(ctx, mailgun.NewMessage(domain, "ann@example.com", "s", "t", "bob@example.net"))
	if got := mailgun.GetStatusFromErr(err); got != 401 {
		t.Errorf("sending with the deleted key: status %d (%v), want 401", got, err)
	}
}
