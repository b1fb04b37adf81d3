package httpapi

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// RequestRecord is what the panel's page of API requests shows of one request.
// It holds no secrets: neither header values nor body, and query values with
// a telling name are masked.
type RequestRecord struct {
	ID            string
	Time          time.Time
	Method        string
	Path          string // escaped, as sent
	Query         string
	Pattern       string // of the operation; "" when none matched
	Status        int    // 499 when the client left first
	KeyID         string
	AccountID     string
	RemoteIP      string
	UserAgent     string
	Duration      time.Duration
	ResponseBytes int64
	Error         string
	Hint          string
}

// Recorder keeps request records. Record is called once per API request, at
// its end and from its goroutine, so it must not block.
type Recorder interface {
	Record(RequestRecord)
}

// account writes the log line, the record and the metrics of the request.
func (c *call) account() {
	d := c.api.now().Sub(c.start)
	pattern := "none"
	if c.route != nil {
		pattern = c.route.op.Path
	}
	c.logLine(pattern, d)
	c.api.metrics.observe(pattern, c.r.Method, c.status, d)
	if rec := c.api.cfg.Recorder; rec != nil {
		rec.Record(c.record(d))
	}
}

func (c *call) logLine(pattern string, d time.Duration) {
	ctx, level := c.r.Context(), slog.LevelInfo
	if c.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	if !c.api.log.Enabled(ctx, level) {
		return
	}
	var in int64
	if c.body != nil {
		in = c.body.received
	}
	attrs := []slog.Attr{
		slog.String("method", clip(c.r.Method, 20)), slog.String("pattern", pattern), slog.Int("status", c.status),
		slog.Float64("ms", float64(d.Microseconds())/1000), slog.Int64("in", in), slog.Int64("out", c.written),
		slog.String("key", c.caller.KeyID), slog.String("account", c.caller.AccountID),
		slog.String("ip", c.req.RemoteIP), slog.String("id", c.req.ID),
	}
	if c.err != nil {
		attrs = append(attrs, slog.String("err", clip(c.err.Error(), 1000)))
	}
	if c.stack != nil {
		attrs = append(attrs, slog.String("stack", string(c.stack)))
	}
	c.api.log.LogAttrs(ctx, level, "request", attrs...)
}

func (c *call) record(d time.Duration) RequestRecord {
	rec := RequestRecord{
		ID: c.req.ID, Time: c.start, Method: clip(c.r.Method, 20), Path: clip(c.req.Path, 2048),
		Query: clip(maskQuery(c.req.RawQuery), 2048), Status: c.status,
		KeyID: c.caller.KeyID, AccountID: c.caller.AccountID, RemoteIP: c.req.RemoteIP,
		UserAgent: clip(c.req.UserAgent, 300), Duration: d, ResponseBytes: c.written, Hint: c.hint,
	}
	if c.route != nil {
		rec.Pattern = c.route.op.Path
	}
	if c.err != nil {
		rec.Error = clip(c.err.Error(), 1000)
	}
	return rec
}

// maskQuery hides the values of parameters named like secrets.
func maskQuery(raw string) string {
	if raw == "" {
		return ""
	}
	pairs := strings.Split(raw, "&")
	for i, p := range pairs {
		name, _, ok := strings.Cut(p, "=")
		if ok && secretName(strings.ToLower(unescapeLoose(name))) {
			pairs[i] = name + "=***"
		}
	}
	return strings.Join(pairs, "&")
}

func secretName(name string) bool {
	for _, word := range [...]string{"key", "passw", "secret", "token", "signature", "pem", "auth"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
