package app

import (
	"log/slog"

	"postroad/internal/base/clock"
	"postroad/internal/config"
	"postroad/internal/core/spam"
)

// SpamFilter makes the spam filter of the settings; nil when there is none.
func SpamFilter(c *config.Config, clock clock.Clock, log *slog.Logger) (*spam.Filter, error) {
	if c.SpamFilter.Network == "" {
		return nil, nil
	}
	return spam.New(spam.Config{Protocol: c.SpamFilter.Protocol, Network: c.SpamFilter.Network, Address: c.SpamFilter.Address,
		Password: string(c.SpamFilterPassword), Hostname: c.Hostname, Timeout: c.SpamFilterTimeout, MaxBytes: int(c.SpamFilterBytes),
		Concurrency: c.SpamFilterSessions, Clock: clock, Logger: log})
}

// countSpam tells count of the filter's numbers, if there is a filter.
func (a *App) countSpam(count func(name, help string, read func() int64)) {
	if a.spam == nil {
		return
	}
	s := &a.spam.Stats
	count("postroad_spam_checked_total", "Messages the spam filter judged", s.Checked.Load)
	count("postroad_spam_found_total", "Messages the spam filter called spam", s.Spam.Load)
	count("postroad_spam_partial_total", "Messages the spam filter judged by their head", s.Partial.Load)
	count("postroad_spam_unchecked_total", "Messages that passed because the spam filter was not available", s.Unchecked.Load)
	count("postroad_spam_failures_total", "Checks that the spam filter failed at", s.Failures.Load)
}
