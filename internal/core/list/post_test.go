package list

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/core/coretest"
	"postroad/internal/core/domain"
	"postroad/internal/core/message"
	"postroad/internal/core/queue"
	"postroad/internal/mail/mime"
)

func fieldsOf(t *testing.T, header string) mime.Fields {
	t.Helper()
	f, _, err := mime.ScanHeader([]byte(header + "\r\n"))
	check(t, err)
	return f
}

func TestAutomatic(t *testing.T) {
	for _, c := range []struct {
		header, sender string
		want           bool
	}{
		{"Subject: s\r\n", "a@b.c", false},
		{"Subject: s\r\n", "", true},
		{"Auto-Submitted: no\r\n", "a@b.c", false},
		{"Auto-Submitted: auto-generated; owner-email=\"x\"\r\n", "a@b.c", false},
		{"auto-submitted: AUTO-REPLIED (vacation)\r\n", "a@b.c", true},
		{"Precedence: Bulk\r\n", "a@b.c", true},
		{"Precedence: junk\r\n", "a@b.c", true},
		{"Precedence: list\r\n", "a@b.c", true},
		{"Precedence: list\r\nX-Postroad-List: x@y.z\r\n", "a@b.c", false},
		{"Auto-Submitted: auto-replied\r\nX-Postroad-List: x@y.z\r\n", "a@b.c", true},
		{"Precedence: first-class\r\n", "a@b.c", false},
	} {
		if got := automatic(fieldsOf(t, c.header), c.sender); got != c.want {
			t.Errorf("%q from %q: %v", c.header, c.sender, got)
		}
	}
}

func TestListID(t *testing.T) {
	for _, c := range []struct{ address, name, want string }{
		{"Devs@Example.com", "", "<devs.example.com>"},
		{"devs@example.com", "Dev, Team", `"Dev, Team" <devs.example.com>`},
		{"a+b=c@b\u00fccher.example", "B\u00fccher", "=?utf-8?q?B=C3=BCcher?= <a-b-c.xn--bcher-kva.example>"},
	} {
		l := &List{Address: c.address, Name: c.name}
		if got := l.id(); !strings.EqualFold(got, c.want) {
			t.Errorf("%q %q: %s, want %s", c.address, c.name, got, c.want)
		}
	}
}

func TestToken(t *testing.T) {
	s, other := &Service{key: []byte("k")}, &Service{key: []byte("l")}
	token := s.token(5, 1<<62)
	if l, m, ok := s.readToken(token); !ok || l != 5 || m != 1<<62 {
		t.Fatal(l, m, ok)
	}
	if _, _, ok := s.readToken(strings.ToUpper(token)); !ok {
		t.Error("a token that lost its case is refused")
	}
	if _, _, ok := other.readToken(token); ok {
		t.Error("a token of another installation is taken")
	}
	for i := range token {
		for _, c := range "0v" {
			bad := token[:i] + string(c) + token[i+1:]
			l, m, ok := s.readToken(bad)
			if ok && (l != 5 || m != 1<<62) {
				t.Errorf("altered at %d: %d %d", i, l, m)
			}
			if ok && i < 50 && bad != token { // the last digits hold bits that mean nothing
				t.Errorf("altered at %d and taken", i)
			}
		}
	}
	for _, bad := range []string{"", "x", token + "0", token[:51], strings.Repeat("z", 52), strings.Repeat("0", 52)} {
		if _, _, ok := s.readToken(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzToken(f *testing.F) {
	s := &Service{key: []byte("k")}
	f.Add(s.token(1, 2))
	f.Add("unsub")
	f.Fuzz(func(t *testing.T, text string) {
		l, m, ok := s.readToken(text)
		if ok && !strings.EqualFold(text[:50], s.token(l, m)[:50]) {
			t.Errorf("%q is taken for %d %d", text, l, m)
		}
	})
}

// A post is one message, and its members get it once each: not those who have
// left, nor those who joined later, nor the list itself.
func TestPost(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		l := w.create(t, "l@ex.com", 3)
		self, err := newCandidate("L@ex.com", nil, nil, nil)
		check(t, err)
		no := false
		left := candidate{address: "left@d.example", subscribed: &no}
		check(t, w.addAll(w.ctx, l, []candidate{self, left}, false))
		m := w.send(t, "L@ex.com", "other@d.example")
		late := candidate{address: "late@d.example"}
		check(t, w.addAll(w.ctx, l, []candidate{late}, false))
		if n := w.count(t, "SELECT COUNT(*) FROM message"); n != 2 || w.count(t, "SELECT COUNT(*) FROM expansion") != 1 {
			t.Fatalf("%d messages", n)
		}
		if strings.Join(m.Meta.Recipients, " ") != "other@d.example" || m.Meta.List != nil {
			t.Errorf("%+v", m.Meta)
		}
		stop := run(t, w.Messages.RunExpansion)
		until(t, "the members", func() bool { return w.count(t, "SELECT COUNT(*) FROM expansion") == 0 })
		stop()
		got := w.recipients(t)
		if len(got) != 4 || got["m000000@d0.example"] != 1 || got["other@d.example"] != 1 {
			t.Errorf("%v", got)
		}
		if n := w.count(t, "SELECT COUNT(*) FROM message"); n != 2 {
			t.Errorf("%d messages", n)
		}
	})
}

// Killed between pages and in the middle of them, by three programs one after
// the other, the last two of them at once: nobody is left out, nobody gets two.
func TestPostSurvives(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		const n = 3000
		l := w.create(t, "l@ex.com", n)
		w.send(t, "l@ex.com")
		pages := 0
		ctx, kill := context.WithCancel(context.Background())
		w.members = func(ctx context.Context, q message.Page) (message.Members, error) {
			if pages++; pages == 2 {
				return message.Members{}, errors.New("the database is away")
			}
			out, err := w.Members(ctx, q)
			if pages == 4 {
				kill()
			}
			return out, err
		}
		check(t, w.Messages.RunExpansion(ctx))
		if some := len(w.recipients(t)); some == 0 || some == n {
			t.Fatalf("%d of %d members when it was killed", some, n)
		}
		// A member who moves is the same member.
		_, err := w.changeMember(w.ctx, "l@ex.com", "m002999@d19.example", candidate{address: "aaa@d.example"})
		check(t, err)
		w.start(t)
		w.members = nil
		first := w.Messages
		stopFirst := run(t, first.RunExpansion)
		w.start(t)
		stopSecond := run(t, w.Messages.RunExpansion)
		until(t, "the members", func() bool { return w.count(t, "SELECT COUNT(*) FROM expansion") == 0 })
		stopFirst()
		stopSecond()
		got := w.recipients(t)
		for a, copies := range got {
			if copies != 1 {
				t.Errorf("%s has %d copies", a, copies)
			}
		}
		if len(got) != n || got["aaa@d.example"] != 1 {
			t.Errorf("%d of %d members of %s", len(got), n, l.Address)
		}
	})
}

