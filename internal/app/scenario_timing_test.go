package app_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/db/dbtest"
	"postroad/internal/config"
	"postroad/internal/core/domain"
	"postroad/internal/core/event"
)

// timed is a program with time that stands still on a Monday at 09:00 UTC, a
// receiving server, and recipients of whom something is known.
type timed struct {
	*stage
	url  string // of the database, "" for SQLite
	dom  *domain.Domain
	sink *apptest.Sink
}

func newTimed(t *testing.T, o apptest.Options) *timed {
	t.Helper()
	o.Mode = config.Serve
	if o.Clock == nil {
		o.Clock = clock.NewFake(apptest.Begin())
	}
	s := &timed{stage: &stage{Server: apptest.Start(t, o), t: t}, url: o.DB}
	s.keys = map[string]string{"": s.Key}
	s.dom = s.AddDomain("example.com")
	s.sink = s.World.Sink(t, "mx.then.test", apptest.Script{})
	s.World.MX(t, "then.test", "mx.then.test")
	for d := range 5 {
		s.engage("busy@then.test", time.Date(2026, 2, 23+d, 14, 20, 0, 0, time.UTC), "")
	}
	s.engage("kolkata@then.test", apptest.Begin().Add(-50*time.Hour), "Asia/Kolkata")
	s.engage("newyork@then.test", apptest.Begin().Add(-50*time.Hour), "America/New_York")
	if err := s.Timing.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// engage records an opened event, or a clicked one from a time zone.
func (s *timed) engage(address string, at time.Time, zone string) {
	s.t.Helper()
	kind := event.Opened
	if zone != "" {
		kind = event.Clicked
	}
	if err := s.Events.Append(s.t.Context(), &event.Event{AccountID: s.dom.AccountID, DomainID: s.dom.ID, TimeZone: zone, Doc: event.Doc{Event: kind,
		Recipient: address, Timestamp: event.Timestamp(at.UnixMicro()), ClientInfo: &event.ClientInfo{ClientType: "browser"}}}); err != nil {
		s.t.Fatal(err)
	}
}

func eachTimed(t *testing.T, fn func(t *testing.T, s *timed)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, newTimed(t, apptest.Options{})) })
	t.Run("postgres", func(t *testing.T) { fn(t, newTimed(t, apptest.Options{DB: dbtest.PostgresURL(t)})) })
}

// due is when a message waits for, by recipient.
func (s *timed) due(id string) map[string]string {
	out := map[string]string{}
	for _, d := range s.Waiting(id) {
		out[d.Recipient] = clock.FromMicro(d.Due).Format("2006-01-02T15:04")
	}
	return out
}

type timing struct {
	At     time.Time `json:"scheduled-for"`
	Reason string    `json:"reason"`
}

// explained is what the API says about the recipients of a message.
func (s *timed) explained(id string) map[string]timing {
	s.t.Helper()
	var m struct {
		Recipients []struct {
			Address string
			Timing  *timing
		}
	}
	if err := json.Unmarshal(s.Must("GET", "/v1/postroad/messages/"+id, nil), &m); err != nil {
		s.t.Fatal(err)
	}
	out := map[string]timing{}
	for _, r := range m.Recipients {
		if r.Timing != nil {
			out[r.Address] = *r.Timing
		}
	}
	return out
}

func (s *timed) delivered() string {
	var out []string
	for _, m := range s.sink.Messages() {
		out = append(out, m.To...)
	}
	return strings.Join(out, " ")
}

