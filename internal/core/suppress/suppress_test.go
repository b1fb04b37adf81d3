package suppress

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
	"postroad/internal/core/event"
)

var start = time.Date(2026, 3, 26, 12, 59, 15, 0, time.UTC)

func each(t *testing.T, fn func(t *testing.T, s *Service, c *clock.Fake)) {
	t.Helper()
	c := clock.NewFake(start)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) {
		c.Advance(start.Sub(c.Now())) // the engine before has moved it
		fn(t, newService(d, c), c)
	})
}

func newService(d *db.DB, c clock.Clock) *Service {
	return New(d, ids.NewSource(c), slog.New(slog.DiscardHandler))
}

func put(t testing.TB, s *Service, entries ...Entry) {
	t.Helper()
	if err := s.Put(context.Background(), entries); err != nil {
		t.Fatal(err)
	}
}

func code(t testing.TB, s *Service, domainID int64, address string, tags ...string) int {
	t.Helper()
	v, err := s.Check(context.Background(), domainID, address, tags)
	if err != nil {
		t.Fatal(err)
	}
	if v == nil {
		return 0
	}
	if v.Reason == "" || v.Message == "" {
		t.Errorf("verdict without words: %+v", v)
	}
	return v.Code
}

func TestCheck(t *testing.T) {
	each(t, func(t *testing.T, s *Service, _ *clock.Fake) {
		put(t, s,
			Entry{Kind: Bounces, DomainID: 1, Address: "Bounced@Example.com"},
			Entry{Kind: Complaints, DomainID: 1, Address: "angry@example.com"},
			Entry{Kind: Unsubscribes, DomainID: 1, Address: "gone@example.com"},
			Entry{Kind: Unsubscribes, DomainID: 1, Address: "picky@example.com", Tag: "News"},
			Entry{Kind: Unsubscribes, DomainID: 1, Address: "picky@example.com", Tag: "ads"},
			Entry{Kind: Allowlist, DomainID: 1, Address: "friend@example.com"},
			Entry{Kind: Bounces, DomainID: 1, Address: "all@example.com"},
			Entry{Kind: Unsubscribes, DomainID: 1, Address: "all@example.com"},
			Entry{Kind: Complaints, DomainID: 1, Address: "all@example.com"},
			Entry{Kind: Bounces, DomainID: 1, Address: "two@example.com"},
			Entry{Kind: Unsubscribes, DomainID: 1, Address: "two@example.com"},
			Entry{Kind: Bounces, DomainID: 1, Address: "jos\u00e9@m\u00fcnchen.example"},
		)
		tests := []struct {
			domain  int64
			address string
			tags    []string
			want    int
		}{
			{1, "bounced@example.com", nil, 605},
			{1, "BOUNCED@EXAMPLE.COM", []string{"x"}, 605},
			{1, `"bounced"@example.com`, nil, 605},
			{1, "bounced@example.org", nil, 0},
			{1, "xbounced@example.com", nil, 0},
			{2, "bounced@example.com", nil, 0},
			{1, "angry@example.com", nil, 607},
			{1, "gone@example.com", nil, 606},
			{1, "gone@example.com", []string{"receipts"}, 606},
			{1, "picky@example.com", nil, 0},
			{1, "picky@example.com", []string{"receipts"}, 0},
			{1, "picky@example.com", []string{"receipts", "news"}, 606},
			{1, "picky@example.com", []string{"ADS"}, 606},
			{1, "friend@example.com", nil, 0},
			{1, "all@example.com", nil, 607},
			{1, "two@example.com", nil, 606},
			{1, "Jose\u0301@xn--mnchen-3ya.example", nil, 605},
		}
		for _, tt := range tests {
			if got := code(t, s, tt.domain, tt.address, tt.tags...); got != tt.want {
				t.Errorf("domain %d %s %v: %d, want %d", tt.domain, tt.address, tt.tags, got, tt.want)
			}
		}
	})
}

func TestEmptyDomainIsRemembered(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		const a = "a@example.com"
		other := newService(s.db, c) // as another node
		if got := code(t, s, 1, a); got != 0 {
			t.Fatal(got)
		}
		put(t, other, Entry{Kind: Bounces, DomainID: 1, Address: a})
		if got := code(t, s, 1, a); got != 0 {
			t.Errorf("asked again although known to be empty: %d", got)
		}
		if got := code(t, other, 1, a); got != 605 {
			t.Errorf("own addition not seen: %d", got)
		}
		c.Advance(presentFor)
		if got := code(t, s, 1, a); got != 605 {
			t.Errorf("addition of another node not seen in time: %d", got)
		}
		if err := s.Clear(context.Background(), 1, Bounces); err != nil {
			t.Fatal(err)
		}
		if got := code(t, s, 1, a); got != 0 {
			t.Errorf("after clearing: %d", got)
		}
		c.Advance(presentFor)
		if got := code(t, s, 1, a); got != 0 {
			t.Errorf("after clearing: %d", got)
		}
		put(t, s, Entry{Kind: Complaints, DomainID: 1, Address: a})
		if got := code(t, s, 1, a); got != 607 {
			t.Errorf("own addition after empty: %d", got)
		}
	})
}

