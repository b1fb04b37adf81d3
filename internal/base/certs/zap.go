package certs

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLogger writes the ACME library's log into ours. What it calls information is
// for finding faults only: every step has a line.
func zapLogger(to *slog.Logger) *zap.Logger { return zap.New(zapCore{to}) }

type zapCore struct{ to *slog.Logger }

func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled implements zapcore.Core.
func (c zapCore) Enabled(l zapcore.Level) bool {
	return l > zapcore.DebugLevel && c.to.Enabled(context.Background(), slogLevel(l))
}

func attrs(fields []zapcore.Field) []any {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	out := make([]any, 0, 2*len(m.Fields))
	for _, f := range fields { // in their order
		if v, ok := m.Fields[f.Key]; ok {
			out = append(out, f.Key, v)
		}
	}
	return out
}

// With implements zapcore.Core.
func (c zapCore) With(fields []zapcore.Field) zapcore.Core {
	return zapCore{c.to.With(attrs(fields)...)}
}

// Check implements zapcore.Core.
func (c zapCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core.
func (c zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.to.Log(context.Background(), slogLevel(e.Level), "acme: "+e.Message, attrs(fields)...)
	return nil
}

// Sync implements zapcore.Core.
func (zapCore) Sync() error { return nil }
