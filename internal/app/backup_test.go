package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/base/clock"
	"postroad/internal/config"
)

// settingsFor are the settings of a program with its data in dir.
func settingsFor(t *testing.T, dir string, args ...string) *config.Config {
	t.Helper()
	cfg, _, _, err := config.Parse(config.Serve, append([]string{"--data", dir, "--hostname", "mx.test"}, args...), nil, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// backupFor and backupTo name the directories for the process that TestBackupProcess is.
const (
	backupFor = "POSTROAD_TEST_BACKUP_OF"
	backupTo  = "POSTROAD_TEST_BACKUP_TO"
)

// TestBackupProcess is no test: run by another with the variables set, it makes
// a backup as a process of its own, as the command does.
func TestBackupProcess(t *testing.T) {
	dir := os.Getenv(backupFor)
	if dir == "" {
		return
	}
	b, err := app.Back(t.Context(), app.BackupOptions{Config: settingsFor(t, dir), To: os.Getenv(backupTo), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if !b.Check.OK {
		t.Fatalf("%+v", b.Check)
	}
}

// load sends messages until stopped and remembers what was acknowledged.
type load struct {
	mu    sync.Mutex
	acked map[string]string // recipient by the word in the body
	stop  chan struct{}
	wg    sync.WaitGroup
	more  *sync.Cond
}

func (l *load) snapshot() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]string{}
	for k, v := range l.acked {
		out[k] = v
	}
	return out
}

// await waits until n messages were acknowledged.
func (l *load) await(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.acked) < n {
		l.more.Wait()
	}
}

func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
}

func startLoad(t *testing.T, s *apptest.Server, dom string, recipients ...string) *load {
	l := &load{acked: map[string]string{}, stop: make(chan struct{})}
	l.more = sync.NewCond(&l.mu)
	for c := range 4 {
		l.wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				word, to := fmt.Sprintf("word-%d-%d.", c, i), recipients[i%len(recipients)]
				form := url.Values{"from": {"a@" + dom}, "to": {to}, "subject": {"s"}, "text": {word + strings.Repeat(" text", 50)}}
				req, err := http.NewRequest("POST", s.URL+"/v3/"+dom+"/messages", strings.NewReader(form.Encode()))
				if err != nil {
					t.Error(err)
					return
				}
				req.SetBasicAuth("api", s.Key)
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != http.StatusOK {
					t.Errorf("%d %s %v", res.StatusCode, body, err)
					return
				}
				l.mu.Lock()
				l.acked[word] = to
				l.more.Broadcast()
				l.mu.Unlock()
			}
		})
	}
	return l
}

// words are the first words of the bodies that a sink took.
func words(k *apptest.Sink) map[string]int {
	out := map[string]int{}
	for _, m := range k.Messages() {
		_, text, _ := strings.Cut(m.Data, "\r\n\r\n")
		word, _, _ := strings.Cut(text, " ")
		out[word]++
	}
	return out
}

// TestBackupUnderLoad: a backup made by another process while mail flows holds
// every message acknowledged before it was begun. A program started on what is
// restored of it delivers those that were waiting, with their bodies.
func TestBackupUnderLoad(t *testing.T) {
	w := apptest.NewWorld(t)
	waiting := w.Sink(t, "mx.waiting.test", apptest.Script{Any: "451 4.2.1 later"})
	flowing := w.Sink(t, "mx.flowing.test", apptest.Script{})
	w.MX(t, "waiting.test", waiting.Host)
	w.MX(t, "flowing.test", flowing.Host)
	first := apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Clock: clock.NewFake(apptest.Begin())})
	first.AddDomain("sender.test")

	l := startLoad(t, first, "sender.test", "x@waiting.test", "x@flowing.test")
	l.await(300)
	before := l.snapshot()
	dir := filepath.Join(t.TempDir(), "saved")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBackupProcess$", "-test.count=1")
	child.Env = append(os.Environ(), backupFor+"="+first.Data, backupTo+"="+dir)
	out, err := child.CombinedOutput()
	during := len(l.snapshot()) - len(before)
	l.end()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if during == 0 {
		t.Error("nothing was sent while the backup was made: the test does not test")
	}
	first.Stop()

	data := filepath.Join(t.TempDir(), "restored")
	if r, err := app.Restore(t.Context(), app.RestoreOptions{From: dir, Data: data}); err != nil || r.Database != "included" {
		t.Fatalf("%+v %v", r, err)
	}
	waiting.Set(apptest.Script{})
	second := apptest.Start(t, apptest.Options{Mode: config.Serve, World: w, Data: data, Clock: clock.NewFake(apptest.Begin().Add(time.Hour))})
	second.Until("all that was acknowledged to arrive", func() bool {
		got := words(waiting)
		for word, to := range before {
			if to == "x@waiting.test" && got[word] == 0 {
				second.Queue.Wake()
				return false
			}
		}
		return true
	})
	// The others were delivered by one of the two, and their bodies are kept.
	second.Idle()
	got := words(flowing)
	for word, to := range before {
		if to == "x@flowing.test" && got[word] == 0 {
			t.Errorf("%s did not arrive", word)
		}
	}
	kept := bodies(t, second)
	for word := range before {
		if !kept[word] {
			t.Errorf("the body of %s is not kept", word)
		}
	}
	second.Stop()
	if r, err := app.Inspect(t.Context(), app.InspectOptions{Directory: data}); err != nil || !r.OK || r.Messages < int64(len(before)) {
		t.Errorf("%+v %v", r, err)
	}
}

