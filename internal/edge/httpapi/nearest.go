package httpapi

import (
	"strings"

	"postroad/internal/base/op"
)

// Bounds of the search for the nearest endpoint: strangers can ask for it.
const (
	maxHintPath     = 256
	maxHintSegments = 12
)

// shape is a pattern split for comparison; an empty segment stands for a value.
type shape struct {
	method, path string
	segments     []string
}

func newShape(o op.Op) shape {
	return shape{method: o.Method, path: o.Path, segments: shapeSegments(o.Path)}
}

func shapeSegments(pattern string) []string {
	segs := strings.Split(strings.Trim(pattern, "/"), "/")
	for i, s := range segs {
		if strings.Contains(s, "{") || s == "*" {
			segs[i] = ""
		}
	}
	return segs
}

// shapeKey is a pattern without the names of its values: two patterns with the
// same key answer the same paths.
func shapeKey(pattern string) string {
	var b strings.Builder
	for rest := pattern; ; {
		before, after, ok := strings.Cut(rest, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, tail, _ := strings.Cut(after, "}")
		_, rex, _ := strings.Cut(name, ":")
		b.WriteString("{" + rex + "}")
		rest = tail
	}
}

// nearest returns "METHOD /pattern" of the endpoint most like the request, or
// "" when nothing comes near.
func (rt *router) nearest(method, path string) string {
	if len(path) > maxHintPath {
		return ""
	}
	segs := strings.Split(strings.Trim(path, "/"), "/")
	if len(segs) > maxHintSegments {
		return ""
	}
	memo := make([]map[string]int, len(segs))
	for i := range memo {
		memo[i] = map[string]int{}
	}
	best, bestCost := -1, min(12, len(path)/3+2)
	for i, s := range rt.shapes {
		cost := pathDistance(segs, s.segments, memo)
		if s.method != method {
			cost += 2
		}
		if cost < bestCost {
			best, bestCost = i, cost
		}
	}
	if best < 0 {
		return ""
	}
	return rt.shapes[best].method + " " + rt.shapes[best].path
}

// pathDistance is the edit distance of two lists of segments, in letters. A
// value costs one so that a fixed segment that fits is preferred.
func pathDistance(a, b []string, memo []map[string]int) int {
	prev := make([]int, len(b)+1)
	next := make([]int, len(b)+1)
	for j, s := range b {
		prev[j+1] = prev[j] + dropCost(s)
	}
	for i, s := range a {
		next[0] = prev[0] + dropCost(s)
		for j, p := range b {
			cost, ok := 1, p == ""
			if !ok {
				cost, ok = memo[i][p]
			}
			if !ok {
				cost = distance(s, p)
				memo[i][p] = cost
			}
			next[j+1] = min(prev[j]+cost, prev[j+1]+dropCost(s), next[j]+dropCost(p))
		}
		prev, next = next, prev
	}
	return prev[len(b)]
}

func dropCost(seg string) int { return max(4, len(seg)) }

// distance is the Levenshtein distance in bytes, or the longer length where
// the lengths alone say that the words have nothing in common.
func distance(a, b string) int {
	if a == b {
		return 0
	}
	if d := len(a) - len(b); d > 4 || d < -4 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost = 1 + min(diag, row[j], row[j+1])
			}
			diag, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
