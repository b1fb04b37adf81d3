package account

import (
	"context"
	"testing"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// The published table, joined to our groups: - none, r read, w read and write.
func TestAllowed(t *testing.T) {
	groups := []op.Group{op.Messages, op.Domains, op.Credentials, op.Keys, op.Events, op.Webhooks, op.Suppressions, op.Allowlist, op.Routes, op.Account, op.Status, op.Lists, op.Templates, op.Queue}
	table := map[string]string{
		Admin:     "wwwwwwwwwwwwww",
		Basic:     "rr--rr-rrrrrr-",
		Developer: "wwrrwwwwwwwww-",
		Support:   "rr--rrwwrrrww-",
		Sending:   "--------------",
		"":        "--------------",
		"root":    "--------------",
	}
	for role, row := range table {
		for i, g := range groups {
			want := map[op.Access]bool{op.Public: true, op.Read: row[i] != '-', op.Write: row[i] == 'w', op.Send: row[i] == 'w'}
			if role == Sending && g == op.Messages {
				want[op.Send] = true
			}
			for a, ok := range want {
				if got := Allowed(role, g, a); got != ok {
					t.Errorf("Allowed(%q, %s, %d) = %v, want %v", role, g, a, got, ok)
				}
			}
			if Allowed(role, g, op.Access(99)) {
				t.Errorf("%q may do an unknown access in %s", role, g)
			}
		}
	}
}

func TestAuthorize(t *testing.T) {
	sending := &Caller{AccountID: "a", Role: Sending, Domain: "example.com"}
	tests := []struct {
		name   string
		c      *Caller
		g      op.Group
		a      op.Access
		domain string
		ok     bool
	}{
		{"own domain", sending, op.Messages, op.Send, "example.com", true},
		{"own domain in capitals", sending, op.Messages, op.Send, "Example.COM", true},
		{"other domain", sending, op.Messages, op.Send, "example.org", false},
		{"no domain", sending, op.Messages, op.Send, "", false},
		{"subdomain", sending, op.Messages, op.Send, "mg.example.com", false},
		{"read its messages", sending, op.Messages, op.Read, "example.com", false},
		{"public", sending, op.Status, op.Public, "", true},
		{"administrator", &Caller{AccountID: "a", Role: Admin}, op.Keys, op.Write, "", true},
		{"nobody", &Caller{}, op.Status, op.Read, "", false},
		{"nobody, public", &Caller{}, op.Status, op.Public, "", true},
	}
	for _, tt := range tests {
		err := Authorize(tt.c, tt.g, tt.a, tt.domain)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && !errs.Is(err, errs.Unauthorized) {
			t.Errorf("%s: kind %v", tt.name, errs.KindOf(err))
		}
	}
}

func TestFromNeverNil(t *testing.T) {
	for _, ctx := range []context.Context{context.Background(), With(context.Background(), nil)} {
		if c := From(ctx); c == nil || *c != (Caller{}) {
			t.Errorf("From = %+v, want an empty caller", c)
		}
	}
	c := &Caller{AccountID: "a"}
	if From(With(context.Background(), c)) != c {
		t.Error("the caller put in does not come out")
	}
}
