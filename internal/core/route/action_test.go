package route

import (
	"fmt"
	"strings"
	"testing"
)

// resolved parses actions and resolves them for jane+list@example.com.
func resolved(t testing.TB, expression, recipient string, actions ...string) ([]Action, error) {
	t.Helper()
	r, err := makeRule(&Route{Expression: expression, Actions: actions})
	if err != nil {
		return nil, err
	}
	s := newSubject(t.Context(), recipient).withHeader(nil)
	if r.when.holds(s) != yes {
		t.Fatalf("%s does not match %s", expression, recipient)
	}
	return r.resolve(s), nil
}

func TestActions(t *testing.T) {
	const groups = `match_recipient("(?P<user>.*?)(\+.*)?@(?P<domain>.*)")`
	tests := []struct{ src, want string }{
		{`forward("mailbox@myapp.com")`, "forward mailbox@myapp.com"},
		{`forward("http://myapp.com/messages")`, "forward http://myapp.com/messages"},
		{`forward("http://myapp.com/messages, mailbox@myapp.com")`, "forward http://myapp.com/messages|forward mailbox@myapp.com"},
		{` forward ( 'HTTPS://x.example?a=b' ) `, "forward HTTPS://x.example?a=b"},
		{`store()`, "store "},
		{`store(notify="http://mydomain.com/callback")`, "store http://mydomain.com/callback"},
		{`store(notify='http://mydomain.com/callback')`, "store http://mydomain.com/callback"},
		{`store("http://mydomain.com/callback")`, "store http://mydomain.com/callback"},
		{`stop()`, "stop "},
		{`forward("http://myhost.com/post/?mailbox=\1")`, "forward http://myhost.com/post/?mailbox=jane"},
		{`forward("http://myhost.com/post/?mailbox=\\1")`, "forward http://myhost.com/post/?mailbox=jane"},
		{`forward("http://mycallback.com/domains/\g<domain>/users/\g<user>")`, "forward http://mycallback.com/domains/example.com/users/jane"},
		{`forward("http://x.example/\g<1>\2/\3x")`, "forward http://x.example/jane%2Blist/example.comx"},
		{`store(notify="http://x.example/#\g<0>")`, "store http://x.example/#jane%2Blist%40example.com"},
		{`forward("\1@other.example")`, "forward jane@other.example"},
		{`forward("\g<user>@\3")`, "forward jane@example.com"},
	}
	for _, tt := range tests {
		list, err := resolved(t, groups, "jane+list@example.com", tt.src)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		var got []string
		for _, a := range list {
			got = append(got, string(a.Kind)+" "+a.Address+a.URL+a.Problem)
		}
		if strings.Join(got, "|") != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.src, strings.Join(got, "|"), tt.want)
		}
	}
}

