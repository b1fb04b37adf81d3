package app_test

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"postroad/internal/config"
)

const forbidden = "Forbidden"

func TestScenarioTransport(t *testing.T) {
	s := newStage(t, config.Serve)
	s.run(t, []probe{
		{name: "no key", as: "nobody", path: "/v3/domains", status: 401, want: forbidden, header: "Www-Authenticate: Basic realm=\"MG API\""},
		{name: "wrong key", as: "wrong", path: "/v3/domains", status: 401, want: forbidden, header: "Content-Type: text/plain; charset=utf-8"},
		{name: "nine bytes", as: "wrong", path: "/v3/domains", status: 401, header: "Content-Length: 9"},
		{name: "another scheme", as: "nobody", path: "/v3/domains", head: [][2]string{{"Authorization", "Bearer " + s.Key}}, status: 401, want: forbidden},
		{name: "broken credentials", as: "nobody", path: "/v3/domains", head: [][2]string{{"Authorization", "Basic !!"}}, status: 401, want: forbidden},
		{name: "no path", path: "/v3/nothing/is/here/at/all", status: 404, want: "404 page not found", header: "X-Content-Type-Options: nosniff"},
		{name: "no path, nineteen bytes", path: "/v3/nothing/is/here/at/all", status: 404, header: "Content-Length: 19"},
		{name: "analytics", path: "/v1/analytics/tags", status: 404, want: `{"error":"not found"}`},
		{name: "analytics, wrong method", path: "/v1/analytics/logs", status: 404, want: `{"error":"not found"}`},
		{name: "banner", path: "/v3", want: "Mailgun Magnificent API"},
		{name: "banner with slash", path: "/v3/", want: "Mailgun Magnificent API"},
		{name: "wrong method", method: "PATCH", path: "/v3/domains", status: 405, want: `{"message":"Method Not Allowed"}`, header: "Allow: GET, HEAD, POST, OPTIONS"},
		{name: "compact JSON", path: "/v3/domains/example.com/connection", want: `{"require_tls":false,"skip_verification":false,"connection":{"require_tls":false,"skip_verification":false}}`,
			header: "Content-Type: application/json; charset=utf-8"},
		{name: "any origin", path: "/v3/domains", header: "Access-Control-Allow-Origin: *"},
		{name: "HEAD", method: "HEAD", path: "/v3/domains", header: "Content-Type: application/json; charset=utf-8"},
		{name: "OPTIONS", method: "OPTIONS", as: "nobody", path: "/v3/domains", status: 204, header: "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS"},
		{name: "OPTIONS of nothing", method: "OPTIONS", as: "nobody", path: "/v3/nothing/is/here", status: 404},
		{name: "version twice", path: "/v3/v3/domains/example.com/connection", want: `{"require_tls":**`},
		{name: "another version behind", path: "/v3/v4/domains/example.com/keys", want: `{"items":[**`},
		{name: "no version", path: "/example.com/bounces", want: `{"items":[]**`},
		{name: "two slashes", path: "//v3/domains/example.com/connection", want: `{"require_tls":**`},
		{name: "empty name", path: "/v3/domains//connection", status: 404},
		{name: "capitals in the domain", path: "/v3/domains/EXAMPLE.com/connection", want: `{"require_tls":**`},
		{name: "dots in the path", path: "/v3/domains/../keys", status: 404},
		{name: "NUL in the path", path: "/v3/domains/a%00b/connection", status: 400, want: `{"message":"parameter name contains a NUL byte"}`},
		{name: "no UTF-8 in the path", path: "/v3/example.com/bounces/%ff@x.com", status: 400, want: `{"message":"parameter address is not valid UTF-8"}`},
		{name: "bad escape in the query", path: "/v3/domains?limit=%zz", status: 400, want: `{"message":"unable to parse request: invalid URL escape"}`},
		{name: "unknown parameters are ignored", path: "/v3/domains?foo=bar&limit=1", want: `{"total_count":**`},
	})
}

// Every write takes urlencoded, multipart, query and JSON.
func TestScenarioBodies(t *testing.T) {
	s := newStage(t, config.Serve)
	const path, want = "/v3/domains/example.com/tracking/open", `{"message":"Domain tracking settings have been updated","open":{"active":true,"place_at_the_top":false}}`
	s.run(t, []probe{
		{name: "urlencoded", method: "PUT", path: path, form: []string{"active", "yes"}, want: want},
		{name: "multipart", method: "PUT", path: path, parts: []string{"active", "true"}, want: want},
		{name: "query", method: "PUT", path: path + "?active=yes", want: want},
		{name: "JSON", method: "PUT", path: path, json: `{"active":true}`, want: want},
		{name: "brackets", method: "PUT", path: path, form: []string{"active[]", "true"}, want: want},
		{name: "bad value", method: "PUT", path: path, form: []string{"active", "maybe"}, status: 400, want: `{"message":"'active' parameter is invalid: must be yes or no"}`},
		{name: "broken JSON", method: "PUT", path: path, json: `{"active":`, status: 400, want: `{"message":"unable to parse request: **"}`},
		{name: "JSON that is no object", method: "PUT", path: path, json: `[1]`, status: 400, want: `{"message":"request body must be a JSON object"}`},
		{name: "JSON with NUL", method: "PUT", path: path, json: `{"active":"\u0000"}`, status: 400, want: `{"message":"request body contains a NUL character"}`},
	})
}

func zipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Bodies that are broken, too large, or packed.
func TestScenarioBadBodies(t *testing.T) {
	s := newStage(t, config.Serve)
	const path, urlenc, form = "/v3/example.com/messages", "application/x-www-form-urlencoded", "multipart/form-data; boundary=abc"
	gz := [][2]string{{"Content-Encoding", "gzip"}}
	const good = "from=a%40example.com&to=b%40example.net&text=x"
	part := func(name, value string) string {
		return "--abc\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	whole := part("from", "a@example.com") + part("to", "b@example.net") + part("text", "x")
	s.run(t, []probe{
		{name: "gzip", path: path, raw: zipped(t, good), ctype: urlenc, head: gz, want: queued},
		{name: "not gzip", path: path, raw: good, ctype: urlenc, head: gz, status: 400, want: `{"message":"unable to parse request: invalid compressed data"}`},
		{name: "cut gzip", path: path, raw: zipped(t, good)[:40], ctype: urlenc, head: gz, status: 400, want: `{"message":"unable to parse request: invalid compressed data"}`},
		{name: "gzip that unpacks to too much", path: path, raw: zipped(t, good+strings.Repeat("x", 27<<20)), ctype: urlenc, head: gz, status: 413},
		{name: "another packing", path: path, raw: good, ctype: urlenc, head: [][2]string{{"Content-Encoding", "br"}}, status: 415},
		{name: "message too large", path: path, raw: good + strings.Repeat("x", 27<<20), ctype: urlenc, status: 413, want: `{"message":"message size exceeds the limit of 26214400 bytes"}`},
		{name: "bad escape", path: path, raw: "from=a%4&to=%zz", ctype: urlenc, status: 400, want: `{"message":"unable to parse request: invalid URL escape"}`},
		{name: "Latin-1", path: path, raw: good + "&subject=%E9", ctype: urlenc, status: 400, want: `{"message":"parameter subject is not valid UTF-8"}`},
		{name: "declared Latin-1", path: path, raw: strings.Replace(whole, "name=\"text\"\r\n", "name=\"text\"\r\nContent-Type: text/plain; charset=iso-8859-1\r\n", 1) + part("subject", "x") + "--abc--\r\n", ctype: form, want: queued},
		{name: "unknown charset", path: path, raw: strings.Replace(whole, "name=\"text\"\r\n", "name=\"text\"\r\nContent-Type: text/plain; charset=klingon\r\n", 1) + "--abc--\r\n", ctype: form, status: 400},
		{name: "no boundary in the type", path: path, raw: whole, ctype: "multipart/form-data", status: 400, want: `{"message":"malformed multipart/form-data request"}`},
		{name: "no boundary in the body", path: path, raw: "hello", ctype: form, status: 400, want: `{"message":"malformed multipart/form-data request"}`},
		{name: "no last boundary", path: path, raw: whole, ctype: form, status: 400, want: `{"message":"malformed multipart/form-data request"}`},
		{name: "cut inside a part", path: path, raw: whole[:len(whole)-3], ctype: form, status: 400, want: `{"message":"malformed multipart/form-data request"}`},
		{name: "unreadable disposition", path: path, raw: whole + "--abc\r\nContent-Disposition: form-data; filename=\"a\" b\"\r\n\r\nx\r\n--abc--\r\n", ctype: form, status: 400,
			want: `{"message":"malformed multipart/form-data request"}`},
		{name: "a part without a name", path: path, raw: whole + "--abc\r\n\r\nx\r\n--abc--\r\n", ctype: form, want: queued},
		{name: "JSON", path: path, json: `{"from":"a@example.com"}`, status: 400, want: `{"message":"Invalid request content type. Expecting 'multipart/form-data' or 'application/x-www-form-urlencoded' but got 'application/json'"}`},
		{name: "5,000 fields", path: path, raw: good + strings.Repeat("&x=y", 5000), ctype: urlenc, want: queued},
		{name: "20,001 fields", path: path, raw: good + strings.Repeat("&x=y", 20000), ctype: urlenc, status: 400, want: `{"message":"too many parameters, max is 20000"}`},
		{name: "a long name", path: path, raw: good + "&" + strings.Repeat("n", 2000) + "=y", ctype: urlenc, status: 400, want: `{"message":"parameter name is longer than 1024 bytes"}`},
	})
}

// In capture mode any key and domain work, and errors say more.
func TestScenarioDev(t *testing.T) {
	s := newStage(t, config.Dev)
	s.run(t, []probe{
		{name: "any key, any domain", as: "wrong", path: "/v3/fresh.example/messages", form: []string{"from", "a@fresh.example", "to", "b@example.net", "text", "x"}, want: `{"id":"<**@fresh.example>","message":"Queued. Thank you."}`},
		{name: "no key", as: "nobody", path: "/v3/example.com/messages", form: letter, status: 401, want: forbidden},
		{name: "hint", path: "/v3/example.com/messages", form: with(without(letter, "to"), "to", "nobody"), status: 400,
			want: `{"message":"to parameter is not a valid address. please check documentation","hint":"**"}`},
		{name: "unknown parameter", path: "/v3/domains?foo=bar", want: `{"total_count":**`, header: "X-Hint: ignored unknown parameters: foo"},
		{name: "nearest endpoint", path: "/v3/example.com/message", status: 404, header: "X-Hint: no such endpoint; the nearest is **"},
	})
}
