// Command testreport reads the output of go test -json, prints what failed,
// and fails when a test failed or was skipped: a complete run skips nothing but
// what says "hardware:", that this processor lacks something.
//
//	go test -json ./... | go run ./scripts/testreport
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is a line of test2json.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

func main() {
	ok, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

// report copies what matters from in to out and tells whether every test ran
// and passed.
func report(in io.Reader, out io.Writer) (bool, error) {
	r := &run{out: out, output: map[string][]string{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
	}
	return r.end(), nil
}

type run struct {
	out            io.Writer
	output         map[string][]string // by package and test, until it is known to have passed
	skipped        []string
	lacking        int // of these, for want of hardware
	passed, failed int
	packages       int
}

func (r *run) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		r.out.Write(line) // not of test2json: a message of the go command
		return
	}
	key := e.Package + e.ImportPath + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		r.output[key] = append(r.output[key], e.Output)
	case "pass":
		delete(r.output, key)
		if e.Test != "" {
			r.passed++
			return
		}
		r.packages++
		fmt.Fprintf(r.out, "ok    %s %.1fs\n", e.Package, e.Elapsed)
	case "skip":
		if e.Test != "" { // a package is skipped when it has no tests
			if strings.Contains(strings.Join(r.output[key], ""), ": hardware: ") {
				r.lacking++
			}
			r.skipped = append(r.skipped, key+": "+strings.Join(r.output[key], ""))
		}
		delete(r.output, key)
	case "fail", "build-fail":
		r.failed++
		fmt.Fprintf(r.out, "FAIL  %s\n%s", key, strings.Join(r.output[key], ""))
		delete(r.output, key)
	}
}

func (r *run) end() bool {
	slices.Sort(r.skipped)
	for _, s := range r.skipped {
		fmt.Fprintf(r.out, "SKIP  %s\n", s)
	}
	fmt.Fprintf(r.out, "%d packages and %d tests passed, %d failed, %d skipped\n", r.packages, r.passed, r.failed, len(r.skipped))
	return r.failed == 0 && len(r.skipped) == r.lacking && r.packages > 0
}
