package workspace

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
	"postroad/internal/core/provider"
)

// begin is when the clocks of tests start.
var begin = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// world is a service with a provider that does what the test says.
type world struct {
	*Service
	t     testing.TB
	clock *clock.Fake
	sent  []*provider.Message
	say   func(*provider.Message) (string, error)
}

// Name and the others implement provider.Driver.
func (w *world) Name() string   { return "test" }
func (w *world) BatchSize() int { return 1 }
func (w *world) Send(_ context.Context, _ provider.Account, m *provider.Message) (string, error) {
	w.sent = append(w.sent, m)
	return w.say(m)
}
func (w *world) SendBatch(context.Context, provider.Account, *provider.Batch) []provider.Sent {
	return nil
}

const signingKey = "key-of-webhooks"

func newWorld(t testing.TB, c *clock.Fake, d *db.DB) *world {
	w := &world{t: t, clock: c}
	w.say = func(*provider.Message) (string, error) { return fmt.Sprintf("<%d@m.example>", len(w.sent)), nil }
	w.Service = New(Config{DB: d, IDs: ids.NewSource(c), Driver: w, Account: provider.Account{Domain: "m.example"}, From: "App <noreply@m.example>",
		Owner: func() string { return "acc" }, SigningKey: func(context.Context) (string, error) { return signingKey, nil },
		Token: TokenConfig{Secret: []byte("a secret of some length, 32 bytes")}})
	return w
}

// each runs fn on both engines.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	c := clock.NewFake(begin)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) { fn(t, newWorld(t, c, d)) })
}

// as is the context of a caller whose token names workspaces.
func as(workspaces ...string) context.Context {
	return context.WithValue(context.Background(), accessKey{}, &access{workspaces})
}

func quoted(s string) json.RawMessage {
	b, _ := json.Marshal(s)
	return b
}

func (w *world) mustSend(workspace, to string, edit ...func(*sendIn)) *sendOut {
	w.t.Helper()
	in := &sendIn{Workspace: quoted(workspace), To: quoted(to), Subject: quoted("Hi"), Text: quoted("text")}
	for _, e := range edit {
		e(in)
	}
	out, err := w.sendOp(as(workspace), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) get(workspace, id string) *view {
	w.t.Helper()
	v, err := w.getOp(as(workspace), &getIn{workspace, id})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}
