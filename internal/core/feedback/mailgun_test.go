package feedback

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func normalizeMailgun(t testing.TB, data string) []*incoming {
	t.Helper()
	var m mailgunEvent
	must(t, payload(json.RawMessage(data), &m))
	return m.normalize(json.RawMessage(data), epoch)
}

func TestMailgunTypes(t *testing.T) {
	for _, c := range []struct {
		event, more string
		want        Type
	}{
		{"accepted", "", Sent},
		{"delivered", "", Delivered},
		{"opened", "", Opened},
		{"clicked", "", Clicked},
		{"complained", "", Complained},
		{"unsubscribed", "", Unsubscribed},
		{"rejected", `"reject":{"reason":"x","description":""}`, Failed},
		{"failed", `"severity":"temporary","reason":"generic"`, Delayed},
		{"failed", `"severity":"temporary","reason":"bounce"`, Delayed},
		{"failed", `"severity":"permanent","reason":"bounce"`, Bounced},
		{"failed", `"severity":"permanent","reason":"delayed-bounce"`, Bounced},
		{"failed", `"severity":"permanent","reason":"suppress-bounce"`, Failed},
		{"failed", `"severity":"permanent","reason":"old"`, Failed},
		{"failed", `"severity":"permanent","reason":"generic"`, Failed},
		{"stored", "", ""},
		{"list_member_uploaded", "", ""},
		{"", "", ""},
	} {
		more := []string{c.more}
		if c.more == "" {
			more = nil
		}
		list := normalizeMailgun(t, mailgunData("e1", c.event, more...))
		switch {
		case c.want == "" && len(list) == 0:
		case len(list) != 1 || list[0].Type != c.want:
			t.Errorf("%s %s: %+v, want %q", c.event, c.more, list, c.want)
		}
	}
}

// TestMailgunPayload: the documented payload comes of an event as Mailgun sends it.
func TestMailgunPayload(t *testing.T) {
	data := mailgunData("ea1", "delivered")
	e := normalizeMailgun(t, data)[0]
	must(t, e.seal(5))
	want := `{"id":"evt_5","type":"delivered","timestamp":1774526400123,"messageId":"msg-abc123@example.com","recipient":"user@example.com",` +
		`"sender":"noreply@example.com","subject":"Welcome Email","tags":["welcome","onboarding"],` +
		`"metadata":{"campaign_id":123,"custom_field":"value","participant_id":456},"raw":` + data + `}`
	if diff := cmp.Diff(want, string(e.doc)); diff != "" {
		t.Error(diff)
	}
}

func TestMailgunMetadata(t *testing.T) {
	for _, c := range []struct{ vars, want string }{
		{`{}`, `{}`},
		{`null`, `{}`},
		{`[]`, `{}`},
		{`{"a":"1","b":2}`, `{"a":"1","b":2}`},
		{`{"metadata":"{\"a\":1}","a":"other","c":"d"}`, `{"a":1,"c":"d"}`},
		{`{"metadata":{"a":12345678901234567890}}`, `{"a":12345678901234567890}`},
		{`{"metadata":"%recipient.metadata%"}`, `{"metadata":"%recipient.metadata%"}`},
		{`{"metadata":"[1]"}`, `{"metadata":"[1]"}`},
		{`{"metadata":7}`, `{"metadata":7}`},
		{`{"metadata":"<b>&"}`, `{"metadata":"<b>&"}`},
	} {
		e := normalizeMailgun(t, `{"event":"opened","user-variables":`+c.vars+`}`)[0]
		must(t, e.seal(1))
		if string(e.Metadata) != c.want {
			t.Errorf("%s: %s, want %s", c.vars, e.Metadata, c.want)
		}
	}
}

// TestMailgunOddities: what is missing or of another type is as if it were not there.
func TestMailgunOddities(t *testing.T) {
	e := normalizeMailgun(t, `{"event":"opened","timestamp":"soon","tags":"x","recipient":5,"message":[],"envelope":{"sender":"b@example.com"},"user-variables":"x"}`)[0]
	must(t, e.seal(1))
	if e.Type != Opened || e.Timestamp != epoch.UnixMilli() || e.Sender != "b@example.com" || e.Recipient != "" || e.source == "" || string(e.Metadata) != "{}" {
		t.Errorf("%+v", e)
	}
	for raw, want := range map[string]int64{`1529006854.329574`: 1529006854329, `"1529006854"`: 1529006854000, `-1`: epoch.UnixMilli(), `1e300`: epoch.UnixMilli(), `0`: epoch.UnixMilli(), `null`: epoch.UnixMilli()} {
		if got := mailgunMillis(json.RawMessage(raw), epoch); got != want {
			t.Errorf("%s: %d, want %d", raw, got, want)
		}
	}
}

func FuzzMailgun(f *testing.F) {
	f.Add([]byte(mailgunData("a", "delivered")))
	f.Add([]byte(mailgunData("", "failed", `"severity":"permanent","reason":"bounce"`)))
	f.Add([]byte(`{"event":"opened","user-variables":{"metadata":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m mailgunEvent
		if payload(data, &m) != nil {
			return
		}
		m.domain()
		checkSealed(t, m.normalize(data, epoch))
	})
}

// checkSealed: whatever comes in, what goes out is an event.
func checkSealed(t *testing.T, list []*incoming) {
	t.Helper()
	for i, e := range list {
		if err := e.seal(int64(i + 1)); err != nil {
			t.Fatal(err)
		}
		var back Event
		if err := json.Unmarshal(e.doc, &back); err != nil {
			t.Fatalf("%s: %v", e.doc, err)
		}
		var metadata map[string]json.RawMessage
		if err := json.Unmarshal(back.Metadata, &metadata); err != nil || metadata == nil || back.Tags == nil {
			t.Fatalf("%s: %v", e.doc, err)
		}
		if splitTypes(joinTypes([]Type{back.Type}))[0] != e.Type || back.Timestamp <= 0 || time.UnixMilli(back.Timestamp).After(latest) || len(e.keys()) > 3+maxIndexed {
			t.Fatalf("%s", e.doc)
		}
		if _, err := parseTypes([]string{string(e.Type)}); err != nil {
			t.Fatal(err)
		}
	}
}
