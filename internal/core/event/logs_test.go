package event_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postroad/internal/core/event"
)

type logList struct {
	Start, End string
	Items      []map[string]any
	Pagination struct {
		First, Last, Next, Previous string
		Total                       *int64
	}
	Aggregates map[string]any
}

func (w *world) logs(body string) (logList, []string) {
	w.t.Helper()
	code, answer := w.do("POST", w.url+"/v1/analytics/logs", body)
	var l logList
	if err := json.Unmarshal([]byte(answer), &l); err != nil || code != 200 {
		w.t.Fatalf("%s: %d %s", body, code, answer)
	}
	out := []string{}
	for _, i := range l.Items {
		out = append(out, i["id"].(string))
	}
	return l, out
}

func TestLogs(t *testing.T) {
	each(t, func(w *world) {
		yes := true
		id := w.doc(1, event.Doc{Event: event.Delivered, Method: "http", Recipient: "a@x.org", Tags: []string{"News"}, Campaigns: []string{"c1"},
			Storage: &event.Storage{URL: "https://x/y", Key: "k"}, Flags: &event.Flags{IsAuthenticated: true}, UserVariables: json.RawMessage(`{"a":1}`),
			DeliveryStatus: &event.DeliveryStatus{Code: 250, Message: "OK", TLS: &yes}, Geolocation: &event.Geolocation{Country: "DE"}})
		temp := w.doc(2, event.Doc{Event: event.Failed, Severity: event.Temporary, Recipient: "b@x.org", DeliveryStatus: &event.DeliveryStatus{Code: 451, Message: "later"}})
		perm := w.doc(1, event.Doc{Event: event.Failed, Severity: event.Permanent, Recipient: "c@x.org", Reason: "bounce"})
		w.doc(3, event.Doc{Event: event.Delivered, Recipient: "other@x.org"})
		at := w.clock.Now().UTC()
		w.clock.Advance(time.Minute)

		_, answer := w.do("POST", w.url+"/v1/analytics/logs", `{"events":["delivered"]}`)
		for _, part := range []string{`"@timestamp":"` + at.Format("2006-01-02T15:04:05.000Z") + `"`, `"account":{"id":"acc"}`, `"domain":{"name":"example.org"}`, `"method":"HTTP"`,
			`"url":["https://x/y"]`, `"user-variables":"{\"a\":1}"`, `"campaigns":[{"id":"c1","name":"c1"}]`, `"is-callback":false`, `"pagination":{}`, `"aggregates":{}`} {
			if !strings.Contains(answer, part) {
				t.Errorf("no %s in %s", part, answer)
			}
		}
		for _, c := range []struct {
			body string
			want []string
		}{
			{`{}`, []string{perm, temp, id}}, {`{"pagination":{"sort":"timestamp:asc","limit":0}}`, []string{id, temp, perm}},
			{`{"events":["failed"]}`, []string{perm, temp}}, {`{"metric_events":["temporary_failed_count"]}`, []string{temp}},
			{`{"events":["delivered"],"metric_events":["permanent_failed_count"]}`, []string{perm, id}},
			{`{"filter":{"AND":[]}}`, []string{perm, temp, id}},
			{and("domain", "=", "example.com"), []string{temp}}, {and("domain", "!=", "example.com"), []string{perm, id}}, {and("domain", "=", "other.org"), nil},
			{and("domain", "contains", "EXAMPLE"), []string{perm, temp, id}},
			{and("recipient", "=", "A@x.org", "b@x.org"), []string{temp, id}}, {and("recipient", "!=", "a@x.org", "b@x.org"), []string{perm}},
			{and("recipient", "contains", "x.org"), []string{perm, temp, id}}, {and("recipient", "not contains", "b@"), []string{perm, id}},
			{and("recipient", "starts with", "b"), []string{temp}}, {and("recipient-domain", "ends with", "org"), []string{perm, temp, id}},
			{and("event", "=", "failed"), []string{perm, temp}}, {and("event", "!=", "failed"), []string{id}}, {and("severity", "=", "permanent"), []string{perm}},
			{and("severity", "!=", "permanent"), []string{temp, id}}, {and("tag", "=", "news"), []string{id}}, {and("message_id", "=", "<m@shop.example>"), []string{perm, temp, id}},
			{and("delivery_status_code", "=", "451"), []string{temp}}, {and("delivery_status_code", ">=", "400"), []string{temp}}, {and("size", ">", "699.5"), []string{perm, temp, id}}, {and("size", "<", "700"), nil},
			{and("country", "=", "de"), []string{id}}, {and("reason", "=", "bounce"), []string{perm}}, {and("subject", "contains", "hello"), []string{perm, temp, id}},
			{and("user_variables", "contains", `\"a\":1`), []string{id}}, {and("subaccount", "=", "x"), nil}, {and("id", "=", id), []string{id}},
			{`{"filter":{"AND":[{"attribute":"delivery_status_code","comparator":"=","values":[451]}]}}`, []string{temp}},
			{fmt.Sprintf(`{"start":%q,"end":%q}`, at.Add(time.Second).Format(time.RFC1123Z), at.Add(time.Minute).Format(time.RFC1123Z)), nil},
			{`{"duration":"1h"}`, []string{perm, temp, id}},
		} {
			if _, got := w.logs(c.body); !slices.Equal(got, append([]string{}, c.want...)) {
				t.Errorf("%s: %v, want %v", c.body, got, c.want)
			}
		}
		l, _ := w.logs(`{"include_totals":true,"include_subaccounts":true,"start":"Wed, 25 Feb 2026 00:00:00 -0000","end":"Thu, 30 Apr 2026 00:00:00 -0000"}`)
		if l.Start != "Wed, 25 Feb 2026 00:00:00 -0000" || l.End != "Thu, 30 Apr 2026 00:00:00 -0000" || l.Pagination.Total == nil || *l.Pagination.Total != 3 {
			t.Errorf("%+v", l)
		}
		l, _ = w.logs(`{"include_totals":true,"filter":{"AND":[{"attribute":"subject","comparator":"contains","values":[{"value":"hello"}]}]}}`)
		if *l.Pagination.Total != 3 {
			t.Errorf("%+v", l)
		}
	})
}

