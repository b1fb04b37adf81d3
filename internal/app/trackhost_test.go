package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/config"
)

// certificateOf is what GET /v2/x509/{host}/status says.
type certificateOf struct {
	Status, Certificate string
	Error               *string
}

func (c certificateOf) failure() error {
	if c.Error == nil {
		return errors.New(c.Status)
	}
	return fmt.Errorf("%s: %s", c.Status, *c.Error)
}

func (s *stage) certificate(t *testing.T, host string) (out certificateOf) {
	t.Helper()
	_, body := s.ask(t, probe{path: "/v2/x509/" + host + "/status"})
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return out
}

// secure asks a tracking host over HTTPS, verified with the roots, and returns the
// answer and the certificate shown.
func secure(addr net.Addr, host, path string, roots *x509.CertPool) (*http.Response, *x509.Certificate, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
		}}}
	res, err := client.Get("https://" + host + path)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res, res.TLS.PeerCertificates[0], err
}

// TestTrackingCertificate has certificates of tracking hosts obtained from a real
// authority: refused before the record is there, obtained, served, kept over a
// restart, tried again after the authority refused.
func TestTrackingCertificate(t *testing.T) {
	w := apptest.NewWorld(t)
	web := apptest.FreePort(t)
	w.DNS.Set(t, ownHost, "A", "127.0.0.1", "127.0.0.2") // nobody listens at the second
	p := apptest.StartPebble(t, w, web, apptest.FreePort(t))
	https := apptest.FreePort(t)
	o := apptest.Options{Mode: config.Serve, World: w, Data: t.TempDir(), Clock: clock.NewFake(time.Now()), Args: []string{"--assume-verified=false", fmt.Sprintf("--http=127.0.0.1:%d", web),
		fmt.Sprintf("--https=127.0.0.1:%d", https), "--acme-agree-terms", "--acme-directory=" + p.Directory, "--acme-roots=" + p.RootsFile}}
	s := &stage{Server: apptest.Start(t, o), t: t}
	s.keys = map[string]string{"": s.Key}
	const host = "email.example.com"
	started := `{"message":"Initiated x509 key pair generation","location":"/v2/x509/email.example.com/status"}`
	s.run(t, []probe{
		{name: "domain", path: "/v4/domains", form: []string{"name", "example.com", "web_scheme", "https"}},
		{name: "another", path: "/v4/domains", form: []string{"name", "example.org", "tracking_host", "links.example.org"}, want: `**"tracking_host":"links.example.org"**"name":"links.example.org","record_type":"CNAME"**`},
		{name: "no record", method: "POST", path: "/v2/x509/" + host, status: 400, want: `{"message":"invalid CNAME record"}`, header: "X-Hint: email.example.com has to be a CNAME of mail.postroad.test; nothing was found"},
		{name: "nothing begun", path: "/v2/x509/" + host + "/status", status: 404},
		{name: "regenerate nothing", method: "PUT", path: "/v2/x509/" + host, status: 404, want: `{"message":"x509 cert not found"}`},
		{name: "links without a record", method: "PUT", path: "/v3/domains/example.com/tracking/open?active=yes", header: "X-Hint: tracking links begin with http://mail.postroad.test: the CNAME record of email.example.com was not found**"},
	})
	if base := s.base(t, "example.com"); base != "http://"+ownHost {
		t.Errorf("links without a record begin with %s", base)
	}
	w.DNS.Set(t, host, "CNAME", ownHost+".")
	s.run(t, []probe{
		{name: "begin", method: "POST", path: "/v2/x509/" + host, status: 202, want: started},
		{name: "links meanwhile", method: "PUT", path: "/v3/domains/example.com/tracking/open?active=yes", header: "X-Hint: tracking links begin with http://" + ownHost + ": web_scheme is https and there is no certificate for email.example.com; POST /v2/x509/email.example.com gets one"},
	})
	await(t, "the certificate", func() error {
		c := s.certificate(t, host)
		if c.Status == "processing" && (c.Error == nil || *c.Error != "Waiting for x509 key pair generation" || c.Certificate != "") {
			t.Errorf("%+v", c)
		}
		if c.Status != "active" || c.Error != nil {
			return c.failure()
		}
		return nil
	})
	first := s.checkServed(t, host, p.Roots())
	s.run(t, []probe{
		{name: "begin again", method: "POST", path: "/v2/x509/" + host, status: 409, want: `{"message":"x509 key pair generation has already been initiated for email.example.com"}`},
		{name: "by the domain", method: "PUT", path: "/v2/x509/example.com", status: 409, want: `{"message":"x509 certificate is still valid until 20**-**-** **:**:** +0000 UTC"}`},
	})
	if base := s.base(t, "example.com"); base != fmt.Sprintf("https://%s:%d", host, https) {
		t.Errorf("links begin with %s", base)
	}

	s.Stop()
	s.Server = apptest.Start(t, o)
	await(t, "the certificate after a restart", func() error {
		if c := s.certificate(t, host); c.Status != "active" {
			return c.failure()
		}
		return nil
	})
	if again := s.checkServed(t, host, p.Roots()); again.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Error("another certificate after a restart")
	}
	s.refusedThenObtained(t, w, "links.example.org", p.Roots())

	s.run(t, []probe{{method: "DELETE", path: "/v4/domains/example.com"}})
	if _, _, err := secure(s.HTTPS, host, "/robots.txt", p.Roots()); err == nil {
		t.Error("the certificate of a deleted domain is still served")
	}
}

