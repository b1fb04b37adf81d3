package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// group holds the processes of one system under test in a control group of
// their own. The kernel's account of it misses nothing: Exim lives on
// processes that last for one message and are nobody's child, and such do not
// show in the times of any process that can be looked at afterwards.
//
// Where no control group can be made, as in most containers, the processes
// under those that were started are looked at instead; what ended without
// being waited for is then missing.
type group struct {
	dir     string // "" without a control group
	account string // the file that tells the processor time
	roots   []int
}

// hierarchy is a place control groups can be made in.
type hierarchy struct{ root, account string }

// hierarchies lists version 2, then version 1 with its accounting (cgroups(7)).
func hierarchies(mounts, own string) []hierarchy {
	var out []hierarchy
	for _, v := range []struct{ kind, controller, account string }{{"cgroup2", "", "cpu.stat"}, {"cgroup", "cpuacct", "cpuacct.usage"}} {
		for line := range strings.Lines(mounts) {
			f := strings.Fields(line)
			if len(f) < 4 || f[2] != v.kind || v.controller != "" && !hasWord(f[3], v.controller) {
				continue
			}
			out = append(out, hierarchy{filepath.Join(f[1], ownGroup(own, v.controller)), v.account})
		}
	}
	return out
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// ownGroup reads /proc/self/cgroup: "9:cpu,cpuacct:/path", "0::/path".
func ownGroup(text, controller string) string {
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		names, path, ok := strings.Cut(rest, ":")
		if ok && (names == controller || controller != "" && hasWord(names, controller)) {
			return path
		}
	}
	return "/"
}

// newGroup makes an empty group. The name is for people who look.
func newGroup(name string) *group {
	mounts, err := os.ReadFile("/proc/self/mounts")
	own, ownErr := os.ReadFile("/proc/self/cgroup")
	if errors.Join(err, ownErr) != nil {
		return &group{}
	}
	for _, h := range hierarchies(string(mounts), string(own)) {
		dir, err := os.MkdirTemp(h.root, "postroad-bench-"+name+"-")
		if err != nil {
			continue
		}
		g := &group{dir: dir, account: filepath.Join(dir, h.account)}
		if _, err := g.cpu(); err == nil {
			return g
		}
		os.Remove(dir) // not a control group: it was just made and is empty
	}
	return &group{}
}

// exact reports whether the processor time holds every process.
func (g *group) exact() bool { return g.dir != "" }

// command is a process that will run inside the group. With root set it runs
// with that directory as its file system's root.
func (g *group) command(root, name string, args ...string) *exec.Cmd {
	full := append([]string{name}, args...)
	if root != "" {
		full = append([]string{"chroot", root}, full...)
	}
	if g.dir != "" {
		full = append([]string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs")}, full...)
	}
	return exec.Command(full[0], full[1:]...)
}

// add names a process that is part of the group, for machines where the kernel
// does not keep the account.
func (g *group) add(pid int) { g.roots = append(g.roots, pid) }

// cpu is the processor time used so far.
func (g *group) cpu() (time.Duration, error) {
	if g.dir == "" {
		return cpu(g.roots...)
	}
	text, err := os.ReadFile(g.account)
	if err != nil {
		return 0, err
	}
	return parseAccount(string(text))
}

// parseAccount reads cpu.stat (usage_usec N) and cpuacct.usage (nanoseconds).
func parseAccount(text string) (time.Duration, error) {
	unit := time.Nanosecond
	first, _, _ := strings.Cut(text, "\n")
	if rest, ok := strings.CutPrefix(first, "usage_usec "); ok {
		first, unit = rest, time.Microsecond
	}
	n, err := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("processor time of a group: %w", err)
	}
	return time.Duration(n) * unit, nil
}

// list are the processes alive.
func (g *group) list() ([]stat, error) {
	if g.dir == "" {
		return tree(g.roots...)
	}
	text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	var out []stat
	for field := range bytes.FieldsSeq(text) {
		pid, err := strconv.Atoi(string(field))
		if err != nil {
			return nil, err
		}
		if s, err := readStat(pid); err == nil { // else it ended meanwhile
			out = append(out, s)
		}
	}
	return out, nil
}

// end kills what is left and removes the group.
func (g *group) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		alive, err := g.list()
		if err != nil {
			return err
		}
		for _, s := range alive {
			if err := syscall.Kill(s.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
		if len(alive) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes could not be killed", len(alive))
		case <-tick.C:
		}
	}
	if g.dir == "" {
		return nil
	}
	return g.remove(ctx, tick)
}

// remove waits until the kernel has let go of the last process.
func (g *group) remove(ctx context.Context, tick *time.Ticker) error {
	for {
		err := os.Remove(g.dir)
		if err == nil || !errors.Is(err, syscall.EBUSY) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
