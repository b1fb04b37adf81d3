package httpapi

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

// TestAuthOfOperation: callers of an operation's own are checked before its request
// is read, without the API's keys, and what is found is in its context.
func TestAuthOfOperation(t *testing.T) {
	type key struct{}
	type in struct {
		Limit int `json:"limit" min:"1" doc:"Limit"`
	}
	type out struct {
		Caller string `json:"caller"`
	}
	o := op.New("POST", "/api/own", op.Messages, op.Write, "Own", func(ctx context.Context, _ *in) (*out, error) {
		return &out{ctx.Value(key{}).(string)}, nil
	}).WithAuth(func(ctx context.Context) (context.Context, error) {
		who := op.RequestFrom(ctx).Header("X-Who")
		if who == "" {
			return ctx, errs.New(errs.Unauthorized, "who?")
		}
		return context.WithValue(ctx, key{}, who), nil
	}).WithErrors(func(f op.Failure) any { return map[string]string{"error": f.Text} })
	a := newAPI(t, Config{Ops: []op.Op{o}})
	for _, tt := range []struct {
		who, body string
		status    int
		want      string
	}{
		{"", `{"limit":`, 401, `{"error":"who?"}`},
		{"me", `{"limit":`, 400, `{"error":"unable to parse request: invalid JSON at byte 9"}`},
		{"me", `{"limit":1}`, 200, `{"caller":"me"}`},
	} {
		r := httptest.NewRequest("POST", "/api/own", strings.NewReader(tt.body))
		r.Header.Set("Content-Type", typeJSON)
		if tt.who != "" {
			r.Header.Set("X-Who", tt.who)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		wantAnswer(t, w, tt.status, tt.want+"\n")
	}
}
