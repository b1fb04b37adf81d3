package peer_test

import (
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postroad/internal/core/peer"
	"postroad/internal/mail/tlspolicy"
)

const week = "604800"

func TestPolicyIsFetchedOnceAndKept(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.publish("a.example", "1", text("enforce", week, "mx.a.example", "*.b.example"))
		for _, name := range []string{"a.example", "A.Example."} {
			p := w.policy(name)
			if p.Domain != "a.example" || p.ID != "1" || p.Mode != tlspolicy.Enforce || len(p.MX) != 2 || p.Expires.Sub(p.Fetched) != 7*24*time.Hour {
				t.Errorf("%+v", p)
			}
		}
		if n := w.fetched("a.example"); n != 1 {
			t.Errorf("fetched %d times", n)
		}
		first := w.policy("a.example")
		w.zone.Fail("_mta-sts.a.example", dns.RcodeServerFailure)
		w.publish("b.example", "1", nil)
		w.restart()
		p := w.policy("a.example")
		if p.Identity() != first.Identity() || !p.Expires.Equal(first.Expires) || !p.Fetched.Equal(first.Fetched) || w.fetched("a.example") != 1 {
			t.Errorf("after a restart: %+v, fetched %d times", p, w.fetched("a.example"))
		}
	})
}

func TestNames(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.publish("xn--bcher-kva.example", "1", text("enforce", week, "*.b\u00fccher.example"))
		p := w.policy("B\u00fccher.example")
		if p.Domain != "xn--bcher-kva.example" || !p.Match("MX.b\u00fccher.example.") || !p.Match("mx.xn--bcher-kva.example") {
			t.Errorf("%+v", p)
		}
		for _, domain := range []string{"[192.0.2.1]", "[IPv6:2001:db8::1]", "", "a b", "a..b", "x/../y", strings.Repeat("x.", 200)} {
			if p, err := w.Policy(w.ctx(), domain); !errors.Is(err, peer.ErrNoPolicy) {
				t.Errorf("%q: %+v, %v", domain, p, err)
			}
		}
	})
}

