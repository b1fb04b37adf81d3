package gateway

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/db"
	"postroad/internal/base/netx"
)

func TestCampaign(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		uuid := w.create(mailgun, 2500)
		if v := w.view(uuid); v.Status != pending || v.Recipients != 2500 || v.ID != 1 {
			t.Fatalf("%+v", v)
		}
		if out := w.begin(uuid); out.Batches != 3 || out.Total != 2500 || out.Message != "Campaign processing started" {
			t.Fatalf("%+v", out)
		}
		_, err := w.startCampaign(t.Context(), &uuidIn{uuid})
		refused(t, err, `"error":"Campaign cannot be sent","details":"its status is processing"`)
		if n := w.work(); n != 3 {
			t.Errorf("%d batches", n)
		}
		v := w.view(uuid)
		if v.Status != completed || v.Progress != (progress{2500, 0, 0, 3, 3, 100}) || v.Finished == nil {
			t.Errorf("%+v", v)
		}
		if w.mg.copies(1) != 2500 {
			t.Errorf("%d got one copy", w.mg.copies(1))
		}
		f := w.mg.forms[0]
		if f.Get("html") != "<p>Hi %recipient.h_name%</p>" || !strings.Contains(f.Get("recipient-variables"), `"metadata":"{\"campaign_id\":1}"`) {
			t.Errorf("%s %.300s", f.Get("html"), f.Get("recipient-variables"))
		}
		k, ok, err := w.Lookup(t.Context(), mailgun, "<campaign-"+uuid+"-1@platform>", "UA@example.net")
		if err != nil || !ok || string(k.Metadata) != `{"campaign_id":1}` || k.Subject != "Hi N" || k.Sender != "a@example.com" {
			t.Errorf("%+v %v %v", k, ok, err)
		}
	})
}

// TestKeyIsSealed: no table has the provider's key in clear, and none at all when the
// campaign is finished.
func TestKeyIsSealed(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		uuid := w.create(mailgun, 1)
		c, err := w.campaign(t.Context(), uuid)
		check(t, err)
		if c.sealed == "" || strings.Contains(c.sealed, "key-campaign") {
			t.Errorf("sealed %q", c.sealed)
		}
		if key, err := w.unseal(c); err != nil || key != "key-campaign" {
			t.Error(key, err)
		}
		w.begin(uuid)
		w.work()
		if c, err = w.campaign(t.Context(), uuid); err != nil || c.sealed != "" || c.status != completed {
			t.Errorf("%q %s %v", c.sealed, c.status, err)
		}
	})
}

// TestKilled: whatever the moment, nobody gets two, and everybody one.
func TestKilled(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		uuid := w.create(mailgun, 2500)
		w.begin(uuid)
		// Before the request.
		_, _, err := w.claim(t.Context())
		check(t, err)
		w.restart()
		// Between the provider's answer and our commit.
		b, _, err := w.claim(t.Context())
		check(t, err)
		ctx, kill := context.WithCancel(t.Context())
		w.mg.after = kill
		if err := w.try(ctx, b); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		w.mg.after = nil
		if w.mg.copies(1) != 1000 {
			t.Fatal("the provider has nothing: the test kills too early")
		}
		w.restart()
		w.work()
		if v := w.view(uuid); v.Status != completed || v.Progress.Sent != 2500 || w.mg.copies(1) != 2500 || w.mg.copies(2) != 0 {
			t.Errorf("%+v, %d got one, %d two", v, w.mg.copies(1), w.mg.copies(2))
		}
	})
}

// TestTwoLoops: two runs at once send no batch twice.
func TestTwoLoops(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		uuid := w.create(resend, 1500)
		w.begin(uuid)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _ = w.RunCampaigns(ctx) })
		}
		for w.view(uuid).Status != completed {
		}
		stop()
		wg.Wait()
		if v := w.view(uuid); v.Progress.Sent != 1500 || len(w.rs.keys) != 15 || w.rs.copies(1) != 1500 {
			t.Errorf("%+v, %d requests", v, len(w.rs.keys))
		}
	})
}

