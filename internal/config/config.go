package config

import (
	"errors"
	"fmt"
	"time"
)

// Mode says which command is started; some defaults depend on it.
type Mode int

const (
	// Dev captures mail on a developer's machine.
	Dev Mode = iota
	// Serve delivers mail.
	Serve
)

// String is the name of the command.
func (m Mode) String() string {
	if m == Dev {
		return "dev"
	}
	return "serve"
}

// Config holds the settings in force.
//
// The tags of a field: name (file key; flag and variable follow from it), doc
// (one sentence), default or dev and serve (a default for both modes or one
// each), shown (what the generated texts give as default when it is computed),
// arg (placeholder), only (the one mode in which it has a meaning), secret
// (never shown, and readable from a file named by NAME_FILE), env (a variable of
// another name, read when ours is not set), insecure (what being on gives up),
// nofile (not a key of the file).
type Config struct {
	// Mode is the mode the settings were read for.
	Mode Mode

	File string `name:"config" arg:"FILE" nofile:"true" shown:"DATA/postroad.toml; with serve also /etc/postroad.toml" doc:"File to read settings from."`
	Data string `name:"data" arg:"DIR" shown:"the user's data directory; with serve as root /var/lib/postroad" doc:"Directory everything is kept in."`

	HTTP           Listen      `name:"http" arg:"HOST:PORT" dev:"127.0.0.1:8025" serve:":8080" doc:"Address of the API and the control panel over HTTP; \"off\" for none."`
	HTTPS          Listen      `name:"https" arg:"HOST:PORT" dev:"127.0.0.1:8026" serve:"off" shown:"dev: 127.0.0.1:8026; serve: off, with acme_agree_terms :443" doc:"Address of the API and the control panel over HTTPS; \"off\" for none."`
	SMTP           MailListens `name:"smtp" arg:"[SERVICE://]HOST:PORT" dev:"127.0.0.1:1025" serve:":25,:587,:2525,:465" doc:"Addresses that take mail over SMTP, separated by commas or given more than once; \"off\" for none. Services: smtp (from anybody for own domains, from clients that log in for any), submission (only clients that log in), submissions (the same with TLS from the start). Without a service the port decides: 587 and 2525 are submission, 465 is submissions, any other smtp. Those of the default that cannot be opened are left out with a warning."`
	SMTPTrust      string      `name:"smtp_trust" arg:"CIDRS" only:"serve" insecure:"clients of these networks send as any domain of the server" doc:"Addresses or networks, separated by commas, whose clients submit mail over SMTP without login, as the domain of the envelope sender."`
	SMTPProxy      string      `name:"smtp_proxy" arg:"CIDRS" only:"serve" doc:"Addresses or networks of proxies in front of the SMTP listeners: connections from there must begin with a PROXY protocol header (version 1 or 2), which names the client."`
	SMTPXClient    string      `name:"smtp_xclient" arg:"CIDRS" only:"serve" insecure:"clients of these networks say who they are on whose behalf" doc:"Addresses or networks whose clients may name the client they speak for (Postfix's XCLIENT)."`
	SMTPRate       int         `name:"smtp_rate" arg:"N" only:"serve" serve:"6000" min:"0" doc:"New SMTP connections a minute from one address (an IPv6 /64 counts as one); 0 for no limit."`
	TLSCert        string      `name:"tls_cert" arg:"FILE" doc:"Certificate chain in PEM for HTTPS and SMTP; read again when it changes and at SIGHUP."`
	TLSKey         string      `name:"tls_key" arg:"FILE" doc:"Private key in PEM that belongs to tls_cert."`
	ACMEAgreeTerms bool        `name:"acme_agree_terms" only:"serve" doc:"Gets certificates from an ACME authority, to whose terms of service you agree with it."`
	ACMEEmail      string      `name:"acme_email" arg:"ADDRESS" only:"serve" doc:"Address the ACME authority may write to."`
	ACMENames      string      `name:"acme_names" arg:"NAMES" only:"serve" doc:"Host names to get certificates for besides hostname, separated by commas."`
	ACMEDirectory  string      `name:"acme_directory" arg:"URL" only:"serve" default:"https://acme-v02.api.letsencrypt.org/directory" doc:"Directory of the ACME authority."`
	ACMERoots      string      `name:"acme_roots" arg:"FILE" only:"serve" doc:"Certificates in PEM that the ACME directory's own is verified with, besides the system's."`
	Hostname       string      `name:"hostname" arg:"NAME" shown:"the machine's name" doc:"Own host name, used in HELO, Message-ID and Received."`
	TrustedProxies string      `name:"trusted_proxies" arg:"CIDRS" doc:"Reverse proxies, as addresses or networks separated by commas, whose X-Forwarded-For, -Proto and -Host are believed."`
	PanelURL       string      `name:"panel_url" arg:"URL" doc:"Public base URL of the control panel, used in links."`

	Database Secret `name:"database" arg:"URL" secret:"true" shown:"SQLite in data" doc:"PostgreSQL to use (postgres://...)."`
	AdminKey Secret `name:"admin_key" arg:"KEY" secret:"true" doc:"API key with all rights, valid besides those in the database."`

	DNS             Listen   `name:"dns" arg:"HOST:PORT" shown:"the system's resolvers" doc:"DNS resolver to ask."`
	Relay           Relays   `name:"relay" arg:"PATTERN=URL" secret:"true" doc:"Sends mail for matching recipient domains through another server: PATTERN=smtp://[USER:PASSWORD@]HOST:PORT, or smtps for TLS from the start. PATTERN is example.com, *.example.com (subdomains), .example.com (both) or *. May be given more than once."`
	RelayWithoutTLS bool     `name:"relay_without_tls" insecure:"mail and passwords may travel to relays unencrypted" doc:"Uses a relay even if it offers no TLS."`
	Source          Sources  `name:"source" arg:"NAME=ADDRESS" doc:"Address mail leaves from: NAME=ADDRESS,helo=NAME,pool=NAME,weight=N with an IPv4 address, an IPv6 address or one of each; the rest may be left out. May be given more than once; without any the system chooses."`
	Retry           Schedule `name:"retry" arg:"DURATIONS" default:"10m,10m,15m,30m,1h,2h,4h" doc:"Pauses between delivery attempts; after the last the delivery has failed."`
	RSA             string   `name:"rsa" arg:"BACKEND" default:"auto" oneof:"auto go" doc:"What makes DKIM's RSA signatures: auto takes the fastest that the machine offers, go the standard library's."`
	Workers         int      `name:"workers" arg:"N" default:"128" min:"1" max:"100000" doc:"Number of deliveries that run at the same time."`
	LaneStart       int      `name:"lane_start" arg:"N" default:"5" min:"1" max:"10000" doc:"Sessions a destination begins with; deliveries that succeed open more."`
	LaneSessions    int      `name:"lane_sessions" arg:"N" default:"64" min:"1" max:"10000" doc:"Sessions of a destination at most, where nothing better is known of its provider."`
	MaxMessage      Size     `name:"max_message" arg:"SIZE" default:"25MB" min:"1024" max:"50331648" doc:"Largest message accepted, at most 48 MB; 1 MB is 1,048,576 bytes."`

	SpamFilter         SpamFilter    `name:"spam_filter" arg:"URL" default:"off" doc:"Server that scores inbound mail: rspamd://HOST:PORT, spamd://HOST:PORT or spamd:///PATH of a socket (SpamAssassin); what follows is a setting of each domain."`
	SpamFilterPassword Secret        `name:"spam_filter_password" arg:"PASSWORD" secret:"true" doc:"Password of rspamd, if it wants one."`
	SpamFilterTimeout  time.Duration `name:"spam_filter_timeout" arg:"DURATION" default:"10s" min:"100000000" max:"300000000000" doc:"How long a message waits for the spam filter; then it passes unchecked, marked as such."`
	SpamFilterBytes    Size          `name:"spam_filter_bytes" arg:"SIZE" default:"512KB" min:"1024" max:"50331648" doc:"How much of a message the spam filter gets; of a larger one the head."`
	SpamFilterSessions int           `name:"spam_filter_sessions" arg:"N" default:"8" min:"1" max:"10000" doc:"Checks at the same time, no more than the spam filter has processes for."`

	MailgunSigningKey Secret `name:"mailgun_webhook_signing_key" env:"MAILGUN_WEBHOOK_SIGNING_KEY" arg:"KEY" secret:"true" doc:"Key that Mailgun signs webhooks with which /api/webhooks/mailgun takes, several separated by commas; without one those of this program's own accounts are taken."`
	ResendSecret      Secret `name:"resend_webhook_secret" env:"RESEND_WEBHOOK_SECRET" arg:"SECRET" secret:"true" doc:"Secret (whsec_...) that Resend signs webhooks with which /api/webhooks/resend takes, several separated by commas; without one none is taken."`

	MemoryLimit Size `name:"memory_limit" arg:"SIZE" shown:"the container's limit, else 75 % of the machine's memory" min:"67108864" doc:"Memory the program may take: above 90 % of it new mail is refused for the time being, below 80 % taken again."`
	QueueLimit  int  `name:"queue_limit" arg:"N" default:"10000000" min:"1" doc:"Number of unfinished deliveries at which new mail is refused for the time being; it is taken again below 90 % of it."`

	WorkspaceDomain     string `name:"workspace_domain" arg:"DOMAIN" doc:"Domain that mail of workspaces is sent from."`
	WorkspaceFrom       string `name:"workspace_from" arg:"ADDRESS" shown:"noreply@ and workspace_domain" doc:"Sender of mail of workspaces that names none."`
	WorkspaceMailgun    string `name:"workspace_mailgun" arg:"URL" shown:"this program" doc:"Mailgun API that mail of workspaces is sent through: us, eu or a base URL such as https://mail.example.com."`
	WorkspaceKey        Secret `name:"workspace_key" arg:"KEY" secret:"true" doc:"API key for workspace_mailgun."`
	WorkspaceSigningKey Secret `name:"workspace_signing_key" arg:"KEY" secret:"true" shown:"that of this program's first account" doc:"Key that signs the webhooks, and the posts of routes, about mail of workspaces."`
	WorkspaceJWTSecret  Secret `name:"workspace_jwt_secret" arg:"SECRET" secret:"true" doc:"Secret that verifies HS256 tokens of the workspace API."`
	WorkspaceJWKS       string `name:"workspace_jwks" arg:"FILE|URL" doc:"JWK set that verifies RS256 and ES256 tokens of the workspace API."`
	WorkspaceAudience   string `name:"workspace_audience" arg:"TEXT" doc:"Audience that tokens of the workspace API must have."`
	WorkspaceIssuer     string `name:"workspace_issuer" arg:"TEXT" doc:"Issuer that tokens of the workspace API must have."`
	WorkspaceClaim      string `name:"workspace_claim" arg:"NAME" shown:"workspaceId and workspaces" doc:"Claim that has the workspaces of a token, a text or a list; dots lead into members."`

	MaxRoutes     int `name:"max_routes" arg:"N" default:"0" min:"0" doc:"Routes an account may have; 0 for any number."`
	SandboxRoutes int `name:"sandbox_routes" arg:"N" default:"0" min:"0" doc:"Routes that are run for a message to a sandbox domain; 0 for all that match."`

	GeoIPFile string `name:"geoip_file" arg:"FILE" doc:"File in MMDB format that tells where opens and clicks come from (MaxMind's and DB-IP's country or city files); read again when it changes. Without one places are Unknown."`

	Gateway         bool   `name:"gateway" default:"true" doc:"Serves the multi-provider API under /api/email."`
	MailgunURL      string `name:"mailgun_url" arg:"URL" default:"local" doc:"Mailgun API that mail of the integration APIs goes through: local (this program), us or eu (Mailgun itself, by region), or the base URL of another."`
	MailgunDomain   string `name:"mailgun_domain" arg:"DOMAIN" env:"MAILGUN_DOMAIN" shown:"that of the sender" doc:"Domain that mail of the integration APIs is sent from through mailgun_url."`
	MailgunAPIKey   Secret `name:"mailgun_api_key" arg:"KEY" secret:"true" env:"MAILGUN_API_KEY" doc:"Own API key for mailgun_url: to take over from Resend, and to know its owner by."`
	ResendURL       string `name:"resend_url" arg:"URL" default:"https://api.resend.com" doc:"Base URL of the Resend API."`
	ResendAPIKey    Secret `name:"resend_api_key" arg:"KEY" secret:"true" env:"RESEND_API_KEY" doc:"Own API key of Resend: to take over from Mailgun, and to know its owner by."`
	GatewayFailover bool   `name:"gateway_failover" doc:"Sends by the other provider, with its own API key of these settings, when the one that was asked for is not there or refuses for the time being."`
	ParticipantsURL string `name:"participants_url" arg:"URL" default:"off" doc:"URL that knows participants by their ids: {\"ids\":[...]} is posted to it, and it may be internal; off for those loaded by API."`

	Retention       time.Duration `name:"retention" arg:"DURATION" default:"72h" min:"0" doc:"How long message bodies are kept after acceptance; never less than delivery needs."`
	ShutdownTimeout time.Duration `name:"shutdown_timeout" arg:"DURATION" default:"30s" min:"0" doc:"How long a stop waits for work in progress."`

	Strict           bool `name:"strict" only:"dev" doc:"Answers like production: domains and keys must exist, domains must be verified."`
	AssumeVerified   bool `name:"assume_verified" insecure:"domains send without proof that they are the sender's" doc:"Treats every domain as verified."`
	AllowPrivateURLs bool `name:"allow_private_urls" dev:"true" serve:"false" insecure:"users can make the server call addresses of the internal network" doc:"Lets webhooks and routes call private and loopback addresses."`
	AnyTrackingHost  bool `name:"any_tracking_host" dev:"true" serve:"false" insecure:"tracking links are answered on every host name" doc:"Answers tracking links whatever the host name in the request."`

	LogLevel  string `name:"log_level" arg:"LEVEL" default:"info" oneof:"debug info warn error" doc:"Least severity that is logged."`
	LogFormat string `name:"log_format" arg:"FORMAT" default:"auto" oneof:"auto text json" doc:"Form of log lines; auto is text on a terminal and JSON elsewhere."`

	origins map[string]string // by name, where not a default
}

// Secret is a text that does not print itself. Convert it to string to use it.
type Secret string

// String hides the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the value from JSON and other encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

const redacted = "********"

// validate checks what concerns one option's meaning or several options.
func (c *Config) validate() error {
	return errors.Join(
		c.checkDatabase(), checkPanelURL(c.PanelURL), checkHostname(c.Hostname), c.Relay.check(), c.Source.check(),
		c.checkTLS(), c.checkACME(), c.checkDNS(), c.checkListeners(), c.checkWorkspace(), c.checkGateway(),
	)
}

func (c *Config) checkDNS() error {
	if c.DNS != "" && (c.DNS.Host() == "" || c.DNS.Port() == 0) {
		return fmt.Errorf("--dns: %q needs a host and a port", c.DNS)
	}
	return nil
}

func (c *Config) checkTLS() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key must be given together")
	}
	return nil
}
