package app_test

import (
	"encoding/json"
	"errors"
	"testing"

	"postroad/internal/base/clock"
	"postroad/internal/config"
	"postroad/internal/core/event"
	"postroad/internal/core/provider"
)

// TestLocalAPI: what is sent through the program's own API without a network is
// sent as by any client, and refused as to any.
func TestLocalAPI(t *testing.T) {
	s := newStage(t, config.Serve)
	d := provider.Mailgun("http://local", s.Local, clock.System{})
	m := &provider.Message{From: "a@example.com", To: []string{"b@example.net"}, Subject: "Hi", Text: "x", Metadata: json.RawMessage(`{"n":1}`)}
	id, err := d.Send(t.Context(), provider.Account{Key: s.Key, Domain: "example.com"}, m)
	if err != nil || id == "" {
		t.Fatal(id, err)
	}
	e := accepted(s, "b@example.net")
	if got := string(e.Doc.UserVariables); got != `{"metadata":"{\"n\":1}"}` {
		t.Errorf("user variables %s", got)
	}
	var refused *provider.Error
	if _, err := d.Send(t.Context(), provider.Account{Key: "key-unknown", Domain: "example.com"}, m); !errors.As(err, &refused) || refused.Status != 401 {
		t.Errorf("a wrong key: %v", err)
	}
	b := &provider.Batch{Message: *m, Recipients: []provider.Recipient{
		{Email: "c@example.net", Variables: provider.Variables{"name": "C"}},
		{Email: "d@example.net", Variables: provider.Variables{"name": "D"}, Metadata: json.RawMessage(`{"n":2}`)},
	}}
	b.Subject = "Hi {{name}}"
	for _, r := range d.SendBatch(t.Context(), provider.Account{Key: s.Key, Domain: "example.com"}, b) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	e = accepted(s, "d@example.net")
	if e.Doc.Message.Headers.Subject != "Hi D" || string(e.Doc.UserVariables) != `{"metadata":"{\"n\":2}"}` {
		t.Errorf("%q %s", e.Doc.Message.Headers.Subject, e.Doc.UserVariables)
	}
}

func accepted(s *stage, recipient string) *event.Event {
	s.t.Helper()
	return s.WaitFor(1, "accepted for "+recipient, func(e *event.Event) bool {
		return e.Doc.Event == event.Accepted && e.Doc.Recipient == recipient
	})[0]
}
