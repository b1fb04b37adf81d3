package tag

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/db/dbtest"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
	"postroad/internal/core/event"
)

var start = time.Date(2026, 3, 26, 12, 59, 15, 0, time.UTC)

// world is a service with its events on a store; the domains 1 and 2 belong to
// the account acc, 3 to another.
type world struct {
	*Service
	t      testing.TB
	c      *clock.Fake
	events *event.Service
}

func newWorld(t testing.TB, c *clock.Fake, d *db.DB, o Options) *world {
	t.Helper()
	source := ids.NewSource(c)
	log := slog.New(slog.DiscardHandler)
	w := &world{New(d, source, log, o), t, c, nil}
	var err error
	w.events, err = event.New(d, source, log, w.Service)
	w.must(err)
	w.must(d.Write(t.Context(), func(tx *db.Tx) error {
		for i, account := range []string{"acc", "acc", "else"} {
			if _, err := tx.Exec("INSERT INTO domain (id, public_id, name, account_id, state, type, authority, settings, records, checked_at, created_at) "+
				"VALUES (?, ?, ?, ?, 'active', 'custom', '', '{}', '{}', 0, 0) ON CONFLICT (id) DO NOTHING", i+1, fmt.Sprint(i), fmt.Sprintf("d%d.example", i+1), account); err != nil {
				return err
			}
		}
		return nil
	}))
	return w
}

func each(t *testing.T, o Options, fn func(t *testing.T, w *world)) {
	t.Helper()
	c := clock.NewFake(start)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		c.Advance(start.Sub(c.Now()))
		fn(t, newWorld(t, c, d, o))
	})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// is makes an event of domain 1 with tags.
func is(t event.Type, tags ...string) *event.Event {
	return &event.Event{AccountID: "acc", DomainID: 1, Doc: event.Doc{Event: t, Recipient: "a@gmail.com", Tags: tags}}
}

func with(e *event.Event, change func(*event.Event)) *event.Event {
	change(e)
	return e
}

func of(domainID int64, e *event.Event) *event.Event {
	e.DomainID = domainID
	if domainID == 3 {
		e.AccountID = "else"
	}
	return e
}

func (w *world) append(list ...*event.Event) {
	w.t.Helper()
	for _, e := range list {
		w.must(w.events.Append(w.t.Context(), e))
	}
}

func (w *world) rows(table string) (n int) {
	w.t.Helper()
	w.must(w.db.Read(w.t.Context(), func(tx *db.Tx) error { return tx.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n) }))
	return n
}

// names lists a domain's tags.
func (w *world) names(domainID int64) (out []string) {
	w.t.Helper()
	list, err := w.List(w.t.Context(), Query{DomainID: domainID, Limit: 1000})
	w.must(err)
	for _, t := range list {
		out = append(out, t.Name)
	}
	return out
}

// total is what was counted of a tag of domain 1 in two years, without what is zero.
func (w *world) total(tag string, d dimension, value string) map[kind]int64 {
	w.t.Helper()
	now := w.c.Now()
	_, list, err := w.stats(w.t.Context(), &statQuery{domainID: 1, tag: tag, dimension: d, value: value, resolution: Day, start: now.AddDate(-2, 0, 0), end: now})
	w.must(err)
	out := map[kind]int64{}
	for _, b := range list {
		for k, n := range b.counts {
			if n != 0 {
				out[kind(k)] += n
			}
		}
	}
	return out
}

func (w *world) wantTotal(tag string, d dimension, value string, want map[kind]int64) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.total(tag, d, value)); diff != "" {
		w.t.Errorf("%s %d %s: %s", tag, d, value, diff)
	}
}

