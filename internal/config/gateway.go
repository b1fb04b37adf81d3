package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// checkGateway checks what the integration APIs send through.
func (c *Config) checkGateway() error {
	for _, o := range []struct{ flag, value, words string }{
		{"--mailgun-url", c.MailgunURL, "local us eu"}, {"--resend-url", c.ResendURL, ""}, {"--participants-url", c.ParticipantsURL, "off"},
	} {
		if slices.Contains(strings.Fields(o.words), o.value) {
			continue
		}
		u, err := url.Parse(o.value)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
			return fmt.Errorf("%s: %q is not an http or https URL", o.flag, o.value)
		}
	}
	if c.GatewayFailover && c.MailgunAPIKey == "" && c.ResendAPIKey == "" {
		return errors.New("--gateway-failover needs --mailgun-api-key or --resend-api-key")
	}
	return nil
}
