// Package useragent says what kind of program opened a message or followed a
// link, from the User-Agent it sent: a browser, a mail client, the image proxy of
// a mailbox provider, or a machine.
//
// Browsers and systems are the go-useragent library's; mail clients, proxies and
// scanners, which it does not know, are in a table of our own.
package useragent

import (
	"strings"
	"sync"

	lib "github.com/medama-io/go-useragent"
	"github.com/medama-io/go-useragent/agents"
)

// MaxLen is how much of a User-Agent is looked at, in bytes.
const MaxLen = 512

// Client is what a User-Agent says. The texts are those of Mailgun's events;
// what is not known is "unknown".
type Client struct {
	Type   string // browser, mobile browser, email client, feed reader, library, robot, unknown
	OS     string
	Device string // desktop, mobile, tablet, other, unknown
	Name   string
	Bot    Bot // told from the User-Agent alone
}

// Bot is the kind of machine that asks in place of a human. Mailgun: the values
// of client-info.bot.
type Bot string

// The bots.
const (
	Human   Bot = ""        // as far as can be told
	Apple   Bot = "apple"   // Mail Privacy Protection fetches every image
	Gmail   Bot = "gmail"   // Gmail fetches images before anybody looks
	Generic Bot = "generic" // a scanner, a preview, a script
)

const unknown = "unknown"

// Parser reads User-Agents. The zero Parser is ready; its tables are made at the
// first call, in about 25 ms. It is safe for concurrent use.
type Parser struct {
	once sync.Once
	lib  *lib.Parser
}

// Parse returns what s says. It takes time linear in MaxLen.
func (p *Parser) Parse(s string) Client {
	s = s[:min(len(s), MaxLen)]
	c := Client{Type: unknown, OS: unknown, Device: unknown, Name: unknown}
	switch s {
	case "":
		c.Bot = Generic // browsers and mail clients all send one
		return c
	case bare:
		c.Bot = Apple
		return c
	case gmailPrefetch:
		c.Type, c.Name, c.Bot = emailClient, "Gmail", Gmail
		return c
	}
	known := lookup(s)
	if known == nil || known.system {
		p.system(&c, s)
	}
	if known == nil {
		return c
	}
	c.Type, c.Name, c.Bot = known.kind, known.name, known.bot
	return c
}

// Proxy reports whether s is the image proxy through which Gmail shows pictures.
func Proxy(s string) bool { return strings.Contains(s, googleProxy) }

// system fills in what the library knows.
func (p *Parser) system(c *Client, s string) {
	p.once.Do(func() { p.lib = lib.NewParser() })
	a := p.lib.Parse(s)
	switch os := a.OS(); os {
	case "":
	case agents.OSMacOS:
		c.OS = "OS X" // Mailgun: as in its samples
	default:
		c.OS = string(os)
	}
	switch a.Device() {
	case agents.DeviceBot:
		c.Type, c.Name, c.Bot = "robot", robotName(s), Generic
		return
	case agents.DeviceDesktop:
		c.Device = "desktop"
	case agents.DeviceMobile:
		c.Device = "mobile"
	case agents.DeviceTablet:
		c.Device = "tablet"
	case agents.DeviceTV:
		c.Device = "other"
	}
	b := a.Browser()
	if b == "" {
		return
	}
	c.Type, c.Name = "browser", string(b)
	if c.Device == "mobile" || c.Device == "tablet" {
		c.Type = "mobile browser"
	}
	switch {
	case b == agents.BrowserSafari && c.OS == string(agents.OSIOS):
		c.Name = "Mobile Safari" // Mailgun: as in its samples
	case b == agents.BrowserChrome && strings.Contains(s, "Chromium/"):
		c.Name = "Chromium"
	}
}

// robotName is the product a robot names first, other than Mozilla.
func robotName(s string) string {
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" ;(),", r) }) {
		name, _, versioned := strings.Cut(word, "/")
		lower := strings.ToLower(name)
		if versioned && name != "Mozilla" && (strings.Contains(lower, "bot") || strings.Contains(lower, "spider") || strings.Contains(lower, "crawl") || strings.HasPrefix(name, "Headless")) {
			return name
		}
	}
	return unknown
}