func TestKinds(t *testing.T) {
	failed := func(severity, reason string, change ...func(*event.Doc)) *event.Event {
		return with(is(event.Failed), func(e *event.Event) {
			e.Doc.Severity, e.Doc.Reason = severity, reason
			for _, fn := range change {
				fn(&e.Doc)
			}
		})
	}
	posted := func(d *event.Doc) { d.Envelope = &event.Envelope{Transport: "http"} }
	late := func(d *event.Doc) { d.DeliveryStatus = &event.DeliveryStatus{AttemptNo: 2} }
	doc := func(t event.Type, change ...func(*event.Doc)) *event.Event {
		return with(is(t), func(e *event.Event) {
			for _, fn := range change {
				fn(&e.Doc)
			}
		})
	}
	for i, tt := range []struct {
		e    *event.Event
		want kind
	}{
		{doc(event.Accepted), acceptedOut},
		{doc(event.Accepted, func(d *event.Doc) { d.Flags = &event.Flags{IsRouted: true} }), acceptedIn},
		{doc(event.Accepted, posted), acceptedIn},
		{doc(event.Accepted, func(d *event.Doc) { d.MailingList = &event.MailingList{Address: "A@gmail.com"} }), acceptedIn},
		{doc(event.Accepted, func(d *event.Doc) { d.MailingList = &event.MailingList{Address: "l@gmail.com"} }), acceptedOut},
		{doc(event.Delivered), deliveredFirst},
		{doc(event.Delivered, late), deliveredLater},
		{doc(event.Delivered, posted), postedFirst},
		{doc(event.Delivered, posted, late), postedLater},
		{failed(event.Temporary, "generic"), deferred},
		{failed(event.Temporary, "espblock"), deferredBlock},
		{failed(event.Permanent, "bounce"), hardBounce},
		{failed(event.Permanent, "generic"), softBounce},
		{failed(event.Permanent, "greylisted"), softBounce},
		{failed(event.Permanent, "espblock"), blockBounce},
		{failed(event.Permanent, "old"), expired},
		{failed(event.Permanent, "suppress-bounce"), suppressedBounce},
		{failed(event.Permanent, "suppress-unsubscribe"), suppressedUnsubscribe},
		{failed(event.Permanent, "suppress-complaint"), suppressedComplaint},
		{failed(event.Permanent, "bounce", func(d *event.Doc) { d.Flags = &event.Flags{IsDelayedBounce: true} }), delayedBounce},
		{failed(event.Permanent, "generic", posted), postFailed},
		{failed(event.Temporary, "generic", posted), deferred},
		{with(is(event.Opened), func(e *event.Event) { e.First = true }), openedFirst},
		{is(event.Opened), openedAgain},
		{with(is(event.Clicked), func(e *event.Event) { e.First = true }), clickedFirst},
		{is(event.Clicked), clickedAgain},
		{is(event.Unsubscribed), unsubscribed},
		{is(event.Complained), complained},
		{is(event.Stored), stored},
		{is(event.Rejected), 0},
		{is(event.ListUploaded), 0},
	} {
		if got := kindOf(tt.e); got != tt.want {
			t.Errorf("%d %s: %d, want %d", i, tt.e.Doc.Event, got, tt.want)
		}
	}
	// What is in the database stays what it is.
	if acceptedIn != 1 || hardBounce != 9 || openedFirst != 18 || stored != 24 || kinds != 25 {
		t.Error("kinds were renumbered")
	}
}

