package cli

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// answering starts a server that gives one answer to everything.
func answering(t *testing.T, status int, header [2]string, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if header[0] != "" {
			w.Header().Set(header[0], header[1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name    string
		code    int
		header  [2]string
		body    string
		status  int
		message string // URL stands for the server's
		cause   string
		hint    string
	}{
		{"401", 401, [2]string{}, "Forbidden", exitAuth, "the server does not accept the key", "no such key, or the domain does not belong to its account", "export POSTROAD_KEY=KEY, with a key of URL"},
		{"401 with hint", 401, [2]string{"X-Hint", "key is for another domain"}, "Forbidden", exitAuth, "the server does not accept the key", "key is for another domain", ""},
		{"404", 404, [2]string{}, `{"message":"Message not found"}`, exitNotFound, "Message not found", "", "postroad messages ls"},
		{"404 of a stranger", 404, [2]string{}, "404 page not found\n", exitNotFound, "the server at URL is not Postroad, or another version of it", "it does not know /v1/postroad/messages/7", "postroad doctor --url URL"},
		{"400", 400, [2]string{}, `{"message":"wrong","hint":"do right"}`, exitFailed, "wrong", "", "do right"},
		{"analytics error", 400, [2]string{}, `{"error":"wrong"}`, exitFailed, "wrong", "", ""},
		{"403", 403, [2]string{}, `{"message":"Domain is disabled"}`, exitFailed, "Domain is disabled", "", ""},
		{"429", 429, [2]string{"Retry-After", "60"}, `{"message":"slow down"}`, exitFailed, "the server answered 429 Too Many Requests", "slow down", "the same again in 60 s"},
		{"502 of a proxy", 502, [2]string{}, "<html>\x1b[2J\nbad gateway", exitFailed, "the server answered 502 Bad Gateway", "<html>?[2J", ""},
		{"redirect", 308, [2]string{"Location", "https://else.test/"}, "", exitFailed, "the server redirects to another address", "https://else.test/", "give that address with --url"},
		{"https only", 400, [2]string{}, "Client sent an HTTP request to an HTTPS server.\n", exitFailed, "the server at URL speaks only HTTPS on this port", "", "--url httpsURL"},
		{"other program", 200, [2]string{}, "<html>", exitFailed, "the server at URL is not Postroad, or another version of it", "its answer is not what this program expects", "postroad doctor --url URL"},
		{"other JSON", 200, [2]string{}, "{}", exitFailed, "the server at URL is not Postroad, or another version of it", "its answer is not what this program expects", "postroad doctor --url URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := answering(t, tt.code, tt.header, tt.body)
			r := as{url: url}.run("messages", "show", "7")
			e := errorOf(t, r)
			fill := strings.NewReplacer("httpsURL", "https"+strings.TrimPrefix(url, "http"), "URL", url)
			want := fmt.Sprintf("%q %q %q", fill.Replace(tt.message), tt.cause, fill.Replace(tt.hint))
			if got := fmt.Sprintf("%q %q %q", e.Message, e.Cause, e.Hint); r.status != tt.status || got != want {
				t.Errorf("status %d, got %s\nwant %s", r.status, got, want)
			}
		})
	}
}

// closedPort is the address of a port nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// speaking listens and says text to whoever connects, then waits for them to
// leave.
func speaking(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, text)
				io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestUnreachable(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the client, as it should
	secure.StartTLS()
	defer secure.Close()
	dead := "http://" + closedPort(t)
	for _, tt := range []struct{ name, url, cause, hint string }{
		{"refused", dead, "nothing listens there (connection refused)", "postroad dev"},
		{"no TLS", "https" + strings.TrimPrefix(plain.URL, "http"), "it does not speak TLS on this port", "--url " + plain.URL},
		{"unknown authority", secure.URL, "its certificate is signed by an authority this machine does not know", "SSL_CERT_FILE="},
		{"not HTTP", "http://" + speaking(t, "220 mail.test ESMTP\r\n"), "what listens there does not speak HTTP", "give the address of the API"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := as{url: tt.url}.run("messages", "ls")
			e := errorOf(t, r)
			if r.status != exitFailed || e.Code != "unreachable" || e.Message != "cannot reach the server at "+tt.url || e.Cause != tt.cause || !strings.HasPrefix(e.Hint, tt.hint) {
				t.Errorf("%d %+v", r.status, e)
			}
		})
	}
}

func TestWhichServerAndKey(t *testing.T) {
	var user, key string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, key, _ = r.BasicAuth()
		io.WriteString(w, `{"items":[]}`)
	}))
	defer s.Close()
	for _, tt := range []struct {
		as   as
		args []string
		want string
	}{
		{as{url: s.URL}, nil, defaultKey},
		{as{url: s.URL, key: "from-env"}, nil, "from-env"},
		{as{url: "http://127.0.0.1:1", key: "from-env"}, []string{"--url", s.URL + "/v3/", "--key=from-flag"}, "from-flag"},
	} {
		r := tt.as.run(append([]string{"messages", "ls"}, tt.args...)...)
		if r.status != exitOK || user != "api" || key != tt.want {
			t.Errorf("%+v: %q %q", r, user, key)
		}
	}
}
