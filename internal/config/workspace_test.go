package config

import "testing"

func TestCheckWorkspace(t *testing.T) {
	for url, ok := range map[string]bool{"": true, "us": true, "eu": true, "https://mail.example.com": true, "http://10.0.0.1:8080/": true,
		"asia": false, "https://": false, "ftp://x.example": false, "https://x.example/v3": false, "https://u:p@x.example": false, "https://x.example?a": false} {
		if err := (&Config{WorkspaceMailgun: url}).checkWorkspace(); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
	if (&Config{WorkspaceDomain: "not a domain"}).checkWorkspace() == nil {
		t.Error("a domain with blanks is taken")
	}
}