func TestPause(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		uuid := w.create(mailgun, 2500)
		_, err := w.pauseCampaign(t.Context(), &uuidIn{uuid})
		refused(t, err, "its status is pending")
		w.begin(uuid)
		b, _, err := w.claim(t.Context())
		check(t, err)
		out, err := w.pauseCampaign(t.Context(), &uuidIn{uuid})
		if err != nil || out.Campaign.Status != paused {
			t.Fatal(out, err)
		}
		w.carry(t.Context(), b) // what is under way is finished
		w.restart()
		if n := w.work(); n != 0 || w.view(uuid).Progress.Sent != 1000 {
			t.Errorf("%d batches of a paused campaign", n)
		}
		if _, err := w.resumeCampaign(t.Context(), &uuidIn{uuid}); err != nil {
			t.Fatal(err)
		}
		w.work()
		if v := w.view(uuid); v.Status != completed || v.Progress.Sent != 2500 {
			t.Errorf("%+v", v)
		}
	})
}

// TestRetry: a batch that was refused for the time being waits longer and longer, as
// long as the provider asks for, and not for ever.
func TestRetry(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		uuid := w.create(mailgun, 1)
		w.begin(uuid)
		busy := netx.Response{Status: 503}
		asks := netx.Response{Status: 429, Header: map[string][]string{"Retry-After": {"600"}}}
		for i, c := range []struct {
			answers []netx.Response
			wait    time.Duration
		}{
			{[]netx.Response{busy, busy, busy, busy}, 20 * time.Second},
			{[]netx.Response{busy, busy, busy, busy}, 40 * time.Second},
			{[]netx.Response{asks}, 10 * time.Minute},
		} {
			w.mg.answers = c.answers
			if n := w.work(); n != 1 {
				t.Fatalf("%d: %d tries", i, n)
			}
			w.clock.Advance(c.wait - time.Microsecond)
			if n := w.work(); n != 0 {
				t.Fatalf("%d: too early", i)
			}
			w.clock.Advance(time.Microsecond)
		}
		w.work()
		if v := w.view(uuid); v.Status != completed {
			t.Errorf("%+v", v)
		}
		uuid = w.create(mailgun, 1)
		w.begin(uuid)
		w.mg.absent = errors.New("gone")
		for range 100 {
			w.work()
			w.clock.Advance(30 * time.Minute)
		}
		if v := w.view(uuid); v.Status != failedAll || len(v.Failed) != 1 || v.Failed[0].Email != "ua@example.net" || !strings.Contains(v.Failed[0].Error, "for a day") {
			t.Errorf("%+v", v)
		}
	})
}

// TestPausedForDays: what no provider can have is sent after a long pause. What one may
// have is not: it has forgotten the key by then.
func TestPausedForDays(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		for _, c := range []struct {
			set  func()
			want string
		}{
			{func() { w.mg.absent = errors.New("connection refused") }, completed},
			{func() { w.mg.fail = errors.New("reset") }, failedAll},
		} {
			uuid := w.create(mailgun, 1)
			w.begin(uuid)
			c.set()
			w.work()
			w.mg.absent, w.mg.fail = nil, nil
			_, err := w.pauseCampaign(t.Context(), &uuidIn{uuid})
			check(t, err)
			w.clock.Advance(48 * time.Hour)
			_, err = w.resumeCampaign(t.Context(), &uuidIn{uuid})
			check(t, err)
			w.work()
			if v := w.view(uuid); v.Status != c.want {
				t.Errorf("%+v, want %s", v, c.want)
			}
		}
		if w.mg.copies(1) != 0 || w.mg.copies(2) != 1 {
			t.Error("the second campaign was sent again, or the first not at all")
		}
	})
}

func TestRefusedCampaign(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		uuid := w.create(mailgun, 2)
		w.begin(uuid)
		w.mg.answers = []netx.Response{{Status: 401, Body: []byte("Forbidden")}}
		w.work()
		v := w.view(uuid)
		if v.Status != failedAll || v.Progress.Failed != 2 || len(v.Failed) != 2 || !strings.Contains(v.Failed[0].Error, "401") {
			t.Errorf("%+v", v)
		}
	})
}

