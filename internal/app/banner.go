package app

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// DevBanner is what postroad dev prints: where everything is, and a line that
// works when pasted.
func (a *App) DevBanner() string {
	base := "http://localhost:" + port(a.http)
	if a.http == nil {
		base = "https://localhost:" + port(a.https)
	}
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "  %-10s %s\n", name, value) }
	fmt.Fprintf(&b, "\npostroad %s, capture mode: nothing leaves this machine.\n\n", a.opt.Version)
	line("Panel", base)
	line("HTTP API", strings.TrimSpace(base+"/v3   "+httpsBase(a)))
	for _, m := range a.mail {
		line("SMTP", "localhost:"+port(m.ln)+"   any user and password, or none")
	}
	if a.cfg.Strict {
		line("Key", "keys and domains must exist (--strict); first key: "+a.shownKey())
	} else {
		line("Key", "any key works")
		line("Domain", "any domain works")
	}
	if a.ca != nil && a.https != nil {
		line("Trust", filepath.Join(a.cfg.Data, "ca", "ca.pem")+"   (certificate authority for https)")
	}
	line("Data", a.cfg.Data)
	fmt.Fprintf(&b, "\nTry it:\n\n  curl -s --user api:anything %s/v3/you.test/messages \\\n", base)
	b.WriteString("    -F from='Me <me@you.test>' -F to=jane@example.com -F subject='Hello' \\\n    --form-string html='<h1>It works</h1>'\n\n")
	b.WriteString("Recipients decide outcomes: test+bounce@you.test, +defer, +complain, +open, +click, +unsubscribe, +reject, +slow, +552 ...\n\n")
	return b.String()
}

func (a *App) shownKey() string {
	if a.AdminKey != "" {
		return a.AdminKey
	}
	return "see the first start, or POSTROAD_ADMIN_KEY"
}

func httpsBase(a *App) string {
	if a.https == nil || a.http == nil {
		return ""
	}
	return "https://localhost:" + port(a.https) + "/v3"
}

func port(l net.Listener) string {
	if l == nil {
		return ""
	}
	_, p, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return ""
	}
	return p
}
