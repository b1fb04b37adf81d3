package message

import (
	"strings"

	"postroad/internal/core/domain"
	"postroad/internal/mail/mime"
)

// track decides what is put into the copies of a submission, nil for nothing.
// What came from outside stays its author's, and a report about mail is not
// followed.
func (s *Service) track(sub *Submission) *Track {
	if sub.Meta.Foreign || sub.Meta.Report || s.LinkKey == nil {
		return nil
	}
	t := trackPlan(&sub.Domain.Settings.Tracking, &sub.Meta.Options)
	if sub.Meta.List != nil { // whose posts have a way out of their own
		t.Unsubscribe, t.HTMLFooter, t.TextFooter = false, "", ""
	}
	if t == (Track{}) && !mime.MentionsUnsubscribe(sub.MIME) {
		return nil // and a placeholder alone needs nothing but a base
	}
	t.Base = s.APIBase
	if s.TrackBase != nil {
		t.Base = s.TrackBase(sub.Domain)
	}
	if !secure(t.Base) && secure(s.APIBase) {
		t.Secure = s.APIBase
	}
	return &t
}

func secure(base string) bool { return strings.HasPrefix(base, "https://") }

// trackPlan weighs the options of a message against the settings of its domain.
// Mailgun: o:tracking is about clicks and opens, o:tracking-clicks and
// o:tracking-opens go before it, and all go before the domain.
func trackPlan(d *domain.Tracking, o *Options) Track {
	t := Track{Opens: d.Open.Active, PixelTop: d.Open.PlaceAtTheTop, Clicks: d.Click.Active}
	if o.Tracking != "" {
		t.Clicks, t.Opens = o.Tracking, o.Tracking != domain.ClickNo
	}
	if o.TrackingClicks != "" {
		t.Clicks = o.TrackingClicks
	}
	if o.TrackingOpens != "" {
		t.Opens = o.TrackingOpens != domain.ClickNo
	}
	if o.TrackingPixelTop != "" {
		t.PixelTop = o.TrackingPixelTop != domain.ClickNo
	}
	if t.Clicks == domain.ClickNo {
		t.Clicks = ""
	}
	t.PixelTop = t.PixelTop && t.Opens
	if d.Unsubscribe.Active {
		t.Unsubscribe, t.HTMLFooter, t.TextFooter = true, d.Unsubscribe.HTMLFooter, d.Unsubscribe.TextFooter
	}
	return t
}
