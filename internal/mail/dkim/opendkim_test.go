package dkim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOpenDKIM has OpenDKIM verify what is signed here. It runs when
// POSTROAD_TEST_PEERS is set, and then the program must be there.
func TestOpenDKIM(t *testing.T) {
	if os.Getenv("POSTROAD_TEST_PEERS") == "" {
		t.Skip("POSTROAD_TEST_PEERS is not set")
	}
	program := findOpenDKIM(t)
	k := keysOf(t)
	keys := []Key{k.rsa1024, k.rsa2048, k.ed25519}
	dir := t.TempDir()
	config := openDKIMConfig(t, dir, keys)
	files := writeSigned(t, dir, keys)
	bad := writeTampered(t, dir, keys[1])
	out, err := exec.Command(program, "-f", "-x", config, "-t", strings.Join(append(slices.Clone(files), bad), ",")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, out)
	}
	results := map[string]string{}
	for line := range strings.Lines(string(out)) {
		parts := strings.SplitN(line, ": ", 3)
		if len(parts) == 3 {
			results[parts[1]] += parts[2]
		}
	}
	for _, f := range files {
		if r := results[f]; !strings.Contains(r, "succeeded") || strings.Contains(r, "failed") {
			t.Errorf("%s: %q", filepath.Base(f), r)
		}
	}
	if !strings.Contains(results[bad], "failed") {
		t.Errorf("a tampered message: %q", results[bad])
	}
}

func findOpenDKIM(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"opendkim", "/usr/sbin/opendkim"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("opendkim is not installed, and POSTROAD_TEST_PEERS demands it")
	return ""
}

func openDKIMConfig(t *testing.T, dir string, keys []Key) string {
	var zone strings.Builder
	for _, k := range keys {
		text, err := PublicRecord(k.Signer.Public(), Full)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&zone, "%s._domainkey.%s %s\n", k.Selector, k.Domain, text)
	}
	writeFile(t, filepath.Join(dir, "zone"), zone.String())
	config := filepath.Join(dir, "conf")
	writeFile(t, config, fmt.Sprintf("Mode v\nTestDNSData file:%s/zone\nTemporaryDirectory %s\n", dir, dir))
	return config
}

// openDKIMReads tells which samples "opendkim -t" can be given: it wants an empty
// line, stops at fields of more than 64 KB and at long lines, and drops the white space after
// the colon, so that it cannot tell "simple" fields that do not have one blank there.
func openDKIMReads(sample string, header Canonicalization) bool {
	switch sample {
	case "no empty line", "no last line end", "long header", "unbroken header":
		return false
	case "odd case and space", "duplicate headers":
		return header == Relaxed
	}
	return true
}

func writeSigned(t *testing.T, dir string, keys []Key) []string {
	var s Signer
	var files []string
	for name, msg := range sampleMessages() {
		for i, key := range keys {
			for c := range 4 {
				if !openDKIMReads(name, Canonicalization(c&1)) {
					continue
				}
				opts := Options{Keys: []Key{key}, Header: Canonicalization(c & 1), Body: Canonicalization(c >> 1), Time: time.Now()}
				field, err := s.Sign(cut(msg), opts)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(dir, fmt.Sprintf("%s-%d-%v-%v", strings.ReplaceAll(name, " ", "_"), i, opts.Header, opts.Body))
				writeFile(t, file, string(field)+msg)
				files = append(files, file)
			}
		}
	}
	return files
}

func writeTampered(t *testing.T, dir string, key Key) string {
	var s Signer
	msg := sampleMessages()["plain"]
	field, err := s.Sign(cut(msg), Options{Keys: []Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tampered")
	writeFile(t, file, string(field)+strings.Replace(msg, "Hello Bob", "Hello Eve", 1))
	return file
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
