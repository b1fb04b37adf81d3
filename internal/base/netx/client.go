package netx

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"time"

	"postroad/internal/base/dnsx"
)

// Config of a Client. The zero value is safe to use with any URL.
type Config struct {
	// AllowPrivate lets every address be called; for development only.
	AllowPrivate bool
	// Allow lists prefixes that may be called although they are not public.
	Allow []netip.Prefix
	// Timeout of a whole request, from resolving to the last byte; 0 means 30 s.
	Timeout time.Duration
	// MaxResponseBytes is how much of a body is kept; 0 means 64 KiB.
	MaxResponseBytes int64
	// MaxRedirects is how many redirects are followed; 0 means none, and the
	// redirect itself is the response.
	MaxRedirects int
	// UserAgent is sent unless the request has its own; "" means "Postroad".
	UserAgent string
	// Resolver looks up hosts; nil means the system's.
	Resolver dnsx.Resolver
	// TLS is the configuration for https; nil means that of Go.
	TLS *tls.Config
	// Clock gives the time for Response.Duration; nil means time.Now.
	Clock func() time.Time
}

const (
	defaultTimeout       = 30 * time.Second
	defaultResponseBytes = 64 << 10
	maxHeaderBytes       = 64 << 10
)

// Errors of redirects.
var (
	ErrTooManyRedirects = errors.New("too many redirects")
	ErrDowngrade        = errors.New("redirect from https to http")
)

// Request is what to send.
type Request struct {
	// Method such as "POST"; "" means GET.
	Method string
	URL    string
	// Header fields; Host cannot be set.
	Header map[string][]string
	Body   []byte
	// Open, if not nil, gives a reader of Size octets in place of Body, so that a
	// large one need not lie in memory. It may be called again for the same
	// request, when a connection that was kept turns out to be closed.
	Open func() io.Reader
	Size int64
}

// Response is what came back, whatever its status.
type Response struct {
	// Status is the code, such as 200.
	Status int
	Header map[string][]string
	// Body is as much of the body as MaxResponseBytes allows.
	Body []byte
	// Truncated: there was more, or the body broke off.
	Truncated bool
	// BodyErr is why the body broke off, nil when it did not: the connection
	// was reset, the body ended early or was too slow, or the context ended.
	BodyErr error
	// RemoteAddr is the HOST:PORT that was connected to.
	RemoteAddr string
	// Duration is the time from the call to the end of the body.
	Duration time.Duration
}

// Client calls URLs. It is safe for concurrent use and keeps connections open for
// further requests; CloseIdle ends them.
type Client struct {
	http      http.Client
	transport *http.Transport
	dialer    *dialer
	config    Config
}

// NewClient returns a Client.
func NewClient(c Config) *Client {
	c = withDefaults(c)
	d := newDialer(c)
	transport := &http.Transport{
		Proxy:                  nil, // the environment's must not decide where requests go
		DialContext:            d.dial,
		TLSClientConfig:        c.TLS.Clone(),
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true,
	}
	client := &Client{transport: transport, dialer: d, config: c}
	client.http = http.Client{Transport: transport, CheckRedirect: client.checkRedirect}
	return client
}

func withDefaults(c Config) Config {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.MaxResponseBytes <= 0 {
		c.MaxResponseBytes = defaultResponseBytes
	}
	if c.UserAgent == "" {
		c.UserAgent = "Postroad"
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

// CloseIdle closes connections that are not in use.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// CheckURL checks a URL's form as ValidateURL does, and that its host has an
// address that may be called. The error is a *URLError, which holds the cause; if
// that is temporary (a *dnsx.Error of kind Temporary, or the error of ctx), the
// URL may yet be good.
func (c *Client) CheckURL(ctx context.Context, s string) error {
	u, err := parseURL(s)
	if err != nil {
		return err
	}
	_, err = c.dialer.addrs(ctx, u.Hostname())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrForbiddenAddress):
		return &URLError{URL: shorten(s), Reason: err.Error(), Err: err}
	default:
		return &URLError{URL: shorten(s), Reason: "host not found", Err: err}
	}
}

// Do sends a request and reads the response. An answer of any status is no error,
// even if its body breaks off: the receiver has answered, and who asked again
// would ask twice. Response.BodyErr tells. Errors: *URLError, *ForbiddenAddressError, ErrTooManyRedirects, ErrDowngrade, and
// those of package net/http and of the context; the response then has Duration,
// and RemoteAddr if a connection had come about.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	if _, err := parseURL(r.URL); err != nil {
		return Response{}, err
	}
	began := c.config.Clock()
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	var remote string
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { remote = i.Conn.RemoteAddr().String() },
	})
	request, err := c.newRequest(ctx, r)
	if err != nil {
		return Response{}, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return Response{RemoteAddr: remote, Duration: c.config.Clock().Sub(began)}, err
	}
	body, truncated, err := readBody(response.Body, c.config.MaxResponseBytes)
	if err != nil {
		err = fmt.Errorf("read response of %s: %w", r.URL, err)
	}
	return Response{
		Status:     response.StatusCode,
		Header:     response.Header,
		Body:       body,
		Truncated:  truncated || err != nil,
		BodyErr:    err,
		RemoteAddr: remote,
		Duration:   c.config.Clock().Sub(began),
	}, nil
}

func (c *Client) newRequest(ctx context.Context, r Request) (*http.Request, error) {
	var body io.Reader = bytes.NewReader(r.Body)
	if r.Open != nil {
		body = r.Open()
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, err
	}
	if r.Open != nil {
		request.ContentLength = r.Size
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(r.Open()), nil }
	}
	for name, values := range r.Header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", c.config.UserAgent)
	}
	return request, nil
}

// readBody reads up to limit bytes and closes the body. With an error it returns
// what came before.
func readBody(r io.ReadCloser, limit int64) (body []byte, truncated bool, err error) {
	body, err = io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(body)) > limit {
		body, truncated = body[:limit], true
	}
	if closeErr := r.Close(); err == nil && !truncated {
		err = closeErr
	}
	return body, truncated, err
}

// checkRedirect applies the rules for URLs to the target of a redirect; its
// address is checked when it is dialled.
func (c *Client) checkRedirect(next *http.Request, before []*http.Request) error {
	if c.config.MaxRedirects <= 0 {
		return http.ErrUseLastResponse
	}
	if len(before) > c.config.MaxRedirects {
		return ErrTooManyRedirects
	}
	if _, err := parseURL(next.URL.String()); err != nil {
		return err
	}
	if next.URL.Scheme == "http" && before[len(before)-1].URL.Scheme == "https" {
		return ErrDowngrade
	}
	return nil
}
