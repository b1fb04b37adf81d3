package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// call is one request on its way through the API.
type call struct {
	api   *API
	w     http.ResponseWriter
	r     *http.Request
	req   *op.Request
	start time.Time

	route  *route
	caller Caller
	body   *body

	status  int
	written int64
	err     error
	hint    string
	stack   []byte
	unknown []string // parameters the operation does not have, in dev only
	aborted bool     // the answer broke off after its header was sent
}

func (a *API) begin(w http.ResponseWriter, r *http.Request) *call {
	c := &call{api: a, w: w, r: r, start: a.now()}
	c.req = a.describe(r, w)
	h := w.Header()
	h.Set("X-Request-Id", c.req.ID)
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Header.Get("Origin") != "" {
		h.Set("Access-Control-Expose-Headers", "X-Request-Id, X-Hint, Retry-After, X-Request-Limit, X-Request-Remaining, X-Request-Reset, "+
			"X-Ratelimit-Limit, X-Ratelimit-Remaining, X-Ratelimit-Reset, X-Recipient-Limit, X-Recipient-Remaining, X-Recipient-Reset")
	}
	return c
}

// requestID returns an id that is unique enough to find a log line by. It is
// not a secret.
func requestID() string {
	var raw [8]byte
	v := rand.Uint64()
	for i := range raw {
		raw[i] = byte(v >> (8 * i))
	}
	return hex.EncodeToString(raw[:])
}

// serve answers the request.
func (c *call) serve(t *target) {
	switch {
	case c.r.Method == http.MethodOptions:
		c.preflight(t)
	case t.route != nil:
		c.route = t.route
		c.operate(t)
	case t.fail != nil:
		c.notOffered(t)
	case t.banner:
		c.text(http.StatusOK, "Mailgun Magnificent API")
	case strings.HasPrefix(t.path, "/v1/analytics/"):
		c.hintNearest(t)
		c.json(http.StatusNotFound, errorBody{Error: "not found"}, false)
	case len(t.allow) > 0:
		c.w.Header().Set("Allow", strings.Join(t.allow, ", "))
		c.json(http.StatusMethodNotAllowed, op.Message{Message: "Method Not Allowed"}, false)
	default:
		c.hintNearest(t)
		c.text(http.StatusNotFound, "404 page not found\n")
	}
}

// notOffered answers what a dialect has and we have not in its words.
func (c *call) notOffered(t *target) {
	f := op.Failure{Status: http.StatusNotFound, Text: "The requested endpoint does not exist."}
	if len(t.allow) > 0 {
		c.w.Header().Set("Allow", strings.Join(t.allow, ", "))
		f = op.Failure{Status: http.StatusMethodNotAllowed, Text: "Method is not allowed for the requested path."}
	}
	c.hintNearest(t)
	c.said(f.Status, t.fail(f))
}

func (c *call) hintNearest(t *target) {
	if near := c.api.router.nearest(c.r.Method, t.path); near != "" {
		c.setHint("no such endpoint; the nearest is " + near)
	}
}

// preflight answers a browser that asks before a cross-origin request.
func (c *call) preflight(t *target) {
	allow := c.api.router.allowed(t.path)
	if len(allow) == 0 {
		c.text(http.StatusNotFound, "404 page not found\n")
		return
	}
	h := c.w.Header()
	list := strings.Join(allow, ", ")
	h.Set("Allow", list)
	h.Set("Access-Control-Allow-Methods", list)
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, Idempotency-Key, X-Batch-Validation, X-Mailgun-On-Behalf-Of, X-Requested-With")
	h.Set("Access-Control-Max-Age", "600")
	c.head(http.StatusNoContent)
}

// operate runs the operation of t.
func (c *call) operate(t *target) {
	ctx := op.WithRequest(c.r.Context(), c.req)
	ctx, err := c.authorize(ctx, t)
	if err != nil {
		c.fail(err)
		return
	}
	in, err := c.bind(t)
	if err != nil {
		c.fail(err)
		return
	}
	out, err := t.route.op.Call(ctx, in)
	if err != nil {
		c.fail(err)
		return
	}
	c.hintUnknown()
	c.answer(out)
}

// finish recovers a panic, accounts for the request and writes its log line.
func (c *call) finish() {
	if p := recover(); p != nil {
		c.panicked(p)
	}
	if c.body != nil {
		c.body.close()
	}
	c.boundRest()
	c.account()
	if c.aborted {
		// The header is out and promised more than the body holds: cutting the
		// connection is the only way left to tell the client.
		panic(http.ErrAbortHandler)
	}
}

func (c *call) panicked(p any) {
	err, ok := p.(error)
	if ok && errors.Is(err, http.ErrAbortHandler) {
		c.aborted = true
		return
	}
	c.stack = debug.Stack()
	if c.status != 0 {
		c.err, c.aborted = fmt.Errorf("panic: %v", p), true
		return
	}
	c.fail(fmt.Errorf("panic: %v", p))
}

// gone reports whether the client has left: its context is cancelled.
func (c *call) gone() bool {
	return errors.Is(c.r.Context().Err(), context.Canceled)
}

// setHint puts the hint into the header, where control characters have no place.
func (c *call) setHint(hint string) {
	c.hint = hint
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, clip(hint, 500))
	c.w.Header().Set("X-Hint", line)
}

// hintUnknown names the parameters that were ignored, as Mailgun ignores them.
func (c *call) hintUnknown() {
	if len(c.unknown) > 0 && c.hint == "" {
		c.setHint("ignored unknown parameters: " + strings.Join(c.unknown, ", "))
	}
}

// noteUnknown remembers up to ten names, for the hint.
func (c *call) noteUnknown(name string) {
	if c.api.cfg.DevHints && len(c.unknown) < 10 {
		c.unknown = append(c.unknown, clip(name, 40))
	}
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// errTimeout says that the client was too slow with its body.
var errTimeout = errs.New(errs.Invalid, "request body was not received in time")