// TestNoPolicy has every way a domain can be without a policy, what a report says
// of it, and that it is not asked again at once.
func TestNoPolicy(t *testing.T) {
	good := text("enforce", week, "mx.x.example")
	for name, tt := range map[string]struct {
		arrange func(w *world)
		want    tlspolicy.ResultType
		text    string
		absent  bool // believed for longer
	}{
		"no record":    {func(w *world) { w.zone.Delete(t, "_mta-sts.x.example", "TXT") }, "", "no MTA-STS policy", true},
		"other record": {func(w *world) { w.zone.Set(t, "_mta-sts.x.example", "TXT", "v=spf1 -all") }, "", "no MTA-STS policy", true},
		"two records": {func(w *world) { w.zone.Set(t, "_mta-sts.x.example", "TXT", "v=STSv1; id=1;", "v=STSv1; id=2;") },
			tlspolicy.STSPolicyInvalid, "more than one", false},
		"broken record": {func(w *world) { w.zone.Set(t, "_mta-sts.x.example", "TXT", "v=STSv1; id=") }, tlspolicy.STSPolicyInvalid, "malformed", false},
		"DNS fails":     {func(w *world) { w.zone.Fail("_mta-sts.x.example", dns.RcodeServerFailure) }, "", "SERVFAIL", false},
		"no policy host": {func(w *world) { w.zone.Delete(t, "mta-sts.x.example", "A") },
			tlspolicy.STSPolicyFetchError, "no such name", false},
		"nobody listens": {func(w *world) { w.o.PolicyPort = "1"; w.restart() }, tlspolicy.STSPolicyFetchError, "refused", false},
		"private address": {func(w *world) { w.o.HTTP.AllowPrivate = false; w.restart() },
			tlspolicy.STSPolicyFetchError, "which is not allowed", false},
		"certificate of another": {func(w *world) { w.certs["mta-sts.x.example"] = w.ca.issue(t, names("x.example", "mx.x.example")) },
			tlspolicy.STSWebPKIInvalid, "certificate", false},
		"certificate of nobody": {func(w *world) { w.certs["mta-sts.x.example"] = newAuthority(t).issue(t, names("mta-sts.x.example")) },
			tlspolicy.STSWebPKIInvalid, "certificate", false},
		"certificate expired": {func(w *world) {
			w.certs["mta-sts.x.example"] = w.ca.issue(t, func(c *x509.Certificate) {
				c.DNSNames, c.NotAfter = []string{"mta-sts.x.example"}, time.Now().Add(-time.Minute)
			})
		}, tlspolicy.STSWebPKIInvalid, "expired", false},
		"404": {func(w *world) { w.publish("x.example", "1", http.NotFound) }, tlspolicy.STSPolicyFetchError, "status 404", false},
		"201": {func(w *world) {
			w.publish("x.example", "1", func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(201); good(rw, r) })
		}, tlspolicy.STSPolicyFetchError, "status 201", false},
		"redirect": {func(w *world) {
			w.publish("y.example", "1", good)
			w.publish("x.example", "1", http.RedirectHandler("https://mta-sts.y.example:"+w.port+"/.well-known/mta-sts.txt", http.StatusMovedPermanently).ServeHTTP)
		}, tlspolicy.STSPolicyFetchError, "status 301", false},
		"not a policy": {func(w *world) {
			w.publish("x.example", "1", func(rw http.ResponseWriter, r *http.Request) { rw.Write([]byte("<html>welcome")) })
		}, tlspolicy.STSPolicyInvalid, "malformed policy", false},
		"endless": {func(w *world) {
			w.publish("x.example", "1", func(rw http.ResponseWriter, r *http.Request) {
				good(rw, r)
				for line := []byte(strings.Repeat("x: y\n", 1000)); ; {
					if _, err := rw.Write(line); err != nil {
						return
					}
				}
			})
		}, tlspolicy.STSPolicyInvalid, "longer than", false},
		"breaks off": {func(w *world) {
			w.publish("x.example", "1", func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Length", "1000")
				good(rw, r)
				panic(http.ErrAbortHandler)
			})
		}, tlspolicy.STSPolicyFetchError, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.publish("x.example", "1", good)
				tt.arrange(w)
				_, err := w.Policy(w.ctx(), "x.example")
				var none *peer.NoPolicyError
				if !errors.As(err, &none) || !errors.Is(err, peer.ErrNoPolicy) || none.Result != tt.want || !strings.Contains(err.Error(), tt.text) {
					t.Fatalf("%v; want %q, %q", err, tt.want, tt.text)
				}
				asked := w.zone.Queries(t, "_mta-sts.x.example", "TXT")
				w.clock.Advance(4 * time.Minute)
				if _, err := w.Policy(w.ctx(), "x.example"); !errors.Is(err, peer.ErrNoPolicy) || w.zone.Queries(t, "_mta-sts.x.example", "TXT") != asked {
					t.Errorf("asked again within minutes: %v", err)
				}
				w.clock.Advance(2 * time.Minute)
				if tt.absent {
					w.clock.Advance(30 * time.Minute)
				}
				// All is well now.
				w.zone.Fail("_mta-sts.x.example", dns.RcodeSuccess)
				delete(w.certs, "mta-sts.x.example")
				w.publish("x.example", "2", good)
				if name == "nobody listens" || name == "private address" {
					return // these are of the service, not of the domain
				}
				if p, err := w.Policy(w.ctx(), "x.example"); err != nil || p.ID != "2" {
					t.Errorf("once it is there: %+v, %v", p, err)
				}
			})
		})
	}
}

func TestContentTypeIsLeftOpen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i, kind := range []string{"text/plain; charset=utf-8", "text/html", "application/octet-stream", "x"} {
			domain := string(rune('a'+i)) + ".example"
			w.publish(domain, "1", func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", kind)
				text("enforce", week, "mx.example")(rw, r)
			})
			if !w.policy(domain).Enforced() {
				t.Errorf("%s is not taken", kind)
			}
		}
	})
}

// TestOneFetchForManyCallers: while a policy host is slow all callers wait for the
// same request.
func TestOneFetchForManyCallers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		release, begun := make(chan struct{}), make(chan struct{}, 100)
		w.publish("slow.example", "1", func(rw http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			<-release
			text("enforce", week, "mx.slow.example")(rw, r)
		})
		var wg, calling sync.WaitGroup
		for range 50 {
			calling.Add(1)
			wg.Go(func() {
				calling.Done()
				if p, err := w.Policy(w.ctx(), "slow.example"); err != nil || !p.Enforced() {
					t.Errorf("%+v, %v", p, err)
				}
			})
		}
		<-begun
		calling.Wait()
		close(release)
		wg.Wait()
		if n := w.fetched("slow.example"); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestWaitIsBounded: a policy host that says nothing holds up mail once, for the
