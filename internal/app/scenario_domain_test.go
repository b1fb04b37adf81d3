package app_test

import (
	"testing"

	"postroad/internal/config"
)

const (
	noDomain   = `{"message":"Domain not found"}`
	domainView = `"domain":{"created_at":"** GMT","id":"**","is_disabled":false,"name":"{name}","require_tls":false,"skip_verification":false,"smtp_login":"postmaster@{name}","spam_action":"{spam}",` +
		`"state":"active","type":"custom","use_automatic_sender_security":false,"web_prefix":"email","web_scheme":"http","wildcard":false,"encrypt_incoming_message":false,"message_ttl":259200}`
	recordView = `,"receiving_dns_records":[{"is_active":true,"cached":[],"priority":"10","record_type":"MX","valid":"**","value":"mail.postroad.test"}],` +
		`"sending_dns_records":[{"is_active":true,"cached":[**],"name":"**._domainkey.{name}","record_type":"TXT","valid":"**","value":"k=rsa; p=**"},` +
		`{"is_active":true,"cached":[**],"name":"{name}","record_type":"TXT","valid":"**","value":"v=spf1 **"},{"is_active":true,"cached":[],"name":"email.{name}","record_type":"CNAME","valid":"**","value":"mail.postroad.test"}]}`
)

func viewOf(name, spam, text string) string {
	return replace(text, "{name}", name, "{spam}", spam)
}

func TestScenarioDomains(t *testing.T) {
	s := newStage(t, config.Serve)
	const taken = `{"message":"This domain name is already taken"}`
	updated := `{"message":"Domain has been updated",` + viewOf("new.example", "tag", domainView+recordView)
	s.run(t, []probe{
		{name: "create", path: "/v4/domains", parts: []string{"name", "new.example"}, want: `{"message":"Domain DNS records have been created",` + viewOf("new.example", "disabled", domainView+recordView)},
		{name: "create, old version", path: "/v3/domains", form: []string{"name", "Old.Example", "smtp_password", "12345"}, want: `{"message":"Domain has been created",` + viewOf("old.example", "disabled", domainView+recordView)},
		{name: "twice", path: "/v4/domains", form: []string{"name", "NEW.example"}, status: 400, want: taken},
		{name: "no name", path: "/v4/domains", form: []string{"x", "y"}, status: 400, want: `{"message":"Parameter 'name' is missing"}`},
		{name: "no domain name", path: "/v4/domains", form: []string{"name", "a b"}, status: 400, want: `{"message":"The domain name \"a b\" is not valid: **"}`},
		{name: "two lines", path: "/v4/domains", form: []string{"name", "a.example\r\nb"}, status: 400},
		{name: "short password", path: "/v4/domains", form: []string{"name", "c.example", "smtp_password", "1234"}, status: 400, want: `{"message":"Password is too short. It must be between 5 and 32 characters."}`},
		{name: "list", path: "/v4/domains?search=example&sort=name", want: `{"total_count":4,"items":[{"created_at":"**GMT",**"name":"example.com",**"name":"example.org",**"name":"new.example",**"name":"old.example",**]}`},
		{name: "page", path: "/v3/domains?limit=1&skip=1&sort=name:asc&search=example", want: `{"total_count":4,"items":[{**"name":"example.org",**}]}`, not: "example.com"},
		{name: "without version", path: "/domains?limit=1", want: `{"total_count":**`},
		{name: "limit", path: "/v4/domains?limit=x", status: 400, want: `{"message":"'limit' parameter is invalid: must be an integer"}`},
		{name: "get", path: "/v4/domains/new.example", want: "{" + viewOf("new.example", "disabled", domainView+recordView)},
		{name: "get, old version", path: "/v3/domains/new.example", want: "{" + viewOf("new.example", "disabled", domainView+recordView)},
		{name: "unknown", path: "/v4/domains/elsewhere.example", status: 404, want: noDomain},
		{name: "update", method: "PUT", path: "/v4/domains/new.example", parts: []string{"spam_action", "tag"}, want: updated},
		{name: "update, bad", method: "PUT", path: "/v4/domains/new.example", form: []string{"spam_action", "eat"}, status: 400, want: `{"message":"spam_action must be one of disabled, block, tag"}`},
		{name: "update nobody's", method: "PUT", path: "/v4/domains/elsewhere.example", form: []string{"spam_action", "tag"}, status: 404, want: noDomain},
		{name: "verify", method: "PUT", path: "/v3/domains/new.example/verify", want: `{"message":"Domain DNS records have been updated","domain":{**`},
		{name: "verify nobody's", method: "PUT", path: "/v4/domains/elsewhere.example/verify", status: 404, want: noDomain},
		{name: "analyst reads", as: "basic", path: "/v4/domains/new.example"},
		{name: "analyst does not write", as: "basic", method: "PUT", path: "/v4/domains/new.example", form: []string{"spam_action", "block"}, status: 401, want: forbidden},
		{name: "support does not delete", as: "support", method: "DELETE", path: "/v3/domains/new.example", status: 401, want: forbidden},
		{name: "sending key does not list", as: "sending", path: "/v3/domains", status: 401, want: forbidden},
		{name: "sending key reads not even its own", as: "sending", path: "/v3/domains/example.com", status: 401, want: forbidden},
		{name: "developer creates", as: "developer", path: "/v4/domains", form: []string{"name", "dev.example"}},
		{name: "delete", method: "DELETE", path: "/v3/domains/new.example", want: `{"message":"Domain will be deleted in the background"}`},
		{name: "deleted", path: "/v3/domains/new.example", status: 404, want: noDomain},
		{name: "delete again", method: "DELETE", path: "/v4/domains/new.example", status: 404, want: noDomain},
	})
}

