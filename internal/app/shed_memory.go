package app

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"
)

// machine reads what Linux says of memory. root is "/", or a directory that
// looks like it in tests.
type machine struct{ root string }

func (m machine) read(path string) (string, error) {
	b, err := os.ReadFile(filepath.Join(m.root, path))
	return string(b), err
}

// resident is the memory of this process that is in RAM, in bytes (proc(5),
// /proc/self/statm, second number).
func (m machine) resident() (int64, error) {
	text, err := m.read("proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/self/statm: %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || pages < 0 {
		return 0, fmt.Errorf("/proc/self/statm: %q", text)
	}
	return pages * int64(os.Getpagesize()), nil
}

// goMemory is what the Go runtime has from the system and not given back: all
// there is to know where there is no /proc.
func goMemory() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}

// used is the memory this process takes.
func (m machine) used() (int64, error) {
	n, err := m.resident()
	if errors.Is(err, os.ErrNotExist) {
		return goMemory(), nil
	}
	return n, err
}

// limit is how much memory this process may take when nobody has said: what its
// container has, if that is less than the machine has, or three quarters of the
// machine's. 0 means that it cannot be found out. from says where it is from.
func (m machine) limit() (n int64, from string) {
	total := m.total()
	n = m.cgroupLimit()
	switch {
	case n != math.MaxInt64 && (total == 0 || n < total):
		return n, "cgroup"
	case total > 0:
		return total / 4 * 3, "75 % of memory"
	}
	return 0, "unknown"
}

// total is the machine's memory (proc(5), /proc/meminfo), 0 if it is not known.
func (m machine) total() int64 {
	text, err := m.read("proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "MemTotal:")
		if !ok {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil || kb < 0 || kb > math.MaxInt64>>10 {
			return 0
		}
		return kb << 10
	}
	return 0
}

// cgroupLimit is the least limit of the groups this process is in, from its own
// up to the root, MaxInt64 for none (cgroups(7); version 2: memory.max, version
// 1: memory.limit_in_bytes). In a container the path may be one of the host's
// that is not there; the root of what is mounted is the container's group then.
func (m machine) cgroupLimit() int64 {
	text, err := m.read("proc/self/cgroup")
	if err != nil {
		return math.MaxInt64
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			least = min(least, m.climb("sys/fs/cgroup", parts[2], "memory.max"))
		case strings.Contains(","+parts[1]+",", ",memory,"):
			least = min(least, m.climb("sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"))
		}
	}
	return least
}

func (m machine) climb(mount, group, file string) int64 {
	least := int64(math.MaxInt64)
	for at := filepath.Clean("/" + group); ; at = filepath.Dir(at) {
		if b, err := os.ReadFile(filepath.Join(m.root, mount, at, file)); err == nil {
			// "max", and version 1's number that no machine has, are no limits.
			if n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64); err == nil && n > 0 && n < 1<<60 {
				least = min(least, n)
			}
		}
		if at == "/" || at == "." {
			return least
		}
	}
}
