package useragent

import "strings"

const (
	// bare is what Apple's relays send for images of mail under Mail Privacy
	// Protection, and nothing more. Mailgun: page "Open and Click Bot Detection".
	bare = "Mozilla/5.0"
	// gmailPrefetch is what Gmail fetches images as while a session of the
	// recipient is open, before the message is shown; measured by SparkPost
	// (sparkpost.com/blog/gmail-prefetching-images) on 9.8 billion opens.
	gmailPrefetch = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
	// googleProxy marks pictures that Gmail shows somebody.
	googleProxy = "GoogleImageProxy"

	emailClient = "email client"
	library     = "library"
	robot       = "robot"
)

// agent is a program the library does not know, or takes for another.
type agent struct {
	mark   string // in the User-Agent, in lower case
	name   string
	kind   string
	bot    Bot
	system bool // the rest of the User-Agent tells the system
}

// table is looked through in order. Sources: the programs' own documentation
// and source where they have any, for scanners the User-Agents that senders
// report. Most link scanners look like browsers: those are told by what they do.
var table = [...]agent{
	// What shows pictures to people.
	{mark: "googleimageproxy", name: "Gmail", kind: emailClient},
	{mark: "yahoomailproxy", name: "Yahoo Mail", kind: emailClient}, // help.yahoo.com SLN28749
	{mark: "yahoo! mail proxy", name: "Yahoo Mail", kind: emailClient},
	{mark: "duckduckgo-mail", name: "DuckDuckGo", kind: emailClient},

	// Microsoft's Office asks a link what it is before it opens a browser (learn.microsoft.com, "Office protocol discovery").
	{mark: "existence discovery", name: "Microsoft Office", kind: library, bot: Generic},
	{mark: "office protocol discovery", name: "Microsoft Office", kind: library, bot: Generic},
	{mark: "skypeuripreview", name: "SkypeUriPreview", kind: robot, bot: Generic},
	{mark: "bingpreview", name: "BingPreview", kind: robot, bot: Generic},
	{mark: "safelinks", name: "Safe Links", kind: robot, bot: Generic},

	// Gateways that say who they are.
	{mark: "barracuda", name: "Barracuda", kind: robot, bot: Generic},
	{mark: "proofpoint", name: "Proofpoint", kind: robot, bot: Generic},
	{mark: "mimecast", name: "Mimecast", kind: robot, bot: Generic},
	{mark: "ironport", name: "Cisco Secure Email", kind: robot, bot: Generic},
	{mark: "ciscosecureemail", name: "Cisco Secure Email", kind: robot, bot: Generic},
	{mark: "symantec", name: "Symantec", kind: robot, bot: Generic},
	{mark: "trendmicro", name: "Trend Micro", kind: robot, bot: Generic},
	{mark: "fortinet", name: "Fortinet", kind: robot, bot: Generic},
	{mark: "forcepoint", name: "Forcepoint", kind: robot, bot: Generic},
	{mark: "cloudmark", name: "Cloudmark", kind: robot, bot: Generic},
	{mark: "virustotal", name: "VirusTotal", kind: robot, bot: Generic},
	{mark: "urlscan", name: "urlscan", kind: robot, bot: Generic},

	// Previews of links in messengers.
	{mark: "facebookexternalhit", name: "Facebook", kind: robot, bot: Generic},
	{mark: "whatsapp/", name: "WhatsApp", kind: robot, bot: Generic},
	{mark: "slackbot", name: "Slackbot", kind: robot, bot: Generic},

	// Programs and libraries.
	{mark: "headlesschrome", name: "HeadlessChrome", kind: robot, bot: Generic, system: true},
	{mark: "phantomjs", name: "PhantomJS", kind: robot, bot: Generic, system: true},
	{mark: "curl/", name: "curl", kind: library, bot: Generic},
	{mark: "wget/", name: "Wget", kind: library, bot: Generic},
	{mark: "python-requests/", name: "Python Requests", kind: library, bot: Generic},
	{mark: "python-urllib", name: "Python urllib", kind: library, bot: Generic},
	{mark: "python-httpx/", name: "HTTPX", kind: library, bot: Generic},
	{mark: "aiohttp/", name: "aiohttp", kind: library, bot: Generic},
	{mark: "go-http-client/", name: "Go HTTP client", kind: library, bot: Generic},
	{mark: "apache-httpclient/", name: "Apache HttpClient", kind: library, bot: Generic},
	{mark: "libwww-perl/", name: "libwww-perl", kind: library, bot: Generic},
	{mark: "guzzlehttp/", name: "Guzzle", kind: library, bot: Generic},
	{mark: "node-fetch", name: "node-fetch", kind: library, bot: Generic},
	{mark: "axios/", name: "axios", kind: library, bot: Generic},
	{mark: "java/", name: "Java", kind: library, bot: Generic},

	// Mail clients.
	{mark: "thunderbird/", name: "Thunderbird", kind: emailClient, system: true},
	{mark: "microsoft outlook", name: "Outlook", kind: emailClient, system: true},
	{mark: "outlook-ios/", name: "Outlook", kind: emailClient, system: true},
	{mark: "outlook-android/", name: "Outlook", kind: emailClient, system: true},
	{mark: "msoffice ", name: "Outlook", kind: emailClient, system: true},
	{mark: "applemail/", name: "Apple Mail", kind: emailClient, system: true},
	{mark: "evolution/", name: "Evolution", kind: emailClient, system: true},
	{mark: "kmail/", name: "KMail", kind: emailClient, system: true},
	{mark: "airmail", name: "Airmail", kind: emailClient, system: true},
	{mark: "postbox/", name: "Postbox", kind: emailClient, system: true},
	{mark: "lotus-notes/", name: "Lotus Notes", kind: emailClient, system: true},

	{mark: "feedly/", name: "Feedly", kind: "feed reader"},
	{mark: "feedbin", name: "Feedbin", kind: "feed reader"},
}

var appleMail = agent{name: "Apple Mail", kind: emailClient, system: true}

// lookup returns what is known of s beyond the library, nil for nothing.
func lookup(s string) *agent {
	lower := strings.ToLower(s)
	for i := range table {
		if strings.Contains(lower, table[i].mark) {
			return &table[i]
		}
	}
	// Mail on a Mac is the web view alone: a browser there names itself behind it.
	if strings.HasPrefix(s, "Mozilla/5.0 (Macintosh;") && strings.HasSuffix(s, "(KHTML, like Gecko)") {
		return &appleMail
	}
	return nil
}