func TestScenarioDomainSettings(t *testing.T) {
	s := newStage(t, config.Serve)
	const at = "/v3/domains/example.com"
	const saved = `{"message":"Domain tracking settings have been updated",`
	footers := `"html_footer":"\n<br>\n<p><a href=\"%unsubscribe_url%\">unsubscribe</a></p>\n","text_footer":"\n\nTo unsubscribe click: <%unsubscribe_url%>\n\n"`
	const connected = `{"message":"Domain connection settings have been updated, may take 10 minutes to fully propagate","require_tls":`
	s.run(t, []probe{
		{name: "tracking", path: at + "/tracking", want: `{"tracking":{"open":{"active":false,"place_at_the_top":false},"click":{"active":false},"unsubscribe":{"active":false,` + footers + `},"web_scheme":"http"}}`},
		{name: "opens", method: "PUT", path: at + "/tracking/open?active=yes&place_at_the_top=true", want: saved + `"open":{"active":true,"place_at_the_top":true}}`},
		{name: "clicks of HTML", method: "PUT", path: at + "/tracking/click", form: []string{"active", "htmlonly"}, want: saved + `"click":{"active":"htmlonly"}}`},
		{name: "clicks", method: "PUT", path: at + "/tracking/click", parts: []string{"active", "yes"}, want: saved + `"click":{"active":true}}`},
		{name: "clicks, bad", method: "PUT", path: at + "/tracking/click", form: []string{"active", "x"}, status: 400, want: `{"message":"active must be one of yes, no, true, false, htmlonly"}`},
		{name: "footer", method: "PUT", path: at + "/tracking/unsubscribe", form: []string{"active", "true", "html_footer", "<p>x"}, want: saved + `"unsubscribe":{"active":true,"html_footer":"<p>x","text_footer":"**"}}`},
		{name: "tracking of nobody", path: "/v3/domains/elsewhere.example/tracking", status: 404, want: noDomain},
		{name: "tracking by analyst", as: "basic", method: "PUT", path: at + "/tracking/open", form: []string{"active", "no"}, status: 401, want: forbidden},
		{name: "connection", path: at + "/connection", want: `{"require_tls":false,"skip_verification":false,**`},
		{name: "require TLS", method: "PUT", path: at + "/connection?require_tls=true", want: connected + `true,"skip_verification":false}`},
		{name: "require it no more", method: "PUT", path: at + "/connection", form: []string{"require_tls", "no"}, want: connected + `false,"skip_verification":false}`},
		{name: "require it perhaps", method: "PUT", path: at + "/connection", form: []string{"require_tls", "x"}, status: 400, want: `{"message":"'require_tls' parameter is invalid: must be yes or no"}`},
		{name: "connection by support", as: "support", method: "PUT", path: at + "/connection", form: []string{"require_tls", "no"}, status: 401, want: forbidden},
		{name: "authority", method: "PUT", path: at + "/dkim_authority?self=true", want: `{"message":"Domain DKIM authority has not been changed","sending_dns_records":[**],"changed":false}`},
		{name: "selector", method: "PUT", path: at + "/dkim_selector", form: []string{"dkim_selector", "s2"}, want: `{"message":"DKIM selector changed"}`},
		{name: "selector, bad", method: "PUT", path: at + "/dkim_selector", form: []string{"dkim_selector", "a b"}, status: 400},
		{name: "prefix", method: "PUT", path: at + "/web_prefix", form: []string{"web_prefix", "click"}, want: `{"message":"Domain web prefix updated"}`},
		{name: "prefix, bad", method: "PUT", path: at + "/web_prefix", form: []string{"web_prefix", "a b"}, status: 400},
		{name: "prefix by analyst", as: "basic", method: "PUT", path: at + "/web_prefix", form: []string{"web_prefix", "x"}, status: 401, want: forbidden},
	})
}