// An addition between the read and the remembering of a Check must win.
func TestLateReadIsNotRemembered(t *testing.T) {
	c := clock.NewFake(start)
	s := newService(coretest.SQLite(t, c), c)
	before := s.added
	put(t, s, Entry{Kind: Bounces, DomainID: 1, Address: "a@example.com"})
	s.remember(1, presence{false, start}, before)
	if got := code(t, s, 1, "a@example.com"); got != 605 {
		t.Errorf("an old read hides the entry: %d", got)
	}
}

func TestRolledBackAdd(t *testing.T) {
	each(t, func(t *testing.T, s *Service, _ *clock.Fake) {
		failure := fmt.Errorf("no")
		err := s.db.Write(context.Background(), func(tx *db.Tx) error {
			if err := s.Add(tx, Entry{Kind: Bounces, DomainID: 1, Address: "a@example.com"}); err != nil {
				return err
			}
			return failure
		})
		if err != failure {
			t.Fatal(err)
		}
		if got := code(t, s, 1, "a@example.com"); got != 0 {
			t.Error(got)
		}
	})
}

func TestEvent(t *testing.T) {
	status := func(code int, message string) *event.DeliveryStatus {
		return &event.DeliveryStatus{Code: code, Message: message}
	}
	message := &event.Message{Headers: event.Headers{MessageID: "id@example.com"}}
	tests := []struct {
		name string
		doc  event.Doc
		want *Entry
	}{
		{"hard bounce", event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "bounce", Message: message, Recipient: "Joe@there.com",
			DeliveryStatus: status(550, "no such user")}, &Entry{Kind: Bounces, Address: "Joe@there.com", Code: "550", Reason: "no such user", MessageID: "id@example.com"}},
		{"bounce without status", event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "bounce", Recipient: "a@there.com"},
			&Entry{Kind: Bounces, Address: "a@there.com", Code: "550"}},
		{"soft bounce", event.Doc{Event: event.Failed, Severity: event.Temporary, Reason: "bounce", Recipient: "a@there.com", DeliveryStatus: status(450, "later")}, nil},
		{"gave up", event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "old", Recipient: "a@there.com", DeliveryStatus: status(602, "too old")}, nil},
		{"suppressed", event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "suppress-bounce", Recipient: "a@there.com", DeliveryStatus: status(605, "")}, nil},
		{"blocked", event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "espblock", Recipient: "a@there.com", DeliveryStatus: status(554, "")}, nil},
		{"allowed address", event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "bounce", Recipient: "FRIEND@there.com", DeliveryStatus: status(550, "")}, nil},
		{"allowed domain", event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "bounce", Recipient: "x@friends.com", DeliveryStatus: status(550, "")}, nil},
		{"allowed idn domain", event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "bounce", Recipient: "x@xn--mnchen-3ya.example", DeliveryStatus: status(550, "")}, nil},
		{"subdomain of an allowed domain", event.Doc{Event: event.Failed, Severity: event.Permanent, Reason: "bounce", Recipient: "x@sub.friends.com", DeliveryStatus: status(550, "")},
			&Entry{Kind: Bounces, Address: "x@sub.friends.com", Code: "550"}},
		{"complaint", event.Doc{Event: event.Complained, Message: message, Recipient: "a@there.com"}, &Entry{Kind: Complaints, Address: "a@there.com", MessageID: "id@example.com"}},
		{"complaint of an allowed address", event.Doc{Event: event.Complained, Recipient: "friend@there.com"}, &Entry{Kind: Complaints, Address: "friend@there.com"}},
		{"unsubscribe", event.Doc{Event: event.Unsubscribed, Recipient: "a@there.com"}, &Entry{Kind: Unsubscribes, Address: "a@there.com"}},
		{"test mode", event.Doc{Event: event.Complained, Recipient: "a@there.com", Flags: &event.Flags{IsTestMode: true}}, nil},
		{"no recipient", event.Doc{Event: event.Complained}, nil},
		{"delivered", event.Doc{Event: event.Delivered, Recipient: "a@there.com"}, nil},
		{"opened", event.Doc{Event: event.Opened, Recipient: "a@there.com"}, nil},
	}
	each(t, func(t *testing.T, s *Service, _ *clock.Fake) {
		ctx := context.Background()
		for i, tt := range tests {
			dom := int64(i + 1)
			put(t, s, Entry{Kind: Allowlist, DomainID: dom, Address: "Friend@there.com"}, Entry{Kind: Allowlist, DomainID: dom, Address: "Friends.com"},
				Entry{Kind: Allowlist, DomainID: dom, Address: "m\u00fcnchen.example"})
			// Twice, in one shared transaction: an event may repeat.
			if err := s.db.Group(ctx, func(tx *db.Tx) error {
				for range 2 {
					if err := s.Event(tx, &event.Event{DomainID: dom, Doc: tt.doc}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			var got []Item
			for _, k := range []Kind{Bounces, Complaints, Unsubscribes} {
				items, err := s.List(ctx, Query{DomainID: dom, Kind: k, Limit: 10})
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, items...)
			}
			if tt.want == nil {
				if len(got) != 0 {
					t.Errorf("%s: listed as %+v", tt.name, got)
				}
				continue
			}
			want := *tt.want
			want.Cause = causeOf(&event.Event{Doc: tt.doc})
			want.DomainID, want.CreatedAt = dom, start.UnixMicro()
			if len(got) != 1 || got[0].Entry != want {
				t.Errorf("%s: %+v, want %+v", tt.name, got, want)
			}
			if want.Kind == Unsubscribes && len(got) == 1 && !slices.Equal(got[0].Tags, []string{"*"}) {
				t.Errorf("%s: tags %q", tt.name, got[0].Tags)
			}
		}
	})
}

func TestPutReplaces(t *testing.T) {
	each(t, func(t *testing.T, s *Service, c *clock.Fake) {
		ctx := context.Background()
		put(t, s, Entry{Kind: Bounces, DomainID: 1, Address: "a@example.com", Code: "550", MessageID: "m"})
		c.Advance(time.Hour)
		put(t, s, Entry{Kind: Bounces, DomainID: 1, Address: "A@example.com", Code: "551"}, Entry{Kind: Bounces, DomainID: 1, Address: "a@Example.com", Code: "552"})
		got, err := s.Get(ctx, 1, Bounces, "a@EXAMPLE.com")
		if err != nil {
			t.Fatal(err)
		}
		want := Entry{Kind: Bounces, DomainID: 1, Address: "a@Example.com", Code: "552", CreatedAt: start.Add(time.Hour).UnixMicro()}
		if got.Entry != want {
			t.Errorf("%+v, want %+v", got.Entry, want)
		}
	})
}

// More rows than one statement writes and one transaction of Clear removes.
func TestMany(t *testing.T) {
	each(t, func(t *testing.T, s *Service, _ *clock.Fake) {
		ctx := context.Background()
		const n = clearRows + insertRows + 3
		entries := make([]Entry, n)
		for i := range entries {
			entries[i] = Entry{Kind: Bounces, DomainID: 1, Address: fmt.Sprintf("u%05d@example.com", n-i)}
		}
		put(t, s, entries...)
		put(t, s, Entry{Kind: Bounces, DomainID: 2, Address: "a@example.com"}, Entry{Kind: Complaints, DomainID: 1, Address: "a@example.com"})
		items, err := s.List(ctx, Query{DomainID: 1, Kind: Bounces, Limit: 2 * n})
		if err != nil || len(items) != n {
			t.Fatalf("%d entries, %v", len(items), err)
		}
		if !slices.IsSortedFunc(items, func(a, b Item) int { return compareRows(row{lookup: a.Address}, row{lookup: b.Address}) }) {
			t.Error("not in order")
		}
		if err := s.Clear(ctx, 1, Bounces); err != nil {
			t.Fatal(err)
		}
		for want, q := range map[int]Query{0: {DomainID: 1, Kind: Bounces, Limit: 9}, 1: {DomainID: 2, Kind: Bounces, Limit: 9}} {
			if items, err := s.List(ctx, q); err != nil || len(items) != want {
				t.Errorf("%+v: %d entries, %v", q, len(items), err)
			}
		}
		if got := code(t, s, 1, "a@example.com"); got != 607 {
			t.Errorf("another list was cleared too: %d", got)
		}
		if err := s.db.Write(ctx, func(tx *db.Tx) error { return s.DeleteDomain(tx, 1) }); err != nil {
			t.Fatal(err)
		}
		if a, b := code(t, s, 1, "a@example.com"), code(t, s, 2, "a@example.com"); a != 0 || b != 605 {
			t.Errorf("after the domain is gone: %d and %d", a, b)
		}
	})
}

// BenchmarkCheck asks for addresses of a domain with a million entries, half of
// them listed.
func BenchmarkCheck(b *testing.B) {
	s := newService(coretest.SQLite(b, clock.System{}), clock.System{})
	const n = 1_000_000
	entries := make([]Entry, 0, 20_000)
	for i := range n {
		entries = append(entries, Entry{Kind: []Kind{Bounces, Complaints, Unsubscribes}[i%3], DomainID: 1, Address: benchAddress(i)})
		if len(entries) == cap(entries) {
			put(b, s, entries...)
			entries = entries[:0]
		}
	}
	took := make([]time.Duration, 0, 1<<20)
	tags := []string{"receipts"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i * 7919 % (2 * n)
		began := time.Now()
		v, err := s.Check(context.Background(), 1, benchAddress(at), tags)
		took = append(took, time.Since(began))
		if err != nil || (v != nil) != (at < n) {
			b.Fatalf("%d: %v %v", at, v, err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "median-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

// benchAddress spreads the numbers over the order of addresses.
func benchAddress(i int) string { return fmt.Sprintf("%08x@example.com", uint32(i)*2654435761) }
