package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postroad/internal/base/op"
)

// DefaultMaxBody is the hard limit of a request body in bytes, 52.4 MB.
// Mailgun: "request size exceeds 52.4MiB limit".
const DefaultMaxBody = 52_428_800

// DefaultBodyIdle is how long a client may take for each further 64 KB of a
// body before the request is given up.
const DefaultBodyIdle = 30 * time.Second

// Config is what an API is made of. Ops and Auth are needed, the rest has good
// zero values.
type Config struct {
	Ops  []op.Op
	Auth Authenticator

	Logger   *slog.Logger          // nil discards
	Metrics  prometheus.Registerer // nil counts nothing
	Recorder Recorder              // nil records nothing

	MaxBody  int64         // bytes after decompression; 0 means DefaultMaxBody
	BodyIdle time.Duration // 0 means DefaultBodyIdle
	Now      func() time.Time

	// DevHints says more to the client than a stranger should hear: hints in
	// the body of errors, on refused keys and about ignored parameters.
	DevHints bool

	// Bearer is the dialect of paths at the root for callers with a bearer token.
	Bearer Dialect

	// Fallback serves every path that is not the API's (the panel).
	Fallback http.Handler
	// Extra serves exact paths beside the API (/livez, /metrics). They are
	// neither authenticated nor logged here.
	Extra map[string]http.Handler

	// TrustedProxies may name the client in X-Forwarded-For, and the address
	// it used in X-Forwarded-Proto and X-Forwarded-Host.
	TrustedProxies []netip.Prefix

	// Version is the version named in the OpenAPI document.
	Version string
}

// Dialect is whose words answer a request for what is not offered.
type Dialect struct {
	Names []string             // first segments of its paths
	Fail  func(op.Failure) any // as Op.Fail
}

// API serves operations. It is safe for concurrent use.
type API struct {
	cfg     Config
	router  *router
	log     *slog.Logger
	now     func() time.Time
	max     int64
	idle    time.Duration
	metrics *metrics
	buffers buffers
	readers sync.Pool // of *bufio.Reader, for forms
	openAPI []byte
}

// New compiles the operations. A tag it cannot honour, a route that is there
// twice or a pattern chi refuses is an error naming the operation.
func New(cfg Config) (*API, error) {
	if cfg.Auth == nil {
		return nil, errors.New("httpapi: no Authenticator")
	}
	rt, err := newRouter(cfg.Ops)
	if err != nil {
		return nil, err
	}
	rt.bearer = cfg.Bearer
	doc, err := json.Marshal(OpenAPI(cfg.Ops, cfg.Version))
	if err != nil {
		return nil, fmt.Errorf("httpapi: encode OpenAPI document: %w", err)
	}
	a := &API{cfg: cfg, router: rt, openAPI: append(doc, '\n'), log: cfg.Logger, now: cfg.Now, max: cfg.MaxBody, idle: cfg.BodyIdle}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.max <= 0 {
		a.max = DefaultMaxBody
	}
	if a.idle <= 0 {
		a.idle = DefaultBodyIdle
	}
	if cfg.Metrics != nil {
		if a.metrics, err = newMetrics(cfg.Metrics); err != nil {
			return nil, fmt.Errorf("httpapi: register metrics: %w", err)
		}
	}
	return a, nil
}

// ServeHTTP serves operations, the documents, Extra and Fallback.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := a.router.resolve(r)
	defer t.release()
	if !t.api {
		a.serveOther(w, r)
		return
	}
	c := a.begin(w, r)
	defer c.finish()
	c.serve(&t)
}

// serveOther serves what is not an operation.
func (a *API) serveOther(w http.ResponseWriter, r *http.Request) {
	if h := a.cfg.Extra[r.URL.Path]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	switch {
	case r.URL.Path == "/openapi.json" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		a.serveOpenAPI(w)
	case a.cfg.Fallback != nil:
		a.cfg.Fallback.ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (a *API) serveOpenAPI(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Content-Type-Options", "nosniff")
	if _, err := w.Write(a.openAPI); err != nil {
		a.log.Debug("openapi document not sent", "err", err)
	}
}