func TestScenarioDKIMKeys(t *testing.T) {
	s := newStage(t, config.Serve)
	const list, keys = "/v4/domains/example.com/keys", "/v1/dkim/keys"
	const record = `"dns_record":{"is_active":ACTIVE,"cached":[**],"name":"SELECTOR._domainkey.example.com","record_type":"TXT","valid":"**","value":"k=rsa; p=**"}}`
	view := func(selector, active string) string {
		return replace(`{"signing_domain":"example.com","selector":"SELECTOR",`+record, "SELECTOR", selector, "ACTIVE", active)
	}
	about := func(selector string) string { return keys + "?signing_domain=example.com&selector=" + selector }
	s.run(t, []probe{
		{path: list, want: `{"items":[` + view("postroad", "true") + `]}`},
		{name: "create", path: keys, parts: []string{"signing_domain", "example.com", "selector", "s2", "bits", "1024"}, want: view("s2", "false")},
		{name: "create again", path: keys, form: []string{"signing_domain", "example.com", "selector", "s2"}, status: 400, want: `{"message":"failed to create domain key: duplicate key"}`},
		{name: "import no key", path: keys, form: []string{"signing_domain", "example.com", "selector", "s3", "pem", "x"}, status: 400, want: `{"message":"failed to import domain key: failed to parse PEM**"}`},
		{name: "import another form", path: keys, form: []string{"signing_domain", "example.com", "selector", "s3", "pem", "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n"}, status: 400, want: `{"message":"**failed to parse private key: key must be PKCS1 format"}`},
		{name: "create for nobody", path: keys, form: []string{"signing_domain", "elsewhere.example", "selector", "s"}, status: 404},
		{name: "no domain", path: keys, form: []string{"selector", "s"}, status: 400, want: `{"message":"Parameter 'signing_domain' is missing"}`},
		{name: "list all", path: keys + "?signing_domain=example.com&selector=s2", want: `{"items":[` + view("s2", "false") + `],"paging":{"previous":"**","first":"**","next":"**","last":"**"}}`},
		{name: "activate", method: "PUT", path: list + "/s2/activate", want: `{"message":"domain key activated",**`},
		{name: "deactivate", method: "PUT", path: list + "/s2/deactivate", want: `{"message":"domain key deactivated",**`},
		{name: "deactivate the last", method: "PUT", path: list + "/postroad/deactivate", status: 400, want: `{"message":"**must have at least one active domain key"}`},
		{name: "activate no key", method: "PUT", path: list + "/none/activate", status: 404, want: `{"message":"domain key not found"}`},
		{name: "analyst reads", as: "basic", path: list},
		{name: "analyst does not write", as: "basic", method: "DELETE", path: about("s2"), status: 401, want: forbidden},
		{name: "sending key", as: "sending", path: list, status: 401, want: forbidden},
		{name: "delete", method: "DELETE", path: about("s2"), want: `{"message":"success"}`},
		{name: "delete again", method: "DELETE", path: about("s2"), status: 404, want: `{"message":"domain key not found"}`},
		{name: "delete the last", method: "DELETE", path: about("postroad"), status: 400, want: `{"message":"cannot delete domain key: must have at least one active domain key"}`},
	})
}

