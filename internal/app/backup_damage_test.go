package app_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/base/blob"
	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/db/dbtest"
	"postroad/internal/config"
	"postroad/internal/core/event"
	"postroad/internal/core/message"
)

func segment(data string, id int) string {
	return filepath.Join(data, "blobs", fmt.Sprintf("%020d.seg", id))
}

// flipped changes a bit in the middle of a message's body.
func flipped(t *testing.T, data string, ref blob.Ref) {
	t.Helper()
	change(t, segment(data, int(ref.Segment)), func(b []byte) []byte {
		b[ref.Offset+blob.RecordOverhead+ref.Length/2] ^= 1
		return b
	})
}

func inspect(t *testing.T, dir string) *app.Inspection {
	t.Helper()
	r, err := app.Inspect(t.Context(), app.InspectOptions{Directory: dir})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// refs are the places of the stored bodies of a data directory, in the order
// they were taken in.
func refs(t *testing.T, data string) (out []blob.Ref) {
	t.Helper()
	r, err := db.OpenReader(t.Context(), filepath.Join(data, "postroad.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Each(func(rows *sql.Rows) error {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			ref, err := blob.ParseRef(text)
			out = append(out, ref)
			return err
		}, "SELECT blob FROM message ORDER BY id")
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestInspectDamage: what is wrong is found and named, and what looks odd but is
// in order is not called damage.
func TestInspectDamage(t *testing.T) {
	whole := stored(t, 5)
	list := refs(t, whole)
	for _, c := range []struct {
		name       string
		do         func(t *testing.T, data string)
		unreadable int64
		what, text string // of the first damage; "" for none
		also       func(r *app.Inspection) bool
	}{
		{name: "whole", do: func(*testing.T, string) {}, also: func(r *app.Inspection) bool { return r.Records == 5 && r.Orphans == 0 && r.Torn == 0 }},
		{name: "flipped body", do: func(t *testing.T, d string) { flipped(t, d, list[2]) }, unreadable: 1, what: "segment", text: "1 damaged records",
			also: func(r *app.Inspection) bool {
				return len(r.Damage) == 2 && r.Damage[1].Message != 0 && r.Damage[1].Where == list[2].String()
			}},
		{name: "flipped header", do: func(t *testing.T, d string) {
			change(t, segment(d, 1), func(b []byte) []byte { b[list[1].Offset] ^= 1; return b })
		}, unreadable: 1, what: "segment", text: "that are no records"},
		{name: "truncated segment", do: func(t *testing.T, d string) {
			change(t, segment(d, 1), func(b []byte) []byte { return b[:list[3].Offset+30] })
		}, unreadable: 2, what: "body", text: "damaged"},
		{name: "segment gone", do: func(t *testing.T, d string) {
			if err := os.Remove(segment(d, 1)); err != nil {
				t.Fatal(err)
			}
		}, unreadable: 5, what: "segment", text: "is missing: 5 messages"},
		{name: "all bodies gone", do: func(t *testing.T, d string) {
			if err := os.RemoveAll(filepath.Join(d, "blobs")); err != nil {
				t.Fatal(err)
			}
		}, unreadable: 5, what: "segment", text: "is missing"},
		{name: "torn tail", do: func(t *testing.T, d string) {
			change(t, segment(d, 1), func(b []byte) []byte { return append(b, "PRb1 begun and not ended"...) })
		}, also: func(r *app.Inspection) bool { return r.Torn == 24 && r.Records == 5 }},
		{name: "unused body", do: func(t *testing.T, d string) {
			s, err := blob.Open(filepath.Join(d, "blobs"), blob.Options{})
			if err == nil {
				_, err = s.Append(t.Context(), []byte("nobody's"))
			}
			if err == nil {
				err = s.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}, also: func(r *app.Inspection) bool { return r.Orphans == 1 && r.OrphanBytes == 8 }},
		{name: "database flipped", do: func(t *testing.T, d string) {
			change(t, filepath.Join(d, "postroad.db"), func(b []byte) []byte {
				for i := 4096; i < len(b); i += 64 {
					b[i] ^= 0x55
				}
				return b
			})
		}, unreadable: -1, what: "database"},
		{name: "database of something else", do: func(t *testing.T, d string) {
			change(t, filepath.Join(d, "postroad.db"), func([]byte) []byte { return []byte("this is no database, whatever it is") })
		}, unreadable: -1, what: "database"},
		{name: "database gone", do: func(t *testing.T, d string) {
			if err := os.Remove(filepath.Join(d, "postroad.db")); err != nil {
				t.Fatal(err)
			}
		}, what: "database", text: "no such file"},
		{name: "short secret", do: func(t *testing.T, d string) {
			change(t, filepath.Join(d, "secret"), func(b []byte) []byte { return b[:5] })
		}, what: "file", text: "5 bytes instead of 32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(data, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			c.do(t, data)
			r := inspect(t, data)
			if r.OK != (c.what == "") || c.unreadable >= 0 && r.Unreadable != c.unreadable {
				t.Errorf("%+v", r)
			}
			if c.what != "" && (len(r.Damage) == 0 || r.Damage[0].What != c.what || !strings.Contains(r.Damage[0].Text, c.text)) {
				t.Errorf("want %s ...%s...: %+v", c.what, c.text, r.Damage)
			}
			if c.also != nil && !c.also(r) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestInspectPostgres: the bodies in the directory are compared with the
// messages in the database server.
func TestInspectPostgres(t *testing.T) {
	url := dbtest.PostgresURL(t)
	s := apptest.Start(t, apptest.Options{Mode: config.Dev, DB: url})
	for range 3 {
		s.Send("sender.test", apptest.Fields{"to", "x@there.test"})
	}
	s.Idle()
	look := func() *app.Inspection {
		r, err := app.Inspect(t.Context(), app.InspectOptions{Directory: s.Data, Database: url})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := look(); !r.OK || r.Messages != 3 || r.Orphans != 0 || r.Database != "ok" {
		t.Errorf("%+v", r)
	}
	s.Stop()
	change(t, segment(s.Data, 1), func(b []byte) []byte { return b[:len(b)-1] })
	if r := look(); r.OK || r.Unreadable != 1 {
		t.Errorf("%+v", r)
	}
}

// TestManyFindings: pages of the check join without a gap, and findings are
// bounded.
func TestManyFindings(t *testing.T) {
	data := stored(t, 130)
	change(t, segment(data, 1), func(b []byte) []byte { return b[:100] })
	if r := inspect(t, data); len(r.Damage) != 100 || r.More != 30 || r.Unreadable != 130 {
		t.Errorf("%d and %d more, %d unreadable", len(r.Damage), r.More, r.Unreadable)
	}
}

// waitingMail is a stopped program's data with mail for x0@..., x1@..., ... that
// was deferred, and where the bodies lie.
func waitingMail(t *testing.T, w *apptest.World, k *apptest.Sink, n int) (data string, ids []string, list []blob.Ref) {
	t.Helper()
	k.Set(apptest.Script{Any: "451 4.2.1 later"})
	s := apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Clock: clock.NewFake(apptest.Begin())})
	s.AddDomain("sender.test")
	for i := range n {
		to := fmt.Sprintf("x%d@there.test", i)
		id := s.Send("sender.test", apptest.Fields{"to", to, "text", fmt.Sprintf("word-%d. text", i)})
		s.Outcome(id, to, 1)
		m, err := s.Messages.Lookup(t.Context(), "", id)
		if err != nil {
			t.Fatal(err)
		}
		ids, list = append(ids, id), append(list, m.Blob)
	}
	s.Stop()
	k.Set(apptest.Script{})
	return s.Data, ids, list
}

// again starts a program on data when the retries of waitingMail are due.
func again(t *testing.T, w *apptest.World, data string) *apptest.Server {
	t.Helper()
	return apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Data: data, Clock: clock.NewFake(apptest.Begin().Add(20 * time.Minute))})
}

// TestStartOnDamage: the program starts on damaged segments, delivers every
// message whose body is whole, sets the others aside with the reason, and takes
// new mail; verify names exactly those.
func TestStartOnDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(b []byte, list []blob.Ref) []byte
		bad    []int
	}{
		{"flipped payload", func(b []byte, l []blob.Ref) []byte { b[l[1].Offset+blob.RecordOverhead+5] ^= 1; return b }, []int{1}},
		{"flipped record header", func(b []byte, l []blob.Ref) []byte { b[l[2].Offset+6] ^= 1; return b }, []int{2}},
		{"flipped segment header", func(b []byte, l []blob.Ref) []byte { b[9] ^= 1; return b }, nil},
		{"flipped first and last", func(b []byte, l []blob.Ref) []byte {
			b[l[0].Offset+blob.RecordOverhead] ^= 1
			b[len(b)-1] ^= 1
			return b
		}, []int{0, 3}},
		{"truncated in the last", func(b []byte, l []blob.Ref) []byte { return b[:len(b)-3] }, []int{3}},
		{"truncated in the second", func(b []byte, l []blob.Ref) []byte { return b[:l[1].Offset+25] }, []int{1, 2, 3}},
		{"empty", func([]byte, []blob.Ref) []byte { return nil }, []int{0, 1, 2, 3}},
		{"zeros for the last page", func(b []byte, l []blob.Ref) []byte { clear(b[l[3].Offset+8:]); return b }, []int{3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := apptest.NewWorld(t)
			k := w.Sink(t, "mx.there.test", apptest.Script{})
			w.MX(t, "there.test", k.Host)
			data, ids, list := waitingMail(t, w, k, 4)
			change(t, segment(data, 1), func(b []byte) []byte { return c.damage(b, list) })

			s := again(t, w, data)
			bad := map[int]bool{}
			for _, i := range c.bad {
				bad[i] = true
			}
			for i, id := range ids {
				doc := s.Outcome(id, fmt.Sprintf("x%d@there.test", i), 1)
				switch st := doc.DeliveryStatus; {
				case !bad[i] && doc.Event != event.Delivered:
					t.Errorf("message %d: %s %d %s", i, doc.Event, st.Code, st.Message)
				case bad[i] && (doc.Event != event.Failed || doc.Severity != event.Temporary || !strings.Contains(st.Message, blob.ErrCorrupt.Error())):
					t.Errorf("message %d: %s %s %d %q", i, doc.Event, doc.Severity, st.Code, st.Message)
				}
			}
			id := s.Send("sender.test", apptest.Fields{"to", "new@there.test", "text", "word-new. text"})
			if doc := s.Outcome(id, "new@there.test", 1); doc.Event != event.Delivered {
				t.Errorf("new mail: %+v", doc.DeliveryStatus)
			}
			for i := range ids {
				if got := words(k)[fmt.Sprintf("word-%d.", i)] == 1; got == bad[i] {
					t.Errorf("message %d arrived: %v", i, got)
				}
			}
			s.Stop()
			r := inspect(t, data)
			if int(r.Unreadable) != len(bad) || r.Messages != 5 {
				t.Errorf("verify: %+v", r)
			}
		})
	}
}

// TestSegmentGoneAtStart: a whole older segment that is missing costs its own
// messages and no others.
func TestSegmentGoneAtStart(t *testing.T) {
	w := apptest.NewWorld(t)
	k := w.Sink(t, "mx.there.test", apptest.Script{})
	w.MX(t, "there.test", k.Host)
	data, ids, _ := waitingMail(t, w, k, 2)
	if err := os.Remove(segment(data, 1)); err != nil {
		t.Fatal(err)
	}
	s := again(t, w, data)
	for i, id := range ids {
		if doc := s.Outcome(id, fmt.Sprintf("x%d@there.test", i), 1); doc.Severity != event.Temporary || !strings.Contains(doc.DeliveryStatus.Message, blob.ErrNotFound.Error()) {
			t.Errorf("%+v", doc.DeliveryStatus)
		}
	}
	if doc := s.Outcome(s.Send("sender.test", apptest.Fields{"to", "new@there.test"}), "new@there.test", 1); doc.Event != event.Delivered {
		t.Errorf("%+v", doc)
	}
}

// crashImage copies the files of a running program as a power failure may leave
// them; what is copied first is oldest.
func crashImage(t *testing.T, data string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(dir, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "postroad.db-shm")); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return dir
}