func TestCount(t *testing.T) {
	each(t, Options{}, func(t *testing.T, w *world) {
		at := func(country, device string) func(*event.Event) {
			return func(e *event.Event) {
				e.Doc.Geolocation, e.Doc.ClientInfo = &event.Geolocation{Country: country}, &event.ClientInfo{DeviceType: device}
			}
		}
		w.append(is(event.Accepted, "News", "a b"), is(event.Accepted, "NEWS"), is(event.Accepted), is(event.Rejected, "refused"), of(0, is(event.Accepted, "nowhere")))
		if n := w.rows("tag_delta"); n != 2 {
			t.Errorf("%d rows staged, want one per event that has tags and counts", n)
		}
		w.c.Advance(2 * time.Hour)
		w.append(with(is(event.Delivered, "news"), func(e *event.Event) { e.Doc.Recipient = "x@else.example" }),
			with(with(is(event.Opened, "news"), func(e *event.Event) { e.First = true }), at("DE", "mobile")), with(is(event.Opened, "news"), at("", "other")),
			is(event.Clicked, "news"), of(2, is(event.Accepted, "news")))
		w.wantTotal("news", overall, "", map[kind]int64{acceptedOut: 2, deliveredFirst: 1, openedFirst: 1, openedAgain: 1, clickedAgain: 1})
		w.wantTotal("A B", overall, "", map[kind]int64{acceptedOut: 1})
		w.wantTotal("news", byProvider, "gmail.com", map[kind]int64{acceptedOut: 2, openedFirst: 1, openedAgain: 1, clickedAgain: 1})
		w.wantTotal("news", byProvider, "other", map[kind]int64{deliveredFirst: 1})
		w.wantTotal("news", byCountry, "de", map[kind]int64{openedFirst: 1})
		w.wantTotal("news", byCountry, "unknown", map[kind]int64{openedAgain: 1, clickedAgain: 1})
		w.wantTotal("news", byDevice, "mobile", map[kind]int64{openedFirst: 1})
		w.wantTotal("news", byDevice, "unknown", map[kind]int64{openedAgain: 1, clickedAgain: 1})
		tag, err := w.Get(t.Context(), 1, "nEws")
		w.must(err)
		tag.ID = 0
		// Ids, and so the times of events, are not exactly the clock's.
		tag.FirstSeen, tag.LastSeen = tag.FirstSeen/1e6, tag.LastSeen/1e6
		if want := (Tag{Name: "News", FirstSeen: start.Unix(), LastSeen: start.Unix() + 7200}); tag != want {
			t.Errorf("%+v, want %+v", tag, want)
		}
		if got := w.names(1); !slices.Equal(got, []string{"a b", "News"}) {
			t.Errorf("tags %q", got)
		}
		if n := w.rows("tag_delta"); n != 0 {
			t.Errorf("%d events left", n)
		}
	})
}

// A statement that fails undoes the others, whichever it is; then everything is
// counted once.
func TestCountAgainAfterFailure(t *testing.T) {
	each(t, Options{}, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.append(is(event.Accepted, "t"))
		w.must(w.count(ctx))
		rename := func(from, to string) {
			t.Helper()
			w.must(w.db.Write(ctx, func(tx *db.Tx) error {
				_, err := tx.Exec("ALTER TABLE " + from + " RENAME TO " + to)
				return err
			}))
		}
		for _, table := range []string{"tag_stat", "tag", "domain"} {
			w.append(is(event.Delivered, "t", "new "+table))
			rename(table, "away")
			if _, err := w.Get(ctx, 1, "t"); err == nil {
				t.Errorf("without %s: no error", table)
			}
			rename("away", table)
			if n := w.rows("tag_delta"); n != 1 {
				t.Errorf("without %s: %d events left, want 1", table, n)
			}
			w.must(w.count(ctx))
		}
		// The program dies just before its transaction is committed.
		w.append(is(event.Opened, "t"))
		died := errors.New("died")
		err := w.db.Write(ctx, func(tx *db.Tx) error {
			n, err := w.fold(tx)
			if err != nil || n != 1 {
				t.Errorf("%d folded, %v", n, err)
			}
			return died
		})
		if err != died {
			t.Fatal(err)
		}
		w.wantTotal("t", overall, "", map[kind]int64{acceptedOut: 1, deliveredFirst: 3, openedAgain: 1})
		w.wantTotal("t", overall, "", map[kind]int64{acceptedOut: 1, deliveredFirst: 3, openedAgain: 1})
		if got := len(w.names(1)); got != 4 {
			t.Errorf("%d tags", got)
		}
	})
}

