package message

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"postroad/internal/core/event"
)

// A large value in many places costs no more than what is kept of it.
func TestEventForBounded(t *testing.T) {
	many := strings.Repeat("%recipient.big%", 300)
	m := &Message{Meta: Meta{Batch: true, To: "a@example.net, b@example.net", Subject: many[:990], Variables: json.RawMessage(fmt.Sprintf("{%q:%q}", "v", many[:4000]))}}
	vars := fmt.Sprintf(`{"to":"A <a@example.net>","target":"a@example.net","v":{"big":%q}}`, strings.Repeat("\u00fc", 1<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e := m.EventFor(event.Delivered, "a@example.net", vars)
	runtime.ReadMemStats(&after)
	size := after.TotalAlloc - before.TotalAlloc
	if size > 64<<20 {
		t.Errorf("%d MB for one event", size>>20)
	}
	d := e.Doc
	if d.Message.Headers.To != "A <a@example.net>" || len(d.Message.Headers.Subject) > 1010 || len(d.UserVariables) > 200 {
		t.Errorf("to %q, subject of %d bytes, variables of %d", d.Message.Headers.To, len(d.Message.Headers.Subject), len(d.UserVariables))
	}
}

func TestEventFor(t *testing.T) {
	meta := Meta{Batch: true, To: "a@example.net, b@example.net", Subject: "Hi %recipient.n% %recipient.none%", Variables: json.RawMessage(`{"id":"%recipient.n%","n":1}`),
		Vars: map[string]Vars{"a@example.net": {To: "A <a@example.net>", Target: "a@example.net", Vars: json.RawMessage(`{"n":"kept"}`)}}}
	single := meta
	single.Batch = false
	tests := []struct {
		name, vars        string
		meta              Meta
		to, subject, user string
	}{
		{"of the delivery", `{"to":"a@example.net","target":"a@example.net","v":{"n":"<\"&\n"}}`, meta, "a@example.net", "Hi <\"&\n %recipient.none%", "{\"id\":\"<\\\"&\\n\",\"n\":1}"},
		{"kept with the message", "", meta, "A <a@example.net>", "Hi kept %recipient.none%", `{"id":"kept","n":1}`},
		{"copy for another", `{"to":"b@example.net","target":"b@example.net","v":{"n":[1]}}`, meta, "b@example.net", "Hi [1] %recipient.none%", `{"id":"[1]","n":1}`},
		{"damaged", `{`, meta, meta.To, meta.Subject, string(meta.Variables)},
		{"no batch", "", single, meta.To, meta.Subject, string(meta.Variables)},
	}
	for _, tt := range tests {
		m := &Message{Meta: tt.meta}
		d := m.EventFor(event.Accepted, "a@example.net", tt.vars).Doc
		var got, want any
		if err := json.Unmarshal(d.UserVariables, &got); err != nil {
			t.Fatalf("%s: %v in %s", tt.name, err, d.UserVariables)
		}
		if err := json.Unmarshal([]byte(tt.user), &want); err != nil {
			t.Fatal(err)
		}
		h := d.Message.Headers
		if h.To != tt.to || h.Subject != tt.subject || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %q %q %s", tt.name, h.To, h.Subject, d.UserVariables)
		}
	}
}
