package suppress_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

type page struct {
	Items []struct {
		Address string   `json:"address"`
		Tags    []string `json:"tags"`
	} `json:"items"`
	Paging struct{ First, Last, Next, Previous string } `json:"paging"`
}

// fetch reads a page by a URL of another or a path.
func (a *api) fetch(u string) (p page, addresses string) {
	a.t.Helper()
	w := a.send("admin", "GET", strings.TrimPrefix(u, host), "", "")
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
		a.t.Fatalf("%s: %d %s", u, w.Code, w.Body)
	}
	var all []string
	for _, it := range p.Items {
		all = append(all, strings.TrimSuffix(it.Address, "@example.com"))
	}
	return p, strings.Join(all, " ")
}

func (a *api) addAll(list string, records ...string) {
	a.t.Helper()
	if w := a.send("admin", "POST", "/v3/example.com/"+list, js, "["+strings.Join(records, ",")+"]"); w.Code != 200 {
		a.t.Fatalf("%d %s", w.Code, w.Body)
	}
}

func TestPages(t *testing.T) {
	for _, list := range []string{"bounces", "unsubscribes"} {
		t.Run(list, func(t *testing.T) {
			eachAPI(t, func(a *api) {
				var records []string
				for _, x := range strings.Fields("g B a+b f C e d") {
					records = append(records, fmt.Sprintf(`{"address":"%s@example.com","tags":["x","y","z"]}`, x))
				}
				a.addAll(list, records...)
				a.walk("/v3/example.com/" + list + "?limit=3")
			})
		})
	}
}

// walk goes through seven entries in pages of three, to the end and back.
func (a *api) walk(u string) {
	a.t.Helper()
	check := func(u, want string) page {
		a.t.Helper()
		p, got := a.fetch(u)
		if got != want {
			a.t.Fatalf("%s: %q, want %q", u, got, want)
		}
		return p
	}
	p := check(u, "a+b B C")
	if !strings.Contains(p.Paging.Previous, "address=a%2Bb%40example.com&limit=3") {
		a.t.Errorf("previous %s", p.Paging.Previous)
	}
	before := check(p.Paging.Previous, "")
	check(before.Paging.Next, "a+b B C")
	check(before.Paging.Previous, "")
	p = check(p.Paging.Next, "d e f")
	check(p.Paging.First, "a+b B C")
	check(p.Paging.Previous, "a+b B C")
	check(p.Paging.Last, "e f g")
	p = check(p.Paging.Next, "g")
	check(p.Paging.Previous, "d e f")
	end := check(p.Paging.Next, "")
	check(end.Paging.First, "a+b B C")
	check(end.Paging.Previous, "e f g")
	check(end.Paging.Last, "e f g")
	a.addAll(strings.TrimSuffix(strings.TrimPrefix(u, "/v3/example.com/"), "?limit=3"), `{"address":"h@example.com"}`)
	check(end.Paging.Next, "h") // a page that was empty can be asked for again
}

// The tags of an address stay together whatever the limit.
func TestPageOfTags(t *testing.T) {
	eachAPI(t, func(a *api) {
		a.addAll("unsubscribes", `{"address":"a@example.com","tags":["1","2","3"]}`, `{"address":"b@example.com","tags":["4","5"]}`)
		p, _ := a.fetch("/v3/example.com/unsubscribes?limit=1")
		if len(p.Items) != 1 || !slices.Equal(p.Items[0].Tags, []string{"1", "2", "3"}) {
			a.t.Errorf("%+v", p.Items)
		}
		p, _ = a.fetch(p.Paging.Next)
		if len(p.Items) != 1 || !slices.Equal(p.Items[0].Tags, []string{"4", "5"}) {
			a.t.Errorf("%+v", p.Items)
		}
	})
}