// What a run did not count, the next one does, from the journal as well.
func TestCountAfterRestart(t *testing.T) {
	c := clock.NewFake(start)
	d := coretest.SQLite(t, c)
	w := newWorld(t, c, d, Options{})
	w.append(is(event.Accepted, "t"), is(event.Accepted, "t"))
	var file string
	w.must(d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.QueryRow("SELECT file FROM pragma_database_list() WHERE name = 'main'").Scan(&file)
	}))
	w.append(is(event.Accepted, "t"))
	w.must(d.Close())
	again, err := db.Open(t.Context(), db.Config{URL: file, Clock: c, Journal: dbtest.Journal(filepath.Clean(file))})
	w.must(err)
	defer again.Close()
	newWorld(t, c, again, Options{}).wantTotal("t", overall, "", map[kind]int64{acceptedOut: 3})
}

func TestLimits(t *testing.T) {
	each(t, Options{PerDomain: 2, PerAccount: 3}, func(t *testing.T, w *world) {
		w.append(is(event.Accepted, "a", "b", "c"), is(event.Accepted, "d", "a"))
		if got := w.names(1); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("domain 1: %q", got)
		}
		w.wantTotal("a", overall, "", map[kind]int64{acceptedOut: 2})
		// x is the account's third, y its fourth; a it has already.
		w.append(of(2, is(event.Accepted, "x")), of(2, is(event.Accepted, "y")))
		if got := w.names(2); !slices.Equal(got, []string{"x"}) {
			t.Errorf("domain 2: %q", got)
		}
		w.append(of(2, is(event.Accepted, "z", "a")), of(3, is(event.Accepted, "theirs")))
		if got := w.names(2); !slices.Equal(got, []string{"a", "x"}) {
			t.Errorf("domain 2: %q", got)
		}
		d, a, err := w.Limits(t.Context(), 2, "acc")
		if err != nil || d != (Limit{2, 2}) || a != (Limit{3, 3}) {
			t.Errorf("%+v %+v %v", d, a, err)
		}
		// A deleted one makes room.
		w.must(w.Delete(t.Context(), 1, "B"))
		w.append(is(event.Accepted, "e"))
		if got := w.names(1); !slices.Equal(got, []string{"a", "e"}) {
			t.Errorf("domain 1: %q", got)
		}
	})
}

