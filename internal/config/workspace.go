package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// checkWorkspace checks how mail of workspaces is sent.
func (c *Config) checkWorkspace() error {
	if c.WorkspaceDomain != "" && !validName(c.WorkspaceDomain) {
		return fmt.Errorf("--workspace-domain: %q is not a domain", c.WorkspaceDomain)
	}
	switch u, err := url.Parse(c.WorkspaceMailgun); {
	case c.WorkspaceMailgun == "", c.WorkspaceMailgun == "us", c.WorkspaceMailgun == "eu":
		return nil
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("--workspace-mailgun: us, eu or a base URL such as https://mail.example.com is expected")
	}
	return nil
}
