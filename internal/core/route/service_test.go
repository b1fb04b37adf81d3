package route

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/ids"
	"postroad/internal/core/coretest"
)

var epoch = time.Date(2026, 3, 26, 12, 0, 0, 0, time.UTC)

const acc = "acc1"

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newService(d *db.DB, o Options) *Service {
	return New(d, ids.NewSource(d.Clock()), quiet(), o)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add creates a route with the description as its action's mark.
func add(t testing.TB, s *Service, priority int64, name, expression string, actions ...string) *Route {
	t.Helper()
	r := &Route{AccountID: acc, Priority: priority, Description: name, Expression: expression, Actions: actions}
	must(t, s.create(t.Context(), r))
	return r
}

// matching are the descriptions of the routes that match.
func matching(t testing.TB, s *Service, recipient string, header ...string) string {
	t.Helper()
	list, err := s.Match(t.Context(), acc, recipient, message(t, header...))
	must(t, err)
	var names []string
	for _, m := range list {
		names = append(names, m.Route.Description)
	}
	return strings.Join(names, " ")
}

func could(t testing.TB, s *Service, recipient string) bool {
	t.Helper()
	ok, err := s.CouldMatch(t.Context(), acc, recipient)
	must(t, err)
	return ok
}

func each(t *testing.T, fn func(t *testing.T, d *db.DB, c *clock.Fake)) {
	c := clock.NewFake(epoch)
	coretest.Each(t, c, func(t *testing.T, d *db.DB) { fn(t, d, c) })
}

func TestMatchOrder(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *clock.Fake) {
		s := newService(d, Options{})
		add(t, s, 5, "five", `match_recipient("a@")`)
		add(t, s, 0, "first", `match_recipient("a@")`)
		add(t, s, 0, "second", `match_header("subject", "x")`, `forward("http://x.example/\g<0>")`)
		add(t, s, -1, "minus", `match_recipient("b@")`, "stop()")
		add(t, s, 9, "rest", `catch_all()`)
		must(t, s.create(t.Context(), &Route{AccountID: "other", Expression: "catch_all()"}))
		for _, tt := range []struct{ rcpt, subject, want string }{
			{"a@example.com", "x", "first second five"}, {"a@example.com", "", "first five"}, {"b@example.com", "x", "minus"},
			{"c@example.com", "x", "second"}, {"c@example.com", "", "rest"},
		} {
			if got := matching(t, s, tt.rcpt, "Subject: "+tt.subject); got != tt.want {
				t.Errorf("%s %q: %s, want %s", tt.rcpt, tt.subject, got, tt.want)
			}
		}
		if ok, err := s.CouldMatch(t.Context(), "nobody", "a@example.com"); ok || err != nil {
			t.Errorf("an account without routes: %v, %v", ok, err)
		}
		list, err := s.Match(t.Context(), acc, "c@example.com", message(t, "Subject: x"))
		if err != nil || len(list) != 1 || list[0].Actions[0].URL != "http://x.example/x" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestCouldMatch(t *testing.T) {
	s := newService(coretest.SQLite(t, clock.NewFake(epoch)), Options{})
	add(t, s, 0, "a", `match_recipient("a@") and not match_header("subject", "x")`)
	if !could(t, s, "a@example.com") || could(t, s, "b@example.com") {
		t.Error("what depends on the header is not told from what the recipient decides")
	}
	add(t, s, 1, "all", `catch_all()`)
	if !could(t, s, "b@example.com") {
		t.Error("catch_all() takes no mail")
	}
}

// A change is seen at once by the service that makes it and after cacheTTL by
// others, whatever kind of change it is.
func TestChangesAreSeen(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, c *clock.Fake) {
		here, there := newService(d, Options{}), newService(d, Options{})
		var r *Route
		steps := []struct {
			name, want string
			do         func()
		}{
			{"nothing", "", func() {}},
			{"create", "one", func() { r = add(t, here, 0, "one", `match_recipient("a@")`) }},
			{"change", "two", func() {
				_, err := here.update(t.Context(), acc, r.ID, func(r *Route) { r.Description = "two" })
				must(t, err)
			}},
			{"replace", "three", func() {
				must(t, here.remove(t.Context(), acc, r.ID))
				r = add(t, here, 0, "three", `match_recipient("a@")`)
			}},
			{"delete", "", func() { must(t, here.remove(t.Context(), acc, r.ID)) }},
		}
		before := ""
		for _, step := range steps {
			step.do()
			if got := matching(t, here, "a@example.com"); got != step.want {
				t.Errorf("%s, here: %q, want %q", step.name, got, step.want)
			}
			if got := matching(t, there, "a@example.com"); got != before {
				t.Errorf("%s, there at once: %q: the test does not see the cache", step.name, got)
			}
			c.Advance(cacheTTL)
			if got := matching(t, there, "a@example.com"); got != step.want {
				t.Errorf("%s, there: %q, want %q", step.name, got, step.want)
			}
			before = step.want
		}
	})
}

// What did not change is not read again.
func TestUnchangedRoutesStayCompiled(t *testing.T) {
	c := clock.NewFake(epoch)
	s := newService(coretest.SQLite(t, c), Options{})
	add(t, s, 0, "one", `match_recipient("a@")`)
	first, err := s.rulesOf(t.Context(), acc)
	must(t, err)
	c.Advance(2 * cacheTTL)
	again, err := s.rulesOf(t.Context(), acc)
	if must(t, err); again != first {
		t.Error("compiled again without a change")
	}
}

