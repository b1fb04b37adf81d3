package httpapi

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/op"
)

type status string

type common struct {
	Limit int `form:"limit" json:"limit" default:"100" min:"1" max:"1000" doc:"Page size."`
}

// manyIn has a member of every kind the binder fills.
type manyIn struct {
	common
	Domain string     `path:"domain" json:"domain"`
	Text   string     `form:"text" json:"text" max:"10"`
	Name   *string    `form:"name" json:"name"`
	Active bool       `form:"active" json:"active"`
	Maybe  *bool      `form:"maybe" json:"maybe"`
	Count  *int64     `form:"count" json:"count"`
	Small  int8       `form:"small" json:"small"`
	Size   uint16     `form:"size" json:"size"`
	Ratio  float64    `form:"ratio" json:"ratio" max:"2.5"`
	Kind   status     `form:"kind" json:"kind" enum:"a,b" default:"a"`
	To     []string   `form:"to" json:"to" max:"3"`
	Events []status   `form:"event" json:"event" split:"," enum:"opened,clicked"`
	Nums   *[]int     `form:"num" json:"num"`
	When   time.Time  `form:"when" json:"when"`
	Until  *time.Time `form:"until" json:"until"`
	Page   string     `query:"page" json:"page"`
	Accept string     `header:"X-Test" json:"accept"`
	CSV    []byte     `form:"file" json:"file"`
	Def    []string   `form:"def" json:"def" default:"x,y"`
	_      int        // not exported: no parameter
}

func manyAPI(t testing.TB) *API {
	return newAPI(t, Config{Ops: []op.Op{
		echo[manyIn]("POST", "/v3/{domain}/many", op.Write), echo[manyIn]("GET", "/v3/{domain}/many", op.Read),
	}})
}