// bound, and its policy counts when it arrives after all.
func TestWaitIsBounded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		// Far less than what follows from it, so that moving the clock until the
		// wait is seen to end does not move it beyond that.
		w.o.Wait = 10 * time.Millisecond
		w.restart()
		release, begun := make(chan struct{}), make(chan struct{}, 1)
		w.publish("slow.example", "1", func(rw http.ResponseWriter, r *http.Request) {
			begun <- struct{}{}
			<-release
			text("enforce", week, "mx.slow.example")(rw, r)
		})
		first := make(chan error, 1)
		go func() {
			_, err := w.Policy(w.ctx(), "slow.example")
			first <- err
		}()
		<-begun
		var err error
		until(t, "the end of the wait", func() bool {
			w.clock.Advance(time.Millisecond)
			select {
			case err = <-first:
				return true
			default:
				return false
			}
		})
		var none *peer.NoPolicyError
		if !errors.As(err, &none) || none.Result != tlspolicy.STSPolicyFetchError {
			t.Errorf("after the wait: %v", err)
		}
		// The clock stands still now: whoever waited would wait for ever.
		if _, err := w.Policy(w.ctx(), "slow.example"); !errors.Is(err, peer.ErrNoPolicy) {
			t.Errorf("the next caller: %v", err)
		}
		close(release)
		until(t, "the policy", func() bool {
			p, err := w.Policy(w.ctx(), "slow.example")
			return err == nil && p.Enforced()
		})
		if n := w.fetched("slow.example"); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestPolicyIsNotGivenUp: once fetched a policy holds for its age, though the
// record goes, the policy host fails, and the id changes.
func TestPolicyIsNotGivenUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, breakIt := range map[string]func(domain string){
			"record.example": func(d string) { w.zone.Delete(t, "_mta-sts."+d, "TXT") },
			"dns.example":    func(d string) { w.zone.Fail("_mta-sts."+d, dns.RcodeServerFailure) },
			"host.example":   func(d string) { w.publish(d, "2", http.NotFound) },
			"bad.example":    func(d string) { w.publish(d, "2", text("what", week, "mx")) },
		} {
			w.publish(name, "1", text("enforce", "86400", "mx."+name))
			w.policy(name)
			breakIt(name)
			for range 80 { // some 21 hours
				w.clock.Advance(16 * time.Minute)
				if p := w.policy(name); !p.Enforced() || p.ID != "1" {
					t.Fatalf("%s: %+v", name, p)
				}
				w.Tick(w.ctx())
			}
			w.restart()
			if p := w.policy(name); !p.Enforced() {
				t.Errorf("%s after a restart: %+v", name, p)
			}
			w.clock.Advance(4 * time.Hour)
			if p, err := w.Policy(w.ctx(), name); !errors.Is(err, peer.ErrNoPolicy) {
				t.Errorf("%s after its age: %+v, %v", name, p, err)
			}
			w.zone.Fail("_mta-sts."+name, dns.RcodeSuccess)
		}
	})
}

// TestChangeIsNoticed: a new id brings the new policy, within the time between two
// checks and without holding anybody up.
func TestChangeIsNoticed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.publish("x.example", "1", text("enforce", week, "old.x.example"))
		old := w.policy("x.example")
		w.publish("x.example", "1", text("enforce", week, "new.x.example"))
		w.clock.Advance(20 * time.Minute)
		w.policy("x.example")
		w.Tick(w.ctx())
		if p := w.policy("x.example"); p.Identity() != old.Identity() || w.fetched("x.example") != 1 {
			t.Errorf("the same id brought %+v", p)
		}
		w.publish("x.example", "2", text("enforce", week, "new.x.example"))
		w.policy("x.example")
		w.Tick(w.ctx())
		if p := w.policy("x.example"); p.ID != "1" {
			t.Errorf("checked too soon: %+v", p)
		}
		w.clock.Advance(16 * time.Minute)
		if p := w.policy("x.example"); p.ID != "1" {
			t.Errorf("a caller waited for the check: %+v", p)
		}
		w.Tick(w.ctx())
		if p := w.policy("x.example"); p.ID != "2" || p.Match("old.x.example") || !p.Match("new.x.example") || p.Identity() == old.Identity() {
			t.Errorf("%+v", p)
		}
		w.publish("x.example", "3", text("none", week))
		w.clock.Advance(16 * time.Minute)
		w.policy("x.example")
		w.Tick(w.ctx())
		w.restart() // what was stored says so, too
		if p := w.policy("x.example"); p.Enforced() || p.Mode != tlspolicy.None || p.Identity() != "" {
			t.Errorf("taken back: %+v", p)
		}
	})
}

