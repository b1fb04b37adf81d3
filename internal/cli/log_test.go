package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"postroad/internal/config"
)

// lockedBuffer may be read while a timer writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), "\n")
}

// TestLogIsHeldBackBriefly: a warning takes what came before it along, the end
// takes the rest, and afterwards nothing is held.
func TestLogIsHeldBackBriefly(t *testing.T) {
	var out lockedBuffer
	log, end := logger(&out, &config.Config{Mode: config.Serve, LogLevel: "info", LogFormat: "json"})
	log.Info("first after quiet")
	if got := out.lines(); got != 1 {
		t.Fatalf("%d lines after the first, want it at once", got)
	}
	log.With("a", 1).Info("second")
	log.WithGroup("g").Warn("third")
	if got := out.lines(); got != 3 {
		t.Fatalf("%d lines after a warning, want 3", got)
	}
	log.Info("fourth")
	end()
	log.Info("fifth")
	if got := out.lines(); got != 5 {
		t.Fatalf("%d lines after the end, want 5", got)
	}
}

// TestManyLinesShareAWrite counts writes: held lines are not written one by one,
// and no more than a bound of them is held.
func TestManyLinesShareAWrite(t *testing.T) {
	writes := 0
	h := &heldLines{w: writerFunc(func(p []byte) (int, error) { writes++; return len(p), nil })}
	log := slog.New(promptly{slog.NewJSONHandler(h, nil), h})
	const lines = 2000
	for range lines {
		log.Info("line", "filling", strings.Repeat("x", 50))
	}
	h.end()
	if writes < 3 || writes > lines/20 {
		t.Errorf("%d writes for %d lines", writes, lines)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
