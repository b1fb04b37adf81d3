package rsasign

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const kernel = "kernel_amd64.s"

func readKernel(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(kernel)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestGenerated: the kernel is what gen.go writes.
func TestGenerated(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	source, err := os.ReadFile("gen.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "gen.go"), source, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, "run", "gen.go")
	cmd.Dir = dir
	// gen.go runs here, whatever the tests are built for.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GOOS=") || strings.HasPrefix(v, "GOARCH=")
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(dir, kernel))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, readKernel(t)) {
		t.Error(kernel + " is not what gen.go writes: run go generate")
	}
}

// TestKernelIsConstantTime reads the assembly: the only jumps end loops that count a
// constant down, and memory is addressed by registers that hold nothing but pointer
// parameters and constant distances. Registers that Go reserves are not touched.
func TestKernelIsConstantTime(t *testing.T) {
	var (
		directive = regexp.MustCompile(`^(TEXT|DATA|GLOBL|#)|:$`)
		counter   = regexp.MustCompile(`^DECQ (CX|R12)$`)
		memory    = regexp.MustCompile(`\((\w+)\)(\(\w+\*\d\))?`)
		reserved  = regexp.MustCompile(`\b(R14|R15|SP|TLS)\b`)
		pointer   = regexp.MustCompile(`^(SI|DI|BX|R8|R9|FP|SB)$`)
		target    = regexp.MustCompile(`, (SI|DI|BX|R8|R9|CX|R12)$`)
		sets      = regexp.MustCompile(`^(MOVQ (dst|a|b|acc|table|modulus)\+\d+\(FP\)|MOVQ R8|MOV[LQ] \$\w+|LEAQ \d+\((SI|R8)\)|ADDQ \$\d+), \w+$`)
	)
	jumps, last := 0, ""
	for line := range strings.Lines(string(readKernel(t))) {
		line, _, _ = strings.Cut(line, "//")
		line = strings.TrimSpace(line)
		if line == "" || directive.MatchString(line) {
			continue
		}
		if strings.HasPrefix(line, "J") {
			jumps++
			if !strings.HasPrefix(line, "JNZ ") || !counter.MatchString(last) {
				t.Errorf("%s after %s", line, last)
			}
		}
		if reserved.MatchString(line) {
			t.Errorf("%s: a reserved register", line)
		}
		if target.MatchString(line) && !sets.MatchString(line) {
			t.Errorf("%s: a pointer or counter from elsewhere", line)
		}
		for _, m := range memory.FindAllStringSubmatch(line, -1) {
			// LEAQ computes only; its target is checked above.
			if (m[2] != "" || !pointer.MatchString(m[1])) && !strings.HasPrefix(line, "LEAQ ") {
				t.Errorf("%s: an address that may depend on data", line)
			}
		}
		last = line
	}
	if jumps != 4 {
		t.Errorf("%d loops, known are 4", jumps)
	}
}
