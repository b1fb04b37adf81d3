package main

import (
	"bufio"
	"context"
	"os"
	"testing"
	"time"
)

func TestHierarchies(t *testing.T) {
	const mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpuacct cgroup rw,relatime,cpuacct 0 0\n" +
		"cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n"
	const own = "4:memory:/a\n2:cpu,cpuacct:/b\n0::/c/d\n"
	got := hierarchies(mounts, own)
	want := []hierarchy{{"/sys/fs/cgroup/unified/c/d", "cpu.stat"}, {"/sys/fs/cgroup/cpuacct/b", "cpuacct.usage"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("hierarchies = %v, want %v", got, want)
	}
}

func TestParseAccount(t *testing.T) {
	for text, want := range map[string]time.Duration{"usage_usec 1500\nuser_usec 1000\n": 1500 * time.Microsecond, "2000000\n": 2 * time.Millisecond} {
		if got, err := parseAccount(text); err != nil || got != want {
			t.Errorf("parseAccount(%q) = %s, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "user_usec 7\n", "usage_usec x\n"} {
		if _, err := parseAccount(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// TestGroupCountsOrphans runs processes that nobody waits for: a group must
// count them and end must leave none.
func TestGroupCountsOrphans(t *testing.T) {
	g := newGroup("test")
	if !g.exact() {
		t.Skip("no control group can be made here")
	}
	// The first burns, says so, and leaves a second behind whose parent is gone
	// and that burns as much and says so too.
	const burn = `i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done`
	cmd := g.command("", "sh", "-c", burn+`; echo first; (sh -c '`+burn+`; echo second; sleep 600' &) ; sleep 600`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	var used [2]time.Duration
	for i, want := range []string{"first\n", "second\n"} {
		if line, err := said.ReadString('\n'); line != want {
			t.Fatalf("it said %q, %v", line, err)
		}
		if used[i], err = g.cpu(); err != nil {
			t.Fatal(err)
		}
	}
	if used[1] < used[0]*3/2 {
		t.Errorf("%s before the orphan and %s after it", used[0], used[1])
	}
	if err := g.end(context.Background()); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // it was killed: its state is known
	if _, err := os.Stat(g.dir); !os.IsNotExist(err) {
		t.Errorf("the group is still there: %v", err)
	}
}
