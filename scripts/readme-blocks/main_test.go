package main

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBlocks(t *testing.T) {
	text := "# T\n\n```sh\nmake run\n```\n\n```\nnot this\n```\n\n    nor this\n\n```sh\necho a\necho b\n```\n```go\nx\n```\n"
	got, err := blocks(text)
	want := []block{{4, "make run\n"}, {14, "echo a\necho b\n"}}
	if err != nil || !cmp.Equal(got, want, cmp.AllowUnexported(block{})) {
		t.Errorf("blocks = %v, %v, want %v", got, err, want)
	}
	if _, err := blocks("```sh\necho\n"); err == nil {
		t.Error("a block that is not closed was taken")
	}
}

func TestServerLines(t *testing.T) {
	for line, want := range map[string]string{
		"make run":                               "127.0.0.1:8025",
		"bin/postroad dev":                       "127.0.0.1:8025",
		"POSTROAD_ADMIN_KEY=k postroad serve":    "127.0.0.1:8080",
		"./bin/postroad serve --http :9000":      "127.0.0.1:9000",
		"postroad dev --http=127.0.0.1:1 --data": "127.0.0.1:1",
		"make runner":                            "",
		"echo make run":                          "",
		"postroad send":                          "",
	} {
		got := ""
		if serverLine.MatchString(line) {
			got = address(line)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestScript(t *testing.T) {
	got := script([]block{{3, "make run\n"}, {9, "echo hello\n"}}, "/log")
	for _, part := range []string{"make run >'/log' 2>&1 &\nready 127.0.0.1:8025 $! '/log'\n", "echo '== line 9'\necho hello\n"} {
		if !strings.Contains(got, part) {
			t.Errorf("script lacks %q:\n%s", part, got)
		}
	}
}

// TestExecute checks that a failing block fails the run, whichever it is.
func TestExecute(t *testing.T) {
	for text, fails := range map[string]bool{"true\n": false, "false\n": true, "false | true\n": true, "exit 0\n": true} {
		err := execute(context.Background(), script([]block{{1, text}, {5, "true\n"}}, t.TempDir()+"/log"), t.TempDir(), t.TempDir())
		if (err != nil) != fails {
			t.Errorf("%q: error %v", text, err)
		}
	}
}
