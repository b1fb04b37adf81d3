package feedback

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestList(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		event := func(n int, kind, to, metadata string) {
			f.t.Helper()
			at := epoch.Add(time.Duration(n) * time.Second)
			f.want(200, stored1)(f.mailgun(fmt.Sprintf(`{"id":"e%d","event":%q,"timestamp":%d.5,"recipient":%q,"message":{"headers":{"message-id":"m%d@example.com"}},"user-variables":{"metadata":%q}}`,
				n, kind, at.Unix(), to, n/2, metadata)))
		}
		// Not in their order.
		event(3, "opened", "b@example.com", `{"campaign_id":2,"participant_id":7,"vip":true}`)
		event(0, "accepted", "a@example.com", `{"campaign_id":1,"participant_id":7}`)
		event(1, "delivered", "a@example.com", `{"campaign_id":"1","participant_id":7,"name":"x:y"}`)
		event(2, "accepted", "B@example.com", `{"campaign_id":2,"deep":{"a":1}}`)
		at := func(n int) string { return fmt.Sprint(epoch.Add(time.Duration(n) * time.Second).UnixMilli()) }
		for query, want := range map[string]string{
			"":                               "3210",
			"type=sent":                      "20",
			"recipient=b@EXAMPLE.com":        "32",
			"messageId=m1@example.com":       "32",
			"messageId=%3Cm0@example.com%3E": "10",
			"campaign_id=1":                  "10",
			"participant_id=7":               "310",
			"participant_id=7&campaign_id=2": "3",
			"metadata=vip:true":              "3",
			"metadata=name:" + url.QueryEscape("x:y"):                                      "1",
			"metadata=campaign_id:2&metadata=vip:true&type=opened&recipient=b@example.com": "3",
			"campaign_id=9":                               "",
			"type=clicked":                                "",
			"since=" + at(2):                              "32",
			"until=" + at(2):                              "10",
			"since=" + at(1) + "&until=" + at(3):          "21",
			"since=2026-03-26T12:00:03Z":                  "3",
			"until=" + at(2) + "&recipient=a@example.com": "10",
			"limit=2":                                     "32",
		} {
			list, _ := f.list(query)
			got := ""
			for _, e := range list {
				got += fmt.Sprint((e.Timestamp - epoch.UnixMilli()) / 1000)
			}
			if got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
		for query, text := range map[string]string{
			"type=sneezed": "'type' parameter is invalid", "since=soon": "since is invalid", "until=-1": "until is invalid", "cursor=x": "cursor is invalid",
			"metadata=x": "metadata is invalid", "limit=301": "'limit' parameter is invalid", "metadata=a:1&metadata=b:1&metadata=c:1&metadata=d:1&metadata=e:1&metadata=f:1": "'metadata' parameter is invalid",
		} {
			if status, got := f.call("GET", "/api/email/events?"+query, f.admin, ""); status != 400 || !strings.HasPrefix(got, `{"error":"`+text) {
				t.Errorf("%s: %d %s", query, status, got)
			}
		}
	})
}

// TestPages: every event is on one page, whatever they are asked for by.
func TestPages(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		for n := range 7 { // all at the same time
			f.mailgun(mailgunData(fmt.Sprint(n), "opened"))
		}
		for _, filter := range []string{"", "campaign_id=123&"} {
			seen, cursor := map[string]bool{}, ""
			var sizes []int
			for {
				list, next := f.list(filter + "limit=3&cursor=" + cursor)
				sizes = append(sizes, len(list))
				for _, e := range list {
					seen[e.ID] = true
				}
				if cursor = next; cursor == "" {
					break
				}
			}
			if len(seen) != 7 || !cmp.Equal(sizes, []int{3, 3, 1}) {
				t.Errorf("%q: %d events on pages of %v", filter, len(seen), sizes)
			}
		}
	})
}

// TestLargePages: an answer holds no more bytes than its bound, and one event at
// least.
func TestLargePages(t *testing.T) {
	each(t, nil, func(t *testing.T, f *fixture) {
		for n := range 6 {
			f.want(200, stored1)(f.mailgun(mailgunData(fmt.Sprint(n), "opened", `"x":"`+strings.Repeat("x", 1_000_000)+`"`)))
		}
		list, cursor := f.list("")
		if len(list) != 4 || cursor == "" {
			t.Errorf("%d events, cursor %q", len(list), cursor)
		}
		if list, cursor = f.list("cursor=" + cursor); len(list) != 2 || cursor != "" {
			t.Errorf("%d events, cursor %q", len(list), cursor)
		}
	})
}
