package config

import (
	"strings"
	"testing"
)

func TestSpamFilter(t *testing.T) {
	for text, want := range map[string]SpamFilter{
		"off": {}, "": {},
		"rspamd://127.0.0.1:11333":   {"rspamd", "tcp", "127.0.0.1:11333"},
		"rspamd://filter.internal":   {"rspamd", "tcp", "filter.internal:11333"},
		"spamd://[::1]/":             {"spamd", "tcp", "[::1]:783"},
		"spamd://localhost:7830":     {"spamd", "tcp", "localhost:7830"},
		"spamd:///run/spamd/s p.sck": {"spamd", "unix", "/run/spamd/s p.sck"},
	} {
		got, err := ParseSpamFilter(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		again, err := ParseSpamFilter(got.String())
		if err != nil || again != got {
			t.Errorf("%q: written as %q, read as %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"127.0.0.1:783", "http://127.0.0.1:11333", "spamd://", "spamd:///", "rspamd:///run/s", "rspamd://a:0", "rspamd://a:70000",
		"rspamd://u:p@a", "spamd://a?x", "spamd://a#x", "spamd://a/x", "spamd://a..b", "rspamd://[fe80::1%25eth0]:1", "rspamd://%zz", "spamd:/run/s\x00"} {
		if got, err := ParseSpamFilter(text); err == nil {
			t.Errorf("%q is taken: %+v", text, got)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("repeats a password: %v", err)
		}
	}
	c, _, _ := parse(t, Serve, []string{"--spam-filter", "spamd://127.0.0.1"}, []string{"POSTROAD_SPAM_FILTER_TIMEOUT=3s"}, nil)
	if c.SpamFilter.Address != "127.0.0.1:783" || c.SpamFilterTimeout.Seconds() != 3 || c.SpamFilterBytes != 512<<10 || c.SpamFilterSessions != 8 {
		t.Errorf("%+v", c)
	}
}
