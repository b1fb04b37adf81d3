package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"postroad/internal/base/netx"
)

func TestTemplate(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good":
			w.Write([]byte("<!DOCTYPE html>" + strings.Repeat("ä", 500)))
		case "/largest":
			w.Write([]byte(strings.Repeat("x", MaxTemplate)))
		case "/large":
			w.Write([]byte(strings.Repeat("x", MaxTemplate+1)))
		case "/empty":
			w.Write([]byte(" \n"))
		case "/binary":
			w.Write([]byte{0xff, 0xfe})
		case "/moved":
			http.Redirect(w, r, "/good", http.StatusFound)
		case "/broken":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("x"))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	w := newWorld(t, sqlite(t), fakeClock(), nil)
	get := func(url string) (*templateOut, error) {
		return w.checkTemplate(t.Context(), &templateIn{url})
	}
	out, err := get(server.URL + "/good")
	if err != nil || !out.Valid || out.Size != 1015 || len([]rune(out.Preview)) != 203 || !strings.HasPrefix(out.Preview, "<!DOCTYPE html>ä") {
		t.Errorf("%+v %v", out, err)
	}
	if _, err := get(server.URL + "/largest"); err != nil {
		t.Error(err)
	}
	for url, want := range map[string]string{
		"ftp://example.com/x":  `{"error":"Invalid template","details":"template_url must be an http or https URL"}`,
		server.URL + "/large":  "larger than 1 MB",
		server.URL + "/empty":  "is empty",
		server.URL + "/binary": "UTF-8",
		server.URL + "/none":   "answered 404",
		server.URL + "/moved":  "answered 302",
		server.URL + "/broken": "broke off",
		"http://127.0.0.1:1/":  "could not be reached",
	} {
		_, err := get(url)
		refused(t, err, want)
	}
	w.Templates = netx.NewClient(netx.Config{})
	_, err = get(server.URL + "/good")
	refused(t, err, "the host is not to be called")
	for range maxFetches {
		w.fetching <- struct{}{}
	}
	_, err = get(server.URL + "/good")
	refused(t, err, "too many templates")
}