func (s *stage) base(t *testing.T, name string) string {
	t.Helper()
	d, err := s.Domains.ByName(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.Hosts.Base(d)
}

// checkServed looks at what a tracking host serves over HTTPS.
func (s *stage) checkServed(t *testing.T, host string, roots *x509.CertPool) *x509.Certificate {
	t.Helper()
	res, cert, err := secure(s.HTTPS, host, "/robots.txt", roots)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Strict-Transport-Security") != "max-age=31536000" {
		t.Errorf("robots.txt: %d, %v", res.StatusCode, res.Header)
	}
	block, _ := pem.Decode([]byte(s.certificate(t, host).Certificate))
	if block == nil || string(block.Bytes) != string(cert.Raw) {
		t.Error("the status has another certificate than the one served")
	}
	for _, path := range []string{"/", "/v3/domains", "/livez", "/metrics"} {
		if res, _, err := secure(s.HTTPS, host, path, roots); err != nil || res.StatusCode != 404 {
			t.Errorf("%s: %v, %v", path, res, err)
		}
	}
	return cert
}

// refusedThenObtained: the authority does not reach the host at first.
func (s *stage) refusedThenObtained(t *testing.T, w *apptest.World, host string, roots *x509.CertPool) {
	t.Helper()
	w.DNS.Set(t, host, "A", "127.0.0.2")
	s.check(t, probe{method: "POST", path: "/v2/x509/" + host, status: 202})
	await(t, "the refusal", func() error {
		c := s.certificate(t, host)
		if c.Status != "error" || c.Error == nil || !like("TLS x509 key pair generation failed: **authorization failed**", *c.Error) {
			return c.failure()
		}
		return nil
	})
	w.DNS.Set(t, host, "A", "127.0.0.1")
	s.check(t, probe{method: "PUT", path: "/v2/x509/" + host, status: 429, want: `{"message":"x509 key pair generation for ` + host + ` has just failed, try again in some minutes"}`, header: "Retry-After: **"})
	s.Advance(5 * time.Minute)
	s.check(t, probe{method: "PUT", path: "/v2/x509/" + host, status: 202})
	if c := s.certificate(t, host); c.Status == "processing" {
		s.check(t, probe{method: "PUT", path: "/v2/x509/" + host, status: 429, want: `{"message":"x509 key pair generation job is already in progress for ` + host + `"}`})
	}
	await(t, "the certificate at the second attempt", func() error {
		if c := s.certificate(t, host); c.Status != "active" {
			return c.failure()
		}
		return nil
	})
	res, _, err := secure(s.HTTPS, host, "/robots.txt", roots)
	if err != nil || res.Header.Get("Strict-Transport-Security") != "" { // web_scheme is http
		t.Errorf("%v, %v", res, err)
	}
}

