package app

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"postroad/internal/base/netx"
	"postroad/internal/core/provider"
)

// maxLocalAnswer is how much of an answer of our own API is kept, in bytes.
const maxLocalAnswer = 1 << 20

// localDoer performs requests on this program's own API without a network: what
// sends by Mailgun's API sends by ours in the same way, with a key of an account of
// this program. The host of the URL counts for nothing.
func (a *App) localDoer() provider.Doer {
	return func(ctx context.Context, r netx.Request) (netx.Response, error) {
		if a.handler == nil {
			return netx.Response{}, errors.New("the program is starting")
		}
		began := a.clock.Now()
		req, err := localRequest(ctx, r)
		if err != nil {
			return netx.Response{}, err
		}
		w := &localAnswer{header: http.Header{}}
		a.handler.ServeHTTP(w, req)
		if err := ctx.Err(); err != nil {
			return netx.Response{}, err
		}
		return netx.Response{Status: w.code(), Header: w.header, Body: w.body.Bytes(), Truncated: w.truncated, Duration: a.clock.Now().Sub(began)}, nil
	}
}

func localRequest(ctx context.Context, r netx.Request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.RemoteAddr, req.RequestURI = "127.0.0.1:0", req.URL.RequestURI()
	return req, nil
}

// localAnswer keeps an answer.
type localAnswer struct {
	header    http.Header
	status    int
	body      bytes.Buffer
	truncated bool
}

// Header implements http.ResponseWriter.
func (w *localAnswer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *localAnswer) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *localAnswer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	keep := p[:min(len(p), maxLocalAnswer-w.body.Len())]
	w.truncated = w.truncated || len(keep) < len(p)
	w.body.Write(keep)
	return len(p), nil
}

func (w *localAnswer) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
