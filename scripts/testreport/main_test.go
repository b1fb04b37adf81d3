package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const pass = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"pass","Package":"p","Elapsed":1}` + "\n"
	for _, c := range []struct {
		name, in, say string
		ok            bool
	}{
		{"all passed", pass, "1 packages and 1 tests passed, 0 failed, 0 skipped", true},
		{"nothing ran", "", "0 packages", false},
		{"no tests", pass + `{"Action":"skip","Package":"q"}`, "0 skipped", true},
		{"skipped", pass + `{"Action":"output","Package":"p","Test":"TestB","Output":"not there\n"}` + "\n" +
			`{"Action":"skip","Package":"p","Test":"TestB"}`, "SKIP  p TestB: not there", false},
		{"hardware", pass + `{"Action":"output","Package":"p","Test":"TestB","Output":"x_test.go:1: hardware: no such unit\n"}` + "\n" +
			`{"Action":"skip","Package":"p","Test":"TestB"}`, "SKIP  p TestB: x_test.go:1: hardware", true},
		{"failed", pass + `{"Action":"output","Package":"p","Test":"TestB","Output":"wrong\n"}` + "\n" +
			`{"Action":"fail","Package":"p","Test":"TestB"}` + "\n" + `{"Action":"fail","Package":"p"}`, "FAIL  p TestB\nwrong", false},
		{"does not build", pass + `{"ImportPath":"q","Action":"build-output","Output":"x.go:1: no\n"}` + "\n" +
			`{"ImportPath":"q","Action":"build-fail"}`, "x.go:1: no", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			ok, err := report(strings.NewReader(c.in), &out)
			if err != nil || ok != c.ok || !strings.Contains(out.String(), c.say) {
				t.Errorf("ok = %t, %v, want %t; output:\n%s", ok, err, c.ok, out.String())
			}
		})
	}
}
