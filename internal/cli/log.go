package cli

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"postroad/internal/config"
)

// logger writes text for people and JSON for programs. end writes what is held
// back; lines after it are written at once.
func logger(w io.Writer, cfg *config.Config) (log *slog.Logger, end func()) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		level = slog.LevelInfo // the configuration allows no other names
	}
	if cfg.Mode == config.Dev && cfg.Origin("log_level") == "default" {
		level = slog.LevelWarn // the panel shows what happens; the terminal stays readable
	}
	held := &heldLines{w: w}
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(held, o)
	if cfg.LogFormat == "json" || cfg.LogFormat == "auto" && !isTerminal(w) {
		h = slog.NewJSONHandler(held, o)
	}
	return slog.New(promptly{h, held}), held.end
}

// Lines of the log are held back for a moment so that one write takes many: at
// thousands of messages a second each has three. The first line after a quiet
// moment, and warnings and errors, are written at once.
const (
	holdLines = 100 * time.Millisecond
	holdBytes = 32 << 10
)

// heldLines is the writer of the log.
type heldLines struct {
	mu     sync.Mutex
	w      io.Writer
	buf    []byte
	timer  *time.Timer // real time: it only decides how many lines share a write
	busy   bool        // the timer runs
	direct bool        // nothing is held any more
}

// Write takes one line.
func (h *heldLines) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf = append(h.buf, line...)
	if !h.busy || h.direct || len(h.buf) >= holdBytes {
		h.flush()
	}
	if !h.busy && !h.direct {
		h.busy = true
		if h.timer == nil {
			h.timer = time.AfterFunc(holdLines, h.tick)
		} else {
			h.timer.Reset(holdLines)
		}
	}
	return len(line), nil
}

// tick writes what was held, and ends holding when that was nothing.
func (h *heldLines) tick() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy = len(h.buf) > 0 && !h.direct; h.busy {
		h.timer.Reset(holdLines)
	}
	h.flush()
}

func (h *heldLines) flush() {
	if len(h.buf) > 0 {
		_, _ = h.w.Write(h.buf) // there is no better place to say that it failed
	}
	if h.buf = h.buf[:0]; cap(h.buf) > 2*holdBytes {
		h.buf = nil
	}
}

func (h *heldLines) sync() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flush()
}

func (h *heldLines) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.direct = true
	h.flush()
}

// promptly is a handler whose warnings and errors are not held back.
type promptly struct {
	slog.Handler
	held *heldLines
}

// Handle implements slog.Handler.
func (p promptly) Handle(ctx context.Context, r slog.Record) error {
	err := p.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		p.held.sync()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (p promptly) WithAttrs(a []slog.Attr) slog.Handler {
	return promptly{p.Handler.WithAttrs(a), p.held}
}

// WithGroup implements slog.Handler.
func (p promptly) WithGroup(name string) slog.Handler {
	return promptly{p.Handler.WithGroup(name), p.held}
}
