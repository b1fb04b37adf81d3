package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// unreachable explains why a server gave no answer.
func (c *client) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	f := &failure{status: exitFailed, code: "unreachable", message: "cannot reach the server at " + c.base, err: err}
	f.cause, f.hint = c.reason(err)
	return f
}

// reason is the cause in words and one command to try.
func (c *client) reason(err error) (cause, hint string) {
	var dns *net.DNSError
	var timeout net.Error
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	doctor := "postroad doctor --url " + c.base
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		if c.local() {
			return "nothing listens there (connection refused)", "postroad dev"
		}
		return "nothing listens there (connection refused)", doctor
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no host named " + dns.Name, "export " + envURL + "=" + defaultURL
	case errors.As(err, &unknown):
		return "its certificate is signed by an authority this machine does not know", "SSL_CERT_FILE=DATA/ca/ca.pem postroad ... (DATA is the data directory of postroad dev)"
	case errors.As(err, &name), errors.As(err, &invalid):
		return "its certificate is not valid: " + unwrapURL(err).Error(), doctor
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "it does not speak TLS on this port", "--url " + strings.Replace(c.base, "https://", "http://", 1)
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "readLoopPeekFailLocked"): // the latter when it speaks first
		return "what listens there does not speak HTTP", "give the address of the API with --url"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "it did not answer in time", doctor
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return "it closed the connection before it answered", doctor
	}
	return unwrapURL(err).Error(), doctor
}

// unwrapURL takes off what net/http says of every error: method and address.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// local reports whether the server is meant to be on this machine.
func (c *client) local() bool {
	u, err := url.Parse(c.base)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// refused turns an error answer into a failure: 401 has the status of a refused
// key, 404 that of something not found.
func (c *client) refused(res *http.Response, body []byte) error {
	var doc struct{ Message, Error, Hint string }
	ours := json.Unmarshal(body, &doc) == nil
	text := firstSet(doc.Message, doc.Error, firstLine(body))
	hint := firstSet(doc.Hint, res.Header.Get("X-Hint"))
	f := &failure{status: exitFailed, code: fmt.Sprintf("http_%d", res.StatusCode), hint: hint,
		message: "the server answered " + statusText(res.StatusCode), cause: text}
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized:
		return keyRefused(c, f)
	case code == http.StatusNotFound && ours && text != "":
		f.status, f.code, f.message, f.cause = exitNotFound, "not_found", text, ""
	case code == http.StatusNotFound:
		f = c.stranger("it does not know " + res.Request.URL.Path)
		f.status, f.code = exitNotFound, "not_found"
	case code/100 == 3:
		f.message, f.cause = "the server redirects to another address", res.Header.Get("Location")
		f.hint = "give that address with --url"
	case strings.Contains(text, "HTTP request to an HTTPS server"):
		f.message, f.cause = "the server at "+c.base+" speaks only HTTPS on this port", ""
		f.hint = "--url " + strings.Replace(c.base, "http://", "https://", 1)
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		if after := res.Header.Get("Retry-After"); after != "" && f.hint == "" {
			f.hint = "the same again in " + after + " s"
		}
	case ours && text != "":
		f.message, f.cause = text, ""
	}
	return f
}

// keyRefused: a domain that belongs to someone else is answered like a wrong
// key, so both are named. Mailgun: 401 for either.
func keyRefused(c *client, f *failure) error {
	f.status, f.code = exitAuth, "unauthorized"
	f.message = "the server does not accept the key"
	if f.hint != "" { // it says what is wrong
		f.cause, f.hint = f.hint, ""
		return f
	}
	f.cause, f.hint = "no such key, or the domain does not belong to its account", "export "+envKey+"=KEY, with a key of "+c.base
	return f
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return cut(clean(line), 200)
}