// TestTornDatabase: a program starts on a database whose write-ahead log, or
// journal, ends in the middle of a write, and keeps what was committed before.
func TestTornDatabase(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Mode: config.Dev})
	for i := range 5 {
		s.Send("sender.test", apptest.Fields{"to", "x@there.test", "text", fmt.Sprintf("word-%d. text", i)})
	}
	s.Idle()
	s.Send("sender.test", apptest.Fields{"to", "x@there.test", "text", "word-last. text"}) // what is at the tail
	s.Idle()
	image := crashImage(t, s.Data)
	tails := map[string]func([]byte) []byte{
		"begun":   func(b []byte) []byte { return append(b, make([]byte, 1000)...) },
		"garbage": func(b []byte) []byte { return append(b, strings.Repeat("not a frame ", 700)...) },
		"cut":     func(b []byte) []byte { return b[:max(0, len(b)-100)] },
		"flipped": func(b []byte) []byte {
			if len(b) > 0 {
				b[len(b)-50] ^= 1
			}
			return b
		},
	}
	for name, tail := range tails {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, os.DirFS(image)); err != nil {
				t.Fatal(err)
			}
			change(t, filepath.Join(dir, "postroad.db-wal"), tail)
			logs, err := filepath.Glob(filepath.Join(dir, "journal", "*.log"))
			if err != nil {
				t.Fatal(err)
			}
			if len(logs) > 0 {
				change(t, logs[len(logs)-1], tail)
			}
			again := apptest.Start(t, apptest.Options{Mode: config.Dev, Data: dir})
			again.Idle()
			got := bodies(t, again)
			for i := range 5 {
				if !got[fmt.Sprintf("word-%d.", i)] {
					t.Errorf("message %d is not kept", i)
				}
			}
			again.Send("sender.test", apptest.Fields{"to", "x@there.test"})
			again.Idle()
			again.Stop()
			if r := inspect(t, dir); !r.OK {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestQuietInstallation: bodies of deleted messages are freed although no new
// mail fills their segment.
func TestQuietInstallation(t *testing.T) {
	c := clock.NewFake(apptest.Begin())
	s := apptest.Start(t, apptest.Options{Mode: config.Dev, Clock: c})
	var m *message.Message
	id := s.Send("sender.test", apptest.Fields{"to", "x@there.test"})
	m, err := s.Messages.Lookup(t.Context(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Messages.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	s.Until("the segment to be freed", func() bool {
		s.Advance(10 * time.Minute)
		_, err := os.Stat(segment(s.Data, int(m.Blob.Segment)))
		return os.IsNotExist(err)
	})
	if passed := c.Now().Sub(apptest.Begin()); passed < 24*time.Hour {
		t.Errorf("after %v", passed)
	}
}

// TestBackupHoldsSegments: while a backup is made nothing is deleted.
func TestBackupHoldsSegments(t *testing.T) {
	data := stored(t, 2)
	store, err := blob.Open(filepath.Join(data, "blobs"), blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold, err := blob.Hold(filepath.Join(data, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(1); !errors.Is(err, blob.ErrHeld) {
		t.Error(err)
	}
	if err := hold.Close(); err != nil {
		t.Fatal(err)
	}
	saved(t, data)
	if err := store.Delete(1); err != nil {
		t.Errorf("after the backup: %v", err)
	}
}
