package resend

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/base/op"
	"postroad/internal/core/event"
)

// monday is a Monday in winter.
var monday = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"2024-08-05T11:52:01.858Z":         "2024-08-05T11:52:01.858Z",
		"2024-08-05T13:52:01+02:00":        "2024-08-05T11:52:01Z",
		"2024-08-05 11:52:01.858000+00:00": "2024-08-05T11:52:01.858Z",
		"2024-08-05 11:52:01+00":           "2024-08-05T11:52:01Z",
		"2024-08-05T11:52:01":              "2024-08-05T11:52:01Z",
		"in 1 min":                         "2026-03-02T09:31:00Z",
		"in an hour":                       "2026-03-02T10:30:00Z",
		"In 3 Days":                        "2026-03-05T09:30:00Z",
		"in 2 weeks":                       "2026-03-16T09:30:00Z",
		"today at 15:00":                   "2026-03-02T15:00:00Z",
		"tomorrow at 9am":                  "2026-03-03T09:00:00Z",
		"tomorrow at noon UTC":             "2026-03-03T12:00:00Z",
		"Friday at 3pm ET":                 "2026-03-06T20:00:00Z",
		"friday at 3:15 pm PST":            "2026-03-06T23:15:00Z",
		"Monday at 9am":                    "2026-03-09T09:00:00Z",
		"mon at 10am":                      "2026-03-02T10:00:00Z",
	} {
		got, err := parseTime(in, monday)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: %s %v, want %s", in, got.Format(time.RFC3339Nano), err, want)
		}
	}
	for _, in := range []string{"", "soon", "in -1 days", "in 1 month", "in one hour", "tomorrow", "tomorrow at 25:00", "tomorrow at 9am CET", "next friday at 3pm",
		"tomorrow at 9am ET now", "2024-13-01T00:00:00Z", "1700000000", strings.Repeat("9", 100), "in 99999999999999999999 days"} {
		if got, err := parseTime(in, monday); err == nil {
			t.Errorf("%q is %s", in, got)
		} else if kindIs(err) != "422 validation_error" {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// kindIs is status and name of a refusal.
func kindIs(err error) string {
	p, ok := Failure(op.Failure{Status: 500, Text: "?", Err: err}).(problem)
	if !ok {
		return "?"
	}
	b, _ := json.Marshal(p.StatusCode)
	return string(b) + " " + p.Name
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2024-08-05T11:52:01.858Z", "in 1 hour", "tomorrow at 9am", "Friday at 3pm ET", "in 9999999 weeks", "mon at 12:00am pst"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTime(s, monday)
		if err != nil {
			return
		}
		again, err := parseTime(got.Format(time.RFC3339Nano), monday)
		if got.Year() >= 0 && got.Year() <= 9999 && (err != nil || !again.Equal(got)) {
			t.Errorf("%q is %s, which is %s, %v", s, got, again, err)
		}
		if due, err := (&email{ScheduledAt: s}).schedule(monday); err == nil && !due.IsZero() && (due.Before(monday) || due.After(monday.Add(ahead))) {
			t.Errorf("%q is due %s", s, due)
		}
	})
}

const full = `{"from":"A <a@example.com>","to":"b@example.net","cc":["c@example.net"],"bcc":null,"reply_to":["r@example.com"],"subject":"s","html":"<p>","text":null,
	"headers":{"X-A":"b"},"tags":[{"name":"a","value":"b"}],"scheduled_at":"in 1 hour","topic_id":null,"template":null,
	"attachments":[{"content":"aGk=","filename":"a.txt"},{"content":[104,105]},{"content":{"type":"Buffer","data":[104, 105]},"filename":false,"inline_content_id":"x"},{"path":"https://example.com/d/e.pdf?x=1"}]}`

