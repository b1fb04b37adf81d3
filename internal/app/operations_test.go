package app

import (
	_ "embed"
	"regexp"
	"strings"
	"testing"

	"postroad/internal/edge/httpapi"
)

// endpoints are the method, path and group of each endpoint of the capabilities
// that are offered; a row that is not served names why after a fourth tab.
//
//go:embed testdata/endpoints.tsv
var endpoints string

func TestOperationsAreSound(t *testing.T) {
	if err := httpapi.CheckOps(Operations()); err != nil {
		t.Fatal(err)
	}
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

func normal(method, path string) string {
	return method + " " + placeholder.ReplaceAllString(path, "{}")
}

// TestEndpointList holds the program to the list: every row is served, unless
// it says why not, and then it is not.
func TestEndpointList(t *testing.T) {
	served := map[string]bool{}
	for _, o := range Operations() {
		served[normal(o.Method, o.Path)] = true
	}
	rows := 0
	for _, line := range strings.Split(strings.TrimSpace(endpoints), "\n") {
		f := strings.Split(line, "\t")
		if len(f) < 3 {
			t.Fatalf("row %q", line)
		}
		rows++
		missing := len(f) > 3
		if got := served[normal(f[0], f[1])]; got == missing {
			t.Errorf("%s %s (%s): served %v", f[0], f[1], f[2], got)
		}
	}
	if rows < 60 {
		t.Fatalf("only %d rows", rows)
	}
}
