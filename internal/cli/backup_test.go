package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postroad/internal/app"
	"postroad/internal/apptest"
	"postroad/internal/config"
)

// TestBackupCommands: what backup makes of a running server's data, verify finds
// whole, restore puts into another directory, and damage has exit status 1.
func TestBackupCommands(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Mode: config.Dev})
	for range 3 {
		s.Send("sender.test", apptest.Fields{"to", "x@there.test"})
	}
	s.Idle()
	root := t.TempDir()
	saved, back := filepath.Join(root, "saved"), filepath.Join(root, "back")

	r := as{people: true, width: 80}.run("backup", "dev", "--data", s.Data, saved)
	if r.status != exitOK || r.stderr != "" || !strings.Contains(r.stdout, saved+": 7 files, ") || !strings.Contains(r.stdout, "no damage found") {
		t.Fatalf("%+v", r)
	}
	if again := (as{}).run("backup", "dev", saved, "--data", s.Data); again.status != exitFailed || !strings.Contains(errorOf(t, again).Cause, "is not empty") {
		t.Errorf("%+v", again)
	}
	var in app.Inspection
	r = as{}.run("verify", saved)
	if err := json.Unmarshal([]byte(r.stdout), &in); err != nil || r.status != exitOK || !in.OK || in.Messages != 3 || in.Kind != "backup" {
		t.Errorf("%v %+v", err, r)
	}
	r = as{people: true, width: 80}.run("verify", "dev", "--data", s.Data)
	if r.status != exitOK || !strings.Contains(r.stdout, s.Data+": no damage found\n  database   ok\n  bodies     3 in 1 segment, ") || !strings.Contains(r.stdout, "  messages   3, 0 without a readable body\n") {
		t.Errorf("of a running server: %+v", r)
	}
	r = as{people: true, width: 80}.run("restore", saved, "--data", back)
	if r.status != exitOK || !strings.Contains(r.stdout, back+": 7 files, ") {
		t.Fatalf("%+v", r)
	}
	if again := (as{}).run("restore", "--data", back, saved); again.status != exitFailed || !strings.Contains(errorOf(t, again).Cause, "empty directory only") {
		t.Errorf("%+v", again)
	}
	seg := filepath.Join("blobs", "00000000000000000001.seg")
	for _, name := range []string{filepath.Join(back, seg), filepath.Join(saved, "data", seg)} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2] ^= 1
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r = as{people: true, width: 80}.run("verify", "--data", back)
	if r.status != exitFailed || !strings.Contains(r.stdout, ": DAMAGED\n") || !strings.Contains(r.stdout, "\n  ! body 1.") || !strings.Contains(r.stderr, "is damaged: ") {
		t.Errorf("%+v", r)
	}
	r = as{}.run("verify", "--json", back)
	if err := json.Unmarshal([]byte(r.stdout), &in); err != nil || r.status != exitFailed || in.OK || in.Unreadable != 1 {
		t.Errorf("%v %+v", err, r)
	}
	r = as{}.run("restore", "--data", filepath.Join(root, "other"), saved)
	if e := errorOf(t, r); r.status != exitFailed || e.Message != "nothing was restored" || !strings.Contains(e.Hint, "another backup") {
		t.Errorf("%+v", r)
	}
	// A backup of what is damaged is made, and says so.
	r = as{people: true, width: 80}.run("backup", "--data", back, filepath.Join(root, "of-damaged"))
	if r.status != exitFailed || !strings.Contains(r.stderr, "the backup was made, but what it copied is damaged") {
		t.Errorf("%+v", r)
	}
	r = as{}.run("verify", root)
	if r.status != exitFailed || !strings.Contains(errorOf(t, r).Cause, "neither a backup nor a data directory") {
		t.Errorf("%+v", r)
	}
}

func TestBackupUsage(t *testing.T) {
	for _, tt := range []struct{ args, message string }{
		{"backup", "give the directory to make"},
		{"restore", "give the backup to restore"},
		{"backup a b", `unexpected argument "b"`},
		{"verify a b", `unexpected argument "b"`},
		{"restore --quick a", "unknown flag --quick"},
		{"backup --qick a", "unknown flag --qick; did you mean --quick?"},
		{"backup a --workers many", `--workers: "many" is not a whole number`},
	} {
		r := as{}.run(strings.Fields(tt.args)...)
		if e := errorOf(t, r); r.status != exitUsage || e.Message != tt.message {
			t.Errorf("%s: %d %+v", tt.args, r.status, e)
		}
	}
	r := as{}.run("backup", "--data", t.TempDir(), "--database", "postgres://u:p@127.0.0.1/x", filepath.Join(t.TempDir(), "a"))
	if e := errorOf(t, r); r.status != exitFailed || !strings.Contains(e.Cause, "pg_dump") || !strings.Contains(e.Hint, "--files-only") {
		t.Errorf("%+v", r)
	}
}