// A post stops when the mail of its domain is cancelled, and waits when there is
// enough of it in the queue.
func TestPostWaitsAndEnds(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.create(t, "l@ex.com", 6000)
		w.send(t, "l@ex.com")
		stop := run(t, w.Messages.RunExpansion)
		defer func() { stop() }()
		until(t, "enough in the queue", func() bool { return w.count(t, "SELECT COUNT(*) FROM delivery") > 4500 })
		// A second list is not held up by the first.
		w.create(t, "small@ex.com", 1)
		m := w.send(t, "small@ex.com")
		until(t, "the small list", func() bool {
			return w.count(t, "SELECT COUNT(*) FROM expansion WHERE message_id = ?", m.ID) == 0
		})
		if n := w.count(t, "SELECT COUNT(*) FROM delivery"); n > 5001 {
			t.Errorf("%d in the queue", n)
		}
		check(t, w.db.Write(w.ctx, func(tx *db.Tx) error {
			_, err := w.Messages.CancelDomain(tx, w.dom.ID)
			return err
		}))
		stop()
		stop = func() {}
		if n := w.count(t, "SELECT COUNT(*) FROM expansion") + w.count(t, "SELECT COUNT(*) FROM delivery"); n != 0 {
			t.Errorf("%d left", n)
		}
	})
}

