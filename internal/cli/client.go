package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The variables of client commands. They are not settings of the server.
const (
	envURL = "POSTROAD_URL"
	envKey = "POSTROAD_KEY"
)

// What is used when neither flag nor variable is given: postroad dev as it
// starts without options, which takes any key.
const (
	defaultURL = "http://localhost:8025"
	defaultKey = "postroad-cli"
)

const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 60 * time.Second
	maxAnswer     = 64 << 20
)

// clientFlags are the options every client command has.
type clientFlags struct {
	url, key    string
	json, quiet bool
}

func (c *clientFlags) add(f *flagSet, quiet string) {
	f.text(&c.url, "url", "URL", "address of the server (default: $"+envURL+", else "+defaultURL+")")
	f.text(&c.key, "key", "KEY", "API key (default: $"+envKey+", else one that postroad dev takes)")
	f.on(&c.json, "json", "print JSON, also on a terminal")
	f.on(&c.quiet, "quiet", quiet)
}

// parse reads the arguments of a client command.
func (c *clientFlags) parse(e *Env, f *flagSet, args []string) ([]string, error) {
	rest, err := f.parse(args)
	e.json = c.json
	if err == nil && c.json && c.quiet {
		return nil, usage("--json and --quiet exclude each other")
	}
	return rest, err
}

// form says how to print a result.
type form int

const (
	forPeople form = iota
	forPrograms
	forScripts // --quiet: bare values, one per line
)

func (c *clientFlags) form(e *Env) form {
	switch {
	case c.quiet:
		return forScripts
	case c.json || !e.terminal().Stdout:
		return forPrograms
	}
	return forPeople
}

// client talks to the API of one server.
type client struct {
	base string
	key  string
	http http.Client
}

// open makes the client the flags and variables describe.
func (c *clientFlags) open(e *Env) (*client, error) {
	base, err := baseURL(firstSet(c.url, e.variable(envURL), defaultURL))
	if err != nil {
		return nil, err
	}
	return newClient(base, firstSet(c.key, e.variable(envKey), defaultKey)), nil
}

func newClient(base, key string) *client {
	return &client{base: base, key: key, http: http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: answerTimeout,
		},
		// A redirected POST would become a GET and send nothing.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func firstSet(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// baseURL reads the address of a server as people write it: the scheme may be
// missing, and what SDKs want at the end, /v3, may be there.
func baseURL(text string) (string, error) {
	t := strings.TrimSpace(text)
	if !strings.Contains(t, "://") {
		t = "http://" + t
	}
	u, err := url.Parse(t)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.RawQuery != "", u.Fragment != "":
		return "", usage("%q is not the URL of a server", clean(text)).try("--url " + defaultURL)
	case u.User != nil:
		return "", usage("the URL of the server must not hold a login; give the key with --key or %s", envKey)
	}
	path := strings.TrimRight(u.Path, "/")
	for _, version := range []string{"/v3", "/v1", "/v4"} {
		path = strings.TrimSuffix(path, version)
	}
	u.Path, u.RawPath = strings.TrimRight(path, "/"), ""
	return u.String(), nil
}

// request is one call of the API.
type request struct {
	method, path string
	header       map[string]string
	body         io.Reader
	size         int64 // of body
}

// answer is what a call returned.
type answer struct {
	raw      json.RawMessage
	hint     string // X-Hint: what the server has to remark
	location string // what the answer says is elsewhere
	replayed bool   // the answer of an earlier request with the same idempotency key
}

// get asks for a path and decodes the answer into out.
func (c *client) get(ctx context.Context, path string, out any) (*answer, error) {
	return c.call(ctx, request{method: http.MethodGet, path: path}, out)
}

// call makes a request and decodes the answer. Every error is a *failure, but
// for the end of ctx.
func (c *client) call(ctx context.Context, r request, out any) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, r.body)
	if err != nil {
		return nil, usage("%v", err)
	}
	if r.body != nil {
		req.ContentLength = r.size
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "postroad-cli")
	req.SetBasicAuth("api", c.key)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, c.unreachable(err)
	}
	if len(body) > maxAnswer {
		return nil, failed("the answer of %s is larger than %s", c.base, bytesText(maxAnswer))
	}
	if res.StatusCode/100 != 2 {
		return nil, c.refused(res, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return nil, c.stranger("its answer is not what this program expects")
	}
	return &answer{body, res.Header.Get("X-Hint"), res.Header.Get("Location"), res.Header.Get("Idempotent-Replayed") == "true"}, nil
}

// stranger is the error of a server that does not seem to be ours.
func (c *client) stranger(cause string) *failure {
	f := failed("the server at %s is not Postroad, or another version of it", c.base)
	f.cause = cause
	return f.try("postroad doctor --url " + c.base)
}

// temporary reports whether the same call may succeed later.
func temporary(err error) bool {
	var f *failure
	if !errors.As(err, &f) {
		return false
	}
	switch f.code {
	case "unreachable", "http_429", "http_502", "http_503", "http_504":
		return true
	}
	return false
}

// statusText names a status for people.
func statusText(code int) string {
	if text := http.StatusText(code); text != "" {
		return fmt.Sprintf("%d %s", code, text)
	}
	return fmt.Sprintf("status %d", code)
}