// TestCampaignFailover: the second driver gets what the first has refused, once, and
// nothing that the first may have taken.
func TestCampaignFailover(t *testing.T) {
	both := func(c *Config) { c.Failover, c.ResendKey = true, "re_own" }
	each(t, both, func(t *testing.T, w *world) {
		uuid := w.create(mailgun, 250)
		w.begin(uuid)
		w.mg.absent = errors.New("connection refused")
		w.work()
		if v := w.view(uuid); v.Status != completed || v.Progress.Sent != 250 || w.rs.copies(1) != 250 || len(w.rs.keys) != 3 || v.Progress.Batches != v.Progress.BatchesDone {
			t.Errorf("%+v, %d at the second", v, w.rs.copies(1))
		}
		w.mg.absent = nil

		uuid = w.create(mailgun, 250)
		w.begin(uuid)
		w.mg.fail = errors.New("reset")
		w.work()
		w.mg.fail, w.mg.answers = nil, []netx.Response{{Status: 503}, {Status: 503}, {Status: 503}, {Status: 503}}
		for range 3 {
			w.clock.Advance(time.Hour)
			w.work()
		}
		if v := w.view(uuid); v.Status != completed || w.rs.copies(1) != 250 || w.mg.copies(1) != 250 {
			t.Errorf("%+v: %d and %d", v, w.mg.copies(1), w.rs.copies(1))
		}
	})
}

func TestCampaignNeedsSomebody(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		out, err := w.call("POST /api/email/campaigns", &campaignIn{}, `{"driver":"mailgun","api_key":"key-admin","name":"C","from":"a@example.com",
			"template_subject":"Hi","template_url":"`+w.template+`","recipient_ids":[7,8]}`)
		check(t, err)
		uuid := out.(*campaignOut).Campaign.UUID
		_, err = w.startCampaign(t.Context(), &uuidIn{uuid})
		refused(t, err, `"failed":[{"email":"","participant_id":7,"error":"there is no such participant"}`)
		first, err := w.Accounts.First(t.Context())
		check(t, err)
		check(t, w.put(t.Context(), first, []Participant{{ID: 8, Email: "h@example.net"}}))
		if out := w.begin(uuid); out.Batches != 1 || out.Total != 2 {
			t.Errorf("%+v", out)
		}
		w.work()
		if v := w.view(uuid); v.Progress != (progress{1, 1, 0, 1, 1, 100}) || *v.Failed[0].ParticipantID != 7 {
			t.Errorf("%+v", v)
		}
		if vars := w.mg.forms[0].Get("recipient-variables"); !strings.Contains(vars, `\"participant_id\":8`) || !strings.Contains(vars, `\"campaign_id\":1`) {
			t.Error(vars)
		}
		_, err = w.getCampaign(t.Context(), &uuidIn{"nothing"})
		refused(t, err, "Campaign not found")
	})
}

func TestCleaning(t *testing.T) {
	each(t, nil, func(t *testing.T, w *world) {
		started, left := w.create(mailgun, 2), w.create(mailgun, 2)
		w.begin(started)
		w.mg.answers = []netx.Response{{Status: 400}}
		w.work()
		sent := w.create(mailgun, 2)
		w.begin(sent)
		w.work()
		find := func() bool {
			_, ok, err := w.Lookup(t.Context(), mailgun, "campaign-"+sent+"-1@platform", "ua@example.net")
			check(t, err)
			return ok
		}
		if _, err := w.clean(t.Context()); err != nil || !find() || len(w.view(started).Failed) != 2 {
			t.Fatal("forgotten too early", err)
		}
		w.clock.Advance(keepSent + time.Hour)
		for range 2 {
			_, err := w.clean(t.Context())
			check(t, err)
		}
		if find() || len(w.view(started).Failed) != 0 {
			t.Error("addresses are kept")
		}
		var sealed string
		check(t, w.DB.Read(t.Context(), func(tx *db.Tx) error {
			c, err := selectCampaign(tx, left)
			if err == nil {
				sealed = c.sealed
			}
			return err
		}))
		if sealed != "" || w.view(left).Status != failedAll {
			t.Error("the key of a campaign nobody started is kept")
		}
	})
}