func TestDecode(t *testing.T) {
	e, err := decode([]byte(full), monday)
	if err != nil {
		t.Fatal(err)
	}
	if e.domain != "example.com" || len(e.To) != 1 || len(e.CC) != 1 || e.BCC != nil || !e.due.Equal(monday.Add(time.Hour)) {
		t.Errorf("%+v", e)
	}
	for i, name := range []string{"a.txt", "attachment", "attachment", "e.pdf"} {
		if a := e.Attachments[i]; a.name != name || i < 3 && string(a.Content) != "hi" {
			t.Errorf("%d: %q %q", i, a.name, a.Content)
		}
	}
	with := func(member string) string {
		return `{"from":"a@example.com","to":"b@example.net","subject":"s","html":"x",` + member + "}"
	}
	for body, want := range map[string]string{
		"":                     "400 validation_error",
		"7":                    "400 validation_error",
		`{"from":7}`:           "422 validation_error",
		`{"to":{"a":1}}`:       "422 validation_error",
		`{"html":[]}`:          "422 validation_error",
		with(`"from":""`):      "422 missing_required_field",
		with(`"from":"a@b c"`): "422 invalid_from_address",
		with(`"to":[]`):        "422 missing_required_field",
		with(`"subject":""`):   "422 missing_required_field",
		with(`"html":""`):      "422 missing_required_field",
		with(`"reply_to":"x"`): "422 validation_error",
		with(`"topic_id":"x"`): "422 validation_error",
		with(`"template":{}`):  "422 missing_required_field",
		with(`"tags":[{}]`):    "422 validation_error",
		with(`"tags":[{"name":"a","value":"1"},{"name":"a","value":"2"}]`):                 "422 validation_error",
		with(`"tags":[{"name":"` + strings.Repeat("a", 257) + `","value":""}]`):            "422 validation_error",
		with(`"tags":[` + strings.Repeat(`{"name":"ä","value":""},`, 1) + `{"name":"b"}]`): "422 validation_error",
		with(`"headers":{" BCC ":"x@example.net"}`):                                        "422 validation_error",
		with(`"headers":{"X":7}`):                                                            "422 validation_error",
		with(`"attachments":[{"content":[256]}]`):                                            "422 invalid_attachment",
		with(`"attachments":[{"content":[1.5]}]`):                                            "422 invalid_attachment",
		with(`"attachments":[{"content":[[1]]}]`):                                            "422 invalid_attachment",
		with(`"attachments":[{"content":{"x":1}}]`):                                          "422 invalid_attachment",
		with(`"attachments":[{"content":7}]`):                                                "422 invalid_attachment",
		with(`"attachments":[{"content":"","path":"https://example.com/"}]`):                 "422 invalid_attachment",
		with(`"attachments":[{"content":"","content_id":"a b"}]`):                            "422 invalid_attachment",
		with(`"attachments":[` + strings.Repeat(`{"content":""},`, 100) + `{"content":""}]`): "422 invalid_attachment",
	} {
		if _, err := decode([]byte(body), monday); err == nil {
			t.Errorf("%.300s is taken", body)
		} else if got := kindIs(err); got != want {
			t.Errorf("%.300s: %s (%v), want %s", body, got, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(`{"from":"a@example.com","to":["b@example.net"],"subject":"s","text":"x","attachments":[{"content":[1,2,3]}]}`))
	f.Add([]byte(`{"to":null,"attachments":null,"tags":[null],"headers":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := decode(body, monday)
		if err != nil {
			if errs.KindOf(err) == errs.Internal {
				t.Errorf("an internal error: %v", err)
			}
			return
		}
		if e.domain == "" || len(e.To) == 0 || len(e.To) > maxTo {
			t.Errorf("%+v", e)
		}
		for form, n := e.form(), 0; ; n++ {
			if _, err := form.Next(); err != nil {
				if n < 4 {
					t.Errorf("%d fields", n)
				}
				return
			}
		}
	})
}

func TestLastEvent(t *testing.T) {
	accepted := event.Doc{Event: event.Accepted}
	delivered := event.Doc{Event: event.Delivered}
	later := event.Doc{Event: event.Failed, Severity: event.Temporary, Reason: "generic", DeliveryStatus: &event.DeliveryStatus{Code: 451}}
	refused := event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "generic", DeliveryStatus: &event.DeliveryStatus{Code: 550}}
	old := event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "old", DeliveryStatus: &event.DeliveryStatus{Code: 451}}
	listed := event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "suppress-bounce", DeliveryStatus: &event.DeliveryStatus{Code: 605}}
	opened, clicked, complained := event.Doc{Event: event.Opened}, event.Doc{Event: event.Clicked}, event.Doc{Event: event.Complained}
	soon := monday.Add(time.Hour).UnixMicro()
	for _, c := range []struct {
		want string
		row  row
		docs []event.Doc
	}{
		{"sent", row{}, nil},
		{"sent", row{}, []event.Doc{accepted}},
		{"sent", row{}, []event.Doc{accepted, {Event: event.Unsubscribed}}},
		{"scheduled", row{Scheduled: soon}, []event.Doc{accepted}},
		{"scheduled", row{Scheduled: soon}, nil},
		{"sent", row{Scheduled: monday.UnixMicro()}, []event.Doc{accepted}},
		{"canceled", row{Scheduled: soon, Canceled: 1}, []event.Doc{accepted}},
		{"delivery_delayed", row{}, []event.Doc{accepted, later}},
		{"delivered", row{}, []event.Doc{accepted, later, delivered}},
		{"clicked", row{}, []event.Doc{clicked, opened, delivered, accepted}},
		{"bounced", row{}, []event.Doc{accepted, delivered, refused}},
		{"complained", row{}, []event.Doc{accepted, complained, opened}},
		{"failed", row{}, []event.Doc{accepted, later, old}},
		{"failed", row{}, []event.Doc{accepted, {Event: event.Rejected}}},
		{"suppressed", row{}, []event.Doc{accepted, listed}},
	} {
		var list []*event.Event
		for _, d := range c.docs {
			list = append(list, &event.Event{Doc: d})
		}
		if got := c.row.lastEvent(list, monday); got != c.want {
			t.Errorf("%v: %s, want %s", c.docs, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	tried := func(kind event.Type, n int) event.Doc {
		return event.Doc{Event: kind, Severity: event.Temporary, DeliveryStatus: &event.DeliveryStatus{AttemptNo: n}}
	}
	for _, c := range []struct {
		scheduled bool
		doc       event.Doc
		want      string
	}{
		{false, event.Doc{Event: event.Accepted}, "email.sent"},
		{true, event.Doc{Event: event.Accepted}, "email.scheduled"},
		{false, tried(event.Delivered, 1), "email.delivered"},
		{true, tried(event.Delivered, 1), "email.sent email.delivered"},
		{true, tried(event.Failed, 1), "email.sent email.delivery_delayed"},
		{true, tried(event.Delivered, 2), "email.delivered"},
		{true, event.Doc{Event: event.Opened}, "email.opened"},
		{false, event.Doc{Event: event.Unsubscribed}, ""},
	} {
		if got := strings.Join(names(&event.Event{Email: &event.Email{Scheduled: c.scheduled}, Doc: c.doc}), " "); got != c.want {
			t.Errorf("%t %s: %s, want %s", c.scheduled, c.doc.Event, got, c.want)
		}
	}
}

func TestFailure(t *testing.T) {
	for _, c := range []struct {
		in   op.Failure
		want problem
	}{
		{op.Failure{Status: 401, Text: "Missing API key in the authorization header"}, problem{401, "missing_api_key", "Missing API key in the authorization header"}},
		{op.Failure{Status: 401, Text: "Forbidden"}, problem{403, "invalid_api_key", "API key is invalid."}},
		{op.Failure{Status: 404, Text: "x"}, problem{404, "not_found", "x"}},
		{op.Failure{Status: 413, Text: "x"}, problem{413, "validation_error", "x"}},
		{op.Failure{Status: 429, Text: "x"}, problem{429, "rate_limit_exceeded", "x"}},
		{op.Failure{Status: 500, Text: "x", Err: errors.New("secret")}, problem{500, "application_error", "x"}},
		{op.Failure{Status: 503, Text: "x"}, problem{503, "application_error", "x"}},
		{op.Failure{Status: 409, Text: "x", Err: refuse(409, reusedKey, "x")}, problem{409, "invalid_idempotent_request", "x"}},
	} {
		if got := Failure(c.in); got != c.want {
			t.Errorf("%+v: %+v", c.in, got)
		}
	}
}

func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := ids.UUID()
		if checkID(id) != nil || seen[id] || id[14] != '4' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Fatal(id)
		}
		seen[id] = true
	}
	for _, id := range []string{"", "x", strings.Repeat("-", 36), ids.UUID() + "0", strings.ToUpper("abcdefab-cdef-4abc-8abc-abcdefabcdef")} {
		if checkID(id) == nil {
			t.Errorf("%q is taken", id)
		}
	}
}