func TestTerm(t *testing.T) {
	eachAPI(t, func(a *api) {
		a.addAll("bounces", `{"address":"ann@example.com"}`, `{"address":"Anna@example.com"}`, `{"address":"a_n@example.com"}`, `{"address":"a%n@example.com"}`,
			`{"address":"bob@example.com"}`, `{"address":"jos\u00e9@m\u00fcnchen.example"}`)
		for term, want := range map[string]string{
			"an": "ann Anna", "AN": "ann Anna", "anna%40exam": "Anna", "a_": "a_n", "a%25": "a%n", "%25": "", "nn": "", "bob%40example.com": "bob", "bob%40example.comx": "",
			"%20bob": "bob", "JOSE%CC%81": "jos\u00e9@m\u00fcnchen.example", "jos%C3%A9%40m%C3%BCnchen.example": "jos\u00e9@m\u00fcnchen.example",
		} {
			if _, got := a.fetch("/v3/example.com/bounces?term=" + term); got != want {
				a.t.Errorf("%s: %q, want %q", term, got, want)
			}
		}
		p, got := a.fetch("/v3/example.com/bounces?term=an&limit=1")
		if got != "ann" || p.Paging.Next != host+"/v3/example.com/bounces?page=next&address=ann%40example.com&limit=1&term=an" {
			a.t.Errorf("%q %s", got, p.Paging.Next)
		}
		p, got = a.fetch(p.Paging.Next)
		if got != "Anna" {
			a.t.Error(got)
		}
		if _, got = a.fetch(p.Paging.Next); got != "" {
			a.t.Error(got)
		}
		if _, got = a.fetch(p.Paging.Last); got != "Anna" {
			a.t.Error(got)
		}
	})
}

// URLs have the path the client used. The Ruby client depends on it.
func TestPagingEchoesThePath(t *testing.T) {
	eachAPI(t, func(a *api) {
		a.addAll("bounces", `{"address":"a@example.com"}`)
		for _, path := range []string{"/v3/example.com/bounces", "/example.com/bounces", "/v3/example%2ecom/bounces"} {
			if p, _ := a.fetch(path + "?limit=5"); p.Paging.First != host+path+"?limit=5&term=" {
				a.t.Errorf("%s: %s", path, p.Paging.First)
			}
		}
	})
}

// An internationalised address is one entry, whichever form it is given, found,
// paged and removed by.
func TestInternationalised(t *testing.T) {
	const u, ascii, decomposed = "J\u00fcrgen@B\u00fccher.example", "j\u00fcrgen@xn--bcher-kva.example", "ju\u0308rgen@bu\u0308cher.EXAMPLE"
	eachAPI(t, func(a *api) {
		for _, list := range []string{"bounces", "complaints", "unsubscribes"} {
			path := "/v3/example.com/" + list
			for _, form := range []string{ascii, decomposed, u} {
				a.addAll(list, `{"address":"`+form+`"}`)
			}
			a.addAll(list, `{"address":"a@example.com"}`, `{"address":"z\u00fc@example.com"}`)
			for _, form := range []string{u, ascii, decomposed} {
				escaped := url.QueryEscape(form)
				if w := a.send("admin", "GET", path+"/"+escaped, "", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"address":"`+u+`"`) {
					a.t.Errorf("%s: %d %s", form, w.Code, w.Body)
				}
				for query, want := range map[string]string{"?term=" + escaped: u, "?page=next&address=" + escaped: "z\u00fc", "?page=previous&address=" + escaped: "a", "?term=" + url.QueryEscape("J\u00dcRG"): u} {
					if _, got := a.fetch(path + query); got != want {
						a.t.Errorf("%s%s: %q, want %q", list, query, got, want)
					}
				}
			}
			p, got := a.fetch(path + "?limit=2")
			if got != "a "+u {
				a.t.Errorf("%q", got)
			}
			if _, got = a.fetch(p.Paging.Next); got != "z\u00fc" {
				a.t.Errorf("%q", got)
			}
			if w := a.send("admin", "DELETE", path+"/"+url.PathEscape(decomposed), "", ""); w.Code != 200 {
				a.t.Errorf("%d %s", w.Code, w.Body)
			}
			if _, got := a.fetch(path); got != "a z\u00fc" {
				a.t.Errorf("%q", got)
			}
		}
	})
}
