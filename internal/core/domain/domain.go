package domain

import (
	"maps"
	"slices"
	"time"
)

// The states of a domain.
const (
	Unverified = "unverified"
	Active     = "active"
	Disabled   = "disabled"
)

// The types of a domain.
const (
	Custom  = "custom"
	Sandbox = "sandbox"
)

// Domain is a domain mail is sent from. It is shared: do not modify it.
type Domain struct {
	ID        int64
	PublicID  string // 24 hexadecimal digits
	Name      string // lower case, A-labels
	AccountID string
	State     string // Unverified, Active or Disabled
	Type      string // Custom or Sandbox
	Authority string // name of the domain whose DKIM keys sign, often Name
	Settings  Settings
	Records   []Record // as of the last check; none before the first
	CheckedAt time.Time
	CreatedAt time.Time
}

// Settings is what the API stores for a domain and no query selects by.
type Settings struct {
	Wildcard                   bool         `json:"wildcard,omitempty"` // take mail for subdomains too
	SpamAction                 string       `json:"spam_action"`        // disabled, block or tag
	RequireTLS                 bool         `json:"require_tls,omitempty"`
	SkipVerification           bool         `json:"skip_verification,omitempty"` // of the receiver's certificate
	WebScheme                  string       `json:"web_scheme"`                  // of tracking links: http or https
	WebPrefix                  string       `json:"web_prefix"`                  // host label of tracking links
	SMTPLogin                  string       `json:"smtp_login"`
	UseAutomaticSenderSecurity bool         `json:"use_automatic_sender_security,omitempty"`
	EncryptIncomingMessage     bool         `json:"encrypt_incoming_message,omitempty"`
	MessageTTL                 int64        `json:"message_ttl"` // seconds stored messages are kept
	MailFromHost               string       `json:"mailfrom_host,omitempty"`
	ArchiveTo                  string       `json:"archive_to,omitempty"`    // URL that gets a copy of delivered mail
	TrackingHost               string       `json:"tracking_host,omitempty"` // "" means WebPrefix.Name
	ForceDKIMAuthority         bool         `json:"force_dkim_authority,omitempty"`
	DKIMHost                   string       `json:"dkim_host,omitempty"` // signing domain; "" means the authority
	DKIMSelector               string       `json:"dkim_selector"`       // of the domain's first key
	Disabled                   *DisabledFor `json:"disabled,omitempty"`  // set while the state is Disabled
	Tracking                   Tracking     `json:"tracking"`
	IPs                        []string     `json:"ips,omitempty"` // addresses to send from; none means all
	PoolID                     string       `json:"pool_id,omitempty"`
}

// DisabledFor says why a domain is disabled.
type DisabledFor struct {
	Code        string `json:"code"`
	Note        string `json:"note"`
	Permanently bool   `json:"permanently"`
	Reason      string `json:"reason"`
	Until       string `json:"until,omitempty"` // RFC 1123 time
}

// Tracking is what is done to a message to learn what becomes of it.
type Tracking struct {
	Open        OpenTracking        `json:"open"`
	Click       ClickTracking       `json:"click"`
	Unsubscribe UnsubscribeTracking `json:"unsubscribe"`
}

// Active reports whether anything is tracked.
func (t *Tracking) Active() bool {
	return t.Open.Active || t.Unsubscribe.Active || t.Click.Active != ClickNo
}

// OpenTracking adds a pixel to HTML parts.
type OpenTracking struct {
	Active        bool `json:"active" doc:"Whether opens are tracked"`
	PlaceAtTheTop bool `json:"place_at_the_top" doc:"Whether the pixel is at the top of the HTML instead of its end"`
}

// The values of ClickTracking.Active.
const (
	ClickYes      = "yes"
	ClickNo       = "no"
	ClickHTMLOnly = "htmlonly" // links of the HTML part only
)

// ClickTracking rewrites links.
type ClickTracking struct {
	Active string `json:"active"` // ClickYes, ClickNo or ClickHTMLOnly
}

// UnsubscribeTracking adds footers with a link to unsubscribe.
type UnsubscribeTracking struct {
	Active     bool   `json:"active" doc:"Whether the footers are added"`
	HTMLFooter string `json:"html_footer" doc:"Footer of HTML parts; %unsubscribe_url% stands for the link"`
	TextFooter string `json:"text_footer" doc:"Footer of text parts; %unsubscribe_url% stands for the link"`
}

// Mailgun: the settings of a new domain, footers included.
const (
	DefaultTTL        = 259200 // three days, in seconds; stands for the server's retention
	defaultPrefix     = "email"
	defaultHTMLFooter = "\n<br>\n<p><a href=\"%unsubscribe_url%\">unsubscribe</a></p>\n"
	defaultTextFooter = "\n\nTo unsubscribe click: <%unsubscribe_url%>\n\n"

	// DefaultSelector is the selector of a domain's first DKIM key. It never
	// changes by itself, so that the record to publish is the same for all.
	DefaultSelector = "postroad"

	postmaster = "postmaster"
)

func defaultSettings(name string) Settings {
	return Settings{
		SpamAction: "disabled", WebScheme: "http", WebPrefix: defaultPrefix,
		SMTPLogin: postmaster + "@" + name, MessageTTL: DefaultTTL, DKIMSelector: DefaultSelector,
		Tracking: Tracking{
			Click:       ClickTracking{Active: ClickNo},
			Unsubscribe: UnsubscribeTracking{HTMLFooter: defaultHTMLFooter, TextFooter: defaultTextFooter},
		},
	}
}

// TrackingHost returns the host name of the domain's tracking links.
func (d *Domain) TrackingHost() string {
	if d.Settings.TrackingHost != "" {
		return d.Settings.TrackingHost
	}
	return d.Settings.WebPrefix + "." + d.Name
}

// SigningDomain returns the d= value of the domain's signatures.
func (d *Domain) SigningDomain() string {
	if d.Settings.DKIMHost != "" {
		return d.Settings.DKIMHost
	}
	return d.Authority
}

// clone returns a copy that may be changed.
func (d *Domain) clone() *Domain {
	c := *d
	c.Records = slices.Clone(d.Records)
	c.Settings.IPs = slices.Clone(d.Settings.IPs)
	return &c
}

// Record is a DNS record a domain needs, as the API shows it.
type Record struct {
	Active   bool     `json:"is_active" doc:"Whether it is in use: false for a DKIM key that does not sign"`
	Cached   []string `json:"cached" doc:"What the last check found"`
	Name     string   `json:"name,omitempty" doc:"Name of the record; absent for MX"`
	Priority string   `json:"priority,omitempty" doc:"Of MX records"`
	Type     string   `json:"record_type" doc:"MX, TXT or CNAME"`
	Valid    string   `json:"valid" doc:"unknown, valid or invalid"`
	Value    string   `json:"value" doc:"What it should be"`
}

// The values of Record.Valid.
const (
	Unknown = "unknown" // not checked, or the DNS did not answer
	Valid   = "valid"
	Invalid = "invalid"
)

// merge gives wanted records what the last check found for them.
func merge(wanted, checked []Record) []Record {
	type key struct{ kind, name, value string }
	found := maps.Collect(func(yield func(key, Record) bool) {
		for _, r := range checked {
			if !yield(key{r.Type, r.Name, r.Value}, r) {
				return
			}
		}
	})
	for i, w := range wanted {
		if r, ok := found[key{w.Type, w.Name, w.Value}]; ok {
			wanted[i].Valid, wanted[i].Cached = r.Valid, r.Cached
		}
	}
	return wanted
}