func TestUpdate(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *clock.Fake) {
		s := newService(d, Options{})
		r := add(t, s, 3, "d", `match_recipient("(.*)@")`, `forward("http://x.example/\1")`)
		// The action needs the group.
		_, err := s.update(t.Context(), acc, r.ID, func(r *Route) { r.Expression = "catch_all()" })
		if !errs.Is(err, errs.Invalid) {
			t.Errorf("an action loses its group: %v", err)
		}
		if _, err := s.update(t.Context(), "other", r.ID, func(*Route) {}); !errs.Is(err, errs.NotFound) {
			t.Errorf("another account: %v", err)
		}
		// Two changes at once: both are kept.
		var wg sync.WaitGroup
		for _, fn := range []func(*Route){func(r *Route) { r.Priority = 8 }, func(r *Route) { r.Description = "e" }} {
			wg.Go(func() {
				if _, err := s.update(t.Context(), acc, r.ID, fn); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got, err := s.get(t.Context(), acc, r.ID)
		if must(t, err); got.Priority != 8 || got.Description != "e" || !got.CreatedAt.Equal(epoch) || got.Actions[0] != r.Actions[0] {
			t.Errorf("%+v", got)
		}
	})
}

func TestLimits(t *testing.T) {
	each(t, func(t *testing.T, d *db.DB, _ *clock.Fake) {
		s := newService(d, Options{MaxRoutes: 2})
		add(t, s, 0, "a", "catch_all()")
		var wg sync.WaitGroup
		refused := make(chan error, 4)
		for range 4 {
			wg.Go(func() {
				if err := s.create(t.Context(), &Route{AccountID: acc, Expression: "catch_all()"}); err != nil {
					refused <- err
				}
			})
		}
		wg.Wait()
		if len(refused) != 3 {
			t.Fatalf("%d of 4 refused where there was room for one", len(refused))
		}
		if err := <-refused; err.Error() != "Routes quota (2) is exceeded for a free plan" {
			t.Error(err)
		}
		must(t, s.create(t.Context(), &Route{AccountID: "other", Expression: "catch_all()"}))
	})
}

func TestSandboxLimit(t *testing.T) {
	s := newService(coretest.SQLite(t, clock.NewFake(epoch)), Options{SandboxRoutes: 1,
		Sandbox: func(_ context.Context, domain string) (bool, error) { return domain == "sandbox1.example", nil }})
	add(t, s, 0, "one", `match_recipient(".*")`)
	add(t, s, 1, "two", `match_recipient(".*")`)
	for rcpt, want := range map[string]string{"a@sandbox1.example": "one", "a@example.com": "one two"} {
		if got := matching(t, s, rcpt); got != want {
			t.Errorf("%s: %s, want %s", rcpt, got, want)
		}
	}
}

// The patterns of an account have a bound together, because they are kept in
// memory.
func TestProgramsAreBounded(t *testing.T) {
	s := newService(coretest.SQLite(t, clock.NewFake(epoch)), Options{})
	big := `match_recipient("` + strings.Repeat("a{980}", 5) + `")`
	e := parsed(t, big)
	for i := 0; ; i++ {
		err := s.create(t.Context(), &Route{AccountID: acc, Expression: big})
		if errs.Is(err, errs.Invalid) {
			if full := maxPrograms / e.size; i != full {
				t.Errorf("refused after %d routes, want %d", i, full)
			}
			return
		}
		must(t, err)
	}
}

func TestURLsAreChecked(t *testing.T) {
	var seen []string
	s := newService(coretest.SQLite(t, clock.NewFake(epoch)), Options{CheckURL: func(_ context.Context, u string) error {
		seen = append(seen, u)
		if strings.Contains(u, "internal") {
			return errs.New(errs.Invalid, "not there")
		}
		return nil
	}})
	add(t, s, 0, "ok", `match_recipient("(.*)")`, `forward("a@b.example, http://x.example/\1")`, `store(notify="http://y.example/")`)
	if got := fmt.Sprint(seen); got != "[http://x.example/x http://y.example/]" {
		t.Error(got)
	}
	err := s.create(t.Context(), &Route{AccountID: acc, Expression: "catch_all()", Actions: []string{`store("http://internal.example/")`}})
	if !errs.Is(err, errs.Invalid) {
		t.Error(err)
	}
}

// A route this program cannot compile does not take the others with it.
func TestUnusableRouteIsLeftOut(t *testing.T) {
	d := coretest.SQLite(t, clock.NewFake(epoch))
	s := newService(d, Options{})
	r := add(t, s, 0, "good", "catch_all()")
	bad := add(t, s, -1, "bad", "catch_all()")
	must(t, d.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE route SET expression = 'nonsense', revision = revision + 1 WHERE id = ?", bad.row)
		return err
	}))
	if got := matching(t, newService(d, Options{}), "a@example.com"); got != r.Description {
		t.Errorf("%q", got)
	}
}

// When time is up the answer is an error and no shorter list.
func TestMatchStops(t *testing.T) {
	s := newService(coretest.SQLite(t, clock.NewFake(epoch)), Options{})
	add(t, s, 0, "one", `match_recipient(".*")`)
	matching(t, s, "a@example.com") // reads the routes
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if list, err := s.Match(ctx, acc, "a@example.com", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", list, err)
	}
	if ok, err := s.CouldMatch(ctx, acc, "a@example.com"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", ok, err)
	}
}
