package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const someSum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func manifestText(files string) string {
	return `{"format":1,"program":"x","begun":"2026-11-20T12:00:00Z","finished":"2026-11-20T12:00:01Z","database":"included","files":[{"path":"data/postroad.db","size":0,"sha256":"` + someSum + `"}` + files + `]}`
}

func TestParseManifest(t *testing.T) {
	file := func(path string) string { return `,{"path":"` + path + `","size":0,"sha256":"` + someSum + `"}` }
	if m, err := parseManifest([]byte(manifestText(file("data/blobs/1.seg") + file("settings/a.toml")))); err != nil || len(m.Files) != 3 {
		t.Fatalf("%+v %v", m, err)
	}
	for _, text := range []string{"", "{}", "[]", "null", manifestText(file("../x")), manifestText(file("data/../../x")), manifestText(file("/etc/passwd")),
		manifestText(file("data/a//b")), manifestText(file("data")), manifestText(file("other/x")), manifestText(file("data/./x")), manifestText(file("data/..")),
		manifestText(file(`data/a\\..\\b`)), manifestText(file(`data/a\u0000b`)), manifestText(file("data/postroad.db")),
		manifestText(`,{"path":"data/x","size":-1,"sha256":"` + someSum + `"}`), manifestText(`,{"path":"data/x","size":1,"sha256":"12"}`),
		strings.Replace(manifestText(""), `"format":1`, `"format":2`, 1), strings.Replace(manifestText(""), "included", "none", 1),
		strings.Replace(manifestText(""), "postroad.db", "other.db", 1), strings.Replace(manifestText(""), `"program"`, `"programme"`, 1)} {
		if m, err := parseManifest([]byte(text)); err == nil {
			t.Errorf("taken: %s\n%+v", text, m)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(manifestText(""))
	f.Add(manifestText(`,{"path":"data/../x","size":1,"sha256":"` + someSum + `"}`))
	f.Add("{}")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseManifest([]byte(text))
		if err != nil {
			return
		}
		for _, file := range m.Files {
			rel, err := filepath.Rel("/backup", filepath.Join("/backup", file.Path))
			if err != nil || strings.HasPrefix(rel, "..") || rel != file.Path || file.Size < 0 {
				t.Errorf("%q leads to %q, %v", file.Path, rel, err)
			}
		}
		if _, err := json.Marshal(m); err != nil {
			t.Error(err)
		}
	})
}

// TestManifestLink: a link in a backup is not followed out of it.
func TestManifestLink(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	c := newCopier(dir)
	if _, err := c.copy(t.Context(), outside, "link", -1); err == nil {
		t.Error("a copy went through a link that was there")
	}
}
