package compat

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mailgun/mailgun-go/v5"
	"github.com/mailgun/mailgun-go/v5/mtypes"
)

func TestDomains(t *testing.T) {
	modes(t, func(t *testing.T, s *server) {
		ctx := t.Context()
		made, err := s.mg.CreateDomain(ctx, "news.example.org", &mailgun.CreateDomainOptions{
			Password: "long enough 1", SpamAction: mtypes.SpamActionTag, Wildcard: true, DKIMKeySize: 2048, WebScheme: "https"})
		if err != nil {
			t.Fatal(err)
		}
		if made.Domain.Name != "news.example.org" || !made.Domain.Wildcard || made.Domain.WebScheme != "https" || len(made.SendingDNSRecords) < 2 {
			t.Errorf("created: %+v", made)
		}
		if _, err := s.mg.CreateDomain(ctx, "news.example.org", nil); mailgun.GetStatusFromErr(err) != 400 {
			t.Errorf("creating it again: %v, want status 400", err)
		}
		got, err := s.mg.GetDomain(ctx, "news.example.org", nil)
		if err != nil || got.Domain.ID != made.Domain.ID {
			t.Errorf("got: %+v, %v", got, err)
		}
		no := false
		if err := s.mg.UpdateDomain(ctx, "news.example.org", &mailgun.UpdateDomainOptions{Wildcard: &no, WebScheme: "http"}); err != nil {
			t.Error(err)
		}
		if got, err = s.mg.GetDomain(ctx, "news.example.org", nil); err != nil || got.Domain.Wildcard || got.Domain.WebScheme != "http" {
			t.Errorf("after the update: %+v, %v", got.Domain, err)
		}
		if _, err := s.mg.VerifyDomain(ctx, "news.example.org"); err != nil {
			t.Errorf("verify: %v", err)
		}
		if names := domainNames(t, s); !slices.Contains(names, "news.example.org") || !slices.Contains(names, domain) {
			t.Errorf("list = %q", names)
		}
		if err := s.mg.DeleteDomain(ctx, "news.example.org"); err != nil {
			t.Error(err)
		}
		if names := domainNames(t, s); slices.Contains(names, "news.example.org") {
			t.Errorf("list after it was deleted = %q", names)
		}
	})
}

func domainNames(t *testing.T, s *server) []string {
	t.Helper()
	it := s.mg.ListDomains(&mailgun.ListDomainsOptions{})
	var out []string
	var page []mtypes.Domain
	for it.Next(t.Context(), &page) {
		for _, d := range page {
			out = append(out, d.Name)
		}
	}
	if it.Err() != nil {
		t.Fatal(it.Err())
	}
	return out
}

func TestDomainSettings(t *testing.T) {
	s := start(t, "serve")
	ctx := t.Context()
	want := mtypes.DomainConnection{RequireTLS: true, SkipVerification: true}
	//lint:ignore SA1019 programs in use call it
	if err := s.mg.UpdateDomainConnection(ctx, domain, want); err != nil {
		t.Error(err)
	}
	//lint:ignore SA1019 programs in use call it
	if got, err := s.mg.GetDomainConnection(ctx, domain); err != nil || got != want {
		t.Errorf("connection = %+v, %v", got, err)
	}
	for name, err := range map[string]error{
		"open":        s.mg.UpdateOpenTracking(ctx, domain, "yes"),
		"click":       s.mg.UpdateClickTracking(ctx, domain, "yes"),
		"unsubscribe": s.mg.UpdateUnsubscribeTracking(ctx, domain, "yes", "<a href=\"%unsubscribe_url%\">stop</a>", "stop: %unsubscribe_url%"),
	} {
		if err != nil {
			t.Errorf("%s tracking: %v", name, err)
		}
	}
	got, err := s.mg.GetDomainTracking(ctx, domain)
	if err != nil || !got.Open.Active || !got.Click.Active || !got.Unsubscribe.Active || got.Unsubscribe.TextFooter != "stop: %unsubscribe_url%" {
		t.Errorf("tracking = %+v, %v", got, err)
	}
}

func TestCredentials(t *testing.T) {
	s := start(t, "serve")
	ctx := t.Context()
	for i := range 3 {
		if err := s.mg.CreateCredential(ctx, domain, fmt.Sprint("user", i), "long enough 1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.mg.ChangeCredentialPassword(ctx, domain, "user0", "long enough 2"); err != nil {
		t.Error(err)
	}
	if err := s.mg.DeleteCredential(ctx, domain, "user1"); err != nil {
		t.Error(err)
	}
	it := s.mg.ListCredentials(domain, &mailgun.ListOptions{Limit: 10})
	var page []mtypes.Credential
	var logins []string
	for it.Next(ctx, &page) {
		for _, c := range page {
			logins = append(logins, c.Login)
		}
	}
	if it.Err() != nil || !slices.Contains(logins, "user0@"+domain) || slices.Contains(logins, "user1@"+domain) {
		t.Errorf("logins = %q, %v", logins, it.Err())
	}
}

func TestDomainKeys(t *testing.T) {
	s := start(t, "serve")
	ctx := t.Context()
	made, err := s.mg.CreateDomainKey(ctx, domain, "second", &mailgun.CreateDomainKeyOptions{Bits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	if made.Selector != "second" || made.SigningDomain != domain {
		t.Errorf("made = %+v", made)
	}
	if err := s.mg.ActivateDomainKey(ctx, domain, "second"); err != nil {
		t.Errorf("activate: %v", err)
	}
	if err := s.mg.DeactivateDomainKey(ctx, domain, "second"); err != nil {
		t.Errorf("deactivate: %v", err)
	}
	it := s.mg.ListDomainKeys(domain)
	var page []mtypes.DomainKey
	var selectors []string
	it.Next(ctx, &page) // the library returns false although it read a page
	for _, k := range page {
		selectors = append(selectors, k.Selector)
	}
	if it.Err() != nil || !slices.Contains(selectors, "second") {
		t.Errorf("selectors = %q, %v", selectors, it.Err())
	}
	if err := s.mg.DeleteDomainKey(ctx, domain, "second"); err != nil {
		t.Errorf("delete: %v", err)
	}
}