// bodies are the first words of all stored messages.
func bodies(t *testing.T, s *apptest.Server) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for before := int64(0); ; {
		list, err := s.Messages.Recent(t.Context(), "", 0, before, 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			raw, err := s.Messages.Body(m)
			if err != nil {
				t.Fatal(err)
			}
			_, text, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
			word, _, _ := bytes.Cut(text, []byte(" "))
			out[string(word)] = true
			before = m.ID
		}
		if len(list) < 500 {
			return out
		}
	}
}

// stored makes the data directory of a program that took n messages and was
// stopped.
func stored(t *testing.T, n int) string {
	t.Helper()
	s := apptest.Start(t, apptest.Options{Mode: config.Dev})
	for i := range n {
		s.Send("sender.test", apptest.Fields{"to", "x@there.test", "text", fmt.Sprintf("word-%d. text", i)})
	}
	s.Idle()
	s.Stop()
	return s.Data
}

// saved makes a backup of a data directory.
func saved(t *testing.T, data string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "saved")
	b, err := app.Back(t.Context(), app.BackupOptions{Config: settingsFor(t, data), To: dir, Version: "test"})
	if err != nil || !b.Check.OK || b.Directory != dir {
		t.Fatalf("%+v %v", b, err)
	}
	return dir
}

// filesIn lists the files below a directory.
func filesIn(t *testing.T, dir string) (out []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, rerr := filepath.Rel(dir, path)
			out, err = append(out, rel), rerr
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func change(t *testing.T, name string, do func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, do(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedBackupIsRefused: one bit, one byte less or more, or nothing left of
// any file, and nothing is restored; verify says which file it is.
func TestDamagedBackupIsRefused(t *testing.T) {
	whole := saved(t, stored(t, 5))
	flip := func(part func(n int) int) func([]byte) []byte {
		return func(b []byte) []byte {
			b[part(len(b))] ^= 0x10
			return b
		}
	}
	damages := map[string]func([]byte) []byte{
		"first byte":  flip(func(int) int { return 0 }),
		"middle byte": flip(func(n int) int { return n / 2 }),
		"last byte":   flip(func(n int) int { return n - 1 }),
		"truncated":   func(b []byte) []byte { return b[:len(b)-1] },
		"emptied":     func(b []byte) []byte { return nil },
		"longer":      func(b []byte) []byte { return append(b, 0) },
		"gone":        nil,
	}
	files := filesIn(t, whole)
	for _, want := range []string{"data/postroad.db", "data/secret", "data/node", "data/blobs/00000000000000000001.seg", "manifest.json", "manifest.json.sha256"} {
		if !slices.Contains(files, filepath.FromSlash(want)) {
			t.Fatalf("no %s in %v", want, files)
		}
	}
	for _, name := range files {
		for kind, damage := range damages {
			t.Run(name+" "+kind, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "copy")
				if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
					t.Fatal(err)
				}
				if damage == nil {
					if err := os.Remove(filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
				} else {
					change(t, filepath.Join(dir, name), damage)
				}
				to := filepath.Join(t.TempDir(), "data")
				if _, err := app.Restore(t.Context(), app.RestoreOptions{From: dir, Data: to}); err == nil {
					t.Error("it was restored")
				} else if name != "manifest.json" && !errors.Is(err, app.ErrDamaged) {
					t.Errorf("error %v", err)
				}
				if entries, err := os.ReadDir(filepath.Dir(to)); err != nil || len(entries) != 0 {
					t.Errorf("left behind: %v %v", entries, err)
				}
				r, err := app.Inspect(t.Context(), app.InspectOptions{Directory: dir})
				if name == "manifest.json" && kind == "gone" {
					if err == nil {
						t.Error("a directory that is no backup was verified")
					}
					return
				}
				if err != nil || r.OK || len(r.Damage) == 0 {
					t.Errorf("verify: %+v %v", r, err)
				}
			})
		}
	}
}

// TestRestoreInto: only into what is empty, and with what is in the way left
// alone.
func TestRestoreInto(t *testing.T) {
	data := stored(t, 3)
	if err := os.WriteFile(filepath.Join(data, "postroad.toml"), []byte("workers = 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := saved(t, data)
	root := t.TempDir()
	restore := func(to string) (*app.Restored, error) {
		return app.Restore(t.Context(), app.RestoreOptions{From: dir, Data: filepath.Join(root, to)})
	}
	mkdir := func(name string, files ...string) {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(root, name, f), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	mkdir("empty")
	mkdir("full", "precious")
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"full", "file"} {
		if _, err := restore(to); err == nil {
			t.Errorf("restored into %s", to)
		}
	}
	if got := filesIn(t, filepath.Join(root, "full")); len(got) != 1 {
		t.Errorf("in the full directory: %v", got)
	}
	want := filesIn(t, filepath.Join(dir, "data"))
	for _, to := range []string{"empty", "new/below/it"} {
		r, err := restore(to)
		if err != nil {
			t.Fatal(err)
		}
		if got := filesIn(t, r.Directory); !slices.Equal(got, want) || r.Files != len(want) {
			t.Errorf("%s: %v, want %v", to, got, want)
		}
		in, err := app.Inspect(t.Context(), app.InspectOptions{Directory: r.Directory})
		if err != nil || !in.OK || in.Messages != 3 || in.Kind != "data" {
			t.Errorf("%+v %v", in, err)
		}
		if _, err := restore(to); err == nil {
			t.Error("restored twice")
		}
	}
	if entries, err := os.ReadDir(filepath.Join(root, "new/below")); err != nil || len(entries) != 1 {
		t.Errorf("beside it: %v %v", entries, err)
	}
	if _, err := app.Restore(t.Context(), app.RestoreOptions{From: data, Data: filepath.Join(root, "other")}); err == nil || !strings.Contains(err.Error(), "is not a backup") {
		t.Errorf("of a data directory: %v", err)
	}
}

// TestBackupInto: what cannot be done is refused before anything is copied.
func TestBackupInto(t *testing.T) {
	data, root := stored(t, 1), t.TempDir()
	full := filepath.Join(root, "full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(root, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to, want string
		files    bool
		args     []string
	}{
		{full, "is not empty", false, nil},
		{filepath.Join(data, "saved"), "lies in the data directory", false, nil},
		{filepath.Join(data, "ca", "saved"), "lies in the data directory", false, nil},
		{filepath.Join(root, "a"), "is not a data directory", false, []string{"--data", full}},
		{filepath.Join(root, "a"), "data directory", false, []string{"--data", filepath.Join(root, "none")}},
		{filepath.Join(root, "a"), "pg_dump", false, []string{"--database", "postgres://u:p@127.0.0.1:1/x"}},
		{filepath.Join(root, "a"), "--files-only is for PostgreSQL", true, nil},
	} {
		_, err := app.Back(t.Context(), app.BackupOptions{Config: settingsFor(t, data, c.args...), To: c.to, FilesOnly: c.files})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v, want %q", c.to, c.args, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := app.Back(ctx, app.BackupOptions{Config: settingsFor(t, data), To: empty}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v %v", entries, err)
	}
	settings := filepath.Join(t.TempDir(), "mine.toml")
	if err := os.WriteFile(settings, []byte("workers = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := app.Back(t.Context(), app.BackupOptions{Config: settingsFor(t, data, "--config", settings), To: empty, Quick: true})
	if err != nil || b.Check != nil {
		t.Fatalf("into an empty directory: %+v %v", b, err)
	}
	r, err := app.Restore(t.Context(), app.RestoreOptions{From: empty, Data: filepath.Join(root, "back")})
	if err != nil || r.Settings != filepath.Join(empty, "settings", "mine.toml") {
		t.Errorf("%+v %v", r, err)
	}
}

// TestBackupFilesOnly: with PostgreSQL everything but the database is saved, and
// can be restored.
func TestBackupFilesOnly(t *testing.T) {
	data := stored(t, 2)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(data, "postroad.db"+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "saved")
	b, err := app.Back(t.Context(), app.BackupOptions{Config: settingsFor(t, data, "--database", "postgres://u:p@127.0.0.1:1/x"), To: dir, FilesOnly: true})
	if err != nil || b.Database != "separate" || !b.Check.OK || b.Check.Records != 2 || b.Check.Database != "not included" {
		t.Fatalf("%+v %v", b, err)
	}
	r, err := app.Restore(t.Context(), app.RestoreOptions{From: dir, Data: filepath.Join(t.TempDir(), "data")})
	if err != nil || r.Database != "separate" {
		t.Errorf("%+v %v", r, err)
	}
}