func TestTimeZones(t *testing.T) {
	eachTimed(t, func(t *testing.T, s *timed) {
		id := s.Send("example.com", apptest.Fields{"to", "kolkata@then.test", "to", "NewYork@then.test", "to", "nobody@then.test",
			"recipient-variables", `{}`, "o:time-zone-localize", "03:00PM"})
		s.Outcome(id, "nobody@then.test", 1)
		if got := fmt.Sprint(s.due(id)); got != "map[NewYork@then.test:2026-03-02T20:00 kolkata@then.test:2026-03-02T09:30]" {
			t.Errorf("waiting: %s", got)
		}
		s.Advance(30*time.Minute - time.Second)
		now := s.Send("example.com", apptest.Fields{"to", "now@then.test"})
		s.Outcome(now, "now@then.test", 1) // the loader had its turn
		if got := s.delivered(); got != "nobody@then.test now@then.test" {
			t.Errorf("before the first time: %s", got)
		}
		s.Advance(time.Second)
		s.Outcome(id, "kolkata@then.test", 1)
		s.Advance(10*time.Hour + 30*time.Minute)
		s.Outcome(id, "NewYork@then.test", 1)

		got := s.explained(id)
		if got["kolkata@then.test"].Reason != "15:00 in Asia/Kolkata, where this address last clicked (2026-02-28)" || !got["kolkata@then.test"].At.Equal(apptest.Begin().Add(30*time.Minute)) ||
			got["nobody@then.test"].Reason != "no click with a known place: delivered at once" || len(got) != 3 {
			t.Errorf("%+v", got)
		}
		if got := s.explained(now); len(got) != 0 {
			t.Errorf("a message without a wish: %+v", got)
		}
	})
}

func TestBestHour(t *testing.T) {
	eachTimed(t, func(t *testing.T, s *timed) {
		send := func(f ...string) string {
			return s.Send("example.com", append(apptest.Fields{"o:deliverytime-optimize-period", "24h"}, f...))
		}
		id := send("to", "busy@then.test")
		when := s.explained(id)["busy@then.test"]
		if when.Reason != "opens and clicks of this address cluster at 14:00-15:00 UTC (5 of 5 in 180 days, 1 of them on Monday)" || when.At.Hour() != 14 || when.At.Minute() >= 30 || when.At.Day() != 2 {
			t.Fatalf("%+v", when)
		}
		later := send("to", "busy@then.test", "o:deliverytime", apptest.Begin().Add(20*time.Hour).Format(time.RFC1123Z))
		if at := s.explained(later)["busy@then.test"].At; at.Day() != 3 || at.Hour() != 14 {
			t.Errorf("scheduled: %s", at)
		}
		unknown := send("to", "nobody@then.test")
		s.Outcome(unknown, "nobody@then.test", 1)
		if why := s.explained(unknown)["nobody@then.test"].Reason; !strings.HasPrefix(why, "too few opens and clicks") {
			t.Errorf("%s", why)
		}
		if _, body := s.Do("POST", "/v3/example.com/messages", with(letter, "cc", "x@then.test", "o:deliverytime-optimize-period", "24h")); !strings.Contains(string(body), "one recipient only") {
			t.Errorf("two recipients: %s", body)
		}
		// Sent again it leaves at once.
		var m struct {
			Key string `json:"storage-key"`
		}
		if err := json.Unmarshal(s.Must("GET", "/v1/postroad/messages/"+id, nil), &m); err != nil {
			t.Fatal(err)
		}
		s.Must("POST", "/v3/domains/example.com/messages/"+m.Key, apptest.Fields{"to", "again@then.test"})
		s.Outcome(id, "again@then.test", 1)
		s.Advance(when.At.Sub(s.Clock.Now()) - time.Second)
		s.Outcome(s.Send("example.com", apptest.Fields{"to", "now@then.test"}), "now@then.test", 1)
		if got := s.delivered(); strings.Contains(got, "busy") {
			t.Errorf("before its time: %s", got)
		}
		s.Advance(time.Second)
		s.Outcome(id, "busy@then.test", 1)
	})
}