func TestWrongActions(t *testing.T) {
	tests := []struct{ src, want string }{
		{``, "at character 1: expected forward, store or stop, found the end"},
		{`drop()`, `at character 1: expected forward, store or stop, found "drop"`},
		{`stop`, `at character 5: expected "(", found the end`},
		{`stop(1)`, `at character 6: expected ")", found "1"`},
		{`stop(); store()`, `at character 7: expected the end: each action is a parameter of its own, found ";"`},
		{`forward()`, `at character 9: expected an address or a URL in quotes, found ")"`},
		{`forward("")`, `at character 9: "" is neither an address (`},
		{`forward("a@b.example,")`, `at character 9: "" is neither an address (`},
		{`forward("nobody")`, `at character 9: "nobody" is neither an address (`},
		{`forward("Bob <bob@b.example>")`, `at character 9: "Bob <bob@b.example>" is neither an address (`},
		{`forward("ftp://x.example/")`, `at character 9: "ftp://..." is neither an address nor a URL that begins with http:// or https://`},
		{`forward("http://")`, `at character 9: http:// is not a valid url: missing host`},
		{`forward("http://u:p@x.example/")`, `at character 9: http://u:p@x.example/ is not a valid url: user information is not allowed`},
		{`forward("http://x.example/` + strings.Repeat("a", 2048) + `")`, `at character 9: http://x.example/aaa`},
		{`forward("a@b.example", "c@d.example")`, `at character 22: expected ")", found ","`},
		{`store(url="http://x.example/")`, `at character 7: expected notify="URL" or ")", found "url"`},
		{`store(notify)`, `at character 13: expected "=", found ")"`},
		{`store(notify="a@b.example")`, `at character 14: "a@b.example" is not a URL: it must begin with http:// or https://`},
		// a sender must not choose whom we call
		{`forward("http://\1/")`, `at character 9: "http://\\1/": a group cannot be part of the host of a URL`},
		{`forward("http://\1.x.example/")`, `a group cannot be part of the host of a URL`},
		{`forward("http://x.example\1")`, `a group cannot be part of the host of a URL`},
		{`forward("http://x.example:8\1/")`, `a group cannot be part of the host of a URL`},
		{`forward("http://u\1@x.example/")`, `a group cannot be part of the host of a URL`},
		{`store(notify="https://x.\g<user>/")`, `a group cannot be part of the host of a URL`},
		{`store(notify="\g<user>")`, `is not a URL`},
		{`forward("http://x.example/a/../\1")`, `leaves its directory`},
		// references
		{`forward("http://x.example/\3")`, `there is no group 3: the expression has 2`},
		{`forward("http://x.example/\99999999999999999999")`, `there is no group 99: the expression has 2`},
		{`forward("http://x.example/\g<99999999999999999999>")`, `there is no group 99999999999999999999: the expression has 2`},
		{`forward("http://x.example/\g<none>")`, `the expression has no group named "none"`},
		{`forward("http://x.example/\g<>")`, `the expression has no group named ""`},
		{`forward("http://x.example/\g<user")`, `missing > after`},
		{`forward("http://x.example/\guser")`, `is no reference to a group`},
		{`forward("http://x.example/\0")`, `is no reference to a group`},
		{`forward("http://x.example/\n")`, `is no reference to a group`},
	}
	for _, tt := range tests {
		_, err := makeRule(&Route{Expression: `match_recipient("(?P<user>.*)@(.*)")`, Actions: []string{tt.src}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60s:\n got %v\nwant %s", tt.src, err, tt.want)
		}
	}
	if _, err := makeRule(&Route{Expression: "catch_all()", Actions: []string{`forward("http://x.example/\g<0>")`}}); err == nil {
		t.Error("a reference without any pattern is taken")
	}
}

// What a recipient contains is data: it changes neither host nor directory of a
// URL, and an address stays one address.
func TestHostileCaptures(t *testing.T) {
	const any = `match_recipient("(?s)(.*)@(.*)$")`
	tests := []struct{ recipient, action, want string }{
		{`"a/b?c#d&e=f"@example.com`, `forward("http://x.example/in/\1?to=\1")`, `http://x.example/in/%22a%2Fb%3Fc%23d%26e%3Df%22?to=%22a%2Fb%3Fc%23d%26e%3Df%22`},
		{`@evil.example/@example.com`, `forward("http://x.example/\1")`, `http://x.example/%40evil.example%2F`},
		{"a\r\nHost: evil@example.com", `forward("http://x.example/\1")`, `http://x.example/a%0D%0AHost%3A%20evil`},
		{"%2e%2e@example.com", `forward("http://x.example/a/\1/b")`, `http://x.example/a/%252e%252e/b`},
		{"..@example.com", `forward("http://x.example/a/\1/b")`, `leaves its directory`},
		{".@example.com", `forward("http://x.example/a/.\1")`, `leaves its directory`},
		{"../x@example.com", `forward("http://x.example/a/\1")`, `leaves its directory`},
		{"..@example.com", `forward("http://x.example/a?x=\1")`, `http://x.example/a?x=..`},
		{strings.Repeat("ü", 400) + "@example.com", `store(notify="http://x.example/\1")`, `becomes longer than 2048 bytes`},
		{"a,b@example.com", `forward("\1@other.example")`, `becomes no address`},
		{"a@b@example.com", `forward("\1@other.example")`, `becomes no address`},
		{"a>\r\nRCPT TO:<x@example.com", `forward("\1@other.example")`, `becomes no address`},
		{"http://evil.example/@example.com", `forward("\1")`, `becomes no address`},
		{"a@[10.0.0.1]", `forward("b@\2")`, `becomes no address`},
		{"@example.com", `forward("\1@other.example")`, `becomes no address`},
	}
	for _, tt := range tests {
		list, err := resolved(t, any, tt.recipient, tt.action)
		if err != nil {
			t.Fatal(err)
		}
		got := list[0].Address + list[0].URL + list[0].Problem
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s of %q: %s, want %s", tt.action, tt.recipient, got, tt.want)
		}
	}
}

func TestRuleLimits(t *testing.T) {
	long := func(n int) string {
		return `match_recipient("` + strings.Repeat("ü", n-len(`match_recipient("")`)) + `")`
	}
	store := func(n int) string { return fmt.Sprintf("store(%s)", strings.Repeat(" ", n-len("store()"))) }
	tests := []struct {
		r    Route
		want string
	}{
		{Route{Expression: long(4000)}, ""},
		{Route{Expression: long(4001)}, "Invalid expression: longer than 4000 characters"},
		{Route{Expression: "catch_all()", Actions: []string{store(2000), store(2000)}}, ""},
		{Route{Expression: "catch_all()", Actions: []string{store(2000), store(2001)}}, "Invalid actions: longer than 4000 characters"},
		{Route{Expression: "catch_all()", Description: strings.Repeat("d", 4001)}, "Invalid description: longer than 4000 characters"},
		{Route{Expression: "catch_all("}, `Invalid expression: at character 11: expected ")", found the end`},
		{Route{Expression: "catch_all()", Actions: []string{"stop("}}, `Invalid action stop(: at character 6: expected ")", found the end`},
	}
	for _, tt := range tests {
		_, err := makeRule(&tt.r)
		if got := fmt.Sprint(err); got != tt.want && (err != nil || tt.want != "") {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