func TestDelete(t *testing.T) {
	each(t, Options{}, func(t *testing.T, w *world) {
		ctx := t.Context()
		w.append(is(event.Accepted, "t"), is(event.Accepted, "u"), of(2, is(event.Accepted, "t")), of(3, is(event.Accepted, "t")))
		w.must(w.Describe(ctx, 1, "t", "mine"))
		w.must(w.Delete(ctx, 1, "T"))
		for name, err := range map[string]error{
			"delete": w.Delete(ctx, 1, "t"), "describe": w.Describe(ctx, 1, "t", ""), "describe all": w.DescribeAll(ctx, "acc", "none", ""),
			"delete all": w.DeleteAll(ctx, "nobody", "t"), "statistics": func() error { _, _, err := w.aggregate(ctx, 1, "t", byDevice); return err }(),
		} {
			if !errs.Is(err, errs.NotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.append(is(event.Delivered, "t")) // of a message sent before
		w.wantTotal("t", overall, "", map[kind]int64{deliveredFirst: 1})
		if tag, err := w.Get(ctx, 1, "t"); err != nil || tag.Description != "" {
			t.Errorf("%+v %v", tag, err)
		}
		w.must(w.DeleteAll(ctx, "acc", "t"))
		if a, b := w.names(1), w.names(2); !slices.Equal(a, []string{"u"}) || b != nil {
			t.Errorf("left: %q %q", a, b)
		}
		w.append(is(event.Accepted, "not counted yet"))
		w.must(w.db.Write(ctx, func(tx *db.Tx) error {
			if _, err := tx.Exec("DELETE FROM domain WHERE id = 1"); err != nil {
				return err
			}
			return w.DeleteDomain(tx, 1)
		}))
		w.append(is(event.Accepted, "too late"))
		w.must(w.Tidy(ctx))
		w.must(w.count(ctx))
		if got := w.rows("tag"); got != 1 { // of domain 3
			t.Errorf("%d tags left", got)
		}
		if got := w.rows("tag_stat"); got != 2 {
			t.Errorf("%d counters left", got)
		}
		if w.gone.Load() {
			t.Error("there seem to be more")
		}
	})
}

func TestPages(t *testing.T) {
	each(t, Options{}, func(t *testing.T, w *world) {
		w.append(is(event.Accepted, "b1", "A", "b3", "B2", "c~"), is(event.Accepted, "%", "b_"))
		for _, tt := range []struct {
			q    Query
			want string
		}{
			{Query{}, "% A b1 B2 b3 b_ c~"},
			{Query{Limit: 2}, "% A"},
			{Query{Limit: 2, Direction: First, Tag: "b1"}, "% A"},
			{Query{Limit: 2, Direction: Next, Tag: "a"}, "b1 B2"},
			{Query{Limit: 2, Direction: Next, Tag: "b"}, "b1 B2"},
			{Query{Limit: 2, Direction: Next, Tag: "C~"}, ""},
			{Query{Limit: 2, Direction: Next}, "% A"},
			{Query{Limit: 2, Direction: Previous, Tag: "B3"}, "b1 B2"},
			{Query{Limit: 2, Direction: Previous, Tag: "%"}, ""},
			{Query{Limit: 2, Direction: Previous}, "b_ c~"},
			{Query{Limit: 2, Direction: Last}, "b_ c~"},
			{Query{Prefix: "B"}, "b1 B2 b3 b_"},
			{Query{Prefix: "b", Direction: Last, Limit: 3}, "B2 b3 b_"},
			{Query{Prefix: "b", Direction: Next, Tag: "a", Limit: 1}, "b1"},
			{Query{Prefix: "b_"}, "b_"},
			{Query{Prefix: "c~"}, "c~"},
			{Query{Prefix: "%"}, "%"},
			{Query{Prefix: "z"}, ""},
		} {
			tt.q.DomainID = 1
			if tt.q.Limit == 0 {
				tt.q.Limit = 100
			}
			list, err := w.List(t.Context(), tt.q)
			w.must(err)
			var got []string
			for _, tag := range list {
				got = append(got, tag.Name)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%+v: %q, want %q", tt.q, s, tt.want)
			}
		}
	})
}

func TestTidy(t *testing.T) {
	each(t, Options{}, func(t *testing.T, w *world) {
		ctx := t.Context()
		old := start
		w.append(is(event.Accepted, "t"))
		w.c.Advance(2 * time.Hour)
		w.append(is(event.Accepted, "t"), is(event.Opened, "t"))
		w.c.Advance(59 * 24 * time.Hour)
		w.append(is(event.Accepted, "t"))
		w.must(w.count(ctx))
		w.must(w.Tidy(ctx))
		if n := w.rows("tag_stat_day"); n != 0 {
			t.Errorf("%d days too early", n)
		}
		hours := func(r Resolution, day time.Time) (out []int64) {
			_, list, err := w.stats(ctx, &statQuery{domainID: 1, tag: "t", resolution: r, start: day, end: day.Add(4 * time.Hour)})
			w.must(err)
			for _, b := range list {
				out = append(out, b.counts.accepted())
			}
			return out
		}
		if got := hours(Hour, old); !slices.Equal(got, []int64{1, 0, 1, 0, 0}) {
			t.Errorf("by the hour: %d", got)
		}
		w.c.Advance(36 * time.Hour)
		w.must(w.Tidy(ctx))
		w.must(w.Tidy(ctx))
		// Accepted in all and by provider; opened by country and device as well.
		if n := w.rows("tag_stat_day"); n != 6 {
			t.Errorf("%d days, want 6", n)
		}
		if got := hours(Hour, old); !slices.Equal(got, []int64{0, 0, 0, 0, 0}) {
			t.Errorf("old ones by the hour: %d", got)
		}
		if got := hours(Day, old); !slices.Equal(got, []int64{2}) {
			t.Errorf("old ones by the day: %d", got)
		}
		if got := hours(Month, old); !slices.Equal(got, []int64{2}) {
			t.Errorf("old ones by the month: %d", got)
		}
		w.wantTotal("t", overall, "", map[kind]int64{acceptedOut: 3, openedAgain: 1})
		_, by, err := w.aggregate(ctx, 1, "t", byProvider)
		w.must(err)
		if got := by["gmail.com"].accepted(); got != 3 {
			t.Errorf("%d by provider", got)
		}
		// An event that comes late is added to its day.
		w.append(with(is(event.Accepted, "t"), func(e *event.Event) { e.Doc.Timestamp = event.Timestamp(old.UnixMicro()) }))
		w.must(w.count(ctx))
		w.must(w.Tidy(ctx))
		if got := hours(Day, old); !slices.Equal(got, []int64{3}) {
			t.Errorf("with the late one: %d", got)
		}
		w.c.Advance(365 * 24 * time.Hour)
		w.must(w.Tidy(ctx))
		w.wantTotal("t", overall, "", map[kind]int64{acceptedOut: 1})
	})
}

// More than one transaction holds.
func TestTidyMany(t *testing.T) {
	each(t, Options{}, func(t *testing.T, w *world) {
		w.append(is(event.Accepted, "t"))
		w.must(w.count(t.Context()))
		const n = 2*tidyRows + 10
		w.must(w.db.Write(t.Context(), func(tx *db.Tx) error {
			for i := range n {
				tx.Stage(addStat, int64(i), int64(0), "", hourOf(start), int64(acceptedOut), int64(1))
				tx.Stage(addStat, int64(i), int64(0), "", hourOf(start)+1, int64(acceptedOut), int64(1))
			}
			return nil
		}))
		w.c.Advance(70 * 24 * time.Hour)
		w.must(w.Tidy(t.Context()))
		if a, b := w.rows("tag_stat"), w.rows("tag_stat_day"); a != 0 || b != n+2 { // and those of t
			t.Errorf("%d and %d rows", a, b)
		}
		w.c.Advance(400 * 24 * time.Hour)
		w.must(w.Tidy(t.Context()))
		if b := w.rows("tag_stat_day"); b != 0 {
			t.Errorf("%d rows", b)
		}
		var tags []string
		for i := range 1500 {
			tags = append(tags, fmt.Sprint("t", i))
		}
		w.append(is(event.Accepted, tags...))
		w.must(w.DeleteAll(t.Context(), "acc", "t7"))
		w.must(w.db.Write(t.Context(), func(tx *db.Tx) error { return w.DeleteDomain(tx, 1) }))
		w.must(w.Tidy(t.Context()))
		if a, b := w.rows("tag"), w.rows("tag_stat"); a != 0 || b != 0 {
			t.Errorf("%d tags with %d counters left", a, b)
		}
	})
}

func TestRun(t *testing.T) {
	each(t, Options{}, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		w.append(is(event.Accepted, "t")) // as if left of an earlier run
		go func() { ended <- w.Run(ctx) }()
		for range 2 {
			for w.rows("tag_delta") > 0 {
				w.c.Advance(time.Second)
			}
			w.append(is(event.Accepted, "t"))
		}
		cancel()
		w.must(<-ended)
		w.wantTotal("t", overall, "", map[kind]int64{acceptedOut: 3})
	})
}