func TestScenarioCredentials(t *testing.T) {
	s := newStage(t, config.Serve)
	const at = "/v3/domains/example.com/credentials"
	const note = `,"note":"Please store your new password(s) now. You won't be able to see it anymore.","credentials":{`
	const generated = `"**-**-**"`
	s.run(t, []probe{
		{name: "none", path: at, want: `{"items":[],"total_count":0}`},
		{name: "create", path: at, parts: []string{"login", "alice"}, want: `{"message":"Created 1 credentials pair(s)"` + note + `"alice@example.com":` + generated + `}}`},
		{name: "create with password", path: at, form: []string{"login", "bob@example.com", "password", "hunter2"}, want: `{"message":"Created 1 credentials pair(s)"}`},
		{name: "create two", path: at, form: []string{"login", "c", "login", "d"}, want: `{"message":"Created 2 credentials pair(s)"` + note + `"c@example.com":**,"d@example.com":**}}`},
		{name: "old path", path: "/v3/example.com/mailboxes", form: []string{"mailbox", "e", "password", "hunter2"}, want: `{"message":"Created 1 credentials pair(s)"}`},
		{name: "twice", path: at, form: []string{"login", "bob", "password", "hunter2"}, status: 400},
		{name: "no login", path: at, form: []string{"password", "hunter2"}, status: 400, want: `{"message":"Parameter 'login' is missing"}`},
		{name: "another domain's", path: at, form: []string{"login", "x@example.org"}, status: 400},
		{name: "short password", path: at, form: []string{"login", "f", "password", "1234"}, status: 400, want: `{"message":"Password is too short. It must be between 5 and 32 characters."}`},
		{name: "list", path: at + "?limit=2&skip=1", want: `{"items":[{"mailbox":"bob@example.com","login":"bob@example.com","created_at":"** +0000","size_bytes":null},{"mailbox":"c@**}],"total_count":5}`},
		{name: "limit", path: at + "?limit=1001", status: 400, want: `{"message":"Limit parameter can't be larger than 1000"}`},
		{name: "change", method: "PUT", path: at + "/bob", form: []string{"password", "hunter3"}, want: `{"message":"Password changed"}`},
		{name: "change, old path", method: "PUT", path: "/v3/example.com/credentials/bob", form: []string{"password", "hunter3"}, want: `{"message":"Password changed"}`},
		{name: "change to anything", method: "PUT", path: at + "/bob@example.com", form: []string{"spec", "abc"}, want: `{"message":"Password changed"` + note + `"bob@example.com":` + generated + `}}`},
		{name: "change nobody's", method: "PUT", path: at + "/nobody", form: []string{"password", "hunter3"}, status: 404, want: `{"message":"Credentials not found"}`},
		{name: "analyst", as: "basic", path: at, status: 401, want: forbidden},
		{name: "developer reads", as: "developer", path: at},
		{name: "developer does not write", as: "developer", path: at, form: []string{"login", "x"}, status: 401, want: forbidden},
		{name: "delete", method: "DELETE", path: at + "/bob", want: `{"message":"Credentials have been deleted","spec":"bob@example.com"}`},
		{name: "delete again", method: "DELETE", path: at + "/bob", status: 404, want: `{"message":"Credentials not found"}`},
		{name: "system", path: at, form: []string{"login", "postmaster", "system", "true"}},
		{name: "delete system", method: "DELETE", path: at + "/postmaster", status: 400, want: `{"message":"Cannot delete system mailbox: postmaster@example.com"}`},
		{name: "delete all", method: "DELETE", path: at, want: `{"message":"All domain credentials have been deleted","count":**}`},
		{name: "of nobody", path: "/v3/domains/elsewhere.example/credentials", status: 404, want: noDomain},
	})
}