// and is a body with one predicate; values are put in as they are.
func and(attribute, comparator string, values ...string) string {
	var list []string
	for _, v := range values {
		list = append(list, `{"label":"x","value":"`+v+`"}`)
	}
	return fmt.Sprintf(`{"filter":{"AND":[{"attribute":%q,"comparator":%q,"values":[%s]}]}}`, attribute, comparator, strings.Join(list, ","))
}

func TestLogsPaging(t *testing.T) {
	each(t, func(w *world) {
		var all []string
		for i := range 8 {
			all = append(all, w.put(int64(1+i%2), 1)...)
		}
		w.clock.Advance(time.Minute)
		for _, sort := range []string{"asc", "desc"} {
			want := all
			if sort == "desc" {
				want = reversed(all)
			}
			page := func(token string) (logList, []string) {
				return w.logs(fmt.Sprintf(`{"pagination":{"sort":"timestamp:%s","limit":3,"token":%q}}`, sort, token))
			}
			first, got := page("")
			w.want(got, want[:3])
			if first.Pagination.Previous != "" {
				t.Error("the first page has a previous one")
			}
			second, got := page(first.Pagination.Next)
			w.want(got, want[3:6])
			third, got := page(second.Pagination.Next)
			w.want(got, want[6:])
			if third.Pagination.Next != "" {
				t.Error("the last page has a next one")
			}
			_, got = page(third.Pagination.Previous)
			w.want(got, want[3:6])
			back, got := page(second.Pagination.Previous)
			w.want(got, want[:3])
			_, got = page(back.Pagination.Next)
			w.want(got, want[3:6])
			last, got := page(second.Pagination.Last)
			w.want(got, want[5:])
			_, got = page(last.Pagination.Previous)
			w.want(got, want[2:5])
			_, got = page(third.Pagination.First)
			w.want(got, want[:3])
		}
	})
}

func TestLogsErrors(t *testing.T) {
	each(t, func(w *world) {
		for body, text := range map[string]string{
			and("test", "=", "x"):                   "'test' is not a valid filter predicate attribute",
			and("event", "like", "x"):               "'like' is not a valid filter predicate comparator",
			and("event", "="):                       "has no values",
			and("size", ">", "big"):                 "'big' is not a number",
			`{"events":["exploded"]}`:               "'exploded' is not a valid event",
			`{"metric_events":["exploded_count"]}`:  "'exploded_count' is not a valid metric event",
			`{"start":"x"}`:                         "'start'",
			`{"duration":"1y"}`:                     "'1y' is not a valid duration",
			`{"duration":"m"}`:                      "not a valid duration",
			`{"pagination":{"sort":"size:asc"}}`:    "'size:asc' is not a valid sort",
			`{"pagination":{"token":"!"}}`:          "invalid pagination token",
			`{"pagination":{"limit":-1}}`:           "'limit'",
			`{"start":"1000000000","end":"999999"}`: "'end' must not be before",
			`{"filter":`:                            "",
		} {
			if code, answer := w.do("POST", w.url+"/v1/analytics/logs", body); code != 400 || !strings.Contains(answer, text) {
				t.Errorf("%s: %d %s", body, code, answer)
			}
		}
	})
}
