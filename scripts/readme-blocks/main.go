// Command readme-blocks does what README.md tells its reader to do: it runs
// the blocks fenced as sh, in their order, in one bash, in a copy of the tree
// and with an empty home directory. It fails where a reader would be stuck.
//
//	go run ./scripts/readme-blocks README.md
//
// A line that starts a server (make run, postroad dev, postroad serve) is left
// running and the next line waits until the server is ready, as a reader with
// a second terminal would. curl fails on statuses of 400 and above.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const limit = 12 * time.Minute

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: readme-blocks FILE")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "readme-blocks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	found, err := blocks(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if len(found) == 0 {
		return fmt.Errorf("%s has no blocks fenced as sh", file)
	}
	dir, err := os.MkdirTemp("", "readme-blocks-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tree, home := filepath.Join(dir, "tree"), filepath.Join(dir, "home")
	if err := copyTree(filepath.Dir(file), tree); err != nil {
		return err
	}
	if err := os.Mkdir(home, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("fail-with-body\nshow-error\n"), 0o644); err != nil {
		return err
	}
	return execute(ctx, script(found, filepath.Join(dir, "server.log")), tree, home)
}

// block is one fenced block.
type block struct {
	line int // of its first line, from 1
	text string
}

// blocks returns the blocks fenced as sh.
func blocks(text string) ([]block, error) {
	var out []block
	var open *block
	other := false // in a block of another kind
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimRight(line, " \r")
		switch {
		case open != nil && trimmed == "```":
			out, open = append(out, *open), nil
		case open != nil:
			open.text += line + "\n"
		case other && trimmed == "```":
			other = false
		case other:
		case trimmed == "```sh":
			open = &block{line: i + 2}
		case strings.HasPrefix(trimmed, "```"):
			other = true
		}
	}
	if open != nil || other {
		return nil, errors.New("a block is not closed")
	}
	return out, nil
}

// serverLine matches a command that starts a server and does not return.
var serverLine = regexp.MustCompile(`^(?:[A-Z_]+=\S+ +)*(?:make run|(?:\./)?(?:bin/)?postroad (?:dev|serve))\b`)

const preamble = `set -euo pipefail
ready() {
	for _ in $(seq 600); do
		if curl -q -sf -o /dev/null "http://$1/readyz" 2>/dev/null; then return; fi
		if ! kill -0 "$2" 2>/dev/null; then break; fi
		sleep 0.2
	done
	echo "the server at $1 did not become ready; its output:" >&2
	cat "$3" >&2
	exit 1
}
`

// script is what bash runs: the blocks, announced, servers in the background.
func script(list []block, log string) string {
	var b strings.Builder
	b.WriteString(preamble)
	for _, one := range list {
		fmt.Fprintf(&b, "echo '== line %d'\n", one.line)
		for line := range strings.Lines(one.text) {
			if !serverLine.MatchString(strings.TrimSpace(line)) {
				b.WriteString(line)
				continue
			}
			fmt.Fprintf(&b, "%s >'%s' 2>&1 &\n", strings.TrimSpace(line), log)
			fmt.Fprintf(&b, "ready %s $! '%s'\n", address(line), log)
		}
	}
	b.WriteString("echo '== end'\n")
	return b.String()
}

var listenFlag = regexp.MustCompile(`--http[ =](\S+)`)

// address is where the server of a line answers.
func address(line string) string {
	if m := listenFlag.FindStringSubmatch(line); m != nil {
		if strings.HasPrefix(m[1], ":") {
			return "127.0.0.1" + m[1]
		}
		return m[1]
	}
	if strings.Contains(line, "postroad serve") {
		return "127.0.0.1:8080"
	}
	return "127.0.0.1:8025"
}

// execute runs the script and ends everything it started.
func execute(ctx context.Context, text, tree, home string) error {
	env, err := environment(home)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.Command("bash")
	cmd.Stdin = strings.NewReader("")
	cmd.Args = append(cmd.Args, "-c", text)
	cmd.Dir, cmd.Env = tree, env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &tee{&out, os.Stdout}, &tee{&out, os.Stderr}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	group := -cmd.Process.Pid
	stop := context.AfterFunc(ctx, func() { syscall.Kill(group, syscall.SIGTERM) })
	defer stop()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	err = <-done
	// The server of the blocks is still there: its group ends with the script.
	if killErr := syscall.Kill(group, syscall.SIGTERM); killErr != nil && !errors.Is(killErr, syscall.ESRCH) {
		return errors.Join(err, killErr)
	}
	if err != nil {
		return fmt.Errorf("a block failed: %w", err)
	}
	if !strings.Contains(out.String(), "== end") {
		return errors.New("the blocks ended before their end")
	}
	return nil
}

// tee writes to both.
type tee struct {
	kept *bytes.Buffer
	to   *os.File
}

func (t *tee) Write(p []byte) (int, error) {
	t.kept.Write(p)
	return t.to.Write(p)
}

// environment is that of a fresh user, but for Go's caches.
func environment(home string) ([]string, error) {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "POSTROAD_") || strings.HasPrefix(name, "XDG_") || name == "HOME" || name == "MAKEFLAGS" || name == "MAKELEVEL" {
			continue
		}
		env = append(env, e)
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS", "GOSUMDB"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return nil, fmt.Errorf("go env %s: %w", name, err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return append(env, "HOME="+home), nil
}

// copyTree copies what a reader would have checked out.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case d.IsDir() && (name == ".git" || name == "node_modules" || rel == "bin"):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, info.Mode().Perm())
	})
}
