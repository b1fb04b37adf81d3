package domain

import (
	"context"
	"strings"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

func (s *Service) settingOps() []op.Op {
	return []op.Op{
		op.New("GET", "/v3/domains/{name}/connection", op.Domains, op.Read, "Get the TLS settings of outgoing mail", s.getConnection),
		op.New("PUT", "/v3/domains/{name}/connection", op.Domains, op.Write, "Update the TLS settings of outgoing mail", s.putConnection),
		op.New("GET", "/v3/domains/{name}/tracking", op.Domains, op.Read, "Get tracking settings", s.getTracking),
		op.New("PUT", "/v3/domains/{name}/tracking/open", op.Domains, op.Write, "Update open tracking", s.putOpen),
		op.New("PUT", "/v3/domains/{name}/tracking/click", op.Domains, op.Write, "Update click tracking", s.putClick),
		op.New("PUT", "/v3/domains/{name}/tracking/unsubscribe", op.Domains, op.Write, "Update unsubscribe tracking", s.putUnsubscribe),
		op.New("PUT", "/v3/domains/{name}/web_prefix", op.Domains, op.Write, "Update the first label of the host of tracking links", s.putWebPrefix),
		op.New("PUT", "/v3/domains/{name}/dkim_authority", op.Domains, op.Write, "Change whose DKIM keys sign", s.putAuthority),
		op.New("PUT", "/v3/domains/{name}/dkim_selector", op.Domains, op.Write, "Change the selector of the DKIM key", s.putSelector),
	}
}

type connectionView struct {
	RequireTLS       bool `json:"require_tls" doc:"Whether mail goes out over TLS only"`
	SkipVerification bool `json:"skip_verification" doc:"Whether the receiver's certificate goes unchecked"`
}

func connection(d *Domain) connectionView {
	return connectionView{RequireTLS: d.Settings.RequireTLS, SkipVerification: d.Settings.SkipVerification}
}

// connectionOut has the settings twice: Mailgun's recorded answers are flat,
// its Go client reads the member connection.
type connectionOut struct {
	RequireTLS       bool           `json:"require_tls" doc:"Whether mail goes out over TLS only"`
	SkipVerification bool           `json:"skip_verification" doc:"Whether the receiver's certificate goes unchecked"`
	Connection       connectionView `json:"connection" doc:"The same, for clients that look here"`
}

func (s *Service) getConnection(ctx context.Context, in *domainIn) (*connectionOut, error) {
	d, err := s.owned(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	c := connection(d)
	return &connectionOut{RequireTLS: c.RequireTLS, SkipVerification: c.SkipVerification, Connection: c}, nil
}

type putConnectionIn struct {
	Name             string `path:"name" doc:"Name of the domain"`
	RequireTLS       *bool  `form:"require_tls" doc:"Send over TLS only"`
	SkipVerification *bool  `form:"skip_verification" doc:"Do not check the receiver's certificate"`
}

type putConnectionOut struct {
	Message          string `json:"message"`
	RequireTLS       bool   `json:"require_tls" doc:"Whether mail goes out over TLS only"`
	SkipVerification bool   `json:"skip_verification" doc:"Whether the receiver's certificate goes unchecked"`
}

func (s *Service) putConnection(ctx context.Context, in *putConnectionIn) (*putConnectionOut, error) {
	d, err := s.owned(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	d, err = s.Update(ctx, d, UpdateRequest{RequireTLS: in.RequireTLS, SkipVerification: in.SkipVerification})
	if err != nil {
		return nil, err
	}
	c := connection(d)
	return &putConnectionOut{
		Message:    "Domain connection settings have been updated, may take 10 minutes to fully propagate",
		RequireTLS: c.RequireTLS, SkipVerification: c.SkipVerification,
	}, nil
}

type clickView struct {
	// Active is a boolean or the text "htmlonly". Mailgun: both in one member.
	Active any `json:"active" doc:"true, false or htmlonly"`
}

func click(c ClickTracking) clickView {
	if c.Active == ClickHTMLOnly {
		return clickView{Active: ClickHTMLOnly}
	}
	return clickView{Active: c.Active == ClickYes}
}

type trackingView struct {
	Open        OpenTracking        `json:"open" doc:"Opens"`
	Click       clickView           `json:"click" doc:"Clicks"`
	Unsubscribe UnsubscribeTracking `json:"unsubscribe" doc:"Unsubscribe footers"`
	WebScheme   string              `json:"web_scheme" doc:"Of tracking links: http or https"`
}

type trackingOut struct {
	Tracking trackingView `json:"tracking" doc:"The settings"`
}

func (s *Service) getTracking(ctx context.Context, in *domainIn) (*trackingOut, error) {
	d, err := s.owned(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	t := d.Settings.Tracking
	s.hintLinks(ctx, d)
	return &trackingOut{trackingView{Open: t.Open, Click: click(t.Click), Unsubscribe: t.Unsubscribe, WebScheme: d.Settings.WebScheme}}, nil
}

const trackingUpdated = "Domain tracking settings have been updated"

// track changes the tracking settings of the domain the request names.
func (s *Service) track(ctx context.Context, name string, fn func(*Tracking)) (Tracking, error) {
	d, err := s.owned(ctx, name)
	if err == nil {
		d, err = s.SetTracking(ctx, d, fn)
	}
	if err != nil {
		return Tracking{}, err
	}
	s.hintLinks(ctx, d)
	return d.Settings.Tracking, nil
}

// hintLinks tells clients that tracking works and links do not look as the settings
// say.
func (s *Service) hintLinks(ctx context.Context, d *Domain) {
	if s.opt.LinkHint == nil || !d.Settings.Tracking.Active() {
		return
	}
	if why := s.opt.LinkHint(d); why != "" {
		op.RequestFrom(ctx).SetHeader("X-Hint", why)
	}
}

type putOpenIn struct {
	Name          string `path:"name" doc:"Name of the domain"`
	Active        *bool  `form:"active" doc:"Track opens"`
	PlaceAtTheTop *bool  `form:"place_at_the_top" doc:"Put the pixel at the top of the HTML"`
}

type putOpenOut struct {
	Message string       `json:"message"`
	Open    OpenTracking `json:"open" doc:"The settings"`
}

func (s *Service) putOpen(ctx context.Context, in *putOpenIn) (*putOpenOut, error) {
	t, err := s.track(ctx, in.Name, func(t *Tracking) {
		assign(&t.Open.Active, in.Active)
		assign(&t.Open.PlaceAtTheTop, in.PlaceAtTheTop)
	})
	return &putOpenOut{Message: trackingUpdated, Open: t.Open}, err
}

type putClickIn struct {
	Name   string  `path:"name" doc:"Name of the domain"`
	Active *string `form:"active" doc:"true, false or htmlonly; htmlonly leaves links of text parts alone"`
}

type putClickOut struct {
	Message string    `json:"message"`
	Click   clickView `json:"click" doc:"The settings"`
}

func (s *Service) putClick(ctx context.Context, in *putClickIn) (*putClickOut, error) {
	var active *string
	if in.Active != nil && *in.Active != "" {
		v, err := clickValue(*in.Active)
		if err != nil {
			return nil, err
		}
		active = &v
	}
	t, err := s.track(ctx, in.Name, func(t *Tracking) { assign(&t.Click.Active, active) })
	return &putClickOut{Message: trackingUpdated, Click: click(t.Click)}, err
}

func clickValue(s string) (string, error) {
	switch strings.ToLower(s) {
	case "yes", "true", "1", "on":
		return ClickYes, nil
	case "no", "false", "0", "off":
		return ClickNo, nil
	case ClickHTMLOnly:
		return ClickHTMLOnly, nil
	}
	return "", errs.New(errs.Invalid, "active must be one of yes, no, true, false, htmlonly")
}

type putUnsubscribeIn struct {
	Name       string  `path:"name" doc:"Name of the domain"`
	Active     *bool   `form:"active" doc:"Add the footers"`
	HTMLFooter *string `form:"html_footer" doc:"Footer of HTML parts; %unsubscribe_url% stands for the link; empty for none"`
	TextFooter *string `form:"text_footer" doc:"Footer of text parts; %unsubscribe_url% stands for the link; empty for none"`
}

type putUnsubscribeOut struct {
	Message     string              `json:"message"`
	Unsubscribe UnsubscribeTracking `json:"unsubscribe" doc:"The settings"`
}

func (s *Service) putUnsubscribe(ctx context.Context, in *putUnsubscribeIn) (*putUnsubscribeOut, error) {
	t, err := s.track(ctx, in.Name, func(t *Tracking) {
		assign(&t.Unsubscribe.Active, in.Active)
		assign(&t.Unsubscribe.HTMLFooter, in.HTMLFooter)
		assign(&t.Unsubscribe.TextFooter, in.TextFooter)
	})
	return &putUnsubscribeOut{Message: trackingUpdated, Unsubscribe: t.Unsubscribe}, err
}

type putWebPrefixIn struct {
	Name      string  `path:"name" doc:"Name of the domain"`
	WebPrefix *string `form:"web_prefix" doc:"First label of the host of tracking links; its CNAME record must change with it"`
}

func (s *Service) putWebPrefix(ctx context.Context, in *putWebPrefixIn) (*op.Message, error) {
	d, err := s.owned(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if _, err := s.Update(ctx, d, UpdateRequest{WebPrefix: in.WebPrefix}); err != nil {
		return nil, err
	}
	return &op.Message{Message: "Domain web prefix updated"}, nil
}

type putAuthorityIn struct {
	Name string `path:"name" doc:"Name of the domain"`
	Self bool   `form:"self" doc:"true: sign with its own keys; false: with those of the registered root domain"`
}

type putAuthorityOut struct {
	Message string   `json:"message"`
	Sending []Record `json:"sending_dns_records" doc:"Records for sending mail"`
	Changed bool     `json:"changed" doc:"Whether the authority is another one now"`
}

func (s *Service) putAuthority(ctx context.Context, in *putAuthorityIn) (*putAuthorityOut, error) {
	d, err := s.owned(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	d, changed, err := s.SetAuthority(ctx, d, in.Self)
	if err != nil {
		return nil, err
	}
	_, sending, err := s.DNSRecords(ctx, d)
	if err != nil {
		return nil, err
	}
	message := "Domain DKIM authority has not been changed"
	if changed {
		message = "Domain DKIM authority has been changed"
	}
	return &putAuthorityOut{Message: message, Sending: sending, Changed: changed}, nil
}

type putSelectorIn struct {
	Name     string `path:"name" doc:"Name of the domain"`
	Selector string `form:"dkim_selector" doc:"New selector; its record must be published under it. Nothing changes if absent"`
}

func (s *Service) putSelector(ctx context.Context, in *putSelectorIn) (*op.Message, error) {
	d, err := s.owned(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if in.Selector != "" {
		if _, err := s.SetSelector(ctx, d, in.Selector); err != nil {
			return nil, err
		}
	}
	return &op.Message{Message: "DKIM selector changed"}, nil
}
