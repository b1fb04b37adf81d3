package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// statusGone is nginx's code for a client that left before the answer; it is
// seen in the log only.
const statusGone = 499

// errorBody is the body of an error. Mailgun: {"message": ...} everywhere but
// under /v1/analytics.
type errorBody struct {
	Message string `json:"message,omitempty"`
	Error   string `json:"error,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// statusOf is the table of kinds.
var statusOf = [...]int{
	errs.Internal:     http.StatusInternalServerError,
	errs.Invalid:      http.StatusBadRequest,
	errs.Unauthorized: http.StatusUnauthorized,
	errs.Forbidden:    http.StatusForbidden,
	errs.NotFound:     http.StatusNotFound,
	errs.Conflict:     http.StatusConflict,
	errs.Gone:         http.StatusGone,
	errs.TooLarge:     http.StatusRequestEntityTooLarge,
	errs.Unsupported:  http.StatusUnsupportedMediaType,
	errs.Limited:      http.StatusTooManyRequests,
	errs.Unavailable:  http.StatusServiceUnavailable,
}

// What a client is told to wait when the error does not say.
const (
	limitedRetry     = 60 * time.Second // Mailgun: {"retry-seconds":60}
	unavailableRetry = 5 * time.Second
)

// fail answers with an error and keeps it for the log.
func (c *call) fail(err error) {
	c.err = err
	// An error of the client's own making is its answer even when it has left:
	// a body that broke off cancels the context as well.
	if k := errs.KindOf(err); (k == errs.Internal || k == errs.Unavailable) && c.gone() {
		c.json(statusGone, op.Message{Message: "client closed the request"}, false)
		return
	}
	var e *errs.Error
	if !errors.As(err, &e) {
		e = &errs.Error{Kind: errs.Internal}
	}
	dialect := c.dialect()
	if e.Kind == errs.Unauthorized && dialect == nil {
		c.unauthorized(e)
		return
	}
	body, status := errorBody{Message: e.Public}, http.StatusInternalServerError
	if int(e.Kind) < len(statusOf) {
		status = statusOf[e.Kind]
	}
	if e == errTimeout {
		status = http.StatusRequestTimeout
	}
	if body.Message == "" {
		body.Message = http.StatusText(status)
	}
	if e.Hint != "" {
		c.setHint(e.Hint)
	} else {
		c.hintUnknown()
	}
	if c.api.cfg.DevHints {
		body.Hint = c.hint
	}
	c.retryAfter(e)
	if dialect != nil {
		c.said(status, dialect(op.Failure{Status: status, Text: body.Message, Hint: e.Hint, Err: err}))
		return
	}
	c.json(status, body, false)
}

// said answers with an error in the words of a dialect, which may have a status of
// its own for it.
func (c *call) said(status int, v any) {
	if r, ok := v.(op.Responder); ok {
		c.respond(r.Respond())
		return
	}
	c.json(status, v, false)
}

// dialect is how the operation words its errors, nil as Mailgun does.
func (c *call) dialect() func(op.Failure) any {
	if c.route == nil {
		return nil
	}
	return c.route.op.Fail
}

// unauthorized is Mailgun's 401: nine bytes of text. A stranger gets no hint.
func (c *call) unauthorized(e *errs.Error) {
	c.hint = e.Hint
	if c.api.cfg.DevHints && e.Hint != "" {
		c.setHint(e.Hint)
	}
	c.w.Header().Set("WWW-Authenticate", `Basic realm="MG API"`)
	c.text(http.StatusUnauthorized, "Forbidden")
}

func (c *call) retryAfter(e *errs.Error) {
	wait := e.RetryAfter
	switch {
	case e.Kind != errs.Limited && e.Kind != errs.Unavailable:
		return
	case wait <= 0 && e.Kind == errs.Limited:
		wait = limitedRetry
	case wait <= 0:
		wait = unavailableRetry
	}
	seconds := (wait + time.Second - 1) / time.Second
	c.w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
}

// answer encodes what an operation returned.
func (c *call) answer(out any) {
	if v := reflect.ValueOf(out); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		c.fail(errors.New("operation returned neither an answer nor an error"))
		return
	}
	if rs, ok := out.(op.Responder); ok {
		c.respond(rs.Respond())
		return
	}
	c.json(http.StatusOK, out, false)
}

func (c *call) respond(res op.Response) {
	for _, h := range res.Header {
		c.w.Header().Add(h[0], h[1])
	}
	if res.ContentType != "" {
		c.w.Header().Set("Content-Type", res.ContentType)
	}
	status := res.Status
	if status == 0 {
		status = http.StatusOK
	}
	switch {
	case res.JSON != nil:
		c.json(status, res.JSON, res.Pretty)
	case res.Body != nil:
		c.stream(status, res.Body)
	default:
		c.head(status)
	}
}

// json writes v in compact form, or with two spaces, and a newline. The whole
// text is made first: a value that cannot be encoded is still a clean 500.
func (c *call) json(status int, v any, pretty bool) {
	buf := c.api.buffers.get()
	defer c.api.buffers.put(buf)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if pretty {
		enc.SetIndent("", "  ")
	}
	if err := enc.Encode(v); err != nil {
		c.err = fmt.Errorf("encode answer: %w", err)
		status = http.StatusInternalServerError
		buf.Reset()
		buf.WriteString("{\"message\":\"Internal Server Error\"}\n")
		c.w.Header().Del("Content-Type")
	}
	h := c.w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json; charset=utf-8")
	}
	c.bytes(status, buf.Bytes())
}

func (c *call) text(status int, s string) {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	c.bytes(status, []byte(s))
}

func (c *call) bytes(status int, b []byte) {
	c.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	c.head(status)
	if c.r.Method == http.MethodHead {
		return
	}
	n, err := c.w.Write(b)
	c.wrote(int64(n), err)
}

// stream copies body; a text/event-stream is flushed as it comes.
func (c *call) stream(status int, body io.Reader) {
	if cl, ok := body.(io.Closer); ok {
		defer func() { c.wrote(0, cl.Close()) }()
	}
	c.head(status)
	if c.r.Method == http.MethodHead {
		return
	}
	var dst io.Writer = c.w
	if c.w.Header().Get("Content-Type") == "text/event-stream" {
		dst = flusher{c.w, http.NewResponseController(c.w)}
	}
	n, err := io.Copy(dst, body)
	c.wrote(n, err)
	c.aborted = c.aborted || err != nil
}

func (c *call) head(status int) {
	c.status = status
	c.w.WriteHeader(status)
}

func (c *call) wrote(n int64, err error) {
	c.written += n
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("send answer: %w", err)
	}
}

// flusher sends each piece at once. A live stream lasts longer than the server's
// limit for answers, so that each piece has its own.
type flusher struct {
	w  io.Writer
	rc *http.ResponseController
}

// pieceLimit is how long a reader of a live stream may take for one piece.
const pieceLimit = time.Minute

func (f flusher) Write(p []byte) (int, error) {
	_ = f.rc.SetWriteDeadline(time.Now().Add(pieceLimit)) // a writer without deadlines needs none
	n, err := f.w.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}

// buffers keeps encoding buffers for reuse, but no large ones.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() *bytes.Buffer {
	if buf, ok := b.pool.Get().(*bytes.Buffer); ok {
		return buf
	}
	return new(bytes.Buffer)
}

func (b *buffers) put(buf *bytes.Buffer) {
	if buf.Cap() > 1<<20 {
		return
	}
	buf.Reset()
	b.pool.Put(buf)
}
