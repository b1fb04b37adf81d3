package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of processor times in /proc (USER_HZ, 100 on every
// Linux that Go runs on).
const clockTick = 10 * time.Millisecond

// stat is what the rig reads of /proc/PID/stat.
type stat struct {
	pid, parent int
	cpu         time.Duration // own, and of children that ended and were waited for
	resident    int64         // bytes
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(text))
}

// parseStat reads a line of /proc/PID/stat (proc(5)). The name in the second
// field may hold spaces and brackets.
func parseStat(text string) (stat, error) {
	left, right, ok := cutLast(text, ")")
	fields := strings.Fields(right)
	if !ok || len(fields) < 22 {
		return stat{}, fmt.Errorf("stat: %q", text)
	}
	number, _, _ := strings.Cut(left, " ")
	var failed error
	n := func(s string) int64 {
		v, err := strconv.ParseInt(s, 10, 64)
		failed = errors.Join(failed, err)
		return v
	}
	s := stat{pid: int(n(number)), parent: int(n(fields[1]))}
	for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime
		s.cpu += time.Duration(n(fields[i])) * clockTick
	}
	s.resident = n(fields[21]) * int64(os.Getpagesize())
	return s, failed
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// tree lists the processes under the roots, the roots included.
func tree(roots ...int) ([]stat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	all := map[int]stat{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s, err := readStat(pid)
		if errors.Is(err, fs.ErrNotExist) || strings.Contains(fmt.Sprint(err), "no such process") {
			continue // ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		all[pid] = s
	}
	var out []stat
	for _, s := range all {
		if under(all, s.pid, roots) {
			out = append(out, s)
		}
	}
	return out, nil
}

func under(all map[int]stat, pid int, roots []int) bool {
	for range 64 {
		for _, r := range roots {
			if pid == r {
				return true
			}
		}
		s, ok := all[pid]
		if !ok || s.parent <= 1 {
			return false
		}
		pid = s.parent
	}
	return false
}

// cpu is the processor time of the processes under the roots so far.
func cpu(roots ...int) (time.Duration, error) {
	list, err := tree(roots...)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, s := range list {
		sum += s.cpu
	}
	return sum, nil
}

// peak is the most memory the processes of a system held at one time.
type peak struct {
	resident     int64 // shared pages counted in each process
	proportional int64 // shared pages divided among the processes that share them
	processes    int
}

// treeOf lists the processes under one.
func treeOf(pid int) func() ([]stat, error) {
	return func() ([]stat, error) { return tree(pid) }
}

// watchMemory samples the listed processes until ctx ends and sends the peak.
func watchMemory(ctx context.Context, listed func() ([]stat, error)) <-chan peak {
	out := make(chan peak, 1)
	go func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		var p peak
		for i := 0; ; i++ {
			list, err := listed()
			if err == nil {
				p.add(list, i%4 == 1)
			}
			select {
			case <-ctx.Done():
				out <- p
				return
			case <-tick.C:
			}
		}
	}()
	return out
}

func (p *peak) add(list []stat, proportional bool) {
	var resident, pss int64
	for _, s := range list {
		resident += s.resident
		if proportional {
			pss += readPSS(s.pid)
		}
	}
	p.resident = max(p.resident, resident)
	p.proportional = max(p.proportional, pss)
	p.processes = max(p.processes, len(list))
}

// readPSS returns the proportional set size in bytes, 0 for a process that is
// gone.
func readPSS(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) >= 2 && f[0] == "Pss:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}
