package app

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// coreOrder is the order of the capabilities: each imports only those before it.
var coreOrder = []string{"schema", "account", "domain", "trackhost", "event", "suppress", "tag", "timing", "webhook", "peer", "ippool", "queue", "shape", "spam", "template", "message", "track", "optout", "route", "list", "inbound", "deliver", "replay", "provider", "feedback", "workspace", "gateway", "resend"}

// TestLayers holds the packages to the rules of ARCHITECTURE.md.
func TestLayers(t *testing.T) {
	root := ".."
	checked := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from, _ := filepath.Rel(root, filepath.Dir(path))
		for _, i := range f.Imports {
			to, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			checked++
			if why := forbidden(filepath.ToSlash(from), to); why != "" {
				t.Errorf("%s imports %s: %s", path, to, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 500 {
		t.Fatalf("only %d imports seen: the test looks in the wrong place", checked)
	}
}

var statement = regexp.MustCompile("[\"`](SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE) ")

// TestSQLStandsInStores: a reader looks for SQL in store*.go and nowhere else.
// base/db is the engine itself.
func TestSQLStandsInStores(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !statement.Match(text) {
			return err
		}
		dir, file := filepath.Split(filepath.ToSlash(path))
		if file == "store.go" || strings.HasPrefix(file, "store_") {
			seen++
		} else if dir != "../base/db/" && dir != "../apptest/" {
			t.Errorf("%s holds SQL", path)
		}
		return nil
	})
	if err != nil || seen < 10 {
		t.Fatalf("%d stores seen, %v", seen, err)
	}
}

var layers = map[string]int{"base": 0, "mail": 1, "core": 2, "edge": 3}

func forbidden(from, to string) string {
	fp := strings.Split(from, "/")
	fl, ok := layers[fp[0]]
	if !ok {
		return ""
	}
	if to == "net/http" && (fl == 1 || fl == 2) {
		return "core and mail do not speak HTTP"
	}
	own, ok := strings.CutPrefix(to, "postroad/internal/")
	if !ok {
		return ""
	}
	tp := strings.Split(own, "/")
	tl, ok := layers[tp[0]]
	switch {
	case !ok:
		return "only cmd, cli and app stand above the layers"
	case tl > fl:
		return "upwards"
	case fl == 3 && tl == 3 && fp[1] != tp[1]:
		return "edges do not import one another"
	case fl == 2 && tl == 2 && fp[1] != "coretest" && slices.Index(coreOrder, tp[1]) > slices.Index(coreOrder, fp[1]):
		return "against the order of the core"
	case fl == 2 && slices.Index(coreOrder, fp[1]) < 0 && fp[1] != "coretest":
		return "a capability without a place in the order"
	}
	return ""
}
