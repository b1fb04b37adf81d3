package domain

import (
	"strings"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/base/errs"
)

func TestUpdateAnswer(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		create(t, s, "example.com")
		got := mustCall(t, s, "PUT", "/v4/domains/{name}", &updateDomainIn{Name: "example.com", SpamAction: ptr("delete"),
			WebPrefix: ptr("Links"), Wildcard: ptr(true), SMTPPassword: ptr("secret")})
		for _, want := range []string{`{"message":"Domain has been updated","domain":{`, `"spam_action":"block"`, `"web_prefix":"links"`,
			`"wildcard":true`, `"name":"links.example.com"`, `"receiving_dns_records":[`} {
			if !strings.Contains(got, want) {
				t.Errorf("%s is not in %s", want, got)
			}
		}
		if _, err := s.CheckCredential(t.Context(), "postmaster@example.com", "secret"); err != nil {
			t.Errorf("smtp_password: %v", err)
		}
		_, err := call(t, s, "PUT", "/v4/domains/{name}", &updateDomainIn{Name: "example.com", WebScheme: ptr("")})
		wantError(t, err, errs.Invalid, "web_scheme must be http or https")
		_, err = call(t, s, "PUT", "/v4/domains/{name}", &updateDomainIn{Name: "example.org"})
		wantError(t, err, errs.NotFound, "Domain not found")
		got = mustCall(t, s, "PUT", "/v3/domains/{name}/web_prefix", &putWebPrefixIn{Name: "example.com", WebPrefix: ptr("zed")})
		if got != `{"message":"Domain web prefix updated"}` {
			t.Error(got)
		}
		if d, _ := s.ByName(t.Context(), "example.com"); d.TrackingHost() != "zed.example.com" {
			t.Errorf("tracking host %q", d.TrackingHost())
		}
	})
}

func TestConnection(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		create(t, s, "example.com")
		got := mustCall(t, s, "PUT", "/v3/domains/{name}/connection", &putConnectionIn{Name: "example.com", RequireTLS: ptr(true)})
		if got != `{"message":"Domain connection settings have been updated, may take 10 minutes to fully propagate","require_tls":true,"skip_verification":false}` {
			t.Error(got)
		}
		got = mustCall(t, s, "GET", "/v3/domains/{name}/connection", &domainIn{"example.com"})
		if got != `{"require_tls":true,"skip_verification":false,"connection":{"require_tls":true,"skip_verification":false}}` {
			t.Error(got)
		}
	})
}

func TestTracking(t *testing.T) {
	each(t, Options{}, func(t *testing.T, s *Service, _ *clock.Fake) {
		create(t, s, "example.com")
		const path = "/v3/domains/{name}/tracking"
		want := `{"tracking":{"open":{"active":false,"place_at_the_top":false},"click":{"active":false},"unsubscribe":{"active":false,` +
			`"html_footer":"\n<br>\n<p><a href=\"%unsubscribe_url%\">unsubscribe</a></p>\n",` +
			`"text_footer":"\n\nTo unsubscribe click: <%unsubscribe_url%>\n\n"},"web_scheme":"http"}}`
		if got := mustCall(t, s, "GET", path, &domainIn{"example.com"}); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		got := mustCall(t, s, "PUT", path+"/open", &putOpenIn{Name: "example.com", Active: ptr(true)})
		if got != `{"message":"Domain tracking settings have been updated","open":{"active":true,"place_at_the_top":false}}` {
			t.Error(got)
		}
		got = mustCall(t, s, "PUT", path+"/open", &putOpenIn{Name: "example.com", PlaceAtTheTop: ptr(true)})
		if got != `{"message":"Domain tracking settings have been updated","open":{"active":true,"place_at_the_top":true}}` {
			t.Error(got)
		}
		for in, out := range map[string]string{"yes": "true", "TRUE": "true", "no": "false", "false": "false", "htmlonly": `"htmlonly"`} {
			got = mustCall(t, s, "PUT", path+"/click", &putClickIn{Name: "example.com", Active: &in})
			if got != `{"message":"Domain tracking settings have been updated","click":{"active":`+out+`}}` {
				t.Errorf("%s: %s", in, got)
			}
			if unchanged := mustCall(t, s, "PUT", path+"/click", &putClickIn{Name: "example.com"}); unchanged != got {
				t.Errorf("without active: %s", unchanged)
			}
		}
		_, err := call(t, s, "PUT", path+"/click", &putClickIn{Name: "example.com", Active: ptr("maybe")})
		wantError(t, err, errs.Invalid, "active must be one of yes, no, true, false, htmlonly")
		got = mustCall(t, s, "PUT", path+"/unsubscribe", &putUnsubscribeIn{Name: "example.com", Active: ptr(true), HTMLFooter: ptr("<b>"), TextFooter: ptr("")})
		if got != `{"message":"Domain tracking settings have been updated","unsubscribe":{"active":true,"html_footer":"<b>","text_footer":""}}` {
			t.Error(got)
		}
		_, err = call(t, s, "PUT", path+"/unsubscribe", &putUnsubscribeIn{Name: "example.com", HTMLFooter: ptr(strings.Repeat("x", maxFooter+1))})
		wantError(t, err, errs.Invalid, "a footer has more than 65536 bytes")
		_, err = call(t, s, "GET", path, &domainIn{"example.org"})
		wantError(t, err, errs.NotFound, "Domain not found")
	})
}
