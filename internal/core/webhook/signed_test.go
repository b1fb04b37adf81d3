package webhook

import (
	"bytes"
	"net/http"
	"testing"

	"postroad/internal/base/db"
	"postroad/internal/base/svix"
)

// TestOutgoing: a payload of the caller's is sent as it is, with a signature that
// its receiver can check, the same id in each attempt, and no secret on record.
func TestOutgoing(t *testing.T) {
	each(t, setup{Options: Options{Secret: bytes.Repeat([]byte{1}, 32)}}, func(f *fixture) {
		to := newReceiver(f.t, func(n int, w http.ResponseWriter) { w.WriteHeader([]int{500, 204}[n-1]) })
		key := svix.NewSecret()
		const payload = `{"type":"email.sent","data":{"to":["jürgen@example.com"]}}`
		must(f.t, f.db.Group(f.ctx, func(tx *db.Tx) error {
			return f.Stage(tx, &Outgoing{AccountID: f.account, Type: "email.sent", URL: to.URL, Payload: payload, Secret: key})
		}))
		r := f.begin(f.Service)
		ids := map[string]bool{}
		for range 2 {
			if n := round(f.t, r); n != 1 {
				f.t.Fatalf("%d requests", n)
			}
			got := wait(f.t, to.got, "request")
			h := got.header
			ids[h.Get(svix.HeaderID)] = true
			must(f.t, key.Verify(h.Get(svix.HeaderID), h.Get(svix.HeaderTimestamp), h.Get(svix.HeaderSignature), got.body, f.clock.Now()))
			if string(got.body) != payload {
				f.t.Errorf("body %s", got.body)
			}
			f.clock.Advance(Plan()[0])
		}
		c := f.only()
		if c.State != Delivered || len(ids) != 1 || len(c.Attempts) != 2 || c.Attempts[1].Request.Body != payload {
			f.t.Errorf("%s, ids %v, %+v", c.State, ids, c.Attempts)
		}
		must(f.t, f.db.Read(f.ctx, func(tx *db.Tx) error {
			var secret string
			if err := tx.QueryRow("SELECT secret FROM webhook_call").Scan(&secret); err != nil {
				return err
			}
			if b, err := f.openSecret(secret); err != nil || !bytes.Equal(b, key) || secret == key.String() {
				f.t.Errorf("secret on record: %q, %v", secret, err)
			}
			return nil
		}))
	})
}

func TestOutgoingWithoutASecretToSealWith(t *testing.T) {
	each(t, setup{}, func(f *fixture) {
		err := f.db.Group(f.ctx, func(tx *db.Tx) error {
			return f.Stage(tx, &Outgoing{URL: "http://x.example", Secret: svix.NewSecret()})
		})
		if err == nil {
			f.t.Error("taken")
		}
	})
}