// Each member of a list gets a post at their own time, and the posts that wait
// keep nobody's from leaving.
func TestListTimes(t *testing.T) {
	eachTimed(t, func(t *testing.T, s *timed) {
		s.Must("POST", "/v3/lists", apptest.Fields{"address", "l@example.com"})
		for _, a := range []string{"kolkata@then.test", "newyork@then.test", "nobody@then.test"} {
			s.Must("POST", "/v3/lists/l@example.com/members", apptest.Fields{"address", a})
		}
		id := s.Send("example.com", apptest.Fields{"to", "l@example.com", "o:time-zone-localize", "15:00"})
		s.Outcome(id, "nobody@then.test", 1)
		if got := fmt.Sprint(s.due(id)); got != "map[kolkata@then.test:2026-03-02T09:30 newyork@then.test:2026-03-02T20:00]" {
			t.Errorf("waiting: %s", got)
		}
	})
}

// The domain's limit of waiting holds for times that are found too.
func TestTimesWithinTheLimit(t *testing.T) {
	s := newTimed(t, apptest.Options{})
	s.Must("PUT", "/v4/domains/example.com", apptest.Fields{"message_ttl", "3600"})
	id := s.Send("example.com", apptest.Fields{"to", "kolkata@then.test, newyork@then.test", "o:time-zone-localize", "15:00"})
	s.Outcome(id, "newyork@then.test", 1)
	if got := fmt.Sprint(s.due(id)); got != "map[kolkata@then.test:2026-03-02T09:30]" {
		t.Errorf("waiting: %s", got)
	}
	if why := s.explained(id)["newyork@then.test"].Reason; why != "15:00 in America/New_York would be after the latest time allowed, 2026-03-02 10:00 UTC: delivered at once" {
		t.Error(why)
	}
	s.run(t, []probe{
		{name: "within message_ttl", path: "/v3/example.com/messages", form: with(letter, "o:deliverytime", fmt.Sprint(s.Clock.Now().Add(time.Hour).Unix())), want: queued},
		{name: "behind message_ttl", path: "/v3/example.com/messages", form: with(letter, "o:deliverytime", fmt.Sprint(s.Clock.Now().Add(time.Hour+time.Second).Unix())), status: 400,
			want: `{"message":"invalid delivery time: at most 1h0m0s ahead"}`},
	})
	s.Must("PUT", "/v4/domains/example.com", apptest.Fields{"message_ttl", "604800"})
	s.check(t, probe{path: "/v3/example.com/messages", form: with(letter, "o:deliverytime", fmt.Sprint(s.Clock.Now().Add(7*24*time.Hour).Unix())), want: queued})
}

// A lookup that fails delays nothing.
func TestTimesUnreadable(t *testing.T) {
	s := newTimed(t, apptest.Options{})
	if err := s.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("ALTER TABLE timing RENAME TO elsewhere")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	id := s.Send("example.com", apptest.Fields{"to", "kolkata@then.test", "o:time-zone-localize", "15:00", "o:deliverytime-optimize-period", "24h"})
	s.Outcome(id, "kolkata@then.test", 1)
	if why := s.explained(id)["kolkata@then.test"].Reason; why != "what is known of this address could not be read: delivered at once" {
		t.Error(why)
	}
}

