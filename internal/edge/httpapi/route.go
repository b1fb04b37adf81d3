package httpapi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/go-chi/chi/v5"

	"postroad/internal/base/op"
)

// methods are those an operation may have, in the order Allow names them.
var methods = [...]string{"GET", "POST", "PUT", "PATCH", "DELETE"}

// route is an operation with everything worked out once.
type route struct {
	op     op.Op
	plan   *plan
	domain int // position of the path value that names the domain, or -1
}

// router finds the operation of a request. http.ServeMux refuses Mailgun's
// URL space (/v3/{domain}/events beside /v3/domains/{name}); chi takes it.
type router struct {
	mux    *chi.Mux
	routes map[string]map[string]*route // method, pattern
	ctxs   sync.Pool
	shapes []shape
	bearer Dialect // Config.Bearer
	// words are how operations below /api word errors, by the segment after that.
	words map[string]func(op.Failure) any
}

// target is what a request is for.
type target struct {
	api    bool
	route  *route               // nil: no such operation
	values []string             // unescaped path values in the order of the pattern
	allow  []string             // methods of the path when the method was wrong
	banner bool                 // the bare version prefix
	fail   func(op.Failure) any // words of the dialect that has no such operation; nil: Mailgun's
	path   string               // escaped path the search ended with

	rt  *router
	ctx *chi.Context
}

func newRouter(ops []op.Op) (*router, error) {
	rt := &router{mux: chi.NewRouter(), routes: map[string]map[string]*route{}, words: map[string]func(op.Failure) any{}}
	rt.ctxs.New = func() any { return chi.NewRouteContext() }
	var errList []error
	seen := map[string]string{}
	for _, o := range ops {
		if err := rt.add(o, seen); err != nil {
			errList = append(errList, fmt.Errorf("httpapi: %s %s: %w", o.Method, o.Path, err))
		}
	}
	return rt, errors.Join(errList...)
}

func (rt *router) add(o op.Op, seen map[string]string) error {
	if !slices.Contains(methods[:], o.Method) {
		return fmt.Errorf("method %q is not served", o.Method)
	}
	key := o.Method + " " + shapeKey(o.Path)
	if prev, dup := seen[key]; dup {
		return fmt.Errorf("route is already taken by %s", prev)
	}
	seen[key] = o.Path
	p, err := compile(o)
	if err != nil {
		return err
	}
	if err := insert(rt.mux, o); err != nil {
		return err
	}
	if rt.routes[o.Method] == nil {
		rt.routes[o.Method] = map[string]*route{}
	}
	rt.routes[o.Method][o.Path] = &route{op: o, plan: p, domain: domainParam(o.Path)}
	rt.shapes = append(rt.shapes, newShape(o))
	if area, ok := apiArea(o.Path); ok && o.Fail != nil {
		rt.words[area] = o.Fail
	}
	return nil
}

// apiArea is the segment after /api, by which dialects there are told apart.
func apiArea(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/api/")
	area, _, _ := strings.Cut(rest, "/")
	return area, ok
}

// insert adds the pattern to chi, which panics on one it cannot hold.
func insert(mux *chi.Mux, o op.Op) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pattern refused: %v", p)
		}
	}()
	mux.Method(o.Method, o.Path, http.NotFoundHandler())
	return nil
}

// pathParams returns the names of a pattern's values in order.
func pathParams(pattern string) []string {
	var names []string
	for rest := pattern; ; {
		i := strings.IndexAny(rest, "{*")
		if i < 0 {
			return names
		}
		if rest[i] == '*' {
			return append(names, "*")
		}
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			return names
		}
		name, _, _ := strings.Cut(rest[i+1:i+end], ":")
		names = append(names, name)
		rest = rest[i+end+1:]
	}
}

// domainParam returns the position of the value that names the domain an
// operation acts on. The names are those of Mailgun's own document.
func domainParam(pattern string) int {
	params := pathParams(pattern)
	for _, name := range [...]string{"domain", "domain_name", "name", "authority_name"} {
		if i := slices.Index(params, name); i >= 0 {
			return i
		}
	}
	return -1
}