// A post for later goes to those who are members then.
func TestPostForLater(t *testing.T) {
	c := clock.NewFake(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	w := newWorld(t, coretest.SQLite(t, c))
	w.create(t, "l@ex.com", 2)
	w.options.DeliveryTime = c.Now().Add(time.Hour).UnixMicro()
	w.send(t, "l@ex.com")
	stop := run(t, w.Messages.RunExpansion)
	no := false
	_, err := w.changeMember(w.ctx, "l@ex.com", "m000000@d0.example", candidate{subscribed: &no})
	check(t, err)
	c.Advance(59 * time.Minute)
	if n := w.count(t, "SELECT COUNT(*) FROM delivery"); n != 0 {
		t.Errorf("%d deliveries before the time", n)
	}
	c.Advance(2 * time.Minute)
	until(t, "the members", func() bool { return w.count(t, "SELECT COUNT(*) FROM expansion") == 0 })
	stop()
	if got := w.recipients(t); len(got) != 1 || got["m000001@d1.example"] != 1 {
		t.Errorf("%v", got)
	}
}

// A list that is deleted, or whose domain is, leaves nothing behind.
func TestDelete(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.create(t, "a@ex.com", 2500)
		w.create(t, "b@ex.com", 10)
		w.send(t, "a@ex.com")
		_, err := w.Delete(w.ctx, "A@ex.com")
		check(t, err)
		w.create(t, "a@ex.com", 1)
		check(t, w.db.Write(w.ctx, func(tx *db.Tx) error { return w.DeleteDomain(tx, &domain.Domain{ID: w.dom.ID}) }))
		stop, stopPosts := run(t, w.RunUploads), run(t, w.Messages.RunExpansion)
		until(t, "the members to go", func() bool {
			return w.count(t, "SELECT COUNT(*) FROM list")+w.count(t, "SELECT COUNT(*) FROM list_member")+w.count(t, "SELECT COUNT(*) FROM expansion") == 0
		})
		stop()
		stopPosts()
		if n := w.count(t, "SELECT COUNT(*) FROM delivery"); n != 0 {
			t.Errorf("%d deliveries of deleted lists", n)
		}
	})
}

// Lists of another account, and of domains a key is not for, are strangers.
func TestOthersLists(t *testing.T) {
	w := newWorld(t, coretest.SQLite(t, clock.System{}))
	w.create(t, "l@ex.com", 2)
	ctx := w.ctx
	w.ctx = context.Background()
	m := w.send(t, "l@ex.com")
	if m.Meta.List != nil || len(m.Meta.Recipients) != 1 {
		t.Errorf("a stranger posted: %+v", m.Meta)
	}
	w.ctx = ctx
	if m = w.send(t, "l@ex.com"); m.Meta.List == nil {
		t.Error("the account could not post")
	}
	if _, err := w.Get(context.Background(), "l@ex.com"); !errs.Is(err, errs.NotFound) {
		t.Error(err)
	}
}

// drain delivers what the queue hands out, and reports each recipient.
func (w *world) drain(t testing.TB, got func(recipient string)) func(context.Context) error {
	return func(ctx context.Context) error {
		return w.queue.Run(ctx, ctx, func(ctx context.Context, lane *queue.Lane) {
			for {
				list := lane.Take(ctx, 50)
				if len(list) == 0 {
					return
				}
				if err := w.db.Group(context.Background(), func(tx *db.Tx) error {
					for _, d := range list {
						w.queue.Finish(tx, d)
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
				for _, d := range list {
					got(d.Recipient)
				}
			}
		})
	}
}

// large posts to a list of n and returns when the first copy went out and how
// large the heap and the queue were at most.
func large(t testing.TB, w *world, n int) (first, all time.Duration, heap uint64, depth int64) {
	w.create(t, "l@ex.com", n)
	var mu sync.Mutex
	seen := make(map[string]bool, n)
	began, firstAt := time.Now(), atomic.Int64{}
	stop := run(t, w.drain(t, func(a string) {
		firstAt.CompareAndSwap(0, int64(time.Since(began)))
		mu.Lock()
		defer mu.Unlock()
		if seen[a] {
			t.Errorf("%s got two", a)
		}
		seen[a] = true
	}))
	stopPosts := run(t, w.Messages.RunExpansion)
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	began = time.Now()
	w.send(t, "l@ex.com")
	done := func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) == n }
	for tick := time.NewTicker(20 * time.Millisecond); !done(); <-tick.C {
		runtime.ReadMemStats(&now)
		heap = max(heap, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
		depth = max(depth, int64(w.queue.Depth().Held))
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("%d of %d after five minutes", len(seen), n)
		}
	}
	all = time.Since(began)
	stopPosts()
	stop()
	return time.Duration(firstAt.Load()), all, heap, depth
}

// A list that is larger than what may wait in the queue gets through, and never
// has more in it than that.
func TestLargeList(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		first, all, heap, depth := large(t, w, 12_000)
		if depth > 5500 {
			t.Errorf("%d deliveries at a time", depth)
		}
		t.Logf("first copy after %v, all after %v, heap +%d kB, %d deliveries at a time", first, all, heap>>10, depth)
	})
}

func BenchmarkPost(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				w := newWorld(b, coretest.SQLite(b, clock.System{}))
				first, all, heap, depth := large(b, w, n)
				b.ReportMetric(first.Seconds()*1000, "ms-to-first")
				b.ReportMetric(float64(n)/all.Seconds(), "members/s")
				b.ReportMetric(float64(heap)/(1<<20), "MB-heap")
				b.ReportMetric(float64(depth), "queued-at-most")
			}
		})
	}
}