func TestScenarioX509(t *testing.T) {
	s := newStage(t, config.Serve)
	const at = "/v2/x509/email.example.com"
	const unknown, notBegun = `{"message":"x509 cert not found"}`, `{"message":"Please initiate x509 key pair generation at POST /v2/x509/{domain}"}`
	s.run(t, []probe{
		{name: "not begun", path: at + "/status", status: 404, want: notBegun},
		{name: "of the domain", path: "/v2/x509/example.com/status", status: 404, want: notBegun},
		{name: "nobody's", path: "/v2/x509/email.elsewhere.example/status", status: 404, want: notBegun},
		{name: "no authority", method: "POST", path: at, status: 400, want: `{"message":"this server gets no certificates; **--acme-agree-terms**--tls-cert**"}`},
		{name: "begin nobody's", method: "POST", path: "/v2/x509/email.elsewhere.example", status: 404, want: unknown},
		{name: "begin another name of the domain", method: "POST", path: "/v2/x509/www.example.com", status: 404, want: unknown, header: "X-Hint: the tracking host of example.com is email.example.com"},
		{name: "renew nobody's", method: "PUT", path: "/v2/x509/email.elsewhere.example", status: 404, want: unknown},
		{name: "no name", method: "POST", path: "/v2/x509/a%20b", status: 404, want: unknown},
		{name: "analyst reads", as: "basic", path: at + "/status", status: 404, want: notBegun},
		{name: "analyst does not write", as: "basic", method: "POST", path: at, status: 401, want: forbidden},
		{name: "support does not write", as: "support", method: "PUT", path: at, status: 401, want: forbidden},
		{name: "sending key", as: "sending", path: at + "/status", status: 401, want: forbidden},
		{name: "nobody", as: "nobody", method: "POST", path: at, status: 401, want: forbidden},
	})
}

// TestScenarioX509Captured: in capture mode the local authority signs for any name,
// so that a program's steps can be tried.
func TestScenarioX509Captured(t *testing.T) {
	s := newStage(t, config.Dev)
	const at = "/v2/x509/email.example.com"
	s.run(t, []probe{
		{name: "begin", method: "POST", path: at, status: 202, want: `{"message":"Initiated x509 key pair generation","location":"/v2/x509/email.example.com/status"}`},
		{name: "state", path: at + "/status", want: `{"status":"active","error":null,"certificate":"-----BEGIN CERTIFICATE-----\n**"}`},
		{name: "begin again", method: "POST", path: at, status: 409, want: `{"message":"x509 key pair generation has already been initiated for email.example.com"}`},
		{name: "renew", method: "PUT", path: at, status: 409, want: `{"message":"x509 certificate is still valid until **"}`},
	})
}

func TestScenarioTrackingHost(t *testing.T) {
	s := newStage(t, config.Serve)
	const at = "/v4/domains/example.com"
	s.run(t, []probe{
		{name: "set", method: "PUT", path: at, form: []string{"tracking_host", "Links.Brand.Example"}, want: `**"tracking_host":"links.brand.example"**{"is_active":true,"cached":[],"name":"links.brand.example","record_type":"CNAME"**`},
		{name: "create with it", path: "/v4/domains", parts: []string{"name", "new.example", "tracking_host", "links.brand.example"}, want: `**"tracking_host":"links.brand.example"**`},
		{name: "the server's", method: "PUT", path: at, form: []string{"tracking_host", "mail.postroad.test"}, status: 400, want: `{"message":"tracking_host is the name of the server itself"}`},
		{name: "no name", method: "PUT", path: at, form: []string{"tracking_host", "a b"}, status: 400, want: `{"message":"tracking_host must be a host name"}`},
		{name: "unchanged", path: at, want: `**"tracking_host":"links.brand.example"**`},
		{name: "reset", method: "PUT", path: at, form: []string{"tracking_host", ""}, want: `**"name":"email.example.com","record_type":"CNAME"**`, not: "tracking_host"},
		{name: "scheme", method: "PUT", path: at, form: []string{"web_scheme", "https"}, want: `**"web_scheme":"https"**`},
		{name: "scheme, bad", method: "PUT", path: at, form: []string{"web_scheme", "ftp"}, status: 400, want: `{"message":"web_scheme must be http or https"}`},
		{name: "no hint while nothing is tracked", path: "/v3/domains/example.com/tracking", want: `**"web_scheme":"https"}}`, header: "X-Hint: "},
		{name: "hint", method: "PUT", path: "/v3/domains/example.com/tracking/click", parts: []string{"active", "htmlonly"}, header: "X-Hint: tracking links begin with **"},
	})
}