// isVersion reports whether seg is v and digits.
func isVersion(seg string) bool {
	if len(seg) < 2 || seg[0] != 'v' {
		return false
	}
	for _, c := range []byte(seg[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// resolve finds the target of r. Base URLs come with the version, without it
// and, where a client appends its own, with two; all three work.
func (rt *router) resolve(r *http.Request) target {
	path := r.URL.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		return target{}
	}
	if strings.HasPrefix(path, "//") {
		path = "/" + strings.TrimLeft(path, "/")
	}
	t := target{rt: rt, path: path}
	first, rest, _ := strings.Cut(path[1:], "/")
	if isVersion(first) {
		t.api = true
		t.versioned(r.Method, first, rest)
		return t
	}
	if t.find(r.Method, path) {
		if t.route.op.Bearer && r.Method == http.MethodGet && !bears(r) {
			t.release()
			return target{} // a page of the panel has the same name
		}
		t.api = true
		return t
	}
	t.allow = rt.allowed(path)
	if area, ok := apiArea(path); ok {
		t.fail = rt.words[area]
	} else if slices.Contains(rt.bearer.Names, first) && bears(r) {
		t.fail = rt.bearer.Fail
	}
	if t.fail != nil || first == "api" || t.allow != nil {
		t.api = true
		return t
	}
	t.unversioned(r, first)
	return t
}

func (t *target) versioned(method, first, rest string) {
	if first == "v3" && rest == "" {
		t.banner = method == "GET" || method == "HEAD"
		return
	}
	second, more, _ := strings.Cut(rest, "/")
	doubled := more != "" && isVersion(second)
	if doubled && t.find(method, "/"+rest) {
		t.path = "/" + rest
		return
	}
	if t.find(method, t.path) {
		return
	}
	if t.allow = t.rt.allowed(t.path); doubled && t.allow == nil {
		t.path = "/" + rest
		t.allow = t.rt.allowed(t.path)
	}
}

// unversioned tries the path below /v3. The panel has pages of its own named
// like API resources, so a path counts only when it begins with a domain name
// or when the request comes with an API key.
func (t *target) unversioned(r *http.Request, first string) {
	if strings.IndexByte(first, '.') < 1 && !bearsKey(r) {
		return
	}
	path := "/v3" + t.path
	if t.find(r.Method, path) {
		t.api, t.path = true, path
		return
	}
	if allow := t.rt.allowed(path); len(allow) > 0 {
		t.api, t.path, t.allow = true, path, allow
	}
}

func bears(r *http.Request) bool {
	_, ok := bearer(r)
	return ok
}

// bearsKey reports whether r has Basic credentials of the user api. A panel
// behind a proxy with a password of its own has another user.
func bearsKey(r *http.Request) bool {
	scheme, enc, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return false
	}
	dec, err := base64.StdEncoding.DecodeString(enc)
	return err == nil && strings.HasPrefix(string(dec), "api:")
}

// find looks an escaped path up. chi is given the escaped form always: left to
// itself it routes the decoded one where that happens to be unambiguous, and
// unescaping its values a second time would be wrong.
func (t *target) find(method, path string) bool {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if t.ctx == nil {
		t.ctx = t.rt.ctxs.Get().(*chi.Context)
	}
	t.ctx.Reset()
	pattern := t.rt.mux.Find(t.ctx, method, path)
	if pattern == "" {
		return false
	}
	params := t.ctx.URLParams
	for i, v := range params.Values {
		// chi takes // for an empty value. A client with an empty variable must
		// not reach an operation, least of all one that then names no domain.
		if v == "" && params.Keys[i] != "*" {
			return false
		}
		if strings.IndexByte(v, '%') < 0 {
			continue
		}
		if dec, err := url.PathUnescape(v); err == nil {
			params.Values[i] = dec
		}
	}
	t.route, t.values = t.rt.routes[method][pattern], params.Values
	return true
}

// release gives the routing context back; values are invalid after it.
func (t *target) release() {
	if t.ctx != nil {
		t.rt.ctxs.Put(t.ctx)
		t.ctx = nil
	}
}

// allowed returns the methods path has, in the order of Allow.
func (rt *router) allowed(path string) []string {
	t := target{rt: rt}
	defer t.release()
	var allow []string
	for _, m := range methods {
		if !t.find(m, path) {
			continue
		}
		allow = append(allow, m)
		if m == "GET" {
			allow = append(allow, "HEAD")
		}
	}
	if allow != nil {
		allow = append(allow, "OPTIONS")
	}
	return allow
}
