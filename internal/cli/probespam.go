package cli

import (
	"context"
	"log/slog"

	"postroad/internal/app"
)

// checkSpamFilter has the spam filter judge the message that is spam to every
// filter: that it answers alone does not say that it judges.
func (p *probe) checkSpamFilter(ctx context.Context) finding {
	at := p.cfg.SpamFilter.String()
	f, err := app.SpamFilter(p.cfg, p.e.clock(), slog.New(slog.DiscardHandler))
	if err != nil {
		return broken("correct --spam-filter", "%v", err)
	}
	began := p.e.clock().Now()
	v, err := f.Probe(ctx)
	took := p.e.clock().Now().Sub(began).Round(1e6)
	switch {
	case err != nil:
		return broken("start it, or correct --spam-filter; until then mail passes unchecked", "%s: %v", at, err)
	case !v.Spam:
		return warned("look at its settings: it should know the test message GTUBE", "%s answers in %s, but calls the test message no spam (%g of %g)", at, took, v.Score, v.Required)
	}
	return good("%s knows the test message as spam (%g of %g), answered in %s", at, v.Score, v.Required, took)
}