// TestScenarioTrackingSpellings: booleans as all clients write them, in the query or
// the body; what is left out or empty changes nothing.
func TestScenarioTrackingSpellings(t *testing.T) {
	s := newStage(t, config.Serve)
	const at = "/v3/domains/example.com/tracking"
	for value, want := range map[string]string{"yes": "true", "no": "false", "true": "true", "false": "false", "True": "true", "NO": "false", "1": "true", "0": "false"} {
		s.run(t, []probe{
			{name: "open " + value, method: "PUT", path: at + "/open?active=" + value, want: `**"open":{"active":` + want + `,"place_at_the_top":false}}`},
			{name: "click " + value, method: "PUT", path: at + "/click", form: []string{"active", value}, want: `**"click":{"active":` + want + `}}`},
			{name: "unsubscribe " + value, method: "PUT", path: at + "/unsubscribe", parts: []string{"active", value}, want: `**"unsubscribe":{"active":` + want + `,"html_footer":"**`},
		})
	}
	s.run(t, []probe{
		{name: "set", method: "PUT", path: at + "/click", form: []string{"active", "HTMLonly"}, want: `**"click":{"active":"htmlonly"}}`},
		{method: "PUT", path: at + "/open", form: []string{"active", "yes"}},
		{name: "nothing to click", method: "PUT", path: at + "/click", want: `**"click":{"active":"htmlonly"}}`},
		{name: "an empty click", method: "PUT", path: at + "/click", form: []string{"active", ""}, want: `**"click":{"active":"htmlonly"}}`},
		{name: "an empty open", method: "PUT", path: at + "/open", form: []string{"active", "", "place_at_the_top", "yes"}, want: `**"open":{"active":true,"place_at_the_top":true}}`},
		{name: "only the text footer", method: "PUT", path: at + "/unsubscribe", form: []string{"text_footer", "bye"}, want: `**"html_footer":"\n<br>**","text_footer":"bye"}}`},
		{name: "no footer", method: "PUT", path: at + "/unsubscribe", form: []string{"html_footer", "", "text_footer", ""}, want: `**"html_footer":"","text_footer":""}}`},
		{name: "open, bad", method: "PUT", path: at + "/open", form: []string{"active", "perhaps"}, status: 400, want: `{"message":"'active' parameter is invalid: must be yes or no"}`},
		{name: "all", path: at, want: `{"tracking":{"open":{"active":true,"place_at_the_top":true},"click":{"active":"htmlonly"},"unsubscribe":{"active":**,"html_footer":"","text_footer":""},"web_scheme":"http"}}`},
		{name: "nobody's", method: "PUT", path: "/v3/domains/elsewhere.example/tracking/click", form: []string{"active", "yes"}, status: 404, want: noDomain},
		{name: "no key", as: "nobody", path: at, status: 401, want: forbidden},
		{name: "no prefix", method: "PUT", path: "/v3/domains/example.com/web_prefix", want: `{"message":"Domain web prefix updated"}`},
		{name: "prefix unchanged", path: "/v4/domains/example.com", want: `**"web_prefix":"email"**`},
	})
}
