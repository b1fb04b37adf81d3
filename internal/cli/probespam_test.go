package cli

import (
	"testing"
)

func TestCheckSpamFilter(t *testing.T) {
	answer := func(text string) *probe {
		return newTestProbe(t, mailZone(t), "--spam-filter", "spamd://"+speaking(t, text), "--spam-filter-timeout", "5s")
	}
	answer("SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1000.0 / 5.0\r\n\r\nGTUBE").checkSpamFilter(t.Context()).expect(t, stateOK, "knows the test message as spam (1000 of 5)")
	answer("SPAMD/1.1 0 EX_OK\r\nSpam: False ; 1.0 / 5.0\r\n\r\n").checkSpamFilter(t.Context()).expect(t, stateWarn, "calls the test message no spam (1 of 5)")
	answer("220 mail\r\n").checkSpamFilter(t.Context()).expect(t, stateFail, "no answer in its protocol")
	p := newTestProbe(t, mailZone(t), "--spam-filter", "rspamd://"+closedPort(t))
	p.checkSpamFilter(t.Context()).expect(t, stateFail, "connection refused")
	asked := false
	for _, s := range p.steps() {
		asked = asked || s.id == "spam-filter"
	}
	for _, s := range newTestProbe(t, mailZone(t)).steps() {
		if s.id == "spam-filter" {
			t.Error("a filter is asked though there is none")
		}
	}
	if !asked {
		t.Error("the filter is not asked")
	}
}