func TestRecheck(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.publish("x.example", "1", text("enforce", week, "old.x.example"))
		w.policy("x.example")
		w.publish("x.example", "2", text("enforce", week, "new.x.example"))
		again := func() string {
			w.Recheck("X.example")
			w.Recheck("unknown.example")
			w.policy("x.example")
			w.Checks()
			return w.policy("x.example").ID
		}
		if id := again(); id != "1" {
			t.Errorf("checked a moment after the last check: %s", id)
		}
		w.clock.Advance(6 * time.Minute)
		if id := again(); id != "2" {
			t.Errorf("not checked: %s", id)
		}
	})
}

// TestRefresh: a policy in use is fetched anew every day and so does not end; one
// that is not used is left alone, and removed when its time is over.
func TestRefresh(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.publish("used.example", "1", text("enforce", week, "mx.used.example"))
		w.publish("idle.example", "1", text("enforce", "31557600", "mx.idle.example"))
		first := w.policy("used.example")
		w.policy("idle.example")
		w.Tick(w.ctx())
		for range 40 {
			w.clock.Advance(23 * time.Hour)
			w.policy("used.example")
			w.Tick(w.ctx())
			w.clock.Advance(2 * time.Hour)
			w.Tick(w.ctx())
		}
		if p := w.policy("used.example"); !p.Expires.After(first.Expires.Add(30*24*time.Hour)) || w.fetched("used.example") < 40 {
			t.Errorf("fetched %d times, expires %v", w.fetched("used.example"), p.Expires)
		}
		if n := w.fetched("idle.example"); n < 29 || n > 33 {
			t.Errorf("the idle one was fetched %d times, want 30 days", n)
		}
		w.publish("used.example", "1", http.NotFound)
		before := w.fetched("used.example")
		for range 12 * 6 {
			w.clock.Advance(10 * time.Minute)
			w.Tick(w.ctx())
		}
		w.clock.Advance(12 * time.Hour)
		w.Tick(w.ctx())
		for range 3 * 6 {
			w.clock.Advance(10 * time.Minute)
			w.Tick(w.ctx())
		}
		if n := w.fetched("used.example") - before; n < 2 || n > 16 {
			t.Errorf("a failing host was asked %d times in 27 hours", n)
		}
	})
}

// TestShortAge: a policy without age is kept for minutes, so that a domain cannot
// have it fetched for each message.
func TestShortAge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.publish("x.example", "1", text("enforce", "0", "mx.x.example"))
		for range 10 {
			w.policy("x.example")
		}
		w.clock.Advance(6 * time.Minute)
		w.policy("x.example")
		if n := w.fetched("x.example"); n != 2 {
			t.Errorf("fetched %d times", n)
		}
	})
}

// TestOwnTrouble: when the store fails, or the program ends, it is not known
// whether there is a policy, and mail must not go on as if there were none.
func TestOwnTrouble(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.publish("x.example", "1", text("enforce", week, "mx.x.example"))
		w.policy("x.example")
		run(t, w)()
		if p := w.policy("x.example"); !p.Enforced() {
			t.Errorf("%+v", p)
		}
		if p, err := w.Policy(w.ctx(), "y.example"); err == nil || errors.Is(err, peer.ErrNoPolicy) {
			t.Errorf("after the end: %+v, %v", p, err)
		}
		w.restart()
		if err := w.db.Close(); err != nil {
			t.Fatal(err)
		}
		if p, err := w.Policy(w.ctx(), "x.example"); err == nil || errors.Is(err, peer.ErrNoPolicy) {
			t.Errorf("without a store: %+v, %v", p, err)
		}
	})
}

func TestIdentity(t *testing.T) {
	of := func(mode tlspolicy.Mode, mx ...string) string {
		return (&peer.Policy{STS: tlspolicy.STS{Mode: mode, MX: mx}}).Identity()
	}
	a := of(tlspolicy.Enforce, "a", "b")
	if len(a) != 16 || a != of(tlspolicy.Enforce, "b", "a", "b") || a != (&peer.Policy{Domain: "x", ID: "7", STS: tlspolicy.STS{Mode: tlspolicy.Enforce, MX: []string{"a", "b"}, MaxAge: 9}}).Identity() {
		t.Errorf("%q is not one of the hosts alone", a)
	}
	for _, other := range []string{of(tlspolicy.Enforce, "a"), of(tlspolicy.Enforce, "a", "c"), of(tlspolicy.Enforce, "*.a", "b"), of(tlspolicy.Testing, "a", "b")} {
		if a == other {
			t.Errorf("%q twice", a)
		}
	}
	if of(tlspolicy.Testing, "a") != "" || of(tlspolicy.None) != "" || (*peer.Policy)(nil).Identity() != "" {
		t.Error("a policy that forbids nothing has an identity")
	}
}
