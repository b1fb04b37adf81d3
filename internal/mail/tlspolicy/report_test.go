package tlspolicy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postroad/internal/mail/tlspolicy"
)

func TestParseTLSRPT(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
		err        error
	}{
		{"mail", "v=TLSRPTv1;rua=mailto:reports@example.com", []string{"mailto:reports@example.com"}, nil},
		{"web", "v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt?a=b;", []string{"https://reporting.example.com/v1/tlsrpt?a=b"}, nil},
		{"both, an extension", "v=TLSRPTv1; x=y; rua=mailto:a@b.example , https://b.example/;", []string{"mailto:a@b.example", "https://b.example/"}, nil},
		{"others passed over", "v=TLSRPTv1; rua=http://b.example/,ftp://x,mailto:,https:///x,x,mailto:a@b.example", []string{"mailto:a@b.example"}, nil},
		{"first rua", "v=TLSRPTv1; rua=mailto:a@b.example; rua=mailto:c@d.example", []string{"mailto:a@b.example"}, nil},
		{"nothing usable", "v=TLSRPTv1; rua=http://b.example/", nil, tlspolicy.ErrSyntax},
		{"no rua", "v=TLSRPTv1; x=y", nil, tlspolicy.ErrSyntax},
		{"broken", "v=TLSRPTv1; rua=mailto:a@b.example,https://[", nil, tlspolicy.ErrSyntax},
		{"control", "v=TLSRPTv1; rua=mailto:a@b.example\r\nBcc: x", nil, tlspolicy.ErrSyntax},
		{"other", "v=TLSRPTv2; rua=mailto:a@b.example", nil, tlspolicy.ErrNoRecord},
	} {
		got, err := tlspolicy.ParseTLSRPT([]string{"other", tt.text})
		if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, %s", tt.name, err, diff)
		}
	}
	if _, err := tlspolicy.ParseTLSRPT([]string{"v=TLSRPTv1;rua=mailto:a@b.c", "v=TLSRPTv1;rua=mailto:a@b.c"}); !errors.Is(err, tlspolicy.ErrManyRecords) {
		t.Error(err)
	}
	many := "v=TLSRPTv1;rua=" + strings.TrimSuffix(strings.Repeat("mailto:a@b.c,", 50), ",")
	if got, err := tlspolicy.ParseTLSRPT([]string{many}); err != nil || len(got) != 10 {
		t.Errorf("%d addresses, %v", len(got), err)
	}
}

func FuzzParseTLSRPT(f *testing.F) {
	f.Add("v=TLSRPTv1; rua=mailto:a@b.example,https://b.example/?x=y;")
	f.Add("v=TLSRPTv1;rua=https://[::1]:1/,mailto:%00@x")
	f.Fuzz(func(t *testing.T, text string) {
		rua, err := tlspolicy.ParseTLSRPT([]string{text})
		if (err == nil) != (len(rua) > 0) || len(rua) > 10 {
			t.Fatalf("%q: %q, %v", text, rua, err)
		}
		for _, u := range rua {
			if strings.ContainsAny(u, "\r\n\x00,") || !strings.Contains(text, u) {
				t.Fatalf("%q: %q", text, u)
			}
		}
	})
}
