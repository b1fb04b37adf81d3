package report

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postroad/internal/mail/mime"
)

var update = flag.Bool("update", false, "write the golden files")

// corpus gives the messages of a kind, by name.
func corpus(t testing.TB, kind string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", kind, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]byte, len(files))
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".eml")] = raw
	}
	return out
}

// TestCorpus reads each message as a bounce, as a complaint and by its origin,
// and compares what comes out with the golden file beside it.
func TestCorpus(t *testing.T) {
	for kind, least := range map[string]int{"bounce": 40, "complaint": 10, "other": 12} {
		all := corpus(t, kind)
		if len(all) < least {
			t.Errorf("%d messages in %s, at least %d are wanted", len(all), kind, least)
		}
		for name, raw := range all {
			t.Run(kind+"/"+name, func(t *testing.T) {
				bounce, isBounce := ReadBounce(raw)
				complaint, isComplaint := ReadComplaint(raw)
				if isBounce != (kind == "bounce") || isComplaint != (kind == "complaint") {
					t.Errorf("bounce %t, complaint %t", isBounce, isComplaint)
				}
				golden(t, filepath.Join("testdata", kind, name+".golden"), report(t, raw, bounce, complaint))
			})
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func report(t *testing.T, raw []byte, b *Bounce, c *Complaint) string {
	var w strings.Builder
	header, _, err := mime.ScanHeader(raw)
	if err != nil {
		t.Fatal(err)
	}
	sender := strings.Trim(header.Raw("Return-Path"), "<> ")
	origin, why := OriginOf(sender, header)
	fmt.Fprintf(&w, "origin: %v (%s)\n", origin, why)
	var o *Original
	switch {
	case b != nil:
		describeBounce(&w, b)
		o = &b.Original
	case c != nil:
		describeComplaint(&w, c)
		o = &c.Original
	default:
		return w.String() + "neither\n"
	}
	fmt.Fprintf(&w, "original: %q sid %q to %q, %d fields\n", o.MessageID, o.SID, o.To, len(o.Header))
	return w.String()
}

func describeBounce(w *strings.Builder, b *Bounce) {
	fmt.Fprintf(w, "bounce: standard %t, hard %t, mta %q, envid %q\n", b.Standard, b.Hard(), b.ReportingMTA, b.EnvelopeID)
	for _, r := range b.Recipients {
		fmt.Fprintf(w, "  %v %q", r.Action, r.Final)
		if r.Original != "" {
			fmt.Fprintf(w, " for %q", r.Original)
		}
		fmt.Fprintf(w, "\n    status %s, code %d, %v, hard %t, remote %q\n    %s\n", r.Status, r.Code, r.Class, r.Hard, r.RemoteMTA, r.Diagnostic)
	}
}

func describeComplaint(w *strings.Builder, c *Complaint) {
	fmt.Fprintf(w, "complaint: %s, counts %t, agent %q\n", c.Type, c.Complains(), c.UserAgent)
	fmt.Fprintf(w, "  from %q to %q, named %t, redacted %t\n", c.MailFrom, c.Recipients, c.Named, c.Redacted)
	fmt.Fprintf(w, "  ip %v, arrival %v, domains %q\n", c.SourceIP, c.Arrival, c.Domains)
}