// What was cancelled is never sent, whether the program was started anew or not,
// and makes no event.
func TestCancelledIsNeverSent(t *testing.T) {
	eachTimed(t, func(t *testing.T, s *timed) {
		s.sink.Set(apptest.Script{Any: "451 4.2.0 later"})
		deferred := s.Send("example.com", apptest.Fields{"to", "deferred@then.test"})
		s.Outcome(deferred, "deferred@then.test", 1)
		s.sink.Set(apptest.Script{})
		ids := map[string]string{"deferred@then.test": deferred}
		for to, f := range map[string]apptest.Fields{
			"scheduled@then.test": {"o:deliverytime", apptest.Begin().Add(time.Hour).Format(time.RFC1123Z)},
			"kolkata@then.test":   {"o:time-zone-localize", "15:00"},
			"busy@then.test":      {"o:deliverytime-optimize-period", "24h"},
		} {
			ids[to] = s.Send("example.com", append(f, "to", to))
		}
		other := s.AddDomain("other.example")
		kept := s.Send(other.Name, apptest.Fields{"to", "kept@then.test", "o:deliverytime", apptest.Begin().Add(time.Hour).Format(time.RFC1123Z)})
		s.check(t, probe{method: "DELETE", path: "/v3/example.com/envelopes", want: `{"message":"done"}`})
		s.Stop()
		s.Clock.Advance(48 * time.Hour)
		again := apptest.Start(t, apptest.Options{Mode: config.Serve, World: s.World, Clock: s.Clock, Data: s.Data, DB: s.url})
		again.Outcome(kept, "kept@then.test", 1)
		again.Outcome(again.Send("example.com", apptest.Fields{"to", "now@then.test"}), "now@then.test", 1)
		if got := s.delivered(); got != "kept@then.test now@then.test" {
			t.Errorf("delivered: %s", got)
		}
		for to, id := range ids {
			body := string(again.Must("GET", "/v1/postroad/messages/"+id, nil))
			if !strings.Contains(body, `"status":"cancelled"`) {
				t.Errorf("%s: %s", to, body)
			}
			if n := len(again.Recorded(func(e *event.Event) bool { return e.Doc.Recipient == to })); n != 0 {
				t.Errorf("%s: %d events after it was cancelled", to, n)
			}
		}
	})
}

func TestScenarioTiming(t *testing.T) {
	s := newTimed(t, apptest.Options{})
	for _, role := range []string{"basic", "developer", "support"} {
		s.keys[role] = s.newKey("role", role, "kind", "user")
	}
	s.keys["sending"] = s.newKey("role", "sending", "kind", "domain", "domain_name", "example.com")
	const path = "/v1/postroad/timing"
	s.run(t, []probe{
		{name: "busy", path: path + "?address=Busy@then.test", want: `{"address":"Busy@then.test","engagements":5,"clicks":0,"days":5,"last":"2026-02-27T14:00:00Z","hours":[{"day":"Fri","hour":14,"count":1},**],` +
			`"optimized":{"scheduled-for":"2026-03-02T14:00:00Z","reason":"opens and clicks of this address cluster at 14:00-15:00 UTC (5 of 5 in 180 days, 1 of them on Monday)"},` +
			`"localized":{"scheduled-for":"2026-03-02T09:00:00Z","reason":"no click with a known place: delivered at once"}}`},
		{name: "elsewhere", path: path + "?address=kolkata@then.test&local=09:00PM", want: `{**"clicks":1,**"time-zone":"Asia/Kolkata","time-zone-seen":"2026-02-28T07:00:00Z",**"localized":{"scheduled-for":"2026-03-02T15:30:00Z","reason":"21:00 in Asia/Kolkata, **"}}`},
		{name: "nothing known", path: path + "?address=nobody@then.test", want: `{"address":"nobody@then.test","engagements":0,"clicks":0,"days":0,"hours":[],**`},
		{name: "no address", path: path, status: 400, want: `{"message":"address parameter is missing"}`},
		{name: "bad address", path: path + "?address=me", status: 400, want: `{"message":"address` + badAddress},
		{name: "bad time", path: path + "?address=a@b.com&local=25:00", status: 400, want: `{"message":"'local' parameter is not a time of day"}`},
		{name: "bad period", path: path + "?address=a@b.com&hours=73", status: 400},
		{name: "analyst reads", as: "basic", path: path + "?address=a@b.com"},
		{name: "sending key", as: "sending", path: path + "?address=a@b.com", status: 401, want: forbidden},
		{name: "support does not write", as: "support", method: "DELETE", path: path + "?address=busy@then.test", status: 401, want: forbidden},
		{name: "forget", as: "developer", method: "DELETE", path: path + "?address=BUSY@then.test", want: `{"message":"What was known of this address has been removed"}`},
		{name: "forgotten", path: path + "?address=busy@then.test", want: `{**"engagements":0,**`},
		{name: "forget no address", method: "DELETE", path: path, status: 400},
	})
}