// zero is the answer of an empty request; tests name what differs.
func zero(t *testing.T, change map[string]any) string {
	t.Helper()
	m := map[string]any{
		"limit": 100, "domain": "d", "text": "", "name": nil, "active": false, "maybe": nil, "count": nil, "small": 0, "size": 0,
		"ratio": 0, "kind": "a", "to": nil, "event": nil, "num": nil, "when": "0001-01-01T00:00:00Z", "until": nil, "page": "",
		"accept": "", "file": nil, "def": []string{"x", "y"},
	}
	for k, v := range change {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sorted re-encodes JSON so that it can be compared.
func sorted(t *testing.T, s string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

type vals map[string]any

func TestBindValues(t *testing.T) {
	tests := []struct {
		form string // urlencoded, sent as query, as body and as multipart
		want vals
	}{
		{"", nil},
		{"limit=7", vals{"limit": 7}},
		{"limit=", nil},
		{"limit=7&limit=8", vals{"limit": 7}},
		{"text=a+b%26c", vals{"text": "a b&c"}},
		{"text=%E2%82%AC", vals{"text": "€"}},
		{"name=", vals{"name": ""}},
		{"name=x", vals{"name": "x"}},
		{"active=yes&maybe=no", vals{"active": true, "maybe": false}},
		{"active=TRUE&maybe=0", vals{"active": true, "maybe": false}},
		{"active=1&maybe=", vals{"active": true}},
		{"count=-5&small=-128&size=65535&ratio=2.5", vals{"count": -5, "small": -128, "size": 65535, "ratio": 2.5}},
		{"kind=b", vals{"kind": "b"}},
		{"kind=", nil},
		{"to=a&to=b", vals{"to": []string{"a", "b"}}},
		{"to=a,b", vals{"to": []string{"a,b"}}},
		{"to[]=a&to[]=b", vals{"to": []string{"a", "b"}}},
		{"to%5B0%5D=a&to%5B1%5D=b", vals{"to": []string{"a", "b"}}},
		{"to=", vals{"to": []string{}}},
		{"event=opened,+clicked&event=opened", vals{"event": []string{"opened", "clicked", "opened"}}},
		{"event=", vals{"event": []string{}}},
		{"num=1&num=2", vals{"num": []int{1, 2}}},
		{"when=0", vals{"when": "1970-01-01T00:00:00Z"}},
		{"when=1700000000.25", vals{"when": "2023-11-14T22:13:20.25Z"}},
		{"when=-1.5", vals{"when": "1969-12-31T23:59:58.5Z"}},
		{"when=Thu,+26+Mar+2026+12:59:15+UTC", vals{"when": "2026-03-26T12:59:15Z"}},
		{"when=Thu,+26+Mar+2026+12:59:15+GMT", vals{"when": "2026-03-26T12:59:15Z"}},
		{"when=Thu,+26+Mar+2026+12:59:15+%2B0200", vals{"when": "2026-03-26T12:59:15+02:00"}},
		{"when=26+Mar+2026+12:59:15+EST", vals{"when": "2026-03-26T12:59:15-05:00"}},
		{"when=2026-03-26T12:59:15Z", vals{"when": "2026-03-26T12:59:15Z"}},
		{"until=10", vals{"until": "1970-01-01T00:00:10Z"}},
		{"def=q", vals{"def": []string{"q"}}},
		{"unknown=1&limit=3", vals{"limit": 3}},
		{"&&limit=4&", vals{"limit": 4}},
	}
	a := manyAPI(t)
	for _, tt := range tests {
		want := zero(t, tt.want)
		ct, body := multi(t, formPairs(t, tt.form)...)
		ways := map[string]*httptest.ResponseRecorder{
			"query":          send(a, "GET", "/v3/d/many?"+tt.form, "", ""),
			"query of write": send(a, "POST", "/v3/d/many?"+tt.form, "", ""),
			"urlencoded":     send(a, "POST", "/v3/d/many", typeURLEncoded, tt.form),
			"with charset":   send(a, "POST", "/v3/d/many", typeURLEncoded+"; charset=utf-8", tt.form),
			"multipart":      send(a, "POST", "/v3/d/many", ct, body),
		}
		for way, w := range ways {
			if w.Code != 200 {
				t.Errorf("%q as %s: %d %s", tt.form, way, w.Code, w.Body)
			} else if got := sorted(t, w.Body.String()); got != want {
				t.Errorf("%q as %s:\n got %s\nwant %s", tt.form, way, got, want)
			}
		}
	}
}

func formPairs(t *testing.T, form string) []string {
	t.Helper()
	var out []string
	for pair := range strings.SplitSeq(form, "&") {
		name, value, _ := strings.Cut(pair, "=")
		out = append(out, unescapeLoose(name), unescapeLoose(value))
	}
	return out
}

func TestBindPlaces(t *testing.T) {
	a := manyAPI(t)
	tests := []struct {
		name, method, target, ct, body string
		want                           vals
	}{
		{"body before query", "POST", "/v3/d/many?limit=5&text=q", typeURLEncoded, "limit=6", vals{"limit": 6, "text": "q"}},
		{"query only from the query", "POST", "/v3/d/many?page=next", typeURLEncoded, "page=prev", vals{"page": "next"}},
		{"json", "POST", "/v3/d/many", typeJSON, `{"limit":9,"text":"x","active":true,"to":["a","b"],"event":"opened,clicked","ratio":1.5,"count":"12","when":1}`,
			vals{"limit": 9, "text": "x", "active": true, "to": []string{"a", "b"}, "event": []string{"opened", "clicked"}, "ratio": 1.5, "count": 12, "when": "1970-01-01T00:00:01Z"}},
		{"json nulls and unknown", "POST", "/v3/d/many", "application/json; charset=utf-8", `{"limit":null,"nope":{"a":[1]},"name":""}`, vals{"name": ""}},
		{"json object where text is wanted", "POST", "/v3/d/many", typeJSON, `{"text":{"a":1}}`, vals{"text": `{"a":1}`}},
		{"json one for a list", "POST", "/v3/d/many", typeJSON, `{"to":"a"}`, vals{"to": []string{"a"}}},
		{"json with BOM", "POST", "/v3/d/many", typeJSON, "\xef\xbb\xbf {\"limit\":2} ", vals{"limit": 2}},
		{"empty json", "POST", "/v3/d/many", typeJSON, "  ", nil},
		{"form in a GET", "GET", "/v3/d/many", typeURLEncoded, "limit=2", vals{"limit": 2}},
		{"other type is ignored", "POST", "/v3/d/many", "text/xml", "<a/>", nil},
		{"no type is ignored", "POST", "/v3/d/many", "", "limit=2", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := send(a, tt.method, tt.target, tt.ct, tt.body)
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if got, want := sorted(t, w.Body.String()), zero(t, tt.want); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
	r := httptest.NewRequest("GET", "/v3/d/many", nil)
	r.SetBasicAuth("api", "good")
	r.Header.Set("X-Test", "hello")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if got, want := sorted(t, w.Body.String()), zero(t, vals{"accept": "hello"}); got != want {
		t.Errorf("header:\n got %s\nwant %s", got, want)
	}
}

func TestBindErrors(t *testing.T) {
	a := manyAPI(t)
	tests := []struct{ form, want string }{
		{"limit=abc", "'limit' parameter is invalid: must be an integer"},
		{"limit=1.5", "'limit' parameter is invalid: must be an integer"},
		{"limit=0", "'limit' parameter is invalid: must be between 1 and 1000"},
		{"limit=1001", "'limit' parameter is invalid: must be between 1 and 1000"},
		{"limit=99999999999999999999", "'limit' parameter is invalid: must be an integer"},
		{"small=128", "'small' parameter is invalid: must be an integer"},
		{"size=-1", "'size' parameter is invalid: must be a positive integer"},
		{"ratio=NaN", "'ratio' parameter is invalid: must be a number"},
		{"ratio=Inf", "'ratio' parameter is invalid: must be a number"},
		{"ratio=2.6", "'ratio' parameter is invalid: must be at most 2.5"},
		{"active=maybe", "'active' parameter is invalid: must be yes or no"},
		{"kind=c", "'kind' parameter is invalid: must be one of a, b"},
		{"event=opened,nope", "'event' parameter is invalid: must be one of opened, clicked"},
		{"text=12345678901", "'text' parameter is invalid: must be at most 10 bytes long"},
		{"to=1&to=2&to=3&to=4", "'to' parameter is invalid: must have at most 3 items"},
		{"num=1&num=x", "'num' parameter is invalid: must be an integer"},
		{"when=yesterday", "yesterday is not an RFC-2822 compliant date"},
		{"when=1e300", "1e300 is not an RFC-2822 compliant date"},
		{"when=NaN", "NaN is not an RFC-2822 compliant date"},
		{"text=a%00b", "parameter text contains a NUL byte"},
		{"text=%ff", "parameter text is not valid UTF-8"},
		{"text=%e2%82", "parameter text is not valid UTF-8"},
	}
	for _, tt := range tests {
		want := "{\"message\":\"" + tt.want + "\"}\n"
		ct, body := multi(t, formPairs(t, tt.form)...)
		wantAnswer(t, send(a, "GET", "/v3/d/many?"+tt.form, "", ""), 400, want)
		wantAnswer(t, send(a, "POST", "/v3/d/many", typeURLEncoded, tt.form), 400, want)
		wantAnswer(t, send(a, "POST", "/v3/d/many", ct, body), 400, want)
	}
	for _, form := range []string{"text=%", "text=%4", "text=%zz", "%zz=1", "a=b&text=%4"} {
		want := "{\"message\":\"unable to parse request: invalid URL escape\"}\n"
		wantAnswer(t, send(a, "POST", "/v3/d/many", typeURLEncoded, form), 400, want)
		r := httptest.NewRequest("GET", "/v3/d/many", nil)
		r.URL.RawQuery = form
		r.SetBasicAuth("api", "good")
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		wantAnswer(t, w, 400, want)
	}
}

func TestBindJSONErrors(t *testing.T) {
	a := manyAPI(t)
	tests := []struct{ body, want string }{
		{`{"limit":`, "unable to parse request: invalid JSON at byte 9"},
		{`{"limit":1} x`, "unable to parse request: invalid JSON at byte 13"},
		{`[1,2]`, "request body must be a JSON object"},
		{`"x"`, "request body must be a JSON object"},
		{`{"limit":"x"}`, "'limit' parameter is invalid: must be an integer"},
		{`{"limit":[1]}`, "'limit' parameter is invalid: must not be a nested value"},
		{`{"to":[["a"]]}`, "'to' parameter is invalid: must not be a nested value"},
		{`{"active":"perhaps"}`, "'active' parameter is invalid: must be yes or no"},
		{"{\"text\":\"\xff\"}", "request body is not valid UTF-8"},
		{`{"text":"a\u0000b"}`, "request body contains a NUL character"},
		{strings.Repeat("[", 20000), "unable to parse request: invalid JSON at byte 10001"},
	}
	for _, tt := range tests {
		wantAnswer(t, send(a, "POST", "/v3/d/many", typeJSON, tt.body), 400, "{\"message\":\""+tt.want+"\"}\n")
	}
	if w := send(a, "POST", "/v3/d/many", typeJSON, `{"text":"\\u0000"}`); w.Code != 200 {
		t.Errorf("an escaped backslash before u0000: %d %s", w.Code, w.Body)
	}
}

type wantIn struct {
	Address string `form:"address" json:"address" required:"address parameter is missing"`
	Code    string `form:"code" json:"code" required:"true"`
}

type condition struct {
	Field string   `json:"field"`
	Value []string `json:"value"`
}

type treeIn struct {
	Filter *condition     `json:"filter"`
	Dims   []string       `json:"dimensions" max:"2"`
	Extra  map[string]any `json:"extra"`
	Res    string         `json:"resolution" enum:"day,hour" default:"day"`
	Need   []condition    `json:"need" required:"need is needed"`
}

type wholeIn struct {
	Rows []condition `body:"json" json:"rows"`
	Dry  bool        `query:"dry" json:"dry"`
}

type mixedIn struct {
	Raw     json.RawMessage `body:"json"`
	Address string          `form:"address"`
}

type rawIn struct {
	Raw  []byte `body:"raw" max:"8" required:"no body" json:"raw"`
	Mark string `header:"x-mark" json:"mark"`
}

// TestBindRaw: what is signed must come as it was sent.
func TestBindRaw(t *testing.T) {
	a := newAPI(t, Config{Ops: []op.Op{echo[rawIn]("POST", "/v3/raw", op.Write)}})
	for _, tt := range []struct {
		ct, body string
		status   int
		want     string
	}{
		{typeJSON, " {} \n", 200, `{"raw":"IHt9IAo=","mark":""}`},
		{typeURLEncoded, "a=\x00%", 200, `{"raw":"YT0AJQ==","mark":""}`},
		{"", "12345678", 200, `{"raw":"MTIzNDU2Nzg=","mark":""}`},
		{"", "123456789", 413, `{"message":"request body exceeds 8 bytes"}`},
		{"", "", 400, `{"message":"no body"}`},
	} {
		wantAnswer(t, send(a, "POST", "/v3/raw", tt.ct, tt.body), tt.status, tt.want+"\n")
	}
}

func TestBindRequired(t *testing.T) {
	a := newAPI(t, Config{Ops: []op.Op{echo[wantIn]("POST", "/v3/want", op.Write), echo[treeIn]("POST", "/v3/tree", op.Write)}})
	tests := []struct{ path, ct, body, want string }{
		{"/v3/want", "", "", "address parameter is missing"},
		{"/v3/want", typeURLEncoded, "address=", "address parameter is missing"},
		{"/v3/want", typeURLEncoded, "address=x", "code parameter is missing"},
		{"/v3/want", typeJSON, `{"address":null}`, "address parameter is missing"},
		{"/v3/want", "text/plain", "address=x", "Invalid request content type. Expecting 'multipart/form-data' or 'application/x-www-form-urlencoded' or 'application/json' but got 'text/plain'"},
		{"/v3/tree", typeURLEncoded, "need=1", "Invalid request content type. Expecting 'application/json' but got 'application/x-www-form-urlencoded'"},
		{"/v3/tree", "", "", "need is needed"},
	}
	for _, tt := range tests {
		wantAnswer(t, send(a, "POST", tt.path, tt.ct, tt.body), 400, "{\"message\":\""+tt.want+"\"}\n")
	}
}

func TestBindTrees(t *testing.T) {
	a := newAPI(t, Config{Ops: []op.Op{
		echo[treeIn]("POST", "/v3/tree", op.Write), echo[wholeIn]("POST", "/v3/whole", op.Write), echo[mixedIn]("POST", "/v3/mixed", op.Write),
	}})
	tests := []struct {
		path, ct, body string
		status         int
		want           string
	}{
		{"/v3/tree", typeJSON, `{"need":[],"filter":{"field":"f","value":["<a>"]},"dimensions":["x"],"extra":{"k":1}}`, 200,
			`{"filter":{"field":"f","value":["<a>"]},"dimensions":["x"],"extra":{"k":1},"resolution":"day","need":[]}`},
		// curl -d calls JSON a form.
		{"/v3/tree", typeURLEncoded, ` {"need":[],"resolution":"hour"}`, 200, `{"filter":null,"dimensions":null,"extra":null,"resolution":"hour","need":[]}`},
		{"/v3/tree", typeJSON, `{"need":[],"resolution":"week"}`, 400, `{"message":"'resolution' parameter is invalid: must be one of day, hour"}`},
		{"/v3/tree", typeJSON, `{"need":[],"dimensions":["a","b","c"]}`, 400, `{"message":"'dimensions' parameter is invalid: must have at most 2 items"}`},
		{"/v3/tree", typeJSON, `{"need":[],"filter":{"field":5}}`, 400, `{"message":"'filter.field' parameter is invalid: must be a string"}`},
		{"/v3/tree", typeJSON, `{"need":{}}`, 400, `{"message":"'need' parameter is invalid: must be a list"}`},
		{"/v3/whole?dry=yes", typeJSON, `[{"field":"a","value":null}]`, 200, `{"rows":[{"field":"a","value":null}],"dry":true}`},
		{"/v3/whole", typeJSON, `{"field":"a"}`, 400, `{"message":"request body is invalid: must be a list"}`},
		{"/v3/whole", typeJSON, `[`, 400, `{"message":"unable to parse request: invalid JSON at byte 1"}`},
		{"/v3/whole", typeURLEncoded, `include=true&pagination={sort: 1}`, 200, `{"rows":null,"dry":false}`},
		{"/v3/mixed", typeJSON, `[{"address":"a"}]`, 200, `{"Raw":[{"address":"a"}],"Address":""}`},
		{"/v3/mixed", typeJSON, `{"address":"a"}`, 200, `{"Raw":{"address":"a"},"Address":"a"}`},
		{"/v3/mixed", typeURLEncoded, `address=b`, 200, `{"Raw":null,"Address":"b"}`},
	}
	for _, tt := range tests {
		wantAnswer(t, send(a, "POST", tt.path, tt.ct, tt.body), tt.status, tt.want+"\n")
	}
}

func TestUnknownParametersAreNamedInDev(t *testing.T) {
	for _, dev := range []bool{false, true} {
		a := newAPI(t, Config{DevHints: dev, Ops: []op.Op{echo[wantIn]("POST", "/v3/want", op.Write)}})
		ct, body := multi(t, "address", "x", "code", "y", "adress", "z")
		w := send(a, "POST", "/v3/want?dbg=1", ct, body)
		want := ""
		if dev {
			want = "ignored unknown parameters: dbg, adress"
		}
		if got := w.Header().Get("X-Hint"); w.Code != 200 || got != want {
			t.Errorf("dev %v: %d, hint %q, want %q", dev, w.Code, got, want)
		}
	}
}

func TestFileMember(t *testing.T) {
	type in struct {
		File []byte `form:"file" json:"file" required:"file parameter is missing" max:"8"`
	}
	a := newAPI(t, Config{Ops: []op.Op{echo[in]("POST", "/v3/import", op.Write)}})
	file := func(content string) (string, string) {
		ct, body := multi(t, "file", content)
		return ct, strings.Replace(body, `name="file"`, `name="file"; filename="a.csv"`, 1)
	}
	ct, body := file("a\x00\xffb")
	wantAnswer(t, send(a, "POST", "/v3/import", ct, body), 200, "{\"file\":\"YQD/Yg==\"}\n")
	ct, body = file("")
	wantAnswer(t, send(a, "POST", "/v3/import", ct, body), 200, "{\"file\":\"\"}\n")
	ct, body = file("123456789")
	wantAnswer(t, send(a, "POST", "/v3/import", ct, body), 400, "{\"message\":\"'file' parameter is invalid: must be at most 8 bytes long\"}\n")
	wantAnswer(t, send(a, "POST", "/v3/import", "", ""), 400, "{\"message\":\"file parameter is missing\"}\n")
}

func TestCompileRefuses(t *testing.T) {
	tests := []struct {
		name string
		op   op.Op
		want string
	}{
		{"no place", echo[struct{ A string }]("GET", "/v3/a", op.Read), "no tag"},
		{"two places", echo[struct {
			A string `form:"a" query:"a"`
		}]("GET", "/v3/a", op.Read), "more than one place"},
		{"kind", echo[struct {
			A map[string]string `form:"a"`
		}]("GET", "/v3/a", op.Read), "cannot be filled"},
		{"chan", echo[struct {
			A chan int `query:"a"`
		}]("GET", "/v3/a", op.Read), "cannot be filled"},
		{"path name", echo[struct {
			A string `path:"b"`
		}]("GET", "/v3/{a}", op.Read), `no value "b"`},
		{"min", echo[struct {
			A int `form:"a" min:"x"`
		}]("GET", "/v3/a", op.Read), "not a number"},
		{"max of bool", echo[struct {
			A bool `form:"a" max:"1"`
		}]("GET", "/v3/a", op.Read), "min and max"},
		{"default", echo[struct {
			A int `form:"a" default:"x"`
		}]("GET", "/v3/a", op.Read), "must be an integer"},
		{"default out of range", echo[struct {
			A int `form:"a" default:"5" max:"4"`
		}]("GET", "/v3/a", op.Read), "at most 4"},
		{"default not in enum", echo[struct {
			A string `form:"a" default:"c" enum:"a,b"`
		}]("GET", "/v3/a", op.Read), "one of a, b"},
		{"same name", echo[struct {
			A string `form:"a"`
			B string `form:"a"`
		}]("GET", "/v3/a", op.Read), "there twice"},
		{"two bodies", echo[struct {
			A op.Form
			B op.Form
		}]("POST", "/v3/a", op.Read), "body is there twice"},
		{"form and json", echo[struct {
			A op.Form
			B string `json:"b"`
		}]("POST", "/v3/a", op.Read), "both as a form stream and as JSON"},
		{"body kind", echo[struct {
			A string `body:"xml"`
		}]("POST", "/v3/a", op.Read), `only body:"json"`},
		{"raw body kind", echo[struct {
			A string `body:"raw"`
		}]("POST", "/v3/a", op.Read), "is for []byte"},
		{"raw body and members", echo[struct {
			A []byte `body:"raw"`
			B string `json:"b"`
		}]("POST", "/v3/a", op.Read), "taken from a raw body"},
		{"split", echo[struct {
			A string `form:"a" split:","`
		}]("POST", "/v3/a", op.Read), "split is for slices"},
		{"unexported", echo[struct {
			a string `form:"a"`
		}]("POST", "/v3/a", op.Read), "not exported"},
		{"empty name", echo[struct {
			A string `form:""`
		}]("POST", "/v3/a", op.Read), "no name"},
		{"not a struct", echo[string]("POST", "/v3/a", op.Read), "not a struct"},
	}
	for _, tt := range tests {
		if _, err := New(Config{Auth: gate{}, Ops: []op.Op{tt.op}}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
